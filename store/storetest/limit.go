package storetest

import (
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var limitCases = []testCase{
	{"limit-evicts", "It returns the ids of the records that it ended to keep within terms.Max: the least recently seen first.", limitEvicts},
	{"limit-lowered", "It returns the ids of the records that it ended to keep within terms.Max: the least recently seen first.", limitLowered},
	{"limit-touched", "It returns the ids of the records that it ended to keep within terms.Max: the least recently seen first.", limitTouched},
	{"limit-refuses", "Refuse answers ErrLimit at Max, instead of ending the subject's least recently seen records.", limitRefuses},
	{"limit-counts-itself", "Max is how many live records the subject may have, this one included.", limitCountsItself},
	{"limit-counts-live", "Max is how many live records the subject may have, this one included.", limitCountsLive},
	{"limit-replaces", "Replaces is not counted against Max, nor ended for it.", limitReplaces},
	{"limit-none", "0 sets no limit; a record without subject has none.", limitNone},
}

// createAt creates a session of alice at the start, under terms.
func (k *trial) createAt(terms store.Terms, now time.Time) (store.ID, []store.ID, error) {
	rec := seen("alice", now.Sub(start))
	evicted, err := k.a.Create(k.Context(), rec, terms, now)
	return rec.ID, evicted, err
}

func limitEvicts(k *trial) {
	first, second, third, other := seen("alice", 3*time.Minute), seen("alice", time.Minute), seen("alice", 2*time.Minute), newRecord("bob")
	k.create(first, second, third, other)
	id, evicted, err := k.createAt(store.Terms{Max: 3}, after(5*time.Minute))
	if err != nil {
		k.Fatalf("Create at the limit: %v", err)
	}
	k.inOrder("Create ended", evicted, second.ID)
	k.gone(second.ID)
	k.sameIDs("List", k.list("alice", after(5*time.Minute)), first.ID, third.ID, id)
	k.kept(other)
	if ended, err := k.b.Delete(k.Context(), second.ID); err != nil || len(ended) != 0 {
		k.Errorf("Delete of what Create has ended told of %v, %v", ended, err)
	}
}

func limitLowered(k *trial) {
	var recs []store.Record
	for _, minute := range []time.Duration{4, 1, 3, 0, 2} {
		recs = append(recs, seen("alice", minute*time.Minute))
	}
	k.create(recs...)
	id, evicted, err := k.createAt(store.Terms{Max: 2}, after(5*time.Minute))
	if err != nil {
		k.Fatalf("Create at a limit that was lowered: %v", err)
	}
	k.inOrder("Create ended", evicted, recs[3].ID, recs[1].ID, recs[4].ID, recs[2].ID)
	k.sameIDs("List", k.list("alice", after(5*time.Minute)), recs[0].ID, id)
	k.sameIDs("All", idsOf(k.all()...), recs[0].ID, id)
}

func limitTouched(k *trial) {
	first, second := seen("alice", time.Minute), seen("alice", 2*time.Minute)
	k.create(first, second)
	if err := k.a.Touch(k.Context(), first.ID, after(3*time.Minute)); err != nil {
		k.Fatalf("Touch: %v", err)
	}
	_, evicted, err := k.createAt(store.Terms{Max: 2}, after(5*time.Minute))
	if err != nil {
		k.Fatalf("Create at the limit: %v", err)
	}
	k.inOrder("Create ended, after the other was touched", evicted, second.ID)

	third := seen("alice", 4*time.Minute)
	k.create(third)
	changed := next(first)
	changed.LastSeen = after(6 * time.Minute)
	k.update(changed, first.Version)
	if _, evicted, err = k.createAt(store.Terms{Max: 3}, after(7*time.Minute)); err != nil {
		k.Fatalf("Create at the limit: %v", err)
	}
	k.inOrder("Create ended, after the others were updated or created", evicted, third.ID)
}

func limitRefuses(k *trial) {
	first, second := newRecord("alice"), newRecord("alice")
	k.create(first, second)
	for _, limit := range []int{1, 2} {
		id, evicted, err := k.createAt(store.Terms{Max: limit, Refuse: true}, after(time.Minute))
		k.is("Create at the limit", err, store.ErrLimit)
		k.sameIDs("ended by a Create that was refused", evicted)
		k.gone(id)
	}
	k.kept(first)
	k.kept(second)
	k.sameIDs("List", k.list("alice", start), first.ID, second.ID)
	if _, evicted, err := k.createAt(store.Terms{Max: 3, Refuse: true}, after(time.Minute)); err != nil || len(evicted) != 0 {
		k.Errorf("Create below the limit: ended %v, %v", evicted, err)
	}
}

func limitCountsItself(k *trial) {
	var last store.ID
	for i := range 4 {
		id, evicted, err := k.createAt(store.Terms{Max: 1}, after(time.Duration(i)*time.Minute))
		if err != nil {
			k.Fatalf("Create with Max 1: %v", err)
		}
		if i > 0 {
			k.inOrder("Create with Max 1 ended", evicted, last)
		} else {
			k.inOrder("the first Create with Max 1 ended", evicted)
		}
		k.sameIDs("List", k.list("alice", after(time.Duration(i)*time.Minute)), id)
		last = id
	}
}

func limitCountsLive(k *trial) {
	dead := newRecord("alice")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	live := newRecord("alice")
	k.create(dead, live)
	retired := k.retire(newRecord("alice"))
	_, evicted, err := k.createAt(store.Terms{Max: 2, Refuse: true}, start)
	if err != nil || len(evicted) != 0 {
		k.Errorf("Create with one live record and Max 2: ended %v, %v", evicted, err)
	}
	if _, evicted, err = k.createAt(store.Terms{Max: 2}, after(time.Minute)); err != nil {
		k.Errorf("Create with two live records and Max 2: %v", err)
	}
	if len(evicted) != 1 || evicted[0] == dead.ID || evicted[0] == retired.ID {
		k.Errorf("Create with two live records and Max 2 ended %v, want one that was live", evicted)
	}
	if _, evicted, err = k.createAt(store.Terms{Max: 1, Refuse: true}, live.Deadline().Add(2*time.Minute)); err != nil {
		k.Errorf("Create with Max 1 when all others are dead: ended %v, %v", evicted, err)
	}
}

func limitReplaces(k *trial) {
	oldest, newer := seen("alice", time.Minute), seen("alice", 2*time.Minute)
	k.create(oldest, newer)
	id, evicted, err := k.createAt(store.Terms{Max: 2, Replaces: oldest.ID, Refuse: true}, after(3*time.Minute))
	if err != nil {
		k.Fatalf("Create that replaces one, at the limit: %v", err)
	}
	k.inOrder("Create that replaces one ended", evicted)
	k.sameIDs("List", k.list("alice", after(3*time.Minute)), oldest.ID, newer.ID, id)
	_, evicted, err = k.createAt(store.Terms{Max: 2, Replaces: oldest.ID}, after(4*time.Minute))
	if err != nil {
		k.Fatalf("Create that replaces one, above the limit: %v", err)
	}
	k.inOrder("Create that replaces the oldest ended", evicted, newer.ID)

	stranger := newRecord("bob")
	k.create(stranger)
	_, evicted, err = k.createAt(store.Terms{Max: 3, Replaces: stranger.ID}, after(5*time.Minute))
	if err != nil || len(evicted) != 1 {
		k.Errorf("Create at the limit that replaces another subject's session ended %v, %v; want one", evicted, err)
	}
	k.kept(stranger)
}

func limitNone(k *trial) {
	for range 20 {
		if _, evicted, err := k.createAt(store.Terms{}, start); err != nil || len(evicted) != 0 {
			k.Fatalf("Create without limit: ended %v, %v", evicted, err)
		}
	}
	if n := len(k.list("alice", start)); n != 20 {
		k.Errorf("List has %d records, want 20", n)
	}
	for range 3 {
		evicted, err := k.a.Create(k.Context(), newRecord(""), store.Terms{Max: 1, Refuse: true}, start)
		if err != nil || len(evicted) != 0 {
			k.Errorf("Create without subject: ended %v, %v", evicted, err)
		}
	}
	if n := len(k.all()); n != 23 {
		k.Errorf("All has %d records, want 23", n)
	}
}
