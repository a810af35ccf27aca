package site

import (
	"io"
	"net/http"
	"os"

	"github.com/gorilla/sessions"
)

const cookieName = "session"

// newGorillaCookie is gorilla/sessions with everything in the cookie, signed
// and not encrypted, as its README begins. There is no middleware: what does
// not ask for the session costs nothing.
func newGorillaCookie(p Payload) (Site, error) {
	if p.Label == Large.Label {
		return nil, ErrTooLarge // of a cookie's 4096 bytes
	}
	return overGorilla(sessions.NewCookieStore(signingKey), p, nil)
}

// newGorillaFiles keeps each session in a file, read when asked for.
func newGorillaFiles(p Payload) (Site, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	store := sessions.NewFilesystemStore(dir, signingKey)
	store.MaxLength(1 << 20) // by default no more than a cookie can hold
	return overGorilla(store, p, func() { os.RemoveAll(dir) })
}

var signingKey = []byte("0123456789abcdef0123456789abcdef")

func overGorilla(store sessions.Store, p Payload, close func()) (Site, error) {
	handle := func(f func(http.ResponseWriter, *http.Request, *sessions.Session) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := store.Get(r, cookieName)
			if err == nil {
				err = f(w, r, s)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return &httpSite{close: close, handlers: Handlers{
		Untouched: http.HandlerFunc(okay),
		ReadOne: handle(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
			text, _ := s.Values[nameKey].(string)
			io.WriteString(w, text)
			return nil
		}),
		WriteOne: handle(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			n, _ := s.Values[visitsKey].(int)
			s.Values[visitsKey] = n + 1
			if err := s.Save(r, w); err != nil {
				return err
			}
			w.Write(counted(n + 1))
			return nil
		}),
		fill: handle(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			s.Values[nameKey] = name
			s.Values[visitsKey] = 1
			for i, text := range p.Texts {
				s.Values[textKey(i)] = text
			}
			return s.Save(r, w)
		}),
	}}, nil
}
