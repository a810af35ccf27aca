package dbsc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/coatcheck/coatcheck/dbsc"
)

// device signs proofs as browsers do.
type device struct {
	algorithm dbsc.Algorithm
	key       crypto.Signer
}

func newDevice(t testing.TB, algorithm dbsc.Algorithm) *device {
	t.Helper()
	d := &device{algorithm: algorithm}
	var err error
	if algorithm == dbsc.RS256 {
		d.key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) jwk() map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	switch public := d.key.Public().(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, _ := public.Bytes()
		return map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	}
	return nil
}

// proof answers a challenge; the first one brings the key.
func (d *device) proof(t testing.TB, challenge string, first bool) string {
	t.Helper()
	header := map[string]any{"alg": d.algorithm, "typ": "dbsc+jwt"}
	if first {
		header["jwk"] = d.jwk()
	}
	signed := segment(t, header) + "." + segment(t, map[string]string{"jti": challenge})
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch key := d.key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, key, sum[:])
		if err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
