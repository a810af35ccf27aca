package redisstore

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/coatcheck/coatcheck/store"
)

// keys writes the names under which a store keeps things, as the package
// comment draws them.
type keys struct {
	prefix string
	// markOf says which placement's tag the mark of all has, for a placement.
	// nil: one mark is in reach of every script, as it is without a Cluster.
	markOf *[1 << 16]uint16
}

const (
	kindRecord  = 'r'
	kindSubject = 's'
	kindMark    = 'm'
	kindMarkAll = 'a'

	// restSize is how many hex digits of an id follow the kind of its record.
	restSize = 2 * (len(store.ID{}) - 2)
)

// key returns prefix:{placement}kind and rest.
func (k *keys) key(place [2]byte, kind byte, rest string) string {
	b := make([]byte, 0, len(k.prefix)+8+len(rest))
	b = append(b, k.prefix...)
	b = append(b, ':', '{')
	b = hex.AppendEncode(b, place[:])
	b = append(b, '}', kind)
	return string(append(b, rest...))
}

func (k *keys) record(id store.ID) string {
	return k.key(id.Placement(), kindRecord, restOf(id))
}

func (k *keys) subject(subject string) string {
	return k.key(store.PlacementOf(subject), kindSubject, subject)
}

func (k *keys) mark(subject string) string {
	return k.key(store.PlacementOf(subject), kindMark, subject)
}

// markAll is the mark of all that lies in the slot of a placement.
func (k *keys) markAll(place [2]byte) string {
	if k.markOf == nil {
		return k.key([2]byte{}, kindMarkAll, "")
	}
	of := k.markOf[int(place[0])<<8|int(place[1])]
	return k.key([2]byte{byte(of >> 8), byte(of)}, kindMarkAll, "")
}

// allMarks returns every mark of all, one for each slot that an id can be in.
func (k *keys) allMarks() (marks []string) {
	if k.markOf == nil {
		return []string{k.markAll([2]byte{})}
	}
	for place, of := range k.markOf {
		if uint16(place) == of {
			marks = append(marks, k.markAll([2]byte{byte(place >> 8), byte(place)}))
		}
	}
	return marks
}

// records is the pattern that matches the records of a store and nothing else.
// A prefix has no character with a meaning in patterns.
func (k *keys) records() string { return k.prefix + ":{????}" + string(kindRecord) + "*" }

// restOf is what the key of a record adds to its placement, and what stands for
// the record in the index of its subject.
func restOf(id store.ID) string { return hex.EncodeToString(id[2:]) }

// idOf reads the id in the key of a record.
func (k *keys) idOf(key string) (store.ID, error) {
	place, rest, ok := strings.Cut(strings.TrimPrefix(key, k.prefix+":{"), "}"+string(kindRecord))
	if !ok {
		return store.ID{}, fmt.Errorf("%w (key %q)", errForeign, key)
	}
	id, err := store.ParseID(place + rest)
	if err != nil {
		return store.ID{}, fmt.Errorf("%w (key %q)", errForeign, key)
	}
	return id, nil
}

// member reads the id that a member of a subject's index stands for.
func member(place [2]byte, rest string) (store.ID, error) {
	return store.ParseID(hex.EncodeToString(place[:]) + rest)
}

// slots is how many slots a Redis Cluster has.
const slots = 1 << 14

// slotOf is the slot in which a Cluster keeps the keys of a placement.
func slotOf(place [2]byte) uint16 { return placements().slot[int(place[0])<<8|int(place[1])] }

// tables relate placements to the slots of a Cluster.
type tables struct {
	slot   [1 << 16]uint16 // of a placement
	markOf [1 << 16]uint16 // the first placement in the same slot
}

var placements = sync.OnceValue(func() *tables {
	t := new(tables)
	var first [slots]int
	for place := range 1 << 16 {
		tag := hex.EncodeToString([]byte{byte(place >> 8), byte(place)})
		slot := crc16(tag) % slots
		if first[slot] == 0 {
			first[slot] = place + 1
		}
		t.slot[place], t.markOf[place] = slot, uint16(first[slot]-1)
	}
	return t
})

// crc16 is the checksum by which a Cluster maps tags to slots: CCITT's
// polynomial, most significant bit first, beginning with zero.
func crc16(s string) (crc uint16) {
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
