package site

import (
	"io"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

var (
	nameOf   = coatcheck.NewKey[string](nameKey)
	visitsOf = coatcheck.NewKey[int](visitsKey)
)

// newCoatcheck is this project as its README begins, over memstore. A session
// is found and copied when a handler asks for it. After a sign-in the session
// before stays for late requests, so the table grows during a round, by what is
// new memory each time. Those of the floor and of scs do not, and in a server
// this one does not either, once what was retired is swept out and its memory
// used again. A round is too short for that: it is left as it is, to no
// advantage of this project.
func newCoatcheck(p Payload) (Site, error) {
	// The default bound of 1 GiB is that of two million sessions: see Crowd.
	return overStore(memstore.New(&memstore.Options{MaxBytes: 16 << 30}), p)
}

// outside hides that a store keeps its records in this process, so that they
// are sealed.
type outside struct{ store.Store }

func newCoatcheckSealed(p Payload) (Site, error) { return overStore(outside{memstore.New(nil)}, p) }

// newCoatcheckSealedCold is that with so many sessions, used one after the
// other, that no cipher of theirs is kept.
func newCoatcheckSealedCold(p Payload) (Site, error) {
	s, err := newCoatcheckSealed(p)
	if err == nil {
		s.(*httpSite).sessions = 1 << 13
	}
	return s, err
}

func overStore(st store.Store, p Payload) (Site, error) {
	sessions, err := coatcheck.New(coatcheck.Config{Store: st})
	if err != nil {
		return nil, err
	}
	return &httpSite{handlers: Handlers{
		Untouched: sessions.Handler(http.HandlerFunc(okay)),
		ReadOne: sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			text, _ := nameOf.Get(s)
			io.WriteString(w, text)
			return nil
		}),
		WriteOne: sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			n, _ := visitsOf.Get(s)
			if err := visitsOf.Set(s, n+1); err != nil {
				return err
			}
			w.Write(counted(n + 1))
			return nil
		}),
		SignIn: sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			if err := s.SignIn(r.Context(), user(r)); err != nil {
				return err
			}
			w.Write(okayBody)
			return nil
		}),
		fill: sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			if err := s.SignIn(r.Context(), user(r)); err != nil {
				return err
			}
			if err := nameOf.Set(s, name); err != nil {
				return err
			}
			for i, text := range p.Texts {
				if err := coatcheck.NewKey[string](textKey(i)).Set(s, text); err != nil {
					return err
				}
			}
			return visitsOf.Set(s, 1)
		}),
	}}, nil
}
