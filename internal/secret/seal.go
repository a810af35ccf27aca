package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/coatcheck/coatcheck/store"
)

// DataKey seals the data of one session, until the next re-authentication. It
// is random and is kept only wrapped.
type DataKey [32]byte

// NewDataKey draws a key.
func NewDataKey() DataKey {
	var k DataKey
	rand.Read(k[:])
	return k
}

// Format prints a placeholder under every verb.
func (k DataKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue logs a placeholder.
func (k DataKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a placeholder.
func (k DataKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Box seals and opens with one data key, and keeps what that takes to prepare:
// setting AES-256-GCM up for a key costs more than using it. The zero Box has
// the zero key.
type Box struct {
	key  DataKey
	aead cipher.AEAD // nil until it is needed
	// bound is what was last authenticated with data: mostly there is one
	// session for a key. It is never changed in place.
	bound []byte
}

// Use makes the box one of this key.
func (b *Box) Use(k DataKey) {
	if b.key != k {
		*b = Box{key: k}
	}
}

// Key is the key of the box.
func (b *Box) Key() DataKey { return b.key }

// Format prints a placeholder under every verb.
func (b Box) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue logs a placeholder.
func (b Box) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a placeholder.
func (b Box) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Wrapped is a data key under a key derived from a secret: their exclusive or.
// That is a one-time pad, because a secret wraps one data key only: whatever
// draws a data key draws a secret too. It needs no check of its own, because
// data does not open under a wrong key.
type Wrapped [32]byte

// Wrap returns k wrapped under s.
func (n Scope) Wrap(k DataKey, s Secret) Wrapped {
	pad := n.derive(labelWrap, s[:])
	var w Wrapped
	subtle.XORBytes(w[:], k[:], pad[:])
	return w
}

// Unwrap returns the key that was wrapped under s.
func (n Scope) Unwrap(w Wrapped, s Secret) DataKey {
	return DataKey(n.Wrap(DataKey(w), s))
}

// ErrSealed says that sealed data does not open: it, its key or its session's
// id is not what it was.
var ErrSealed = errors.New("the session's data does not open under its key; the stored record has been damaged or exchanged")

// sealVersion is the first byte of sealed data.
const sealVersion = 1

// Seal appends sealed data to dst:
//
//	byte 0   1        13                    end-16       end
//	     +---+--------+---------------------+------------+
//	     | 1 | nonce  | AES-256-GCM         | tag        |
//	     +---+--------+---------------------+------------+
//
// The manager's name and the session's id are authenticated with it, so that
// data cannot be moved to another session. Empty data is sealed as nothing.
func (n Scope) Seal(dst []byte, b *Box, id store.ID, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(dst, sealVersion)
	return b.prepared().Seal(dst, nil, data, b.boundTo(n, id))
}

// Open appends the data that was sealed to dst, or returns ErrSealed. It is
// safe for dst to have no capacity in common with sealed.
func (n Scope) Open(dst []byte, b *Box, id store.ID, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return dst, nil
	}
	if sealed[0] != sealVersion {
		return dst, fmt.Errorf("sealed data of version %d is unknown to this release: %w", sealed[0], ErrSealed)
	}
	out, err := b.prepared().Open(dst, nil, sealed[1:], b.boundTo(n, id))
	if err != nil {
		return dst, ErrSealed
	}
	return out, nil
}

// Overhead is how much longer sealed data is than what it seals, in bytes.
const Overhead = 1 + 12 + 16

// boundTo returns what is authenticated with the data of a session.
func (b *Box) boundTo(n Scope, id store.ID) []byte {
	if len(b.bound) != len(id)+len(n) || store.ID(b.bound[:len(id)]) != id || string(b.bound[len(id):]) != string(n) {
		b.bound = append(append(make([]byte, 0, len(id)+len(n)), id[:]...), n...)
	}
	return b.bound
}

func (b *Box) prepared() cipher.AEAD {
	if b.aead != nil {
		return b.aead
	}
	block, err := aes.NewCipher(b.key[:])
	if err != nil {
		panic("coatcheck: a key of 32 bytes was refused: " + err.Error())
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("coatcheck: AES was refused as the block of GCM: " + err.Error())
	}
	b.aead = gcm
	return gcm
}
