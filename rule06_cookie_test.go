package coatcheck_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// setHeader is an edit of a request.
func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// transports are ways by which a request may come.
var transports = []struct {
	name   string
	url    string
	edit   func(*http.Request)
	config coatcheck.Config
	secure bool
}{
	{"TLS", "https://shop.test/", nil, coatcheck.Config{}, true},
	{"plain", "http://shop.test/", nil, coatcheck.Config{}, false},
	{"as httptest makes it", "/", nil, coatcheck.Config{}, false},
	{"X-Forwarded-Proto", "http://shop.test/", setHeader("X-Forwarded-Proto", "https"), coatcheck.Config{}, true},
	{"X-Forwarded-Proto of the nearest client", "http://shop.test/", setHeader("X-Forwarded-Proto", "HTTPS, http"), coatcheck.Config{}, true},
	{"X-Forwarded-Proto http", "http://shop.test/", setHeader("X-Forwarded-Proto", "http, https"), coatcheck.Config{}, false},
	{"X-Forwarded-Ssl", "http://shop.test/", setHeader("X-Forwarded-Ssl", "on"), coatcheck.Config{}, true},
	{"X-Forwarded-Ssl off", "http://shop.test/", setHeader("X-Forwarded-Ssl", "off"), coatcheck.Config{}, false},
	{"Forwarded", "http://shop.test/", setHeader("Forwarded", `for=192.0.2.1; Proto="https"; by=198.51.100.1, proto=http`), coatcheck.Config{}, true},
	{"Forwarded http", "http://shop.test/", setHeader("Forwarded", "proto=http, proto=https"), coatcheck.Config{}, false},
	{"Sec-Fetch-Site", "http://shop.test/", setHeader("Sec-Fetch-Site", "same-origin"), coatcheck.Config{}, true},
	{"Origin https", "http://shop.test/", setHeader("Origin", "https://shop.test"), coatcheck.Config{}, true},
	{"Origin http", "http://shop.test/", setHeader("Origin", "http://shop.test"), coatcheck.Config{}, false},
	{"localhost", "http://localhost:8080/", nil, coatcheck.Config{}, true},
	{"a name under localhost", "http://shop.localhost/", nil, coatcheck.Config{}, true},
	{"LOCALHOST", "http://LOCALHOST/", nil, coatcheck.Config{}, true},
	{"127.0.0.1", "http://127.0.0.1:80/", nil, coatcheck.Config{}, true},
	{"127.9.9.9", "http://127.9.9.9/", nil, coatcheck.Config{}, true},
	{"::1", "http://[::1]:8080/", nil, coatcheck.Config{}, true},
	{"::1 without port", "http://[::1]/", nil, coatcheck.Config{}, true},
	{"a loopback address in IPv6", "http://[::ffff:127.0.0.1]/", nil, coatcheck.Config{}, true},
	{"a private address", "http://192.168.0.1/", nil, coatcheck.Config{}, false},
	{"0.0.0.0", "http://0.0.0.0/", nil, coatcheck.Config{}, false},
	{"a host that begins with localhost", "http://localhost.evil.test/", nil, coatcheck.Config{}, false},
	{"a host that ends with localhost", "http://notlocalhost/", nil, coatcheck.Config{}, false},
	{"InsecureHTTP", "http://shop.test/", nil, coatcheck.Config{InsecureHTTP: true}, true},
}

// TestRule6SecureTransport (F-51): where browsers would send a Secure cookie
// back, a session starts; elsewhere it is an error that names the remedies,
// and never a sign-in that is forgotten at once.
func TestRule6SecureTransport(t *testing.T) {
	for _, c := range transports {
		for what, act := range map[string]handler{
			"sign-in": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				return s.SignIn(r.Context(), "alice")
			},
			"write": func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
				return textKey.Set(s, "hello")
			},
		} {
			var got error
			var events eventLog
			c.config.OnEvent, c.config.Logger = events.add, silent
			sessions, err := coatcheck.New(c.config)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", c.url, nil)
			if c.edit != nil {
				c.edit(r)
			}
			w := httptest.NewRecorder()
			sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				got = act(w, r, s)
				return got
			}).ServeHTTP(w, r)
			if (got == nil) != c.secure || !c.secure && !errors.Is(got, coatcheck.ErrInsecureTransport) {
				t.Errorf("%s, %s: %v", c.name, what, got)
			}
			if cookies := len(w.Header()["Set-Cookie"]); (cookies == 1) != c.secure {
				t.Errorf("%s, %s: %d cookies", c.name, what, cookies)
			}
			if raised := events.count(coatcheck.KindInsecureTransport) == 1; raised == c.secure {
				t.Errorf("%s, %s: raised an event: %t", c.name, what, raised)
			}
			if !c.secure && w.Code != http.StatusForbidden {
				t.Errorf("%s, %s: status %d", c.name, what, w.Code)
			}
		}
	}
	for _, remedy := range []string{"TLS", "X-Forwarded-Proto", "httptest.NewRequest", "InsecureHTTP"} {
		if !strings.Contains(coatcheck.ErrInsecureTransport.Error(), remedy) {
			t.Errorf("the error does not name %s", remedy)
		}
	}
}

// TestRule6AReadNeedsNoSecureTransport: what is there is served, and what
// starts nothing is no error.
func TestRule6AReadNeedsNoSecureTransport(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	sessions.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		_, _ = textKey.Get(s)
		return textKey.Delete(s)
	}).ServeHTTP(w, httptest.NewRequest("GET", "http://shop.test/", nil))
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// tokens are what a forger may know or make his own from.
type tokens struct {
	good, bob string // of alice and of bob, who are signed in
	visit     string // of an anonymous session
	ended     string // of a session that was ended
	replaced  string // from before a re-authentication
	foreign   string // of another manager on the same store
}

// forgery is a request's Cookie header and what comes of it.
type forgery struct {
	name    string
	headers []string
	status  int
	user    string
	kind    coatcheck.Kind
	reason  coatcheck.Reason
}

func forgeries(k tokens) []forgery {
	const forged, duplicate, none = coatcheck.KindForgedToken, coatcheck.KindDuplicateCookie, coatcheck.Kind("")
	id := func(value string) string { return signedInCookie + "=" + value }
	another := byte('A') // than the one that is there
	if k.good[24] == another {
		another = 'B'
	}
	return []forgery{
		{"one's own", []string{id(k.good)}, 200, "alice", none, ""},
		{"among 500 others", []string{strings.Repeat("a=1; ", 500) + id(k.good)}, 200, "alice", none, ""},
		{"in a line of its own", []string{"a=1", id(k.good), "b=2"}, 200, "alice", none, ""},
		{"after what RFC 2965 sent", []string{"$Version=1; " + id(k.good) + "; $Path=/"}, 200, "alice", none, ""},
		{"beside a visit of somebody else", []string{visitCookie + "=" + k.visit + "; " + id(k.good)}, 200, "alice", none, ""},
		{"after a comma", []string{"a=1, " + id(k.good)}, 200, "", none, ""},
		{"before a comma", []string{id(k.good) + ", a=1"}, 200, "", forged, coatcheck.ReasonMalformed},
		{"percent-encoded", []string{id("%" + fmt.Sprintf("%x", k.good[0]) + k.good[1:])}, 200, "", forged, coatcheck.ReasonMalformed},
		{"empty", []string{id("")}, 200, "", none, ""},
		{"forged whole", []string{id(strings.Repeat("A", 64))}, 200, "", forged, coatcheck.ReasonUnknown},
		{"id without its secret", []string{id(k.good[:22] + strings.Repeat("A", 42))}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"id alone", []string{id(k.good[:22])}, 200, "", forged, coatcheck.ReasonMalformed},
		{"another's secret", []string{id(k.good[:22] + k.bob[22:])}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"a bit of its family changed", []string{id(k.good[:24] + string(another) + k.good[25:])}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"cut by one", []string{id(k.good[:63])}, 200, "", forged, coatcheck.ReasonMalformed},
		{"one too long", []string{id(k.good + "A")}, 200, "", forged, coatcheck.ReasonMalformed},
		{"a megabyte", []string{id(strings.Repeat("A", 1<<20))}, 200, "", forged, coatcheck.ReasonMalformed},
		{"padded", []string{id(k.good + "==")}, 200, "", forged, coatcheck.ReasonMalformed},
		{"another alphabet", []string{id(strings.Repeat("+", 64))}, 200, "", forged, coatcheck.ReasonMalformed},
		{"quoted", []string{id(`"` + k.good + `"`)}, 200, "", forged, coatcheck.ReasonMalformed},
		{"of the other manager", []string{id(k.foreign)}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"in the other kind's cookie", []string{visitCookie + "=" + k.good}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"an anonymous token as a sign-in", []string{id(k.visit)}, 200, "", forged, coatcheck.ReasonWrongSecret},
		{"of a session that was ended", []string{id(k.ended)}, 200, "", forged, coatcheck.ReasonUnknown},
		{"from before the re-authentication", []string{id(k.replaced)}, 200, "", forged, coatcheck.ReasonReplaced},
		{"twice the same", []string{id(k.good) + "; " + id(k.good)}, 400, "", duplicate, ""},
		{"tossed before one's own", []string{id(k.bob) + "; " + id(k.good)}, 400, "", duplicate, ""},
		{"tossed after one's own", []string{id(k.good), id(k.bob)}, 400, "", duplicate, ""},
		{"a tossed k.visit beside a sign-in", []string{visitCookie + "=a; " + id(k.good) + "; " + visitCookie + "=b"}, 400, "", duplicate, ""},
		{"5,000 cookies", []string{strings.Repeat("a=1; ", 5000) + id(k.good)}, 431, "", duplicate, ""},
		{"5,000 lines", append(slices.Repeat([]string{"a=1"}, 5000), id(k.good)), 431, "", duplicate, ""},
		{"another case, before", []string{"__host-id=" + k.bob + "; " + id(k.good)}, 200, "alice", none, ""},
		{"another case, after", []string{id(k.good) + "; __HOST-ID=" + k.bob}, 200, "alice", none, ""},
		{"another case alone", []string{"__host-id=" + k.good}, 200, "", none, ""},
		{"nameless", []string{"=" + id(k.good)}, 200, "", none, ""},
		{"a space before the equals sign", []string{signedInCookie + " =" + k.good}, 200, "", none, ""},
		{"white space that is not ASCII", []string{"\u2000" + id(k.good), "\u00a0" + id(k.bob)}, 200, "", none, ""},
		{"without its prefix", []string{"id=" + k.good + "; __Secure-id=" + k.good}, 200, "", none, ""},
	}
}

// TestRule6NoTokenButOnesOwnIsAdopted (F-30, F-34, F-62, F-67): whatever else a
// Cookie header holds opens nothing, costs the store no write, sets no cookie
// and raises its event.
func TestRule6NoTokenButOnesOwnIsAdopted(t *testing.T) {
	st, calls := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, page(whoami))
	other := coatchecktest.New(t, coatcheck.Config{Store: st, Name: "other"}, page(whoami))

	var k tokens
	k.good = cookieOf(site.SignedIn("alice"), signedInCookie)
	k.bob = cookieOf(site.SignedIn("bob"), signedInCookie)
	visitor := site.Visitor()
	coatchecktest.Put(visitor, textKey, "hello")
	k.visit = cookieOf(visitor, visitCookie)
	k.ended = cookieOf(site.SignedIn("carol"), signedInCookie)
	if _, err := site.Manager().EndSubject(t.Context(), "carol"); err != nil {
		t.Fatal(err)
	}
	dave := site.SignedIn("dave")
	k.replaced = cookieOf(dave, signedInCookie)
	dave.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(t.Context()) })
	k.foreign = cookieOf(other.SignedIn("alice"), "__Host-other")
	site.Advance(time.Minute) // what is replaced is no longer merely late

	for _, c := range forgeries(k) {
		t.Run(c.name, func(t *testing.T) {
			wrote, events := writes(calls), len(site.Events())
			r := httptest.NewRequest("GET", "https://example.com/", nil)
			r.Header["Cookie"] = c.headers
			w := httptest.NewRecorder()
			page(whoami)(site.Manager()).ServeHTTP(w, r)
			if w.Code != c.status || c.status == 200 && w.Body.String() != c.user {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.user)
			}
			if lines := w.Header()["Set-Cookie"]; len(lines) > 0 {
				t.Errorf("Set-Cookie: %q", lines)
			}
			if n := writes(calls) - wrote - touches(c.user); n > 0 {
				t.Errorf("it cost the store %d writes", n)
			}
			raised := site.Events()[events:]
			switch {
			case c.kind == "" && len(raised) > 0, c.kind != "" && len(raised) != 1:
				t.Errorf("events: %v, want %q", raised, c.kind)
			case c.kind != "" && (raised[0].Kind != c.kind || raised[0].Reason != c.reason):
				t.Errorf("event: %+v, want %q, %q", raised[0], c.kind, c.reason)
			}
		})
	}
}

// touches is how many writes of activity a request of that user may cost.
func touches(user string) int {
	if user == "" {
		return 0
	}
	return 1
}

// TestRule6APlantedSessionIsWorthlessAfterSignIn (F-34, CK-63): the attacker's
// anonymous session and its CSRF token were tossed at the victim.
func TestRule6APlantedSessionIsWorthlessAfterSignIn(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{RequireCSRFToken: true, Logger: silent}, page(whoami))
	attacker := site.Visitor()
	token := attacker.CSRFToken()
	planted := cookieOf(attacker, visitCookie)
	victim := site.Visitor()
	victim.SetCookie(visitCookie + "=" + planted + "; Path=/; Secure")
	victim.Session(func(s *coatcheck.Session) error { return s.SignIn(t.Context(), "alice") })
	if cookieOf(victim, signedInCookie)[:22] == planted[:22] || cookieOf(victim, visitCookie) != "" {
		t.Error("the sign-in has kept the planted session")
	}
	if res := attacker.Get("/"); res.Body != "" {
		t.Errorf("the attacker is %s", res.Body)
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("X-CSRF-Token", token)
	if res := victim.Do(r); res.Status != http.StatusForbidden {
		t.Errorf("the attacker's CSRF token is worth %d", res.Status)
	}
}

// TestRule6OneSetCookiePerName (F-59), whatever the handler itself sets.
func TestRule6OneSetCookiePerName(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, page(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		http.SetCookie(w, &http.Cookie{Name: signedInCookie, Value: "mine", Path: "/", Secure: true})
		http.SetCookie(w, &http.Cookie{Name: signedInCookie + "x", Value: "other"})
		if err := errors.Join(s.SignIn(r.Context(), "alice"), s.SignIn(r.Context(), "bob"), s.Reauthenticate(r.Context())); err != nil {
			return err
		}
		if w.Header()["Set-Cookie"][1] != signedInCookie+"=mine; Path=/; Secure" || len(w.Header()["Set-Cookie"]) != 3 {
			t.Errorf("before the response the header has %q", w.Header()["Set-Cookie"])
		}
		return nil
	}))
	v := site.Visitor()
	var names []string
	for _, line := range v.Get("/").Header["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	if want := []string{"theme", signedInCookie + "x", signedInCookie}; !slices.Equal(names, want) {
		t.Errorf("cookies: %q, want %q", names, want)
	}
	if v.Info().Subject != "bob" {
		t.Errorf("signed in: %q", v.Info().Subject)
	}
}

// TestRule6OnlyWhoEndsTheSessionExpiresItsCookie (F-64): another ends it at the
// very moment, and the browser may hold a newer cookie by the time of the answer.
func TestRule6OnlyWhoEndsTheSessionExpiresItsCookie(t *testing.T) {
	memory := memstore.New(nil)
	st, faults := storetest.Faulty(memory)
	site := coatchecktest.New(t, coatcheck.Config{Store: st}, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		id := s.ID()
		faults.Before(storetest.Delete, func(ctx context.Context) error {
			_, err := memory.Delete(ctx, id)
			return err
		})
		return s.End(r.Context())
	}))
	res := site.SignedIn("alice").Get("/")
	if res.Status != http.StatusOK {
		t.Errorf("%d %s", res.Status, res.Body)
	}
	noCookie(t, res)
	if ended := site.Events(coatcheck.KindEnded); len(ended) > 0 {
		t.Errorf("it claims to have ended it: %v", ended)
	}
}

// TestRule6ACookieFitsWhatBrowsersKeep: of 4096 bytes, with the longest names.
func TestRule6ACookieFitsWhatBrowsersKeep(t *testing.T) {
	domain := strings.Repeat(strings.Repeat("a", 49)+".", 5) + "com"
	site := coatchecktest.New(t, coatcheck.Config{Name: strings.Repeat("n", 64), InsecureDomain: domain}, page(look))
	if v := site.SignedIn("alice", coatcheck.Remember(400*24*time.Hour)); len(v.Cookies()) != 1 || v.Info().Subject != "alice" {
		t.Errorf("the browser keeps %v", v.Cookies())
	}
}

// TestRule6TheServerItself: over TLS, as a client of net/http sees it.
func TestRule6TheServerItself(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(page(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if r.TLS == nil || r.TLS.Version < tls.VersionTLS12 {
			t.Errorf("the request came by %v", r.TLS)
		}
		return s.SignIn(r.Context(), "alice")
	})(sessions))
	defer server.Close()
	res, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if cookies := res.Cookies(); len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("cookies: %s", fmt.Sprint(cookies))
	}
}

// Who signs in and out in one request is a visitor without a session, and can
// start another at once.
func TestRule6SignInAndOutInOneRequest(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).browser()
		b.must(write("cart"))
		b.must(func(_ *exchange, s *coatcheck.Session) error {
			if err := s.SignIn(ctx, "alice"); err != nil {
				return err
			}
			return s.End(ctx)
		})
		if len(b.cookies) != 0 {
			t.Errorf("the browser keeps %d cookies", len(b.cookies))
		}
		b.must(write("again"))
		b.wantText("again")
	})
}
