package dbsc_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
)

var vectorFile = flag.String("vectors", "testdata/vectors.json", "the `file` of vectors that TestVectors judges")

// vector is one judgement on what a browser sent. The committed ones were
// signed by another program; a file of anybody's is judged by
//
//	go test ./dbsc -run TestVectors -vectors FILE
//
// with an absolute path. Of this package they know what is exported.
type vector struct {
	Name    string
	Rule    string // where the rule is written
	Request string // register, refresh, or use: an ordinary request
	Now     time.Time
	Headers map[string]string
	Cookie  string // the short-lived one, of request use
	Stored  struct {
		Offered *struct {
			Challenge string
			Until     time.Time
		}
		Bound *struct {
			Since             time.Time
			Algorithm         dbsc.Algorithm `json:"alg"`
			JWK               publicKey
			Challenge         string // open; base64url of 32 bytes
			Cookie            string
			CookieUntil       time.Time `json:"cookie_until"`
			CookieBefore      string    `json:"cookie_before"`
			CookieBeforeUntil time.Time `json:"cookie_before_until"`
		}
	}
	Algorithms []dbsc.Algorithm // that are offered; default: all
	// Want is registered, renewed, challenged (the proof answers another
	// challenge), not offered, not bound or refused; of request use, proven or
	// unproven.
	Want    string
	WantJWK *publicKey     `json:"want_jwk"` // what is then stored
	WantAlg dbsc.Algorithm `json:"want_alg"`
}

type publicKey struct{ Kty, Crv, X, Y, N, E string }

// bytes writes the key as dbsc.Key has it.
func (k publicKey) bytes(t *testing.T) []byte {
	t.Helper()
	if k.N == "" {
		return append(append([]byte{4}, decoded(t, k.X)...), decoded(t, k.Y)...)
	}
	exponent := new(big.Int).SetBytes(decoded(t, k.E))
	return append(exponent.FillBytes(make([]byte, 4)), decoded(t, k.N)...)
}

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v *vector) state(t *testing.T) (s dbsc.State) {
	t.Helper()
	if o := v.Stored.Offered; o != nil {
		s.Offered = &dbsc.Offered{Challenge: sha256.Sum256([]byte(o.Challenge)), Until: o.Until}
	}
	if b := v.Stored.Bound; b != nil {
		s.Bound = &dbsc.Bound{
			Since: b.Since, Challenge: [32]byte(decoded(t, b.Challenge)),
			Current: dbsc.Ticket{Hash: sha256.Sum256([]byte(b.Cookie)), Until: b.CookieUntil},
			Key:     dbsc.Key{Algorithm: b.Algorithm, Public: b.JWK.bytes(t)},
		}
		if b.CookieBefore != "" {
			s.Bound.Previous = dbsc.Ticket{Hash: sha256.Sum256([]byte(b.CookieBefore)), Until: b.CookieBeforeUntil}
		}
	}
	return s
}

// judge returns what comes of the vector, in its words.
func (v *vector) judge(t *testing.T) (got string, next dbsc.State, cookie dbsc.Secret) {
	t.Helper()
	c := dbsc.Config{Mode: dbsc.Prefer, Algorithms: v.Algorithms}
	c.SetDefaults()
	present := v.state(t)
	proof := v.Headers[dbsc.HeaderResponse]
	var err error
	switch v.Request {
	case "register":
		got = "registered"
		next, cookie, err = c.Register(present, proof, v.Now)
	case "refresh":
		got = "renewed"
		next, cookie, err = c.Refresh(present, proof, v.Now)
	case "use":
		if present.Proves(v.Cookie, v.Now) {
			return "proven", present, ""
		}
		return "unproven", present, ""
	default:
		t.Fatalf("the request %q is none of register, refresh, use", v.Request)
	}
	switch {
	case err == nil:
		return got, next, cookie
	case errors.Is(err, dbsc.ErrChallenge):
		got = "challenged"
	case errors.Is(err, dbsc.ErrNotOffered):
		got = "not offered"
	case errors.Is(err, dbsc.ErrNotBound):
		got = "not bound"
	case errors.Is(err, dbsc.ErrProof):
		got = "refused"
	default:
		t.Fatalf("an error that nobody can act on: %v", err)
	}
	if !bytes.Equal(next.Append(nil), present.Append(nil)) || cookie != "" {
		t.Error("what is not accepted changed the state")
	}
	return got, next, ""
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile(*vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&vectors); err != nil {
		t.Fatalf("%s: %v", *vectorFile, err)
	}
	if len(vectors) == 0 {
		t.Fatal("there are no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Request+"/"+v.Name, func(t *testing.T) {
			got, next, cookie := v.judge(t)
			if got != v.Want {
				t.Fatalf("%s, want %s (%s)", got, v.Want, v.Rule)
			}
			if cookie == "" {
				return
			}
			if next.Offered != nil || next.Bound == nil || !next.Proves(cookie.Reveal(), v.Now.Add(dbsc.LeewayBare)) {
				t.Fatalf("the cookie is not good in the new state %+v", next)
			}
			if before := v.state(t).Bound; before != nil && next.Bound.OpenChallenge() == before.OpenChallenge() {
				t.Error("the same challenge is open again")
			}
			want := next.Bound.Key
			if v.WantJWK != nil {
				want = dbsc.Key{Algorithm: v.WantAlg, Public: v.WantJWK.bytes(t)}
			} else if v.Stored.Bound != nil {
				want = v.state(t).Bound.Key
			}
			if next.Bound.Key.Algorithm != want.Algorithm || !bytes.Equal(next.Bound.Key.Public, want.Public) {
				t.Errorf("stored is the key %v, want %v", next.Bound.Key, want)
			}
		})
	}
}
