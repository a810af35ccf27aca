package coatcheck_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// TestRule4IdleAndAbsoluteBothEndASession (F-14, F-15): each session is used at
// the times given, and must be alive at every one but the last.
func TestRule4IdleAndAbsoluteBothEndASession(t *testing.T) {
	const h, d = time.Hour, 24 * time.Hour
	every := func(step, end time.Duration) (times []time.Duration) {
		for at := step; at < end; at += step {
			times = append(times, at)
		}
		return times
	}
	for _, c := range []struct {
		name    string
		config  coatcheck.Config
		options []coatcheck.SignInOption
		alive   []time.Duration
		dead    time.Duration
		reason  coatcheck.Reason
	}{
		{"a moment before idle", coatcheck.Config{}, nil, []time.Duration{30*time.Minute - time.Microsecond}, h - time.Microsecond, coatcheck.ReasonIdle},
		{"at idle", coatcheck.Config{}, nil, nil, 30 * time.Minute, coatcheck.ReasonIdle},
		{"busy until absolute", coatcheck.Config{}, nil, append(every(20*time.Minute, 12*h), 12*h-time.Microsecond), 12 * h, coatcheck.ReasonAbsolute},
		{"idle of its own", coatcheck.Config{Idle: h}, nil, []time.Duration{59 * time.Minute}, 119 * time.Minute, coatcheck.ReasonIdle},
		{"absolute of its own", coatcheck.Config{Absolute: h}, nil, every(20*time.Minute, h), h, coatcheck.ReasonAbsolute},
		{"remembered, at rest", coatcheck.Config{}, []coatcheck.SignInOption{coatcheck.Remember(30 * d)}, []time.Duration{14*d - 1*time.Second}, 28*d - 1*time.Second, coatcheck.ReasonIdle},
		{"remembered, busy", coatcheck.Config{}, []coatcheck.SignInOption{coatcheck.Remember(30 * d)}, every(10*d, 30*d), 30 * d, coatcheck.ReasonAbsolute},
		{"remembered for less than idle", coatcheck.Config{}, []coatcheck.SignInOption{coatcheck.Remember(10 * time.Minute)}, []time.Duration{9 * time.Minute}, 10 * time.Minute, coatcheck.ReasonAbsolute},
		{"remembered with an idle of its own", coatcheck.Config{RememberIdle: 2 * d}, []coatcheck.SignInOption{coatcheck.Remember(30 * d)}, []time.Duration{d}, 3 * d, coatcheck.ReasonIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.config.Now = time.Now
				site := coatchecktest.New(t, c.config, page(whoami))
				alice := site.SignedIn("alice", c.options...)
				// The browser keeps the cookie, so that the server alone decides.
				alice.SetCookie(signedInCookie + "=" + cookieOf(alice, signedInCookie) + "; Path=/; Secure")
				start := time.Now()
				for _, at := range c.alive {
					time.Sleep(time.Until(start.Add(at)))
					if alice.Get("/").Body != "alice" {
						t.Fatalf("ended %v after the sign-in", at)
					}
				}
				time.Sleep(time.Until(start.Add(c.dead)))
				res := alice.Get("/")
				if res.Body != "" {
					t.Errorf("still alive %v after the sign-in", c.dead)
				}
				noCookie(t, res)
				if ended := site.Events(coatcheck.KindEnded); len(ended) != 1 || ended[0].Reason != c.reason || ended[0].Subject != "alice" {
					t.Errorf("events: %v, want one end by %q", ended, c.reason)
				}
			})
		})
	}
}

func TestRule4AnAnonymousSessionEndsToo(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, page(look))
	v := site.Visitor()
	coatchecktest.Put(v, textKey, "hello")
	site.Advance(30 * time.Minute)
	if text, found := coatchecktest.Value(v, textKey); found {
		t.Errorf("it still holds %q", text)
	}
}

// TestRule4ExpiresSaysTheEarlierLimit, and a session ends between idle minus
// the throttle and idle after its last request, never later.
func TestRule4ExpiresSaysTheEarlierLimit(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Idle: time.Hour, Absolute: 2 * time.Hour}, page(whoami))
	start := site.Now()
	alice := site.SignedIn("alice")
	for _, c := range []struct{ at, expires time.Duration }{
		{0, time.Hour},
		{59 * time.Second, time.Hour}, // not recorded
		{time.Minute, 61 * time.Minute},
		{50 * time.Minute, 110 * time.Minute},
		{100 * time.Minute, 2 * time.Hour},
	} {
		site.Advance(c.at - site.Now().Sub(start))
		alice.Get("/")
		if got := alice.Info().Expires.Sub(start); got != c.expires {
			t.Errorf("used at %v it expires at %v, want %v", c.at, got, c.expires)
		}
	}
	if got := alice.Info().Absolute.Sub(start); got != 2*time.Hour {
		t.Errorf("the absolute limit is %v", got)
	}
}

// TestRule4ActivityIsRecordedAtMostOnceAMinute, or idle/16 (F-11, F-13): a read
// counts, and is recorded without writing data or a cookie.
func TestRule4ActivityIsRecordedAtMostOnceAMinute(t *testing.T) {
	for _, c := range []struct {
		name           string
		idle, throttle time.Duration
	}{
		{"a minute", 30 * time.Minute, time.Minute},
		{"a sixteenth of idle", 8 * time.Second, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, calls := counted()
			site := coatchecktest.New(t, coatcheck.Config{Idle: c.idle, Store: st}, page(whoami))
			alice := site.SignedIn("alice")
			coatchecktest.Put(alice, textKey, "hello")
			before, seen := writes(calls), alice.Info().LastSeen
			use := func(after time.Duration, recorded int) {
				t.Helper()
				site.Advance(after)
				touches := calls.Calls(storetest.Touch)
				noCookie(t, alice.Get("/"))
				if got := calls.Calls(storetest.Touch) - touches; got != recorded {
					t.Errorf("%v later: recorded %d times, want %d", after, got, recorded)
				}
			}
			use(c.throttle-time.Millisecond, 0)
			use(0, 0)
			if got := alice.Info().LastSeen; !got.Equal(seen) {
				t.Errorf("last seen has moved to %v, which nothing recorded", got)
			}
			use(time.Millisecond, 1)
			use(0, 0)
			use(c.throttle, 1)
			if got := alice.Info().LastSeen; !got.Equal(site.Now()) {
				t.Errorf("last seen at %v, want %v", got, site.Now())
			}
			if got := writes(calls) - before; got != 2 {
				t.Errorf("%d writes, want the 2 touches alone", got)
			}
		})
	}
}

// TestRule4LastSeenMovesForwardOnly (F-12), also when two servers' clocks are
// apart, and a write of a server whose clock is behind moves it back no more.
func TestRule4LastSeenMovesForwardOnly(t *testing.T) {
	st := memstore.New(nil)
	ahead := coatchecktest.New(t, coatcheck.Config{Store: st}, page(whoami))
	behind := coatchecktest.New(t, coatcheck.Config{Store: st, Now: func() time.Time { return ahead.Now().Add(-4 * time.Second) }},
		page(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			return errors.Join(textKey.Set(s, r.URL.Path), s.Touch(r.Context()))
		}))
	alice := ahead.SignedIn("alice")
	elsewhere := behind.Visitor()
	elsewhere.SetCookie(signedInCookie + "=" + cookieOf(alice, signedInCookie) + "; Path=/; Secure")
	ahead.Advance(2 * time.Minute)
	alice.Get("/")
	seen := alice.Info().LastSeen
	if res := elsewhere.Get("/note"); res.Status != http.StatusOK {
		t.Fatalf("the other server: %d %s", res.Status, res.Body)
	}
	if text, _ := coatchecktest.Value(alice, textKey); text != "/note" {
		t.Errorf("the other server's write is %q", text)
	}
	if got := alice.Info().LastSeen; !got.Equal(seen) {
		t.Errorf("last seen has moved from %v to %v", seen, got)
	}
}

// TestRule4ASlowRequestCountsFromItsEnd (F-12).
func TestRule4ASlowRequestCountsFromItsEnd(t *testing.T) {
	var site *coatchecktest.Site
	site = coatchecktest.New(t, coatcheck.Config{}, page(func(http.ResponseWriter, *http.Request, *coatcheck.Session) error {
		site.Advance(20 * time.Minute)
		return nil
	}))
	alice := site.SignedIn("alice")
	alice.Get("/")
	if got := alice.Info().LastSeen; !got.Equal(site.Now()) {
		t.Errorf("last seen %v before the end of the request", site.Now().Sub(got))
	}
}

// TestRule4ReauthenticationRestartsBothClocksRotationNeither (F-14).
func TestRule4ReauthenticationRestartsBothClocksRotationNeither(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Idle: time.Hour, Absolute: 2 * time.Hour}, page(look))
	start := site.Now()
	alice := site.SignedIn("alice")
	site.Advance(50 * time.Minute)
	alice.Session(func(s *coatcheck.Session) error { return s.Rotate(t.Context()) })
	if info := alice.Info(); !info.Absolute.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("rotation has moved the absolute limit to %v", info.Absolute.Sub(start))
	}
	site.Advance(30 * time.Second) // too soon for activity to be recorded again
	alice.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(t.Context()) })
	info := alice.Info()
	if got := info.Absolute.Sub(start); got != 170*time.Minute+30*time.Second {
		t.Errorf("after re-authentication the absolute limit is at %v, want 170m30s", got)
	}
	if !info.LastSeen.Equal(site.Now()) || !info.AuthenticatedAt.Equal(site.Now()) || !info.Created.Equal(start) {
		t.Errorf("after re-authentication: %+v", info)
	}
}

// TestRule4PeekNeverExtends (F-99), whoever else asks for the session in the
// same request and however often.
func TestRule4PeekNeverExtends(t *testing.T) {
	st, calls := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st, RotateEvery: 5 * time.Minute}, func(sessions *coatcheck.Manager) http.Handler {
		return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, ask := range []func(*http.Request) (*coatcheck.Session, error){sessions.Get, sessions.Peek, sessions.Get} {
				if s, err := ask(r); err != nil || s.Subject() != "alice" {
					t.Errorf("the session is %v, %v", s, err)
				}
			}
		}))
	})
	alice := site.SignedIn("alice")
	before, info := writes(calls), alice.Info()
	for range 5 {
		site.Advance(5 * time.Minute)
		noCookie(t, alice.Get("/"))
	}
	if alice.Info() != info || writes(calls) != before {
		t.Errorf("peeking has written %d times; the session was\n%+v, is\n%+v", writes(calls)-before, info, alice.Info())
	}
	site.Advance(5 * time.Minute)
	if alice.Info().Subject != "" {
		t.Error("peeking has kept the session alive")
	}
}

// TestRule4WritingInAPeekIsStoredAndNoActivity.
func TestRule4WritingInAPeekIsStoredAndNoActivity(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{}, func(sessions *coatcheck.Manager) http.Handler {
		return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Peek(r)
			if err = errors.Join(err, textKey.Set(s, "seen it")); err != nil {
				t.Error(err)
			}
		}))
	})
	alice := site.SignedIn("alice")
	info := alice.Info()
	site.Advance(5 * time.Minute)
	alice.Get("/")
	if text, _ := coatchecktest.Value(alice, textKey); text != "seen it" || alice.Info() != info {
		t.Errorf("%q is stored; the session was\n%+v, is\n%+v", text, info, alice.Info())
	}
}

func TestRule4TouchRecordsAtOnceAndRevivesNothing(t *testing.T) {
	var site *coatchecktest.Site
	var wait time.Duration
	var touched error
	site = coatchecktest.New(t, coatcheck.Config{}, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		site.Advance(wait)
		touched = s.Touch(r.Context())
		return nil
	}))
	alice := site.SignedIn("alice")
	wait = time.Second
	alice.Get("/")
	if got := alice.Info().LastSeen; touched != nil || !got.Equal(site.Now()) {
		t.Errorf("Touch: %v; last seen at %v, want %v", touched, got, site.Now())
	}
	wait = 30 * time.Minute
	alice.Get("/")
	if !errors.Is(touched, coatcheck.ErrEnded) || alice.Info().Subject != "" {
		t.Errorf("Touch of a session that has expired: %v, want ErrEnded", touched)
	}
}

// TestRule4OneOfAllLearnsThatASessionRanOut (F-22, F-27): its row is still
// there when all of them find it, and nobody gets an error.
func TestRule4OneOfAllLearnsThatASessionRanOut(t *testing.T) {
	const requests = 20
	st, faults := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st}, page(whoami))
	alice := site.SignedIn("alice")
	site.Advance(30 * time.Minute)
	var found, tabs sync.WaitGroup
	found.Add(requests)
	faults.Before(storetest.Delete, func(context.Context) error {
		found.Done()
		found.Wait()
		return nil
	})
	for range requests {
		tabs.Go(func() {
			if res := alice.Get("/"); res.Status != http.StatusOK || res.Body != "" {
				t.Errorf("%d %q, want nobody to be signed in", res.Status, res.Body)
			}
		})
	}
	tabs.Wait()
	if ended := site.Events(coatcheck.KindEnded); len(ended) != 1 {
		t.Errorf("%d events say that it ended, want 1", len(ended))
	}
}

func TestRule4ClocksThatAreApartRaiseAnEvent(t *testing.T) {
	for _, c := range []struct {
		apart  time.Duration
		events int
	}{{store.ClockTolerance, 0}, {store.ClockTolerance + time.Microsecond, 1}} {
		st := memstore.New(nil)
		ahead := coatchecktest.New(t, coatcheck.Config{Store: st}, page(whoami))
		behind := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent, Now: func() time.Time { return ahead.Now().Add(-c.apart) }}, page(whoami))
		alice := behind.Visitor()
		alice.SetCookie(signedInCookie + "=" + cookieOf(ahead.SignedIn("alice"), signedInCookie) + "; Path=/; Secure")
		if alice.Get("/").Body != "alice" {
			t.Errorf("%v apart: not served", c.apart)
		}
		if got := len(behind.Events(coatcheck.KindClockSkew)); got != c.events {
			t.Errorf("%v apart: %d events, want %d", c.apart, got, c.events)
		}
	}
}

// TestRule4SweepIsGarbageCollection (F-24): a request that finds the last sweep
// a minute old starts one, whatever it serves; what is dead is dead before.
func TestRule4SweepIsGarbageCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, calls := counted()
		site := coatchecktest.New(t, coatcheck.Config{Store: st, Now: time.Now}, func(sessions *coatcheck.Manager) http.Handler {
			return sessions.Handler(http.NotFoundHandler())
		})
		for i := range 1200 { // more than one piece
			site.SignedIn(fmt.Sprint("user", i))
		}
		v, sweeps := site.Visitor(), calls.Calls(storetest.Sweep)
		visit := func(after time.Duration, swept bool) {
			t.Helper()
			time.Sleep(after)
			v.Get("/")
			synctest.Wait()
			if got := calls.Calls(storetest.Sweep) > sweeps; got != swept {
				t.Errorf("%v later: swept: %t, want %t", after, got, swept)
			}
			sweeps = calls.Calls(storetest.Sweep)
		}
		left := func() (n int) {
			for _, err := range st.All(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		visit(59*time.Second, false)
		visit(time.Second, true)
		visit(59*time.Second, false)
		if got := left(); got != 1200 {
			t.Errorf("%d records are kept, want 1200", got)
		}
		visit(35*time.Minute, true)
		if got := left(); got != 0 {
			t.Errorf("%d dead records are left", got)
		}
	})
}

// TestRule4AFailingSweepIsAnEvent and the next request that finds it due tries
// again.
func TestRule4AFailingSweepIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, faults := counted()
		site := coatchecktest.New(t, coatcheck.Config{Store: st, Now: time.Now, Logger: silent}, page(look))
		faults.Fail(storetest.Sweep, 1, errors.New("disk on fire"))
		for range 2 {
			time.Sleep(time.Minute)
			if res := site.Visitor().Get("/"); res.Status != http.StatusOK {
				t.Errorf("a request beside it: %d", res.Status)
			}
			synctest.Wait()
		}
		if got := len(site.Events(coatcheck.KindStoreError)); got != 1 || faults.Calls(storetest.Sweep) != 2 {
			t.Errorf("%d events of %d sweeps, want 1 of 2", got, faults.Calls(storetest.Sweep))
		}
	})
}

// A handler may take long: what counts is when its answer starts, also by the
// clock that nobody has replaced.
func TestRule4ActivityCountsWhenALongHandlerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newServer(t, memory(), func(c *coatcheck.Config) { c.Now = nil }).signedIn("alice")
		x := b.begin(late(read))
		time.Sleep(20 * time.Minute)
		if x.run().err != nil {
			t.Fatal(x.err)
		}
		time.Sleep(20 * time.Minute) // more than Idle since that request began
		b.wantUser("alice")
	})
}
