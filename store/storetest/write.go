package storetest

import (
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var createCases = []testCase{
	{"create-exists", "The errors named in this package say that nothing happened, and why.", createExists},
	{"create-again", "Create stores a record whose id is not there yet.", createAgain},
}

var updateCases = []testCase{
	{"update-replaces", "Update replaces the record if its version is still was, else ErrConflict.", updateReplaces},
	{"update-conflict", "Update replaces the record if its version is still was, else ErrConflict.", updateConflict},
	{"update-never-creates", "It never creates: a record that is gone, retired or dead at now is ErrNotFound.", updateNeverCreates},
	{"update-not-retired", "It never creates: a record that is gone, retired or dead at now is ErrNotFound.", updateNotRetired},
	{"update-not-dead", "It never creates: a record that is gone, retired or dead at now is ErrNotFound.", updateNotDead},
	{"update-last-seen", "It keeps the later of both LastSeen, and never changes id, subject or creation, whatever rec says.", updateLastSeen},
	{"update-identity", "It keeps the later of both LastSeen, and never changes id, subject or creation, whatever rec says.", updateIdentity},
	{"update-retires", "rec.Retired takes the record out of every index and count.", updateRetires},
}

var touchCases = []testCase{
	{"touch-forward", "Touch moves LastSeen forward to now, never back, and changes nothing else, the version included.", touchForward},
	{"touch-never-back", "Touch moves LastSeen forward to now, never back, and changes nothing else, the version included.", touchNeverBack},
	{"touch-extends", "Touch moves LastSeen forward to now, never back, and changes nothing else, the version included.", touchExtends},
	{"touch-not-found", "ErrNotFound if the record is gone, retired or dead at now.", touchNotFound},
}

var deleteCases = []testCase{
	{"delete-removes", "Delete removes records, retired or not, and returns the ids of those that it removed and that were not retired", deleteRemoves},
	{"delete-tells-once", "of several calls for one id, one is told.", deleteTellsOnce},
	{"delete-missing", "What is not there is no error.", deleteMissing},
}

func createExists(k *trial) {
	live, dead := newRecord("alice"), newRecord("alice")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	k.create(live, dead)
	retired := k.retire(newRecord("alice"))
	for _, rec := range []store.Record{live, dead, retired} {
		for i, subject := range []string{"alice", ""} {
			other := newRecord(subject)
			other.ID = rec.ID
			evicted, err := k.handle(i).Create(k.Context(), other, store.Terms{Max: 1}, start)
			k.is("Create with the id of a record that is there", err, store.ErrExists)
			k.sameIDs("evicted by a Create that fails", evicted)
		}
		k.kept(rec)
	}
	k.sameIDs("List after Creates that failed", k.list("alice", start), live.ID)
	k.sameIDs("All after Creates that failed", idsOf(k.all()...), live.ID, dead.ID)
}

func createAgain(k *trial) {
	rec, again := newRecord("alice"), newRecord("")
	again.ID = rec.ID
	for _, rec := range []store.Record{rec, again, rec} {
		k.create(rec)
		k.kept(rec)
		if listed := k.list("alice", start); (len(listed) == 1) != (rec.Subject == "alice") {
			k.Errorf("List of the subject has %v after its id was given to a record of subject %q", listed, rec.Subject)
		}
		if _, err := k.a.Delete(k.Context(), rec.ID); err != nil {
			k.Fatalf("Delete: %v", err)
		}
	}
}

func updateReplaces(k *trial) {
	rec, other := newRecord("alice"), newRecord("alice")
	k.create(rec, other)
	changed := next(rec)
	changed.LastSeen, changed.Idle, changed.Absolute = after(time.Minute), time.Hour, after(24*time.Hour)
	k.update(changed, rec.Version)
	k.kept(changed)
	k.kept(other)
	if err := k.b.Update(k.Context(), next(changed), changed.Version, after(50*time.Minute)); err != nil {
		k.Errorf("Update of a record that lives by the deadline of an earlier Update: %v", err)
	}
}

func updateConflict(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	changed := next(rec)
	k.update(changed, rec.Version)
	late := next(rec)
	late.LastSeen, late.Retired = after(time.Minute), true
	for i, was := range []uint64{rec.Version, late.Version, newVersion(), 0} {
		k.is("Update over a version that is no longer", k.handle(i).Update(k.Context(), late, was, start), store.ErrConflict)
	}
	k.kept(changed)
	k.sameIDs("List", k.list("alice", start), rec.ID)
}

func updateNeverCreates(k *trial) {
	rec, never := newRecord("alice"), newRecord("alice")
	k.create(rec)
	if _, err := k.a.Delete(k.Context(), rec.ID); err != nil {
		k.Fatalf("Delete: %v", err)
	}
	for _, gone := range []store.Record{rec, never} {
		for i := range 2 {
			k.is("Update of a record that is not there", k.handle(i).Update(k.Context(), next(gone), gone.Version, start), store.ErrNotFound)
		}
		k.gone(gone.ID)
	}
	k.sameIDs("List", k.list("alice", start))
	k.sameIDs("All", idsOf(k.all()...))
}

func updateNotRetired(k *trial) {
	rec := k.retire(newRecord("alice"))
	revived := next(rec)
	revived.Retired = false
	for i, was := range []uint64{rec.Version, newVersion()} {
		k.is("Update of a retired record", k.handle(i).Update(k.Context(), revived, was, start), store.ErrNotFound)
	}
	k.kept(rec)
	k.sameIDs("List", k.list("alice", start))
}

func updateNotDead(k *trial) {
	idle, absolute := newRecord("alice"), newRecord("alice")
	absolute.Idle = 24 * time.Hour
	k.create(idle, absolute)
	for i, rec := range []store.Record{idle, absolute} {
		revived := next(rec)
		revived.LastSeen, revived.Absolute = rec.Deadline().Add(time.Second), after(48*time.Hour)
		for _, was := range []uint64{rec.Version, newVersion()} {
			k.is("Update at the deadline", k.handle(i).Update(k.Context(), revived, was, rec.Deadline()), store.ErrNotFound)
			k.is("Update past the deadline", k.handle(i).Update(k.Context(), revived, was, rec.Deadline().Add(time.Minute)), store.ErrNotFound)
		}
		k.kept(rec)
		if err := k.b.Update(k.Context(), revived, rec.Version, rec.Deadline().Add(-time.Microsecond)); err != nil {
			k.Errorf("Update a microsecond before the deadline: %v", err)
		}
	}
}

func updateLastSeen(k *trial) {
	rec := seen("alice", 10*time.Minute)
	k.create(rec)
	earlier := next(rec)
	earlier.LastSeen = after(5 * time.Minute)
	k.update(earlier, rec.Version)
	want := earlier
	want.LastSeen = rec.LastSeen
	k.kept(want)

	later := next(want)
	later.LastSeen = after(15 * time.Minute)
	k.update(later, want.Version)
	k.kept(later)

	if err := k.a.Touch(k.Context(), rec.ID, after(20*time.Minute)); err != nil {
		k.Fatalf("Touch: %v", err)
	}
	want = next(later)
	k.update(want, later.Version)
	want.LastSeen = after(20 * time.Minute)
	k.kept(want)
}

func updateIdentity(k *trial) {
	for _, subject := range []string{"alice", ""} {
		rec := newRecord(subject)
		k.create(rec)
		changed := next(rec)
		changed.Subject, changed.Created = "mallory", after(-time.Hour)
		k.update(changed, rec.Version)
		changed.Subject, changed.Created = rec.Subject, rec.Created
		k.kept(changed)
	}
	k.sameIDs("List of the subject that an Update named", k.list("mallory", start))
	if n := len(k.list("alice", start)); n != 1 {
		k.Errorf("List of the subject has %d records, want 1", n)
	}
}

func updateRetires(k *trial) {
	rec, stays := newRecord("alice"), newRecord("alice")
	k.create(stays)
	rec = k.retire(rec)
	k.sameIDs("List", k.list("alice", start), stays.ID)
	k.sameIDs("All", idsOf(k.all()...), stays.ID)
	evicted, err := k.a.Create(k.Context(), newRecord("alice"), store.Terms{Max: 2, Refuse: true}, start)
	if err != nil || len(evicted) != 0 {
		k.Errorf("Create at the limit but for the retired: evicted %v, %v", evicted, err)
	}
	ended, err := k.a.DeleteSubject(k.Context(), "alice", start, stays.ID)
	if err != nil || len(ended) != 1 || ended[0] == rec.ID {
		k.Errorf("DeleteSubject ended %v, %v; want one that was not retired", ended, err)
	}
	if n, err := k.a.DeleteAll(k.Context(), start); n != 1 || err != nil {
		k.Errorf("DeleteAll told of %d, %v; want 1 that was not retired", n, err)
	}
}

func touchForward(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	for i := range 3 {
		at := after(time.Duration(i+1) * (time.Minute + time.Microsecond))
		if err := k.handle(i).Touch(k.Context(), rec.ID, at); err != nil {
			k.Fatalf("Touch of a live record: %v", err)
		}
		rec.LastSeen = at
		k.kept(rec)
	}
	k.update(next(rec), rec.Version)
}

func touchNeverBack(k *trial) {
	rec := seen("alice", 10*time.Minute)
	k.create(rec)
	for i, at := range []time.Time{after(5 * time.Minute), start, rec.LastSeen} {
		if err := k.handle(i).Touch(k.Context(), rec.ID, at); err != nil {
			k.Errorf("Touch at a time before the last: %v", err)
		}
		k.kept(rec)
	}
}

func touchExtends(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	for i := range 4 {
		if err := k.a.Touch(k.Context(), rec.ID, after(time.Duration(i)*29*time.Minute)); err != nil {
			k.Fatalf("Touch of a record that lives by the touch before: %v", err)
		}
	}
	k.sameIDs("List past the first deadline", k.list("alice", after(100*time.Minute)), rec.ID)
	k.sweep(after(100 * time.Minute))
	rec.LastSeen = after(3 * 29 * time.Minute)
	k.kept(rec)
}

func touchNotFound(k *trial) {
	deleted, idle, absolute := newRecord("alice"), newRecord("alice"), newRecord("alice")
	absolute.Idle = 24 * time.Hour
	k.create(deleted, idle, absolute)
	retired := k.retire(newRecord("alice"))
	if _, err := k.a.Delete(k.Context(), deleted.ID); err != nil {
		k.Fatalf("Delete: %v", err)
	}
	for i := range 2 {
		touch := func(id store.ID, at time.Time) error { return k.handle(i).Touch(k.Context(), id, at) }
		k.is("Touch of a record that was deleted", touch(deleted.ID, start), store.ErrNotFound)
		k.is("Touch of a record that never was", touch(newRecord("").ID, start), store.ErrNotFound)
		k.is("Touch of a retired record", touch(retired.ID, after(time.Minute)), store.ErrNotFound)
		k.is("Touch at the idle deadline", touch(idle.ID, idle.Deadline()), store.ErrNotFound)
		k.is("Touch past the idle deadline", touch(idle.ID, after(time.Hour)), store.ErrNotFound)
		k.is("Touch at the absolute deadline", touch(absolute.ID, absolute.Absolute), store.ErrNotFound)
	}
	k.gone(deleted.ID)
	for _, rec := range []store.Record{retired, idle, absolute} {
		k.kept(rec)
	}
	if err := k.b.Touch(k.Context(), idle.ID, idle.Deadline().Add(-time.Microsecond)); err != nil {
		k.Errorf("Touch a microsecond before the deadline: %v", err)
	}
}

func deleteRemoves(k *trial) {
	live, anonymous, dead, stays := newRecord("alice"), newRecord(""), newRecord("bob"), newRecord("alice")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	k.create(live, anonymous, dead, stays)
	retired := k.retire(newRecord("alice"))
	ended, err := k.a.Delete(k.Context(), retired.ID, live.ID, anonymous.ID, dead.ID)
	if err != nil {
		k.Fatalf("Delete: %v", err)
	}
	k.sameIDs("Delete told of", ended, live.ID, anonymous.ID, dead.ID)
	for _, rec := range []store.Record{live, anonymous, dead, retired} {
		k.gone(rec.ID)
	}
	k.kept(stays)
	k.sameIDs("All", idsOf(k.all()...), stays.ID)
	k.sameIDs("List", k.list("alice", start), stays.ID)
}

func deleteTellsOnce(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	ended, err := k.a.Delete(k.Context(), rec.ID, rec.ID)
	if err != nil {
		k.Fatalf("Delete of an id named twice: %v", err)
	}
	k.sameIDs("Delete of an id named twice told of", ended, rec.ID)
	for i := range 2 {
		ended, err = k.handle(i).Delete(k.Context(), rec.ID)
		if err != nil {
			k.Errorf("Delete of what was deleted: %v", err)
		}
		k.sameIDs("Delete of what was deleted told of", ended)
	}
}

func deleteMissing(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	ended, err := k.a.Delete(k.Context(), newRecord("alice").ID, rec.ID, newRecord("").ID)
	if err != nil {
		k.Errorf("Delete of ids of which some are not there: %v", err)
	}
	k.sameIDs("Delete told of", ended, rec.ID)
	if ended, err = k.a.Delete(k.Context()); err != nil || len(ended) != 0 {
		k.Errorf("Delete of no id: %v, %v", ended, err)
	}
	ended, err = k.a.DeleteSubject(k.Context(), "nobody", start)
	if err != nil || len(ended) != 0 {
		k.Errorf("DeleteSubject of a subject without records: %v, %v", ended, err)
	}
}
