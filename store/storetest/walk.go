package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var allCases = []testCase{
	{"all-yields", "All yields every record that is not retired, live or not, without Data", allYields},
	{"all-once", "once each record that is there from the start of the iteration to its end, at most once any other.", allOnce},
	{"all-unlocked", "It holds no lock while it yields, so the caller may use the store within.", allUnlocked},
	{"all-early-end", "All yields every record that is not retired, live or not, without Data", allEarlyEnd},
	{"all-error-ends", "The first error ends it.", allErrorEnds},
}

var sweepCases = []testCase{
	{"sweep-retention", "SweepAfter is how long past its deadline a record is left in place, so that a late visitor can be told why a session ended.", sweepRetention},
	{"sweep-retired", "Sweep removes up to limit records whose deadline was SweepAfter before now or earlier, retired ones included, and marks older than MarkFor.", sweepRetired},
	{"sweep-limit", "Sweep removes up to limit records whose deadline was SweepAfter before now or earlier, retired ones included, and marks older than MarkFor.", sweepLimit},
	{"sweep-everything", "It returns how many records it removed, and whether there may be more to do at once: false says that a round is finished.", sweepEverything},
	{"sweep-index", "A record, the index of its subject and the marks left by DeleteSubject and DeleteAll change together.", sweepIndex},
}

func allYields(k *trial) {
	dead := newRecord("alice")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	want := map[store.ID]store.Record{}
	for _, rec := range []store.Record{newRecord("alice"), newRecord(""), dead} {
		k.create(rec)
		rec.Data = nil
		want[rec.ID] = rec
	}
	k.retire(newRecord("alice"))
	k.retire(newRecord(""))
	recs := k.all()
	if len(recs) != len(want) {
		k.Errorf("All yielded %d records, want %d", len(recs), len(want))
	}
	for _, rec := range recs {
		k.equal("All", rec, want[rec.ID])
	}
}

// many is more records than a store is likely to read in one piece.
const many = 700

func allOnce(k *trial) {
	stays := map[store.ID]int{}
	var goes []store.ID
	for i := range many {
		rec := newRecord("")
		if i%3 == 0 {
			rec = newRecord("alice")
		}
		k.create(rec)
		if i%7 == 0 {
			goes = append(goes, rec.ID)
		} else {
			stays[rec.ID] = 0
		}
	}
	others := map[store.ID]int{}
	steps := 0
	for rec, err := range k.a.All(k.Context()) {
		if err != nil {
			k.Fatalf("All: %v", err)
		}
		if _, ok := stays[rec.ID]; ok {
			stays[rec.ID]++
			// A record that grows meanwhile is the same record.
			if steps%5 == 0 {
				k.grow(rec.ID)
			}
		} else {
			others[rec.ID]++
		}
		if steps < len(goes) {
			if _, err := k.b.Delete(k.Context(), goes[steps]); err != nil {
				k.Fatalf("Delete within All: %v", err)
			}
			k.create(newRecord("bob"))
		}
		steps++
	}
	for id, n := range stays {
		if n != 1 {
			k.Errorf("All yielded record %v, which was there throughout, %d times", id, n)
		}
	}
	for id, n := range others {
		if n > 1 {
			k.Errorf("All yielded record %v, which came or went meanwhile, %d times", id, n)
		}
	}
}

// grow gives a record more data.
func (k *trial) grow(id store.ID) {
	k.Helper()
	rec := k.load(id)
	was := rec.Version
	rec.Version, rec.Data = newVersion(), random(3000)
	k.update(rec, was)
}

func allUnlocked(k *trial) {
	k.create(newRecord("alice"), newRecord("alice"), newRecord(""))
	ctx, cancel := context.WithTimeout(k.Context(), k.patience)
	defer cancel()
	yielded := 0
	for rec, err := range k.a.All(ctx) {
		if err != nil {
			k.Fatalf("All: %v", err)
		}
		yielded++
		// In a goroutine that may be left behind, and so reports nothing itself.
		done := make(chan error, 1)
		go func() { done <- k.useEverything(ctx, rec) }()
		select {
		case err := <-done:
			if err != nil {
				k.Errorf("within All, %v", err)
			}
		case <-ctx.Done():
			k.Fatalf("a call within All has not returned within %v", k.patience)
		}
	}
	if yielded == 0 {
		k.Errorf("All yielded nothing")
	}
}

// useEverything calls every method, by both handles, and returns what failed.
func (k *trial) useEverything(ctx context.Context, rec store.Record) error {
	var failed []error
	note := func(method Method, err error) {
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", method, err))
		}
	}
	for i := range 2 {
		s := k.handle(i)
		var loaded store.Record
		note(Load, s.Load(ctx, rec.ID, &loaded, store.Fresh))
		note(Update, s.Update(ctx, next(loaded), loaded.Version, start))
		note(Touch, s.Touch(ctx, rec.ID, after(time.Second)))
		_, err := s.List(ctx, "alice", start)
		note(List, err)
		for _, err := range s.All(ctx) {
			note(All, err)
			break
		}
		_, err = s.DeleteSubject(ctx, "bob", start)
		note(DeleteSubject, err)
		_, _, err = s.Sweep(ctx, start, 10)
		note(Sweep, err)
	}
	_, err := k.a.Delete(ctx, rec.ID)
	note(Delete, err)
	return errors.Join(failed...)
}

func allEarlyEnd(k *trial) {
	for range 20 {
		k.create(newRecord("alice"))
	}
	for range 5 {
		n := 0
		for _, err := range k.a.All(k.Context()) {
			if err != nil {
				k.Fatalf("All: %v", err)
			}
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			k.Errorf("All yielded %d records, want at least 3", n)
		}
	}
	if n := len(k.all()); n != 20 {
		k.Errorf("All yielded %d records after one that was left early, want 20", n)
	}
}

func allErrorEnds(k *trial) {
	for range many {
		k.create(newRecord("alice"))
	}
	ctx, cancel := context.WithCancel(k.Context())
	defer cancel()
	errs, after := 0, 0
	for _, err := range k.a.All(ctx) {
		cancel()
		if errs > 0 {
			after++
		}
		if err != nil {
			errs++
			k.is("All, cancelled under way", err, context.Canceled)
		}
	}
	if errs > 1 || after > 0 {
		k.Errorf("All yielded %d errors, and %d times after the first", errs, after)
	}
	if errs == 0 {
		k.Errorf("All, cancelled at the first of %d records, yielded no error", many)
	}
}

func sweepRetention(k *trial) {
	idle, absolute, live := newRecord("alice"), newRecord(""), seen("alice", time.Hour)
	absolute.Absolute = after(20 * time.Minute)
	k.create(idle, absolute, live)
	k.sweep(absolute.Absolute.Add(store.SweepAfter - time.Microsecond))
	k.kept(absolute)
	if n := k.sweep(absolute.Absolute.Add(store.SweepAfter)); n != 1 {
		k.Errorf("Sweep at SweepAfter past one deadline removed %d records, want 1", n)
	}
	k.gone(absolute.ID)
	k.sweep(idle.Deadline().Add(store.SweepAfter - time.Microsecond))
	k.kept(idle)
	if n := k.sweep(idle.Deadline().Add(store.SweepAfter)); n != 1 {
		k.Errorf("Sweep at SweepAfter past one deadline removed %d records, want 1", n)
	}
	k.gone(idle.ID)
	k.kept(live)
	k.sameIDs("List", k.list("alice", after(time.Hour)), live.ID)
}

func sweepRetired(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	retired := next(rec)
	retired.Retired, retired.Absolute = true, after(time.Minute)
	k.update(retired, rec.Version)
	k.sweep(after(time.Minute + store.SweepAfter - time.Microsecond))
	k.kept(retired)
	if n := k.sweep(after(time.Minute + store.SweepAfter)); n != 1 {
		k.Errorf("Sweep of one retired record removed %d", n)
	}
	k.gone(rec.ID)
}

func sweepLimit(k *trial) {
	for range 40 {
		k.create(newRecord("alice"))
	}
	removed := 0
	for calls := 0; removed < 40; calls++ {
		n, more, err := k.a.Sweep(k.Context(), after(2*time.Hour), 7)
		if err != nil {
			k.Fatalf("Sweep: %v", err)
		}
		if n > 7 {
			k.Errorf("Sweep with limit 7 removed %d records", n)
		}
		if calls > 10_000 {
			k.Fatalf("Sweep removed %d of 40 dead records in %d calls, and says more is %v", removed, calls, more)
		}
		removed += n
		if left := len(k.all()); left != 40-removed {
			k.Fatalf("Sweep says that it removed %d of 40 records; there are %d", removed, left)
		}
	}
}

func sweepEverything(k *trial) {
	var live []store.Record
	for i := range many {
		rec := newRecord("")
		if i%2 == 0 {
			rec = newRecord("alice")
		}
		if i%10 == 0 {
			rec.LastSeen = after(2 * time.Hour)
			live = append(live, rec)
		}
		k.create(rec)
	}
	if n := k.sweep(after(2 * time.Hour)); n != many-len(live) {
		k.Errorf("Sweep says that it removed %d records, want %d", n, many-len(live))
	}
	k.sameIDs("All", idsOf(k.all()...), idsOf(live...)...)
	if n := k.sweep(after(24 * time.Hour)); n != len(live) {
		k.Errorf("Sweep says that it removed %d records, want %d", n, len(live))
	}
	k.sameIDs("All", idsOf(k.all()...))
}

func sweepIndex(k *trial) {
	dead, live := newRecord("alice"), seen("alice", 2*time.Hour)
	k.create(dead, live)
	k.sweep(after(2 * time.Hour))
	ended, err := k.b.DeleteSubject(k.Context(), "alice", after(2*time.Hour))
	if err != nil {
		k.Fatalf("DeleteSubject: %v", err)
	}
	k.sameIDs("DeleteSubject, after one of two was swept, told of", ended, live.ID)
}
