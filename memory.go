package coatcheck

// memory is what a request reads and writes the bytes of its session in. It is
// used again by other requests, wiped: see Session.release. Nothing that
// outlives the request may lend from it.
type memory struct {
	head, data []byte // of the record as it was loaded
	values     []byte // of operations, one after the other
	newHead    room   // of a record that is to be stored
	newData    room   // the data with what was gathered done to it
	opened     room   // the data, if the record's is sealed
	network    room   // of the visitor, for the head of a new session
}

// wipe empties all of it, for the next request.
func (m *memory) wipe() {
	m.head, m.data, m.values = wiped(m.head), wiped(m.data), wiped(m.values)
	for _, r := range [...]*room{&m.newHead, &m.newData, &m.opened, &m.network} {
		r.space, r.taken = wiped(r.space), false
	}
}

// lose leaves the loaded record to a store that has not said what became of a
// write, and may still be sending it.
func (m *memory) lose() { m.head, m.data = nil, nil }

// wiped returns the memory of b, empty, and none that is unusually large: few
// requests would use that.
func wiped(b []byte) []byte {
	clear(b)
	if cap(b) > mostKept {
		return nil
	}
	return b[:0]
}

const mostKept = 64 << 10

// room is memory for what a request writes once: one value for most that write
// any. What it writes after that gets memory of its own, because nothing that
// was written is changed in place.
type room struct {
	space []byte // what was taken of it
	taken bool   // by this request
}

// take returns empty memory for n bytes.
func (r *room) take(n int) []byte {
	if r.taken {
		return make([]byte, 0, n)
	}
	if cap(r.space) < n {
		r.space = make([]byte, n)
	}
	r.space, r.taken = r.space[:n], true
	return r.space[:0:n]
}
