package coatcheck_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// copies is a store that answers Load with the first copy that it ever had of a
// record, as often as it may: the most out of date that the contract allows.
type copies struct {
	store.Store
	mu   sync.Mutex
	kept map[store.ID]store.Record
}

func (c *copies) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.kept[id]; ok && read == store.Cached {
		*rec = kept
		rec.Head, rec.Data = slices.Clone(kept.Head), slices.Clone(kept.Data)
		return nil
	}
	err := c.Store.Load(ctx, id, rec, read)
	if _, ok := c.kept[id]; !ok && err == nil {
		kept := *rec
		kept.Head, kept.Data = slices.Clone(rec.Head), slices.Clone(rec.Data)
		c.kept[id] = kept
	}
	return err
}

// A copy that is out of date, in a store that keeps copies, may say yes, but
// never no: nobody is turned away, nothing is lost and nothing comes back by
// it. F-84.
func TestRule2CopiesOutOfDate(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		here := newServer(t, open(), func(c *coatcheck.Config) { c.RotateEvery = time.Minute })
		far := here.another()
		far.store = &copies{Store: here.store, kept: map[store.ID]store.Record{}}
		far = far.another()
		session := func() (near, distant *browser) {
			near = here.signedIn("alice")
			near.must(write("first"))
			distant = near.at(far)
			distant.must(read) // now there is a copy
			return near, distant
		}
		item := func(name string) serve {
			return func(_ *exchange, s *coatcheck.Session) error { return add(s, name) }
		}
		t.Run("writes", func(t *testing.T) {
			near, distant := session()
			near.must(item("near"))
			distant.must(item("distant"))
			near.must(item("near again"))
			near.wantItems("near", "distant", "near again")
		})
		t.Run("rotation", func(t *testing.T) {
			near, distant := session()
			for range 3 {
				here.clock.advance(2 * time.Minute)
				near.must(read)
				distant.wantUser("alice")
				distant.must(item("x"))
			}
		})
		t.Run("re-authentication", func(t *testing.T) {
			near, distant := session()
			old := distant.stolen()
			near.must(reauthenticate)
			distant.wantUser("alice")
			distant.must(write("second"))
			old.do(write("stale")).wantStatus(http.StatusConflict).wantNoCookie()
			near.wantText("second")
		})
		t.Run("activity", func(t *testing.T) {
			near, distant := session()
			for range 3 {
				here.clock.advance(20 * time.Minute)
				near.must(read)
			}
			distant.wantUser("alice")
		})
		t.Run("end", func(t *testing.T) {
			near, distant := session()
			token := distant.stolen()
			near.must(signOut)
			token.do(item("dead")).wantStatus(http.StatusOK).wantNoCookie()
			if x := token.do(endOthers).wantNoCookie(); !errors.Is(x.err, coatcheck.ErrEnded) {
				t.Errorf("a session that has ended ends others: %v, want ErrEnded", x.err)
			}
			token.at(here).wantUser("")
		})
		t.Run("sign-in", func(t *testing.T) {
			near, distant := session()
			near.must(item("near"))
			distant.must(signIn("alice"))
			near.wantUser("alice")
			near.wantItems("near")
		})
	})
}

// One request's session may be used by several of its goroutines, whatever they
// do with it: nothing is lost and nothing is done twice. F-25.
func TestRule2GoroutinesOfOneRequest(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		srv.clock.advance(2 * time.Minute)
		var items []string
		for i := range 20 {
			items = append(items, fmt.Sprint("item", i))
		}
		x := b.begin(func(_ *exchange, s *coatcheck.Session) error {
			done := s.Done()
			err := parallel(len(items), func(i int) error {
				if err := add(s, items[i]); err != nil {
					return err
				}
				switch i % 10 {
				case 0:
					return s.Rotate(ctx)
				case 1:
					return s.Touch(ctx)
				case 2:
					return s.Reload(ctx)
				case 4:
					_, err := s.CSRFToken()
					return err
				case 5:
					b.stolen().begin(write("by another request"))
				case 6:
					_ = fmt.Sprint(s, s.Info(), s.Keys(), s.Subject(), s.Expires())
				case 7:
					return s.Reauthenticate(ctx)
				}
				return nil
			})
			select {
			case <-done:
				return errors.Join(err, errors.New("the session is said to have ended"))
			default:
				return err
			}
		})
		if x.err != nil {
			t.Error(x.err)
		}
		x.wantStatus(http.StatusOK).deliver()
		b.wantUser("alice")
		b.wantItems(items...)
	})
}

// What one goroutine gathers while the changes of another are made again to
// newer data is done once.
func TestRule2GatheredWhileChangesAreMadeAgain(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).signedIn("alice")
		x := b.begin(func(x *exchange, s *coatcheck.Session) error {
			runs := 0
			err := listKey.Update(s, func(list []string) ([]string, error) {
				if runs++; runs == 2 {
					gathered := make(chan error)
					go func() {
						gathered <- countKey.Update(s, func(n int) (int, error) { return n + 1, nil })
					}()
					if err := <-gathered; err != nil {
						return nil, err
					}
				}
				return append(list, "mine"), nil
			})
			x.pause()
			return errors.Join(err, s.Reload(ctx))
		})
		b.must(func(_ *exchange, s *coatcheck.Session) error { return add(s, "theirs") })
		x.run().wantStatus(http.StatusOK)
		b.wantItems("mine", "theirs")
		if n, _ := countKey.Get(b.look()); n != 1 {
			t.Errorf("counted %d times, want once", n)
		}
	})
}
