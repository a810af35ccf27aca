package memstore

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// step does one random thing. A history grows for a while, then shrinks.
func (h *history) step() {
	h.t.Helper()
	h.steps++
	deletes := 30
	if h.steps/400%2 == 1 {
		deletes = 350
	}
	switch dice := h.random.IntN(1000); {
	case dice < deletes:
		h.delete()
	case dice < 550:
		h.create()
	case dice < 780:
		h.update()
	case dice < 840:
		h.touch()
	case dice < 870:
		h.list(pick(h.random, h.subjects))
	case dice < 910:
		h.sweep(1 + h.random.IntN(60))
	case dice < 925:
		h.endSubject()
	case dice < 926:
		if h.alone || h.loss == anythingVanishes { // it is the others' end too
			h.endAll()
		}
	case dice < 931:
		h.sweepRound()
	case dice < 941:
		h.walk()
	case dice < 960:
		if h.alone && !h.inside {
			h.now = h.now.Add(pick(h.random, []time.Duration{0, time.Second, time.Minute, 5 * time.Minute, 5 * time.Minute, 95 * time.Minute}))
		}
	default:
		h.load()
	}
}

func (h *history) create() {
	h.t.Helper()
	random, rec := h.random, h.drawRecord(h.newID())
	terms := store.Terms{Refuse: random.IntN(3) == 0}
	if random.IntN(4) == 0 {
		terms.Max = max(1, len(h.of(rec.Subject))-random.IntN(4)) // of whom some may be dead
	}
	if random.IntN(2) == 0 && h.loss != anythingVanishes {
		terms.Began = h.now.Add(-time.Duration(random.IntN(80)) * time.Minute)
	}
	if random.IntN(3) == 0 {
		terms.Replaces = h.someID()
	}
	h.note("Create %x of %q, %d bytes, %+v", rec.ID[:3], rec.Subject, len(rec.Data), terms)
	_, there := h.records[rec.ID]
	over := h.toEvict(rec.Subject, terms)
	evicted, err := h.s.Create(h.t.Context(), rec, terms, h.now)
	switch {
	case !terms.Began.IsZero() && h.refused(rec.Subject, terms.Began):
		h.wants("Create", err, store.ErrSubjectEnded)
	case there && !errors.Is(err, store.ErrExists) && h.mayBeGone(h.records[rec.ID]):
		h.settleCreate(rec, over, evicted, err) // it had vanished before
	case there:
		h.wants("Create", err, store.ErrExists)
	case len(over) > 0 && terms.Refuse && (h.loss != anythingVanishes || errors.Is(err, store.ErrLimit)):
		h.wants("Create", err, store.ErrLimit)
	default:
		h.settleCreate(rec, over, evicted, err)
	}
}

// settleCreate checks a Create that had nothing to refuse but for want of room.
func (h *history) settleCreate(rec store.Record, over, evicted []store.ID, err error) {
	h.t.Helper()
	if errors.Is(err, store.ErrFull) && len(evicted) == 0 {
		h.refusedForRoom(rec)
		return
	}
	if err != nil {
		h.fail("Create: %v", err)
	}
	if h.loss != anythingVanishes && !slices.Equal(evicted, over) {
		h.fail("Create ended %x, want %x", evicted, over)
	}
	h.drop(evicted...)
	h.births[rec.ID]++
	h.set(rec)
	h.told[rec.ID] = true // that it is there, nobody is told
	if h.alone {
		h.settle(rec.ID)
	}
}

// refusedForRoom checks that nothing was left to give up.
func (h *history) refusedForRoom(rec store.Record) {
	h.t.Helper()
	if h.loss != roomIsMade && h.loss != anythingVanishes {
		h.fail("there is no room in a store that is large")
	}
	if !h.alone {
		return
	}
	size, _ := slotFor(rowSize(len(rec.Subject), &rec))
	vanished := h.settle(store.ID{})
	if int64(size)+chunkOverhead > h.s.budget.max {
		if vanished > 0 {
			h.fail("%d records made room for one that is too large", vanished)
		}
		return
	}
	for id, other := range h.records {
		if other.Subject == "" {
			h.fail("no room for %x of %q, although %x is anonymous", rec.ID[:3], rec.Subject, id[:3])
		}
	}
}

func (h *history) wants(what string, got, want error) {
	h.t.Helper()
	if !errors.Is(got, want) {
		h.fail("%s: %v, want %v", what, got, want)
	}
}

func (h *history) update() {
	h.t.Helper()
	random, id := h.random, h.someID()
	was, known := h.records[id]
	rec := h.drawRecord(id)
	rec.Retired = random.IntN(5) == 0
	if random.IntN(3) == 0 {
		rec.Head, rec.Data = was.Head, was.Data // nothing grows
	}
	version := was.Version
	if random.IntN(10) == 0 {
		version++
	}
	h.note("Update %x to %q, %d bytes, retired %v", id[:3], rec.Subject, len(rec.Data), rec.Retired)
	err := h.s.Update(h.t.Context(), rec, version, h.now)
	switch {
	case !known || !was.Live(h.now):
		h.wants("Update", err, store.ErrNotFound)
	case errors.Is(err, store.ErrNotFound) && h.mayBeGone(was):
		h.settle(store.ID{})
	case version != was.Version:
		h.wants("Update", err, store.ErrConflict)
	case errors.Is(err, store.ErrFull) && h.loss != nothingVanishes:
		if len(rec.Head)+len(rec.Data) <= len(was.Head)+len(was.Data) {
			h.fail("an Update that does not grow is refused")
		}
		if h.alone {
			h.settle(id)
		}
	case err != nil:
		h.fail("Update: %v", err)
	default:
		rec.Subject, rec.Created = was.Subject, was.Created
		if was.LastSeen.After(rec.LastSeen) {
			rec.LastSeen = was.LastSeen
		}
		h.set(rec)
		if h.alone {
			h.settle(id)
		}
	}
}

func (h *history) touch() {
	h.t.Helper()
	id, at := h.someID(), h.now
	h.note("Touch %x", id[:3])
	rec, known := h.records[id]
	err := h.s.Touch(h.t.Context(), id, at)
	switch {
	case !known || !rec.Live(at):
		h.wants("Touch", err, store.ErrNotFound)
	case errors.Is(err, store.ErrNotFound) && h.mayBeGone(rec):
		h.settle(store.ID{})
	case err != nil:
		h.fail("Touch: %v", err)
	case at.After(rec.LastSeen):
		rec.LastSeen = at
		h.records[id] = rec // a touch is no change
	}
}

func (h *history) delete() {
	h.t.Helper()
	ids := []store.ID{h.someID()}
	for h.random.IntN(3) == 0 {
		ids = append(ids, h.someID())
	}
	h.note("Delete %x", ids)
	var want []store.Record
	for i, id := range ids {
		if rec, known := h.records[id]; known && !rec.Retired && !slices.Contains(ids[:i], id) {
			want = append(want, rec)
		}
	}
	ended, err := h.s.Delete(h.t.Context(), ids...)
	if err != nil {
		h.fail("Delete: %v", err)
	}
	h.same("Delete", ended, want)
	h.drop(ids...)
}

func (h *history) list(subject string) {
	h.t.Helper()
	h.note("List %q", subject)
	got, err := h.s.List(h.t.Context(), subject, h.now)
	if err != nil {
		h.fail("List: %v", err)
	}
	want := slices.DeleteFunc(h.of(subject), func(rec store.Record) bool { return !rec.Live(h.now) })
	h.same("List", recordIDs(got), want)
	if !slices.IsSortedFunc(got, func(a, b store.Record) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	}) {
		h.fail("List is in disorder")
	}
	for _, rec := range got {
		want := h.records[rec.ID]
		want.Data = nil
		h.equal(rec, want)
	}
}

func (h *history) load() {
	h.t.Helper()
	id := h.someID()
	h.note("Load %x", id[:3])
	var got store.Record
	err := h.s.Load(h.t.Context(), id, &got, store.Fresh)
	want, known := h.records[id]
	switch {
	case err == nil && known:
		h.equal(got, want)
	case known && h.mayBeGone(want) && errors.Is(err, store.ErrNotFound):
		h.settle(store.ID{})
	case known || !errors.Is(err, store.ErrNotFound):
		h.fail("Load: %v", err)
	}
}

func (h *history) endSubject() {
	h.t.Helper()
	subject, at := pick(h.random, h.subjects), h.now
	var keep []store.ID
	for h.random.IntN(2) == 0 {
		keep = append(keep, h.someID())
	}
	if h.random.IntN(4) == 0 {
		at = at.Add(-10 * time.Minute) // a mark never goes back
	}
	h.note("DeleteSubject %q at %s, keeping %x", subject, at.Format(time.TimeOnly), keep)
	want := slices.DeleteFunc(h.of(subject), func(rec store.Record) bool { return slices.Contains(keep, rec.ID) })
	ended, err := h.s.DeleteSubject(h.t.Context(), subject, at, keep...)
	if err != nil {
		h.fail("DeleteSubject: %v", err)
	}
	h.same("DeleteSubject", ended, want)
	h.drop(recordIDs(want)...)
	if at.After(h.marks[subject]) {
		h.marks[subject] = at
	}
}

func (h *history) endAll() {
	h.t.Helper()
	h.note("DeleteAll")
	want := 0
	for _, rec := range h.records {
		if !rec.Retired {
			want++
		}
	}
	n, err := h.s.DeleteAll(h.t.Context(), h.now)
	if err != nil || n != want && h.loss != anythingVanishes {
		h.fail("DeleteAll told of %d, %v; want %d", n, err, want)
	}
	h.drop(recordIDs(slices.Collect(maps.Values(h.records)))...)
	h.markOfAll = h.now
}

func (h *history) sweep(limit int) (more bool) {
	h.t.Helper()
	h.note("Sweep %d", limit)
	n, more, err := h.s.Sweep(h.t.Context(), h.now, limit)
	if err != nil || n > limit {
		h.fail("Sweep of %d: %d, %v", limit, n, err)
	}
	if !h.alone {
		return more
	}
	removed := 0
	for id, rec := range h.records {
		if h.has(id) {
			continue
		}
		if h.now.Before(rec.Deadline().Add(store.SweepAfter)) {
			h.fail("Sweep removed %x before its time", id[:3])
		}
		h.drop(id)
		removed++
	}
	if removed != n {
		h.fail("Sweep says %d, and removed %d", n, removed)
	}
	return more
}

// sweepRound finishes the round that has begun, and does another.
func (h *history) sweepRound() {
	h.t.Helper()
	limit := 1 + h.random.IntN(8)
	for range 2 {
		for h.sweep(limit) {
		}
	}
	if !h.alone {
		return
	}
	for id, rec := range h.records {
		if !h.now.Before(rec.Deadline().Add(store.SweepAfter)) {
			h.fail("a round of sweeps leaves %x", id[:3])
		}
	}
	for i := range h.s.stripes {
		for _, mark := range h.s.stripes[i].marks {
			if mark < h.now.Add(-store.MarkFor).UnixMicro() {
				h.fail("a round of sweeps leaves a mark that is old")
			}
		}
	}
}

// walk iterates over everything, and uses the store within.
func (h *history) walk() {
	h.t.Helper()
	if h.inside {
		return
	}
	h.note("All begins")
	h.inside = true
	throughout, seen, before := map[store.ID]int{}, map[store.ID]int{}, maps.Clone(h.births)
	for id, rec := range h.records {
		if !rec.Retired {
			throughout[id] = h.births[id]
		}
	}
	steps := 0
	for rec, err := range h.s.All(h.t.Context()) {
		if err != nil || len(rec.Data) > 0 || rec.Retired {
			h.fail("All yields %+v, %v", rec, err)
		}
		if rec.ID[0] != h.ids[0][0] {
			continue // another history's
		}
		if seen[rec.ID]++; seen[rec.ID] > 1+h.births[rec.ID]-before[rec.ID] {
			h.fail("All yields %x %d times", rec.ID[:3], seen[rec.ID])
		}
		if steps++; steps%4 == 0 {
			h.step()
		}
		if h.loss != nothingVanishes {
			h.settle(store.ID{})
		}
		for id, birth := range throughout {
			if now, known := h.records[id]; !known || now.Retired || h.births[id] != birth {
				delete(throughout, id)
			}
		}
	}
	h.note("All ends")
	h.settle(store.ID{})
	for id := range throughout {
		if _, known := h.records[id]; known && seen[id] == 0 {
			h.fail("All leaves out %x", id[:3])
		}
	}
	h.inside = false
}
