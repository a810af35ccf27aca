package coatcheck_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// The cookies of a manager of the default name.
const (
	signedInCookie = "__Host-id"
	visitCookie    = "__Host-id-visit"
)

// Values that the tests keep in sessions.
var (
	listKey  = coatcheck.NewKey[[]string]("test.list")
	textKey  = coatcheck.NewKey[string]("test.text")
	otherKey = coatcheck.NewKey[string]("test.other")
	countKey = coatcheck.NewKey[int]("test.count")
)

// patience is how long a test waits for something that must happen: generous,
// because it passes on a test's way to failure alone.
const patience = 20 * time.Second

// handClock shows the time that the test has set.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func newHandClock() *handClock {
	return &handClock{now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// eventLog keeps what a manager told.
type eventLog struct {
	mu     sync.Mutex
	events []coatcheck.Event
}

func (l *eventLog) add(e coatcheck.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// count returns how many events are of that kind, and for that reason if one is
// given.
func (l *eventLog) count(kind coatcheck.Kind, reasons ...coatcheck.Reason) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		if e.Kind == kind && (len(reasons) == 0 || e.Reason == reasons[0]) {
			n++
		}
	}
	return n
}

// server is a manager over a store, with a clock that the test moves.
type server struct {
	*coatcheck.Manager
	t      testing.TB
	store  store.Store
	clock  *handClock
	events *eventLog
}

// newServer returns a server on that store; edit may change its configuration.
func newServer(t testing.TB, st store.Store, edit ...func(*coatcheck.Config)) *server {
	t.Helper()
	s := &server{t: t, store: st, clock: newHandClock()}
	s.start(edit)
	return s
}

// another returns a server on the same store and clock: another process, or the
// same one after it was started anew.
func (s *server) another(edit ...func(*coatcheck.Config)) *server {
	s.t.Helper()
	other := &server{t: s.t, store: s.store, clock: s.clock}
	other.start(edit)
	return other
}

func (s *server) start(edit []func(*coatcheck.Config)) {
	s.t.Helper()
	s.events = &eventLog{}
	config := coatcheck.Config{
		Store: s.store, Now: s.clock.Now, OnEvent: s.events.add,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, e := range edit {
		e(&config)
	}
	m, err := coatcheck.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Manager = m
}

// everyStore runs a test on stores inside the process, and on such as are
// outside, for which sessions are sealed.
func everyStore(t *testing.T, test func(t *testing.T, open func() store.Store)) {
	t.Run("in memory", func(t *testing.T) { test(t, memory) })
	t.Run("sealed", func(t *testing.T) { test(t, sealed) })
}

func memory() store.Store { return memstore.New(nil) }
func sealed() store.Store { return storetest.Opaque(memory()) }

// live returns how many sessions the subject has.
func (s *server) live(subject string) int {
	s.t.Helper()
	list, err := s.List(context.Background(), subject)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// browser has cookies, and sends requests whose answers arrive when the test
// delivers them.
type browser struct {
	t       testing.TB
	server  *server
	cookies map[string]string

	otherSite bool // its requests are caused by a page of another site
}

func (s *server) browser() *browser {
	return &browser{t: s.t, server: s, cookies: map[string]string{}}
}

// signedIn returns a browser in which that user has signed in.
func (s *server) signedIn(subject string, options ...coatcheck.SignInOption) *browser {
	s.t.Helper()
	b := s.browser()
	b.must(signIn(subject, options...))
	return b
}

// stolen returns another browser with the same cookies.
func (b *browser) stolen() *browser {
	return &browser{t: b.t, server: b.server, cookies: maps.Clone(b.cookies)}
}

// at returns the same browser, as it speaks to another server.
func (b *browser) at(s *server) *browser {
	return &browser{t: b.t, server: s, cookies: b.cookies}
}

// request returns a request with the cookies of now.
func (b *browser) request(ctx context.Context) *http.Request {
	r, err := http.NewRequestWithContext(ctx, "POST", "https://shop.example/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.TLS, r.RemoteAddr = &tls.ConnectionState{}, "192.0.2.1:1234"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.otherSite {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// serve is what a handler does with the session of an exchange.
type serve func(x *exchange, s *coatcheck.Session) error

// exchange is one request and its answer.
type exchange struct {
	browser *browser
	answer  *httptest.ResponseRecorder
	writer  http.ResponseWriter // the handler's
	session *coatcheck.Session
	cancel  context.CancelFunc // the visitor goes
	err     error              // of Get, or of the handler
	found   *coatcheck.ID      // the session's, where the handler says so

	paused, resume, done chan struct{}
}

// begin sends a request, with the cookies that the browser has now, and returns
// once its handler pauses or has returned.
func (b *browser) begin(h serve) *exchange {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x := &exchange{
		browser: b, answer: httptest.NewRecorder(), cancel: cancel,
		paused: make(chan struct{}), resume: make(chan struct{}), done: make(chan struct{}),
	}
	m := b.server.Manager
	request := b.request(ctx)
	go func() {
		defer close(x.done)
		defer cancel()
		m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x.writer = w
			x.session, x.err = m.Get(r)
			if x.err == nil {
				x.err = h(x, x.session)
			}
			if x.err != nil {
				if x.session != nil {
					x.session.Discard()
				}
				m.Error(w, r, x.err)
			}
		})).ServeHTTP(x.answer, request)
	}()
	x.wait()
	return x
}

func (x *exchange) wait() {
	x.browser.t.Helper()
	select {
	case <-x.paused:
	case <-x.done:
	case <-time.After(patience):
		x.browser.t.Fatal("a handler neither paused nor returned")
	}
}

// pause is called by the handler: it stops there until the test calls run.
func (x *exchange) pause() {
	x.paused <- struct{}{}
	<-x.resume
}

// run lets the handler go on, until it pauses again or has returned.
func (x *exchange) run() *exchange {
	x.browser.t.Helper()
	x.resume <- struct{}{}
	x.wait()
	return x
}

// finished reports whether the handler has returned.
func (x *exchange) finished() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// deliver gives the answer to the browser.
func (x *exchange) deliver() *exchange {
	x.browser.t.Helper()
	if !x.finished() {
		x.browser.t.Fatal("there is no answer yet")
	}
	lines := x.lines()
	for name, c := range lines {
		if c.MaxAge < 0 {
			delete(x.browser.cookies, name)
		} else {
			x.browser.cookies[name] = c.Value
		}
	}
	return x
}

// lines returns the Set-Cookie lines of the answer by name, after checking that
// a browser would believe them.
func (x *exchange) lines() map[string]*http.Cookie {
	x.browser.t.Helper()
	lines := map[string]*http.Cookie{}
	for _, line := range x.answer.Header()["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			x.browser.t.Fatalf("the cookie cannot be read: %v", err)
		}
		if lines[c.Name] != nil {
			x.browser.t.Errorf("the answer has several Set-Cookie lines for %s", c.Name)
		}
		if strings.HasPrefix(c.Name, "__Host-") && (!c.Secure || c.Path != "/" || c.Domain != "") {
			x.browser.t.Errorf("a browser refuses the line for %s", c.Name)
		}
		lines[c.Name] = c
	}
	return lines
}

// sets reports whether the answer sets or expires that cookie.
func (x *exchange) sets(name string) bool {
	x.browser.t.Helper()
	return x.lines()[name] != nil
}

// status is that of the answer.
func (x *exchange) status() int { return x.answer.Code }

// wantStatus fails the test if the answer has another status.
func (x *exchange) wantStatus(want int) *exchange {
	x.browser.t.Helper()
	if x.status() != want {
		x.browser.t.Errorf("status %d, want %d (error %v)", x.status(), want, x.err)
	}
	return x
}

// wantNoCookie fails the test if the answer sets or expires a cookie.
func (x *exchange) wantNoCookie() *exchange {
	x.browser.t.Helper()
	for name := range x.lines() {
		x.browser.t.Errorf("the answer has a Set-Cookie line for %s, want none", name)
	}
	return x
}

// do sends a request, serves it without a pause and delivers its answer.
func (b *browser) do(h serve) *exchange {
	b.t.Helper()
	return b.begin(h).deliver()
}

// must is do for what must be answered with success.
func (b *browser) must(h serve) *exchange {
	b.t.Helper()
	return b.do(h).wantStatus(http.StatusOK)
}

// look returns the browser's session as the server sees it, without a trace:
// what was found is not committed.
func (b *browser) look() *coatcheck.Session {
	b.t.Helper()
	s, err := b.server.Open(b.request(context.Background()))
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	return s
}

// wantUser fails the test if somebody else is signed in, or nobody for "".
func (b *browser) wantUser(want string) {
	b.t.Helper()
	if got := b.look().Subject(); got != want {
		b.t.Errorf("signed in is %q, want %q", got, want)
	}
}

// wantText fails the test if textKey has another value, or any for "".
func (b *browser) wantText(want string) {
	b.t.Helper()
	if got, _ := textKey.Get(b.look()); got != want {
		b.t.Errorf("the session holds %q, want %q", got, want)
	}
}

// What handlers do. Those that pause have found their session before.

func read(_ *exchange, s *coatcheck.Session) error {
	textKey.Get(s)
	return nil
}

func write(text string) serve {
	return func(_ *exchange, s *coatcheck.Session) error { return textKey.Set(s, text) }
}

// add appends to the list, however many others do.
func add(s *coatcheck.Session, item string) error {
	return listKey.Update(s, func(list []string) ([]string, error) { return append(list, item), nil })
}

func signIn(subject string, options ...coatcheck.SignInOption) serve {
	return func(x *exchange, s *coatcheck.Session) error {
		return s.SignIn(context.Background(), subject, options...)
	}
}

func signOut(_ *exchange, s *coatcheck.Session) error { return s.End(context.Background()) }

func rotate(_ *exchange, s *coatcheck.Session) error { return s.Rotate(context.Background()) }

func reauthenticate(_ *exchange, s *coatcheck.Session) error {
	return s.Reauthenticate(context.Background())
}

func changeCredentials(_ *exchange, s *coatcheck.Session) error {
	return s.CredentialsChanged(context.Background())
}

// late is h after a pause: the session was found before, and what h does comes
// after whatever the test does meanwhile.
func late(h serve) serve {
	return func(x *exchange, s *coatcheck.Session) error {
		x.pause()
		return h(x, s)
	}
}

// parallel runs n functions at once and returns their errors joined.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			if err := f(i); err != nil {
				errs[i] = fmt.Errorf("%d: %w", i, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
