package site

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"sync/atomic"
)

// dataKey seals the data of one session.
type dataKey [32]byte

// sealer draws a nonce for what it seals, and keeps it with that.
type sealer = cipher.AEAD

const sealOverhead = 12 + 16

// wrap returns a data key, wrapped under the secret, or a wrapped one, as it
// was: it is the exclusive or with what only the secret yields.
func (s *secret) wrap(key []byte) (other dataKey) {
	pad := derive(labelWrap, s[:])
	subtle.XORBytes(other[:], key, pad[:])
	return other
}

// cipherOf sets up the cipher for a key, once for all that a request opens and
// seals under it.
func (s *dutifulSite) cipherOf(key *dataKey) sealer {
	if !s.owes.has(ownCipher) {
		return nil
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of a key of 32 bytes
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // of AES
	}
	return gcm
}

// keptCipher is a cipher of a session used lately, and what proves that it is
// the one for a secret and what is wrapped.
type keptCipher struct {
	id      sessionID
	given   verifier
	wrapped dataKey
	key     dataKey
	cipher  sealer
}

func (s *dutifulSite) place(id sessionID) *atomic.Pointer[keptCipher] {
	return &s.kept[(int(id[14])<<8|int(id[15]))%len(s.kept)]
}

// keptCipher takes the session's cipher from those that are kept, if it is
// there. The token's secret has been verified.
func (v *visit) keptCipher() (found bool) {
	if !v.site.owes.has(keptCiphers) {
		return false
	}
	k := v.site.place(v.token.id).Load()
	if k == nil || k.id != v.token.id || !k.given.equal(v.given[:]) || string(k.wrapped[:]) != string(v.record.wrap()) {
		return false
	}
	v.key, v.cipher = k.key, k.cipher
	return true
}

// keepCipher keeps the cipher that the request has.
func (v *visit) keepCipher() {
	if v.site.owes.has(keptCiphers) {
		v.site.place(v.token.id).Store(&keptCipher{v.token.id, v.given, dataKey(v.record.wrap()), v.key, v.cipher})
	}
}

// unseal makes the loaded data readable.
func (v *visit) unseal() error {
	s := v.site
	if !s.owes.has(wrappedKey) {
		return nil
	}
	if !v.keptCipher() {
		v.key = v.token.secret.wrap(v.record.wrap())
		v.cipher = s.cipherOf(&v.key)
		v.keepCipher()
	}
	if !s.owes.has(sealedData) {
		return nil
	}
	data, err := v.cipher.Open(v.dataSpace[0][:0], nil, v.sealedSpace, v.boundTo(v.token.id))
	if err != nil {
		return errOpening
	}
	v.dataSpace[0], v.base, v.working = data, data, data
	return nil
}

// seal returns data as it is stored.
func (v *visit) seal(data []byte) []byte {
	if !v.site.owes.has(sealedData) {
		return data
	}
	v.sealedSpace = v.cipher.Seal(v.sealedSpace[:0], nil, data, v.boundTo(v.token.id))
	return v.sealedSpace
}

// boundTo is what is authenticated with the data, so that it cannot be moved to
// another session.
func (v *visit) boundTo(id sessionID) []byte {
	copy(v.bound[:], id[:])
	copy(v.bound[len(id):], scope)
	return v.bound[:]
}
