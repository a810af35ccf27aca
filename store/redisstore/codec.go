package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Offsets into a stored record, as the package comment draws it. The scripts
// count from 1 and know the same places.
const (
	atFormat      = 0
	atFlags       = 1
	atVersion     = 2
	atCreated     = 10
	atSeen        = 18
	atIdle        = 26
	atAbsolute    = 34
	atSubjectSize = 42
	atHeadSize    = 44
	atSubject     = 46

	format      = 1
	flagRetired = 1

	// most is how many bytes a record has at most before its data.
	most = atSubject + store.MaxSubject + store.MaxHead
)

// errForeign is what a value that this package has not written is met with.
var errForeign = errors.New("redisstore: a value in the database is not a session that this version can read: another program writes under the same prefix, or a newer version of this one")

// check refuses a record that cannot be stored.
func check(rec *store.Record) error {
	switch {
	case len(rec.Subject) > store.MaxSubject:
		return fmt.Errorf("redisstore: a subject has at most %d bytes, this has %d", store.MaxSubject, len(rec.Subject))
	case len(rec.Head) > store.MaxHead:
		return fmt.Errorf("redisstore: a head has at most %d bytes, this has %d", store.MaxHead, len(rec.Head))
	case len(rec.Data) > maxData:
		return fmt.Errorf("redisstore: data has at most %d bytes, this has %d", maxData, len(rec.Data))
	}
	return nil
}

// maxData keeps a value far from the 512 MiB that Redis allows.
const maxData = 64 << 20

// encode returns the record as it is stored.
func encode(rec *store.Record) []byte {
	b := make([]byte, atSubject, atSubject+len(rec.Subject)+len(rec.Head)+len(rec.Data))
	b[atFormat] = format
	if rec.Retired {
		b[atFlags] = flagRetired
	}
	binary.BigEndian.PutUint64(b[atVersion:], rec.Version)
	putTime(b[atCreated:], rec.Created)
	putTime(b[atSeen:], rec.LastSeen)
	binary.BigEndian.PutUint64(b[atIdle:], uint64(rec.Idle.Microseconds()))
	putTime(b[atAbsolute:], rec.Absolute)
	binary.BigEndian.PutUint16(b[atSubjectSize:], uint16(len(rec.Subject)))
	binary.BigEndian.PutUint16(b[atHeadSize:], uint16(len(rec.Head)))
	b = append(b, rec.Subject...)
	b = append(b, rec.Head...)
	return append(b, rec.Data...)
}

// decode fills rec from a stored record, reusing the capacity of its slices.
// Without data it accepts a record that was cut off within the data.
func decode(b string, id store.ID, rec *store.Record, withData bool) error {
	if len(b) < atSubject || b[atFormat] != format {
		return errForeign
	}
	subjectEnd := atSubject + int(b[atSubjectSize])<<8 + int(b[atSubjectSize+1])
	headEnd := subjectEnd + int(b[atHeadSize])<<8 + int(b[atHeadSize+1])
	if len(b) < headEnd {
		return errForeign
	}
	rec.ID = id
	rec.Version = uint64(number(b[atVersion:]))
	// Most loads are of the session that rec held before: no new string then.
	if rec.Subject != b[atSubject:subjectEnd] {
		rec.Subject = string([]byte(b[atSubject:subjectEnd]))
	}
	rec.Created, rec.LastSeen = timeAt(b[atCreated:]), timeAt(b[atSeen:])
	rec.Idle = time.Duration(number(b[atIdle:])) * time.Microsecond
	rec.Absolute = timeAt(b[atAbsolute:])
	rec.Retired = b[atFlags]&flagRetired != 0
	rec.Head = append(rec.Head[:0], b[subjectEnd:headEnd]...)
	rec.Data = rec.Data[:0]
	if withData {
		rec.Data = append(rec.Data, b[headEnd:]...)
	}
	return nil
}

// deadline of a stored record, in microseconds.
func deadlineOf(b string) (int64, error) {
	if len(b) < atSubject || b[atFormat] != format {
		return 0, errForeign
	}
	return min(number(b[atSeen:])+number(b[atIdle:]), number(b[atAbsolute:])), nil
}

func number(b string) (n int64) {
	_ = b[7]
	for i := range 8 {
		n = n<<8 | int64(b[i])
	}
	return n
}

func timeAt(b string) time.Time { return time.UnixMicro(number(b)).UTC() }

func putTime(b []byte, t time.Time) { binary.BigEndian.PutUint64(b, uint64(t.UnixMicro())) }

// instant is a time as scripts take it.
func instant(t time.Time) string {
	var b [8]byte
	putTime(b[:], t)
	return string(b[:])
}

// version is one as scripts take it.
func version(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }
