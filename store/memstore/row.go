package memstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// row is a record as it lies in a slot, little-endian, times and durations in
// microseconds:
//
//	0        1        2        4        6        8        12
//	+--------+--------+--------+--------+--------+--------+
//	| flags  | -      | len of | len of | next   | len of |
//	|        |        | subject| head   | free   | data   |
//	+--------+--------+--------+--------+--------+--------+
//	12       28        36        44         52     60         68
//	+--------+---------+---------+----------+------+----------+---------------------+
//	| id     | version | created | lastSeen | idle | absolute | subject, head, data |
//	+--------+---------+---------+----------+------+----------+---------------------+
//
// A slot without a record has no flags, and its next-free field links it.
type row []byte

const (
	rowHeader = 68

	flagUsed    = 1
	flagRetired = 2
)

// rowSize is the length of the row of a record with a subject of that length.
func rowSize(subject int, rec *store.Record) int {
	return rowHeader + subject + len(rec.Head) + len(rec.Data)
}

// checkBounds refuses what the contract does not let a record have.
func checkBounds(rec *store.Record) error {
	switch {
	case len(rec.Subject) > store.MaxSubject:
		return fmt.Errorf("memstore: a subject of %d bytes: at most %d are allowed", len(rec.Subject), store.MaxSubject)
	case len(rec.Head) > store.MaxHead:
		return fmt.Errorf("memstore: a head of %d bytes: at most %d are allowed", len(rec.Head), store.MaxHead)
	case uint64(len(rec.Data)) >= 1<<32:
		return fmt.Errorf("memstore: data of %d bytes: fewer than 4 GiB are allowed", len(rec.Data))
	}
	return nil
}

func (r row) used() bool       { return r[0]&flagUsed != 0 }
func (r row) retired() bool    { return r[0]&flagRetired != 0 }
func (r row) id() store.ID     { return store.ID(r[12:28]) }
func (r row) version() uint64  { return binary.LittleEndian.Uint64(r[28:]) }
func (r row) created() int64   { return r.micros(36) }
func (r row) lastSeen() int64  { return r.micros(44) }
func (r row) idle() int64      { return r.micros(52) }
func (r row) absolute() int64  { return r.micros(60) }
func (r row) nextFree() uint16 { return binary.LittleEndian.Uint16(r[6:]) }

func (r row) micros(at int) int64 { return int64(binary.LittleEndian.Uint64(r[at:])) }

func (r row) subjectEnd() int { return rowHeader + int(binary.LittleEndian.Uint16(r[2:])) }
func (r row) headEnd() int    { return r.subjectEnd() + int(binary.LittleEndian.Uint16(r[4:])) }
func (r row) dataEnd() int    { return r.headEnd() + int(binary.LittleEndian.Uint32(r[8:])) }

func (r row) subject() []byte { return r[rowHeader:r.subjectEnd()] }
func (r row) head() []byte    { return r[r.subjectEnd():r.headEnd()] }
func (r row) data() []byte    { return r[r.headEnd():r.dataEnd()] }

// deadline is the earlier of both limits.
func (r row) deadline() int64 { return min(r.lastSeen()+r.idle(), r.absolute()) }

// live reports whether the record is neither retired nor dead at now.
func (r row) live(now int64) bool { return !r.retired() && now < r.deadline() }

// seen moves the last-seen time forward.
func (r row) seen(at int64) {
	if at > r.lastSeen() {
		binary.LittleEndian.PutUint64(r[44:], uint64(at))
	}
}

// free wipes the slot, so that what was deleted is in memory no more, and links
// it.
func (r row) free(next uint16) {
	clear(r)
	binary.LittleEndian.PutUint16(r[6:], next)
}

// write fills the slot but for the subject, whose length alone it needs.
// Subject, creation and last-seen time are apart, because an Update keeps those
// of the record that it replaces. rec may not refer to the slot.
func (r row) write(rec *store.Record, subject int, created, lastSeen int64) {
	r[0] = flagUsed
	if rec.Retired {
		r[0] |= flagRetired
	}
	binary.LittleEndian.PutUint16(r[2:], uint16(subject))
	binary.LittleEndian.PutUint16(r[4:], uint16(len(rec.Head)))
	binary.LittleEndian.PutUint32(r[8:], uint32(len(rec.Data)))
	copy(r[12:], rec.ID[:])
	binary.LittleEndian.PutUint64(r[28:], rec.Version)
	binary.LittleEndian.PutUint64(r[36:], uint64(created))
	binary.LittleEndian.PutUint64(r[44:], uint64(lastSeen))
	binary.LittleEndian.PutUint64(r[52:], uint64(rec.Idle.Microseconds()))
	binary.LittleEndian.PutUint64(r[60:], uint64(rec.Absolute.UnixMicro()))
	head := rowHeader + subject
	data := head + len(rec.Head)
	end := data + len(rec.Data)
	copy(r[head:data], rec.Head)
	copy(r[data:end], rec.Data) // a row that does not fit its slot is a fault here, not half a record
	clear(r[end:])
}

// read fills rec but for its data. It reuses the capacity of rec.Head, and
// rec.Subject where that is the same, so that it need not allocate.
func (r row) read(rec *store.Record) {
	rec.ID = r.id()
	rec.Version = r.version()
	if subject := r.subject(); rec.Subject != string(subject) {
		rec.Subject = string(subject)
	}
	rec.Created = instant(r.created())
	rec.LastSeen = instant(r.lastSeen())
	rec.Idle = time.Duration(r.idle()) * time.Microsecond
	rec.Absolute = instant(r.absolute())
	rec.Retired = r.retired()
	rec.Head = append(rec.Head[:0], r.head()...)
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
