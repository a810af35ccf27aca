package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

var errBroken = errors.New("disk on fire")

// troubles are calls of the store that fail, each with a request that needs it.
var troubles = []struct {
	name   string
	method storetest.Method
	do     serve
	late   bool // the trouble begins when the session has been found
}{
	{"read", storetest.Load, read, false},
	{"write", storetest.Load, write("lost"), false},
	{"write", storetest.Update, write("lost"), false},
	{"update at once", storetest.Update, func(_ *exchange, s *coatcheck.Session) error {
		return s.Update(ctx, func() error { return textKey.Set(s, "lost") })
	}, false},
	{"sign-in", storetest.Load, signIn("alice"), false},
	{"sign-in", storetest.Create, signIn("alice"), false},
	{"sign-in", storetest.Update, signIn("alice"), false},
	{"sign-in of another", storetest.Create, signIn("bob"), false},
	{"sign-in of another", storetest.Update, signIn("bob"), false},
	{"rotation", storetest.Update, rotate, false},
	{"re-authentication", storetest.Update, reauthenticate, false},
	{"password change", storetest.Update, changeCredentials, false},
	{"sign-out", storetest.Load, signOut, true},
	{"sign-out", storetest.Delete, signOut, false},
	{"end another", storetest.Load, endOther, true},
	{"end others", storetest.Load, endOthers, true},
	{"end others", storetest.DeleteSubject, endOthers, false},
	{"touch", storetest.Load, touch, true},
	{"touch", storetest.Touch, touch, false},
	{"reload", storetest.Load, func(_ *exchange, s *coatcheck.Session) error { return s.Reload(ctx) }, true},
}

func endOther(_ *exchange, s *coatcheck.Session) error { return s.EndOther(ctx, coatcheck.ID{1}) }

func touch(_ *exchange, s *coatcheck.Session) error { return s.Touch(ctx) }

func endOthers(_ *exchange, s *coatcheck.Session) error {
	_, err := s.EndOthers(ctx)
	return err
}

// Trouble with the store, that it fails or does not answer in time, is 503 with
// Retry-After: the visitor keeps the cookie and is what they were when it is
// over, with nothing half done. F-80.
func TestRule10StoreTroubleIsAnError(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, slow := range []bool{false, true} {
			for _, c := range troubles {
				name := "fails/"
				if slow {
					name = "is slow/"
				}
				t.Run(name+c.name+"/"+string(c.method), func(t *testing.T) {
					inner := open()
					if _, inside := inner.(store.InProcess); slow && inside {
						return // what is in memory answers at once
					}
					st, faults := storetest.Faulty(inner)
					srv := newServer(t, st, func(c *coatcheck.Config) {
						if slow {
							c.StoreTimeout = 10 * time.Millisecond
						}
					})
					patient := srv.another() // looks and prepares without hurry
					b := patient.signedIn("alice")
					b.must(write("before"))
					srv.clock.advance(2 * time.Minute)
					x := b.at(srv).begin(func(x *exchange, s *coatcheck.Session) error {
						if c.late {
							x.pause()
						}
						return c.do(x, s)
					})
					if !c.late {
						// It has had no trouble. This is how it is when all is well.
						x.wantStatus(http.StatusOK)
						b = patient.signedIn("alice")
						b.must(write("before"))
						srv.clock.advance(2 * time.Minute)
					}
					alices, bobs := srv.live("alice"), srv.live("bob")
					release := func() {}
					if slow {
						_, release = faults.Hold(c.method)
					} else {
						faults.Fail(c.method, 1<<30, errBroken)
					}
					if c.late {
						x.run()
					} else {
						x = b.at(srv).begin(c.do)
					}
					release()
					faults.Heal()
					x.wantStatus(http.StatusServiceUnavailable).wantNoCookie().deliver()
					if x.answer.Header().Get("Retry-After") == "" {
						t.Error("the answer does not say when to try again")
					}
					if !errors.Is(x.err, coatcheck.ErrStore) && x.err != nil {
						t.Errorf("the handler was told %v, want ErrStore", x.err)
					}
					if !slow && x.err != nil && !errors.Is(x.err, errBroken) {
						t.Errorf("the error %v does not wrap that of the store", x.err)
					}
					b.wantUser("alice")
					b.wantText("before")
					if srv.live("alice") != alices || srv.live("bob") != bobs {
						t.Errorf("there are %d and %d sessions, want %d and %d", srv.live("alice"), srv.live("bob"), alices, bobs)
					}
				})
			}
		}
	})
}

// A first write that cannot be stored starts nothing: no cookie for a session
// that is not there.
func TestRule10FailedFirstWriteSetsNoCookie(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, err := range []error{errBroken, store.ErrFull, store.ErrExists} {
			for name, do := range map[string]serve{"write": write("x"), "sign-in": signIn("alice")} {
				t.Run(name, func(t *testing.T) {
					st, faults := storetest.Faulty(open())
					b := newServer(t, st).browser()
					faults.Fail(storetest.Create, 1, err)
					b.do(do).wantStatus(http.StatusServiceUnavailable).wantNoCookie()
					b.must(do)
				})
			}
		}
	})
}

// A sign-in whose last step fails leaves no session behind that counts or is
// listed, even if what failed was to take the old one out of use.
func TestRule10FailedSignInLeavesNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st)
		b := srv.signedIn("alice")
		faults.Fail(storetest.Update, 1<<30, errBroken)
		b.do(signIn("bob")).wantStatus(http.StatusServiceUnavailable).wantNoCookie()
		faults.Heal()
		b.wantUser("alice")
		if n := srv.live("bob"); n != 0 {
			t.Errorf("bob has %d sessions, want none", n)
		}
	})
}

// A change of credentials whose second step fails says so, and still gives the
// browser the new secret, which is stored; called again it does the rest.
func TestRule10CredentialsChangedHalfWay(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st)
		b, other := srv.signedIn("alice"), srv.signedIn("alice")
		faults.Fail(storetest.DeleteSubject, 1, errBroken)
		if !b.do(changeCredentials).wantStatus(http.StatusServiceUnavailable).sets(signedInCookie) {
			t.Error("the browser does not get the secret that is stored")
		}
		b.wantUser("alice")
		b.must(changeCredentials)
		b.wantUser("alice")
		other.wantUser("")
	})
}

// A touch that fails is an event, and is tried again by the next request. So is
// a rotation that is due while a page is read.
func TestRule10FailedTouchIsAnEvent(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, method := range []storetest.Method{storetest.Touch, storetest.Update} {
			t.Run(string(method), func(t *testing.T) {
				st, faults := storetest.Faulty(open())
				srv := newServer(t, st, func(c *coatcheck.Config) {
					if method == storetest.Update {
						c.RotateEvery = time.Minute
					}
				})
				b := srv.signedIn("alice")
				srv.clock.advance(2 * time.Minute)
				faults.Fail(method, 1, errBroken)
				b.do(read).wantStatus(http.StatusOK).wantNoCookie()
				if n := srv.events.count(coatcheck.KindStoreError); n != 1 {
					t.Errorf("%d events, want 1", n)
				}
				calls := faults.Calls(method)
				b.do(read).wantStatus(http.StatusOK)
				if faults.Calls(method) == calls {
					t.Error("the next request does not try again")
				}
				b.wantUser("alice")
			})
		}
	})
}

// What must not be undone by a closed tab runs to its end although the visitor
// has gone.
func TestRule10VisitorGone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).signedIn("alice")
		x := b.begin(late(write("stored")))
		x.cancel()
		x.run()
		b.wantText("stored")
	})
}

// Operators are told as well.
func TestRule10OperatorsAreTold(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st)
		id := srv.signedIn("alice").look().ID()
		for _, c := range []struct {
			method storetest.Method
			call   func() error
		}{
			{storetest.Load, func() error { _, err := srv.Lookup(ctx, id); return err }},
			{storetest.List, func() error { _, err := srv.List(ctx, "alice"); return err }},
			{storetest.Delete, func() error { _, err := srv.End(ctx, id); return err }},
			{storetest.DeleteSubject, func() error { _, err := srv.EndSubject(ctx, "alice"); return err }},
			{storetest.DeleteAll, func() error { _, err := srv.EndAll(ctx); return err }},
			{storetest.All, func() error {
				for _, err := range srv.All(ctx) {
					if err != nil {
						return err
					}
				}
				return nil
			}},
		} {
			faults.Fail(c.method, 1, errBroken)
			if err := c.call(); !errors.Is(err, coatcheck.ErrStore) || !errors.Is(err, errBroken) {
				t.Errorf("%s: %v, want ErrStore and what the store said", c.method, err)
			}
		}
		if n := srv.live("alice"); n != 1 {
			t.Errorf("%d sessions are left, want 1", n)
		}
	})
}

// A sweep that fails is an event, and nobody's request.
func TestRule10FailedSweepIsAnEvent(t *testing.T) {
	st, faults := storetest.Faulty(memory())
	srv := newServer(t, st)
	faults.Fail(storetest.Sweep, 1, errBroken)
	srv.clock.advance(2 * time.Minute)
	srv.browser().must(read)
	for deadline := time.Now().Add(patience); srv.events.count(coatcheck.KindStoreError) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no event says that the sweep failed")
		}
	}
}

// A process that starts anew, with another configuration too, serves the
// sessions that there were, and all limits are kept by the clock that it is
// given. F-81, F-82.
func TestRule10RestartKeepsSessions(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		b.must(write("kept"))
		b = b.at(srv.another(func(c *coatcheck.Config) { c.Idle, c.MaxBytes = 5*time.Minute, 1<<10 }))
		b.wantUser("alice")
		b.wantText("kept")
		srv.clock.advance(30*time.Minute - time.Microsecond)
		b.wantUser("alice")
		srv.clock.advance(time.Microsecond)
		b.wantUser("")
	})
}

// One lifetime governs cookie and session, whatever happens to it. F-86, F-87.
func TestRule10CookieAndSessionEndTogether(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, c := range map[string]struct {
			options []coatcheck.SignInOption
			maxAge  time.Duration // 0: until the browser is closed
		}{
			"session":    {nil, 0},
			"remembered": {[]coatcheck.SignInOption{coatcheck.Remember(30 * 24 * time.Hour)}, 30 * 24 * time.Hour},
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, open())
				b := srv.browser()
				for _, do := range []serve{signIn("alice", c.options...), rotate, reauthenticate} {
					srv.clock.advance(2 * time.Minute)
					x := b.must(do)
					line := x.lines()[signedInCookie]
					if line == nil {
						t.Fatal("no cookie")
					}
					got, want := time.Duration(line.MaxAge)*time.Second, time.Duration(0)
					if c.maxAge > 0 {
						want = b.look().Info().Absolute.Sub(srv.clock.Now())
					}
					if got != want || !line.Expires.IsZero() {
						t.Errorf("Max-Age %v, Expires %v; want %v and none", got, line.Expires, want)
					}
				}
			})
		}
	})
}

// A session of which nobody knows whether it was stored is taken back: it has no
// token, and must not count or be listed.
func TestRule10UnknownSignInLeavesNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st)
		faults.Lose(storetest.Create, 1, errBroken)
		faults.Fail(storetest.Load, 1, errBroken)
		srv.browser().do(signIn("alice")).wantStatus(http.StatusServiceUnavailable).wantNoCookie()
		if n := srv.live("alice"); n != 0 {
			t.Errorf("alice has %d sessions, want none", n)
		}
	})
}

// The end of all sessions is not stopped half way by an operator who has gone.
func TestRule10OperatorGone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		srv.signedIn("alice")
		srv.signedIn("bob")
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if n, err := srv.EndAll(gone); n != 2 || err != nil {
			t.Errorf("EndAll: %d, %v; want 2 and no error", n, err)
		}
	})
}
