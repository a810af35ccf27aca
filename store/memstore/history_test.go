package memstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// loss is which records of a history may vanish by themselves.
type loss int

const (
	nothingVanishes  loss = iota // the store is large and nobody else uses it
	roomIsMade                   // it is small: anonymous records and the dead go
	theDeadVanish                // others sweep
	anythingVanishes             // others end everything
)

// history is a run of operations on a store and on plain maps that have what
// the store should have. It has ids and subjects of its own.
type history struct {
	t        *testing.T
	s        *Store
	random   *rand.Rand
	loss     loss
	alone    bool // nobody else uses the store
	now      time.Time
	ids      []store.ID
	subjects []string
	steps    int
	large    int      // one record in so many is
	trace    []string // the last steps

	records   map[store.ID]store.Record
	births    map[store.ID]int // how often it was created
	marks     map[string]time.Time
	markOfAll time.Time

	changed map[store.ID]bool // in this step, as the maps have it
	told    map[store.ID]bool // in this step, as watchers heard
	inside  bool              // within a walk
}

// newHistory draws ids that lie in a few shards; some have the same last bytes,
// by which the index finds them. name keeps histories on one store apart.
func newHistory(t *testing.T, s *Store, random *rand.Rand, name byte, ids int) *history {
	h := &history{
		t: t, s: s, random: random, now: noon, large: pick(random, []int{4, 24, 24}),
		records: map[store.ID]store.Record{}, births: map[store.ID]int{}, marks: map[string]time.Time{},
		changed: map[store.ID]bool{}, told: map[store.ID]bool{},
	}
	shards := pick(random, []byte{0x03, 0x0f, 0x3f}) // one, four, sixteen
	for n := range ids {
		id := store.ID{name}
		binary.BigEndian.PutUint16(id[1:], uint16(n))
		binary.LittleEndian.PutUint32(id[12:], random.Uint32())
		id[15] &= shards
		if n > 0 && random.IntN(8) == 0 {
			copy(id[12:], h.ids[random.IntN(n)][12:])
		}
		h.ids = append(h.ids, id)
	}
	for n := range pick(random, []int{7, 7, 60}) {
		h.subjects = append(h.subjects, fmt.Sprintf("%c%d", name, n))
	}
	return h
}

// watch has the store tell of every record.
func (h *history) watch() {
	for _, id := range h.ids {
		h.s.Watch(id, func() { h.told[id] = true })
	}
}

// logTrace says what led to a failure.
func (h *history) logTrace() {
	if h.t.Failed() {
		h.t.Log("the last steps:\n" + strings.Join(h.trace, "\n"))
	}
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf(format, args...)
}

// note says what the step is.
func (h *history) note(format string, args ...any) {
	const kept = 12
	h.trace = append(h.trace, h.now.Format(time.TimeOnly)+" "+fmt.Sprintf(format, args...))
	h.trace = h.trace[max(0, len(h.trace)-kept):]
}

// mayVanish reports whether a record may be gone without a call for it.
func (h *history) mayVanish(rec store.Record) bool {
	switch h.loss {
	case roomIsMade:
		return rec.Subject == "" || !h.now.Before(rec.Deadline())
	case theDeadVanish:
		return !h.now.Before(rec.Deadline())
	}
	return h.loss == anythingVanishes
}

// mayBeGone reports whether a record may have vanished since the last step.
func (h *history) mayBeGone(rec store.Record) bool { return !h.alone && h.mayVanish(rec) }

func (h *history) set(rec store.Record) {
	rec.Head, rec.Data = slices.Clone(rec.Head), slices.Clone(rec.Data)
	h.records[rec.ID] = rec
	h.changed[rec.ID] = true
}

func (h *history) drop(ids ...store.ID) {
	for _, id := range ids {
		delete(h.records, id)
		h.changed[id] = true
	}
}

// settle takes from the maps what has vanished, if it might. kept may not.
func (h *history) settle(kept store.ID) (vanished int) {
	h.t.Helper()
	for id, rec := range h.records {
		if h.has(id) {
			continue
		}
		if id == kept || !h.mayVanish(rec) {
			h.fail("the record %x of %q has vanished", id[:3], rec.Subject)
		}
		h.drop(id)
		vanished++
	}
	return vanished
}

// has reports whether the store has a record of that id.
func (h *history) has(id store.ID) bool {
	sh := h.s.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.find(id) != 0
}

// of returns the subject's records that are not retired, of which the maps know.
func (h *history) of(subject string) (recs []store.Record) {
	for _, rec := range h.records {
		if rec.Subject == subject && !rec.Retired {
			recs = append(recs, rec)
		}
	}
	return recs
}

func recordIDs(recs []store.Record) (ids []store.ID) {
	for _, rec := range recs {
		ids = append(ids, rec.ID)
	}
	return ids
}

// same fails unless got has the ids of want, but for those that may have
// vanished.
func (h *history) same(what string, got []store.ID, want []store.Record) {
	h.t.Helper()
	known := map[store.ID]bool{}
	for _, rec := range want {
		known[rec.ID] = true
		if !slices.Contains(got, rec.ID) && !h.mayBeGone(rec) {
			h.fail("%s leaves out %x of %q", what, rec.ID[:3], rec.Subject)
		}
	}
	for i, id := range got {
		if !known[id] || slices.Contains(got[:i], id) {
			h.fail("%s has %x, which is too much", what, id[:3])
		}
	}
}

// equal fails unless the store has what the maps have.
func (h *history) equal(got, want store.Record) {
	h.t.Helper()
	if got.ID != want.ID || got.Version != want.Version || got.Subject != want.Subject || got.Retired != want.Retired ||
		!got.Created.Equal(want.Created) || !got.LastSeen.Equal(want.LastSeen) || got.Idle != want.Idle ||
		!got.Absolute.Equal(want.Absolute) || !bytes.Equal(got.Head, want.Head) || !bytes.Equal(got.Data, want.Data) {
		got.Data, want.Data = got.Data[:min(8, len(got.Data))], want.Data[:min(8, len(want.Data))]
		h.fail("a record is %+v, want %+v", got, want)
	}
}

// checkRecords loads everything.
func (h *history) checkRecords() {
	h.t.Helper()
	var got store.Record
	for _, id := range h.ids {
		err := h.s.Load(h.t.Context(), id, &got, store.Fresh)
		want, known := h.records[id]
		switch {
		case err == nil && known:
			h.equal(got, want)
		case err == nil:
			h.fail("%x of %q is there", id[:3], got.Subject)
		case !errors.Is(err, store.ErrNotFound) || known:
			h.fail("Load of %x: %v", id[:3], err)
		}
	}
	for _, subject := range h.subjects {
		h.list(subject)
	}
}

// checkTold fails unless who watches a record that changed was told.
func (h *history) checkTold() {
	h.t.Helper()
	for id := range h.changed {
		if !h.told[id] {
			h.fail("who watches %x was not told", id[:3])
		}
	}
	clear(h.changed)
	clear(h.told)
}

// checkSubjects fails unless the stripes have exactly the records that are
// there.
func checkSubjects(t *testing.T, s *Store) {
	t.Helper()
	type cell struct {
		stripe int
		cell   uint64
	}
	want := map[cell]int{}
	for i := range s.shards {
		sl := &s.shards[i].slots
		for n := range sl.chunks {
			c := &sl.chunks[n]
			for slot := 0; c.mem != nil && slot < c.slots(); slot++ {
				r := c.row(slot)
				if hash := s.subjectHash(r.subject()); r.used() && hash != 0 && !r.retired() {
					want[cell{stripeOf(hash), uint64(subjectTag(hash))<<32 | uint64(idKey(r.id()))}]++
				}
			}
		}
	}
	got := map[cell]int{}
	for i := range s.stripes {
		x := &s.stripes[i].members
		for at, c := range x.cells {
			if c == 0 {
				continue
			}
			got[cell{i, c}]++
			for from := x.home(uint32(c >> 32)); from != at; from = x.next(from) {
				if x.cells[from] == 0 {
					t.Fatalf("stripe %d: the cell %d is out of reach", i, at)
				}
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("the subjects' index has %v, want %v", got, want)
	}
}

// checkWiped fails unless what a record has left of its slot holds nothing.
func checkWiped(t *testing.T, s *Store) {
	t.Helper()
	for i := range s.shards {
		for n, c := range s.shards[i].slots.chunks {
			for slot := 0; c.mem != nil && slot < c.slots(); slot++ {
				if r := c.row(slot); r.used() && bytes.Count(r[r.dataEnd():], []byte{0}) != len(r)-r.dataEnd() {
					t.Fatalf("shard %d: the row at %d:%d is followed by %x", i, n, slot, r[r.dataEnd():])
				}
			}
		}
	}
}

// drawRecord is a record of an id for which there is room in most stores.
func (h *history) drawRecord(id store.ID) store.Record {
	random := h.random
	size := int(random.ExpFloat64() * 300)
	switch random.IntN(h.large) {
	case 0:
		size = random.IntN(100 << 10)
	case 1:
		size = largestSlot - rowHeader - random.IntN(40)
	case 2:
		size = 0
	}
	rec := store.Record{
		ID: id, Version: random.Uint64() | 1, Created: h.now.Add(-time.Duration(random.IntN(5)) * time.Minute),
		Idle: time.Duration(1+random.IntN(90)) * time.Minute, Absolute: h.now.Add(time.Duration(1+random.IntN(180)) * time.Minute),
		Head: make([]byte, random.IntN(60)), Data: randomData(random, size),
	}
	rec.LastSeen = rec.Created.Add(time.Duration(random.IntN(3)) * time.Minute)
	if random.IntN(3) > 0 {
		rec.Subject = pick(random, h.subjects)
	}
	return rec
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// someID is that of a record that is there, if there is one; or any.
func (h *history) someID() store.ID {
	for range 3 {
		id := pick(h.random, h.ids)
		if _, there := h.records[id]; there || h.random.IntN(6) == 0 {
			return id
		}
	}
	return pick(h.random, h.ids)
}

// newID is mostly that of no record.
func (h *history) newID() (id store.ID) {
	for range 6 {
		id = pick(h.random, h.ids)
		if _, there := h.records[id]; !there {
			break
		}
	}
	return id
}

// refused reports whether a mark refuses what began at a time.
func (h *history) refused(subject string, began time.Time) bool {
	for _, mark := range []time.Time{h.markOfAll, h.marks[subject]} {
		if !mark.IsZero() && began.Before(mark) && !h.now.After(mark.Add(store.MarkFor)) {
			return true
		}
	}
	return false
}

// toEvict returns whom a Create ends: by last-seen time, age and id.
func (h *history) toEvict(subject string, terms store.Terms) []store.ID {
	live := slices.DeleteFunc(h.of(subject), func(rec store.Record) bool {
		return !rec.Live(h.now) || rec.ID == terms.Replaces
	})
	over := len(live) + 1 - terms.Max
	if subject == "" || terms.Max == 0 || over <= 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b store.Record) int {
		return cmp.Or(a.LastSeen.Compare(b.LastSeen), a.Created.Compare(b.Created), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return recordIDs(live[:over])
}
