// Package payload reads and writes the data of a session: named values in one
// byte string, in which a value is found without decoding the others.
//
//	byte 0   1
//	     +---+-----------------------------------------------------+
//	     | 1 | values, in the order in which they were first set   |
//	     +---+-----------------------------------------------------+
//
// and each value as
//
//	+-----------+------+-----+-----------+-------+
//	| uvarint k | name | tag | uvarint n | value |
//	+-----------+------+-----+-----------+-------+
//	              k      1                 n
//
// The tag says in which form the value is written; the form is the caller's.
// The empty byte string is the payload without values. A payload of another
// version is refused by Check.
package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

const version = 1

// Value is one value as it is written. Bytes may be lent: see Find.
type Value struct {
	Tag   byte
	Bytes []byte
}

// Equal reports whether both are written the same.
func (v Value) Equal(other Value) bool {
	return v.Tag == other.Tag && string(v.Bytes) == string(other.Bytes)
}

// Find returns the value of that name, lent from p.
func Find(p []byte, name string) (v Value, found bool) {
	for rest := body(p); len(rest) > 0; {
		n, value, tail, ok := next(rest)
		if !ok {
			return Value{}, false
		}
		if string(n) == name {
			return value, true
		}
		rest = tail
	}
	return Value{}, false
}

// Put appends to dst the payload p with that value set. dst must not share
// memory with p or v.
func Put(dst, p []byte, name string, v Value) []byte {
	from, to := place(p, name)
	if to == 0 {
		return appendValue(append(dst, version), name, v)
	}
	dst = append(dst, p[:from]...)
	dst = appendValue(dst, name, v)
	return append(dst, p[to:]...)
}

// Remove appends to dst the payload p without the value of that name: nothing
// if it was the last. dst must not share memory with p.
func Remove(dst, p []byte, name string) []byte {
	from, to := place(p, name)
	if to == 0 || from == 1 && to == len(p) {
		return dst
	}
	return append(append(dst, p[:from]...), p[to:]...)
}

// place returns where in p the value of that name begins and ends. If there is
// none it begins behind the last value; if p has no values both are 0.
func place(p []byte, name string) (from, to int) {
	rest := body(p)
	if rest == nil {
		return 0, 0
	}
	for len(rest) > 0 {
		n, _, tail, ok := next(rest)
		if !ok {
			break
		}
		if string(n) == name {
			return len(p) - len(rest), len(p) - len(tail)
		}
		rest = tail
	}
	return len(p) - len(rest), len(p)
}

// Names yields the names in p, in their order.
func Names(p []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := body(p); len(rest) > 0; {
			n, _, tail, ok := next(rest)
			if !ok || !yield(string(n)) {
				return
			}
			rest = tail
		}
	}
}

// Size is the number of bytes that a value adds to a payload that has none of
// its name.
func Size(name string, v Value) int {
	return uvarintLen(len(name)) + len(name) + 1 + uvarintLen(len(v.Bytes)) + len(v.Bytes)
}

// ErrMalformed says that a byte string is not a payload.
var ErrMalformed = errors.New("malformed session data")

// Check returns nil if p is a payload that every function here reads to its
// end, and an error that wraps ErrMalformed otherwise: what a newer release
// wrote must be refused, before a Put drops what it cannot read.
func Check(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case p[0] != version:
		return fmt.Errorf("%w: version %d is unknown to this release", ErrMalformed, p[0])
	case len(p) == 1:
		return fmt.Errorf("%w: a payload without values is empty", ErrMalformed)
	}
	for rest := body(p); len(rest) > 0; {
		_, _, tail, ok := next(rest)
		if !ok {
			return fmt.Errorf("%w: a value ends %d bytes before the end", ErrMalformed, len(rest))
		}
		rest = tail
	}
	return nil
}

func body(p []byte) []byte {
	if len(p) == 0 || p[0] != version {
		return nil
	}
	return p[1:]
}

// next cuts the first value off rest.
func next(rest []byte) (name []byte, v Value, tail []byte, ok bool) {
	// Most lengths have one byte: then all of it is read at once.
	if len(rest) > 0 && rest[0] < 0x80 {
		tag := 1 + int(rest[0])
		if at := tag + 2; at <= len(rest) && rest[tag+1] < 0x80 {
			if end := at + int(rest[tag+1]); end <= len(rest) {
				return rest[1:tag:tag], Value{rest[tag], rest[at:end:end]}, rest[end:], true
			}
		}
	}
	return nextSlowly(rest)
}

func nextSlowly(rest []byte) (name []byte, v Value, tail []byte, ok bool) {
	name, rest, ok = cut(rest)
	if !ok || len(rest) == 0 {
		return nil, Value{}, nil, false
	}
	v.Tag = rest[0]
	v.Bytes, tail, ok = cut(rest[1:])
	return name, v, tail, ok
}

// cut takes a length and as many bytes. A length written longer than needed is
// refused, so that there is one way to write a payload.
func cut(b []byte) (head, tail []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) || used != uvarintLen(int(n)) {
		return nil, nil, false
	}
	end := used + int(n)
	return b[used:end:end], b[end:], true
}

func appendValue(dst []byte, name string, v Value) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = append(dst, v.Tag)
	dst = binary.AppendUvarint(dst, uint64(len(v.Bytes)))
	return append(dst, v.Bytes...)
}

func uvarintLen(n int) int {
	length := 1
	for ; n >= 0x80; n >>= 7 {
		length++
	}
	return length
}
