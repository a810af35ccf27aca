package coatcheck_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
)

// Whatever is renewed, the two clocks of the session go on.
func TestRenewalIsNoActivity(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	d := srv.bound("alice")
	seen := srv.record(d.id()).LastSeen
	for range 5 {
		srv.clock.advance(5 * time.Minute)
		d.refresh().wantStatus(http.StatusOK)
		d.ask().wantStatus(http.StatusForbidden)
	}
	if now := srv.record(d.id()).LastSeen; !now.Equal(seen) {
		t.Errorf("last seen moved by %v", now.Sub(seen))
	}
	srv.clock.advance(4*time.Minute + 30*time.Second) // and the leeway before: half an hour
	d.refresh().wantStopped(d.name)
	d.wantUser("")

	d = srv.bound("bob")
	for range 12 * 60 / 8 {
		srv.clock.advance(8*time.Minute - time.Second)
		d.refresh().wantStatus(http.StatusOK)
		d.must(read)
	}
	srv.clock.advance(2 * time.Minute)
	d.refresh().wantStopped(d.name)
	d.wantUser("")
	if srv.events.count(coatcheck.KindEnded, coatcheck.ReasonIdle) != 1 || srv.events.count(coatcheck.KindEnded, coatcheck.ReasonAbsolute) != 1 {
		t.Errorf("the ends are told as %v", srv.events.events)
	}
}

// Browsers send both posts without cookies, and with an Origin of the page that
// the sign-in came from.
func TestTheProtocolNeedsNoTokenAndNoSite(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Require), func(c *coatcheck.Config) { c.RequireCSRFToken = true })
	fields := map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://login.example"}
	signer := newServer(t, srv.store, binds(dbsc.Require)) // whose form needs no token
	d := signer.signedInDevice("alice")
	d.browser = d.at(srv)
	bare := d.without(signedInCookie)
	fields[dbsc.HeaderResponse] = d.proof(d.offered)
	bare.take(bare.send("register", fields)).wantStatus(http.StatusOK)
	fields[dbsc.HeaderResponse], fields[dbsc.HeaderSession] = d.proof(bare.challenge), bare.name
	bare.take(bare.send("refresh", fields)).wantStatus(http.StatusOK)
	if n := srv.events.count(coatcheck.KindCrossSite); n != 0 {
		t.Errorf("%d requests of the protocol were refused as another site's", n)
	}
}

func TestRequireEndsSessionsThatAreNotBoundInTime(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), binds(dbsc.Require))
		visitor := srv.browser()
		visitor.must(write("a cart"))
		unable, able := srv.signedInDevice("alice"), srv.signedInDevice("alice")
		able.register()
		srv.clock.advance(time.Minute - time.Microsecond)
		unable.wantUser("alice")
		srv.clock.advance(time.Microsecond)
		if got := unable.do(read).session.Subject(); got != "" {
			t.Errorf("%q is signed in without a device", got)
		}
		unable.wantUser("")
		if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonNotBound); n != 1 {
			t.Errorf("the end is told %d times, want once", n)
		}
		able.wantUser("alice")
		visitor.wantText("a cart")
		if n := srv.live("alice"); n != 1 {
			t.Errorf("%d sessions of alice live, want that of the device", n)
		}
	})
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	unable := srv.signedInDevice("alice")
	srv.clock.advance(20 * time.Minute)
	unable.wantUser("alice")
	if srv.events.count(coatcheck.KindEnded) != 0 {
		t.Error("with Prefer a session ended because it is not bound")
	}
}

func TestSignOutTakesBothCookiesAndStopsTheRenewal(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	d := srv.bound("alice")
	twin := d.without()
	x := d.must(signOut)
	for _, name := range []string{signedInCookie, boundCookie} {
		if line := x.lines()[name]; line == nil || line.MaxAge >= 0 {
			t.Errorf("%s is not expired: %v", name, line)
		}
	}
	twin.refresh().wantStopped(d.name)
	twin.wantUser("")
}

// After a sign-in the browser knows two bindings that set the same cookie. The
// old one must not.
func TestSigningInAgainLeavesOneBinding(t *testing.T) {
	for _, again := range []string{"alice", "bob"} {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d := srv.bound("alice")
		old := d.without()
		x := d.signIn(again)
		if line := x.lines()[boundCookie]; line == nil || line.MaxAge >= 0 {
			t.Error("the cookie of the old binding stays")
		}
		before := d.stolen() // a request on its way
		d.register().wantStatus(http.StatusOK)
		before.wantUser(again)
		old.cookies = d.cookies // the same browser
		cookie := d.cookies[boundCookie]
		old.refresh().wantStopped(old.name)
		bare := old.without(signedInCookie) // after an arrival from another site
		bare.refresh().wantStopped(old.name)
		if d.cookies[boundCookie] != cookie || d.name == old.name {
			t.Error("the old binding changed the cookie of the new one")
		}
		srv.clock.advance(8 * time.Minute)
		d.refresh().wantStatus(http.StatusOK)
		d.wantUser(again)
	}
	t.Run("the old one has not ended", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d := srv.bound("alice")
		old := d.without()
		clear(d.cookies) // by hand; the browser keeps its key
		d.signIn("alice")
		d.register().wantStatus(http.StatusOK)
		old.cookies = d.cookies
		old.refresh().wantStatus(http.StatusBadRequest).wantNoCookie() // which a browser forgets
		srv.clock.advance(time.Minute)
		d.wantUser("alice")
	})
}

// A browser that lost its key must be able to begin anew.
func TestAnUnprovenVisitorIsSentToSignInAndCan(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer), func(c *coatcheck.Config) { c.SignInPath = "/sign-in" })
	d := srv.bound("alice")
	d.must(write("the coat"))
	lost := srv.device()
	lost.browser = d.without(boundCookie).browser
	members := srv.RequireSignIn(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it is let in") }))
	for mode, want := range map[string]int{"navigate": http.StatusSeeOther, "cors": http.StatusUnauthorized} {
		r := lost.request(ctx)
		r.Method = http.MethodGet
		r.Header.Set("Sec-Fetch-Mode", mode)
		x := lost.exchangeWith(members, r).wantStatus(want).wantNoCookie()
		if want == http.StatusSeeOther && !strings.HasPrefix(x.answer.Header().Get("Location"), "/sign-in?next=") {
			t.Errorf("it is sent to %q", x.answer.Header().Get("Location"))
		}
	}
	lost.signIn("alice")
	lost.wantUser("alice")
	lost.wantText("") // nothing is carried from what it could not open
	lost.register().wantStatus(http.StatusOK)
	srv.clock.advance(time.Minute)
	lost.wantUser("alice")
	d.wantUser("alice")
	d.wantText("the coat")
}

// Where forms need a token, its sign-in form can have one.
func TestAnUnprovenVisitorGetsATokenForTheSignInForm(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	lost := srv.bound("alice").without(boundCookie)
	lost.server = srv.another(binds(dbsc.Prefer), func(c *coatcheck.Config) { c.RequireCSRFToken = true })
	visit := func(method, token string, do func(*coatcheck.Session) error) *exchange {
		r := lost.request(ctx)
		r.Method = method
		r.Header.Set("X-CSRF-Token", token)
		return lost.exchangeWith(lost.server.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			return do(s)
		}), r)
	}
	var token string
	visit(http.MethodGet, "", func(s *coatcheck.Session) (err error) {
		token, err = s.CSRFToken()
		return err
	}).wantStatus(http.StatusOK).wantNoCookie()
	signIn := func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") }
	visit(http.MethodPost, "", signIn).wantStatus(http.StatusForbidden)
	if x := visit(http.MethodPost, token, signIn).wantStatus(http.StatusOK); !x.sets(signedInCookie) {
		t.Error("the sign-in sets no cookie")
	}
}

// bounceCases are requests of a bound session; those that another place began
// and that a page can repeat are answered with a page that does.
var bounceCases = []struct {
	name, method, site, mode, dest string
	bound                          string // the cookie: "", good or bad
	unknown                        bool   // nobody's session cookie
	bounced                        bool
}{
	{"a link on another site", "GET", "cross-site", "navigate", "document", "", false, true},
	{"a link on a sibling host", "GET", "same-site", "navigate", "document", "", false, true},
	{"a bookmark", "GET", "none", "navigate", "document", "", false, true},
	{"in a frame of a sibling", "GET", "same-site", "navigate", "iframe", "", false, true},
	{"a link on this site", "GET", "same-origin", "navigate", "document", "", false, false},
	{"a form on another site", "POST", "cross-site", "navigate", "document", "", false, false},
	{"a head request", "HEAD", "cross-site", "navigate", "document", "", false, false},
	{"a fetch", "GET", "cross-site", "cors", "empty", "", false, false},
	{"an image", "GET", "cross-site", "no-cors", "image", "", false, false},
	{"a WebSocket", "GET", "cross-site", "websocket", "websocket", "", false, false},
	{"a browser that does not say whose page it was", "GET", "", "navigate", "document", "", false, false},
	{"with its proof", "GET", "cross-site", "navigate", "document", "good", false, false},
	{"with another proof, which is taken away", "GET", "cross-site", "navigate", "document", "bad", false, false},
	{"of nobody", "GET", "cross-site", "navigate", "document", "", true, false},
}

func TestNavigationsFromElsewhereComeBackFromThisSite(t *testing.T) {
	for _, c := range bounceCases {
		t.Run(c.name, func(t *testing.T) {
			srv := newServer(t, memory(), binds(dbsc.Prefer))
			d := srv.bound("alice")
			switch {
			case c.unknown:
				clear(d.cookies)
				d.cookies[signedInCookie] = strings.Repeat("A", 64)
			case c.bound == "":
				delete(d.cookies, boundCookie)
			case c.bound == "bad":
				d.cookies[boundCookie] = strings.Repeat("A", 43)
			}
			r := d.request(ctx)
			r.Method = c.method
			for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.dest} {
				r.Header.Set(name, value)
				if value == "" {
					r.Header.Del(name)
				}
			}
			x := d.exchange(r)
			h := x.answer.Header()
			if bounced := x.status() == http.StatusOK && h.Get("Refresh") == "0"; bounced != c.bounced {
				t.Fatalf("answered %d %v, bounced should be %t", x.status(), h, c.bounced)
			}
			if !c.bounced {
				return
			}
			x.wantNoCookie()
			if h.Get("Cache-Control") != "no-store" || !strings.HasPrefix(h.Get("Content-Type"), "text/html") || h.Get("Location") != "" {
				t.Errorf("the page has %v", h)
			}
			r.Header.Set("Sec-Fetch-Site", "same-origin") // it comes back, as browsers send it
			d.exchange(r).wantStatus(http.StatusTeapot)   // to the site: no loop
		})
	}
}

func TestAnUnboundVisitorIsNotBounced(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	unbound, young, signedOut := srv.signedInDevice("alice"), srv.signedInDevice("alice"), srv.device()
	srv.clock.advance(50 * time.Second)
	young.register()
	for what, d := range map[string]*device{"not bound": unbound, "bound just now": young.without(boundCookie), "signed out": signedOut} {
		r := d.request(ctx)
		r.Method = http.MethodGet
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		if x := d.exchange(r); x.status() != http.StatusTeapot {
			t.Errorf("%s: answered %d by the bounce page", what, x.status())
		}
	}
}

// Requests that write while the session is bound, renewed and rotated lose
// nothing, and none of them is refused.
func TestBindingLosesNothingOfParallelRequests(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), binds(dbsc.Prefer))
		d := srv.signedInDevice("alice")
		const writers = 16
		work := func(what string, step func() *exchange) {
			t.Helper()
			err := parallel(writers+1, func(i int) error {
				if i == writers {
					if x := step(); x.status() != http.StatusOK {
						return fmt.Errorf("answered %d", x.status())
					}
					return nil
				}
				b := d.stolen()
				if x := b.begin(func(_ *exchange, s *coatcheck.Session) error { return add(s, fmt.Sprint(what, i)) }); x.status() != http.StatusOK {
					return fmt.Errorf("a write is answered %d: %w", x.status(), x.err)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		header := map[string]string{dbsc.HeaderResponse: d.proof(d.offered)}
		var x *exchange
		work("registration", func() *exchange { x = d.send("register", header); return x })
		d.take(x)
		srv.clock.advance(8 * time.Minute)
		header = d.refreshing()
		work("renewal", func() *exchange { x = d.send("refresh", header); return x })
		d.take(x)
		srv.clock.advance(2 * time.Minute)
		work("rotation", func() *exchange { x = d.begin(rotate); return x })
		x.deliver()
		d.refresh().wantStatus(http.StatusOK)
		list, _ := listKey.Get(d.look())
		if len(list) != 3*writers {
			t.Errorf("%d of %d writes are there", len(list), 3*writers)
		}
		d.must(reauthenticate)
		d.refresh().wantStatus(http.StatusOK)
		d.wantUser("alice")
	})
}

// Frameworks that are not net/http get the offer with the other fields.
func TestCommitOffersTheRegistration(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	b := srv.browser()
	s, err := srv.Open(b.request(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SignIn(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	h, err := srv.Commit(ctx, s)
	if err != nil || !offerForm.MatchString(h.Get(dbsc.HeaderRegistration)) {
		t.Errorf("the header is %v, %v", h, err)
	}
}
