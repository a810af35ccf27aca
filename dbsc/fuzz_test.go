package dbsc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
)

// FuzzProof gives any header value to everything that reads one. What is taken
// for a proof is written in the one way that there is; what is accepted was
// signed by the key, as another verifier says too.
func FuzzProof(f *testing.F) {
	seeds, err := filepath.Glob("testdata/fuzz/FuzzProof/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("there are no seeds: %v", err)
	}
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		f.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		f.Fatal(err)
	}
	for _, v := range vectors {
		if proof := v.Headers[dbsc.HeaderResponse]; proof != "" {
			f.Add(proof)
		}
	}
	c := defaults()
	now := vectors[0].Now
	f.Fuzz(func(t *testing.T, value string) {
		if _, err := dbsc.Named(value); err == nil {
			wantCanonical(t, value)
		} else if !errors.Is(err, dbsc.ErrProof) {
			t.Errorf("Named: an error that nobody can act on: %v", err)
		}
		for _, v := range vectors {
			s := v.state(t)
			if v.Request == "use" || v.Want != "registered" && v.Want != "renewed" {
				continue
			}
			judge := c.Register
			if v.Request == "refresh" {
				judge = c.Refresh
			}
			next, cookie, err := judge(s, value, now)
			switch {
			case err != nil && cookie != "":
				t.Errorf("a cookie with the error %v", err)
			case err == nil && !next.Proves(cookie.Reveal(), now.Add(time.Minute)):
				t.Error("the cookie is not good")
			case err == nil && next.Bound.Key.Algorithm == dbsc.ES256:
				wantSigned(t, value, next.Bound.Key)
			}
		}
	})
}

// wantCanonical fails the test if the value can be written in another way.
func wantCanonical(t *testing.T, value string) {
	t.Helper()
	parts := strings.Split(strings.Trim(strings.TrimSpace(value), `"`), ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts are a proof", len(parts))
	}
	for _, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != part {
			t.Errorf("%q can be written in another way: %v", part, err)
		}
	}
}

// wantSigned fails the test if crypto/ecdsa does not find the signature good.
func wantSigned(t *testing.T, value string, key dbsc.Key) {
	t.Helper()
	value = strings.Trim(strings.TrimSpace(value), `"`)
	dot := strings.LastIndexByte(value, '.')
	signature := decoded(t, value[dot+1:])
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key.Public)
	if err != nil || len(signature) != 64 {
		t.Fatalf("a signature of %d bytes by a key that is %v", len(signature), err)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
	sum := sha256.Sum256([]byte(value[:dot]))
	if err != nil || !ecdsa.VerifyASN1(public, sum[:], der) {
		t.Errorf("accepted, although the key did not sign it (%v)", err)
	}
}

// FuzzParse gives any bytes to what reads stored states: what it takes is
// stored again as it was.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/fuzz/FuzzParse/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("there are no seeds: %v", err)
	}
	for _, c := range states {
		f.Add(c.state.Append(nil))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		s, err := dbsc.Parse(stored)
		if err != nil {
			if !errors.Is(err, dbsc.ErrState) {
				t.Errorf("an error that nobody can act on: %v", err)
			}
			return
		}
		if again := s.Append(nil); string(again) != string(stored) {
			t.Errorf("%x is stored again as %x", stored, again)
		}
	})
}
