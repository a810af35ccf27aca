package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ID names a session for as long as it lives. It is no secret: it appears in
// lists, logs and events, and opens nothing.
//
//	byte 0        2                            16
//	     +--------+----------------------------+
//	     | place  | random                     |
//	     +--------+----------------------------+
//
// All sessions of one subject share their placement, so that a store that is
// spread over machines can keep them, their index and their mark together.
type ID [16]byte

// String returns the id as 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Placement is the part that all sessions of one subject share.
func (id ID) Placement() [2]byte { return [2]byte(id[:2]) }

// PlacementOf is the placement of the ids of a subject's records: the first two
// bytes of SHA-256 of Record.Subject. A store that is spread over machines finds
// a subject's records by it, and may refuse a record whose id has another.
func PlacementOf(subject string) [2]byte {
	hash := sha256.Sum256([]byte(subject))
	return [2]byte(hash[:2])
}

// IsZero reports whether the id is the zero ID, which names no session.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the id as String does.
func (id ID) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, id[:]), nil
}

// UnmarshalText accepts what ParseID does.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseID reads an id of 32 hex digits in lower case, the one form that String
// writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("store: a session id has %d hex digits, this has %d characters", 2*len(id), len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return ID{}, fmt.Errorf("store: a session id is written as %d hex digits in lower case", 2*len(id))
	}
	return id, nil
}
