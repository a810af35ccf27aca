package coatcheck_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// TestRule8CachesNeverKeepASession (F-58, CK-71 to CK-75, GO-19).
func TestRule8CachesNeverKeepASession(t *testing.T) {
	for _, c := range []struct {
		name     string
		signedIn bool
		header   http.Header // that the handler sets
		act      func(r *http.Request, sessions *coatcheck.Manager) error
		vary     []string
		control  []string
	}{
		{"not asked", true, nil, nil, nil, nil},
		{"not asked, with fields of the handler's", true, http.Header{"Cache-Control": {"max-age=60"}, "Vary": {"Accept"}}, nil, []string{"Accept"}, []string{"max-age=60"}},
		{"asked, nobody there", false, nil, ask, []string{"Cookie"}, nil},
		{"asked, signed in", true, nil, ask, []string{"Cookie"}, []string{"no-store"}},
		{"peeked at, signed in", true, nil, peek, []string{"Cookie"}, []string{"no-store"}},
		{"asked, and the handler knows better", true, http.Header{"Cache-Control": {"private, max-age=60"}}, ask, []string{"Cookie"}, []string{"private, max-age=60"}},
		{"first write", false, nil, set, []string{"Cookie"}, []string{"no-store"}},
		{"first write, and the handler is wrong", false, http.Header{"Cache-Control": {"public, max-age=60"}}, set, []string{"Cookie"}, []string{"no-store"}},
		{"first write, and the handler says more", false, http.Header{"Cache-Control": {"private, No-Store"}}, set, []string{"Cookie"}, []string{"private, No-Store"}},
		{"sign-out", true, nil, signOff, []string{"Cookie"}, []string{"no-store"}},
		{"sign-out, and the handler is wrong", true, http.Header{"Cache-Control": {"max-age=60"}}, signOff, []string{"Cookie"}, []string{"no-store"}},
		{"Vary of the handler's", true, http.Header{"Vary": {"Accept-Encoding"}}, ask, []string{"Accept-Encoding", "Cookie"}, []string{"no-store"}},
		{"Vary has it", true, http.Header{"Vary": {"Accept-Encoding, cookie"}}, ask, []string{"Accept-Encoding, cookie"}, []string{"no-store"}},
		{"Vary has everything", true, http.Header{"Vary": {"*"}}, ask, []string{"*"}, []string{"no-store"}},
		{"Vary has another that begins so", true, http.Header{"Vary": {"Cookie-Consent"}}, ask, []string{"Cookie-Consent", "Cookie"}, []string{"no-store"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
				return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for field, values := range c.header {
						w.Header()[field] = slices.Clone(values)
					}
					if c.act != nil {
						if err := c.act(r, sessions); err != nil {
							t.Error(err)
						}
					}
				}))
			})
			v := site.Visitor()
			if c.signedIn {
				v = site.SignedIn("alice")
			}
			h := v.Get("/").Header
			if !slices.Equal(h["Vary"], c.vary) || !slices.Equal(h["Cache-Control"], c.control) {
				t.Errorf("Vary: %q, Cache-Control: %q; want %q, %q", h["Vary"], h["Cache-Control"], c.vary, c.control)
			}
		})
	}
}

func ask(r *http.Request, sessions *coatcheck.Manager) error {
	_, err := sessions.Get(r)
	return err
}

func peek(r *http.Request, sessions *coatcheck.Manager) error {
	_, err := sessions.Peek(r)
	return err
}

func set(r *http.Request, sessions *coatcheck.Manager) error {
	s, err := sessions.Get(r)
	if err != nil {
		return err
	}
	return textKey.Set(s, "hello")
}

func signOff(r *http.Request, sessions *coatcheck.Manager) error {
	s, err := sessions.Get(r)
	if err != nil {
		return err
	}
	return s.End(r.Context())
}

// TestRule8ErrorPagesAreNotCachedEither: the file server takes Cache-Control
// off its errors (GO-19), and what answers a stale or dead request may be the
// page of somebody who is signed in by now.
func TestRule8ErrorPagesAreNotCachedEither(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		return sessions.Handler(sessions.RequireSignIn(http.FileServer(http.Dir("testdata"))))
	})
	res := site.SignedIn("alice").Get("/no-such-file")
	if h := res.Header; res.Status != http.StatusNotFound || h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Cookie" {
		t.Errorf("%d %v", res.Status, h)
	}
	stale := coatchecktest.New(t, coatcheck.Config{}, page(look))
	alice := stale.SignedIn("alice")
	token := cookieOf(alice, signedInCookie)
	alice.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(t.Context()) })
	alice.SetCookie(signedInCookie + "=" + token + "; Path=/; Secure")
	if h := alice.Get("/").Header; h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Cookie" {
		t.Errorf("a stale request is answered with %v", h)
	}
}

// TestRule8FieldsAreTheResponsesOwn: what middleware appends to them later
// reaches no other response.
func TestRule8FieldsAreTheResponsesOwn(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		inner := page(look)(sessions)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			w.Header().Add("Vary", r.URL.Path)
		})
	})
	for _, path := range []string{"/a", "/b"} {
		h := site.SignedIn("alice").Get(path).Header
		if !slices.Equal(h["Vary"], []string{"Cookie", path}) || !slices.Equal(h["Cache-Control"], []string{"no-store"}) {
			t.Errorf("%s: Vary: %q, Cache-Control: %q", path, h["Vary"], h["Cache-Control"])
		}
	}
}

// TestRule8NotAskedForASessionCostsNothing: no load, no field, and no memory but
// the request's state, whatever cookies came.
func TestRule8NotAskedForASessionCostsNothing(t *testing.T) {
	st, calls := counted()
	sessions, err := coatcheck.New(coatcheck.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	wrapped := sessions.Handler(plain)
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	r.Header.Set("Cookie", signedInCookie+"=oKGio6SlpqeoqaqrrK2urwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")
	w := bareWriter{http.Header{}}
	without := testing.AllocsPerRun(200, func() { plain.ServeHTTP(w, r) })
	with := testing.AllocsPerRun(200, func() { wrapped.ServeHTTP(w, r) })
	if most := without + 2; with > most {
		t.Errorf("%v allocations, want at most %v: the request's state and the request with its context", with, most)
	}
	if calls.Calls(storetest.Load) != 0 || writes(calls) != 0 || len(w.header) != 0 {
		t.Errorf("%d loads, %d writes, header %v", calls.Calls(storetest.Load), writes(calls), w.header)
	}
}

// bareWriter is a response writer that costs nothing.
type bareWriter struct{ header http.Header }

func (w bareWriter) Header() http.Header         { return w.header }
func (w bareWriter) WriteHeader(int)             {}
func (w bareWriter) Write(p []byte) (int, error) { return len(p), nil }

// TestRule8AnErrorPageWithACookieIsNotCached: it takes the place of the page,
// and of what that said of caches, when the commit fails after a sign-in.
func TestRule8AnErrorPageWithACookieIsNotCached(t *testing.T) {
	st, faults := storetest.Faulty(memory())
	x := newServer(t, st).browser().do(func(x *exchange, s *coatcheck.Session) error {
		if err := s.SignIn(ctx, "alice"); err != nil {
			return err
		}
		if err := textKey.Set(s, "x"); err != nil {
			return err
		}
		faults.Fail(storetest.Update, 1<<20, errBroken)
		return nil
	})
	x.wantStatus(http.StatusServiceUnavailable)
	if control := x.answer.Header()["Cache-Control"]; !x.sets(signedInCookie) || !slices.Equal(control, []string{"no-store"}) {
		t.Errorf("cookie %t, Cache-Control %q; want a cookie and no-store", x.sets(signedInCookie), control)
	}
}
