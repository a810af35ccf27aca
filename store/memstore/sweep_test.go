package memstore

import (
	"testing"
	"time"
)

func TestDeleteAllInTheMiddleOfASweep(t *testing.T) {
	s := New(nil)
	rec := recordIn(0, 1, "", 10)
	create(t, s, rec)
	emptied := false
	defer s.Watch(rec.ID, func() {
		if emptied {
			return // DeleteAll tells this watcher too
		}
		emptied = true
		if _, err := s.DeleteAll(t.Context(), noon); err != nil {
			t.Error(err)
		}
	})()
	if _, _, err := s.Sweep(t.Context(), noon.Add(3*time.Hour), 100); err != nil {
		t.Error(err)
	}
	checkParts(t, s)
}

func TestASweepLeavesARecordThatWasCreatedAnewMeanwhile(t *testing.T) {
	s := New(nil)
	first, second := recordIn(0, 1, "", 10), recordIn(0, 2, "", 10)
	create(t, s, first)
	create(t, s, second)
	later := noon.Add(9 * time.Hour)
	defer s.Watch(first.ID, func() {
		if _, err := s.Delete(t.Context(), second.ID); err != nil {
			t.Error(err)
		}
		again := second
		again.LastSeen, again.Absolute = later, later.Add(time.Hour)
		create(t, s, again)
	})()
	if _, _, err := s.Sweep(t.Context(), later, 100); err != nil {
		t.Fatal(err)
	}
	if isThere(t, s, first) || !isThere(t, s, second) {
		t.Error("want the dead record gone, and the one in its neighbour's place there")
	}
}

// What an update says is the subject need not be so.
func TestAnUpdateThatRetiresLocksTheSubjectThatTheRecordHas(t *testing.T) {
	s := New(nil)
	rec := recordIn(0, 1, "alice", 10)
	create(t, s, rec)
	want := uint64(1) << stripeOf(s.subjectHash([]byte("alice")))
	for _, said := range []string{"", "alice", "bob", "carol", "dave"} {
		update := rec
		update.Subject, update.Retired = said, true
		held, _ := s.lockRetirement(&update)
		if held.stripes&want == 0 {
			t.Errorf("an update that says %q does not hold the stripe of alice", said)
		}
		s.unlock(held)
	}
	if _, err := s.DeleteSubject(t.Context(), "alice", noon); err != nil || isThere(t, s, rec) {
		t.Errorf("after DeleteSubject the record is there: %v", err)
	}
}
