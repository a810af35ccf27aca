package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
)

// A function of Key.Update must call no method that takes a context. One that
// does, and runs again because another request wrote meanwhile, waits for
// itself: it gets an error in the end, and does not hang.
func TestUpdateFunctionThatWaitsForItselfGetsAnError(t *testing.T) {
	for name, call := range map[string]func(*coatcheck.Session) error{
		"touch": func(s *coatcheck.Session) error { return s.Touch(ctx) },
		"csrf":  func(s *coatcheck.Session) error { _, err := s.CSRFToken(); return err },
		"end":   func(s *coatcheck.Session) error { return s.End(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newServer(t, memory()).signedIn("alice")
				var errs []error
				x := b.begin(func(x *exchange, s *coatcheck.Session) error {
					runs := 0
					err := listKey.Update(s, func(items []string) ([]string, error) {
						if runs++; runs == 1 {
							return append(items, "mine"), nil
						}
						errs = append(errs, call(s))
						return append(items, "again"), nil
					})
					x.pause()
					return err
				})
				b.must(func(_ *exchange, s *coatcheck.Session) error { return add(s, "other") })
				start := time.Now()
				x.run().wantStatus(http.StatusOK)
				if len(errs) != 1 || !errors.Is(errs[0], coatcheck.ErrStore) || !errors.Is(errs[0], context.DeadlineExceeded) {
					t.Errorf("the function that ran again got %v", errs)
				}
				if waited := time.Since(start); waited < 5*time.Second || waited > 10*time.Second {
					t.Errorf("it took %v", waited)
				}
				b.wantItems("other", "again")
			})
		})
	}
}

// Who waits while others store gets the turn, however many there are: only
// nobody's giving it back is too long.
func TestManyGoroutinesOfARequestTakeTurns(t *testing.T) {
	const goroutines = 50
	b := newServer(t, memory()).signedIn("alice")
	b.must(func(_ *exchange, s *coatcheck.Session) error {
		return parallel(goroutines, func(int) error {
			if err := s.Touch(ctx); err != nil {
				return err
			}
			return s.Reload(ctx)
		})
	})
}
