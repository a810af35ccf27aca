package coatcheck_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// wantItems fails the test unless the list has exactly these items, in any
// order.
func (b *browser) wantItems(want ...string) {
	b.t.Helper()
	got, _ := listKey.Get(b.look())
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.t.Errorf("the list has %d items, want %d: got %v, want %v", len(got), len(want), got, want)
	}
}

// Parallel requests, in one process and in two, each append to one list and set
// a key of their own: nothing is lost and nothing is done twice, and the
// session keeps its id and its cookie. F-01, F-09.
func TestRule2ParallelRequestsLoseNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, processes := range []int{1, 2} {
			t.Run(fmt.Sprint("processes ", processes), func(t *testing.T) {
				const requests = 64
				first := newServer(t, open())
				b := first.signedIn("alice")
				servers := []*server{first, first.another()}
				own := make([]coatcheck.Key[int], requests)
				items := make([]string, requests)
				for i := range own {
					own[i], items[i] = coatcheck.NewKey[int](fmt.Sprint("own", i)), fmt.Sprint("item", i)
				}
				id := b.look().ID()
				err := parallel(requests, func(i int) error {
					x := b.stolen().at(servers[i%processes]).begin(func(_ *exchange, s *coatcheck.Session) error {
						return errors.Join(own[i].Set(s, i), add(s, items[i]))
					})
					x.wantNoCookie().wantStatus(http.StatusOK)
					return x.err
				})
				if err != nil {
					t.Error(err)
				}
				b.wantItems(items...)
				s := b.look()
				for i, key := range own {
					if got, ok := key.Get(s); !ok || got != i {
						t.Errorf("the key of request %d holds %d, %t", i, got, ok)
					}
				}
				if s.ID() != id || first.live("alice") != 1 {
					t.Error("writing changed the session's id or made another session")
				}
			})
		}
	})
}

// Two requests read and then set one key: one of them gets ErrConflict, and not
// the other's value under its own success.
func TestRule2SetAfterGetConflicts(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		getThenSet := func(value string) serve {
			return func(x *exchange, s *coatcheck.Session) error {
				textKey.Get(s)
				x.pause()
				return textKey.Set(s, value)
			}
		}
		getThenDelete := func(x *exchange, s *coatcheck.Session) error {
			textKey.Get(s)
			x.pause()
			return textKey.Delete(s)
		}
		blind := func(x *exchange, s *coatcheck.Session) error {
			x.pause()
			return textKey.Set(s, "second")
		}
		popThenWrite := func(x *exchange, s *coatcheck.Session) error {
			_, _, err := textKey.Pop(s)
			x.pause()
			return errors.Join(err, otherKey.Set(s, "popped"))
		}
		for _, c := range []struct {
			name   string
			second serve
			status int
			left   string
		}{
			{"set", getThenSet("second"), http.StatusConflict, "first"},
			{"set to what it is", getThenSet("first"), http.StatusConflict, "first"},
			{"delete", getThenDelete, http.StatusConflict, "first"},
			{"set without having read", blind, http.StatusOK, "second"},
			{"pop", popThenWrite, http.StatusOK, "first"}, // what came since stays
		} {
			t.Run(c.name, func(t *testing.T) {
				b := newServer(t, open()).signedIn("alice")
				b.must(write("before"))
				x, y := b.begin(getThenSet("first")), b.begin(c.second)
				x.run().wantStatus(http.StatusOK)
				y.run().wantStatus(c.status)
				if c.status == http.StatusConflict && y.answer.Header().Get("Set-Cookie") != "" {
					t.Error("a conflict changes a cookie")
				}
				b.wantText(c.left)
			})
		}
	})
}

// Of many requests that present a code, one gets it.
func TestRule2CodeIsTakenOnce(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).signedIn("alice")
		b.must(write("code"))
		gone := errors.New("there is no code")
		accepted := make([]bool, 50)
		err := parallel(len(accepted), func(i int) error {
			x := b.stolen().begin(func(_ *exchange, s *coatcheck.Session) error {
				err := s.Update(ctx, func() error {
					if _, ok := textKey.Get(s); !ok {
						return gone
					}
					return textKey.Delete(s)
				})
				accepted[i] = err == nil
				if errors.Is(err, gone) {
					return nil
				}
				return err
			})
			return x.err
		})
		if err != nil {
			t.Error(err)
		}
		if n := len(slices.DeleteFunc(accepted, func(b bool) bool { return !b })); n != 1 {
			t.Errorf("the code was accepted %d times, want once", n)
		}
	})
}

// Session.Update keeps several values in step, whatever else happens to them.
func TestRule2UpdateIsAllOrNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		here, there := coatcheck.NewKey[int]("here"), coatcheck.NewKey[int]("there")
		b := newServer(t, open()).signedIn("alice")
		b.must(func(_ *exchange, s *coatcheck.Session) error { return here.Set(s, 100) })
		refused := errors.New("refused")
		err := parallel(40, func(i int) error {
			return b.stolen().begin(func(_ *exchange, s *coatcheck.Session) error {
				err := s.Update(ctx, func() error {
					n, _ := here.Get(s)
					m, _ := there.Get(s)
					if n+m != 100 {
						return fmt.Errorf("found %d and %d, want a sum of 100", n, m)
					}
					if err := here.Set(s, n-1); err != nil {
						return err
					}
					if i%4 == 0 {
						return refused
					}
					return there.Set(s, m+1)
				})
				if errors.Is(err, refused) {
					return nil
				}
				return err
			}).err
		})
		if err != nil {
			t.Error(err)
		}
		s := b.look()
		n, _ := here.Get(s)
		if m, _ := there.Get(s); n != 70 || m != 30 {
			t.Errorf("%d and %d are left, want 70 and 30", n, m)
		}
	})
}

// A write whose answer from the store was lost has happened, and is neither
// reported as failed nor done again: an update, a first write, a sign-in, a
// rotation, an end.
func TestRule2LostAnswerOfTheStore(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		lost := errors.New("connection reset")
		append1 := func(_ *exchange, s *coatcheck.Session) error { return add(s, "one") }
		for _, c := range []struct {
			name   string
			method storetest.Method
			do     serve
			user   string
			items  []string
		}{
			{"update", storetest.Update, append1, "alice", []string{"zero", "one"}},
			{"update at once", storetest.Update, func(_ *exchange, s *coatcheck.Session) error {
				return s.Update(ctx, func() error { return add(s, "one") })
			}, "alice", []string{"zero", "one"}},
			{"rotation", storetest.Update, rotate, "alice", []string{"zero"}},
			{"re-authentication", storetest.Update, reauthenticate, "alice", []string{"zero"}},
			{"sign-in, created", storetest.Create, signIn("alice"), "alice", []string{"zero"}},
			{"sign-in, retired", storetest.Update, signIn("alice"), "alice", []string{"zero"}},
			{"sign-in of another", storetest.Create, signIn("bob"), "bob", nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				st, faults := storetest.Faulty(open())
				b := newServer(t, st).signedIn("alice")
				b.must(func(_ *exchange, s *coatcheck.Session) error { return add(s, "zero") })
				b.server.clock.advance(2 * time.Minute)
				faults.Lose(c.method, 1, lost)
				b.must(c.do)
				b.wantUser(c.user)
				b.wantItems(c.items...)
			})
		}
		t.Run("first write", func(t *testing.T) {
			st, faults := storetest.Faulty(open())
			b := newServer(t, st).browser()
			faults.Lose(storetest.Create, 1, lost)
			b.must(append1)
			b.wantItems("one")
		})
	})
}

// A request that was told of a conflict and goes on all the same cannot store
// what it made of older data: not what it set, and nothing of what it carried.
func TestRule2ConflictThatIsIgnoredStoresNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name string
			do   func(s *coatcheck.Session) error // meets the conflict
		}{
			{"Update", func(s *coatcheck.Session) error {
				return s.Update(ctx, func() error { return countKey.Set(s, 1) })
			}},
			{"Reload", func(s *coatcheck.Session) error { return s.Reload(ctx) }},
			{"Rotate", func(s *coatcheck.Session) error { return s.Rotate(ctx) }},
			{"Reauthenticate", func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) }},
			{"SignIn", func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") }},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open())
				b := srv.signedIn("alice")
				b.must(write("before"))
				srv.clock.advance(2 * time.Minute)
				x := b.begin(func(x *exchange, s *coatcheck.Session) error {
					textKey.Get(s)
					if err := textKey.Set(s, "mine"); err != nil {
						return err
					}
					x.pause()
					if err := c.do(s); !errors.Is(err, coatcheck.ErrConflict) {
						t.Errorf("%s returned %v, want ErrConflict", c.name, err)
					}
					return nil // as if nothing had happened
				})
				b.must(func(_ *exchange, s *coatcheck.Session) error {
					return errors.Join(textKey.Set(s, "theirs"), otherKey.Set(s, "theirs"))
				})
				x.run().wantStatus(http.StatusConflict)
				b.wantUser("alice")
				b.wantText("theirs")
				if other, _ := otherKey.Get(b.look()); other != "theirs" {
					t.Errorf("another value is %q, want that of the other request", other)
				}
				if n := srv.live("alice"); n != 1 {
					t.Errorf("the user has %d sessions, want 1", n)
				}
			})
		}
	})
}

// After a conflict a request may read the newer value and decide anew.
func TestRule2ConflictCanBeResolved(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).signedIn("alice")
		b.must(write("before"))
		x := b.begin(func(x *exchange, s *coatcheck.Session) error {
			textKey.Get(s)
			if err := textKey.Set(s, "mine"); err != nil {
				return err
			}
			x.pause()
			if err := s.Reload(ctx); !errors.Is(err, coatcheck.ErrConflict) {
				t.Errorf("Reload returned %v, want ErrConflict", err)
			}
			theirs, _ := textKey.Get(s)
			return textKey.Set(s, theirs+" and mine")
		})
		b.must(write("theirs"))
		x.run().wantStatus(http.StatusOK)
		b.wantText("theirs and mine")
	})
}

// A sign-in that is refused leaves the session before it as it was, with its
// data and with what was gathered.
func TestRule2RefusedSignInLeavesData(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name    string
			subject string // signed in before
			options []coatcheck.SignInOption
		}{
			{"anonymous", "", nil},
			{"anonymous, data dropped", "", []coatcheck.SignInOption{coatcheck.DropData()}},
			{"other user", "bob", nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject, c.AtLimit = 1, coatcheck.RefuseSignIn })
				srv.signedIn("alice")
				b := srv.browser()
				b.must(write("kept"))
				if c.subject != "" {
					b.must(signIn(c.subject))
				}
				b.must(func(_ *exchange, s *coatcheck.Session) error {
					if err := add(s, "gathered"); err != nil {
						return err
					}
					if err := s.SignIn(ctx, "alice", c.options...); !errors.Is(err, coatcheck.ErrTooManySessions) {
						t.Errorf("SignIn returned %v, want ErrTooManySessions", err)
					}
					return otherKey.Set(s, "please end a session elsewhere")
				})
				b.wantUser(c.subject)
				b.wantText("kept")
				b.wantItems("gathered")
			})
		}
	})
}

// So does a re-authentication that is refused, although it was to drop the data.
func TestRule2RefusedReauthenticationLeavesData(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		b.must(write("kept"))
		srv.clock.advance(2 * time.Minute)
		previous := b.stolen()
		b.must(rotate)
		previous.must(func(_ *exchange, s *coatcheck.Session) error {
			if err := add(s, "gathered"); err != nil {
				return err
			}
			if err := s.Reauthenticate(ctx, coatcheck.DropData()); !errors.Is(err, coatcheck.ErrStale) {
				t.Errorf("Reauthenticate returned %v, want ErrStale", err)
			}
			if text, _ := textKey.Get(s); text != "kept" {
				t.Errorf("after it the session holds %q", text)
			}
			return otherKey.Set(s, "please try again")
		})
		b.wantText("kept")
		b.wantItems("gathered")
		b.must(func(_ *exchange, s *coatcheck.Session) error {
			return s.Reauthenticate(ctx, coatcheck.DropData())
		})
		if keys := b.look().Keys(); len(keys) != 0 {
			t.Errorf("the data was to be dropped, and %v is left", keys)
		}
	})
}

// A store that conflicts for ever is given up, and nothing is stored.
func TestRule2EndlessConflictIsGivenUp(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		b := newServer(t, st).signedIn("alice")
		faults.Fail(storetest.Update, 1<<30, store.ErrConflict)
		b.do(write("x")).wantStatus(http.StatusConflict)
		if n := faults.Calls(storetest.Update); n > 16 {
			t.Errorf("%d attempts, want at most 16", n)
		}
		faults.Heal()
		b.wantText("")
	})
}

// A request keeps no other waiting, but while it is being stored: one that is
// in the middle of its work does not stop the next. F-26.
func TestRule2RequestsDoNotWaitForEachOther(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		b := newServer(t, open()).signedIn("alice")
		slow := b.begin(func(x *exchange, s *coatcheck.Session) error {
			return s.Update(ctx, func() error {
				list, _ := listKey.Get(s)
				if len(list) == 0 { // the first time
					x.pause()
				}
				return listKey.Set(s, append(list, "slow"))
			})
		})
		b.must(func(_ *exchange, s *coatcheck.Session) error { return add(s, "quick") })
		b.wantItems("quick")
		slow.run().wantStatus(http.StatusOK)
		b.wantItems("quick", "slow")
	})
}

// A data commit changes data alone: a request that began before others changed
// secret and activity takes nothing of that back. F-12.
func TestRule2DataCommitChangesDataAlone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice", coatcheck.AtLevel(2))
		srv.clock.advance(2 * time.Minute)
		x := b.begin(late(write("late")))
		b.must(rotate)
		srv.clock.advance(10 * time.Second)
		b.must(func(_ *exchange, s *coatcheck.Session) error { return s.Touch(ctx) })
		before := b.look().Info()
		srv.clock.advance(-5 * time.Second) // another machine's clock
		x.run().wantStatus(http.StatusOK)
		if after := b.look().Info(); after != before {
			t.Errorf("a data commit changed the session:\n before %+v\n after  %+v", before, after)
		}
		b.wantText("late")
	})
}

// Nothing of one session shows up in another, although their buffers are used
// again: not even if a goroutine outlives its handler. F-25.
func TestRule2BuffersAreNotShared(t *testing.T) {
	srv := newServer(t, memory())
	alice := srv.signedIn("alice", coatcheck.Device("alice's phone"))
	alice.must(write("alice"))
	inside, goOn, finished := make(chan struct{}), make(chan struct{}), make(chan error)
	alice.do(func(_ *exchange, s *coatcheck.Session) error {
		go func() {
			first := true
			finished <- s.Update(ctx, func() error {
				err := otherKey.Set(s, "late")
				if first {
					first = false
					close(inside)
					<-goOn
				}
				return err
			})
		}()
		<-inside
		return nil
	})
	err := parallel(50, func(i int) error {
		bob := srv.browser()
		bob.do(signIn("bob", coatcheck.Device("bob's laptop")))
		return bob.do(write("bob's own text")).err
	})
	close(goOn)
	if err = errors.Join(err, <-finished); err != nil && !errors.Is(err, coatcheck.ErrCommitted) {
		t.Error(err)
	}
	if device := alice.look().Info().Device; device != "alice's phone" {
		t.Errorf("alice's session has the device %q", device)
	}
	alice.wantText("alice")
}

// A value that this program does not know, such as one of a newer release,
// stays what it is while others are written. F-85.
func TestRule2UnknownValuesStay(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		type newer struct{ A, B string }
		key := coatcheck.NewKey[newer]("newer")
		b := newServer(t, open()).signedIn("alice")
		b.must(func(_ *exchange, s *coatcheck.Session) error { return key.Set(s, newer{"a", "b"}) })
		b.must(write("x"))
		b.must(rotate)
		b.must(signIn("alice"))
		if got, _ := key.Get(b.look()); got != (newer{"a", "b"}) {
			t.Errorf("the value became %+v", got)
		}
		older := coatcheck.NewKey[struct{ A string }]("newer")
		if got, ok := older.Get(b.look()); !ok || got.A != "a" {
			t.Errorf("a type with fewer fields reads %+v, %t", got, ok)
		}
	})
}
