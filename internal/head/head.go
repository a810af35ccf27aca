// Package head reads and writes the part of a stored session that its manager
// needs before anything is unsealed: what a presented secret is checked
// against, how its data key is wrapped, and what lists show. A store keeps it
// as an opaque byte string.
//
// Version 1, integers big-endian, times in microseconds since 1970:
//
//	byte 0  version, 1
//	     1  flags: 1 signed in, 2 remembered, 4 sealed, 8 previous, 16 replaced, 32 bound
//	     2  level
//	     3  verifier of the family, 16 bytes
//	    19  verifier of the current secret, 32 bytes
//	    51  when the current secret was drawn, 8 bytes
//	    59  then, where the flag says so, in this order:
//	        signed in    when the user last proved who they are, 8 bytes
//	        remembered   lifetime in microseconds, 8 bytes
//	        sealed       data key wrapped under the current secret, 32 bytes
//	        previous     verifier, 32 bytes; when the current secret was first
//	                     seen, 8 bytes, 0 if not yet; if sealed, data key
//	                     wrapped under the previous secret, 32 bytes
//	        replaced     verifier, 32 bytes; until when it is stale, 8 bytes
//	        then three strings, each after a byte of length: the manager's name,
//	        the device's label, the network's prefix
//	        bound        the rest: what binds the session to a device, in a
//	                     format with a version of its own
//
// A head of another version is refused, never guessed at.
package head

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/internal/secret"
)

const (
	version  = 1
	fixedLen = 59 // of what every head has before its optional fields
)

const (
	flagSignedIn byte = 1 << iota
	flagRemembered
	flagSealed
	flagPrevious
	flagReplaced
	flagBound
	flagsKnown = 1<<iota - 1
)

// Head is the decoded form. Name, Device, Network and Bound are lent from the
// byte string that was parsed.
type Head struct {
	SignedIn   bool
	Remembered bool
	Sealed     bool
	Level      uint8

	Family  secret.FamilyVerifier
	Current secret.Verifier
	Drawn   time.Time // the current secret

	Authenticated time.Time     // if SignedIn
	Lifetime      time.Duration // if Remembered
	Wrap          secret.Wrapped

	// Previous is the secret before the current one, which stays good until
	// the current one has been seen and for a grace after that.
	HasPrevious  bool
	Previous     secret.Verifier
	Seen         time.Time // zero: the current secret has not been seen
	PreviousWrap secret.Wrapped

	// Replaced is a secret that opens nothing any more, but whose requests are
	// known to be late until ReplacedUntil.
	HasReplaced   bool
	Replaced      secret.Verifier
	ReplacedUntil time.Time

	Name, Device, Network []byte
	Bound                 []byte
}

// Limits of the strings, in bytes.
const (
	MaxName    = secret.MaxScope
	MaxDevice  = 128
	MaxNetwork = 64
	MaxBound   = 1280
)

// Append appends the encoded form to dst. Strings longer than their limits are
// cut.
func (h *Head) Append(dst []byte) []byte {
	flags := bit(h.SignedIn, flagSignedIn) | bit(h.Remembered, flagRemembered) |
		bit(h.Sealed, flagSealed) | bit(h.HasPrevious, flagPrevious) |
		bit(h.HasReplaced, flagReplaced) | bit(len(h.Bound) > 0, flagBound)
	dst = slices.Grow(dst, h.Size())
	dst = append(dst, version, flags, h.Level)
	dst = append(dst, h.Family[:]...)
	dst = append(dst, h.Current[:]...)
	dst = appendTime(dst, h.Drawn)
	if h.SignedIn {
		dst = appendTime(dst, h.Authenticated)
	}
	if h.Remembered {
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Lifetime.Microseconds()))
	}
	if h.Sealed {
		dst = append(dst, h.Wrap[:]...)
	}
	if h.HasPrevious {
		dst = append(dst, h.Previous[:]...)
		dst = appendTime(dst, h.Seen)
		if h.Sealed {
			dst = append(dst, h.PreviousWrap[:]...)
		}
	}
	if h.HasReplaced {
		dst = append(dst, h.Replaced[:]...)
		dst = appendTime(dst, h.ReplacedUntil)
	}
	dst = appendString(dst, h.Name, MaxName)
	dst = appendString(dst, h.Device, MaxDevice)
	dst = appendString(dst, h.Network, MaxNetwork)
	return append(dst, h.Bound...)
}

// Size is at least the length of the encoded form.
func (h *Head) Size() int {
	n := 78 + len(h.Name) + len(h.Device) + len(h.Network) + len(h.Bound)
	if h.Sealed {
		n += len(h.Wrap)
	}
	if h.HasPrevious {
		n += len(h.Previous) + 8 + len(h.PreviousWrap)
	}
	if h.HasReplaced {
		n += len(h.Replaced) + 8
	}
	return n
}

// ErrUnknown says that a byte string is no head that this release can read.
var ErrUnknown = errors.New("unreadable session record")

// Parse decodes b, all of it, into h, and lends from b. An error wraps
// ErrUnknown.
func (h *Head) Parse(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: it is empty", ErrUnknown)
	}
	if b[0] != version {
		return fmt.Errorf("%w: it is of version %d, this release reads version %d; it was written by a newer release or by something else", ErrUnknown, b[0], version)
	}
	if len(b) < fixedLen {
		return fmt.Errorf("%w: its %d bytes are fewer than the %d that every record has", ErrUnknown, len(b), fixedLen)
	}
	flags := b[1]
	*h = Head{
		SignedIn:    flags&flagSignedIn != 0,
		Remembered:  flags&flagRemembered != 0,
		Sealed:      flags&flagSealed != 0,
		HasPrevious: flags&flagPrevious != 0,
		HasReplaced: flags&flagReplaced != 0,
		Level:       b[2],
		Family:      secret.FamilyVerifier(b[3:19]),
		Current:     secret.Verifier(b[19:51]),
		Drawn:       instant(b[51:fixedLen]),
	}
	r := reader{rest: b[fixedLen:]}
	if h.SignedIn {
		h.Authenticated = r.time()
	}
	if h.Remembered {
		h.Lifetime = r.duration()
	}
	if h.Sealed {
		r.copy(h.Wrap[:])
	}
	if h.HasPrevious {
		r.copy(h.Previous[:])
		h.Seen = r.time()
		if h.Sealed {
			r.copy(h.PreviousWrap[:])
		}
	}
	if h.HasReplaced {
		r.copy(h.Replaced[:])
		h.ReplacedUntil = r.time()
	}
	h.Name = r.string(MaxName)
	h.Device = r.string(MaxDevice)
	h.Network = r.string(MaxNetwork)
	if flags&flagBound != 0 {
		h.Bound = r.take(max(len(r.rest), 1))
	}
	if flags > flagsKnown || r.bad || len(r.rest) != 0 || len(h.Bound) > MaxBound {
		return fmt.Errorf("%w: its %d bytes are not what its flags %#x say", ErrUnknown, len(b), flags)
	}
	return nil
}

// reader takes fields off a byte string; after the first that is missing it
// yields zeroes and stays bad.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	field := r.rest[:n:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) copy(dst []byte) { copy(dst, r.take(len(dst))) }

func (r *reader) time() time.Time {
	if b := r.take(8); b != nil {
		return instant(b)
	}
	return time.Time{}
}

// instant reads a time; 0 is the zero Time.
func instant(b []byte) time.Time {
	if us := int64(binary.BigEndian.Uint64(b)); us != 0 {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}

// duration reads one of less than 292 years, which is all that a Duration holds.
func (r *reader) duration() time.Duration {
	b := r.take(8)
	if b == nil {
		return 0
	}
	us := binary.BigEndian.Uint64(b)
	if us > uint64(math.MaxInt64/time.Microsecond) {
		r.bad = true
	}
	return time.Duration(us) * time.Microsecond
}

func (r *reader) string(limit int) []byte {
	length := r.take(1)
	if length == nil || int(length[0]) > limit {
		r.bad = true
		return nil
	}
	return r.take(int(length[0]))
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(dst, 0)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMicro()))
}

func appendString(dst, s []byte, limit int) []byte {
	s = s[:min(len(s), limit)]
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

func bit(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}
