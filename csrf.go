package coatcheck

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/coatcheck/coatcheck/internal/secret"
)

// Where a CSRF token is looked for.
const (
	csrfField  = "csrf_token"
	csrfHeader = "X-CSRF-Token"
)

// A CSRF token is, in unpadded base64url,
//
//	byte 0            16                              48
//	     +------------+-------------------------------+
//	     | random     | HMAC-SHA-256 of it            |
//	     +------------+-------------------------------+
//
// under a key derived from the session's id and the family of its secret. So
// it differs each time, outlives rotation, and ends at the next sign-in.
const csrfRandom = 16

// CSRFToken returns a token for a form field named csrf_token, or the header
// X-CSRF-Token. Every call returns another; all are good until the next
// sign-in or re-authentication. An anonymous visitor gets a session for it.
// Errors are those of Key.Set.
func (s *Session) CSRFToken() (string, error) {
	var key [sha256.Size]byte
	if err := s.mayHaveToken(); err != nil {
		return "", err
	}
	err := s.act(context.WithoutCancel(s.parent), func(ctx context.Context) error {
		err := s.haveToken(ctx)
		key = s.manager.scope.CSRFKey(s.token.ID, s.token.Secret)
		return err
	})
	if err != nil {
		return "", err
	}
	token := make([]byte, csrfRandom, csrfRandom+sha256.Size)
	rand.Read(token)
	return base64.RawURLEncoding.EncodeToString(csrfSum(token, key, token)), nil
}

// csrfSum appends to dst the sum of the random part.
func csrfSum(dst []byte, key [sha256.Size]byte, random []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(random)
	return mac.Sum(dst)
}

// haveToken starts a session if there is none. mu and the turn are held.
func (s *Session) haveToken(ctx context.Context) error {
	switch s.is {
	case nobody:
	case unproven: // its sign-in form needs a CSRF token, and the browser knows the secret
		return nil
	default:
		return s.refusal()
	}
	if s.started {
		return ErrCommitted
	}
	return s.createAnonymous(ctx)
}

// mayHaveToken asks AdmitAnonymous, before the turn is taken.
func (s *Session) mayHaveToken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing() != nobody || s.updating {
		return nil
	}
	return s.writable()
}

// VerifyCSRF returns nil if the request holds a token of its session's
// CSRFToken: in the field csrf_token of a form body, which it reads if need be,
// or in the header X-CSRF-Token. Otherwise ErrCSRFToken, or an error of Get.
// The visitor stays signed in. Of a form with files all is read, and written to
// disk as ParseMultipartForm does, before a handler can set a limit: set one
// outside, by http.MaxBytesHandler, or send the token in the header.
func (m *Manager) VerifyCSRF(r *http.Request) error {
	s, err := m.Get(r)
	if err != nil {
		return err
	}
	return m.verifyCSRF(s, r)
}

func (m *Manager) verifyCSRF(s *Session, r *http.Request) error {
	if err := s.open(); err != nil {
		return err
	}
	s.mu.Lock()
	is, token := s.standing(), s.token
	s.mu.Unlock()
	switch is {
	case stale:
		return ErrStale
	case holds, unproven:
	default:
		return ErrCSRFToken // without a session there is no token, and the body need not be read
	}
	given := r.Header.Get(csrfHeader)
	if given == "" {
		given = r.PostFormValue(csrfField) // reads no body but that of a form
	}
	if !m.csrfMatches(token, given) {
		return ErrCSRFToken
	}
	return nil
}

func (m *Manager) csrfMatches(t secret.Token, given string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(given)
	if err != nil || len(raw) != csrfRandom+sha256.Size {
		return false
	}
	sum := csrfSum(nil, m.scope.CSRFKey(t.ID, t.Secret), raw[:csrfRandom])
	return hmac.Equal(sum, raw[csrfRandom:])
}
