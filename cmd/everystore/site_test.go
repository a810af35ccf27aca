package everystore_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// The limits of the site, by its own clock. The idle limit is half a second of
// the machine's time.
const (
	speed    = 120
	idle     = time.Minute
	throttle = idle / 16 // how late activity may be recorded
	absolute = 90 * time.Second
	limit    = 2 // sessions of one person

	// knownRetired is how long a session that a sign-in has replaced is known
	// to have been replaced.
	knownRetired = 30 * time.Second
)

// fastClock runs faster than the machine's, unless it is stopped.
type fastClock struct {
	mu      sync.Mutex
	from    time.Time // the machine's, when the clock showed shown
	shown   time.Time
	stopped bool
}

func newFastClock() *fastClock {
	now := time.Now()
	return &fastClock{from: now, shown: now}
}

func (c *fastClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *fastClock) now() time.Time {
	if c.stopped {
		return c.shown
	}
	return c.shown.Add(speed * time.Since(c.from))
}

// stop moves the clock on and leaves it there.
func (c *fastClock) stop(on time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown, c.stopped = c.now().Add(on), true
}

// start moves the clock on and lets it run.
func (c *fastClock) start(on time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from, c.shown, c.stopped = time.Now(), c.now().Add(on), false
}

// What the site keeps of a visitor: items, and how many there are. Each item
// changes both, so they are never seen out of step.
var (
	listKey  = coatcheck.NewKey[[]string]("load.list")
	countKey = coatcheck.NewKey[int]("load.count")
)

// node is one of the machines of the site.
type node struct {
	*coatcheck.Manager
	number int
	clock  *fastClock
	pages  http.Handler
}

func newNode(t testing.TB, number int, st store.Store, clock *fastClock, atLimit coatcheck.AtLimit, onEvent func(int, coatcheck.Event)) *node {
	t.Helper()
	n := &node{number: number, clock: clock}
	m, err := coatcheck.New(coatcheck.Config{
		Store: st, Now: clock.Now, Idle: idle, Absolute: absolute, MaxPerSubject: limit, AtLimit: atLimit,
		StoreTimeout: time.Minute, // a busy machine is no trouble of the store's
		OnEvent:      func(e coatcheck.Event) { onEvent(number, e) },
		Logger:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Problem", problemOf(err))
			http.Error(w, err.Error(), coatcheck.Status(err))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Manager, n.pages = m, m.HandlerFunc(n.page)
	return n
}

// answer is what a page shows.
type answer struct {
	Was     store.ID  // the session that the request came with
	Handled time.Time // no earlier than the request began for the manager
	ID      store.ID
	Subject string
	List    []string
	Count   int
}

func (n *node) page(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	a := answer{Was: s.ID(), Handled: n.clock.Now()}
	form := r.URL.Query()
	if err := do(r, s, form.Get("item"), form.Get("name")); err != nil {
		return err
	}
	if r.URL.Path != "/sign-out" {
		a.ID, a.Subject = s.ID(), s.Subject()
		a.List, _ = listKey.Get(s)
		a.Count, _ = countKey.Get(s)
	}
	return json.NewEncoder(w).Encode(a)
}

// do does what a page is for.
func do(r *http.Request, s *coatcheck.Session, item, name string) error {
	ctx := r.Context()
	switch r.URL.Path {
	case "/add":
		return add(s, item)
	case "/add-now":
		return s.Update(ctx, func() error { return add(s, item) })
	case "/sign-in":
		return s.SignIn(ctx, name)
	case "/sign-out":
		return s.End(ctx)
	case "/password":
		return s.CredentialsChanged(ctx)
	case "/end-others":
		_, err := s.EndOthers(ctx)
		return err
	case "/end-other":
		id, err := coatcheck.ParseID(name)
		if err != nil {
			return err
		}
		return s.EndOther(ctx, id)
	}
	return nil
}

func add(s *coatcheck.Session, item string) error {
	if err := listKey.Update(s, func(l []string) ([]string, error) { return append(l, item), nil }); err != nil {
		return err
	}
	return countKey.Update(s, func(n int) (int, error) { return n + 1, nil })
}

// The problems that visitors may meet although nothing is broken.
var problems = map[string]error{
	"stale": coatcheck.ErrStale, "ended": coatcheck.ErrEnded, "conflict": coatcheck.ErrConflict,
	"too many": coatcheck.ErrTooManySessions, "not signed in": coatcheck.ErrNotSignedIn, "not found": coatcheck.ErrNotFound,
}

func problemOf(err error) string {
	for name, known := range problems {
		if errors.Is(err, known) {
			return name
		}
	}
	return "unexpected: " + err.Error()
}
