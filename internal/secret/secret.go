// Package secret makes and checks what opens a session: the secret that the
// browser alone knows, the token that carries it in a cookie, the verifiers
// that a store may keep of it, and the keys derived from it that seal a
// session's data.
//
// Everything derived is SHA-256 over
//
//	byte 0        8      9               9+n
//	     +--------+------+---------------+-----------------+
//	     | label  | n    | manager name  | secret material |
//	     +--------+------+---------------+-----------------+
//
// The labels keep the uses apart, and the name keeps apart two managers on one
// store: a token of one opens nothing under the other. The material is
// uniformly random, so that one hash is enough. vectors_test.go freezes every
// format.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"

	"github.com/coatcheck/coatcheck/store"
)

const (
	familyLen = 8
	secretLen = 32
)

// Secret opens one session.
//
//	byte 0        8                             32
//	     +--------+------------------------------+
//	     | family | fresh                        |
//	     +--------+------------------------------+
//
// The family is drawn at sign-in and at re-authentication; the rest at each
// rotation. A secret of the right family that no longer opens its session was
// once issued for it; one of another family never was.
type Secret [secretLen]byte

// New draws a secret of a new family.
func New() Secret {
	var s Secret
	rand.Read(s[:]) // never fails: crypto/rand ends the program instead
	return s
}

// Rotated draws a new secret of the same family.
func (s Secret) Rotated() Secret {
	rand.Read(s[familyLen:])
	return s
}

// Format prints a placeholder under every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue logs a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a placeholder, so that encoders reveal nothing.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[secret]"

// Verifier is what a store keeps of a secret. Nothing can be opened with it.
type Verifier [sha256.Size]byte

// Equal compares in constant time: whatever the bytes are, all are looked at,
// eight at a time, and there is one branch at the end.
func (v Verifier) Equal(other Verifier) bool {
	var differ uint64
	for i := 0; i < len(v); i += 8 {
		differ |= binary.NativeEndian.Uint64(v[i:]) ^ binary.NativeEndian.Uint64(other[i:])
	}
	return differ == 0
}

// FamilyVerifier is what a store keeps of a secret's family: the first half
// of its hash, which is twice as long as the family itself.
type FamilyVerifier [sha256.Size / 2]byte

// Equal compares in constant time.
func (v FamilyVerifier) Equal(other FamilyVerifier) bool {
	return subtle.ConstantTimeCompare(v[:], other[:]) == 1
}

// Scope is the manager's name, which is part of everything derived. At most
// MaxScope bytes.
type Scope string

// MaxScope bounds a Scope, in bytes.
const MaxScope = 64

// label says what a derived value is for. All have 8 bytes.
type label string

const (
	labelVerifier label = "cc1-open"
	labelFamily   label = "cc1-line"
	labelWrap     label = "cc1-wrap"
	labelCSRF     label = "cc1-csrf"
)

// derive hashes label, name and material. It does not allocate.
func (n Scope) derive(l label, material []byte) [sha256.Size]byte {
	var b [len(labelVerifier) + 1 + MaxScope + maxMaterial]byte
	end := copy(b[:], l)
	b[end] = byte(len(n))
	end++
	end += copy(b[end:], n)
	end += copy(b[end:], material)
	return sha256.Sum256(b[:end])
}

// maxMaterial is the length of the longest material.
const maxMaterial = secretLen

// Verifier returns the verifier of a secret.
func (n Scope) Verifier(s Secret) Verifier {
	return n.derive(labelVerifier, s[:])
}

// Family returns the verifier of a secret's family.
func (n Scope) Family(s Secret) FamilyVerifier {
	full := n.derive(labelFamily, s[:familyLen])
	return FamilyVerifier(full[:len(FamilyVerifier{})])
}

// CSRFKey returns the key for a session's CSRF tokens. It depends on the
// family alone, so that rotation leaves tokens good.
func (n Scope) CSRFKey(id store.ID, s Secret) [sha256.Size]byte {
	return n.derive(labelCSRF, append(id[:], s[:familyLen]...))
}
