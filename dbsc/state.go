package dbsc

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// State is what a server keeps of one session's binding. Of every secret it
// has the hash alone. The zero State is that of a session that is not bound
// and cannot be.
//
// Version 1, integers big-endian, times in microseconds since 1970:
//
//	byte 0   version, 1
//	     1   1: offered, 2: bound
//	offered: SHA-256 of the registration challenge, 32 bytes; until when, 8 bytes
//	bound:   when it was bound, 8 bytes
//	         the open challenge, 32 bytes
//	         SHA-256 of the cookie, 32 bytes; until when it is good, 8 bytes
//	         the same of the cookie before; 40 zero bytes if there was none
//	         algorithm, 1: ES256, 2: RS256; the key as in Key.Public, the rest
type State struct {
	Offered *Offered
	Bound   *Bound
}

// Offered is a registration that has been offered and not taken up.
type Offered struct {
	Challenge [sha256.Size]byte // hash
	Until     time.Time
}

// Bound is a binding. A proof answers the open challenge.
type Bound struct {
	Since     time.Time
	Challenge [32]byte // no secret: it opens nothing without the key
	Current   Ticket
	Previous  Ticket // the one before, good until its own end
	Key       Key
}

// Ticket is a short-lived cookie, as far as the server knows it.
type Ticket struct {
	Hash  [sha256.Size]byte
	Until time.Time // zero: there is none
}

const stateVersion = 1

// ErrState says that stored bytes are no State that this release can read.
var ErrState = errors.New("dbsc: unreadable binding of a session")

// Append appends the stored form to dst; nothing for the zero State.
func (s State) Append(dst []byte) []byte {
	switch {
	case s.Bound != nil:
		b := s.Bound
		dst = append(dst, stateVersion, 2)
		dst = appendTime(dst, b.Since)
		dst = append(dst, b.Challenge[:]...)
		for _, t := range [...]Ticket{b.Current, b.Previous} {
			dst = append(dst, t.Hash[:]...)
			dst = appendTime(dst, t.Until)
		}
		algorithm := byte(1)
		if b.Key.Algorithm == RS256 {
			algorithm = 2
		}
		return append(append(dst, algorithm), b.Key.Public...)
	case s.Offered != nil:
		dst = append(dst, stateVersion, 1)
		dst = append(dst, s.Offered.Challenge[:]...)
		return appendTime(dst, s.Offered.Until)
	}
	return dst
}

// Parse reads the stored form. An error wraps ErrState. Nothing is lent.
func Parse(b []byte) (State, error) {
	const (
		offeredLen = 2 + 32 + 8
		boundLen   = 2 + 8 + 32 + 2*(32+8) + 1
	)
	switch {
	case len(b) == 0:
		return State{}, nil
	case b[0] != stateVersion:
		return State{}, fmt.Errorf("%w: version %d is unknown to this release", ErrState, b[0])
	case len(b) == offeredLen && b[1] == 1:
		o := &Offered{Until: readTime(b[34:])}
		copy(o.Challenge[:], b[2:])
		return State{Offered: o}, nil
	case len(b) > boundLen && b[1] == 2:
		n := &Bound{Since: readTime(b[2:])}
		copy(n.Challenge[:], b[10:])
		n.Current, n.Previous = readTicket(b[42:]), readTicket(b[82:])
		switch b[122] {
		case 1:
			n.Key.Algorithm = ES256
		case 2:
			n.Key.Algorithm = RS256
		default:
			return State{}, fmt.Errorf("%w: algorithm %d is unknown to this release", ErrState, b[122])
		}
		n.Key.Public = append([]byte(nil), b[boundLen:]...)
		return State{Bound: n}, nil
	}
	return State{}, fmt.Errorf("%w: %d bytes are not one", ErrState, len(b))
}

func readTicket(b []byte) Ticket {
	return Ticket{Hash: [32]byte(b[:32]), Until: readTime(b[32:])}
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(dst, 0)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMicro()))
}

func readTime(b []byte) time.Time {
	us := int64(binary.BigEndian.Uint64(b))
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Secret is what a cookie or a registration challenge holds: it is shown to the
// browser once and kept as a hash.
type Secret string

// newSecret draws 32 bytes, written as 43 characters of base64url.
func newSecret() Secret {
	var b [32]byte
	rand.Read(b[:])
	return Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Reveal returns the text, for the header that it belongs to.
func (s Secret) Reveal() string { return string(s) }

// Format prints a placeholder under every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue logs a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText writes a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

func hash(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func equal(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
