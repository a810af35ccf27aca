// Package coatchecktest tests handlers that keep sessions with Coatcheck: a
// whole site in one process, with a clock of its own, and visitors who behave
// as browsers do.
//
//	func TestCartSurvivesSignIn(t *testing.T) {
//		site := coatchecktest.New(t, coatcheck.Config{}, shop.Handler)
//		alice := site.Visitor()
//		alice.Post("/cart", url.Values{"item": {"scarf"}})
//		alice.Post("/sign-in", url.Values{"user": {"alice"}, "password": {"..."}})
//		if items, _ := coatchecktest.Value(alice, shop.Cart); len(items) != 1 {
//			t.Errorf("the cart holds %v", items)
//		}
//	}
//
// Begin with [New]. A [Visitor] is a browser with its own cookies: anonymous
// from [Site.Visitor], signed in from [Site.SignedIn] where the sign-in itself
// is not what the test is about. [Visitor.Get] and [Visitor.Post] visit pages,
// [Visitor.Do] sends what a script would, [Visitor.PostFrom] what another site
// makes the browser send. [Site.Advance] lets time pass. [Value] and
// [Visitor.Info] look at what a handler left behind, [Site.Events] at what
// happened on the way.
//
// Handlers are called directly, without a network: every request comes over
// https, and a response is there when its handler has returned. What takes the
// connection over is tested with net/http/httptest's servers instead.
package coatchecktest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
)

// Origin is where every Site stands. Requests that httptest.NewRequest makes
// for a path are for its host already.
const Origin = "https://" + host

const host = "example.com"

// Site is a site under test. Use New. All methods are safe for concurrent use.
type Site struct {
	t        testing.TB
	sessions *coatcheck.Manager
	handler  http.Handler
	clock    func() time.Time

	mu      sync.Mutex
	passed  time.Duration // by Advance
	events  []coatcheck.Event
	visitor int // how many there have been
}

// New makes a site of the handler that build returns for the Manager with this
// configuration. build does what the program does at its start, and wraps what
// it builds with Manager.Handler if the program does.
//
// The site's clock stands at the present and moves by Advance alone, unless
// config.Now is set: then it shows that time and what Advance has added. What
// the Manager logs goes to the test's log, unless config.Logger is set. The
// test fails if the configuration is refused.
func New(t testing.TB, config coatcheck.Config, build func(*coatcheck.Manager) http.Handler) *Site {
	s := &Site{t: t, clock: config.Now}
	if s.clock == nil {
		start := time.Now().Truncate(time.Second)
		s.clock = func() time.Time { return start }
	}
	config.Now = s.Now
	tell := config.OnEvent
	config.OnEvent = func(e coatcheck.Event) {
		s.mu.Lock()
		s.events = append(s.events, e)
		s.mu.Unlock()
		if tell != nil {
			tell(e)
		}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	var err error
	if s.sessions, err = coatcheck.New(config); err != nil {
		t.Helper()
		t.Fatalf("coatchecktest: %v", err)
	}
	s.handler = build(s.sessions)
	return s
}

// Manager is the site's: for List, EndSubject and their kin.
func (s *Site) Manager() *coatcheck.Manager { return s.sessions }

// Now is the time on the site's clock. Give it to the program under test where
// that has a clock of its own.
func (s *Site) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock().Add(s.passed)
}

// Advance lets time pass: sessions age, and so do the visitors' cookies.
func (s *Site) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed += d
}

// Events returns what has happened to sessions so far, in its order: of the
// kinds given, or all.
func (s *Site) Events(kinds ...coatcheck.Kind) []coatcheck.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(kinds) == 0 {
		return slices.Clone(s.events)
	}
	var events []coatcheck.Event
	for _, e := range s.events {
		if slices.Contains(kinds, e.Kind) {
			events = append(events, e)
		}
	}
	return events
}

// Visitor returns a new browser without cookies, at an address of its own.
func (s *Site) Visitor() *Visitor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visitor++
	return &Visitor{site: s, jar: jar{now: s.Now}, number: s.visitor}
}

// SignedIn returns a new browser in which subject is signed in, without a
// request to the site's own handlers.
func (s *Site) SignedIn(subject string, options ...coatcheck.SignInOption) *Visitor {
	v := s.Visitor()
	v.Session(func(session *coatcheck.Session) error {
		return session.SignIn(context.Background(), subject, options...)
	})
	return v
}

// testLog writes to the log of a test.
type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
