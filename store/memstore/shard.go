package memstore

import (
	"encoding/binary"
	"math/bits"

	"github.com/coatcheck/coatcheck/store"
)

// shardCount is also how many subject stripes there are: a set of either is the
// bits of one word.
const shardCount = 64

// shard keeps the rows of a 64th of all ids.
type shard struct {
	mu    briefLock
	ids   index // from the tag of an id to the ref of its row
	slots slots

	// For when memory runs out:
	searched int64  // when the dead were last looked for
	hand     uint32 // the chunk at which the last search for the anonymous ended
}

// idKey is the part of an id by which it is found. An id is random but for its
// placement, which all of a subject's sessions share, so no hash is needed and
// the last bytes are as good as any.
func idKey(id store.ID) uint32 { return binary.LittleEndian.Uint32(id[12:]) }

// shardOf is the shard of an id by its key.
func shardOf(key uint32) int { return int(key >> 26) }

// tagOf is the tag of an id within its shard: the bits that chose the shard
// come last, because the index goes by the first.
func tagOf(key uint32) uint32 { return bits.RotateLeft32(key, 6) }

// find returns the ref of the record's row, or 0.
func (sh *shard) find(id store.ID) ref {
	tag := tagOf(idKey(id))
	for at, found := sh.ids.find(tag, -1); at >= 0; at, found = sh.ids.find(tag, sh.ids.next(at)) {
		if sh.slots.row(found).id() == id {
			return found
		}
	}
	return 0
}

// add indexes a row that has been written.
func (sh *shard) add(id store.ID, at ref) {
	sh.slots.budget.note(sh.ids.add(tagOf(idKey(id)), at))
}

// forget takes a row out of the index.
func (sh *shard) forget(id store.ID, at ref) {
	sh.slots.budget.note(sh.ids.remove(tagOf(idKey(id)), at))
}

// remove forgets the record and empties its slot.
func (sh *shard) remove(at ref) {
	sh.forget(sh.slots.row(at).id(), at)
	sh.slots.give(at)
}

// fewBytes is how large a slot may be that a retired record keeps, although a
// smaller one would do: it is gone in a few minutes, and each sign-in retires
// one.
const fewBytes = 1 << 10

// rewrite replaces the record in the slot by rec, but for what an Update keeps,
// and moves it to another slot if its size asks for that. It reports whether
// there was room; if not nothing has changed.
func (sh *shard) rewrite(at ref, rec *store.Record) bool {
	old := sh.slots.row(at)
	subject := old.subject()
	created, lastSeen := old.created(), max(old.lastSeen(), rec.LastSeen.UnixMicro())
	size := rowSize(len(subject), rec)
	if sh.slots.fits(at, size) || rec.Retired && size <= len(old) && len(old) <= fewBytes {
		old.write(rec, len(subject), created, lastSeen)
		return true
	}
	to := sh.slots.take(size, len(subject) == 0)
	if to == 0 {
		if size > len(old) {
			return false
		}
		old.write(rec, len(subject), created, lastSeen)
		return true
	}
	row := sh.slots.row(to)
	row.write(rec, len(subject), created, lastSeen)
	copy(row[rowHeader:], subject)
	sh.ids.replace(tagOf(idKey(rec.ID)), at, to)
	sh.slots.give(at)
	sh.slots.tidy(at)
	return true
}

// clear forgets everything. It returns how many records were not retired, and
// the chunks in which they lie, for the caller to wipe once no lock is held.
func (sh *shard) clear() (n int, chunks []chunk) {
	s := &sh.slots
	for i := range s.chunks {
		c := &s.chunks[i]
		if c.mem == nil {
			continue
		}
		for slot := range c.slots() {
			if r := c.row(slot); r.used() && !r.retired() {
				n++
			}
		}
		s.budget.used.Add(-c.footprint())
	}
	s.budget.used.Add(-8 * int64(len(sh.ids.cells)))
	chunks = s.chunks
	sh.ids, sh.slots = index{}, slots{budget: s.budget, ids: &sh.ids}
	return n, chunks
}
