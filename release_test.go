package coatcheck_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// The memory of a request is used again by the next: nobody who kept the
// session of one may see that of another.
func TestKeptSessionShowsNothingOfLaterRequests(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		s := newServer(t, open())
		first, second := s.signedIn("alice"), s.signedIn("bob")
		first.must(write("alice's"))
		second.must(write("bob's"))

		kept := first.must(read).session
		for range 20 {
			x := second.begin(func(x *exchange, s *coatcheck.Session) error {
				x.pause()
				text, _ := textKey.Get(s)
				if text != "bob's" || s.Subject() != "bob" {
					return fmt.Errorf("read %q of %q", text, s.Subject())
				}
				return nil
			})
			if text, found := textKey.Get(kept); found || kept.SignedIn() || kept.Subject() != "" || !kept.ID().IsZero() || kept.Info() != (coatcheck.Info{}) || len(kept.Keys()) != 0 {
				t.Errorf("a session that is over shows %q of %v", text, kept)
			}
			if err := textKey.Set(kept, "late"); !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("writing to it: %v", err)
			}
			if _, err := kept.CSRFToken(); !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("its CSRF token: %v", err)
			}
			if x.run().err != nil {
				t.Error(x.err)
			}
		}
		second.wantText("bob's")
	})
}
