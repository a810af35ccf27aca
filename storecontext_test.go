package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// waiting is a store outside the process that looks at its context.
type waiting struct {
	store.Store
	look func(context.Context) error
}

func (w waiting) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	if err := w.look(ctx); err != nil {
		return err
	}
	return w.Store.Load(ctx, id, rec, read)
}

func TestStoreCallsEndWithTheirTimeAndTheirVisitor(t *testing.T) {
	var first context.Context
	asks := map[string]func(context.Context) error{
		"does not wait": func(ctx context.Context) error {
			if first == nil {
				first = ctx
			}
			return ctx.Err()
		},
		"waits": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"asks until when": func(ctx context.Context) error {
			until, bounded := ctx.Deadline()
			if !bounded || time.Until(until) > 5*time.Second {
				return errors.New("no bound")
			}
			return ctx.Err()
		},
		"waits in a context of its own": func(ctx context.Context) error {
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			<-own.Done()
			return own.Err()
		},
	}
	for name, look := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := waiting{memory(), func(context.Context) error { return nil }}
				s := newServer(t, &w, func(c *coatcheck.Config) { c.Now = time.Now })
				w.look = look
				began := time.Now()
				_, err := s.Lookup(context.Background(), store.ID{1})
				waits := name == "waits" || name == "waits in a context of its own"
				if took := time.Since(began); waits && (took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("a store that never answers: %v after %v; want the deadline after StoreTimeout", err, took)
				} else if !waits && !errors.Is(err, coatcheck.ErrNotFound) {
					t.Errorf("a store that answers: %v", err)
				}
				gone, cancel := context.WithCancel(context.Background())
				cancel()
				if _, err := s.Lookup(gone, store.ID{1}); !errors.Is(err, context.Canceled) && name != "asks until when" {
					t.Errorf("a visitor who has gone: %v", err)
				}
			})
		})
	}
	if first.Err() == nil {
		t.Error("the context of a call that has returned is not over")
	}
	select {
	case <-first.Done():
	default:
		t.Error("whoever waits for it afterwards waits for ever")
	}
}

type valueKey struct{}

// What a request stores has the values of its context, and neither its end nor
// its deadline, whatever is asked of it.
func TestWritesHaveTheRequestsValuesAndNotItsEnd(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		s := newServer(t, st, func(c *coatcheck.Config) { c.StoreTimeout = time.Minute })
		for name, act := range map[string]func(*coatcheck.Session, *http.Request) error{
			"when the response starts": func(s *coatcheck.Session, _ *http.Request) error { return textKey.Set(s, "text") },
			"at once":                  func(s *coatcheck.Session, r *http.Request) error { return s.Reauthenticate(r.Context()) },
		} {
			alice := s.signedIn("alice")
			request, cancel := context.WithDeadline(context.WithValue(ctx, valueKey{}, "value"), time.Now().Add(30*time.Second))
			writes := 0
			faults.Before(storetest.Update, func(ctx context.Context) error {
				writes++
				cancel() // the visitor goes
				own, stop := context.WithCancel(ctx)
				defer stop()
				select {
				case <-ctx.Done():
					t.Errorf("%s: a write ends with its visitor", name)
				case <-own.Done():
					t.Errorf("%s: what a write begins ends with its visitor", name)
				case <-time.After(10 * time.Millisecond):
				}
				if until, bounded := ctx.Deadline(); bounded && time.Until(until) < 40*time.Second {
					t.Errorf("%s: the deadline of the request is that of the write", name)
				}
				if ctx.Value(valueKey{}) != "value" || ctx.Err() != nil {
					t.Errorf("%s: value %v, error %v", name, ctx.Value(valueKey{}), ctx.Err())
				}
				return nil
			})
			s.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				return act(s, r)
			}).ServeHTTP(httptest.NewRecorder(), alice.request(request))
			cancel()
			if writes != 1 {
				t.Errorf("%s: %d writes", name, writes)
			}
		}
	})
}

// A write that takes too long has ended for that, and not because its visitor
// has gone.
func TestCauseOfAWriteThatTakesTooLong(t *testing.T) {
	st, faults := storetest.Faulty(sealed())
	s := newServer(t, st, func(c *coatcheck.Config) { c.StoreTimeout = 5 * time.Millisecond })
	alice := s.signedIn("alice")
	looked := false
	faults.Before(storetest.Update, func(ctx context.Context) error {
		own, stop := context.WithCancel(ctx)
		defer stop()
		<-ctx.Done()
		<-own.Done()
		if a, b := context.Cause(ctx), context.Cause(own); a != context.DeadlineExceeded || b != context.DeadlineExceeded {
			t.Errorf("%v, %v", a, b)
		}
		looked = true
		return ctx.Err()
	})
	alice.do(func(x *exchange, s *coatcheck.Session) error {
		defer x.cancel()
		return textKey.Set(s, "text")
	})
	if !looked {
		t.Error("nothing was stored")
	}
}

// asking is a store that looks for the session in the values of its context.
type asking struct {
	store.Store
	sessions *coatcheck.Manager
	asked    int
	found    bool
}

func (a *asking) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if a.sessions != nil {
		a.asked++
		if s, err := a.sessions.FromContext(ctx); err == nil {
			a.found = true
			_ = s.Subject() // would wait for the write that this is
		}
	}
	return a.Store.Update(ctx, rec, was, now)
}

// A write has no session in its context: the session is locked while it is
// stored.
func TestWritesHaveNoSessionInTheirContext(t *testing.T) {
	for name, act := range map[string]func(*coatcheck.Session, *http.Request) error{
		"when the response starts": func(s *coatcheck.Session, _ *http.Request) error { return textKey.Set(s, "text") },
		"at once":                  func(s *coatcheck.Session, r *http.Request) error { return s.Reauthenticate(r.Context()) },
		"at once, in a context of its own": func(s *coatcheck.Session, r *http.Request) error {
			return s.Reauthenticate(context.WithValue(r.Context(), valueKey{}, "value"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asking{Store: memory()}
			srv := newServer(t, a)
			alice := srv.signedIn("alice")
			a.sessions = srv.Manager
			done := make(chan struct{})
			go func() {
				defer close(done)
				srv.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
					return act(s, r)
				}).ServeHTTP(httptest.NewRecorder(), alice.request(ctx))
			}()
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatal("the write waits for itself")
			}
			if a.asked == 0 || a.found {
				t.Errorf("asked %d times, found %t", a.asked, a.found)
			}
		})
	}
}
