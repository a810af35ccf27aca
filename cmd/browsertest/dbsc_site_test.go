package browsertest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

const boundCookie = "__Host-id-bound"

// bindingFlag makes Chromium bind sessions where no hardware has keys.
// Without the quota it signs as often as a test wants.
const (
	bindingFlag  = "enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
	withoutQuota = "enable-features=DeviceBoundSessions:RefreshQuota/false,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
)

// afterLeeway is more than the time for which the session cookie alone opens a
// session that has just been bound.
const afterLeeway = dbsc.LeewayBare + time.Second

// bindingSite is a small site that binds sessions to devices, under the names
// of the tests. Its clock is the server's alone: Chromium keeps its own.
type bindingSite struct {
	*site
	store store.Store
	edit  []func(*coatcheck.Config)

	mu       sync.Mutex
	sessions *coatcheck.Manager
	handler  http.Handler
	events   []coatcheck.Event
	posts    []post
	bounces  int
}

// post is a request of the protocol that arrived.
type post struct {
	path    string
	session bool // with the session cookie
	proof   bool
}

var shelf = coatcheck.NewKey[[]string]("shelf")

// openBindingSite serves the site until the test ends.
func openBindingSite(t *testing.T, edit ...func(*coatcheck.Config)) *bindingSite {
	t.Helper()
	s := &bindingSite{site: &site{t: t, clock: &clock{}}, store: memstore.New(nil), edit: edit}
	s.restart()
	certificate, key := certified(t, shopHost, evilHost)
	s.key = key
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(server.Close)
	server.StartTLS()
	s.secure = portOf(t, server)
	return s
}

// restart puts a new manager in the place of the old one, on the same store.
func (s *bindingSite) restart() {
	s.t.Helper()
	config := coatcheck.Config{
		Store: s.store, Now: s.clock.Now, SignInPath: "/sign-in",
		DeviceBound: dbsc.Config{Mode: dbsc.Prefer},
		Logger:      slog.New(slog.NewTextHandler(s.t.Output(), nil)),
		OnEvent: func(e coatcheck.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	for _, edit := range s.edit {
		edit(&config)
	}
	sessions, err := coatcheck.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions, s.handler = sessions, sessions.Handler(bindingRoutes(sessions))
}

// serveWith puts another site in the place of this one.
func (s *bindingSite) serveWith(handler http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

func bindingRoutes(m *coatcheck.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answerPage(w, "<h1>the site</h1>") })
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, _ *http.Request) { answerPage(w, "<h1>sign in</h1>") })
	enter := func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := s.SignIn(r.Context(), "alice", coatcheck.Remember(24*time.Hour)); err != nil {
			return err
		}
		answerPage(w, "<h1>welcome</h1>")
		return nil
	}
	mux.Handle("POST /sign-in", m.HandlerFunc(enter))
	mux.Handle("GET /callback", m.HandlerFunc(enter)) // from an identity provider
	mux.Handle("POST /sign-out", m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.End(r.Context())
	}))
	mux.Handle("POST /end-others", m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		_, err := s.EndOthers(r.Context())
		return err
	}))
	mux.Handle("GET /me", m.RequireSignIn(m.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		answerPage(w, "<h1>hello "+s.Subject()+"</h1>")
		return nil
	})))
	mux.Handle("POST /shelf", m.RequireSignIn(m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return shelf.Update(s, func(list []string) ([]string, error) { return append(list, r.URL.RawQuery), nil })
	})))
	mux.Handle("GET /shelf", m.RequireSignIn(m.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		list, _ := shelf.Get(s)
		_, err := fmt.Fprint(w, len(list))
		return err
	})))
	return mux
}

func (s *bindingSite) serve(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	if host != shopHost {
		// Another site: an identity provider, and pages with links to this one.
		if r.URL.Path == "/provider" {
			http.Redirect(w, r, s.shop("/callback"), http.StatusSeeOther)
			return
		}
		answerPage(w, `<a id="link" href="`+s.shop("/me")+`">to the shop</a> <a id="provider" href="/provider">and back</a>`)
		return
	}
	s.mu.Lock()
	handler := s.handler
	if strings.HasPrefix(r.URL.Path, "/device-bound-session/") {
		_, err := r.Cookie(sessionCookie)
		s.posts = append(s.posts, post{r.URL.Path[len("/device-bound-session/"):], err == nil, r.Header.Get(dbsc.HeaderResponse) != ""})
	}
	s.mu.Unlock()
	handler.ServeHTTP(w, r)
	if w.Header().Get("Refresh") == "0" {
		s.mu.Lock()
		s.bounces++
		s.mu.Unlock()
	}
}

// told counts the events of a kind whose detail or reason begins so.
func (s *bindingSite) told(kind coatcheck.Kind, how string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if e.Kind == kind && strings.HasPrefix(string(e.Reason)+e.Detail, how) {
			n++
		}
	}
	return n
}

// between counts the pages that load themselves again.
func (s *bindingSite) between() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bounces
}

func (s *bindingSite) renewals() int { return s.told(coatcheck.KindBound, "renewed") }

// arrived returns the requests of the protocol for that path.
func (s *bindingSite) arrived(path string) (posts []post) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.posts {
		if p.path == path {
			posts = append(posts, p)
		}
	}
	return posts
}

// bind signs alice in, waits until the browser has bound the session, and lets
// the time pass in which the session cookie alone would do.
func (s *bindingSite) bind(b *tab) {
	s.t.Helper()
	b.open(s.shop("/"))
	if got := fetched(b, "POST", "/sign-in"); got != http.StatusOK {
		s.t.Fatalf("signing in is answered %d", got)
	}
	s.untilBound(b)
}

func (s *bindingSite) untilBound(b *tab) {
	s.t.Helper()
	eventually(s.t, func() bool { return b.cookies(s.shop("/"))[boundCookie] != nil }, func() {
		s.t.Fatalf("the browser has bound nothing; what arrived: %+v", s.arrived("register"))
	})
	s.clock.advance(afterLeeway)
}

// fetched is the status that a script of the page gets.
func fetched(b *tab, method, path string) int {
	b.t.Helper()
	return eval[int](b, fmt.Sprintf(`fetch(%q, {method: %q}).then(r => r.status)`, path, method))
}

// thiefsClient sends a copied cookie jar, and no proof of its own accord.
func (s *bindingSite) thiefsClient() *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+s.secure)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends one request and returns status and body.
func (s *bindingSite) send(client *http.Client, method, path string, header map[string]string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.shop(path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
