package site

import (
	"encoding/binary"
	"sync"
)

// record is a session as it is kept, little-endian, times and durations in
// microseconds:
//
//	0       1       2         4        5         6   8         16        24
//	+-------+-------+---------+--------+---------+---+---------+---------+-----------+
//	| flags | level | len of  | len of | len of  | - | version | created | last seen |
//	|       |       | subject | device | network |   |         |         |           |
//	+-------+-------+---------+--------+---------+---+---------+---------+-----------+
//	32     40         48      56              64       80        112
//	+------+----------+-------+---------------+--------+---------+--------------------+
//	| idle | absolute | drawn | authenticated | family | current | wrap (if sealed),  |
//	|      |          |       |               |        |         | subject, device,   |
//	|      |          |       |               |        |         | network, data      |
//	+------+----------+-------+---------------+--------+---------+--------------------+
type record []byte

const (
	recordFixed = 112

	flagRetired = 1
	flagWrap    = 2
)

func (r record) retired() bool         { return r[0]&flagRetired != 0 }
func (r record) uint64(at int) uint64  { return binary.LittleEndian.Uint64(r[at:]) }
func (r record) set(at int, to uint64) { binary.LittleEndian.PutUint64(r[at:], to) }
func (r record) version() uint64       { return r.uint64(8) }
func (r record) lastSeen() int64       { return int64(r.uint64(24)) }
func (r record) idle() int64           { return int64(r.uint64(32)) }
func (r record) absolute() int64       { return int64(r.uint64(40)) }
func (r record) family() []byte        { return r[64:80] }
func (r record) current() []byte       { return r[80:112] }
func (r record) wrap() []byte          { return r[112:144] }

func (r record) subjectAt() int {
	if r[0]&flagWrap != 0 {
		return recordFixed + len(dataKey{})
	}
	return recordFixed
}

func (r record) subjectLen() int { return int(binary.LittleEndian.Uint16(r[2:])) }
func (r record) subject() []byte { return r[r.subjectAt():][:r.subjectLen()] }
func (r record) dataAt() int     { return r.subjectAt() + r.subjectLen() + int(r[4]) + int(r[5]) }

// deadline is the earlier of both limits.
func (r record) deadline() int64 { return min(r.lastSeen()+r.idle(), r.absolute()) }

// live reports whether the session is neither superseded nor over.
func (r record) live(now int64) bool { return !r.retired() && now < r.deadline() }

// touchDue reports whether activity is to be recorded.
func (r record) touchDue(now int64) bool { return now-r.lastSeen() >= min(r.idle()/16, 60e6) }

// table keeps records: an index without pointers, and rows of which each has
// its bytes in a piece of memory of its own. Writes change them in place, under
// the lock, where they fit.
type table struct {
	mu        sync.RWMutex
	byID      map[sessionID]uint32
	bySubject map[string]*members
	rows      []row // the first is nobody's
	free      []uint32
	bytes     int // of all records
}

type row struct {
	id     sessionID
	record record
	next   uint32 // of the same subject
}

// members are the rows of one subject, linked.
type members struct{ first, count uint32 }

const (
	mostBytes      = 1 << 30 // of all records
	mostData       = 64 << 10
	mostPerSubject = 100
)

// load copies a record: what it says of itself, and its data, which may be
// sealed.
func (t *table) load(id sessionID, rec, data []byte) (record, []byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at := t.byID[id]
	if at == 0 {
		return nil, nil, false
	}
	r := t.rows[at].record
	split := r.dataAt()
	return append(rec[:0], r[:split]...), append(data[:0], r[split:]...), true
}

// touch moves the last-seen time forward.
func (t *table) touch(id sessionID, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[t.byID[id]].record; r != nil && r.live(now) {
		r.set(24, uint64(max(now, r.lastSeen())))
	}
}

// insert adds a record, with mu held.
func (t *table) insert(id sessionID, r record) (at uint32, err error) {
	if t.bytes+len(r) > mostBytes {
		return 0, errFull
	}
	t.bytes += len(r)
	if n := len(t.free); n > 0 {
		at, t.free = t.free[n-1], t.free[:n-1]
	} else {
		at, t.rows = uint32(len(t.rows)), append(t.rows, row{})
	}
	t.rows[at] = row{id: id, record: r}
	t.byID[id] = at
	return at, nil
}

// remove forgets a record.
func (t *table) remove(id sessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeRow(id)
}

// removeRow is remove with mu held.
func (t *table) removeRow(id sessionID) {
	at := t.byID[id]
	if at == 0 {
		return
	}
	t.leave(at)
	t.bytes -= len(t.rows[at].record)
	t.rows[at] = row{}
	t.free = append(t.free, at)
	delete(t.byID, id)
}

// join adds a row to its subject's.
func (t *table) join(at uint32, subject string) {
	m := t.bySubject[subject]
	if m == nil {
		m = new(members)
		t.bySubject[subject] = m
	}
	t.rows[at].next = m.first
	m.first, m.count = at, m.count+1
}

// leave takes a row from its subject's, if it is among them.
func (t *table) leave(at uint32) {
	m := t.bySubject[string(t.rows[at].record.subject())]
	if m == nil {
		return
	}
	for link := &m.first; *link != 0; link = &t.rows[*link].next {
		if *link == at {
			*link = t.rows[at].next
			m.count--
			break
		}
	}
	if m.count == 0 {
		delete(t.bySubject, string(t.rows[at].record.subject()))
	}
}

// evict removes the subject's least recently seen record, but not the one that
// is replaced.
func (t *table) evict(m *members, replaced sessionID) {
	var oldest uint32
	for at := m.first; at != 0; at = t.rows[at].next {
		if t.rows[at].id != replaced && (oldest == 0 || t.rows[at].record.lastSeen() < t.rows[oldest].record.lastSeen()) {
			oldest = at
		}
	}
	t.removeRow(t.rows[oldest].id)
}
