package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// A handler that fails drops what was gathered, while a goroutine of its own is
// in the middle of an Update.
func TestRule2HandlerFailsWhileItsGoroutineUpdates(t *testing.T) {
	s := newServer(t, memory())
	alice := s.signedIn("alice")
	inside, resume, finished := make(chan struct{}), make(chan struct{}), make(chan any)
	s.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		if err := textKey.Set(s, "dropped"); err != nil {
			t.Error(err)
		}
		go func() {
			defer func() { finished <- recover() }()
			s.Update(ctx, func() error {
				close(inside)
				<-resume
				return errors.New("this fails too")
			})
		}()
		<-inside
		return errors.New("the handler fails")
	}).ServeHTTP(httptest.NewRecorder(), alice.request(ctx))
	close(resume)
	if failure := <-finished; failure != nil {
		t.Errorf("Update panics: %v", failure)
	}
	alice.wantText("")
}

// Discard within Update forgets what was gathered before it, too, whether
// Update then fails or not.
func TestRule2DiscardWithinUpdate(t *testing.T) {
	for name, fails := range map[string]error{"succeeds": nil, "fails": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, memory())
			alice := s.signedIn("alice")
			alice.must(func(_ *exchange, s *coatcheck.Session) error {
				if err := textKey.Set(s, "before"); err != nil {
					return err
				}
				err := s.Update(ctx, func() error {
					s.Discard()
					if err := otherKey.Set(s, "within"); err != nil {
						return err
					}
					return fails
				})
				if !errors.Is(err, fails) {
					t.Errorf("Update returned %v, want %v", err, fails)
				}
				return nil
			})
			alice.must(func(_ *exchange, s *coatcheck.Session) error {
				text, _ := textKey.Get(s)
				other, _ := otherKey.Get(s)
				if want := map[bool]string{true: "within"}[fails == nil]; text != "" || other != want {
					t.Errorf("%q and %q are stored, want nothing and %q", text, other, want)
				}
				return nil
			})
		})
	}
}

// damaging is a store outside the process whose data comes back damaged.
type damaging struct {
	store.Store
	on bool
}

func (d *damaging) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	err := d.Store.Load(ctx, id, rec, read)
	if err == nil && d.on && len(rec.Data) > 0 {
		rec.Data[len(rec.Data)-1] ^= 1
	}
	return err
}

// Data that cannot be read is not overwritten: not even after the request has
// recorded that a rotated secret was seen, for which it need not be read.
func TestRule2WhatCannotBeReadIsNotOverwritten(t *testing.T) {
	d := &damaging{Store: memory()}
	s := newServer(t, d)
	alice := s.signedIn("alice")
	alice.must(write("precious"))
	s.clock.advance(5 * time.Minute)
	alice.must(rotate)
	d.on = true
	alice.do(func(x *exchange, s *coatcheck.Session) error {
		if text, found := textKey.Get(s); found {
			t.Errorf("damaged data is read as %q", text)
		}
		x.writer.WriteHeader(http.StatusOK)
		if err := s.Update(ctx, func() error { return otherKey.Set(s, "new") }); !errors.Is(err, coatcheck.ErrStore) {
			t.Errorf("Update returned %v, want ErrStore", err)
		}
		return nil
	})
}

// A function that panics leaves nothing of what it wrote, if the handler
// recovers and goes on.
func TestRule2PanicWithinUpdateLeavesNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		alice := newServer(t, open()).signedIn("alice")
		alice.must(func(_ *exchange, s *coatcheck.Session) error {
			func() {
				defer func() { recover() }()
				s.Update(ctx, func() error {
					if err := textKey.Set(s, "half"); err != nil {
						return err
					}
					panic("in the middle")
				})
			}()
			return otherKey.Set(s, "afterwards")
		})
		alice.wantText("")
		if got, _ := otherKey.Get(alice.look()); got != "afterwards" {
			t.Errorf("%q is stored of what was written afterwards", got)
		}
	})
}

// An Update that fails after it has met a newer record does not make the
// request overwrite that.
func TestRule2FailedUpdateLosesNobodysWrite(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		alice := newServer(t, st).signedIn("alice")
		x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
			x.pause()
			faults.Fail(storetest.Update, 1<<20, store.ErrNotFound)
			if err := s.Update(ctx, func() error { return otherKey.Set(s, "not stored") }); err == nil {
				t.Error("Update returned no error")
			}
			faults.Heal()
			return countKey.Set(s, 1)
		})
		alice.must(write("by another"))
		x.run().wantStatus(http.StatusOK)
		alice.wantText("by another")
		if got, _ := otherKey.Get(alice.look()); got != "" {
			t.Errorf("%q is stored of an Update that failed", got)
		}
	})
}

// What the client was told is not stored is not stored by what the handler does
// afterwards.
func TestRule2WhatFailedToBeStoredIsForgotten(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, c := range map[string]struct {
			failing storetest.Method
			browser func(*server) *browser
			then    error
		}{
			"visitor":   {storetest.Create, (*server).browser, coatcheck.ErrCommitted}, // who gets no cookie any more
			"signed in": {storetest.Update, func(s *server) *browser { return s.signedIn("alice") }, nil},
		} {
			t.Run(name, func(t *testing.T) {
				st, faults := storetest.Faulty(open())
				b := c.browser(newServer(t, st))
				sessions := kept(t, st)
				b.do(func(x *exchange, s *coatcheck.Session) error {
					if err := textKey.Set(s, "refused"); err != nil {
						return err
					}
					faults.Fail(c.failing, 1<<20, store.ErrFull)
					x.writer.WriteHeader(http.StatusOK)
					faults.Heal()
					if err := s.Update(ctx, func() error { return otherKey.Set(s, "x") }); !errors.Is(err, c.then) {
						t.Errorf("Update afterwards: %v, want %v", err, c.then)
					}
					return nil
				}).wantStatus(http.StatusServiceUnavailable).wantNoCookie()
				b.wantText("")
				if n := kept(t, st); n != sessions {
					t.Errorf("%d sessions are kept, want %d", n, sessions)
				}
			})
		}
	})
}

// A re-authentication that cannot drop all data drops none, and keeps what the
// request has gathered.
func TestRule2ConflictWhileDataIsDropped(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		alice := newServer(t, open()).signedIn("alice")
		alice.must(func(_ *exchange, s *coatcheck.Session) error {
			return errors.Join(textKey.Set(s, "text"), otherKey.Set(s, "other"))
		})
		x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
			textKey.Get(s)
			if err := countKey.Set(s, 7); err != nil {
				return err
			}
			x.pause()
			if err := s.Reload(ctx); err != nil {
				return err
			}
			if err := s.Reauthenticate(ctx, coatcheck.DropData()); !errors.Is(err, coatcheck.ErrConflict) {
				t.Errorf("Reauthenticate: %v, want ErrConflict", err)
			}
			return nil
		})
		alice.must(write("newer"))
		x.run().deliver().wantStatus(http.StatusOK)
		alice.wantText("newer")
		other, _ := otherKey.Get(alice.look())
		if count, _ := countKey.Get(alice.look()); other != "other" || count != 7 {
			t.Errorf("%q and %d are stored, want what was there and what was gathered", other, count)
		}
	})
}

// What is discarded while its function runs again is not stored.
func TestRule2DiscardWhileAFunctionRunsAgain(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		alice := newServer(t, open()).signedIn("alice")
		runs := 0
		x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
			first := textKey.Update(s, func(string) (string, error) {
				if runs++; runs == 2 {
					s.Discard()
				}
				return "discarded", nil
			})
			second := countKey.Set(s, 7)
			x.pause()
			return errors.Join(first, second, s.Update(ctx, func() error { return otherKey.Set(s, "x") }))
		})
		alice.must(func(_ *exchange, s *coatcheck.Session) error { return add(s, "by another") })
		if x.run(); runs != 2 {
			t.Errorf("the function ran %d times, want 2", runs)
		}
		alice.wantText("")
		if count, found := countKey.Get(alice.look()); found {
			t.Errorf("%d is stored, which was discarded too", count)
		}
	})
}
