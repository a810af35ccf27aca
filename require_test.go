package coatcheck_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

// guarded is a site with a sign-in page and doors of every kind.
type guarded struct {
	*coatchecktest.Site
	http.Handler
}

func newGuarded(t *testing.T) (g guarded) {
	t.Helper()
	g.Site = coatchecktest.New(t, coatcheck.Config{SignInPath: "/sign-in", Logger: silent}, func(m *coatcheck.Manager) http.Handler {
		mux := http.NewServeMux()
		inside := m.HandlerFunc(whoami)
		mux.Handle("/account", m.RequireSignIn(inside))
		mux.Handle("/transfer", m.RequireFresh(10*time.Minute, inside))
		mux.Handle("/admin", m.RequireLevel(2, inside))
		mux.Handle("/sign-in", m.RequireSignIn(inside)) // by mistake
		mux.Handle("/files/", http.StripPrefix("/files/", m.RequireSignIn(inside)))
		g.Handler = mux
		return mux
	})
	return g
}

// asked answers a request with the cookies of a visitor and these header fields
// alone.
func (g guarded) asked(v *coatchecktest.Visitor, method, target string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "example.com"
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if v != nil {
		for _, c := range v.Cookies() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// Whoever navigates is led to the sign-in and back; whatever a script sends is
// told 401, because it would follow a redirect and take the page for its answer
// (F-92).
func TestNavigationsAreLedToTheSignInAndScriptsAreTold(t *testing.T) {
	page := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	older := map[string]string{"Accept": "text/html,application/xhtml+xml"}
	for _, c := range []struct {
		name   string
		method string
		target string
		header map[string]string
		back   string // "": 401
	}{
		{"a link", "GET", "/account?a=b&c=%20d", page, "/account?a=b&c=%20d"},
		{"a HEAD", "HEAD", "/account", page, "/account"},
		{"a form", "POST", "/account", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Referer": "https://example.com/form?n=1"}, "/form?n=1"},
		{"a form that hides where it is", "POST", "/account", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}, "/"},
		{"a form with a referrer of another site", "POST", "/account", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Referer": "https://evil.example/form"}, "/"},
		{"an older browser", "GET", "/account", older, "/account"},
		{"below a prefix", "GET", "/files/a.txt?v=2", page, "/files/a.txt?v=2"},
		{"two slashes", "GET", "//evil.example/account", page, ""}, // no such page
		{"fetch", "GET", "/account", map[string]string{"Sec-Fetch-Mode": "cors"}, ""},
		{"fetch that takes HTML", "GET", "/account", map[string]string{"Sec-Fetch-Mode": "same-origin", "Accept": "text/html"}, ""},
		{"an event stream", "GET", "/account", map[string]string{"Accept": "text/event-stream"}, ""},
		{"XHR of an older browser", "GET", "/account", map[string]string{"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, ""},
		{"WebSocket", "GET", "/account", map[string]string{"Sec-Fetch-Mode": "websocket", "Upgrade": "websocket", "Origin": "https://example.com"}, ""},
		{"WebSocket of an older browser", "GET", "/account", map[string]string{"Accept": "text/html", "Upgrade": "websocket", "Origin": "https://example.com"}, ""},
		{"a program", "GET", "/account", map[string]string{"Accept": "*/*"}, ""},
		{"PUT of an older browser", "PUT", "/account", older, ""},
		{"the sign-in page itself", "GET", "/sign-in", page, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := newGuarded(t)
			w := site.asked(nil, c.method, c.target, c.header)
			want := ""
			if c.back != "" {
				want = "/sign-in?" + url.Values{"next": {c.back}}.Encode()
			}
			if got := w.Header().Get("Location"); want != "" && (got != want || w.Code != http.StatusSeeOther) {
				t.Errorf("%d to %q, want %q", w.Code, got, want)
			} else if want == "" && (got != "" && c.target[:2] != "//" || w.Code == http.StatusOK) {
				t.Errorf("%d to %q, want an error", w.Code, got)
			}
			if lines := w.Header()["Set-Cookie"]; len(lines) > 0 {
				t.Errorf("Set-Cookie: %q", lines)
			}
		})
	}
}

// A door opens to whoever has proved enough, lately enough, and to nobody else
// (ASVS-7.5.1, 7.5.3).
func TestDoorsAskForAProofThatIsFreshAndStrongEnough(t *testing.T) {
	site := newGuarded(t)
	script := map[string]string{"Sec-Fetch-Mode": "cors"}
	old := site.SignedIn("alice")
	strong := site.SignedIn("bob", coatcheck.AtLevel(2))
	site.Advance(10*time.Minute + time.Microsecond)
	fresh := site.SignedIn("carol")
	again := site.SignedIn("dave", coatcheck.AuthenticatedAt(site.Now().Add(-11*time.Minute)))
	proved := site.SignedIn("erin", coatcheck.AtLevel(2), coatcheck.AuthenticatedAt(site.Now().Add(-time.Hour)))
	proved.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) }) // weaker, which freshens nothing
	for _, c := range []struct {
		name                     string
		v                        *coatchecktest.Visitor
		account, transfer, admin int
	}{
		{"nobody", site.Visitor(), 401, 401, 401},
		{"an old sign-in", old, 200, 401, 403},
		{"an old one of two factors", strong, 200, 401, 200},
		{"a fresh one", fresh, 200, 200, 403},
		{"a fresh one, proved elsewhere before", again, 200, 401, 403},
		{"a weaker proof since", proved, 200, 401, 200},
	} {
		for path, want := range map[string]int{"/account": c.account, "/transfer": c.transfer, "/admin": c.admin} {
			w := site.asked(c.v, "GET", "https://example.com"+path, script)
			if w.Code != want || want == http.StatusOK && w.Body.String() != c.v.Info().Subject {
				t.Errorf("%s, %s: %d %q, want %d", c.name, path, w.Code, w.Body, want)
			}
		}
	}
	old.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
	if w := site.asked(old, "GET", "https://example.com/transfer", script); w.Code != http.StatusOK {
		t.Errorf("after another proof: %d", w.Code)
	}
}

// nextPaths are what a link may ask to be led to, and whether it is of this
// site.
var nextPaths = map[string]bool{
	"/":                                true,
	"/account?a=b#c":                   true,
	"/account//x":                      true,
	"/http://evil.example":             true,
	"/@evil.example":                   true,
	"/%2f%2fevil.example":              true,
	"/%5cevil.example":                 true,
	"/ü?q=ü":                           true,
	"":                                 false,
	"account":                          false,
	"https://evil.example/":            false,
	"//evil.example":                   false,
	"///evil.example":                  false,
	`/\evil.example`:                   false,
	`\\evil.example`:                   false,
	`/a\b`:                             false,
	"/\t/evil.example":                 false,
	"/\n/evil.example":                 false,
	"/\r\nSet-Cookie: a=b":             false,
	"/\x00/evil.example":               false,
	"\t//evil.example":                 false,
	" //evil.example":                  false,
	"javascript:alert(1)":              false,
	"http:evil.example":                false,
	"/\x7f":                            false,
	"\u2028//evil.example":             false,
	strings.Repeat("/", 1<<10):         false,
	"//example.com:443@evil.test/":     false,
	"https:///example.com/../evil":     false,
	"data:text/html,<script></script>": false,
}

// After a sign-in nobody is led to another site, whoever wrote the link.
func TestTheWayBackLeadsToNoOtherSite(t *testing.T) {
	base, _ := url.Parse("https://example.com/sign-in")
	for next, own := range nextPaths {
		want := "/"
		if own {
			want = next
		}
		asQuery := httptest.NewRequest("GET", "/sign-in?"+url.Values{"next": {next}}.Encode(), nil)
		asForm := httptest.NewRequest("POST", "/sign-in", strings.NewReader(url.Values{"next": {next}}.Encode()))
		asForm.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for what, r := range map[string]*http.Request{"query": asQuery, "form": asForm} {
			got := coatcheck.NextPath(r)
			if got != want {
				t.Errorf("%q in a %s leads to %q, want %q", next, what, got, want)
			}
			w := httptest.NewRecorder()
			http.Redirect(w, r, got, http.StatusSeeOther)
			to, err := base.Parse(w.Header().Get("Location"))
			if err != nil || to.Host != base.Host || to.Scheme != base.Scheme || strings.HasPrefix(to.EscapedPath(), "//") {
				t.Errorf("%q in a %s redirects to %v, %v", next, what, to, err)
			}
		}
	}
}

// What an error wraps, such as an address of the store, is not for visitors.
func TestErrorPagesShowNothingOfWhatTheyWrap(t *testing.T) {
	m, err := coatcheck.New(coatcheck.Config{Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range []error{coatcheck.ErrStore, coatcheck.ErrConflict, coatcheck.ErrTooLarge, io.EOF} {
		w := httptest.NewRecorder()
		m.Error(w, httptest.NewRequest("GET", "/", nil), fmt.Errorf("%w: dial 10.1.2.3: %w", public, io.ErrUnexpectedEOF))
		if w.Code < 400 || strings.Contains(w.Body.String(), "10.1.2.3") || strings.Contains(w.Body.String(), "EOF") {
			t.Errorf("%v is answered %d %q", public, w.Code, w.Body)
		}
	}
}
