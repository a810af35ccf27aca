package site

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
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

// unseal makes the loaded data readable.
func (v *visit) unseal() error {
	s := v.site
	if !s.owes.has(wrappedKey) {
		return nil
	}
	v.key = v.token.secret.wrap(v.record.wrap())
	v.cipher = s.cipherOf(&v.key)
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
