package coatcheck_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// Work that waits for the end of its session learns of it, and why.
func TestRule1WorkUnderWayLearnsOfTheEnd(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		wait := func(t *testing.T, end func(*testing.T, *server, *browser)) error {
			srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject = 2 })
			b := srv.signedIn("alice")
			srv.clock.advance(2 * time.Minute)
			x := b.begin(func(x *exchange, s *coatcheck.Session) error {
				over, done := s.Context(context.Background()), s.Done()
				x.pause()
				for _, c := range []<-chan struct{}{over.Done(), done} {
					select {
					case <-c:
					case <-time.After(patience):
						t.Error("nobody told that the session has ended")
					}
				}
				return context.Cause(over)
			})
			end(t, srv, b)
			return x.run().err
		}
		for _, ending := range endings {
			if ending.name == "idle" || ending.name == "absolute" {
				continue // their time comes with the real clock
			}
			t.Run(ending.name, func(t *testing.T) {
				if err := wait(t, ending.end); !errors.Is(err, coatcheck.ErrEnded) {
					t.Errorf("the cause is %v, want ErrEnded", err)
				}
			})
		}
		for _, super := range supersessions {
			t.Run(super.name, func(t *testing.T) {
				err := wait(t, func(t *testing.T, _ *server, b *browser) { b.must(super.by) })
				if !errors.Is(err, coatcheck.ErrStale) {
					t.Errorf("the cause is %v, want ErrStale", err)
				}
			})
		}
	})
}

// What a request does to its own session, and rotation by another, end nobody's
// work.
func TestRule1WorkGoesOnWithItsOwnSession(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, own := range []struct {
			name string
			do   serve
		}{
			{"re-authenticates", reauthenticate}, {"changes credentials", changeCredentials},
			{"signs in", signIn("alice")}, {"rotates", rotate}, {"writes", write("x")},
		} {
			t.Run(own.name, func(t *testing.T) {
				srv := newServer(t, open())
				b := srv.signedIn("alice")
				x := b.begin(func(x *exchange, s *coatcheck.Session) error {
					over := s.Context(context.Background())
					for range 200 {
						if err := own.do(x, s); err != nil {
							return err
						}
					}
					if err := b.stolen().do(read).err; err != nil {
						return err
					}
					return context.Cause(over)
				})
				if x.err != nil {
					t.Errorf("the request's own doing ended its work: %v", x.err)
				}
			})
		}
	})
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// Who looks whether the session has ended, and meets the request's own
// re-authentication half way, does not take it for another's.
func TestRule1LookingMeetsTheRequestsOwnDoing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		b := newServer(t, st).signedIn("alice")
		x := b.begin(func(_ *exchange, s *coatcheck.Session) error {
			looking, release := faults.Hold(storetest.Load)
			defer release()
			over := s.Context(context.Background())
			<-looking
			looks := faults.Calls(storetest.Load)
			if err := s.Reauthenticate(ctx); err != nil {
				return err
			}
			release()
			eventually(t, "looking again", func() bool {
				return over.Err() != nil || faults.Calls(storetest.Load) > looks
			})
			return context.Cause(over)
		})
		if x.err != nil {
			t.Error(x.err)
		}
	})
}

// Work outlives the rotation of its session's secret by another request, and
// the grace of the one that it began with.
func TestRule1WorkOutlivesRotation(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv, b := rotating(t, st)
		x := b.begin(func(x *exchange, s *coatcheck.Session) error {
			over := s.Context(context.Background())
			x.pause()
			<-over.Done()
			return context.Cause(over)
		})
		b.must(rotate)
		b.must(read)
		srv.clock.advance(2 * grace)
		looks := faults.Calls(storetest.Load)
		b.must(write("x")) // makes it look; its own load is one
		eventually(t, "looking", func() bool { return faults.Calls(storetest.Load) > looks+1 })
		b.must(signOut)
		if x.run(); !errors.Is(x.err, coatcheck.ErrEnded) {
			t.Errorf("the work ended by %v, want by the sign-out", x.err)
		}
	})
}

// Work whose own write has learned of the end first is told the same: a store
// that does not tell of changes is looked at every few seconds.
func TestRule1WorkIsToldWhatItsOwnWriteWasTold(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(srv *server, b *browser)
		want error
		why  coatcheck.Reason
	}{
		"superseded":       {func(_ *server, b *browser) { b.must(signIn("alice")) }, coatcheck.ErrStale, coatcheck.ReasonReplaced},
		"ended by another": {func(srv *server, b *browser) { srv.End(ctx, b.id()) }, coatcheck.ErrEnded, coatcheck.ReasonByAnother},
		"signs out itself": {nil, coatcheck.ErrEnded, coatcheck.ReasonSignOut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newServer(t, struct{ store.Store }{memory()})
				b := srv.signedIn("alice")
				x := b.begin(func(x *exchange, s *coatcheck.Session) error {
					over := s.Context(context.Background())
					synctest.Wait() // it was looked at, and is to be in 5 seconds
					x.pause()
					if c.end == nil {
						if err := s.End(ctx); err != nil {
							return err
						}
					}
					err := s.Update(ctx, func() error { return textKey.Set(s, "x") })
					if !errors.Is(err, c.want) {
						t.Errorf("a write is told %v, want %v", err, c.want)
					}
					<-over.Done()
					return context.Cause(over)
				})
				if c.end != nil {
					c.end(srv, b)
				}
				var why *coatcheck.EndedError
				if x.run(); !errors.As(x.err, &why) || why.Reason != c.why || !errors.Is(x.err, c.want) {
					t.Errorf("the work is told %v, want %q", x.err, c.why)
				}
			})
		})
	}
}
