package coatcheck_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// kept returns how many sessions a store keeps.
func kept(t *testing.T, st store.Store) (n int) {
	t.Helper()
	for _, err := range st.All(context.Background()) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	return n
}

// firstActs are the ways in which a handler can start its response.
var firstActs = []struct {
	name    string
	http1   bool // HTTP/2 has no such thing
	status  int
	started bool // when act returns, the response has begun
	act     func(t *testing.T, w http.ResponseWriter, r *http.Request)
}{
	{"Write", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("page")) }},
	{"an empty Write", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.Write(nil) }},
	{"WriteString", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") }},
	{"Fprint", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") }},
	{"WriteHeader", false, 204, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
	{"Flush", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }},
	{"ResponseController.Flush", false, 200, true, func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}},
	{"a redirect", false, 303, true, func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/next", http.StatusSeeOther)
	}},
	{"http.Error", false, 418, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { http.Error(w, "teapot", http.StatusTeapot) }},
	{"http.FileServer that finds nothing", false, 404, true, func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
		http.FileServerFS(fstest.MapFS{}).ServeHTTP(w, r)
	}},
	{"ReadFrom a file", false, 200, true, func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		file, err := os.Open("LICENSE")
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if n, err := io.Copy(w, file); err != nil || n < 1000 {
			t.Errorf("copied %d bytes, %v", n, err)
		}
	}},
	{"http.ServeFile", false, 200, true, func(_ *testing.T, w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "LICENSE") }},
	{"an event stream", false, 200, true, func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			fmt.Fprint(w, "data: tick\n\n")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	}},
	{"a panic after a write", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("page"))
		w.(http.Flusher).Flush()
	}},
	{"nothing", false, 200, false, func(*testing.T, http.ResponseWriter, *http.Request) {}},
	{"103, then nothing", false, 200, false, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }},
	{"103, 103, then 200", false, 200, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(103)
		w.WriteHeader(103)
		w.WriteHeader(200)
	}},
	{"a deadline, then a write", false, 200, true, func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		w.Write([]byte("page"))
	}},
	{"101", true, 101, true, func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "chat")
		w.WriteHeader(101)
	}},
	{"Hijack", true, 202, true, func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(buffered, "HTTP/1.1 202 Accepted\r\nConnection: close\r\n")
		w.Header().Write(buffered)
		fmt.Fprint(buffered, "\r\n")
		buffered.Flush()
	}},
}

// TestRule7CommittedBeforeTheFirstByte (F-52 to F-55, F-57, F-60): whatever
// starts the response, what was gathered is stored and the cookie is in the
// final header, once, and never in an informational one; later writes are
// errors.
func TestRule7CommittedBeforeTheFirstByte(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, c := range firstActs {
			if c.http1 && protocol != "HTTP/1.1" {
				continue
			}
			t.Run(protocol+" "+c.name, func(t *testing.T) {
				memory := memstore.New(nil)
				sessions, err := coatcheck.New(coatcheck.Config{Store: memory})
				if err != nil {
					t.Fatal(err)
				}
				h := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := sessions.Get(r)
					if err = errors.Join(err, textKey.Set(s, "hello")); err != nil {
						t.Error(err)
					}
					c.act(t, w, r)
					if got := kept(t, memory) == 1; got != c.started {
						t.Errorf("stored after the act: %t, want %t", got, c.started)
					}
					if err := textKey.Set(s, "late"); errors.Is(err, coatcheck.ErrCommitted) != c.started {
						t.Errorf("a write after the act: %v", err)
					}
					if strings.HasPrefix(c.name, "a panic") {
						panic(http.ErrAbortHandler)
					}
				}))
				res, early := overTheWire(t, h, protocol)
				if res.StatusCode != c.status || res.Proto != protocol {
					t.Errorf("%s %d, want %s %d", res.Proto, res.StatusCode, protocol, c.status)
				}
				if lines := res.Header["Set-Cookie"]; len(lines) != 1 || !strings.HasPrefix(lines[0], visitCookie+"=") {
					t.Errorf("Set-Cookie: %q, want the visit", lines)
				}
				for _, header := range early {
					if header.Get("Set-Cookie") != "" {
						t.Errorf("an informational response has the cookie: %v", header)
					}
				}
				if strings.HasPrefix(c.name, "103") != (len(early) > 0) {
					t.Errorf("%d informational responses", len(early))
				}
				if got := kept(t, memory); got != 1 {
					t.Errorf("%d sessions are stored", got)
				}
			})
		}
	}
}

// quiet is for servers whose handlers fail on purpose.
var quiet = log.New(io.Discard, "", 0)

// overTheWire makes one GET request of a handler over TLS.
func overTheWire(t *testing.T, h http.Handler, protocol string) (*http.Response, []textproto.MIMEHeader) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = protocol == "HTTP/2.0"
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var early []textproto.MIMEHeader
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		early = append(early, h)
		return nil
	}})
	r, err := http.NewRequestWithContext(trace, "GET", server.URL+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		io.Copy(io.Discard, res.Body) // a stream that breaks off is no error here
	}
	return res, early
}

// TestRule7BehindAReverseProxyInTheHandler: what the proxied server answers
// takes the cookie along, a 103 before it does not.
func TestRule7BehindAReverseProxyInTheHandler(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nwelcome")
			buffered.Flush()
			return
		}
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		http.SetCookie(w, &http.Cookie{Name: "theirs", Value: "1"})
		io.WriteString(w, "page")
	}))
	t.Cleanup(upstream.Close)
	to, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: quiet}
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := textKey.Set(s, "hello"); err != nil {
			return err
		}
		proxy.ServeHTTP(w, r)
		return nil
	})
	res, early := overTheWire(t, h, "HTTP/1.1")
	if lines := res.Header["Set-Cookie"]; res.StatusCode != 200 || len(lines) != 2 {
		t.Errorf("%d, Set-Cookie: %q", res.StatusCode, lines)
	}
	if len(early) != 1 || early[0].Get("Link") == "" || early[0].Get("Set-Cookie") != "" {
		t.Errorf("informational responses: %v", early)
	}

	// A client of our own, because net/http's waits for the connection to end.
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
	switched, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if lines := switched.Header["Set-Cookie"]; switched.StatusCode != 101 || len(lines) != 1 || switched.Header.Get("Upgrade") != "chat" {
		t.Errorf("%d, Upgrade: %s, Set-Cookie: %q", switched.StatusCode, switched.Header.Get("Upgrade"), lines)
	}
}

// TestRule7AfterTheFirstByte nothing that needs a cookie happens, and what does
// not need one still works.
func TestRule7AfterTheFirstByte(t *testing.T) {
	var got error
	late := func(act func(s *coatcheck.Session) error) handler {
		return func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			io.WriteString(w, "page")
			got = act(s)
			return nil
		}
	}
	for _, c := range []struct {
		name string
		act  func(s *coatcheck.Session) error
		want error
	}{
		{"Set", func(s *coatcheck.Session) error { return textKey.Set(s, "late") }, coatcheck.ErrCommitted},
		{"Key.Update", func(s *coatcheck.Session) error {
			return textKey.Update(s, func(string) (string, error) { return "late", nil })
		}, coatcheck.ErrCommitted},
		{"Delete", textKey.Delete, coatcheck.ErrCommitted},
		{"Pop", func(s *coatcheck.Session) error { _, _, err := textKey.Pop(s); return err }, coatcheck.ErrCommitted},
		{"SignIn", func(s *coatcheck.Session) error { return s.SignIn(ctx, "bob") }, coatcheck.ErrCommitted},
		{"Reauthenticate", func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) }, coatcheck.ErrCommitted},
		{"CredentialsChanged", func(s *coatcheck.Session) error { return s.CredentialsChanged(ctx) }, coatcheck.ErrCommitted},
		{"Rotate", func(s *coatcheck.Session) error { return s.Rotate(ctx) }, coatcheck.ErrCommitted},
		{"Session.Update", func(s *coatcheck.Session) error {
			return s.Update(ctx, func() error { return textKey.Set(s, "stored late") })
		}, nil},
		{"Touch", func(s *coatcheck.Session) error { return s.Touch(ctx) }, nil},
		{"Reload", func(s *coatcheck.Session) error { return s.Reload(ctx) }, nil},
		{"EndOthers", func(s *coatcheck.Session) error { _, err := s.EndOthers(ctx); return err }, nil},
		{"End", func(s *coatcheck.Session) error { return s.End(ctx) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := coatchecktest.New(t, coatcheck.Config{}, page(late(c.act)))
			alice := site.SignedIn("alice")
			coatchecktest.Put(alice, textKey, "early")
			site.Advance(2 * time.Minute)
			before := alice.Info()
			res := alice.Get("/")
			if !errors.Is(got, c.want) || res.Status != 200 || res.Body != "page" {
				t.Errorf("%v, want %v; the page is %d %q", got, c.want, res.Status, res.Body)
			}
			noCookie(t, res)
			after := alice.Info()
			text, _ := coatchecktest.Value(alice, textKey)
			switch {
			case c.name == "End":
				if after.Subject != "" {
					t.Error("still signed in")
				}
			case c.name == "Session.Update" && text != "stored late", c.name != "Session.Update" && text != "early":
				t.Errorf("%q is stored", text)
			case after.ID != before.ID || after.Subject != "alice" || !after.AuthenticatedAt.Equal(before.AuthenticatedAt):
				t.Errorf("the session was\n%+v, is\n%+v", before, after)
			}
		})
	}
}

// TestRule7AFailedCommitIsWhatTheClientGets (F-56), however the response
// starts, and without what describes the page.
func TestRule7AFailedCommitIsWhatTheClientGets(t *testing.T) {
	acts := map[string]func(http.ResponseWriter, *http.Request) error{
		"Write":       func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write([]byte("page")); return err },
		"WriteString": func(w http.ResponseWriter, _ *http.Request) error { _, err := io.WriteString(w, "page"); return err },
		"redirect": func(w http.ResponseWriter, r *http.Request) error {
			http.Redirect(w, r, "/next", http.StatusSeeOther)
			_, err := io.WriteString(w, "more")
			return err
		},
		"Flush":   func(w http.ResponseWriter, _ *http.Request) error { return http.NewResponseController(w).Flush() },
		"nothing": nil,
	}
	for name, act := range acts {
		st, faults := counted()
		site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, page(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			for _, field := range []string{"Etag", "Last-Modified", "Content-Length", "Content-Encoding", "Content-Disposition", "Cache-Control", "Refresh"} {
				w.Header().Set(field, "of the page")
			}
			w.Header().Set("Content-Type", "image/png")
			w.Header().Set("X-Frame-Options", "DENY")
			if err := textKey.Set(s, "hello"); err != nil || act == nil {
				return err
			}
			if err := act(w, r); !errors.Is(err, coatcheck.ErrStore) {
				t.Errorf("%s: the handler is told %v, want ErrStore", name, err)
			}
			return nil
		}))
		faults.Fail(storetest.Create, 1, errors.New("disk on fire"))
		res := site.Visitor().Get("/")
		if res.Status != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || strings.Contains(res.Body, "page ") ||
			strings.Contains(res.Body, "fire") || strings.Count(res.Body, "try again") != 1 {
			t.Errorf("%s: %d %q", name, res.Status, res.Body)
		}
		var fields []string
		for field := range res.Header {
			fields = append(fields, field)
		}
		slices.Sort(fields)
		if want := []string{"Content-Type", "Retry-After", "Vary", "X-Content-Type-Options", "X-Frame-Options"}; !slices.Equal(fields, want) {
			t.Errorf("%s: the error page has the fields %q, want %q", name, fields, want)
		}
	}
}

// TestRule7AnErrorOfTheHandlerDropsWhatItGathered, and not what has happened.
func TestRule7AnErrorOfTheHandlerDropsWhatItGathered(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Logger: silent}, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return errors.Join(textKey.Set(s, "kept by the sign-in"), s.SignIn(r.Context(), "alice"),
			textKey.Set(s, "dropped"), errors.New("no page"))
	}))
	v := site.Visitor()
	if res := v.Get("/"); res.Status != http.StatusInternalServerError {
		t.Errorf("status %d", res.Status)
	}
	if text, _ := coatchecktest.Value(v, textKey); text != "kept by the sign-in" || v.Info().Subject != "alice" {
		t.Errorf("%q is stored, %q signed in", text, v.Info().Subject)
	}
}

// TestRule7APanicBeforeTheFirstByte drops what was gathered, and leaves the
// cookie of what has happened to whoever answers.
func TestRule7APanicBeforeTheFirstByte(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		h := sessions.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			if err := errors.Join(s.SignIn(r.Context(), "alice"), textKey.Set(s, "dropped")); err != nil {
				t.Error(err)
			}
			panic("oh no")
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if wrong := recover(); wrong != "oh no" {
					t.Errorf("recovered %v", wrong)
				}
				http.Error(w, "sorry", http.StatusInternalServerError)
			}()
			h.ServeHTTP(w, r)
		})
	})
	v := site.Visitor()
	res := v.Get("/")
	if lines := res.Header["Set-Cookie"]; res.Status != 500 || len(lines) != 1 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.Status, res.Header)
	}
	if text, found := coatchecktest.Value(v, textKey); found || v.Info().Subject != "alice" {
		t.Errorf("%q is stored, %q signed in", text, v.Info().Subject)
	}
}

// TestRule7APanicWithinAFunctionOfTheUsers leaves nothing locked.
func TestRule7APanicWithinAFunctionOfTheUsers(t *testing.T) {
	for name, act := range map[string]func(s *coatcheck.Session) error{
		"Key.Update": func(s *coatcheck.Session) error {
			return textKey.Update(s, func(string) (string, error) { panic("oh no") })
		},
		"Session.Update": func(s *coatcheck.Session) error { return s.Update(ctx, func() error { panic("oh no") }) },
	} {
		site := coatchecktest.New(t, coatcheck.Config{}, page(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			func() {
				defer func() { _ = recover() }()
				t.Errorf("%s has returned %v", name, act(s))
			}()
			return s.Update(ctx, func() error { return textKey.Set(s, "afterwards") })
		}))
		v := site.Visitor()
		v.Get("/")
		if text, _ := coatchecktest.Value(v, textKey); text != "afterwards" {
			t.Errorf("%s: %q is stored", name, text)
		}
	}
}

// TestRule7WhatIsBegunRunsToItsEnd although the visitor has gone meanwhile.
func TestRule7WhatIsBegunRunsToItsEnd(t *testing.T) {
	st, _ := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: storetest.Opaque(st)}, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		r.Context().Value(leaveKey{}).(context.CancelFunc)()
		if r.URL.Path == "/sign-out" {
			return s.End(r.Context())
		}
		return textKey.Set(s, "hello")
	}))
	alice := site.SignedIn("alice")
	leave := func(path string) {
		ctx, cancel := context.WithCancel(t.Context())
		alice.Do(httptest.NewRequest("POST", path, nil).WithContext(context.WithValue(ctx, leaveKey{}, cancel)))
	}
	leave("/write")
	if text, _ := coatchecktest.Value(alice, textKey); text != "hello" {
		t.Errorf("%q is stored", text)
	}
	leave("/sign-out")
	if got := kept(t, st); got != 0 {
		t.Error("the session that was signed out is still there")
	}
}

type leaveKey struct{}

// TestRule7ThePatternReachesMiddlewareOutside, such as a log of requests.
func TestRule7ThePatternReachesMiddlewareOutside(t *testing.T) {
	var seen string
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		inside := pages(map[string]handler{"GET /items/{id}": look})(sessions)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inside.ServeHTTP(w, r)
			seen = r.Pattern
		})
	})
	site.Visitor().Get("/items/7")
	if seen != "GET /items/{id}" {
		t.Errorf("the pattern is %q", seen)
	}
}

// TestRule7HandlersOfOneManagerMayBeNested, and share the session.
func TestRule7HandlersOfOneManagerMayBeNested(t *testing.T) {
	st, calls := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st}, func(sessions *coatcheck.Manager) http.Handler {
		inner := sessions.RequireSignIn(sessions.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			return otherKey.Set(s, "inner")
		}))
		return sessions.Handler(sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			inner.ServeHTTP(w, r)
			return textKey.Set(s, "outer")
		}))
	})
	alice := site.SignedIn("alice")
	loads, updates := calls.Calls(storetest.Load), calls.Calls(storetest.Update)
	alice.Get("/")
	if loads, updates = calls.Calls(storetest.Load)-loads, calls.Calls(storetest.Update)-updates; loads != 1 || updates != 1 {
		t.Errorf("%d loads and %d updates, want 1 of each", loads, updates)
	}
	outer, _ := coatchecktest.Value(alice, textKey)
	inner, _ := coatchecktest.Value(alice, otherKey)
	if outer != "outer" || inner != "inner" {
		t.Errorf("stored are %q and %q", outer, inner)
	}
}

// TestRule7WithoutHandler (F-68) there is an error that says what to do.
func TestRule7WithoutHandler(t *testing.T) {
	one, err1 := coatcheck.New(coatcheck.Config{})
	two, err2 := coatcheck.New(coatcheck.Config{Name: "other"})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	for name, ask := range map[string]func(*http.Request) error{
		"Get":         func(r *http.Request) error { _, err := one.Get(r); return err },
		"Peek":        func(r *http.Request) error { _, err := one.Peek(r); return err },
		"FromContext": func(r *http.Request) error { _, err := one.FromContext(r.Context()); return err },
		"VerifyCSRF":  one.VerifyCSRF,
	} {
		if err := ask(r); !errors.Is(err, coatcheck.ErrNoHandler) {
			t.Errorf("%s: %v, want ErrNoHandler", name, err)
		}
		two.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := ask(r); !errors.Is(err, coatcheck.ErrNoHandler) {
				t.Errorf("%s, within the Handler of another Manager: %v, want ErrNoHandler", name, err)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}

// TestRule7AfterTheHandlerTheSessionIsEmpty: it belongs to its request.
func TestRule7AfterTheHandlerTheSessionIsEmpty(t *testing.T) {
	var leaked *coatcheck.Session
	site := coatchecktest.New(t, coatcheck.Config{}, page(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		leaked = s
		return nil
	}))
	alice := site.SignedIn("alice")
	coatchecktest.Put(alice, textKey, "hello")
	alice.Get("/")
	if text, found := textKey.Get(leaked); found || leaked.Subject() != "" || leaked.ID() != (coatcheck.ID{}) || len(leaked.Keys()) > 0 {
		t.Errorf("it is %v and holds %q", leaked, text)
	}
	_, csrf := leaked.CSRFToken()
	for name, err := range map[string]error{
		"Set": textKey.Set(leaked, "late"), "SignIn": leaked.SignIn(ctx, "bob"), "End": leaked.End(ctx), "CSRFToken": csrf,
		"Update": leaked.Update(ctx, func() error { return nil }), "Touch": leaked.Touch(ctx), "Reload": leaked.Reload(ctx),
	} {
		if !errors.Is(err, coatcheck.ErrCommitted) {
			t.Errorf("%s: %v, want ErrCommitted", name, err)
		}
	}
	leaked.Discard()
	select {
	case <-leaked.Done():
	case <-time.After(patience):
		t.Error("Done is open after the handler")
	}
}
