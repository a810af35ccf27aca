package coatcheck_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// csrfSite requires tokens, and echoes the body that its handler still finds.
func csrfSite(t *testing.T) *coatchecktest.Site {
	t.Helper()
	return coatchecktest.New(t, coatcheck.Config{RequireCSRFToken: true, Logger: silent}, page(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		io.WriteString(w, s.Subject()+"|"+r.PostFormValue("field")+"|")
		_, err := io.Copy(w, r.Body)
		return err
	}))
}

// TestCSRFTokensAreFoundWhereFormsAndScriptsPutThem (NIST-5.1-j, F-69), and a
// request without one is refused and leaves the visitor signed in.
func TestCSRFTokensAreFoundWhereFormsAndScriptsPutThem(t *testing.T) {
	site := csrfSite(t)
	alice, bob := site.SignedIn("alice"), site.SignedIn("bob")
	token := alice.CSRFToken()
	form := func(values url.Values) *http.Request {
		r := httptest.NewRequest("POST", "/", strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		return r
	}
	with := func(r *http.Request, field, value string) *http.Request {
		r.Header.Set(field, value)
		return r
	}
	for _, c := range []struct {
		name string
		r    *http.Request
		body string // "": refused
	}{
		{"form field", form(url.Values{"csrf_token": {token}, "field": {"x"}}), "alice|x|"},
		{"another token of the same session", form(url.Values{"csrf_token": {alice.CSRFToken()}}), "alice||"},
		{"multipart form", multipartForm(t, map[string]string{"csrf_token": token, "field": "x"}), "alice|x|"},
		{"header", with(httptest.NewRequest("POST", "/", strings.NewReader("{}")), "X-CSRF-Token", token), "alice||{}"},
		{"header and form", with(form(url.Values{"field": {"x"}}), "X-CSRF-Token", token), "alice|x|"},
		{"PUT", with(httptest.NewRequest("PUT", "/", nil), "X-CSRF-Token", token), "alice||"},
		{"GET needs none", httptest.NewRequest("GET", "/", nil), "alice||"},
		{"WebSocket", with(httptest.NewRequest("GET", "/", nil), "Upgrade", "websocket"), "alice||"},
		{"WebSocket over HTTP/2", webSocketOverHTTP2(), "alice||"},
		{"none", form(url.Values{"field": {"x"}}), ""},
		{"none in what is no handshake but says so", with(form(url.Values{"field": {"x"}}), "Upgrade", "websocket"), ""},
		{"none and no body", httptest.NewRequest("POST", "/", nil), ""},
		{"empty", form(url.Values{"csrf_token": {""}}), ""},
		{"in the query", httptest.NewRequest("POST", "/?csrf_token="+token, nil), ""},
		{"in the query of a form", atURL(form(nil), "/?csrf_token="+token), ""},
		{"in a body that is no form", httptest.NewRequest("POST", "/", strings.NewReader("csrf_token="+token)), ""},
		{"another visitor's", form(url.Values{"csrf_token": {bob.CSRFToken()}}), ""},
		{"cut", form(url.Values{"csrf_token": {token[:63]}}), ""},
		{"longer", form(url.Values{"csrf_token": {token + "A"}}), ""},
		{"changed", form(url.Values{"csrf_token": {changed(token)}}), ""},
		{"the session token", form(url.Values{"csrf_token": {cookieOf(alice, signedInCookie)}}), ""},
		{"a wrong header beside a good field", with(form(url.Values{"csrf_token": {token}}), "X-CSRF-Token", "nonsense"), ""},
	} {
		res := alice.Do(c.r)
		if c.body == "" && res.Status != http.StatusForbidden || c.body != "" && (res.Status != http.StatusOK || res.Body != c.body) {
			t.Errorf("%s: %d %q, want %q", c.name, res.Status, res.Body, c.body)
		}
		noCookie(t, res)
	}
	if alice.Info().Subject != "alice" {
		t.Error("a refused form has signed the visitor out")
	}
}

func atURL(r *http.Request, text string) *http.Request {
	r.URL, _ = url.Parse(text)
	return r
}

// webSocketOverHTTP2 is a handshake as RFC 8441 has it.
func webSocketOverHTTP2() *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Method = "CONNECT"
	r.Header[":protocol"] = []string{"websocket"}
	return r
}

// changed is a token with another first letter.
func changed(token string) string {
	if token[0] == 'A' {
		return "B" + token[1:]
	}
	return "A" + token[1:]
}

func multipartForm(t *testing.T, fields map[string]string) *http.Request {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	r := httptest.NewRequest("POST", "/", &body)
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

// TestCSRFTokensLastUntilTheNextSignIn, and rotation leaves them alone.
func TestCSRFTokensLastUntilTheNextSignIn(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(s *coatcheck.Session) error
		good bool
	}{
		{"nothing", func(*coatcheck.Session) error { return nil }, true},
		{"rotation", func(s *coatcheck.Session) error { return s.Rotate(ctx) }, true},
		{"a write", func(s *coatcheck.Session) error { return textKey.Set(s, "hello") }, true},
		{"re-authentication", func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) }, false},
		{"sign-in", func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") }, false},
	} {
		site := csrfSite(t)
		alice := site.SignedIn("alice")
		token := alice.CSRFToken()
		site.Advance(2 * time.Minute)
		secret := cookieOf(alice, signedInCookie)
		alice.Session(c.act)
		if moved := cookieOf(alice, signedInCookie) != secret; moved != (c.name != "nothing" && c.name != "a write") {
			t.Errorf("%s: the cookie has changed: %t", c.name, moved)
		}
		if got := alice.Post("/", url.Values{"csrf_token": {token}}).Status == http.StatusOK; got != c.good {
			t.Errorf("after %s the token is good: %t", c.name, got)
		}
	}
}

func TestCSRFTokensDifferAtEachCall(t *testing.T) {
	alice := csrfSite(t).SignedIn("alice")
	if one, two := alice.CSRFToken(), alice.CSRFToken(); one == two || len(one) != 64 {
		t.Errorf("%s, %s", one, two)
	}
}

// TestCSRFTokenStartsAnAnonymousSession, which the form of a sign-in needs.
func TestCSRFTokenStartsAnAnonymousSession(t *testing.T) {
	site := csrfSite(t)
	v := site.Visitor()
	if res := v.Post("/", url.Values{"csrf_token": {site.Visitor().CSRFToken()}}); res.Status != http.StatusForbidden {
		t.Errorf("without a session: %d", res.Status)
	}
	token := v.CSRFToken()
	if cookieOf(v, visitCookie) == "" {
		t.Error("no cookie")
	}
	if res := v.Post("/", url.Values{"csrf_token": {token}}); res.Status != http.StatusOK {
		t.Errorf("with its token: %d", res.Status)
	}
}

// TestCSRFNobodysBodyIsRead: without a session no token can be good, so that a
// stranger's upload is not read to find that out.
func TestCSRFNobodysBodyIsRead(t *testing.T) {
	site := csrfSite(t)
	body := &countedReader{Reader: strings.NewReader("csrf_token=x")}
	r := httptest.NewRequest("POST", "/", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if res := site.Visitor().Do(r); res.Status != http.StatusForbidden || body.reads > 0 {
		t.Errorf("%d after %d reads", res.Status, body.reads)
	}
}

type countedReader struct {
	io.Reader
	reads int
}

func (r *countedReader) Read(p []byte) (int, error) {
	r.reads++
	return r.Reader.Read(p)
}

// TestVerifyCSRFServesSingleRoutes.
func TestVerifyCSRFServesSingleRoutes(t *testing.T) {
	var verdict error
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		return sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { verdict = sessions.VerifyCSRF(r) }))
	})
	alice := site.SignedIn("alice")
	token := alice.CSRFToken()
	if alice.Post("/", url.Values{"csrf_token": {token}}); verdict != nil {
		t.Errorf("with a token: %v", verdict)
	}
	if alice.Post("/", nil); !errors.Is(verdict, coatcheck.ErrCSRFToken) {
		t.Errorf("without: %v, want ErrCSRFToken", verdict)
	}
	old := cookieOf(alice, signedInCookie)
	alice.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
	alice.SetCookie(signedInCookie + "=" + old + "; Path=/; Secure")
	if alice.Post("/", url.Values{"csrf_token": {token}}); !errors.Is(verdict, coatcheck.ErrStale) {
		t.Errorf("of a stale request: %v, want ErrStale", verdict)
	}
}

// After the handler has returned there is no session, and so no token: least of
// all the one that follows from an id and a secret of zeros.
func TestCSRFTokensEndWithTheRequest(t *testing.T) {
	srv := newServer(t, memory())
	var late *http.Request
	var session *coatcheck.Session
	srv.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		late, session = r, s
		return nil
	}).ServeHTTP(httptest.NewRecorder(), srv.signedIn("alice").request(ctx))
	key := secret.Scope("id").CSRFKey(store.ID{}, secret.Secret{})
	random := make([]byte, 16)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(random)
	late.Header.Set("X-CSRF-Token", base64.RawURLEncoding.EncodeToString(mac.Sum(random)))
	if err := srv.VerifyCSRF(late); !errors.Is(err, coatcheck.ErrCSRFToken) {
		t.Errorf("a token that anybody can make: %v, want ErrCSRFToken", err)
	}
	if _, err := session.CSRFToken(); !errors.Is(err, coatcheck.ErrCommitted) {
		t.Errorf("a new token: %v, want ErrCommitted", err)
	}
}

// The files of a form are gone when its request is over, whoever has read it.
func TestCSRFFilesOfAFormAreRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		size    int
		handler func(r *http.Request) error
		status  int
	}{
		"read for its token":  {33 << 20, func(*http.Request) error { return nil }, http.StatusForbidden},
		"read by the handler": {1 << 10, func(r *http.Request) error { return r.ParseMultipartForm(1) }, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			srv := newServer(t, memory(), func(c *coatcheck.Config) { c.RequireCSRFToken = name == "read for its token" })
			written := 0
			site := httptest.NewServer(srv.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				if r.Method == "GET" {
					return textKey.Set(s, "a session")
				}
				err := c.handler(r)
				files, _ := os.ReadDir(dir)
				written = len(files)
				return err
			}))
			defer site.Close()
			visit, err := http.Get(site.URL)
			if err != nil {
				t.Fatal(err)
			}
			visit.Body.Close()
			form := multipartFile(t, site.URL, c.size)
			for _, cookie := range visit.Cookies() {
				form.AddCookie(cookie)
			}
			answer, err := http.DefaultClient.Do(form)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != c.status || c.status == http.StatusOK && written == 0 {
				t.Errorf("status %d, want %d; %d files", answer.StatusCode, c.status, written)
			}
			site.Close() // waits for the end of the request
			if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
				t.Errorf("%v is left (%v)", left, err)
			}
		})
	}
}

// multipartFile is a request with a file of that size.
func multipartFile(t *testing.T, url string, size int) *http.Request {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	file, err := w.CreateFormFile("file", "name")
	if err != nil {
		t.Fatal(err)
	}
	file.Write(make([]byte, size))
	w.Close()
	r, err := http.NewRequest("POST", url, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

// AdmitAnonymous may use the session for which a token is asked.
func TestCSRFTokenWhileAdmissionUsesTheSession(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		var srv *server
		asked := 0
		srv = newServer(t, open(), func(c *coatcheck.Config) {
			c.AdmitAnonymous = func(r *http.Request) error {
				asked++
				s, err := srv.Get(r)
				if err != nil {
					return err
				}
				return s.Reload(r.Context())
			}
		})
		x := srv.browser().must(func(_ *exchange, s *coatcheck.Session) error {
			_, err := s.CSRFToken()
			return err
		})
		if !x.sets(visitCookie) || asked != 1 {
			t.Errorf("cookie %t, asked %d times; want a cookie and once", x.sets(visitCookie), asked)
		}
	})
}
