package coatcheck_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/coatcheck/coatcheck"
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
