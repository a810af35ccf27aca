package memstore

// Chunks are pieces of the garbage collector's work, so there should be few;
// and memory that is hardly used should be returned. Both are had by moving the
// rows of a chunk to others: a little whenever something is removed, and all
// that can be returned once memory has run out.

// tidy moves the few rows of a chunk to other chunks, where these have room for
// them twice over, and so returns the chunk's memory. at is a slot that was
// emptied: its chunk may be gone since, and with DeleteAll all others too.
func (s *slots) tidy(at ref) {
	n := at >> refSlotBits
	if int(n) >= len(s.chunks) {
		return
	}
	c := &s.chunks[n]
	if c.mem == nil || !c.sparse() {
		return
	}
	if elsewhere := c.pool.open - (c.slots() - int(c.used)); elsewhere >= 2*int(c.used) {
		s.move(n, 0)
	}
}

// compact moves the rows of the first chunk above a number that has room for
// them elsewhere in its pool, and so returns the chunk's memory: a chunk can be
// emptied if its pool has as many open slots as the chunk has slots. A full one
// is not worth it. It returns the number of the chunk, or 0 if there was none;
// and looks only where rows were removed since it last looked, so that asking
// again costs little.
func (s *slots) compact(above uint32) uint32 {
	if above == 0 && !s.loose {
		return 0
	}
	if above == 0 {
		s.loose = false
	}
	for n := above + 1; int(n) < len(s.chunks); n++ {
		if c := &s.chunks[n]; c.mem != nil && c.movable() {
			s.move(n, 0)
			return n
		}
	}
	return 0
}

// small returns the oldest chunk of a pool if a new one of this size makes it a
// small one: a fourth or less. Otherwise, or if there is none, it returns 0. So
// a pool that grows has about a dozen chunks, and not one of each size that it
// has had, and a row is moved when its pool has grown fourfold.
func (s *slots) small(p *pool, size int) uint32 {
	n := p.oldest
	if n == 0 || 4*len(s.chunks[n].mem) > size || s.chunks[n].slot > largestSlot {
		return 0
	}
	return n
}

// move moves all rows of a chunk to another, or if that is 0 to any of its pool
// that have room, and returns its memory. There must be room.
func (s *slots) move(n, to uint32) {
	c := &s.chunks[n]
	if c.room() {
		s.unlink(n) // so that no row is moved to where it was
	}
	for slot := range c.slots() {
		row := c.row(slot)
		if !row.used() {
			continue
		}
		into := to
		if into == 0 {
			into = c.pool.first
		}
		at := s.takeFrom(into)
		copy(s.row(at), row)
		s.ids.replace(tagOf(idKey(row.id())), n<<refSlotBits|ref(slot), at)
	}
	clear(c.mem) // what is deleted later is not to be found here
	c.pool.open += int(c.used)
	c.used = 0
	s.link(n)
	s.dropChunk(n)
}
