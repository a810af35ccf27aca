package coatcheck_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

// TestRule11RequestsOfOtherSitesAreRefused (GO-21 to GO-24), with a cookie or
// without: a forged sign-in form never brings one along.
func TestRule11RequestsOfOtherSitesAreRefused(t *testing.T) {
	const own, evil, partner = "https://example.com", "https://evil.example", "https://partner.example"
	for _, c := range []struct {
		name    string
		method  string
		path    string
		header  map[string]string
		refused bool
	}{
		{"form of the site", "POST", "/", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": own}, false},
		{"form of another", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, true},
		{"form of a sibling", "POST", "/", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://a.example.com"}, true},
		{"PUT", "PUT", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		{"DELETE", "DELETE", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		{"PATCH", "PATCH", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		{"a method of its own", "SETTLE", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		{"link of another", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, false},
		{"HEAD of another", "HEAD", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"preflight of another", "OPTIONS", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, false},
		{"typed by the user", "POST", "/", map[string]string{"Sec-Fetch-Site": "none"}, false},
		{"older browser, of the site", "POST", "/", map[string]string{"Origin": own}, false},
		{"older browser, of another", "POST", "/", map[string]string{"Origin": evil}, true},
		{"older browser, of a sandbox", "POST", "/", map[string]string{"Origin": "null"}, true},
		{"older browser, of a look-alike", "POST", "/", map[string]string{"Origin": own + ".evil.example"}, true},
		{"older browser, of a name that ends alike", "POST", "/", map[string]string{"Origin": "https://evil-example.com"}, true},
		{"older browser, another port", "POST", "/", map[string]string{"Origin": own + ":8443"}, true},
		{"older browser, of what is no origin", "POST", "/", map[string]string{"Origin": "example.com"}, true},
		{"another whom a header calls this site", "POST", "/", map[string]string{"Origin": evil, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}, true},
		{"a value from the future", "POST", "/", map[string]string{"Sec-Fetch-Site": "near-site", "Origin": evil}, true},
		{"a script of a sandbox", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, true},
		{"another that overrides the method", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "GET"}, true},
		{"no browser", "POST", "/", nil, false},
		{"trusted origin", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": partner}, false},
		{"trusted origin, another port", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": partner + ":8443"}, true},
		{"trusted origin without TLS", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://partner.example"}, true},
		{"WebSocket of the site", "GET", "/", map[string]string{"Upgrade": "websocket", "Origin": own, "Sec-Fetch-Site": "same-origin"}, false},
		{"WebSocket of another", "GET", "/", map[string]string{"Upgrade": "websocket", "Origin": evil, "Sec-Fetch-Site": "cross-site"}, true},
		{"WebSocket of another, older browser", "GET", "/", map[string]string{"Upgrade": "h2c, WebSocket", "Origin": evil}, true},
		{"WebSocket of a trusted origin", "GET", "/", map[string]string{"Upgrade": "websocket", "Origin": partner}, false},
		{"WebSocket over HTTP/2 of another", "CONNECT", "/", map[string]string{":protocol": "websocket", "Origin": evil}, true},
		{"another upgrade of another", "GET", "/", map[string]string{"Upgrade": "h2c", "Origin": evil}, false},
		{"route for other sites", "POST", "/callback", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, false},
		{"route for other sites, another method", "PUT", "/callback", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, true},
		{"route for other sites, on the way there", "POST", "//callback", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, true},
		{"route for other sites, by dots", "POST", "/x/../callback", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, true},
		{"below a route for other sites", "POST", "/callback/x", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": evil}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := coatcheck.Config{TrustedOrigins: []string{partner}, CrossSite: []string{"POST /callback"}, Logger: silent}
			served := false
			site := coatchecktest.New(t, config, page(look))
			for _, cookie := range []string{"", cookieOf(site.SignedIn("alice"), signedInCookie)} {
				served = false
				events := len(site.Events(coatcheck.KindCrossSite))
				r := httptest.NewRequest(c.method, "https://example.com/", nil)
				r.URL.Path = c.path
				for field, value := range c.header {
					r.Header[http.CanonicalHeaderKey(field)] = []string{value}
				}
				if cookie != "" {
					r.AddCookie(&http.Cookie{Name: signedInCookie, Value: cookie})
				}
				w := httptest.NewRecorder()
				site.Manager().Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })).ServeHTTP(w, r)
				if served == c.refused || (w.Code == http.StatusForbidden) != c.refused {
					t.Errorf("served: %t, status %d; want refused: %t", served, w.Code, c.refused)
				}
				if raised := len(site.Events(coatcheck.KindCrossSite)) - events; (raised == 1) != c.refused {
					t.Errorf("%d events", raised)
				}
				if lines := w.Header()["Set-Cookie"]; len(lines) > 0 {
					t.Errorf("Set-Cookie: %q", lines)
				}
			}
		})
	}
}

// TestRule11ALoginFormOfAnotherSiteSignsNobodyIn, whether or not the victim has
// a session already.
func TestRule11ALoginFormOfAnotherSiteSignsNobodyIn(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Logger: silent}, pages(map[string]handler{
		"POST /sign-in": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			return s.SignIn(r.Context(), r.FormValue("user"))
		},
	}))
	visitor := site.Visitor()
	coatchecktest.Put(visitor, textKey, "hello")
	for name, v := range map[string]*coatchecktest.Visitor{"a new browser": site.Visitor(), "a visitor": visitor, "alice": site.SignedIn("alice")} {
		before := v.Info()
		res := v.PostFrom("https://evil.example", "/sign-in", url.Values{"user": {"mallory"}})
		noCookie(t, res)
		if res.Status != http.StatusForbidden || v.Info() != before {
			t.Errorf("%s: %d; signed in: %q", name, res.Status, v.Info().Subject)
		}
		if res := v.Post("/sign-in", url.Values{"user": {"alice"}}); res.Status != http.StatusOK || v.Info().Subject != "alice" {
			t.Errorf("%s, by the site's own form: %d", name, res.Status)
		}
	}
}

// TestRule11ARouteForOtherSitesHasNoSessionThere: the browser may be holding
// back a better cookie, and what came along is not to be acted on.
func TestRule11ARouteForOtherSitesHasNoSessionThere(t *testing.T) {
	acts := map[string]func(s *coatcheck.Session) error{
		"Set": func(s *coatcheck.Session) error { return textKey.Set(s, "hello") },
		"Update": func(s *coatcheck.Session) error {
			return textKey.Update(s, func(t string) (string, error) { return t, nil })
		},
		"Session.Update":     func(s *coatcheck.Session) error { return s.Update(ctx, func() error { return nil }) },
		"SignIn":             func(s *coatcheck.Session) error { return s.SignIn(ctx, "mallory") },
		"Reauthenticate":     func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) },
		"CredentialsChanged": func(s *coatcheck.Session) error { return s.CredentialsChanged(ctx) },
		"Rotate":             func(s *coatcheck.Session) error { return s.Rotate(ctx) },
		"End":                func(s *coatcheck.Session) error { return s.End(ctx) },
		"EndOthers":          func(s *coatcheck.Session) error { _, err := s.EndOthers(ctx); return err },
		"CSRFToken":          func(s *coatcheck.Session) error { _, err := s.CSRFToken(); return err },
	}
	st, calls := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st, CrossSite: []string{"POST /callback"}, InsecureCrossSite: true},
		pages(map[string]handler{"POST /callback": func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			if text, found := textKey.Get(s); found || s.SignedIn() || s.ID() != (coatcheck.ID{}) || len(s.Keys()) > 0 {
				t.Errorf("it has the session %v, which holds %q", s, text)
			}
			for name, act := range acts {
				if err := act(s); !errors.Is(err, coatcheck.ErrCrossSite) {
					t.Errorf("%s: %v, want ErrCrossSite", name, err)
				}
			}
			_, err := io.WriteString(w, "served")
			return err
		}}))
	alice := site.SignedIn("alice")
	coatchecktest.Put(alice, textKey, "hello")
	for _, v := range []*coatchecktest.Visitor{site.Visitor(), alice} {
		before, wrote := v.Info(), writes(calls)
		res := v.PostFrom("https://idp.example", "/callback", url.Values{"code": {"1"}})
		noCookie(t, res)
		if res.Status != http.StatusOK || res.Body != "served" || v.Info() != before || writes(calls) != wrote {
			t.Errorf("%d %q; the session was\n%+v, is\n%+v", res.Status, res.Body, before, v.Info())
		}
	}
}

// TestRule11TheRouteServesTheSiteItselfAsAnyOther.
func TestRule11TheRouteServesTheSiteItselfAsAnyOther(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{CrossSite: []string{"POST /callback"}}, pages(map[string]handler{
		"POST /callback": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			return s.SignIn(r.Context(), "alice")
		},
	}))
	v := site.Visitor()
	if res := v.Post("/callback", nil); res.Status != http.StatusOK || v.Info().Subject != "alice" {
		t.Errorf("%d; signed in: %q", res.Status, v.Info().Subject)
	}
}

// TestRule11OpenRefusesAsHandlerDoes, for frameworks that are not net/http.
func TestRule11OpenRefusesAsHandlerDoes(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "https://example.com/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if s, err := sessions.Open(r); !errors.Is(err, coatcheck.ErrCrossSite) || s != nil {
		t.Errorf("Open: %v, %v; want ErrCrossSite", s, err)
	}
}

// TestRule11ALinkOfAnotherSiteBringsTheSessionAlong, unless cookies are Strict.
func TestRule11ALinkOfAnotherSiteBringsTheSessionAlong(t *testing.T) {
	for strict, want := range map[bool]string{false: "alice", true: ""} {
		site := coatchecktest.New(t, coatcheck.Config{StrictSameSite: strict}, page(whoami))
		if got := site.SignedIn("alice").GetFrom("https://news.example", "/").Body; got != want {
			t.Errorf("StrictSameSite %t: signed in: %q, want %q", strict, got, want)
		}
	}
}
