package memstore

import (
	"fmt"
	"math"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// noRoom is the error of a write for which there is no slot, before anything
// was done to make one.
type noRoom struct {
	size      int // of the row
	anonymous bool
}

func (n noRoom) Error() string { return fmt.Sprintf("memstore: no room for %d bytes", n.size) }

// roomTries is how often a write is tried, each time after something has made
// room, which other writes may then take. So it also bounds how much is given
// up for one write.
const roomTries = 32

// withRoom runs a write, and makes room for it where there is none. What then
// holds no lock.
func (s *Store) withRoom(id store.ID, now time.Time, write func() error) error {
	for range roomTries {
		err := write()
		need, full := err.(noRoom)
		if !full {
			return err
		}
		if !s.makeRoom(id, need, now.UnixMicro()) {
			break
		}
	}
	return store.ErrFull
}

// makeRoom makes room for the row of a record, and reports whether it could do
// something for it: it removes the dead of the record's shard, and compacts
// that; then it gives up anonymous records that were not seen for long; then it
// removes the dead of other shards, and at last it compacts those. The other
// shards' dead come so late because to find them is to read everything. The
// record itself is never given up: an Update does not end its own session.
func (s *Store) makeRoom(id store.ID, need noRoom, now int64) bool {
	shard := shardOf(idKey(id))
	slot, class := slotFor(need.size)
	if int64(slot)+chunkOverhead > s.budget.max {
		return false
	}
	if s.dropDead(shard, now) || s.compact(shard) {
		return true
	}
	if need.anonymous && class != ownChunk && s.dropOldest(shard, need.size, id) {
		return true
	}
	if s.dropAnonymousFor(shard, need.size, id) {
		return true
	}
	removeDead := func(other int) bool { return s.dropDead(other, now) }
	return s.askOthers(shard, slot, removeDead) || s.askOthers(shard, slot, s.compact)
}

// askOthers has all shards but one do something that may return memory, until
// there is enough for a slot, and reports whether one could.
func (s *Store) askOthers(shard, slot int, do func(other int) bool) (done bool) {
	for i := 1; i < shardCount; i++ {
		if !do((shard + i) % shardCount) {
			continue
		}
		if done = true; s.budget.has(int64(slot) + chunkOverhead) {
			break
		}
	}
	return done
}

// compact returns the memory of chunks whose rows have room in others, and
// reports whether there were such. It locks the shard for one chunk at a time.
func (s *Store) compact(shard int) (returned bool) {
	sh := &s.shards[shard]
	for n := uint32(0); ; returned = true {
		sh.mu.Lock()
		n = sh.slots.compact(n)
		sh.mu.Unlock()
		if n == 0 {
			return returned
		}
	}
}

// dropAnonymousFor gives up chunks of anonymous records, one of each shard in
// turn, until there is memory for a row or no such chunk. The chunk in which a
// record lies that is to be kept is not given up.
func (s *Store) dropAnonymousFor(shard, size int, keep store.ID) (dropped bool) {
	slot, _ := slotFor(size)
	for more := true; more; {
		more = false
		for i := range s.shards {
			if !s.dropAnonymous((shard+i)%shardCount, keep) {
				continue
			}
			dropped, more = true, true
			if s.budget.has(int64(slot) + chunkOverhead) {
				return true
			}
		}
	}
	return dropped
}

// dropDead removes a shard's dead records. It looks at most once a second, so
// that a store full of what lives does not spend its time searching.
func (s *Store) dropDead(shard int, now int64) bool {
	sh := &s.shards[shard]
	sh.mu.Lock()
	soon := now < sh.searched+time.Second.Microseconds() && now >= sh.searched
	if !soon {
		sh.searched = now
	}
	chunks := len(sh.slots.chunks)
	sh.mu.Unlock()
	if soon {
		return false
	}
	removed := 0
	for chunk := range chunks {
		n, _ := s.sweepChunk(shard, uint32(chunk), now, math.MaxInt)
		removed += n
	}
	return removed > 0
}

// How many rows, and how many chunks, are compared at least to find what was
// not seen for long.
const (
	sampledRows   = 64
	sampledChunks = 16
)

// dropOldest removes, of some anonymous records of about this size, the one not
// seen for longest, but not one that is to be kept.
func (s *Store) dropOldest(shard int, size int, keep store.ID) bool {
	sh := &s.shards[shard]
	sh.mu.Lock()
	at := sh.oldest(size, keep)
	if at == 0 {
		sh.mu.Unlock()
		return false
	}
	id := sh.slots.row(at).id()
	sh.remove(at)
	sh.mu.Unlock()
	s.watches.tell(id)
	return true
}

// oldest returns the ref of the anonymous row of a size that was not seen for
// longest, among some from where the last search ended, or 0. It is not the one
// to be kept.
func (sh *shard) oldest(size int, keep store.ID) (found ref) {
	s := &sh.slots
	_, class := slotFor(size)
	p := s.pool(class, true)
	seen := int64(math.MaxInt64)
	looked := 0
	for range s.chunks {
		n := sh.nextChunk()
		c := &s.chunks[n]
		if c.pool != p {
			continue
		}
		for slot := range c.slots() {
			if r := c.row(slot); r.used() && r.lastSeen() < seen && r.id() != keep {
				found, seen = n<<refSlotBits|ref(slot), r.lastSeen()
			}
		}
		if looked += int(c.used); looked >= sampledRows {
			break
		}
	}
	return found
}

// dropAnonymous removes all records of a chunk of anonymous ones, of some chunks
// the one whose last visitor was there longest ago, wipes its memory and returns
// it. The chunk of a record that is to be kept stays.
func (s *Store) dropAnonymous(shard int, keep store.ID) bool {
	sh := &s.shards[shard]
	sh.mu.Lock()
	n := sh.stalest(sh.find(keep) >> refSlotBits)
	if n == 0 {
		sh.mu.Unlock()
		return false
	}
	c := &sh.slots.chunks[n]
	var gone []store.ID
	for slot := range c.slots() {
		if r := c.row(slot); r.used() {
			gone = append(gone, r.id())
			sh.forget(r.id(), n<<refSlotBits|ref(slot))
		}
	}
	if !c.room() {
		sh.slots.link(n)
	}
	clear(c.mem)
	c.pool.open += int(c.used)
	c.used = 0
	sh.slots.dropChunk(n)
	sh.mu.Unlock()
	s.watches.tell(gone...)
	return true
}

// stalest returns the chunk of anonymous rows of which the last was seen
// longest ago, among some from where the last search ended, or 0. It is not the
// chunk to be kept, which is 0 if there is none.
func (sh *shard) stalest(keep uint32) (found uint32) {
	oldest := int64(math.MaxInt64)
	looked := 0
	for range sh.slots.chunks {
		n := sh.nextChunk()
		c := &sh.slots.chunks[n]
		if c.mem == nil || !c.pool.anonymous || n == keep {
			continue
		}
		seen := int64(math.MinInt64)
		for slot := range c.slots() {
			if r := c.row(slot); r.used() {
				seen = max(seen, r.lastSeen())
			}
		}
		if seen < oldest {
			found, oldest = n, seen
		}
		if looked++; looked == sampledChunks {
			break
		}
	}
	return found
}

// nextChunk moves on to the next chunk in a circle.
func (sh *shard) nextChunk() uint32 {
	if sh.hand++; int(sh.hand) >= len(sh.slots.chunks) {
		sh.hand = 0
	}
	return sh.hand
}
