package coatcheck_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

const grace = time.Minute // the default of RotationGrace

// rotating returns a server and a browser of alice whose session may be rotated.
func rotating(t *testing.T, st store.Store, edit ...func(*coatcheck.Config)) (*server, *browser) {
	t.Helper()
	srv := newServer(t, st, edit...)
	b := srv.signedIn("alice")
	b.must(write("kept"))
	srv.clock.advance(2 * grace)
	return srv, b
}

// wantNoAlarm fails the test if reuse was detected.
func (s *server) wantNoAlarm() {
	s.t.Helper()
	if n := s.events.count(coatcheck.KindRetiredToken); n != 0 {
		s.t.Errorf("%d alarms about reuse, want none", n)
	}
}

// Of many requests that rotate at once, one gets the new cookie. All others,
// which came with the same secret, work on and get none. F-06, F-07.
func TestRule5ParallelRotation(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, edit := range map[string]func(*coatcheck.Config){
			"asked for":  func(*coatcheck.Config) {},
			"by the age": func(c *coatcheck.Config) { c.RotateEvery = grace },
		} {
			t.Run(name, func(t *testing.T) {
				srv, b := rotating(t, open(), edit)
				before := b.look().Info()
				answers := make([]*exchange, 20)
				err := parallel(len(answers), func(i int) error {
					answers[i] = b.stolen().begin(func(x *exchange, s *coatcheck.Session) error {
						if name == "asked for" {
							if err := s.Rotate(ctx); err != nil {
								return err
							}
						}
						return add(s, "item")
					})
					return answers[i].err
				})
				if err != nil {
					t.Error(err)
				}
				old := b.stolen()
				cookies := 0
				for _, x := range answers {
					if x.wantStatus(http.StatusOK).sets(signedInCookie) {
						cookies++
						b.cookies[signedInCookie] = x.lines()[signedInCookie].Value
					}
				}
				if cookies != 1 {
					t.Errorf("%d answers have the new cookie, want 1", cookies)
				}
				old.wantUser("alice")
				b.wantUser("alice")
				if list, _ := listKey.Get(b.look()); len(list) != len(answers) {
					t.Errorf("the list has %d items, want %d", len(list), len(answers))
				}
				after := b.look().Info()
				after.LastSeen, after.Expires = before.LastSeen, before.Expires
				if after != before {
					t.Errorf("rotation changed the session:\n before %+v\n after  %+v", before, after)
				}
				srv.wantNoAlarm()
			})
		}
	})
}

// The answer with the new secret may be lost: the previous one stays good until
// the new one has been seen, and for the grace after that.
func TestRule5LostAnswer(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv, b := rotating(t, open())
		b.begin(rotate) // its answer is lost
		for range 10 {
			srv.clock.advance(20 * time.Minute)
			b.must(write("kept")).wantNoCookie()
		}
		if !b.must(rotate).sets(signedInCookie) {
			t.Error("long after the answer was lost there is no new rotation")
		}
		b.must(read)
		srv.clock.advance(grace)
		b.wantUser("alice")
		b.wantText("kept")
		srv.wantNoAlarm()
	})
}

// The grace of the previous secret begins when the new one is first seen, and a
// secret that is presented after it ends that session with an alarm, and no
// other session. F-07.
func TestRule5RetiredTokenEndsTheSession(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv, b := rotating(t, open())
		phone := srv.signedIn("alice")
		thief := b.stolen()
		b.must(rotate)
		srv.clock.advance(10 * time.Minute) // nobody has come with the new one
		thief.must(read).wantNoCookie()
		b.must(read)
		srv.clock.advance(grace - time.Microsecond)
		thief.must(read).wantNoCookie()
		thief.wantUser("alice")
		b.must(read) // does not move the beginning
		srv.clock.advance(time.Microsecond)
		thief.do(read).wantStatus(http.StatusOK).wantNoCookie()
		thief.wantUser("")
		b.wantUser("")
		phone.wantUser("alice")
		if n := srv.events.count(coatcheck.KindRetiredToken); n == 0 {
			t.Error("no alarm about reuse")
		}
		if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonReuse); n != 1 {
			t.Errorf("%d events say that it ended by reuse, want 1", n)
		}
	})
}

// A token two rotations old is an alarm as well, and also one that its browser
// never used.
func TestRule5OlderTokensAreAlarms(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		t.Run("two rotations old", func(t *testing.T) {
			srv, b := rotating(t, open())
			thief := b.stolen()
			for range 2 {
				b.must(rotate)
				b.must(read)
				srv.clock.advance(grace)
			}
			thief.do(read)
			b.wantUser("")
		})
		t.Run("lost and then found", func(t *testing.T) {
			srv, b := rotating(t, open())
			lost := b.stolen().do(rotate).browser
			srv.clock.advance(grace)
			b.must(rotate)
			srv.clock.advance(grace - time.Microsecond)
			lost.do(read).wantStatus(http.StatusOK).wantNoCookie()
			lost.do(write("late")).wantStatus(http.StatusConflict).wantNoCookie()
			srv.wantNoAlarm()
			b.wantUser("alice")
			srv.clock.advance(time.Microsecond)
			lost.do(read).wantNoCookie()
			b.wantUser("")
		})
	})
}

// Rotation happens at most once per grace; asked for earlier, or with the
// previous secret inside the grace, it does nothing and says so with success.
func TestRule5AtMostOncePerGrace(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		srv.clock.advance(grace - time.Microsecond)
		b.must(rotate).wantNoCookie() // the sign-in was a moment ago
		srv.clock.advance(time.Microsecond)
		previous := b.stolen()
		if !b.must(rotate).sets(signedInCookie) {
			t.Error("no rotation when it is due")
		}
		b.must(rotate).wantNoCookie()
		previous.must(rotate).wantNoCookie()
		b.must(read)
		srv.clock.advance(grace - time.Microsecond)
		previous.must(rotate).wantNoCookie()
		b.must(rotate).wantNoCookie()
		srv.clock.advance(time.Microsecond)
		if !b.must(rotate).sets(signedInCookie) {
			t.Error("no rotation after the grace")
		}
	})
}

// A request that was under way before the rotation proves nothing about its
// answer, however long it takes: it does not rotate the secret away that the
// browser has got meanwhile.
func TestRule5LongRequestDoesNotForgetTheNewSecret(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, do := range []struct {
			name string
			do   serve
		}{
			{"asked for", rotate}, {"by the age", read}, {"by the age, with a write", write("kept")},
			{"by the age, after others were ended", endOthers},
		} {
			t.Run(do.name, func(t *testing.T) {
				srv, b := rotating(t, open(), func(c *coatcheck.Config) {
					if do.name != "asked for" {
						c.RotateEvery = grace
					}
				})
				long := b.begin(late(do.do))
				b.must(rotate) // and then the user reads for a while
				srv.clock.advance(2 * grace)
				long.run().wantStatus(http.StatusOK).wantNoCookie()
				long.cancel() // its answer never arrives
				srv.clock.advance(2 * grace)
				b.must(read)
				b.wantUser("alice")
				b.wantText("kept")
				srv.wantNoAlarm()
			})
		}
	})
}

// A request that has rotated does not rotate again, however long it takes: the
// browser has neither secret yet, and goes on with the one before if the answer
// is lost.
func TestRule5RequestRotatesOnce(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv, b := rotating(t, open())
		x := b.begin(func(x *exchange, s *coatcheck.Session) error {
			err := s.Rotate(ctx)
			x.pause()
			return errors.Join(err, s.Rotate(ctx))
		})
		srv.clock.advance(2 * grace)
		x.run().wantStatus(http.StatusOK)
		if n := srv.events.count(coatcheck.KindRotated); n != 1 {
			t.Errorf("%d rotations, want 1", n)
		}
		b.must(read) // the answer was lost
		b.wantUser("alice")
		srv.wantNoAlarm()
		x.deliver()
		b.wantUser("alice")
	})
}

// The grace of the previous secret is not cut short by the next rotation: a
// request that was slow to arrive is served for as long as was promised.
func TestRule5NextRotationWaitsForTheGrace(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv, b := rotating(t, open(), func(c *coatcheck.Config) { c.RotateEvery = grace })
		slow := b.stolen() // sent before the answer with the new secret came
		if !b.must(read).sets(signedInCookie) {
			t.Fatal("no rotation when it is due")
		}
		srv.clock.advance(2 * grace) // the next is due when the new one is first seen
		b.must(read).wantNoCookie()
		srv.clock.advance(grace - time.Microsecond)
		slow.must(write("slow"))
		b.wantUser("alice")
		b.wantText("slow")
		srv.clock.advance(time.Microsecond)
		if !b.must(read).sets(signedInCookie) {
			t.Error("no rotation after the grace")
		}
		srv.wantNoAlarm()
	})
}

// A token that was replaced by re-authentication is an alarm never: it is late,
// then dead, and its session lives on whoever presents it.
func TestRule5ReplacedTokenIsNoAlarm(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, do := range map[string]serve{"re-authentication": reauthenticate, "password change": changeCredentials} {
			t.Run(name, func(t *testing.T) {
				srv, b := rotating(t, open())
				previous := b.stolen()
				b.must(rotate)
				old := b.stolen()
				b.must(do)
				for range 10 { // a thief that polls
					for _, thief := range []*browser{old, previous} {
						thief.do(read).wantNoCookie()
						thief.wantUser("")
					}
					srv.clock.advance(10 * time.Second)
				}
				b.must(do)
				old.do(read).wantNoCookie()
				b.wantUser("alice")
				srv.wantNoAlarm()
			})
		}
	})
}

// Rotation moves no limit: idle and absolute count on. F-14.
func TestRule5RotationMovesNoLimit(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), func(c *coatcheck.Config) { c.RotateEvery = grace })
		b := srv.signedIn("alice")
		absolute := b.look().Info().Absolute
		for range 12 * 3 {
			srv.clock.advance(20 * time.Minute)
			if !b.look().Info().Absolute.Equal(absolute) && b.look().SignedIn() {
				t.Fatal("rotation moved the absolute limit")
			}
			b.do(read)
		}
		b.wantUser("")
		if n := srv.events.count(coatcheck.KindRotated); n < 10 {
			t.Errorf("%d rotations in 12 hours", n)
		}
	})
}

// Rotation by age fails nobody's page: one that only reads is answered although
// its session was superseded, ended or cannot be stored just then.
func TestRule5RotationFailsNobodysPage(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, by := range []struct {
			name string
			do   serve
		}{{"sign-in", signIn("alice")}, {"re-authentication", reauthenticate}, {"sign-out", signOut}} {
			t.Run(by.name, func(t *testing.T) {
				_, b := rotating(t, open(), func(c *coatcheck.Config) { c.RotateEvery = grace })
				x := b.begin(late(read))
				b.must(by.do)
				x.run().wantStatus(http.StatusOK).wantNoCookie()
			})
		}
	})
}

// Only a sign-in is rotated: an anonymous visitor, a request whose answer has
// started and one of another site get an error, and nothing is changed.
func TestRule5WhatIsNotRotated(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv, b := rotating(t, open())
		visitor := srv.browser()
		visitor.must(write("x"))
		if x := visitor.do(rotate); !errors.Is(x.err, coatcheck.ErrNotSignedIn) {
			t.Errorf("an anonymous session: %v, want ErrNotSignedIn", x.err)
		}
		x := b.do(func(x *exchange, s *coatcheck.Session) error {
			x.writer.WriteHeader(http.StatusOK)
			for _, do := range []serve{rotate, reauthenticate, signIn("alice"), changeCredentials} {
				if err := do(x, s); !errors.Is(err, coatcheck.ErrCommitted) {
					t.Errorf("after the answer has started: %v, want ErrCommitted", err)
				}
			}
			return nil
		})
		x.wantNoCookie()
		b.wantUser("alice")
		if n := srv.events.count(coatcheck.KindRotated); n != 0 {
			t.Errorf("%d rotations", n)
		}
	})
}

// The first request with a new secret records that it was seen. What it writes
// after its response has started is sealed under the session's own key still.
func TestRule5WriteAfterTheNewSecretWasSeen(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		_, b := rotating(t, open())
		b.must(rotate)
		b.must(func(x *exchange, s *coatcheck.Session) error {
			textKey.Get(s)
			x.writer.WriteHeader(http.StatusOK)
			return s.Update(ctx, func() error { return textKey.Set(s, "written late") })
		})
		b.wantText("written late")
	})
}

// However often a request draws a new secret, a parallel request with the one
// that the browser has is late and no alarm.
func TestRule5SecretDrawnTwiceInOneRequest(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, first := range map[string]serve{
			"re-authentication": reauthenticate, "rotation": rotate, "change of credentials": changeCredentials,
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, open())
				alice := srv.signedIn("alice")
				srv.clock.advance(5 * time.Minute)
				x := alice.begin(func(x *exchange, s *coatcheck.Session) error {
					if err := first(x, s); err != nil {
						return err
					}
					return s.CredentialsChanged(ctx)
				}).wantStatus(http.StatusOK)
				alice.begin(write("late")).wantStatus(http.StatusConflict).wantNoCookie()
				if n := srv.events.count(coatcheck.KindForgedToken) + srv.events.count(coatcheck.KindRetiredToken); n != 0 {
					t.Errorf("%d alarms", n)
				}
				x.deliver()
				alice.wantUser("alice")
				alice.wantText("")
			})
		}
	})
}
