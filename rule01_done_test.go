package coatcheck_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
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
