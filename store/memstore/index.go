package memstore

// index maps 32-bit tags to 32-bit values; a tag may have several. It is one
// array without pointers, probed linearly. A cell is tag<<32|value, and zero
// where it is empty, so the pair of two zeros cannot be kept.
//
// The place of a tag follows from the tag and the length of the array alone:
// the array grows without a look at what the values stand for, and an interval
// of tags lies in an interval of cells, which is what [index.within] walks.
type index struct {
	cells []uint64
	n     int // cells in use
}

const smallestIndex = 8

// home is the first cell that a tag may be in.
func (x *index) home(tag uint32) int {
	return int(uint64(tag) * uint64(len(x.cells)) >> 32)
}

// next is the cell after a cell.
func (x *index) next(at int) int {
	if at++; at < len(x.cells) {
		return at
	}
	return 0
}

// find returns the first cell of the tag at or after a cell, -1 to begin with,
// and that cell's value. It returns -1 when there is none left.
func (x *index) find(tag uint32, at int) (int, uint32) {
	if x.n == 0 {
		return -1, 0
	}
	if at < 0 {
		at = x.home(tag)
	}
	for x.cells[at] != 0 {
		if uint32(x.cells[at]>>32) == tag {
			return at, uint32(x.cells[at])
		}
		at = x.next(at)
	}
	return -1, 0
}

// values appends the values of the tag.
func (x *index) values(tag uint32, to []uint32) []uint32 {
	for at, value := x.find(tag, -1); at >= 0; at, value = x.find(tag, x.next(at)) {
		to = append(to, value)
	}
	return to
}

// count returns how many values the tag has, up to a limit.
func (x *index) count(tag uint32, limit int) (n int) {
	for at, _ := x.find(tag, -1); at >= 0 && n < limit; at, _ = x.find(tag, x.next(at)) {
		n++
	}
	return n
}

// within appends the values of all tags in the interval from lo to hi, both
// included.
func (x *index) within(lo, hi uint32, to []uint32) []uint32 {
	if x.n == 0 {
		return to
	}
	at, last, passed := x.home(lo), x.home(hi), false
	for range x.cells {
		cell := x.cells[at]
		passed = passed || at == last
		if cell == 0 && passed {
			break
		}
		if tag := uint32(cell >> 32); cell != 0 && lo <= tag && tag <= hi {
			to = append(to, uint32(cell))
		}
		at = x.next(at)
	}
	return to
}

// add keeps a value of a tag, and returns by how many bytes the index grew.
func (x *index) add(tag, value uint32) (grown int64) {
	if 5*(x.n+1) > 4*len(x.cells) {
		grown = x.resize(max(smallestIndex, len(x.cells)+len(x.cells)/4))
	}
	at := x.home(tag)
	for x.cells[at] != 0 {
		at = x.next(at)
	}
	x.cells[at] = uint64(tag)<<32 | uint64(value)
	x.n++
	return grown
}

// replace puts a new value in the place of one of the tag's.
func (x *index) replace(tag, value, by uint32) {
	for at, v := x.find(tag, -1); at >= 0; at, v = x.find(tag, x.next(at)) {
		if v == value {
			x.cells[at] = uint64(tag)<<32 | uint64(by)
			return
		}
	}
}

// remove forgets a value of a tag, and returns by how many bytes the index
// grew: never more than 0.
func (x *index) remove(tag, value uint32) (grown int64) {
	at, v := x.find(tag, -1)
	for at >= 0 && v != value {
		at, v = x.find(tag, x.next(at))
	}
	if at < 0 {
		return 0
	}
	x.n--
	x.closeGap(at)
	if len(x.cells) > smallestIndex && 4*x.n < len(x.cells) {
		return x.resize(max(smallestIndex, 2*x.n))
	}
	return 0
}

// closeGap empties a cell and moves into it what belongs there, and so on.
func (x *index) closeGap(gap int) {
	for at := x.next(gap); x.cells[at] != 0; at = x.next(at) {
		home := x.home(uint32(x.cells[at] >> 32))
		if x.distance(home, at) >= x.distance(gap, at) {
			x.cells[gap] = x.cells[at]
			gap = at
		}
	}
	x.cells[gap] = 0
}

// distance is how many steps lead from one cell to another.
func (x *index) distance(from, to int) int {
	if to >= from {
		return to - from
	}
	return to - from + len(x.cells)
}

// resize gives the index a new array, and returns by how many bytes it grew.
func (x *index) resize(length int) (grown int64) {
	old := x.cells
	x.cells = make([]uint64, length)
	tag, at := uint32(0), 0
	for _, cell := range old {
		if cell == 0 {
			continue
		}
		// A tag of many values is not searched from its home for each.
		if t := uint32(cell >> 32); t != tag || x.cells[at] == 0 {
			tag, at = t, x.home(t)
		}
		for x.cells[at] != 0 {
			at = x.next(at)
		}
		x.cells[at] = cell
	}
	return 8 * int64(len(x.cells)-len(old))
}
