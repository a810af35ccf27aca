package site

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
)

// floor is the least code that could do the work in the memory of one process:
// it scans the Cookie header, decodes the token, hashes it, looks into one map,
// and puts the session into the request's context, for every request.
//
// It leaves out whatever makes sessions safe and right: no clock is read, so
// nothing ever expires or is touched; no commit, so no answer waits for one and
// no two requests are kept from losing each other's changes; no anonymous
// sessions apart from signed-in ones, no rotation, no index by user, no limit,
// no mark, no check where a request comes from, no header that keeps pages out
// of caches, no response writer of its own, no event, no bound on memory, no
// bound on the number of cookies, and a value is shared with whoever reads it.
// Its sessions are live values in a Go map, which the garbage collector walks.
type floor struct {
	mu       sync.RWMutex
	sessions map[[sha256.Size]byte]*floorSession
}

type floorSession struct {
	mu     sync.Mutex
	user   string
	values map[string]any
}

type floorKey struct{}

const floorCookie = "__Host-id"

func newFloor(p Payload) (Site, error) {
	f := &floor{sessions: map[[sha256.Size]byte]*floorSession{}}
	handle := func(h http.HandlerFunc) http.Handler { return f.handler(h) }
	return &httpSite{handlers: Handlers{
		Untouched: handle(okay),
		ReadOne: handle(func(w http.ResponseWriter, r *http.Request) {
			if s, ok := r.Context().Value(floorKey{}).(*floorSession); ok {
				s.mu.Lock()
				text, _ := s.values[nameKey].(string)
				s.mu.Unlock()
				io.WriteString(w, text)
			}
		}),
		WriteOne: handle(func(w http.ResponseWriter, r *http.Request) {
			if s, ok := r.Context().Value(floorKey{}).(*floorSession); ok {
				s.mu.Lock()
				n, _ := s.values[visitsKey].(int)
				s.values[visitsKey] = n + 1
				s.mu.Unlock()
				w.Write(counted(n + 1))
			}
		}),
		SignIn: handle(func(w http.ResponseWriter, r *http.Request) {
			values := map[string]any(nil)
			if old, ok := r.Context().Value(floorKey{}).(*floorSession); ok {
				values = old.values
				f.forget(r)
			}
			f.start(w, user(r), values)
			w.Write(okayBody)
		}),
		fill: &floorFill{f, p},
	}}, nil
}

func (f *floor) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hash, ok := floorToken(r); ok {
			f.mu.RLock()
			s := f.sessions[hash]
			f.mu.RUnlock()
			if s != nil {
				r = r.WithContext(context.WithValue(r.Context(), floorKey{}, s))
			}
		}
		h.ServeHTTP(w, r)
	})
}

// floorToken finds, decodes and hashes the token.
func floorToken(r *http.Request) (hash [sha256.Size]byte, ok bool) {
	for _, rest := range r.Header["Cookie"] {
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			value, found := strings.CutPrefix(strings.TrimSpace(pair), floorCookie+"=")
			if !found || len(value) != 43 {
				continue
			}
			var text [43]byte
			var token [32]byte
			copy(text[:], value)
			if _, err := base64.RawURLEncoding.Decode(token[:], text[:]); err != nil {
				continue
			}
			return sha256.Sum256(token[:]), true
		}
	}
	return hash, false
}

func (f *floor) start(w http.ResponseWriter, user string, values map[string]any) {
	var token [32]byte
	rand.Read(token[:])
	s := &floorSession{user: user, values: values}
	f.mu.Lock()
	f.sessions[sha256.Sum256(token[:])] = s
	f.mu.Unlock()
	line := make([]byte, 0, 128)
	line = append(line, floorCookie+"="...)
	line = base64.RawURLEncoding.AppendEncode(line, token[:])
	line = append(line, "; Path=/; Secure; HttpOnly; SameSite=Lax"...)
	w.Header()["Set-Cookie"] = []string{string(line)}
}

func (f *floor) forget(r *http.Request) {
	if hash, ok := floorToken(r); ok {
		f.mu.Lock()
		delete(f.sessions, hash)
		f.mu.Unlock()
	}
}

// floorFill starts a session of the floor with the payload.
type floorFill struct {
	floor   *floor
	payload Payload
}

// ServeHTTP implements http.Handler.
func (f *floorFill) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	values := map[string]any{nameKey: name, visitsKey: 1}
	for i, text := range f.payload.Texts {
		values[textKey(i)] = text
	}
	f.floor.start(w, "", values)
}
