package site

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
)

// token is what the browser has of a session: written in base64url, 64
// characters.
type token struct {
	id     sessionID
	secret secret
}

type (
	sessionID [16]byte
	secret    [32]byte // the first eight bytes are the family
	verifier  [32]byte // what is kept of a secret
)

const (
	familyLen = 8
	tokenLen  = 64
	scope     = "id" // the name of the one whose sessions these are
)

// What is derived from a secret, and for what.
const (
	labelOpen   = "ld1-open"
	labelFamily = "ld1-line"
	labelWrap   = "ld1-wrap"
)

// derive hashes label, scope and secret material.
func derive(label string, material []byte) [32]byte {
	var space [8 + 1 + len(scope) + 32]byte
	b := append(space[:0], label...)
	b = append(b, byte(len(scope)))
	b = append(b, scope...)
	return sha256.Sum256(append(b, material...))
}

func (s *secret) verifier(label string) verifier { return derive(label, s[:]) }

// family is the verifier of the secret's family: half of a hash.
func (s *secret) family() (half [16]byte) {
	full := derive(labelFamily, s[:familyLen])
	copy(half[:], full[:])
	return half
}

func (v *verifier) equal(kept []byte) bool { return subtle.ConstantTimeCompare(v[:], kept) == 1 }

// drawToken draws a token, placed by the subject if there is one, and a data
// key if there is to be one: all at once, because each reading of random bytes
// costs more than they.
func drawToken(placedBy string, keyed bool) (t token, key dataKey) {
	var drawn [len(t.id) + len(t.secret) + len(key)]byte
	if keyed {
		rand.Read(drawn[:])
	} else {
		rand.Read(drawn[:len(t.id)+len(t.secret)])
	}
	copy(t.id[:], drawn[:])
	copy(t.secret[:], drawn[len(t.id):])
	copy(key[:], drawn[len(t.id)+len(t.secret):])
	if placedBy != "" {
		place := sha256.Sum256([]byte(placedBy))
		copy(t.id[:2], place[:])
	}
	return t, key
}

// line is the Set-Cookie line with the token.
func (t *token) line() string {
	var raw [48]byte
	copy(raw[:], t.id[:])
	copy(raw[16:], t.secret[:])
	var space [128]byte
	line := append(space[:0], floorCookie+"="...)
	line = base64.RawURLEncoding.AppendEncode(line, raw[:])
	return string(append(line, "; Path=/; Secure; HttpOnly; SameSite=Lax"...))
}

func parseToken(text string) (t token, ok bool) {
	if len(text) != tokenLen {
		return t, false
	}
	var in [tokenLen]byte
	var raw [48]byte
	copy(in[:], text)
	if n, err := base64.RawURLEncoding.Decode(raw[:], in[:]); err != nil || n != len(raw) {
		return t, false
	}
	copy(t.id[:], raw[:])
	copy(t.secret[:], raw[16:])
	return t, true
}

// firstCookie finds the token as the floor does.
func firstCookie(r *http.Request) string {
	for _, rest := range r.Header["Cookie"] {
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if value, found := strings.CutPrefix(strings.TrimSpace(pair), floorCookie+"="); found {
				return value
			}
		}
	}
	return ""
}

// The cookies that are looked for, and how many there may be of all.
var cookieNames = [2]string{floorCookie, floorCookie + "-visit"}

const mostCookies = 512

// scanCookies finds the sign-in and the visit among all cookies.
func scanCookies(r *http.Request) (found [len(cookieNames)]string, err error) {
	pairs := 0
	for _, rest := range r.Header["Cookie"] {
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if pairs++; pairs > mostCookies {
				return found, errCookies
			}
			pair = strings.Trim(pair, " \t")
			for i, name := range cookieNames {
				if len(pair) <= len(name) || pair[len(name)] != '=' || pair[:len(name)] != name {
					continue
				}
				if found[i] != "" {
					return found, errCookies
				}
				found[i] = pair[len(name)+1:]
			}
		}
	}
	return found, nil
}
