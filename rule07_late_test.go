package coatcheck_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// An Update whose function returns when the response has started, or when the
// handler has returned, says that it came too late: nothing would store it.
func TestRule7UpdateThatEndsTooLateSaysSo(t *testing.T) {
	for name, started := range map[string]bool{"response started": true, "handler returned": false} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, memory())
			alice, bob := s.signedIn("alice"), s.signedIn("bob")
			alice.must(write("before"))
			inside, resume, finished := make(chan struct{}), make(chan struct{}), make(chan error)
			result := func() error { close(resume); return <-finished }
			var err error
			alice.do(func(x *exchange, s *coatcheck.Session) error {
				wait := sync.OnceFunc(func() { close(inside); <-resume })
				go func() {
					finished <- textKey.Update(s, func(old string) (string, error) { wait(); return old + " and after", nil })
				}()
				<-inside
				if started {
					x.writer.WriteHeader(http.StatusOK)
					err = result()
				}
				return nil
			})
			if !started {
				bob.must(write("bob's")) // with memory of its own
				err = result()
			}
			if !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("Update returned %v, want ErrCommitted", err)
			}
			alice.wantText("before")
		})
	}
}

// The same where AdmitAnonymous takes its time.
func TestRule7AdmissionThatEndsTooLateSaysSo(t *testing.T) {
	inside, resume, finished := make(chan struct{}), make(chan struct{}), make(chan error)
	s := newServer(t, memory(), func(c *coatcheck.Config) {
		c.AdmitAnonymous = func(*http.Request) error { close(inside); <-resume; return nil }
	})
	s.browser().do(func(_ *exchange, s *coatcheck.Session) error {
		go func() { finished <- textKey.Set(s, "late") }()
		<-inside
		return nil
	})
	close(resume)
	if err := <-finished; !errors.Is(err, coatcheck.ErrCommitted) {
		t.Errorf("Set returned %v, want ErrCommitted", err)
	}
}

// A response that starts within the function of Session.Update leaves the
// session as it was, and whatever comes later says that it is too late.
func TestRule7ResponseStartedWithinUpdate(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		alice := srv.signedIn("alice")
		alice.must(write("before"))
		alice.do(func(x *exchange, s *coatcheck.Session) error {
			s.Update(ctx, func() error {
				x.writer.Write([]byte("page"))
				return nil
			})
			if err := textKey.Set(s, "lost"); !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("Set returned %v, want ErrCommitted", err)
			}
			if err := s.SignIn(ctx, "bob"); !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("SignIn returned %v, want ErrCommitted", err)
			}
			return nil
		}).wantNoCookie()
		alice.wantUser("alice")
		alice.wantText("before")
		if n := srv.live("bob"); n != 0 {
			t.Errorf("bob has %d sessions", n)
		}
	})
}

// A visitor whom the cookie cannot reach any more gets no session.
func TestRule7VisitorsUpdateStartsTheResponse(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		srv.browser().do(func(x *exchange, s *coatcheck.Session) error {
			err := s.Update(ctx, func() error {
				err := textKey.Set(s, "lost")
				x.writer.Write([]byte("page"))
				return err
			})
			if !errors.Is(err, coatcheck.ErrCommitted) {
				t.Errorf("Update returned %v, want ErrCommitted", err)
			}
			return nil
		}).wantNoCookie()
		if n := kept(t, srv.store); n != 0 {
			t.Errorf("%d sessions are kept that nobody has the cookie of", n)
		}
	})
}
