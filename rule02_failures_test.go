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
