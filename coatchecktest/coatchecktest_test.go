package coatchecktest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

var note = coatcheck.NewKey[string]("note")

// plain is a site of one handler, which knows nothing of sessions.
func plain(h http.HandlerFunc) func(*coatcheck.Manager) http.Handler {
	return func(sessions *coatcheck.Manager) http.Handler { return sessions.Handler(h) }
}

func TestVisitorSendsWhatABrowserWould(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{CrossSite: []string{"/"}}, plain(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		fmt.Fprintf(w, "%s %s %s tls=%t %s|%s|%s|%s", r.Method, r.Host, r.URL, r.TLS != nil,
			h.Get("Sec-Fetch-Site"), h.Get("Sec-Fetch-Mode"), h.Get("Origin"), body)
	}))
	v := site.Visitor()
	script := httptest.NewRequest("PUT", "/note?x=1", strings.NewReader("{}"))
	for _, c := range []struct{ name, got, want string }{
		{"link", v.Get("/a?b=c").Body, "GET example.com /a?b=c tls=true same-origin|navigate||"},
		{"form", v.Post("/a", url.Values{"b": {"c"}}).Body, "POST example.com /a tls=true same-origin|navigate|https://example.com|b=c"},
		{"script", v.Do(script).Body, "PUT example.com /note?x=1 tls=true same-origin|cors|https://example.com|{}"},
		{"link from elsewhere", v.GetFrom("https://evil.example", "/a").Body, "GET example.com /a tls=true cross-site|navigate||"},
		{"form from elsewhere", v.PostFrom("https://evil.example", "/a", nil).Body, "POST example.com /a tls=true cross-site|navigate|https://evil.example|"},
	} {
		if c.got != c.want {
			t.Errorf("%s: the handler saw\n%s\nwant\n%s", c.name, c.got, c.want)
		}
	}
}

func TestVisitorKeepsCookiesAsBrowsersDo(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		later time.Duration
		path  string
		sent  string
	}{
		{"one", []string{"a=1"}, 0, "/", "a=1"},
		{"quoted", []string{`a="1 2"`}, 0, "/", `a="1 2"`},
		{"replaced", []string{"a=1", "a=2"}, 0, "/", "a=2"},
		{"deleted", []string{"a=1", "a=; Max-Age=0"}, 0, "/", ""},
		{"expired on arrival", []string{"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, 0, "/", ""},
		{"aged", []string{"a=1; Max-Age=60", "b=2; Max-Age=61"}, time.Minute, "/", "b=2"},
		{"never longer than 400 days", []string{"a=1; Max-Age=999999999"}, 400 * 24 * time.Hour, "/", ""},
		{"longer path first", []string{"a=1; Path=/", "b=2; Path=/x"}, 0, "/x/y", "b=2; a=1"},
		{"not another path", []string{"a=1; Path=/x"}, 0, "/xy", ""},
		{"host", []string{"__Host-a=1; Path=/; Secure"}, 0, "/", "__Host-a=1"},
		{"host without Secure", []string{"__Host-a=1; Path=/"}, 0, "/", ""},
		{"host without Path", []string{"__Host-a=1; Secure"}, 0, "/", ""},
		{"host with Domain", []string{"__Host-a=1; Path=/; Secure; Domain=example.com"}, 0, "/", ""},
		{"host in another case", []string{"__host-a=1"}, 0, "/", ""},
		{"secure without Secure", []string{"__Secure-a=1"}, 0, "/", ""},
		{"None without Secure", []string{"a=1; SameSite=None"}, 0, "/", ""},
		{"too long", []string{"a=" + strings.Repeat("x", 4096)}, 0, "/", ""},
		{"no cookie", []string{"=;"}, 0, "/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := coatchecktest.New(t, coatcheck.Config{}, plain(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/set" {
					w.Header()["Set-Cookie"] = c.lines
					return
				}
				io.WriteString(w, r.Header.Get("Cookie"))
			}))
			v := site.Visitor()
			v.Get("/set")
			site.Advance(c.later)
			if got := v.Get(c.path).Body; got != c.sent {
				t.Errorf("the browser sends %q, want %q", got, c.sent)
			}
		})
	}
}

func TestSameSiteDecidesWhatAnotherSiteMakesTheBrowserSend(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{CrossSite: []string{"/"}}, plain(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Cookie"))
	}))
	v := site.Visitor()
	for _, line := range []string{"s=1; SameSite=Strict", "l=1; SameSite=Lax", "u=1", "n=1; SameSite=None; Secure"} {
		v.SetCookie(line)
	}
	const elsewhere = "https://evil.example"
	if got := v.Get("/").Body; got != "s=1; l=1; u=1; n=1" {
		t.Errorf("the site's own link sends %q", got)
	}
	if got := v.GetFrom(elsewhere, "/").Body; got != "l=1; u=1; n=1" {
		t.Errorf("a link from elsewhere sends %q", got)
	}
	if got := v.PostFrom(elsewhere, "/", nil).Body; got != "n=1" {
		t.Errorf("a form from elsewhere sends %q", got)
	}
	image := httptest.NewRequest("GET", "/", nil)
	image.Header.Set("Sec-Fetch-Site", "cross-site")
	image.Header.Set("Sec-Fetch-Mode", "no-cors")
	if got := v.Do(image).Body; got != "n=1" {
		t.Errorf("an image from elsewhere sends %q", got)
	}
}

func TestLookingIsNoActivity(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Idle: 30 * time.Minute}, plain(http.NotFound))
	alice := site.SignedIn("alice")
	coatchecktest.Put(alice, note, "hello")
	before := alice.Info()
	if before.Subject != "alice" || !before.Current {
		t.Errorf("Info: %+v", before)
	}
	site.Advance(20 * time.Minute)
	if text, found := coatchecktest.Value(alice, note); !found || text != "hello" {
		t.Errorf("Value: %q, %t", text, found)
	}
	if alice.Info() != before {
		t.Errorf("looking changed the session from\n%+v to\n%+v", before, alice.Info())
	}
	site.Advance(11 * time.Minute)
	if info := alice.Info(); info != (coatcheck.Info{}) {
		t.Errorf("the session outlived Idle: %+v", info)
	}
	if ended := site.Events(coatcheck.KindEnded); len(ended) != 1 || ended[0].Reason != coatcheck.ReasonIdle {
		t.Errorf("events: %v, want one end by idle", ended)
	}
	if all := site.Events(); len(all) < 2 || all[0].Kind != coatcheck.KindSignedIn {
		t.Errorf("all events: %v", all)
	}
}

func TestTheClockMayBeTheProgramsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := coatchecktest.New(t, coatcheck.Config{Now: time.Now}, plain(http.NotFound))
		alice := site.SignedIn("alice")
		time.Sleep(20 * time.Minute)
		if !site.Now().Equal(time.Now()) {
			t.Errorf("the site's clock shows %v, the program's %v", site.Now(), time.Now())
		}
		site.Advance(11 * time.Minute)
		if alice.Info().Subject != "" {
			t.Error("the session outlived Idle")
		}
	})
}

func TestTabsOfOneBrowserMayBeUsedAtOnce(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, shop)
	alice := site.SignedIn("alice")
	var tabs sync.WaitGroup
	for range 20 {
		tabs.Go(func() { alice.Post("/cart", url.Values{"item": {"scarf"}}) })
	}
	tabs.Wait()
	if items, _ := coatchecktest.Value(alice, cart); len(items) != 20 {
		t.Errorf("the cart holds %d scarves of 20", len(items))
	}
}

func TestFollowGoesWhereABrowserGoes(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, plain(func(w http.ResponseWriter, r *http.Request) {
		if to := r.FormValue("to"); to != "" {
			status := http.StatusSeeOther
			fmt.Sscan(r.FormValue("status"), &status)
			http.Redirect(w, r, to, status)
			return
		}
		io.WriteString(w, r.Method+" "+r.URL.Path)
	}))
	v := site.Visitor()
	for _, c := range []struct {
		name   string
		first  *coatchecktest.Response
		status int
		body   string
	}{
		{"no redirect", v.Get("/a"), 200, "GET /a"},
		{"twice", v.Get("/a?to=" + url.QueryEscape("/b?to=/c")), 200, "GET /c"},
		{"with the origin", v.Get("/a?to=https://example.com/c"), 200, "GET /c"},
		{"after a form", v.Post("/a", url.Values{"to": {"/c"}}), 200, "GET /c"},
		{"kept method", v.Get("/a?status=307&to=/c"), 200, "GET /c"},
		{"another site", v.Get("/a?to=https://example.org/c"), 303, ""},
		{"another host", v.Get("/a?to=//example.org/c"), 303, ""},
		{"a form again", v.Post("/a", url.Values{"to": {"/c"}, "status": {"307"}}), 307, ""},
	} {
		last := v.Follow(c.first)
		if last.Status != c.status || c.body != "" && last.Body != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.name, last.Status, last.Body, c.status, c.body)
		}
	}
}

func TestResponseIsTheFinalOne(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, plain(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusTeapot)
		w.(http.Flusher).Flush()
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Late", "yes")
		io.WriteString(w, "short and stout")
	}))
	res := site.Visitor().Get("/")
	if res.Status != http.StatusTeapot || res.Body != "short and stout" || res.Header.Get("Late") != "" || res.Header.Get("Link") != "" {
		t.Errorf("response: %+v", res)
	}
	if len(res.Early) != 1 || res.Early[0].Get("Link") == "" {
		t.Errorf("early: %v", res.Early)
	}
}

// fatal is a test that records how it failed.
type fatal struct {
	testing.TB
	message string
}

func (f *fatal) Helper() {}
func (f *fatal) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}

func TestWhatGoesWrongFailsTheTest(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(*coatchecktest.Site)
		want string
	}{
		{"an error in Session", func(s *coatchecktest.Site) {
			s.Visitor().Session(func(*coatcheck.Session) error { return errors.New("no tea") })
		}, "no tea"},
		{"a session that cannot be stored", func(s *coatchecktest.Site) {
			coatchecktest.Put(s.Visitor(), note, strings.Repeat("x", 100))
		}, "MaxBytes"},
		{"a sign-in that is refused", func(s *coatchecktest.Site) { s.SignedIn("") }, "subject is empty"},
		{"a cookie that browsers refuse", func(s *coatchecktest.Site) { s.Visitor().SetCookie("__Host-id=a") }, "browsers refuse"},
		{"redirects without end", func(s *coatchecktest.Site) {
			v := s.Visitor()
			v.Follow(v.Get("/around"))
		}, "20 redirects"},
		{"a configuration that is refused", func(s *coatchecktest.Site) {
			coatchecktest.New(&fatal{TB: t}, coatcheck.Config{Idle: -1}, shop)
		}, "Idle"},
	} {
		failed := &fatal{TB: t}
		site := coatchecktest.New(failed, coatcheck.Config{MaxBytes: 50}, plain(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/around", http.StatusFound)
		}))
		func() {
			defer func() { failed, _ = recover().(*fatal) }()
			c.run(site)
		}()
		if failed == nil || !strings.Contains(failed.message, c.want) {
			t.Errorf("%s: the test fails with %+v, want one that says %q", c.name, failed, c.want)
		}
	}
}

func TestFormsCanCarryTheTokenThatIsRequired(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Profile: coatcheck.NISTAAL1}, shop)
	alice := site.SignedIn("alice")
	if res := alice.Post("/cart", url.Values{"item": {"scarf"}}); res.Status != http.StatusForbidden {
		t.Errorf("without a token: %d", res.Status)
	}
	if res := alice.Post("/cart", url.Values{"item": {"scarf"}, "csrf_token": {alice.CSRFToken()}}); res.Status != http.StatusOK {
		t.Errorf("with a token: %d %s", res.Status, res.Body)
	}
}
