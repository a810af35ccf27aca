package memstore

import (
	"math/bits"
	"sync/atomic"
)

// budget bounds the bytes of all shards together.
type budget struct {
	max  int64
	used atomic.Int64
}

// take takes n bytes if they are there.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.max {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// note adds what an index has grown by, mostly nothing: then the number that all
// processors share is left alone.
func (b *budget) note(grown int64) {
	if grown != 0 {
		b.used.Add(grown)
	}
}

// has reports whether n bytes are there.
func (b *budget) has(n int64) bool { return b.used.Load()+n <= b.max }

// Rows lie in slots of a few dozen sizes, an eighth of an octave apart, and
// slots in chunks: byte slices without pointers, each of one size of slot. The
// rows of anonymous sessions have chunks of their own, so that whole chunks of
// them can be given up when memory runs out.
const (
	smallestSlot  = 128
	largestSlot   = 32 << 10 // above that, a row has a chunk to itself
	smallestChunk = 2 << 10
	largestChunk  = 128 << 10 // of the smallest slots it holds 1<<refSlotBits
	chunkOverhead = 64        // what the slice of chunks takes for each
	pageSize      = 8 << 10

	slotSizes = 8*8 + 1   // 8 octaves of 8, and the smallest of the next
	ownChunk  = slotSizes // the class of a row with a chunk to itself
	pools     = ownChunk + 1
)

// slotFor returns the size of slot for a row, and its class.
func slotFor(size int) (slot, class int) {
	if size <= smallestSlot {
		return smallestSlot, 0
	}
	if size > largestSlot {
		return (size + pageSize - 1) / pageSize * pageSize, ownChunk
	}
	shift := bits.Len(uint(size-1)) - 4
	eighths := (size-1)>>shift + 1 // 9 to 16
	return eighths << shift, (shift-4)*8 + eighths - 8
}

// ref names a slot of a shard: chunk<<10 | slot. The first chunk is 1, so a ref
// is never 0.
type ref = uint32

const (
	refSlotBits = 10
	mostChunks  = 1 << (32 - refSlotBits)
)

// chunk is memory for rows of one size of slot. The zero chunk is not in use.
type chunk struct {
	mem   []byte
	slot  int    // bytes of a slot
	pool  *pool  // that it belongs to
	used  uint16 // slots with a row
	fresh uint16 // slots that never had one; they are the last
	free  uint16 // 1 + the first of the linked free slots, or 0

	// The chunks of a pool that have room are linked; so are unused chunks.
	prev, next uint32
	// All chunks of a pool are linked in the order in which they were made,
	// which is that of their sizes while the pool grows.
	older, newer uint32
}

func (c *chunk) slots() int       { return len(c.mem) / c.slot }
func (c *chunk) room() bool       { return int(c.used) < c.slots() }
func (c *chunk) row(slot int) row { return row(c.mem[slot*c.slot : (slot+1)*c.slot : (slot+1)*c.slot]) }
func (c *chunk) sparse() bool     { return c.used > 0 && 4*int(c.used) <= c.slots() }
func (c *chunk) movable() bool    { return c.room() && c.pool.open >= c.slots() } // to others of its pool
func (c *chunk) footprint() int64 { return int64(len(c.mem)) + chunkOverhead }

// pool is all chunks of one class for one kind of session.
type pool struct {
	bytes     int    // of all its chunks
	open      int    // free slots in all its chunks
	first     uint32 // of its chunks with room, or 0
	oldest    uint32 // of all its chunks, or 0
	newest    uint32
	anonymous bool
}

// slots is the memory of a shard.
type slots struct {
	budget *budget
	ids    *index  // of the rows: see move
	chunks []chunk // chunks[0] is not used
	unused uint32  // the first of the chunks not in use, or 0
	loose  bool    // a chunk may have come to be one for compact
	pools  [2][pools]pool
}

// row returns the slot that a ref names.
func (s *slots) row(at ref) row {
	c := &s.chunks[at>>refSlotBits]
	return c.row(int(at & (1<<refSlotBits - 1)))
}

// fits reports whether the slot is the one that a row of this size would get.
func (s *slots) fits(at ref, size int) bool {
	slot, _ := slotFor(size)
	return s.chunks[at>>refSlotBits].slot == slot
}

func (s *slots) pool(class int, anonymous bool) *pool {
	kind := 0
	if anonymous {
		kind = 1
	}
	p := &s.pools[kind][class]
	p.anonymous = anonymous
	return p
}

// take returns an empty slot for a row of this size, or 0 if there is no room.
// It may move rows that are of the same size.
func (s *slots) take(size int, anonymous bool) ref {
	slot, class := slotFor(size)
	p := s.pool(class, anonymous)
	n := p.first
	if n == 0 {
		if n = s.addChunk(p, slot); n == 0 {
			return 0
		}
	}
	return s.takeFrom(n)
}

// takeFrom returns an empty slot of a chunk that has one.
func (s *slots) takeFrom(n uint32) ref {
	c := &s.chunks[n]
	var slot int
	if c.free != 0 {
		slot = int(c.free) - 1
		c.free = c.row(slot).nextFree()
	} else {
		slot = c.slots() - int(c.fresh)
		c.fresh--
	}
	c.used++
	c.pool.open--
	if !c.room() {
		s.unlink(n)
	}
	return n<<refSlotBits | ref(slot)
}

// give empties a slot. It returns the memory of a chunk that it leaves empty,
// unless that is the only room of a pool that is in use; of a chunk of a single
// slot always.
func (s *slots) give(at ref) {
	n, slot := at>>refSlotBits, at&(1<<refSlotBits-1)
	c := &s.chunks[n]
	if !c.room() {
		s.link(n)
	}
	c.row(int(slot)).free(c.free)
	c.free = uint16(slot) + 1
	c.used--
	c.pool.open++
	if c.movable() {
		s.loose = true
	}
	others := c.pool.open > c.slots()
	if c.used == 0 && (others || c.pool.bytes == len(c.mem) || c.slots() == 1) {
		s.dropChunk(n)
	}
}

// addChunk adds a chunk to a pool: an eighth of what the pool has, so that
// little is wasted on what is rare, and less if there is no room for that. It
// takes in what has become a small chunk. It returns 0 if there is no memory for
// a slot, or no number for a chunk.
func (s *slots) addChunk(p *pool, slot int) uint32 {
	if s.unused == 0 && len(s.chunks) >= mostChunks {
		return 0
	}
	size := min(max(p.bytes/8, smallestChunk), largestChunk)
	small := s.small(p, size)
	if small != 0 {
		size = min(size+len(s.chunks[small].mem), largestChunk)
	}
	count := max(1, size/slot)
	if slot > largestSlot {
		count = 1 // the chunks of this class have slots of many sizes, so none may have a slot to spare
	}
	for !s.budget.take(int64(count*slot) + chunkOverhead) {
		if count /= 2; count == 0 {
			return 0
		}
	}
	n := s.unused
	if n != 0 {
		s.unused = s.chunks[n].next
	} else {
		n = uint32(max(1, len(s.chunks)))
		s.chunks = append(s.chunks, make([]chunk, int(n)+1-len(s.chunks))...)
	}
	s.chunks[n] = chunk{mem: make([]byte, count*slot), slot: slot, pool: p, fresh: uint16(count)}
	p.bytes += count * slot
	p.open += count
	s.link(n)
	c := &s.chunks[n]
	if c.older = p.newest; c.older != 0 {
		s.chunks[c.older].newer = n
	} else {
		p.oldest = n
	}
	p.newest = n
	if small != 0 && count > int(s.chunks[small].used) {
		s.move(small, n)
	}
	return n
}

// dropChunk returns the memory of an empty chunk.
func (s *slots) dropChunk(n uint32) {
	c := &s.chunks[n]
	s.unlink(n)
	if c.older != 0 {
		s.chunks[c.older].newer = c.newer
	} else {
		c.pool.oldest = c.newer
	}
	if c.newer != 0 {
		s.chunks[c.newer].older = c.older
	} else {
		c.pool.newest = c.older
	}
	c.pool.bytes -= len(c.mem)
	c.pool.open -= c.slots()
	s.budget.used.Add(-c.footprint())
	*c = chunk{next: s.unused}
	s.unused = n
}

// link adds a chunk to those of its pool that have room.
func (s *slots) link(n uint32) {
	c := &s.chunks[n]
	c.prev, c.next = 0, c.pool.first
	if c.next != 0 {
		s.chunks[c.next].prev = n
	}
	c.pool.first = n
}

// unlink takes a chunk from those of its pool that have room.
func (s *slots) unlink(n uint32) {
	c := &s.chunks[n]
	if c.prev != 0 {
		s.chunks[c.prev].next = c.next
	} else {
		c.pool.first = c.next
	}
	if c.next != 0 {
		s.chunks[c.next].prev = c.prev
	}
	c.prev, c.next = 0, 0
}
