package memstore

// These tests are inside the package because they check that its parts agree
// with each other, which from outside shows only as memory lost.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var noon = time.Date(2026, time.January, 2, 12, 0, 0, 0, time.UTC)

// randomRecord is a record of one of a few subjects, of one of many sizes.
func randomRecord(random *rand.Rand) store.Record {
	size := int(random.ExpFloat64() * 400)
	if random.IntN(50) == 0 {
		size = random.IntN(80 << 10)
	}
	rec := store.Record{
		Version: random.Uint64() | 1, Created: noon, LastSeen: noon,
		Idle: time.Duration(1+random.IntN(60)) * time.Minute, Absolute: noon.Add(12 * time.Hour),
		Head: make([]byte, random.IntN(60)), Data: randomData(random, size),
	}
	binary.LittleEndian.PutUint64(rec.ID[:], random.Uint64())
	binary.LittleEndian.PutUint64(rec.ID[8:], random.Uint64())
	if who := random.IntN(30); who > 0 {
		rec.Subject = fmt.Sprint("user-", who)
	}
	return rec
}

// randomData differs from any other, so that bytes of another record show.
func randomData(random *rand.Rand, size int) []byte {
	data := bytes.Repeat([]byte{byte(random.Uint32())}, size)
	if size >= 8 {
		binary.LittleEndian.PutUint64(data[random.IntN(size-7):], random.Uint64())
	}
	return data
}

// recordIn is a record of a shard, of a subject or anonymous, that lives for an
// hour. Its number tells it from others.
func recordIn(shard int, n uint64, subject string, data int) store.Record {
	rec := store.Record{
		Version: 1, Subject: subject, Created: noon, LastSeen: noon,
		Idle: time.Hour, Absolute: noon.Add(time.Hour), Data: make([]byte, data),
	}
	binary.LittleEndian.PutUint64(rec.ID[:], n)
	spread := uint32(n) * 2654435769 >> 6 // as the last bytes of a random id would be
	binary.LittleEndian.PutUint32(rec.ID[12:], uint32(shard)<<26|spread)
	return rec
}

// create creates a record, and returns where it lies.
func create(t *testing.T, s *Store, rec store.Record) ref {
	t.Helper()
	if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
		t.Fatal(err)
	}
	return s.shard(rec.ID).find(rec.ID)
}

// createUntilFull creates records, numbered from 0, until there is no room.
func createUntilFull(t *testing.T, s *Store, record func(n uint64) store.Record) (created []store.Record) {
	t.Helper()
	for n := uint64(0); ; n++ {
		rec := record(n)
		_, err := s.Create(t.Context(), rec, store.Terms{}, noon)
		if errors.Is(err, store.ErrFull) {
			return created
		}
		if err != nil {
			t.Fatal(err)
		}
		created = append(created, rec)
	}
}

// isThere reports whether a record can be loaded.
func isThere(t *testing.T, s *Store, rec store.Record) bool {
	t.Helper()
	err := s.Load(t.Context(), rec.ID, new(store.Record), store.Fresh)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// checkParts fails unless indexes, memory and budget agree.
func checkParts(t *testing.T, s *Store) {
	t.Helper()
	checkLists(t, s)
	used, members := int64(0), map[uint64]int{}
	for i := range s.shards {
		sh := &s.shards[i]
		used += 8 * int64(len(sh.ids.cells))
		rows := 0
		for n := range sh.slots.chunks {
			c := &sh.slots.chunks[n]
			if c.mem == nil {
				continue
			}
			used += c.footprint()
			inChunk := 0
			for slot := range c.slots() {
				r := c.row(slot)
				if !r.used() {
					continue
				}
				inChunk++
				if at := sh.find(r.id()); at != uint32(n)<<refSlotBits|ref(slot) {
					t.Fatalf("shard %d: the row at %d:%d is indexed at %d", i, n, slot, at)
				}
				if c.pool.anonymous != (len(r.subject()) == 0) {
					t.Fatalf("shard %d: a row of subject %q lies among others", i, r.subject())
				}
				if hash := s.subjectHash(r.subject()); hash != 0 && !r.retired() {
					members[hash]++
				}
			}
			if inChunk != int(c.used) {
				t.Fatalf("shard %d chunk %d: %d rows, counted as %d", i, n, inChunk, c.used)
			}
			rows += inChunk
		}
		if rows != sh.ids.n {
			t.Fatalf("shard %d: %d rows, %d indexed", i, rows, sh.ids.n)
		}
	}
	indexed := 0
	for i := range s.stripes {
		used += 8 * int64(len(s.stripes[i].members.cells))
		indexed += s.stripes[i].members.n
	}
	signedIn := 0
	for hash, n := range members {
		signedIn += n
		if got := s.stripe(hash).members.count(subjectTag(hash), math.MaxInt); got != n {
			t.Fatalf("a subject of %d records has %d indexed", n, got)
		}
	}
	if indexed != signedIn {
		t.Fatalf("%d records have a subject, %d are indexed by it", signedIn, indexed)
	}
	if got := s.budget.used.Load(); got != used {
		t.Fatalf("%d bytes are in use, counted as %d", used, got)
	}
}

// checkLists fails unless each chunk is in the lists in which it should be, and
// each slot is in use, in its chunk's list of free ones, or was never used.
func checkLists(t *testing.T, s *Store) {
	t.Helper()
	for i := range s.shards {
		sl := &s.shards[i].slots
		if len(sl.chunks) == 0 {
			continue // most shards, where this is called after each step
		}
		listed := 0
		for n := sl.unused; n != 0; n = sl.chunks[n].next {
			if listed++; sl.chunks[n].mem != nil {
				t.Fatalf("shard %d: chunk %d is in use, and in the list of those that are not", i, n)
			}
		}
		for kind := range sl.pools {
			for class := range sl.pools[kind] {
				listed += checkPool(t, sl, &sl.pools[kind][class])
			}
		}
		if listed != max(0, len(sl.chunks)-1) {
			t.Fatalf("shard %d: of %d chunks %d are listed", i, len(sl.chunks)-1, listed)
		}
	}
}

// checkPool is checkLists for one pool. It returns how many chunks that has. It
// is no Helper, because it is called so often that this takes most of the time.
func checkPool(t *testing.T, s *slots, p *pool) (chunks int) {
	bytes, open, last := 0, 0, uint32(0)
	for n := p.oldest; n != 0; n = s.chunks[n].newer {
		c := &s.chunks[n]
		if c.pool != p || c.older != last {
			t.Fatalf("chunk %d follows %d in its pool, and says %d", n, last, c.older)
		}
		bytes, open, last = bytes+len(c.mem), open+c.slots()-int(c.used), n
		chunks++
	}
	if p.newest != last || p.bytes != bytes || p.open != open {
		t.Fatalf("a pool of %d bytes, %d open, ends with chunk %d, and says %d, %d, %d", bytes, open, last, p.bytes, p.open, p.newest)
	}
	last = 0
	for n := p.first; n != 0; n = s.chunks[n].next {
		c := &s.chunks[n]
		if c.pool != p || c.prev != last || !c.room() {
			t.Fatalf("chunk %d with %d of %d slots in use follows %d of those with room, and says %d", n, c.used, c.slots(), last, c.prev)
		}
		open, last = open-(c.slots()-int(c.used)), n
		checkFree(t, c)
	}
	if open != 0 {
		t.Fatalf("%d open slots of a pool are in no chunk that is listed as having room", open)
	}
	return chunks
}

// checkFree checks the free slots of a chunk, which must be wiped.
func checkFree(t *testing.T, c *chunk) {
	t.Helper()
	free := 0
	for n := c.free; n != 0; n = c.row(int(n) - 1).nextFree() {
		r := c.row(int(n) - 1)
		link := row(make([]byte, len(r)))
		link.free(r.nextFree())
		if !bytes.Equal(r, link) {
			t.Fatalf("a free slot has %x", r)
		}
		free++
	}
	if free+int(c.fresh)+int(c.used) != c.slots() {
		t.Fatalf("of %d slots %d are in use, %d free, %d were never used", c.slots(), c.used, free, c.fresh)
	}
}

// TestPartsAgree does random things to stores small and large, and checks after
// every few hundred that nothing was lost or counted twice.
func TestPartsAgree(t *testing.T) {
	for _, bound := range []int64{256 << 10, 4 << 20, 1 << 30} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			s := New(&Options{MaxBytes: bound})
			var known []store.Record
			for step := range 6000 {
				now := noon.Add(time.Duration(step/100) * time.Minute)
				known = change(t, s, random, known, now)
				if step%300 == 0 {
					checkParts(t, s)
				}
			}
			checkParts(t, s)
		})
	}
}

// change does one random thing.
func change(t *testing.T, s *Store, random *rand.Rand, known []store.Record, now time.Time) []store.Record {
	ctx := t.Context()
	if len(known) == 0 || random.IntN(3) == 0 {
		rec := randomRecord(random)
		rec.Created, rec.LastSeen = now, now
		if _, err := s.Create(ctx, rec, store.Terms{Max: random.IntN(200)}, now); err == nil {
			known = append(known, rec)
		}
		return known
	}
	i := random.IntN(len(known))
	rec := known[i]
	var there store.Record
	if err := s.Load(ctx, rec.ID, &there, store.Fresh); err == nil && (!bytes.Equal(there.Head, rec.Head) || !bytes.Equal(there.Data, rec.Data)) {
		t.Fatalf("a record has %x, %x instead of %x, %x", there.Head, there.Data, rec.Head, rec.Data)
	}
	switch dice := random.IntN(1000); {
	case dice < 500:
		was := rec.Version
		rec.Version = random.Uint64() | 1
		rec.Retired = random.IntN(10) == 0
		rec.Data = randomData(random, int(random.ExpFloat64()*500))
		if s.Update(ctx, rec, was, now) == nil {
			known[i] = rec
		}
	case dice < 900:
		if _, err := s.Delete(ctx, rec.ID, known[random.IntN(len(known))].ID); err != nil {
			t.Fatal(err)
		}
		known = slices.Delete(known, i, i+1)
	case dice < 950:
		if _, _, err := s.Sweep(ctx, now, 1+random.IntN(300)); err != nil {
			t.Fatal(err)
		}
	case dice < 998 && rec.Subject != "":
		if _, err := s.DeleteSubject(ctx, rec.Subject, now.Add(-24*time.Hour), rec.ID); err != nil {
			t.Fatal(err)
		}
	case dice >= 998:
		if _, err := s.DeleteAll(ctx, now.Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return known
}

// A pool that grows has few chunks: those that have become small are merged.
func TestChunksStayFew(t *testing.T) {
	s := New(nil)
	sh := &s.shards[0]
	random := rand.New(rand.NewPCG(5, 6))
	for n := range 20_000 {
		rec := randomRecord(random)
		rec.Subject, rec.Head, rec.Data = "alice", nil, randomData(random, 300)
		rec.ID[15] &= 3 // in the first shard
		if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
			t.Fatal(err)
		}
		chunks := 0
		for i := range sh.slots.chunks {
			if sh.slots.chunks[i].mem != nil {
				chunks++
			}
		}
		if limit := 26 + n*384/largestChunk; chunks > limit {
			t.Fatalf("%d records of one size lie in %d chunks, want at most %d", n+1, chunks, limit)
		}
	}
	checkParts(t, s)
}

func TestMemoryOfTheDeletedIsReturned(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := New(nil)
	empty := s.budget.used.Load()
	var ids []store.ID
	for range 15_000 {
		rec := randomRecord(random)
		rec.Data = rec.Data[:min(len(rec.Data), 200)]
		if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, rec.ID)
	}
	full := s.budget.used.Load()
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids[:len(ids)*9/10] {
		if _, err := s.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if used := s.budget.used.Load(); used > full*4/10 {
		t.Errorf("after nine of ten sessions were deleted, %d of %d bytes are in use", used, full)
	}
	checkParts(t, s)
	if _, err := s.Delete(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	if used := s.budget.used.Load(); used > empty+2*shardCount*8*smallestIndex {
		t.Errorf("a store that was emptied takes %d bytes", used)
	}
}

// TestIndexKeepsWhatAMapKeeps compares the index with a map, with tags so few
// that many share a home, at both ends of the array.
func TestIndexKeepsWhatAMapKeeps(t *testing.T) {
	type pair struct{ tag, value uint32 }
	for _, tags := range []uint32{3, 40, math.MaxUint32} {
		random := rand.New(rand.NewPCG(uint64(tags), 5))
		var x index
		want := map[pair]bool{}
		bytes := int64(0)
		for step := range 8_000 {
			tag := random.Uint32()
			if tags != math.MaxUint32 {
				tag = tag % tags * (math.MaxUint32 / (tags - 1)) // from the first cell to the last
			}
			p := pair{tag, 1 + random.Uint32N(1000)}
			growing := step/1000%2 == 0
			if !want[p] && (growing || random.IntN(4) == 0) {
				bytes += x.add(p.tag, p.value)
				want[p] = true
			} else if some := anyKey(want); !growing && len(want) > 0 {
				bytes += x.remove(some.tag, some.value)
				delete(want, some)
			}
			if x.n != len(want) {
				t.Fatalf("%d values, want %d", x.n, len(want))
			}
			if step%500 != 0 {
				continue
			}
			for p := range want {
				if !slices.Contains(x.values(p.tag, nil), p.value) {
					t.Fatalf("%v is lost", p)
				}
			}
			if all := x.within(0, math.MaxUint32, nil); len(all) != len(want) {
				t.Fatalf("a walk over everything meets %d values of %d", len(all), len(want))
			}
			pieces := 0
			for from := uint64(0); from < 1<<32; from += 1 << 28 {
				pieces += len(x.within(uint32(from), uint32(from+1<<28-1), nil))
			}
			if pieces != len(want) {
				t.Fatalf("a walk in 16 pieces meets %d values of %d", pieces, len(want))
			}
		}
		if bytes != 8*int64(len(x.cells)) {
			t.Errorf("the index takes %d bytes and says %d", 8*len(x.cells), bytes)
		}
	}
}

func anyKey[K comparable](m map[K]bool) (some K) {
	for some = range maps.Keys(m) {
		break
	}
	return some
}

func TestSlotsHoldTheirRowsAndWasteLittle(t *testing.T) {
	classes := map[int]int{}
	for size := rowHeader; size < 100<<10; size++ {
		slot, class := slotFor(size)
		if slot < size || class < 0 || class >= pools {
			t.Fatalf("a row of %d bytes gets a slot of %d, class %d", size, slot, class)
		}
		if size > smallestSlot && size <= largestSlot && 8*(slot-size) >= slot {
			t.Errorf("a row of %d bytes gets a slot of %d", size, slot)
		}
		if other, found := classes[class]; found && other != slot && class != ownChunk {
			t.Errorf("slots of %d and %d bytes are one class", other, slot)
		}
		classes[class] = slot
	}
}

func TestTwoIDsOfOneKeyAreTwoRecords(t *testing.T) {
	s := New(nil)
	random := rand.New(rand.NewPCG(3, 4))
	var recs []store.Record
	for i := range 5 {
		rec := randomRecord(random)
		rec.Subject, rec.LastSeen = "alice", noon.Add(time.Duration(i)*time.Second)
		copy(rec.ID[12:], "same")
		if _, err := s.Create(t.Context(), rec, store.Terms{Max: 4}, noon); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
	listed, err := s.List(t.Context(), "alice", noon)
	if err != nil || len(listed) != 4 {
		t.Errorf("List has %d records, %v; want 4", len(listed), err)
	}
	ended, err := s.DeleteSubject(t.Context(), "alice", noon, recs[2].ID)
	if err != nil || len(ended) != 3 || slices.Contains(ended, recs[2].ID) {
		t.Errorf("DeleteSubject told of %v, %v; want all but the one kept", ended, err)
	}
	checkParts(t, s)
}

func TestIndexesShrinkWithinTheBudgetWhenAnonymousSessionsGo(t *testing.T) {
	s := New(&Options{MaxBytes: 2 << 20})
	random := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		rec := randomRecord(random)
		rec.Subject, rec.Data = "", nil
		if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
			t.Fatal(err)
		}
	}
	for range 29 {
		rec := randomRecord(random)
		rec.Subject, rec.Data = "alice", make([]byte, 60<<10)
		if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
			t.Fatal(err)
		}
	}
	checkParts(t, s)
}
