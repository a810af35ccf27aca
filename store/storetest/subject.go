package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var listCases = []testCase{
	{"list-order", "List returns the subject's records that live at now, oldest first (by creation, then id), without Data.", listOrder},
	{"list-live", "List returns the subject's records that live at now, oldest first (by creation, then id), without Data.", listLive},
	{"list-without-data", "opaque; List and All leave it out", listWithoutData},
	{"list-subject-apart", "no prefix, encoding or character has a meaning to it, and none becomes part of a path, a pattern or a statement.", listApart},
	{"list-empty-subject", "An empty subject is an error.", listEmptySubject},
}

var subjectCases = []testCase{
	{"delete-subject", "DeleteSubject removes the subject's records but those in keep, returns as Delete does, and leaves a mark at now for MarkFor, also where there was no record.", deleteSubject},
	{"delete-subject-keep", "DeleteSubject removes the subject's records but those in keep, returns as Delete does, and leaves a mark at now for MarkFor, also where there was no record.", deleteSubjectKeep},
	{"delete-subject-apart", "no prefix, encoding or character has a meaning to it, and none becomes part of a path, a pattern or a statement.", deleteSubjectApart},
	{"delete-subject-empty", "An empty subject is an error.", deleteSubjectEmpty},
	{"delete-all", "DeleteAll removes every record, returns how many were not retired, and leaves a mark for every subject, as DeleteSubject does.", deleteAll},
}

var markCases = []testCase{
	{"mark-refuses", "A mark later than Began refuses it with ErrSubjectEnded: the mark of its subject, or for any record the mark of all.", markRefuses},
	{"mark-tolerance", "A store that several machines share adds ClockTolerance to the mark, because their clocks may differ; one that a single process holds does not.", markTolerance},
	{"mark-exact", "ExactMarks reports whether nothing is added to marks: one refuses what began a microsecond before it, and not what began at its time.", markExact},
	{"mark-zero-began", "The zero time is refused by no mark.", markZeroBegan},
	{"mark-without-records", "leaves a mark at now for MarkFor, also where there was no record.", markWithoutRecords},
	{"mark-later-wins", "A later mark replaces an earlier one, never the reverse.", markLaterWins},
	{"mark-of-all", "DeleteAll removes every record, returns how many were not retired, and leaves a mark for every subject, as DeleteSubject does.", markOfAll},
	{"mark-ends", "MarkFor is how long DeleteSubject and DeleteAll are remembered.", markEnds},
	{"mark-swept", "Sweep removes up to limit records whose deadline was SweepAfter before now or earlier, retired ones included, and marks older than MarkFor.", markSwept},
}

func listOrder(k *trial) {
	var recs []store.Record
	for i := range 12 {
		rec := seen("alice", time.Duration(i%5)*time.Minute)
		rec.Created = after(time.Duration(i/2) * time.Microsecond)
		recs = append(recs, rec)
	}
	for _, i := range []int{7, 2, 11, 0, 5, 9, 1, 10, 4, 8, 3, 6} {
		k.create(recs[i])
	}
	slices.SortFunc(recs, func(a, b store.Record) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return compareIDs(a.ID, b.ID)
	})
	k.inOrder("List", k.list("alice", start), idsOf(recs...)...)
}

func listLive(k *trial) {
	live, idle, absolute := seen("alice", 20*time.Minute), seen("alice", 10*time.Minute), seen("alice", 30*time.Minute)
	absolute.Absolute = after(40 * time.Minute)
	k.create(live, idle, absolute)
	k.retire(seen("alice", 30*time.Minute))
	k.sameIDs("List a microsecond before the deadline", k.list("alice", after(40*time.Minute-time.Microsecond)), live.ID, idle.ID, absolute.ID)
	k.sameIDs("List at the deadline of two", k.list("alice", after(40*time.Minute)), live.ID)
	k.sameIDs("List of a subject without records", k.list("nobody", start))
}

func listWithoutData(k *trial) {
	rec, anonymous := newRecord("alice"), newRecord("")
	k.create(rec, anonymous)
	rec.Data, anonymous.Data = nil, nil
	listed, err := k.a.List(k.Context(), "alice", start)
	if err != nil || len(listed) != 1 {
		k.Fatalf("List: %d records, %v", len(listed), err)
	}
	k.equal("List", listed[0], rec)
	walked := k.all()
	slices.SortFunc(walked, func(a, b store.Record) int { return strings.Compare(b.Subject, a.Subject) })
	if len(walked) != 2 {
		k.Fatalf("All yielded %d records, want 2", len(walked))
	}
	k.equal("All", walked[0], rec)
	k.equal("All", walked[1], anonymous)
}

// alike are subjects that a careless store confuses.
func alike() []string {
	long := strings.Repeat("x", store.MaxSubject-1)
	return []string{
		"a", "A", "a ", " a", "ab", "a*", "a%", "a_", "a?", "[a]", "a:", "a:b", "a/", "a/../b", "{a}", "a{", "a\x00", "a\x00b", "\x00",
		"a'", "a\"", "a\\", "a\n", "*", "%", "_", ":", "é", "e\u0301", "\xff", "\xff\xfe", long, long + "x", long + "y",
	}
}

func listApart(k *trial) {
	for _, subject := range alike() {
		k.create(newRecord(subject))
	}
	for _, subject := range alike() {
		listed, err := k.b.List(k.Context(), subject, start)
		if err != nil || len(listed) != 1 || listed[0].Subject != subject {
			k.Errorf("List(%q) returned %d records, %v; want the one of this subject", subject, len(listed), err)
		}
	}
}

func listEmptySubject(k *trial) {
	k.create(newRecord(""))
	if listed, err := k.a.List(k.Context(), "", start); err == nil {
		k.Errorf("List of an empty subject returned %d records and no error", len(listed))
	}
}

func deleteSubject(k *trial) {
	live, dead, other, anonymous := newRecord("alice"), newRecord("alice"), newRecord("bob"), newRecord("")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	k.create(live, dead, other, anonymous)
	k.retire(newRecord("alice"))
	ended, err := k.a.DeleteSubject(k.Context(), "alice", start)
	if err != nil {
		k.Fatalf("DeleteSubject: %v", err)
	}
	k.sameIDs("DeleteSubject told of", ended, live.ID, dead.ID)
	k.gone(live.ID)
	k.gone(dead.ID)
	k.kept(other)
	k.kept(anonymous)
	k.sameIDs("List", k.list("alice", start))
	if ended, err = k.b.DeleteSubject(k.Context(), "alice", start); err != nil || len(ended) != 0 {
		k.Errorf("DeleteSubject again told of %v, %v", ended, err)
	}
}

func deleteSubjectKeep(k *trial) {
	first, second, third, other := newRecord("alice"), newRecord("alice"), newRecord("alice"), newRecord("bob")
	k.create(first, second, third, other)
	ended, err := k.a.DeleteSubject(k.Context(), "alice", after(time.Minute), first.ID, other.ID, third.ID, newRecord("").ID)
	if err != nil {
		k.Fatalf("DeleteSubject: %v", err)
	}
	k.sameIDs("DeleteSubject told of", ended, second.ID)
	for _, rec := range []store.Record{first, third, other} {
		k.kept(rec)
	}
	k.sameIDs("List", k.list("alice", start), first.ID, third.ID)
	_, err = k.a.Create(k.Context(), newRecord("alice"), store.Terms{Began: start}, after(time.Minute))
	k.is("Create that began before a DeleteSubject with keep", err, store.ErrSubjectEnded)
}

func deleteSubjectApart(k *trial) {
	recs := map[string]store.Record{}
	for _, subject := range alike() {
		recs[subject] = newRecord(subject)
		k.create(recs[subject])
	}
	for i, subject := range alike() {
		if i%2 == 0 {
			continue
		}
		ended, err := k.a.DeleteSubject(k.Context(), subject, after(time.Minute))
		if err != nil {
			k.Fatalf("DeleteSubject(%q): %v", subject, err)
		}
		k.sameIDs(fmt.Sprintf("DeleteSubject(%q) told of", subject), ended, recs[subject].ID)
	}
	for i, subject := range alike() {
		if i%2 != 0 {
			k.gone(recs[subject].ID)
			continue
		}
		k.kept(recs[subject])
		if _, err := k.a.Create(k.Context(), newRecord(subject), store.Terms{Began: start}, after(time.Minute)); err != nil {
			k.Errorf("Create for %q after DeleteSubject of others: %v", subject, err)
		}
	}
}

func deleteSubjectEmpty(k *trial) {
	anonymous, signedIn := newRecord(""), newRecord("alice")
	k.create(anonymous, signedIn)
	if _, err := k.a.DeleteSubject(k.Context(), "", after(time.Minute)); err == nil {
		k.Errorf("DeleteSubject of an empty subject returned no error")
	}
	k.kept(anonymous)
	k.kept(signedIn)
}

func deleteAll(k *trial) {
	dead := newRecord("alice")
	dead.LastSeen, dead.Absolute = after(-2*time.Hour), after(-time.Hour)
	recs := []store.Record{newRecord("alice"), newRecord("bob"), newRecord(""), dead}
	k.create(recs...)
	recs = append(recs, k.retire(newRecord("alice")))
	if n, err := k.a.DeleteAll(k.Context(), start); n != 4 || err != nil {
		k.Errorf("DeleteAll returned %d, %v; want 4 that were not retired", n, err)
	}
	for _, rec := range recs {
		k.gone(rec.ID)
	}
	k.sameIDs("All", idsOf(k.all()...))
	k.sameIDs("List", k.list("alice", start))
	if n, err := k.b.DeleteAll(k.Context(), start); n != 0 || err != nil {
		k.Errorf("DeleteAll of an empty store returned %d, %v", n, err)
	}
}

// endAlice ends alice's sessions at a time.
func (k *trial) endAlice(at time.Time) {
	k.Helper()
	if _, err := k.a.DeleteSubject(k.Context(), "alice", at); err != nil {
		k.Fatalf("DeleteSubject: %v", err)
	}
}

// createBegan creates a session in a request that began at a time.
func (k *trial) createBegan(subject string, began, now time.Time) error {
	rec := newRecord(subject)
	rec.Created, rec.LastSeen, rec.Absolute = now, now, now.Add(12*time.Hour)
	_, err := k.b.Create(k.Context(), rec, store.Terms{Began: began, Max: 100}, now)
	return err
}

func markRefuses(k *trial) {
	stays := newRecord("alice")
	k.endAlice(after(time.Minute))
	k.create(stays)
	rec := newRecord("alice")
	for _, began := range []time.Time{after(time.Minute - time.Microsecond), start, after(-time.Hour)} {
		evicted, err := k.b.Create(k.Context(), rec, store.Terms{Began: began, Max: 1}, after(time.Minute))
		k.is("Create that began before the subject's sessions were ended", err, store.ErrSubjectEnded)
		k.sameIDs("evicted by a Create that fails", evicted)
	}
	k.gone(rec.ID)
	k.sameIDs("List", k.list("alice", start), stays.ID)
	for _, subject := range []string{"bob", ""} {
		if err := k.createBegan(subject, start, after(time.Minute)); err != nil {
			k.Errorf("Create for subject %q after another's sessions were ended: %v", subject, err)
		}
	}
}

func markTolerance(k *trial) {
	k.endAlice(after(time.Minute))
	if err := k.createBegan("alice", after(time.Minute+store.ClockTolerance), after(2*time.Minute)); err != nil {
		k.Errorf("Create that began ClockTolerance after the mark: %v", err)
	}
	k.is("Create that began a microsecond before the mark",
		k.createBegan("alice", after(time.Minute-time.Microsecond), after(2*time.Minute)), store.ErrSubjectEnded)
}

func markExact(k *trial) {
	mark := start
	for _, creates := range []store.Store{k.a, k.b} {
		if !exactMarks(creates) {
			continue
		}
		k.b = creates
		mark = mark.Add(time.Minute)
		k.endAlice(mark)
		k.beginsAt(mark, "alice")
		mark = mark.Add(time.Minute)
		if _, err := k.a.DeleteAll(k.Context(), mark); err != nil {
			k.Fatalf("DeleteAll: %v", err)
		}
		k.beginsAt(mark, "alice", "bob", "")
	}
}

// beginsAt fails unless a session can begin at a mark and not before it.
func (k *trial) beginsAt(mark time.Time, subjects ...string) {
	k.Helper()
	for _, subject := range subjects {
		if err := k.createBegan(subject, mark, mark); err != nil {
			k.Errorf("Create for subject %q that began at the time of the mark: %v", subject, err)
		}
		k.is("Create that began a microsecond before the mark",
			k.createBegan(subject, mark.Add(-time.Microsecond), mark), store.ErrSubjectEnded)
	}
}

func markZeroBegan(k *trial) {
	k.endAlice(after(time.Minute))
	if err := k.createBegan("alice", time.Time{}, start); err != nil {
		k.Errorf("Create with the zero Began after DeleteSubject: %v", err)
	}
	if _, err := k.a.DeleteAll(k.Context(), after(time.Minute)); err != nil {
		k.Fatalf("DeleteAll: %v", err)
	}
	if err := k.createBegan("alice", time.Time{}, start); err != nil {
		k.Errorf("Create with the zero Began after DeleteAll: %v", err)
	}
}

func markWithoutRecords(k *trial) {
	k.endAlice(after(time.Minute))
	k.is("Create that began before the mark", k.createBegan("alice", start, after(time.Minute)), store.ErrSubjectEnded)
}

func markLaterWins(k *trial) {
	k.endAlice(after(10 * time.Minute))
	k.endAlice(after(5 * time.Minute))
	k.is("Create that began between an earlier mark, set later, and the later mark",
		k.createBegan("alice", after(7*time.Minute), after(11*time.Minute)), store.ErrSubjectEnded)
	k.endAlice(after(20 * time.Minute))
	k.is("Create that began between both marks", k.createBegan("alice", after(15*time.Minute), after(21*time.Minute)), store.ErrSubjectEnded)
	for _, at := range []time.Duration{10 * time.Minute, 5 * time.Minute} {
		if _, err := k.a.DeleteAll(k.Context(), after(at)); err != nil {
			k.Fatalf("DeleteAll: %v", err)
		}
	}
	k.is("Create that began between an earlier mark of all, set later, and the later",
		k.createBegan("bob", after(7*time.Minute), after(11*time.Minute)), store.ErrSubjectEnded)
}

func markOfAll(k *trial) {
	if _, err := k.a.DeleteAll(k.Context(), after(time.Minute)); err != nil {
		k.Fatalf("DeleteAll: %v", err)
	}
	for _, subject := range []string{"alice", "bob", ""} {
		k.is("Create that began before every session was ended", k.createBegan(subject, start, after(time.Minute)), store.ErrSubjectEnded)
		if err := k.createBegan(subject, after(time.Minute+store.ClockTolerance), after(2*time.Minute)); err != nil {
			k.Errorf("Create that began ClockTolerance after the mark of all: %v", err)
		}
	}
}

func markEnds(k *trial) {
	k.endAlice(start)
	soon, late := after(store.MarkFor-time.Second), after(store.MarkFor+store.ClockTolerance+time.Second)
	k.is("Create just before the mark ends", k.createBegan("alice", after(-time.Second), soon), store.ErrSubjectEnded)
	if err := k.createBegan("alice", after(-time.Second), late); err != nil {
		k.Errorf("Create after the mark has ended: %v", err)
	}
	if _, err := k.a.DeleteAll(k.Context(), start); err != nil {
		k.Fatalf("DeleteAll: %v", err)
	}
	k.is("Create just before the mark of all ends", k.createBegan("bob", after(-time.Second), soon), store.ErrSubjectEnded)
	if err := k.createBegan("bob", after(-time.Second), late); err != nil {
		k.Errorf("Create after the mark of all has ended: %v", err)
	}
}

func markSwept(k *trial) {
	soon, late := after(store.MarkFor-time.Second), after(2*store.MarkFor)
	k.endAlice(start)
	k.sweep(soon)
	k.is("Create after a sweep just before the mark ends", k.createBegan("alice", after(-time.Second), soon), store.ErrSubjectEnded)
	if _, err := k.a.DeleteAll(k.Context(), start); err != nil {
		k.Fatalf("DeleteAll: %v", err)
	}
	k.sweep(soon)
	k.is("Create after a sweep just before the mark of all ends", k.createBegan("bob", after(-time.Second), soon), store.ErrSubjectEnded)
	k.sweep(late)
	for _, subject := range []string{"alice", "bob"} {
		if err := k.createBegan(subject, after(-time.Second), late); err != nil {
			k.Errorf("Create after the marks were swept: %v", err)
		}
	}
}
