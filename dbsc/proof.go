package dbsc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Limits of what is read from a browser.
const (
	maxProof  = 4 << 10 // characters of a proof
	minRSA    = 2048    // bits of a modulus (RFC 7518, 3.3)
	maxRSA    = 4096
	pointSize = 65 // bytes of an uncompressed P-256 point
)

// ErrProof says that a proof is not one: malformed, of another type or
// algorithm, or with a signature that does not fit. The error says what.
var ErrProof = errors.New("dbsc: not a valid proof")

// Key is the public key of a device.
type Key struct {
	Algorithm Algorithm
	// Public is an uncompressed point on P-256 (ES256), or the exponent in 4
	// bytes, big-endian, and the modulus (RS256).
	Public []byte
}

// proof is a compact JWS, taken apart and not yet believed.
type proof struct {
	header    joseHeader
	challenge string
	signed    string // what the signature is over
	signature []byte
}

type joseHeader struct {
	Algorithm Algorithm       `json:"alg"`
	Type      string          `json:"typ"`
	JWK       json.RawMessage `json:"jwk"`
	Critical  json.RawMessage `json:"crit"`
}

type claims struct {
	Challenge string `json:"jti"`
}

type jwk struct {
	Type     string `json:"kty"`
	Curve    string `json:"crv"`
	X        string `json:"x"`
	Y        string `json:"y"`
	Modulus  string `json:"n"`
	Exponent string `json:"e"`
}

// parseProof reads a header value, bare as Chromium writes it or quoted as the
// draft says.
func parseProof(value string) (proof, error) {
	text := unquote(value)
	if len(text) > maxProof {
		return proof{}, fmt.Errorf("%w: %d characters, at most %d", ErrProof, len(text), maxProof)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return proof{}, fmt.Errorf("%w: %d parts in place of 3", ErrProof, len(parts))
	}
	var p proof
	var c claims
	if err := decodeJSON(parts[0], &p.header); err != nil {
		return proof{}, fmt.Errorf("%w: header: %w", ErrProof, err)
	}
	if err := decodeJSON(parts[1], &c); err != nil {
		return proof{}, fmt.Errorf("%w: payload: %w", ErrProof, err)
	}
	signature, err := decodeBase64(parts[2])
	if err != nil {
		return proof{}, fmt.Errorf("%w: signature: %w", ErrProof, err)
	}
	if p.header.Type != "dbsc+jwt" {
		return proof{}, fmt.Errorf("%w: typ is %.40q, not dbsc+jwt", ErrProof, p.header.Type)
	}
	if p.header.Critical != nil {
		// There is no extension that this package has (RFC 7515, 4.1.11).
		return proof{}, fmt.Errorf("%w: crit names what must be understood and is not", ErrProof)
	}
	p.challenge, p.signature = c.Challenge, signature
	p.signed = text[:len(parts[0])+1+len(parts[1])]
	return p, nil
}

// unquote takes the quotes off a structured-field string (RFC 8941, 3.3.3). No
// value of this protocol has characters that are escaped in one.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// decodeBase64 reads the one unpadded base64url form of a byte string: no line
// ends, no bits to spare.
func decodeBase64(text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, err
	}
	if base64.RawURLEncoding.EncodedLen(len(b)) != len(text) {
		return nil, errors.New("line ends in base64url")
	}
	return b, nil
}

// decodeJSON reads one JSON object and nothing after it, whose members are
// named once each, since readers differ in which of two they believe.
func decodeJSON(text string, into any) error {
	b, err := decodeBase64(text)
	if err != nil {
		return err
	}
	if err := uniqueMembers(json.NewDecoder(bytes.NewReader(b))); err != nil {
		return err
	}
	return json.Unmarshal(b, into) // which refuses what comes after the object
}

func uniqueMembers(d *json.Decoder) error {
	if token, err := d.Token(); err != nil {
		return err
	} else if token != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	return members(d, 0)
}

// understood are the members that are read. encoding/json takes names that
// differ in case for the same; JWS does not.
var understood = []string{"alg", "typ", "jwk", "crit", "jti", "kty", "crv", "x", "y", "n", "e"}

// members reads the rest of an object, with what is in it.
func members(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name := token.(string)
		folded := strings.ToLower(name)
		switch {
		case seen[folded]:
			return fmt.Errorf("the member %.40q is there twice", folded)
		case name != folded && slices.Contains(understood, folded):
			return fmt.Errorf("the member %.40q is written %q", name, folded)
		}
		seen[folded] = true
		if err := member(d, depth); err != nil {
			return err
		}
	}
	_, err := d.Token() // the brace
	return err
}

// member reads a value.
func member(d *json.Decoder, depth int) error {
	if depth > 4 {
		return errors.New("JSON within JSON, too deep")
	}
	token, err := d.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('{'):
		return members(d, depth+1)
	case token != json.Delim('['):
		return nil
	}
	for d.More() {
		if err := member(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the bracket
	return err
}

// key returns the public key that a registration brings with it.
func (p *proof) key() (Key, error) {
	var k jwk
	if len(p.header.JWK) == 0 {
		return Key{}, fmt.Errorf("%w: no jwk", ErrProof)
	}
	if err := json.Unmarshal(p.header.JWK, &k); err != nil {
		return Key{}, fmt.Errorf("%w: jwk: %w", ErrProof, err)
	}
	switch p.header.Algorithm {
	case ES256:
		return k.point()
	case RS256:
		return k.modulus()
	}
	return Key{}, fmt.Errorf("%w: alg is %.40q", ErrProof, p.header.Algorithm)
}

func (k *jwk) point() (Key, error) {
	x, errX := decodeBase64(k.X)
	y, errY := decodeBase64(k.Y)
	if k.Type != "EC" || k.Curve != "P-256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return Key{}, fmt.Errorf("%w: jwk is not a P-256 key", ErrProof)
	}
	public := append(append([]byte{4}, x...), y...)
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public); err != nil {
		return Key{}, fmt.Errorf("%w: jwk: %w", ErrProof, err)
	}
	return Key{ES256, public}, nil
}

func (k *jwk) modulus() (Key, error) {
	n, errN := decodeBase64(k.Modulus)
	e, errE := decodeBase64(k.Exponent)
	if k.Type != "RSA" || errN != nil || errE != nil || len(n) == 0 || n[0] == 0 || len(e) == 0 || len(e) > 4 || e[0] == 0 {
		return Key{}, fmt.Errorf("%w: jwk is not an RSA key", ErrProof)
	}
	public := append(make([]byte, 4-len(e), 4+len(n)), e...)
	key := Key{RS256, append(public, n...)}
	if _, err := key.rsa(); err != nil {
		return Key{}, err
	}
	return key, nil
}

func (k Key) rsa() (*rsa.PublicKey, error) {
	if len(k.Public) < 5 {
		return nil, fmt.Errorf("%w: not an RSA key", ErrProof)
	}
	n := new(big.Int).SetBytes(k.Public[4:])
	e := new(big.Int).SetBytes(k.Public[:4]).Int64()
	if bits := n.BitLen(); bits < minRSA || bits > maxRSA {
		return nil, fmt.Errorf("%w: an RSA key of %d bits; %d to %d are accepted", ErrProof, bits, minRSA, maxRSA)
	}
	if e < 3 || e > 1<<31-1 || e%2 == 0 || n.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: an RSA key that no generator makes", ErrProof)
	}
	return &rsa.PublicKey{N: n, E: int(e)}, nil
}

// verify checks the signature with a key that is known already.
func (p *proof) verify(k Key) error {
	if p.header.Algorithm != k.Algorithm {
		return fmt.Errorf("%w: alg is %.40q, the session's key is for %s", ErrProof, p.header.Algorithm, k.Algorithm)
	}
	sum := sha256.Sum256([]byte(p.signed))
	switch k.Algorithm {
	case ES256:
		return p.verifyES256(k, sum[:])
	case RS256:
		public, err := k.rsa()
		if err != nil {
			return err
		}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], p.signature); err != nil {
			return fmt.Errorf("%w: the RS256 signature does not fit", ErrProof)
		}
		return nil
	}
	return fmt.Errorf("%w: a key for %.40q", ErrProof, k.Algorithm)
}

// verifyES256 checks r and s, 32 bytes each (RFC 7518, 3.4).
func (p *proof) verifyES256(k Key, sum []byte) error {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Public)
	if err != nil {
		return fmt.Errorf("%w: the session's key: %w", ErrProof, err)
	}
	if len(p.signature) != 64 {
		return fmt.Errorf("%w: an ES256 signature of %d bytes", ErrProof, len(p.signature))
	}
	r := new(big.Int).SetBytes(p.signature[:32])
	s := new(big.Int).SetBytes(p.signature[32:])
	if !ecdsa.Verify(public, sum, r, s) {
		return fmt.Errorf("%w: the ES256 signature does not fit", ErrProof)
	}
	return nil
}
