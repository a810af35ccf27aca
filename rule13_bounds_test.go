package coatcheck_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// TestRule13MaxBytesIsRefusedAtSet (F-66), with an error that says what to do,
// and the session keeps what it has.
func TestRule13MaxBytesIsRefusedAtSet(t *testing.T) {
	// A value of n bytes under a name of one letter takes n and five more: the
	// version, the length of the name, the name, the tag and the length of the
	// value, which is of two bytes from 128 on.
	short := coatcheck.NewKey[string]("k")
	const most = 1000 - 6
	acts := map[string]func(s *coatcheck.Session, n int) error{
		"Set": func(s *coatcheck.Session, n int) error { return short.Set(s, strings.Repeat("x", n)) },
		"Key.Update": func(s *coatcheck.Session, n int) error {
			return short.Update(s, func(string) (string, error) { return strings.Repeat("x", n), nil })
		},
		"Session.Update": func(s *coatcheck.Session, n int) error {
			return s.Update(ctx, func() error { return short.Set(s, strings.Repeat("x", n)) })
		},
	}
	for name, act := range acts {
		for _, st := range []store.Store{memstore.New(nil), storetest.Opaque(memstore.New(nil))} {
			site := coatchecktest.New(t, coatcheck.Config{Store: st, MaxBytes: 1000}, page(look))
			v := site.Visitor()
			v.Session(func(s *coatcheck.Session) error {
				if err := act(s, most); err != nil {
					t.Errorf("%s of what fits: %v", name, err)
				}
				err := act(s, most+1)
				if !errors.Is(err, coatcheck.ErrTooLarge) || !strings.Contains(err.Error(), `"k" has 995 bytes; the session would have 1001 of 1000`) {
					t.Errorf("%s of one byte more: %v", name, err)
				}
				return nil
			})
			if text, _ := coatchecktest.Value(v, short); len(text) != most {
				t.Errorf("%s: %d bytes are kept", name, len(text))
			}
		}
	}
}

// TestRule13TooLargeTogetherIsRefusedToTheLater: values of two requests that fit
// alone.
func TestRule13TooLargeTogetherIsRefusedToTheLater(t *testing.T) {
	var alice *coatchecktest.Visitor
	site := coatchecktest.New(t, coatcheck.Config{MaxBytes: 1000, Logger: silent}, page(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		err := textKey.Set(s, strings.Repeat("x", 600))
		coatchecktest.Put(alice, otherKey, strings.Repeat("y", 600)) // by another request
		return err
	}))
	alice = site.SignedIn("alice")
	if res := alice.Get("/"); res.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", res.Status, res.Body)
	}
	text, _ := coatchecktest.Value(alice, textKey)
	other, _ := coatchecktest.Value(alice, otherKey)
	if len(text) != 0 || len(other) != 600 {
		t.Errorf("%d and %d bytes are stored", len(text), len(other))
	}
}

// TestRule13AFullStoreIsAnError (F-80) and ends nobody who is signed in.
func TestRule13AFullStoreIsAnError(t *testing.T) {
	st, faults := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, pages(map[string]handler{
		"/write": func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			return textKey.Set(s, "hello")
		},
		"/sign-in": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			return s.SignIn(r.Context(), "bob")
		},
	}))
	alice := site.SignedIn("alice")
	faults.Fail(storetest.Create, 2, store.ErrFull)
	for _, path := range []string{"/write", "/sign-in"} {
		res := site.Visitor().Get(path)
		noCookie(t, res)
		if res.Status != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", path, res.Status)
		}
	}
	if res := alice.Get("/write"); res.Status != http.StatusOK || alice.Info().Subject != "alice" {
		t.Errorf("who is signed in gets %d", res.Status)
	}
}

// TestRule13AdmitAnonymousBoundsAFlood (ASVS 15.2.2): it is asked once for each
// session that would start, never for one that is there, and its error is what
// the write returns.
func TestRule13AdmitAnonymousBoundsAFlood(t *testing.T) {
	errEnough := errors.New("enough for today")
	var asked []string
	admit := true
	config := coatcheck.Config{Logger: silent, AdmitAnonymous: func(r *http.Request) error {
		asked = append(asked, r.URL.Path)
		if !admit {
			return errEnough
		}
		return nil
	}}
	var got error
	site := coatchecktest.New(t, config, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		switch r.URL.Path {
		case "/write":
			got = errors.Join(textKey.Set(s, "hello"), otherKey.Set(s, "again"))
		case "/token":
			_, got = s.CSRFToken()
		case "/sign-in":
			got = s.SignIn(r.Context(), "alice")
		}
		return nil
	}))
	expect := func(v *coatchecktest.Visitor, path string, times int, want error) {
		t.Helper()
		asked, got = nil, nil
		if v.Get(path); len(asked) != times || !errors.Is(got, want) {
			t.Errorf("%s: asked %d times, %v; want %d times, %v", path, len(asked), got, times, want)
		}
	}
	v := site.Visitor()
	expect(v, "/read", 0, nil)
	expect(v, "/write", 1, nil)
	expect(v, "/write", 0, nil)
	expect(site.Visitor(), "/token", 1, nil)
	expect(site.Visitor(), "/sign-in", 0, nil)
	admit = false
	refused := site.Visitor()
	expect(refused, "/write", 2, errEnough)
	expect(refused, "/token", 1, errEnough)
	if len(refused.Cookies()) > 0 {
		t.Error("a session that was refused has a cookie")
	}
}

// TestRule13ALongSubjectOrLabelIsRefusedOrCut.
func TestRule13ALongSubjectOrLabelIsRefusedOrCut(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Name: "n"}, page(look))
	longest := strings.Repeat("s", store.MaxSubject-len("n:"))
	if info := site.SignedIn(longest).Info(); info.Subject != longest {
		t.Errorf("the subject is %q", info.Subject)
	}
	site.Visitor().Session(func(s *coatcheck.Session) error {
		if err := s.SignIn(ctx, longest+"s"); err == nil || !strings.Contains(err.Error(), "510 bytes") || s.SignedIn() {
			t.Errorf("a longer one: %v", err)
		}
		return nil
	})
	label := "\r\n\x1b[1m\xff!" + strings.Repeat("é", 100)
	if info := site.SignedIn("alice", coatcheck.Device(label)).Info(); info.Device != "[1m!"+strings.Repeat("é", 62) {
		t.Errorf("the label is %q", info.Device)
	}
}

// TestRule13AReadAllocatesNoMoreThanItMust: the request's state, what the store
// yields, and the value.
func TestRule13AReadAllocatesNoMoreThanItMust(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := bareWriter{http.Header{}}
	sessions.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return errors.Join(s.SignIn(r.Context(), "alice"), countKey.Set(s, 7))
	}).ServeHTTP(w, httptest.NewRequest("GET", "https://example.com/", nil))
	read := sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		if n, _ := countKey.Get(s); n != 7 {
			t.Errorf("read %d", n)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	token, _, _ := strings.Cut(w.header.Get("Set-Cookie"), ";")
	r.Header.Set("Cookie", token)
	n := testing.AllocsPerRun(200, func() { read.ServeHTTP(bareWriter{http.Header{}}, r) })
	if n > 6 { // the writer of this test included
		t.Errorf("%v allocations", n)
	}
}
