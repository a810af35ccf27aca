package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// What a ring answers is what was last put into it, whatever has been pushed
// out, dropped or moved meanwhile, and its memory stays within its limit.
func TestRingAnswersWithWhatWasPutLast(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, limit := range []uint64{1 << 10, 20_000, 64 << 10, 100_008} {
		r := ring{limit: limit}
		put := make(map[store.ID]store.Record)
		hits := 0
		for range 20_000 {
			id := store.ID{0: byte(random.IntN(200))}
			switch random.IntN(10) {
			case 0:
				r.drop(id)
				delete(put, id)
			case 1, 2, 3:
				rec := randomRecord(random, id)
				r.put(&rec)
				put[id] = rec
			default:
				entry := r.get(id)
				if entry == nil {
					continue
				}
				hits++
				var got store.Record
				decode(entry, &got)
				if want, ok := put[id]; !ok || !reflect.DeepEqual(got, want) {
					t.Fatalf("limit %d: the ring has %+v, want %+v (%v)", limit, got, want, ok)
				}
			}
			if random.IntN(2000) == 0 {
				r.clear()
				clear(put)
			}
			if uint64(cap(r.buf)) > limit {
				t.Fatalf("limit %d: the ring has %d bytes", limit, cap(r.buf))
			}
		}
		if hits == 0 {
			t.Errorf("limit %d: the ring kept nothing", limit)
		}
	}
}

func randomRecord(random *rand.Rand, id store.ID) store.Record {
	fill := func(n int) []byte { return bytes.Repeat([]byte{byte(random.IntN(256))}, n) }
	rec := store.Record{
		ID: id, Version: random.Uint64(), Subject: string(fill(random.IntN(20))),
		Created: instant(random.Int64N(1 << 50)), LastSeen: instant(-random.Int64N(1 << 50)),
		Idle: microseconds(random.Int64N(1 << 40)), Absolute: instant(random.Int64N(1 << 50)),
		Retired: random.IntN(2) == 0, Head: fill(1 + random.IntN(100)), Data: fill(1 + random.IntN(300)),
	}
	if random.IntN(20) == 0 {
		rec.Data = fill(1 + random.IntN(70_000)) // too large for most limits
	}
	return rec
}

// A record that is read now and then stays, however many others pass.
func TestRingKeepsWhatIsUsed(t *testing.T) {
	r := ring{limit: 8 << 10}
	used := store.Record{ID: store.ID{0: 1}, Data: make([]byte, 100)}
	r.put(&used)
	for i := range 10_000 {
		var other store.Record
		other.Data = make([]byte, 100)
		binary.LittleEndian.PutUint32(other.ID[4:], uint32(i+1))
		r.put(&other)
		if r.get(used.ID) == nil {
			t.Fatalf("gone after %d others", i)
		}
	}
	if r.get(store.ID{4: 1}) != nil {
		t.Error("the first of 10,000 others is still there")
	}
}
