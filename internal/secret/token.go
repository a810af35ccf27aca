package secret

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"

	"github.com/coatcheck/coatcheck/store"
)

// Token is the value of a session cookie.
//
//	byte 0                16                              48
//	     +----------------+-------------------------------+
//	     | session id     | secret                        |
//	     +----------------+-------------------------------+
//
// Written in unpadded base64url these are 64 characters, with no bits to
// spare: there is one way to write a token.
type Token struct {
	ID     store.ID
	Secret Secret
}

// NewToken draws the token of a new session for that subject, as its record has
// it. An anonymous session, with an empty subject, is placed at random.
func NewToken(subject string) Token {
	var drawn [tokenBytes]byte
	rand.Read(drawn[:]) // at once: each reading costs more than its bytes
	var t Token
	t.take(&drawn)
	if subject != "" {
		place := store.PlacementOf(subject)
		copy(t.ID[:2], place[:])
	}
	return t
}

func (t *Token) take(raw *[tokenBytes]byte) {
	copy(t.ID[:], raw[:])
	copy(t.Secret[:], raw[len(t.ID):])
}

// TokenLen is the length of a written token in characters.
const TokenLen = 64

const tokenBytes = len(store.ID{}) + secretLen

// Parse makes t the token that is written. Anything but the one way to write it
// is refused, and then t is as it was.
func (t *Token) Parse(text string) bool {
	if len(text) != TokenLen {
		return false
	}
	var in [TokenLen]byte
	var out [tokenBytes]byte
	copy(in[:], text)
	// The decoder skips line ends, which leaves fewer bytes than there must be.
	n, err := base64.RawURLEncoding.Decode(out[:], in[:])
	if err != nil || n != tokenBytes {
		return false
	}
	t.take(&out)
	return true
}

// AppendReveal appends the written token, which opens the session: its only
// place is a Set-Cookie header.
func (t Token) AppendReveal(dst []byte) []byte {
	var raw [tokenBytes]byte
	copy(raw[:], t.ID[:])
	copy(raw[len(t.ID):], t.Secret[:])
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// Format prints the id and a placeholder for the secret under every verb.
func (t Token) Format(f fmt.State, _ rune) {
	io.WriteString(f, t.ID.String()+" "+redacted)
}

// LogValue logs what Format prints.
func (t Token) LogValue() slog.Value {
	return slog.StringValue(t.ID.String() + " " + redacted)
}

// MarshalText writes what Format prints.
func (t Token) MarshalText() ([]byte, error) {
	return []byte(t.ID.String() + " " + redacted), nil
}
