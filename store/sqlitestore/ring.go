package sqlitestore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// A ring holds records one after the other in a single piece of memory without
// pointers, so that the garbage collector never looks into it. New ones are
// written at its head; when it is full, those at its tail make room, and one
// that was used since it was written gets a second round.
//
// An entry, in little endian, padded to a multiple of 8 bytes:
//
//	 0 size (4)  state (1)  retired (1)  length of subject (2)
//	 8 id (16)
//	24 version, created, last seen, idle, absolute (8 each, microseconds)
//	64 length of head (4)  length of data (4)
//	72 subject, head, data
type ring struct {
	at         map[store.ID]uint32 // where the entry of an id begins
	buf        []byte
	limit      uint64 // how long buf may become; a multiple of 8
	head, tail uint64 // ever growing; an entry begins at its position modulo limit
	survivors  []byte // scratch for entries on their way to a second round
}

const (
	offState    = 4
	offRetired  = 5
	offSubject  = 6
	offID       = 8
	offVersion  = 24
	offCreated  = 32
	offSeen     = 40
	offIdle     = 48
	offAbsolute = 56
	offHead     = 64
	offData     = 68
	offBytes    = 72

	stateDead  = 0 // removed, or padding before the end of the ring
	stateFresh = 1
	stateUsed  = 2 // read since it was written

	firstRing    = 16 << 10
	secondRounds = 4 // at most so many per new entry, so that one is never dear
)

// get returns the entry of id, or nil. It stays valid until the next put.
func (r *ring) get(id store.ID) []byte {
	offset, ok := r.at[id]
	if !ok {
		return nil
	}
	entry := r.buf[offset:]
	entry[offState] = stateUsed
	return entry
}

// drop forgets the entry of id.
func (r *ring) drop(id store.ID) {
	if offset, ok := r.at[id]; ok {
		r.buf[offset+offState] = stateDead
		delete(r.at, id)
	}
}

// clear forgets every entry.
func (r *ring) clear() {
	clear(r.at)
	r.head, r.tail = 0, 0
}

// put keeps a copy of rec, unless it would take more than a fourth of the ring.
func (r *ring) put(rec *store.Record) {
	r.drop(rec.ID)
	size := uint64(offBytes+len(rec.Subject)+len(rec.Head)+len(rec.Data)+7) &^ 7
	if size > r.limit/4 || len(rec.Subject) > math.MaxUint16 {
		return
	}
	r.survivors = r.survivors[:0]
	offset := r.place(size, secondRounds)
	encode(r.buf[offset:offset+uint32(size)], rec)
	if r.at == nil {
		r.at = make(map[store.ID]uint32)
	}
	r.at[rec.ID] = offset

	for rest := r.survivors; len(rest) > 0; {
		size := entrySize(rest)
		offset := r.place(size, 0)
		copy(r.buf[offset:], rest[:size])
		r.buf[offset+offState] = stateFresh
		r.at[entryID(rest)] = offset
		rest = rest[size:]
	}
}

// place makes room for an entry at the head and returns where.
func (r *ring) place(size uint64, rounds int) uint32 {
	r.grow(min(r.head+size, r.limit))
	if left := r.limit - r.head%r.limit; left < size {
		// An entry is in one piece: what is left before the end stays empty.
		r.makeRoom(left, &rounds)
		gap := r.buf[r.head%r.limit:]
		binary.LittleEndian.PutUint32(gap, uint32(left))
		gap[offState] = stateDead
		r.head += left
	}
	r.makeRoom(size, &rounds)
	offset := uint32(r.head % r.limit)
	r.head += size
	return offset
}

// grow lengthens the memory, which happens in the first round alone.
func (r *ring) grow(need uint64) {
	length := max(uint64(len(r.buf)), min(firstRing, r.limit))
	for length < need {
		length = min(2*length, r.limit)
	}
	if length > uint64(len(r.buf)) {
		r.buf = append(make([]byte, 0, length), r.buf...)[:length]
	}
}

// makeRoom lets the entries at the tail go until size bytes are free.
func (r *ring) makeRoom(size uint64, rounds *int) {
	for r.head+size-r.tail > r.limit {
		entry := r.buf[r.tail%r.limit:]
		length := entrySize(entry)
		r.tail += length
		if entry[offState] == stateDead {
			continue
		}
		delete(r.at, entryID(entry))
		if entry[offState] == stateUsed && *rounds > 0 {
			*rounds--
			r.survivors = append(r.survivors, entry[:length]...)
		}
	}
}

func entrySize(entry []byte) uint64 { return uint64(binary.LittleEndian.Uint32(entry)) }

func entryID(entry []byte) store.ID { return store.ID(entry[offID:offVersion]) }

func entryInt(entry []byte, offset int) int64 {
	return int64(binary.LittleEndian.Uint64(entry[offset:]))
}

func setEntryInt(entry []byte, offset int, value int64) {
	binary.LittleEndian.PutUint64(entry[offset:], uint64(value))
}

// entryLive is store.Record.Live for an entry.
func entryLive(entry []byte, now int64) bool {
	return entry[offRetired] == 0 &&
		now < min(entryInt(entry, offSeen)+entryInt(entry, offIdle), entryInt(entry, offAbsolute))
}

func encode(entry []byte, rec *store.Record) {
	binary.LittleEndian.PutUint32(entry, uint32(len(entry)))
	entry[offState] = stateFresh
	entry[offRetired] = 0
	if rec.Retired {
		entry[offRetired] = 1
	}
	binary.LittleEndian.PutUint16(entry[offSubject:], uint16(len(rec.Subject)))
	copy(entry[offID:], rec.ID[:])
	binary.LittleEndian.PutUint64(entry[offVersion:], rec.Version)
	setEntryInt(entry, offCreated, rec.Created.UnixMicro())
	setEntryInt(entry, offSeen, rec.LastSeen.UnixMicro())
	setEntryInt(entry, offIdle, rec.Idle.Microseconds())
	setEntryInt(entry, offAbsolute, rec.Absolute.UnixMicro())
	binary.LittleEndian.PutUint32(entry[offHead:], uint32(len(rec.Head)))
	binary.LittleEndian.PutUint32(entry[offData:], uint32(len(rec.Data)))
	rest := entry[offBytes:]
	rest = rest[copy(rest, rec.Subject):]
	rest = rest[copy(rest, rec.Head):]
	copy(rest, rec.Data)
}

// decode overwrites every field of rec, in the memory rec has where it fits.
func decode(entry []byte, rec *store.Record) {
	rec.ID = entryID(entry)
	rec.Version = binary.LittleEndian.Uint64(entry[offVersion:])
	rec.Created = instant(entryInt(entry, offCreated))
	rec.LastSeen = instant(entryInt(entry, offSeen))
	rec.Idle = microseconds(entryInt(entry, offIdle))
	rec.Absolute = instant(entryInt(entry, offAbsolute))
	rec.Retired = entry[offRetired] != 0
	subject := offBytes + int(binary.LittleEndian.Uint16(entry[offSubject:]))
	head := subject + int(binary.LittleEndian.Uint32(entry[offHead:]))
	data := head + int(binary.LittleEndian.Uint32(entry[offData:]))
	setSubject(rec, entry[offBytes:subject])
	rec.Head = append(rec.Head[:0], entry[subject:head]...)
	rec.Data = append(rec.Data[:0], entry[head:data]...)
}

// setSubject spares the allocation where the record has that subject already.
func setSubject(rec *store.Record, subject []byte) {
	if rec.Subject != string(subject) {
		rec.Subject = string(subject)
	}
}

// instant is the moment so many microseconds after the epoch.
func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
