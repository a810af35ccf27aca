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

var ctx = context.Background()

// endings are the ways in which a session of alice ends while one of its
// requests is under way. MaxPerSubject is 2.
var endings = []struct {
	name string
	end  func(t *testing.T, srv *server, b *browser)
}{
	{"sign-out", func(t *testing.T, srv *server, b *browser) { b.must(signOut) }},
	{"operator", func(t *testing.T, srv *server, b *browser) {
		if n, err := srv.End(ctx, b.look().ID()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}},
	{"all of the subject", func(t *testing.T, srv *server, b *browser) {
		if n, err := srv.EndSubject(ctx, "alice"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}},
	{"all", func(t *testing.T, srv *server, b *browser) {
		if n, err := srv.EndAll(ctx); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}},
	{"another browser", func(t *testing.T, srv *server, b *browser) {
		id := b.look().ID()
		srv.signedIn("alice").must(func(_ *exchange, s *coatcheck.Session) error { return s.EndOther(ctx, id) })
	}},
	{"another browser ends all others", func(t *testing.T, srv *server, b *browser) {
		srv.signedIn("alice").must(func(_ *exchange, s *coatcheck.Session) error {
			n, err := s.EndOthers(ctx)
			if n != 1 {
				t.Errorf("EndOthers ended %d, want 1", n)
			}
			return err
		})
	}},
	{"password changed elsewhere", func(t *testing.T, srv *server, b *browser) {
		srv.signedIn("alice").must(changeCredentials)
	}},
	{"limit of the subject", func(t *testing.T, srv *server, b *browser) {
		srv.clock.advance(time.Second)
		srv.signedIn("alice")
		srv.signedIn("alice")
	}},
	{"idle", func(t *testing.T, srv *server, b *browser) { srv.clock.advance(30 * time.Minute) }},
	{"absolute", func(t *testing.T, srv *server, b *browser) {
		for range 25 {
			srv.clock.advance(29 * time.Minute)
			b.do(read)
		}
	}},
	{"reuse", func(t *testing.T, srv *server, b *browser) {
		thief := b.stolen()
		for range 2 {
			srv.clock.advance(2 * time.Minute)
			b.must(rotate)
			srv.clock.advance(time.Minute)
			b.must(read)
		}
		thief.do(read)
	}},
}

// deeds are what the request does afterwards, and the error that tells it so.
var deeds = []struct {
	name  string
	do    serve
	wrote bool
	err   error
}{
	{"reads", read, false, nil},
	{"sets", write("late"), true, nil},
	{"updates", func(_ *exchange, s *coatcheck.Session) error { return add(s, "late") }, true, nil},
	{"deletes", func(_ *exchange, s *coatcheck.Session) error { return textKey.Delete(s) }, true, nil},
	{"pops", func(_ *exchange, s *coatcheck.Session) error {
		_, _, err := textKey.Pop(s)
		return err
	}, true, nil},
	{"stores at once", func(_ *exchange, s *coatcheck.Session) error {
		return s.Update(ctx, func() error { return textKey.Set(s, "late") })
	}, false, coatcheck.ErrEnded},
	{"touches", func(_ *exchange, s *coatcheck.Session) error { return s.Touch(ctx) }, false, coatcheck.ErrEnded},
	{"rotates", rotate, false, coatcheck.ErrEnded},
	{"reauthenticates", reauthenticate, false, coatcheck.ErrEnded},
	{"changes credentials", changeCredentials, false, coatcheck.ErrEnded},
	{"ends others", func(_ *exchange, s *coatcheck.Session) error {
		_, err := s.EndOthers(ctx)
		return err
	}, false, coatcheck.ErrEnded},
	{"reloads", func(_ *exchange, s *coatcheck.Session) error { return s.Reload(ctx) }, false, coatcheck.ErrEnded},
	{"signs out", signOut, false, nil},
}

// A request under way when its session ends finishes normally, its write
// dropped and reported, and brings nothing back: neither session nor cookie.
// F-02, F-03, F-04, F-08, F-22, F-27.
func TestRule1LogoutIsFinalForRequestsUnderWay(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, ending := range endings {
			for _, deed := range deeds {
				t.Run(ending.name+"/"+deed.name, func(t *testing.T) {
					srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject = 2 })
					b := srv.signedIn("alice")
					b.must(write("before"))
					srv.clock.advance(2 * time.Minute) // so that activity is due, and rotation allowed
					x := b.begin(late(deed.do))
					token := b.stolen()
					id := x.session.ID()
					ending.end(t, srv, b)
					sessions := srv.live("alice")
					x.run().wantNoCookie()
					if !errors.Is(x.err, deed.err) {
						t.Errorf("the request was told %v, want %v", x.err, deed.err)
					}
					x.wantStatus(coatcheck.Status(deed.err))
					if got := srv.events.count(coatcheck.KindWriteDropped) == 1; got != deed.wrote {
						t.Errorf("an event said that a write was dropped: %t, want %t", got, deed.wrote)
					}
					if _, err := srv.Lookup(ctx, id); !errors.Is(err, coatcheck.ErrNotFound) {
						t.Errorf("the session that ended is there again (%v)", err)
					}
					if n := srv.live("alice"); n != sessions {
						t.Errorf("the user has %d sessions, want %d", n, sessions)
					}
					token.wantUser("") // F-21: the cookie that was copied is dead
					token.wantText("")
				})
			}
		}
	})
}

// supersessions are the ways in which the session of a request is superseded
// while it is under way: its user goes on, with a better cookie.
var supersessions = []struct {
	name string
	by   serve
}{
	{"sign-in", signIn("alice")},
	{"sign-in of another user", signIn("bob")},
	{"re-authentication", reauthenticate},
	{"password change", changeCredentials},
}

// Nobody is shown a success that did not happen: a request whose session was
// superseded is told so when it writes or acts, also after it was superseded
// twice, or long after. F-05.
func TestRule1SupersededRequestIsTold(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, super := range supersessions {
			for _, deed := range deeds {
				for _, times := range []int{1, 2} {
					t.Run(super.name+"/"+deed.name, func(t *testing.T) {
						srv := newServer(t, open())
						b := srv.signedIn("alice")
						b.must(write("before"))
						srv.clock.advance(2 * time.Minute)
						x := b.begin(late(deed.do))
						old := b.stolen()
						for range times {
							b.must(super.by)
						}
						srv.clock.advance(20 * time.Second)
						user := b.look().Subject()
						x.run().wantNoCookie()
						if want := http.StatusConflict; deed.name == "reads" {
							x.wantStatus(http.StatusOK)
						} else if x.status() != want {
							t.Errorf("superseded %d times, the request was answered %d (%v), want %d", times, x.status(), x.err, want)
						}
						b.wantUser(user)
						if text, _ := textKey.Get(b.look()); text == "late" {
							t.Error("the write of a superseded request is in the session")
						}
						old.wantUser("")
						if srv.events.count(coatcheck.KindRetiredToken)+srv.events.count(coatcheck.KindForgedToken) > 0 && times == 1 {
							t.Error("a late request raised an alarm")
						}
					})
				}
			}
		}
	})
}

// A write that was answered with success although its secret was rotated away
// meanwhile is kept.
func TestRule1RotationKeepsWritesUnderWay(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		srv.clock.advance(2 * time.Minute)
		x := b.begin(late(write("late")))
		b.must(rotate)
		b.must(read)
		srv.clock.advance(59 * time.Second)
		x.run().wantStatus(http.StatusOK).wantNoCookie()
		b.wantUser("alice")
		b.wantText("late")
	})
}

// The second of two sign-outs finds nothing to do, and says so with success:
// of a double click, and of a page that was left open. F-70.
func TestRule1SignOutTwice(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		first, second := b.begin(late(signOut)), b.begin(late(signOut))
		if !first.run().wantStatus(http.StatusOK).sets(signedInCookie) {
			t.Error("the sign-out leaves the cookie in the browser")
		}
		second.run().wantStatus(http.StatusOK).wantNoCookie()
		b.must(signOut).wantNoCookie()
		first.deliver()
		b.must(signOut).wantNoCookie()
		if len(b.cookies) != 0 {
			t.Errorf("the browser keeps %d cookies", len(b.cookies))
		}
		if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonSignOut); n != 1 {
			t.Errorf("%d events say that it ended, want 1", n)
		}
	})
}

// Only who ends the session itself expires its cookie: not a sign-out that is
// overtaken in the store by another, or by a sign-in, whose cookie is newer.
func TestRule1OvertakenSignOutExpiresNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, do := range map[string]serve{"sign-out": signOut, "sign-in": signIn("alice")} {
			t.Run(name, func(t *testing.T) {
				inner := open()
				st, faults := storetest.Faulty(inner)
				srv := newServer(t, st)
				b := srv.signedIn("alice")
				other := srv.another()
				other.store = inner
				other = other.another()
				faults.Before(storetest.Delete, func(context.Context) error {
					faults.Heal()
					b.stolen().at(other).must(do)
					return nil
				})
				b.must(signOut).wantNoCookie()
				if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonSignOut); n != 0 {
					t.Errorf("%d events say that it signed out what was gone", n)
				}
			})
		}
	})
}

// Nor does the request that signs out write into the session afterwards, nor
// bring it back by what it gathered before.
func TestRule1SignOutDropsWhatItsRequestGathered(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		x := b.do(func(_ *exchange, s *coatcheck.Session) error {
			if err := textKey.Set(s, "before"); err != nil {
				return err
			}
			if err := s.End(ctx); err != nil {
				return err
			}
			if err := textKey.Set(s, "after"); !errors.Is(err, coatcheck.ErrEnded) {
				t.Errorf("a write after the sign-out returned %v, want ErrEnded", err)
			}
			return nil
		})
		x.wantStatus(http.StatusOK)
		if n := srv.live("alice"); n != 0 || len(b.cookies) != 0 {
			t.Errorf("%d sessions and %d cookies are left", n, len(b.cookies))
		}
	})
}

// A sign-out happens although the visitor has gone.
func TestRule1SignOutOfVisitorWhoHasGone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		x := b.begin(func(x *exchange, s *coatcheck.Session) error {
			x.pause()
			gone, cancel := context.WithCancel(ctx)
			cancel()
			return s.End(gone)
		})
		x.cancel()
		x.run()
		b.wantUser("")
	})
}

// A session ends when it is due although its row is still there, and all who
// use it at that moment find nobody: without an error, with one event. F-22,
// F-27.
func TestRule1ExpiredSessionUsedInParallel(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		srv.clock.advance(30 * time.Minute)
		err := parallel(20, func(int) error {
			x := b.stolen().do(read)
			x.wantNoCookie()
			if x.session.SignedIn() {
				return errors.New("an expired session is still signed in")
			}
			return x.err
		})
		if err != nil {
			t.Error(err)
		}
		if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonIdle); n != 1 {
			t.Errorf("%d events say that it ended, want 1", n)
		}
	})
}

// A request whose session has ended is told so each time that it asks.
func TestRule1TheEndIsToldEachTime(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, ask := range map[string]func(*coatcheck.Session) error{
			"Reload": func(s *coatcheck.Session) error { return s.Reload(ctx) },
			"Touch":  func(s *coatcheck.Session) error { return s.Touch(ctx) },
		} {
			alice := newServer(t, open()).signedIn("alice")
			x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
				x.pause()
				for i := range 3 {
					if err := ask(s); !errors.Is(err, coatcheck.ErrEnded) {
						t.Errorf("%s, time %d: %v, want ErrEnded", name, i+1, err)
					}
				}
				return nil
			})
			alice.stolen().must(signOut)
			x.run()
		}
	})
}

// A session that ends in the middle of Touch is over for all that follows.
func TestRule1SessionEndsWithinTouch(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		newServer(t, st).signedIn("alice").do(func(_ *exchange, s *coatcheck.Session) error {
			faults.Fail(storetest.Touch, 1, store.ErrNotFound)
			if err := s.Touch(ctx); !errors.Is(err, coatcheck.ErrEnded) {
				t.Errorf("Touch: %v, want ErrEnded", err)
			}
			if err := textKey.Set(s, "late"); !errors.Is(err, coatcheck.ErrEnded) {
				t.Errorf("a write after it: %v, want ErrEnded", err)
			}
			return nil
		})
	})
}
