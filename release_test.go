package coatcheck_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
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

// Two sign-ins at once do not share what they say of their visitors.
func TestNetworkOfEachSignInIsItsOwn(t *testing.T) {
	s := newServer(t, memory())
	alice := s.browser()
	x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
		if err := s.SignIn(ctx, "alice"); err != nil {
			return err
		}
		x.pause()
		return s.Reauthenticate(ctx) // which stores the network again
	})
	bob := s.browser().request(ctx)
	bob.RemoteAddr = "198.51.100.7:1"
	s.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		return s.SignIn(ctx, "bob")
	}).ServeHTTP(httptest.NewRecorder(), bob)
	x.run().deliver()
	if network := alice.look().Info().Network; network != "192.0.2.0/24" {
		t.Errorf("alice signed in from %q", network)
	}
}

// A sign-in that fails after another leaves what was said of the visitor.
func TestNetworkStaysWhereASignInFails(t *testing.T) {
	st, faults := storetest.Faulty(memory())
	s := newServer(t, st)
	s.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := s.SignIn(ctx, "alice"); err != nil {
			return err
		}
		r.RemoteAddr = "10.0.0.1:80"
		faults.Fail(storetest.Create, 1, errors.New("down"))
		if err := s.SignIn(ctx, "alice"); err == nil {
			t.Error("the second sign-in succeeds")
		}
		if network := s.Info().Network; network != "192.0.2.0/24" {
			t.Errorf("alice signed in from %q", network)
		}
		return nil
	}).ServeHTTP(httptest.NewRecorder(), s.browser().request(ctx))
}

// sending is a store outside the process that gives up and is still sending.
type sending struct {
	store.Store
	slow             bool
	record           store.Record
	headWas, dataWas string
}

func (w *sending) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if !w.slow {
		return w.Store.Update(ctx, rec, was, now)
	}
	w.slow, w.record = false, rec
	w.headWas, w.dataWas = string(rec.Head), string(rec.Data)
	return context.DeadlineExceeded
}

// What a store outside the process was given is not used again for another
// visitor while it may still be sending it.
func TestWhatASlowStoreSendsStaysAsItIs(t *testing.T) {
	for name, act := range map[string]serve{"write": write("alice's other text"), "rotate": rotate, "sign in": signIn("alice")} {
		t.Run(name, func(t *testing.T) {
			w := &sending{Store: sealed()}
			s := newServer(t, w)
			alice := s.signedIn("alice", coatcheck.Device("of alice"))
			alice.must(write("alice's text"))
			s.clock.advance(10 * time.Minute)
			alice.must(read)
			w.slow = true
			alice.do(act)
			if w.slow {
				t.Fatal("nothing was stored")
			}
			bob := s.signedIn("bob", coatcheck.Device("of bob"))
			for range 20 {
				bob.must(write("bob's text"))
				bob.must(read)
			}
			if string(w.record.Head) != w.headWas || string(w.record.Data) != w.dataWas {
				t.Errorf("it sends head %q, data %q", w.record.Head, w.record.Data)
			}
		})
	}
}

// A framework may commit while goroutines of the request still ask. This fails
// under -race alone.
func TestCommitBesideOtherCalls(t *testing.T) {
	srv := newServer(t, memory())
	s, err := srv.Open(srv.signedIn("alice").request(ctx))
	if err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	others.Go(func() { s.Done() })
	others.Go(func() { s.CSRFToken() })
	if _, err := srv.Commit(ctx, s); err != nil {
		t.Error(err)
	}
	others.Wait()
}
