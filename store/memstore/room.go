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

// roomTries is how often a write is tried again after something has made room,
// which other writes may then take.
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
		if !s.makeRoom(shardOf(idKey(id)), need, now.UnixMicro()) {
			break
		}
	}
	return store.ErrFull
}

// makeRoom gives up what may be given up for a row in a shard, and reports
// whether there was something: dead records, then anonymous ones that were not
// seen for long. It asks the shard itself first, and then the others.
func (s *Store) makeRoom(shard int, need noRoom, now int64) bool {
	if int64(need.size) > s.budget.max {
		return false
	}
	if s.dropDead(shard, now) {
		return true
	}
	if need.anonymous && s.dropOldest(shard, need.size) {
		return true
	}
	if s.dropAnonymousFor(shard, need.size) {
		return true
	}
	for i := range s.shards {
		if s.dropDead((shard+i)%shardCount, now) {
			return true
		}
	}
	return false
}

// dropAnonymousFor gives up chunks of anonymous records, one of each shard in
// turn, until there is memory for a row or no such chunk.
func (s *Store) dropAnonymousFor(shard, size int) (dropped bool) {
	slot, _ := slotFor(size)
	for more := true; more; {
		more = false
		for i := range s.shards {
			if !s.dropAnonymous((shard + i) % shardCount) {
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
// seen for longest.
func (s *Store) dropOldest(shard int, size int) bool {
	sh := &s.shards[shard]
	sh.mu.Lock()
	at := sh.oldest(size)
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
// longest, among some from where the last search ended, or 0.
func (sh *shard) oldest(size int) (found ref) {
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
			if r := c.row(slot); r.used() && r.lastSeen() < seen {
				found, seen = n<<refSlotBits|ref(slot), r.lastSeen()
			}
		}
		if looked += int(c.used); looked >= sampledRows {
			break
		}
	}
	return found
}

// dropAnonymous removes all records of a chunk of anonymous ones, of some
// chunks that whose last visitor came first, and returns its memory.
func (s *Store) dropAnonymous(shard int) bool {
	sh := &s.shards[shard]
	sh.mu.Lock()
	n := sh.stalest()
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
	c.pool.open += int(c.used)
	c.used = 0
	sh.slots.dropChunk(n)
	sh.mu.Unlock()
	s.watches.tell(gone...)
	return true
}

// stalest returns the chunk of anonymous rows of which the last was seen
// longest ago, among some from where the last search ended, or 0.
func (sh *shard) stalest() (found uint32) {
	oldest := int64(math.MaxInt64)
	looked := 0
	for range sh.slots.chunks {
		n := sh.nextChunk()
		c := &sh.slots.chunks[n]
		if c.mem == nil || !c.pool.anonymous {
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
