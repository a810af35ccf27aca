package memstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// smallStore is soon full.
func smallStore() *Store { return New(&Options{MaxBytes: 1 << 20}) }

func TestWhatIsTooLargeTakesNothingFromOthersMeanwhile(t *testing.T) {
	b := budget{max: 1000}
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for !stop.Load() {
				b.take(5000)
			}
		})
	}
	refused := false
	for end := time.Now().Add(200 * time.Millisecond); !refused && time.Now().Before(end); {
		if b.take(10) {
			b.used.Add(-10)
		} else {
			refused = true
		}
	}
	stop.Store(true)
	workers.Wait()
	if refused {
		t.Error("10 bytes of 1000 were refused")
	}
}

func TestAnUpdateThatGrowsDoesNotEndItsOwnSession(t *testing.T) {
	s := smallStore()
	visit := recordIn(0, 1<<20, "", 100)
	create(t, s, visit)
	for n := uint64(0); s.budget.has(20 << 10); n++ {
		create(t, s, recordIn(int(n%63)+1, n, "alice", 9000))
	}
	grown := visit
	grown.Version, grown.Data = 2, make([]byte, 60<<10)
	if err := s.Update(t.Context(), grown, 1, noon); !errors.Is(err, store.ErrFull) {
		t.Errorf("Update to 60 KiB in a full store: %v, want ErrFull", err)
	}
	if !isThere(t, s, visit) {
		t.Error("the session that asked for room is gone")
	}
	if s.dropOldest(0, rowHeader+100, visit.ID) {
		t.Error("the session that asked for room was the oldest, and gone")
	}
}

func TestARecordTooLargeByItsSlotEndsNobody(t *testing.T) {
	s := smallStore()
	visit := recordIn(0, 1, "", 100)
	create(t, s, visit)
	large := recordIn(1, 2, "alice", 1<<20-200) // fits the bound, but its slot does not
	if _, err := s.Create(t.Context(), large, store.Terms{}, noon); !errors.Is(err, store.ErrFull) {
		t.Errorf("Create: %v, want ErrFull", err)
	}
	if !isThere(t, s, visit) {
		t.Error("an anonymous session ended for a record that was refused")
	}
}

func TestALargeAnonymousRecordTakesThePlaceOfMany(t *testing.T) {
	s := New(&Options{MaxBytes: 8 << 20})
	for n := range uint64(180) {
		create(t, s, recordIn(0, n, "", 36<<10))
	}
	create(t, s, recordIn(0, 1<<20, "", 4<<20))
	checkParts(t, s)
}

func TestTheDeadOfAllShardsMakeRoomForALargeRecord(t *testing.T) {
	s := smallStore()
	createUntilFull(t, s, func(n uint64) store.Record { return recordIn(int(n%64), n, "alice", 500) })
	later := noon.Add(2 * time.Hour)
	large := recordIn(0, 1<<20, "bob", 700<<10)
	large.LastSeen, large.Absolute = later, later.Add(time.Hour)
	if _, err := s.Create(t.Context(), large, store.Terms{}, later); err != nil {
		t.Errorf("Create when everything else is dead: %v", err)
	}
	checkParts(t, s)
}

func TestTheDeadAreSearchedForAtMostOnceASecond(t *testing.T) {
	s := New(nil)
	later := noon.Add(2 * time.Hour).UnixMicro()
	s.dropDead(0, later)
	create(t, s, recordIn(0, 1, "alice", 50))
	if s.dropDead(0, later+1) {
		t.Error("a second search within a second")
	}
	if !s.dropDead(0, later+time.Second.Microseconds()) {
		t.Error("no second search after a second")
	}
}

func TestMemoryIsUsedUpToTheBound(t *testing.T) {
	s := New(&Options{MaxBytes: 300 << 10})
	createUntilFull(t, s, func(n uint64) store.Record { return recordIn(0, n, "alice", 100) })
	slot, _ := slotFor(rowHeader + len("alice") + 100)
	if left := s.budget.max - s.budget.used.Load(); left >= int64(slot)+chunkOverhead {
		t.Errorf("a record of %d bytes was refused with %d left", slot, left)
	}
}

// deleteTwoOfThree leaves open slots in all chunks, and none nearly empty.
func deleteTwoOfThree(t *testing.T, s *Store, recs []store.Record) {
	t.Helper()
	for n, rec := range recs {
		if n/3%3 == 0 {
			continue
		}
		if _, err := s.Delete(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordsOfAnotherSizeFindRoomBetweenThoseThatAreLeft(t *testing.T) {
	for name, first := range map[string]int{"in the same shard": 0, "in another shard": 1} {
		t.Run(name, func(t *testing.T) {
			s := smallStore()
			old := createUntilFull(t, s, func(n uint64) store.Record { return recordIn(0, n, "alice", 300) })
			deleteTwoOfThree(t, s, old)
			checkParts(t, s)
			other := createUntilFull(t, s, func(n uint64) store.Record { return recordIn(first, 1<<20+n, "bob", 400) })
			if want := len(old) * 2 / 5; len(other) < want {
				t.Errorf("in the place of two thirds of %d records there is room for %d of another size, want %d", len(old), len(other), want)
			}
			checkParts(t, s)
		})
	}
}

func TestChunksAreMergedBeforeAnonymousSessionsEnd(t *testing.T) {
	s := smallStore()
	visit := recordIn(0, 1<<20, "", 100)
	create(t, s, visit)
	var old []store.Record
	for n := uint64(0); isThere(t, s, visit) && s.budget.has(4<<10); n++ {
		rec := recordIn(0, n, "alice", 300)
		create(t, s, rec)
		old = append(old, rec)
	}
	deleteTwoOfThree(t, s, old)
	for n := range uint64(len(old) / 3) {
		create(t, s, recordIn(0, 1<<21+n, "bob", 400))
	}
	if !isThere(t, s, visit) {
		t.Error("an anonymous session ended, although half of the memory was empty")
	}
	checkParts(t, s)
}

func TestOfChunksOfAnonymousSessionsTheOneGoesWhoseLastVisitorIsLongestAgo(t *testing.T) {
	s := New(nil)
	for n := range uint64(64) {
		create(t, s, recordIn(0, n, "", 1000))
	}
	sl := &s.shards[0].slots
	want, met := uint32(0), 0
	for n := range sl.chunks {
		c := &sl.chunks[n]
		if c.mem == nil {
			continue
		}
		if met++; met == 3 {
			want = uint32(n)
		} else {
			c.row(0).seen(noon.Add(time.Minute).UnixMicro())
		}
	}
	if got := s.shards[0].stalest(0); got != want {
		t.Errorf("chunk %d goes, want %d", got, want)
	}
	if got := s.shards[0].stalest(want); got == want {
		t.Error("the chunk to be kept goes")
	}
}

func TestAnonymousSessionsThatMakeRoomAreTold(t *testing.T) {
	s := New(nil)
	const count = 14
	told := 0
	for n := range uint64(count) {
		rec := recordIn(0, 1+n, "", 500)
		create(t, s, rec)
		s.Watch(rec.ID, func() { told++ })
	}
	if s.dropOldest(0, rowHeader+500, store.ID{}); told != 1 {
		t.Errorf("of one that ended %d were told", told)
	}
	for s.dropAnonymous(0, store.ID{}) {
		checkParts(t, s)
	}
	if told != count {
		t.Errorf("of %d that ended %d were told", count, told)
	}
}

func TestAShardWithoutChunkNumbersIsFull(t *testing.T) {
	s := New(nil)
	s.shards[0].slots.chunks = make([]chunk, mostChunks)
	rec := recordIn(0, 1, "alice", 100)
	if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); !errors.Is(err, store.ErrFull) {
		t.Errorf("Create: %v, want ErrFull", err)
	}
	if used := s.budget.used.Load(); used != 0 {
		t.Errorf("a record that was refused takes %d bytes", used)
	}
}
