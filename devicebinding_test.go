package coatcheck_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// Registration is authorized by its challenge: after a sign-in at another site
// browsers send it without cookies.
func TestRegistrationBindsBothCookies(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for what, withheld := range map[string][]string{
			"with the session cookie": nil, "without cookies": {signedInCookie},
		} {
			t.Run(what, func(t *testing.T) {
				srv := newServer(t, open(), binds(dbsc.Prefer))
				d := srv.signedInDevice("alice")
				d.must(write("the coat"))
				sender := d.without(withheld...)
				x := sender.register().wantStatus(http.StatusOK)
				line := x.lines()[boundCookie]
				if line == nil || len(x.lines()) != 1 || line.MaxAge != 540 || !line.HttpOnly || line.SameSite != http.SameSiteLaxMode {
					t.Fatalf("it sets %v, want %s alone, for 540 s", x.answer.Header()["Set-Cookie"], boundCookie)
				}
				d.cookies[boundCookie] = line.Value
				wantInstructions(t, x, d.id().String())
				if sender.name != d.id().String() || x.answer.Header().Get("Content-Type") != "application/json" {
					t.Errorf("the next challenge is for %q, type %q", sender.name, x.answer.Header().Get("Content-Type"))
				}
				if srv.events.count(coatcheck.KindBound) != 1 || srv.events.count(coatcheck.KindBoundRefused) != 0 {
					t.Error("the binding is not told, or a refusal is")
				}
				srv.clock.advance(dbsc.LeewayBare)
				d.wantUser("alice")
				d.wantText("the coat")
				d.must(write("another coat"))
			})
		}
	})
}

// wantInstructions fails the test if the cookie that the instructions name is
// not the one that the answer sets, attribute by attribute: a browser would
// renew before each request.
func wantInstructions(t *testing.T, x *exchange, name string) {
	t.Helper()
	told := x.told()
	if told.Session != name || told.RefreshURL != "/device-bound-session/refresh" || told.Scope == nil || told.Scope.Include_site || len(told.Credentials) != 1 {
		t.Fatalf("told is %s", x.answer.Body)
	}
	c := told.Credentials[0]
	var kept []string
	for part := range strings.SplitSeq(x.answer.Header().Get("Set-Cookie"), "; ") {
		if !strings.HasPrefix(part, "Max-Age") && !strings.HasPrefix(part, c.Name+"=") {
			kept = append(kept, part)
		}
	}
	if c.Type != "cookie" || c.Name != boundCookie || c.Attributes != strings.Join(kept, "; ") {
		t.Errorf("the credential is %+v, the cookie has %q", c, kept)
	}
}

func TestRegistrationIsForOneSessionOnceWithinAMinute(t *testing.T) {
	t.Run("another session's cookie", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d, other := srv.signedInDevice("alice"), srv.signedInDevice("mallory")
		other.offered = d.offered // as if it had leaked
		other.register().wantStatus(http.StatusBadRequest).wantNoCookie()
		d.register().wantStatus(http.StatusOK)
	})
	t.Run("several session cookies", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d, other := srv.signedInDevice("alice"), srv.signedInDevice("mallory")
		r := d.request(ctx)
		r.URL.Path = "/device-bound-session/register"
		r.Header.Set(dbsc.HeaderResponse, d.proof(d.offered))
		r.AddCookie(&http.Cookie{Name: signedInCookie, Value: other.cookies[signedInCookie]})
		d.exchange(r).wantStatus(http.StatusBadRequest).wantNoCookie()
	})
	t.Run("a second time", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d := srv.signedInDevice("alice")
		d.register().wantStatus(http.StatusOK)
		thief := srv.device()
		thief.offered = d.offered
		thief.register().wantStatus(http.StatusBadRequest).wantNoCookie()
		if srv.events.count(coatcheck.KindBoundRefused) != 1 {
			t.Error("the refusal is not told")
		}
	})
	t.Run("two at once", func(t *testing.T) {
		st, faults := storetest.Faulty(memory())
		srv := newServer(t, st, binds(dbsc.Prefer))
		d := srv.signedInDevice("alice")
		second := d.without()
		faults.Before(storetest.Update, meanwhile(func() { second.register().wantStatus(http.StatusOK) }))
		d.register().wantStatus(http.StatusBadRequest).wantNoCookie()
	})
	t.Run("late", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d, early := srv.signedInDevice("alice"), srv.signedInDevice("bob")
		srv.clock.advance(time.Minute - time.Microsecond)
		early.register().wantStatus(http.StatusOK)
		srv.clock.advance(time.Microsecond)
		d.register().wantStatus(http.StatusBadRequest).wantNoCookie()
		d.wantUser("alice")
	})
	t.Run("of nobody", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d := srv.signedInDevice("alice")
		for _, challenge := range []string{"", "x", strings.Replace(d.offered, ":", "", 1), d.offered + "A", "no id:" + d.offered} {
			d.offered = challenge
			d.register().wantStatus(http.StatusBadRequest).wantNoCookie()
		}
		d.take(d.send("register", nil)).wantStatus(http.StatusBadRequest).wantNoCookie()
	})
}

// The session cookie alone stays good for half a minute, for requests that
// were sent before the answer to the registration arrived.
func TestTheSessionCookieAloneIsGoodForHalfAMinute(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), binds(dbsc.Prefer))
		d := srv.signedInDevice("alice")
		d.must(write("the coat"))
		srv.clock.advance(40 * time.Second)
		d.register().wantStatus(http.StatusOK)
		early := d.without(boundCookie)
		srv.clock.advance(dbsc.LeewayBare - time.Microsecond)
		early.wantUser("alice")
		early.must(write("a new coat"))
		srv.clock.advance(time.Microsecond)
		wantUnproven(t, early.browser)
		if srv.events.count(coatcheck.KindBoundRefused) == 0 || srv.events.count(coatcheck.KindEnded) != 0 {
			t.Error("the refusal is not told, or something has ended")
		}
		d.wantUser("alice")
		d.wantText("a new coat")
	})
}

// Chromium renews a cookie that is missing, never one that is there.
func TestAnInvalidBoundCookieIsTakenAway(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	d, other := srv.bound("alice"), srv.bound("bob")
	for what, value := range map[string]string{
		"made up": strings.Repeat("A", 43), "another session's": other.cookies[boundCookie], "cut": d.cookies[boundCookie][:42],
	} {
		b := d.stolen()
		b.cookies[boundCookie] = value
		wantUnproven(t, b)
		x := b.do(read)
		if line := x.lines()[boundCookie]; line == nil || line.MaxAge >= 0 || !line.Secure || line.Path != "/" || len(x.lines()) != 1 {
			t.Errorf("%s: the answer has %v", what, x.answer.Header()["Set-Cookie"])
		}
		if b.cookies[boundCookie] != "" {
			t.Errorf("%s: it is still there", what)
		}
	}
	d.wantUser("alice")
	if x := d.without(boundCookie).do(read); len(x.lines()) != 0 {
		t.Error("a cookie that is missing is expired")
	}
}

func TestARefreshNeedsIDAndProofAlone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st, binds(dbsc.Prefer))
		d := srv.bound("alice")
		srv.clock.advance(20 * time.Minute)
		wantUnproven(t, d.browser)
		delete(d.cookies, boundCookie)
		bare := d.without(signedInCookie)
		x := bare.refresh().wantStatus(http.StatusOK)
		if line := x.lines()[boundCookie]; line == nil || line.MaxAge != 540 || len(x.lines()) != 1 {
			t.Fatalf("the answer has %v", x.answer.Header()["Set-Cookie"])
		}
		wantInstructions(t, x, d.name)
		d.cookies[boundCookie], d.challenge = bare.cookies[boundCookie], bare.challenge
		d.wantUser("alice")

		// Asked again and again, the open challenge is the same and nothing is
		// written, so that a proof on its way is not outrun.
		writes, asked := faults.Calls(storetest.Update), d.challenge
		for range 3 {
			d.ask().wantStatus(http.StatusForbidden).wantNoCookie()
			d.send("refresh", map[string]string{dbsc.HeaderSession: `"` + d.name + `"`}).wantStatus(http.StatusForbidden)
			if d.challenge != asked {
				t.Error("asking opened another challenge")
			}
		}
		if n := faults.Calls(storetest.Update) - writes; n != 0 {
			t.Errorf("asking wrote %d times", n)
		}
		old := d.refreshing()
		d.refresh().wantStatus(http.StatusOK)
		if d.challenge == asked {
			t.Error("a good proof leaves its challenge open")
		}
		writes = faults.Calls(storetest.Update)
		d.take(d.send("refresh", old)).wantStatus(http.StatusForbidden).wantNoCookie() // replayed
		if n := faults.Calls(storetest.Update) - writes; n != 0 {
			t.Errorf("a replayed proof wrote %d times", n)
		}
	})
}

// meanwhile returns a hook that runs f once.
func meanwhile(f func()) func(ctx context.Context) error {
	done := false
	return func(context.Context) error {
		if !done {
			done = true
			f()
		}
		return nil
	}
}

// A refresh that meets another change of the session is judged anew.
func TestARefreshThatConflictsIsJudgedAnew(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st, binds(dbsc.Prefer))
		d := srv.bound("alice")
		twin := d.without()
		faults.Before(storetest.Update, meanwhile(func() { twin.refresh().wantStatus(http.StatusOK) }))
		d.refresh().wantStatus(http.StatusForbidden).wantNoCookie()
		if d.challenge != twin.challenge {
			t.Error("it is not told the challenge that is open now")
		}
		d.refresh().wantStatus(http.StatusOK)
		twin.wantUser("alice") // by the cookie before

		faults.Before(storetest.Update, meanwhile(func() { twin.must(write("a coat")) }))
		d.refresh().wantStatus(http.StatusOK)
		d.wantText("a coat")

		faults.Before(storetest.Update, meanwhile(func() { d.stolen().must(signOut) }))
		d.refresh().wantStopped(d.name)
	})
}

func TestABoundCookieIsAcceptedAMinuteLongerAndItsPredecessorToItsEnd(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	d := srv.signedInDevice("alice")
	d.register()
	srv.clock.advance(9*time.Minute + 30*time.Second)
	before := d.stolen()
	d.refresh().wantStatus(http.StatusOK)
	before.wantUser("alice")
	srv.clock.advance(30*time.Second - time.Microsecond)
	before.wantUser("alice")
	d.wantUser("alice")
	srv.clock.advance(time.Microsecond)
	wantUnproven(t, before)
	d.wantUser("alice")
	srv.clock.advance(9*time.Minute + 30*time.Second - time.Microsecond)
	d.wantUser("alice")
	srv.clock.advance(time.Microsecond)
	wantUnproven(t, d.browser)
}

func TestARefreshOfASessionThatIsOverStopsTheBrowser(t *testing.T) {
	for what, end := range map[string]func(*server, *device){
		"signed out":       func(_ *server, d *device) { d.must(signOut) },
		"ended by another": func(s *server, d *device) { s.End(ctx, d.id()) },
		"all ended":        func(s *server, _ *device) { s.EndAll(ctx) },
		"idle":             func(s *server, _ *device) { s.clock.advance(31 * time.Minute) },
		"signed in anew":   func(_ *server, d *device) { d.must(signIn("alice")) },
	} {
		t.Run(what, func(t *testing.T) {
			srv := newServer(t, memory(), binds(dbsc.Prefer))
			d := srv.bound("alice")
			end(srv, d)
			d.refresh().wantStopped(d.name)
			d.ask().wantStopped(d.name)
			d.without(signedInCookie).refresh().wantStopped(d.name)
			if srv.events.count(coatcheck.KindBoundRefused) != 0 {
				t.Error("what is usual is told as an attack")
			}
		})
	}
	t.Run("not bound", func(t *testing.T) {
		d := newServer(t, memory(), binds(dbsc.Prefer)).signedInDevice("alice")
		d.name = d.id().String()
		d.refresh().wantStopped(d.name)
	})
	t.Run("of another manager", func(t *testing.T) {
		srv := newServer(t, memory(), binds(dbsc.Prefer))
		d := srv.bound("alice")
		other := srv.another(binds(dbsc.Prefer), func(c *coatcheck.Config) { c.Name = "other" })
		d.browser = d.at(other)
		d.refresh().wantStopped(d.name)
	})
	t.Run("no id", func(t *testing.T) {
		d := newServer(t, memory(), binds(dbsc.Prefer)).bound("alice")
		for _, name := range []string{"", "x", strings.ToUpper(d.name) + "0"} {
			d.name = name
			d.send("refresh", d.refreshing()).wantStatus(http.StatusBadRequest).wantNoCookie()
		}
	})
}

// A status below 500 would end the session in the browser for good.
func TestStoreTroubleEndsNoBinding(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, method := range []storetest.Method{storetest.Load, storetest.Update} {
			st, faults := storetest.Faulty(open())
			srv := newServer(t, st, binds(dbsc.Prefer))
			d, late := srv.bound("alice"), srv.signedInDevice("bob")
			faults.Fail(method, 1<<30, errBroken)
			for what, x := range map[string]*exchange{"refresh": d.refresh(), "registration": late.register()} {
				x.wantStatus(http.StatusServiceUnavailable).wantNoCookie()
				if x.answer.Header().Get("Retry-After") == "" || srv.events.count(coatcheck.KindStoreError) == 0 {
					t.Errorf("%s: not said when to try again, or not told", what)
				}
			}
			faults.Fail(method, 1<<30, store.ErrConflict)
			if method == storetest.Update {
				d.refresh().wantStatus(http.StatusServiceUnavailable).wantNoCookie()
			}
			faults.Heal()
			d.refresh().wantStatus(http.StatusOK)
			late.register().wantStatus(http.StatusOK)
		}
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st, binds(dbsc.Prefer))
		d := srv.bound("alice")
		faults.Lose(storetest.Update, 1, errBroken) // it happened
		d.refresh().wantStatus(http.StatusOK)
		srv.clock.advance(time.Minute)
		d.wantUser("alice")
	})
}

func TestShortLifetimesAreWarnedAboutAndPlainHTTPRefused(t *testing.T) {
	var log bytes.Buffer
	newServer(t, memory(), binds(dbsc.Prefer), func(c *coatcheck.Config) {
		c.DeviceBound.Lifetime = 4 * time.Minute
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	if !strings.Contains(log.String(), "active users lose their session") {
		t.Errorf("the log says %q", log.String())
	}
	_, err := coatcheck.New(coatcheck.Config{InsecureHTTP: true, DeviceBound: dbsc.Config{Mode: dbsc.Prefer}})
	if err == nil || !strings.Contains(err.Error(), "DeviceBound needs TLS") {
		t.Errorf("with InsecureHTTP: %v", err)
	}
}

func TestWithoutDeviceBindingThePathsAreTheSites(t *testing.T) {
	srv := newServer(t, memory())
	d := srv.device()
	if x := d.must(signIn("alice")); x.answer.Header()[dbsc.HeaderRegistration] != nil {
		t.Error("a registration is offered")
	}
	d.send("register", nil).wantStatus(http.StatusTeapot)
	bound := newServer(t, memory(), binds(dbsc.Prefer)).device()
	bound.send("elsewhere", nil).wantStatus(http.StatusTeapot)
	r := bound.request(ctx)
	r.Method, r.URL.Path = http.MethodGet, "/device-bound-session/refresh"
	if x := bound.exchange(r).wantStatus(http.StatusMethodNotAllowed); x.answer.Header().Get("Allow") != "POST" {
		t.Error("a GET is not told what is allowed")
	}
}

// Chromium refuses a binding of a Partitioned cookie, and renews one for the
// host alone that registered it: both would sign everybody out when the
// short-lived cookie ends.
func TestABindingThatBrowsersDoNotKeepIsRefused(t *testing.T) {
	for remedy, config := range map[string]coatcheck.Config{
		"leave out InsecureCrossSite": {InsecureCrossSite: true},
		"leave out InsecureDomain":    {InsecureDomain: "shop.example"},
	} {
		if _, err := coatcheck.New(config); err != nil {
			t.Errorf("without DeviceBound: %v", err)
		}
		for _, mode := range []dbsc.Mode{dbsc.Prefer, dbsc.Require} {
			config.DeviceBound.Mode = mode
			if _, err := coatcheck.New(config); err == nil || !strings.Contains(err.Error(), "DeviceBound") || !strings.Contains(err.Error(), remedy) {
				t.Errorf("the error does not say %q: %v", remedy, err)
			}
		}
	}
}
