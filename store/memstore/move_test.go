package memstore

import (
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

func TestNumbersOfChunksAreUsedAgain(t *testing.T) {
	s := New(nil)
	for n := range uint64(1000) {
		rec := recordIn(0, n, "alice", 50<<10)
		create(t, s, rec)
		if _, err := s.Delete(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.shards[0].slots.chunks); n > 4 {
		t.Errorf("one record at a time has used %d numbers", n)
	}
}

func TestASweepReturnsTheMemoryOfWhatItRemoves(t *testing.T) {
	s := New(nil)
	for n := range uint64(8000) {
		rec := recordIn(0, n, "", 300)
		if n%10 == 0 {
			rec.Idle, rec.Absolute = 12*time.Hour, noon.Add(12*time.Hour)
		}
		create(t, s, rec)
	}
	full := s.budget.used.Load()
	if n, _, err := s.Sweep(t.Context(), noon.Add(2*time.Hour), 10_000); n != 7200 || err != nil {
		t.Fatalf("Sweep removed %d, %v; want 7200", n, err)
	}
	if used := s.budget.used.Load(); used > full*4/10 {
		t.Errorf("after nine of ten sessions were swept, %d of %d bytes are in use", used, full)
	}
	checkParts(t, s)
}

func TestUpdatesThatShrinkReturnMemory(t *testing.T) {
	s := New(nil)
	var recs []store.Record
	for n := range uint64(8000) {
		rec := recordIn(0, n, "", 300)
		create(t, s, rec)
		recs = append(recs, rec)
	}
	full := s.budget.used.Load()
	for n, rec := range recs {
		if n%10 == 0 {
			continue
		}
		rec.Version, rec.Data = 2, nil
		if err := s.Update(t.Context(), rec, 1, noon); err != nil {
			t.Fatal(err)
		}
	}
	if used := s.budget.used.Load(); used > full*6/10 {
		t.Errorf("after nine of ten records shrank to a third, %d of %d bytes are in use", used, full)
	}
	checkParts(t, s)
}

func TestARetiredRecordLeavesALargeSlot(t *testing.T) {
	s := New(nil)
	rec := recordIn(0, 1, "alice", 90<<10)
	create(t, s, rec)
	rec.Version, rec.Retired, rec.Data = 2, true, nil
	if err := s.Update(t.Context(), rec, 1, noon); err != nil {
		t.Fatal(err)
	}
	if used := s.budget.used.Load(); used > 8<<10 {
		t.Errorf("a retired record takes %d bytes", used)
	}
}

func TestARetiredRecordKeepsASmallSlot(t *testing.T) {
	s := New(nil)
	rec := recordIn(0, 1, "alice", 500)
	at := create(t, s, rec)
	rec.Version, rec.Retired, rec.Data = 2, true, nil
	if err := s.Update(t.Context(), rec, 1, noon); err != nil {
		t.Fatal(err)
	}
	if got := s.shard(rec.ID).find(rec.ID); got != at {
		t.Error("a record that was retired has moved")
	}
}

func TestTheOnlyRoomOfRecordsOfASizeIsKept(t *testing.T) {
	s := New(nil)
	_, class := slotFor(rowHeader + len("alice") + 50)
	p := s.shards[0].slots.pool(class, false)
	deleted := 0
	for n := uint64(1); n < 3000; n++ {
		rec := recordIn(0, n, "alice", 50)
		c := &s.shards[0].slots.chunks[create(t, s, rec)>>refSlotBits]
		if n == 1 || c.used > 1 || p.open != c.slots()-1 {
			continue
		}
		bytes := p.bytes
		if _, err := s.Delete(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
		if deleted++; p.bytes != bytes {
			t.Fatal("the only chunk with room was given up")
		}
	}
	if deleted == 0 {
		t.Error("no record was the only one of its chunk")
	}
}

// The record that ends lies in a small chunk, of which the rows move when the
// new record needs a chunk.
func TestCreateNamesWhomItEndedAlthoughRowsMove(t *testing.T) {
	s := New(nil)
	first := recordIn(0, 1<<20, "alice", 50)
	first.LastSeen = noon.Add(-time.Minute)
	at := create(t, s, first)
	sl := &s.shards[0].slots
	p := sl.chunks[at>>refSlotBits].pool
	count := 1
	for ; p.first != 0 || sl.small(p, p.bytes/8) == 0; count++ {
		create(t, s, recordIn(0, uint64(count), "alice", 50))
	}
	evicted, err := s.Create(t.Context(), recordIn(0, uint64(count), "alice", 50), store.Terms{Max: count}, noon)
	if err != nil || !slices.Equal(evicted, []store.ID{first.ID}) {
		t.Errorf("Create of one above %d ended %v, %v; want %v", count, evicted, err, first.ID)
	}
	checkParts(t, s)
}

func TestRowsMoveInAStoreThatWasEmptied(t *testing.T) {
	s := New(nil)
	if _, err := s.DeleteAll(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(1000) {
		create(t, s, recordIn(0, n, "alice", 50))
	}
	checkParts(t, s)
}
