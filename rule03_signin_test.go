package coatcheck_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// A cookie that an attacker knows before the sign-in is worthless after it, on
// every way to sign in: the session has a new id and a new secret. F-05, F-32,
// F-33, F-34.
func TestRule3PlantedCookieIsWorthless(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name   string
			before serve // what the attacker does in the browser whose cookie is planted
			signIn serve
			keeps  bool // the id
		}{
			{"anonymous session", write("planted"), signIn("alice"), false},
			{"anonymous session, data dropped", write("planted"), signIn("alice", coatcheck.DropData()), false},
			{"remembered", write("planted"), signIn("alice", coatcheck.Remember(24*time.Hour)), false},
			{"attacker's own session", signIn("mallory"), signIn("alice"), false},
			{"the user's own session", signIn("alice"), signIn("alice"), false},
			{"step-up", signIn("alice"), reauthenticate, true},
			{"step-up to a level", signIn("alice"), func(_ *exchange, s *coatcheck.Session) error {
				return s.Reauthenticate(ctx, coatcheck.AtLevel(2))
			}, true},
			{"password change", signIn("alice"), changeCredentials, true},
			{"sign-in, then step-up", write("planted"), func(x *exchange, s *coatcheck.Session) error {
				return errors.Join(s.SignIn(ctx, "alice"), s.Reauthenticate(ctx))
			}, false},
			{"sign-out, then sign-in", signIn("mallory"), func(x *exchange, s *coatcheck.Session) error {
				return errors.Join(s.End(ctx), s.SignIn(ctx, "alice"))
			}, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open())
				attacker := srv.browser()
				attacker.must(c.before)
				victim := attacker.stolen() // has the planted cookie
				id := victim.look().ID()
				victim.must(c.signIn)
				victim.wantUser("alice")
				if victim.cookies[visitCookie] != "" {
					t.Error("the cookie of the session before is left in the browser")
				}
				if kept := victim.look().ID() == id; kept != c.keeps {
					t.Errorf("the id was kept: %t, want %t", kept, c.keeps)
				}
				for range 2 { // while it is known to be late, and after
					if attacker.do(write("attack")).sets(signedInCookie) {
						t.Error("the attacker got a cookie of a sign-in")
					}
					attacker.wantUser("")
					srv.clock.advance(31 * time.Second)
					if text, _ := textKey.Get(victim.look()); text == "attack" {
						t.Error("the attacker wrote into the victim's session")
					}
					delete(attacker.cookies, visitCookie)
				}
				victim.wantUser("alice")
			})
		}
	})
}

// A token that was not issued here is never adopted, on any path, nor is the
// token of a session that is gone. F-30, F-31.
func TestRule3ForeignTokensAreNotAdopted(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		elsewhere := newServer(t, open()).signedIn("alice")
		for _, c := range []struct {
			name string
			do   serve
			user string
		}{
			{"read", read, ""}, {"write", write("x"), ""}, {"sign-in", signIn("alice"), "alice"},
			{"sign-out", signOut, ""}, {"rotate", rotate, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open())
				b := elsewhere.stolen().at(srv)
				planted := b.cookies[signedInCookie]
				b.do(c.do)
				if name := c.name; name != "sign-in" && b.cookies[signedInCookie] != planted {
					t.Error("the browser's cookie was changed")
				} else if name == "sign-in" && b.cookies[signedInCookie] == planted {
					t.Error("the planted cookie was adopted")
				}
				b.wantUser(c.user)
				b.cookies = map[string]string{signedInCookie: planted, visitCookie: planted}
				if s := b.look(); s.SignedIn() || !s.ID().IsZero() {
					t.Error("the planted cookie opens a session")
				}
			})
		}
	})
}

// Data is carried from an anonymous session or one of the same user, never from
// another user's.
func TestRule3DataIsCarried(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name    string
			before  string
			options []coatcheck.SignInOption
			want    string
		}{
			{"anonymous", "", nil, "stored"},
			{"same user", "alice", nil, "stored"},
			{"other user", "bob", nil, ""},
			{"anonymous, dropped", "", []coatcheck.SignInOption{coatcheck.DropData()}, ""},
			{"same user, dropped", "alice", []coatcheck.SignInOption{coatcheck.DropData()}, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				b := newServer(t, open()).browser()
				b.must(write("stored"))
				if c.before != "" {
					b.must(signIn(c.before))
				}
				x := b.begin(func(x *exchange, s *coatcheck.Session) error {
					if err := otherKey.Set(s, "gathered"); err != nil {
						return err
					}
					x.pause()
					return s.SignIn(ctx, "alice", c.options...)
				})
				meanwhile := b.do(func(_ *exchange, s *coatcheck.Session) error { return add(s, "meanwhile") })
				meanwhile.wantStatus(http.StatusOK)
				x.run().wantStatus(http.StatusOK).deliver()
				b.wantUser("alice")
				b.wantText(c.want)
				gathered, _ := otherKey.Get(b.look())
				list, _ := listKey.Get(b.look())
				if carried := c.want != ""; (gathered != "") != carried || (len(list) > 0) != carried {
					t.Errorf("gathered %q and written meanwhile %v, want them carried: %t", gathered, list, carried)
				}
			})
		}
	})
}

// What other requests wrote into the anonymous session while a password was
// being verified, and were told is stored, is in the signed-in session: also
// between any two steps of the sign-in itself.
func TestRule3WritesDuringSignInAreKept(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for range 20 {
			b := newServer(t, open()).browser()
			b.must(write("first visit"))
			x := b.begin(late(signIn("alice")))
			var kept []string
			stored := make([]bool, 30)
			err := parallel(len(stored)+1, func(i int) error {
				if i == len(stored) {
					return x.run().err
				}
				y := b.stolen().begin(func(_ *exchange, s *coatcheck.Session) error {
					return add(s, string(rune('A'+i)))
				})
				stored[i] = y.status() == http.StatusOK
				if y.status() == http.StatusConflict {
					return nil // came after it, and was told so
				}
				return y.err
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, ok := range stored {
				if ok {
					kept = append(kept, string(rune('A'+i)))
				}
			}
			x.deliver()
			b.wantUser("alice")
			b.wantText("first visit")
			b.wantItems(kept...)
		}
	})
}

// The session that a sign-in replaces is known to be late for 30 seconds, and
// dead after that: neither is an alarm, neither gets a cookie of a sign-in.
func TestRule3ReplacedSessionIsLateThenDead(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name   string
			before serve
			by     serve
		}{
			{"anonymous, sign-in", write("x"), signIn("alice")},
			{"sign-in", signIn("alice"), signIn("alice")},
			{"re-authentication", signIn("alice"), reauthenticate},
			{"re-authentication, then sign-in", signIn("alice"), func(x *exchange, s *coatcheck.Session) error {
				return errors.Join(s.Reauthenticate(ctx), s.SignIn(ctx, "alice"))
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open())
				b := srv.browser()
				b.must(c.before)
				old := b.stolen()
				b.must(c.by)
				srv.clock.advance(30*time.Second - time.Microsecond)
				old.do(write("late")).wantStatus(http.StatusConflict).wantNoCookie()
				old.do(signOut).wantStatus(http.StatusConflict).wantNoCookie()
				old.do(signIn("alice")).wantStatus(http.StatusConflict).wantNoCookie()
				old.do(read).wantStatus(http.StatusOK).wantNoCookie()
				if n := srv.events.count(coatcheck.KindForgedToken); n != 0 {
					t.Errorf("%d alarms about forgery by requests that were late", n)
				}
				srv.clock.advance(time.Microsecond)
				x := old.do(write("too late"))
				if x.wantStatus(http.StatusOK); x.sets(signedInCookie) {
					t.Error("a dead token is answered with a cookie")
				}
				if s := old.look(); s.SignedIn() {
					t.Error("a dead token is signed in")
				}
				b.wantUser("alice")
				if n := srv.events.count(coatcheck.KindRetiredToken); n != 0 {
					t.Errorf("%d alarms about reuse", n)
				}
			})
		}
	})
}

// Re-authentication and a change of credentials succeed only for a request that
// came with the current secret.
func TestRule3OnlyTheCurrentSecretReauthenticates(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for name, do := range map[string]serve{"re-authentication": reauthenticate, "password change": changeCredentials} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, open())
				b := srv.signedIn("alice")
				srv.clock.advance(2 * time.Minute)
				previous := b.stolen()
				underWay := b.begin(late(do))
				b.must(rotate)
				previous.must(write("still good"))
				previous.do(do).wantStatus(http.StatusConflict).wantNoCookie()
				underWay.run().wantStatus(http.StatusConflict).wantNoCookie()
				b.must(do)
				b.wantUser("alice")
			})
		}
	})
}

// Nothing raises the level of a session but a proof, and a weaker proof makes
// nothing of a stronger one fresher.
func TestRule3OnlyProofRaisesTheLevel(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice")
		step := func(n int) serve {
			return func(_ *exchange, s *coatcheck.Session) error { return s.Reauthenticate(ctx, coatcheck.AtLevel(n)) }
		}
		for i, c := range []struct {
			do    serve
			level int
			fresh bool // proven now
		}{
			{step(2), 2, true},
			{write("x"), 2, false},
			{rotate, 2, false},
			{step(1), 2, false},
			{changeCredentials, 2, false},
			{step(2), 2, true},
			{step(3), 3, true},
			{reauthenticate, 3, false},
			{signIn("alice"), 1, true},
		} {
			srv.clock.advance(2 * time.Minute)
			absolute := b.look().Info().Absolute
			b.must(c.do)
			s := b.look()
			if s.Level() != c.level || s.Fresh(0) != c.fresh {
				t.Errorf("step %d: level %d, fresh %t; want %d, %t", i, s.Level(), s.Fresh(0), c.level, c.fresh)
			}
			if moved := !s.Info().Absolute.Equal(absolute); moved != c.fresh { // F-14
				t.Errorf("step %d: the absolute limit moved: %t, want %t", i, moved, c.fresh)
			}
		}
	})
}

// The session that a sign-in replaces does not count towards the limit, so that
// a user at the limit can sign in again where they are.
func TestRule3ReplacedSessionDoesNotCount(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject, c.AtLimit = 1, coatcheck.RefuseSignIn })
		b := srv.signedIn("alice")
		b.must(signIn("alice"))
		b.wantUser("alice")
		if n := srv.live("alice"); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
		srv.browser().do(signIn("alice")).wantStatus(http.StatusConflict).wantNoCookie()
	})
}

// orders are all orders in which three answers can arrive.
var orders = [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// Nobody is signed out by an answer to somebody else's request, nor by an old
// one of their own, in whatever order answers arrive.
func TestRule3OldAnswersSignNobodyOut(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name    string
			before  serve // nil: the first visit
			others  [2]serve
			residue bool // see below
		}{
			{"late fetch of a superseded session", write("cart"), [2]serve{write("late"), read}, false},
			{"late fetch of a signed-in session", signIn("alice"), [2]serve{write("late"), read}, false},
			{"first visit with tracking requests", nil, [2]serve{write("tracked"), write("tracked too")}, false},
			{"double click", write("cart"), [2]serve{signIn("alice"), read}, false},
			{"double click on the first visit", nil, [2]serve{signIn("alice"), read}, false},
			{"sign-in in two tabs", signIn("alice"), [2]serve{signIn("alice"), write("late")}, false},
			{"step-up in another tab", signIn("alice"), [2]serve{reauthenticate, write("late")}, false},
			{"rotation in another tab", signIn("alice"), [2]serve{rotate, rotate}, true},
			{"sign-out of the session before", signIn("alice"), [2]serve{signOut, write("late")}, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, finish := range orders {
					for _, arrive := range orders {
						srv := newServer(t, open())
						b := srv.browser()
						if c.before != nil {
							b.must(c.before)
							srv.clock.advance(2 * time.Minute)
						}
						sent := []*exchange{b.begin(late(signIn("alice"))), b.begin(late(c.others[0])), b.begin(late(c.others[1]))}
						for _, i := range finish {
							sent[i].run()
						}
						if sent[0].status() != http.StatusOK || c.residue && residue(sent, finish, arrive) {
							continue
						}
						for _, i := range arrive {
							sent[i].deliver()
						}
						if b.wantUser("alice"); t.Failed() {
							t.Fatalf("finished in the order %v, answered in the order %v", finish, arrive)
						}
					}
				}
			})
		}
	})
}

// residue reports whether an answer that changes the cookie was made before
// that of the sign-in, and arrives after it.
func residue(sent []*exchange, finish, arrive [3]int) bool {
	for i := 1; i < len(sent); i++ {
		made, arrived := slices.Index(finish[:], i), slices.Index(arrive[:], i)
		if sent[i].sets(signedInCookie) && made < slices.Index(finish[:], 0) && arrived > slices.Index(arrive[:], 0) {
			return true
		}
	}
	return false
}

// The residue: of two answers that change the cookie of a sign-in, the browser
// keeps what arrives last. If that is the answer to an earlier sign-out or
// rotation of the session before, the new cookie is gone. The new session lives
// on until it runs out or is ended from elsewhere.
func TestRule3LateAnswerIsTheResidue(t *testing.T) {
	for name, do := range map[string]serve{"sign-out": signOut, "rotation": rotate} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, memory())
			b := srv.signedIn("alice")
			srv.clock.advance(2 * time.Minute)
			earlier := b.begin(do)
			b.must(signIn("alice"))
			earlier.deliver()
			b.wantUser("")
			if n := srv.live("alice"); n != 1 {
				t.Errorf("%d sessions, want the new one", n)
			}
		})
	}
}

// A form on another site cannot write into a visitor's session, start one, or
// replace or end a sign-in, whether or not the cookie comes along.
func TestRule3OtherSitesCannotReplaceASignIn(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name   string
			do     serve
			listed bool // in CrossSite
			cookie bool
			status int
		}{
			{"write", write("x"), false, false, http.StatusForbidden},
			{"write with cookie", write("x"), false, true, http.StatusForbidden},
			{"sign-in", signIn("mallory"), false, false, http.StatusForbidden},
			{"sign-in with cookie", signIn("mallory"), false, true, http.StatusForbidden},
			{"sign-out", signOut, false, true, http.StatusForbidden},
			{"write, listed", write("x"), true, false, http.StatusForbidden},
			{"write with cookie, listed", write("x"), true, true, http.StatusForbidden},
			{"sign-in, listed", signIn("mallory"), true, false, http.StatusForbidden},
			{"sign-in with cookie, listed", signIn("mallory"), true, true, http.StatusForbidden},
			{"sign-out, listed", signOut, true, true, http.StatusForbidden},
			{"read, listed", read, true, true, http.StatusOK},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open(), func(config *coatcheck.Config) {
					if c.listed {
						config.CrossSite = []string{"POST /"}
					}
				})
				b := srv.signedIn("alice")
				forged := b.stolen()
				if !c.cookie {
					clear(forged.cookies)
				}
				forged.otherSite = true
				answer := forged.begin(c.do).wantStatus(c.status).wantNoCookie()
				if c.listed && answer.session.SignedIn() {
					t.Error("another site's request has the visitor's session")
				}
				b.wantUser("alice")
				b.wantText("")
			})
		}
	})
}

// A proof that is no newer than the last one, as an identity provider gives
// that did not ask again, neither freshens nor prolongs the session
// (ASVS-7.6.1, NIST-63C-4.7-b).
func TestRule3AnOldProofProlongsNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		began := srv.clock.Now()
		b := srv.signedIn("alice", coatcheck.AtLevel(2))
		srv.clock.advance(20 * time.Minute)
		prove := func(options ...coatcheck.SignInOption) coatcheck.Info {
			b.must(func(_ *exchange, s *coatcheck.Session) error { return s.Reauthenticate(ctx, options...) })
			return b.look().Info()
		}
		before := b.look().Info()
		for _, at := range []time.Time{began.Add(-time.Hour), began} {
			after := prove(coatcheck.AtLevel(2), coatcheck.AuthenticatedAt(at))
			if !after.Absolute.Equal(before.Absolute) || !after.AuthenticatedAt.Equal(before.AuthenticatedAt) || after.Level != 2 {
				t.Errorf("a proof of %v before makes\n%+v of\n%+v", began.Sub(at), after, before)
			}
		}
		later := began.Add(10 * time.Minute)
		if after := prove(coatcheck.AtLevel(2), coatcheck.AuthenticatedAt(later)); !after.Absolute.After(before.Absolute) || !after.AuthenticatedAt.Equal(later) {
			t.Errorf("a newer proof makes %+v of %+v", after, before)
		}
		if after := prove(coatcheck.AtLevel(3), coatcheck.AuthenticatedAt(began)); after.Level != 3 || !after.AuthenticatedAt.Equal(began) {
			t.Errorf("a stronger proof makes %+v", after)
		}
	})
}

// What a session cannot be is refused, and nobody is signed in (CK-34: browsers
// keep no cookie longer than 400 days).
func TestRule3OptionsOutOfBoundsAreRefused(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		profile coatcheck.Profile
		option  coatcheck.SignInOption
		good    bool
	}{
		"level 0":                   {option: coatcheck.AtLevel(0)},
		"a negative level":          {option: coatcheck.AtLevel(-1)},
		"level 255":                 {option: coatcheck.AtLevel(255), good: true},
		"level 256":                 {option: coatcheck.AtLevel(256)},
		"400 days":                  {option: coatcheck.Remember(400 * day), good: true},
		"longer than browsers":      {option: coatcheck.Remember(400*day + 1)},
		"a negative time":           {option: coatcheck.Remember(-1)},
		"30 days at AAL1":           {profile: coatcheck.NISTAAL1, option: coatcheck.Remember(30 * day), good: true},
		"longer than AAL1":          {profile: coatcheck.NISTAAL1, option: coatcheck.Remember(30*day + 1)},
		"longer than AAL2":          {profile: coatcheck.NISTAAL2, option: coatcheck.Remember(day + 1)},
		"longer than AAL3":          {profile: coatcheck.NISTAAL3, option: coatcheck.Remember(12*time.Hour + 1)},
		"a proof a moment from now": {option: coatcheck.AuthenticatedAt(newHandClock().now.Add(5 * time.Second)), good: true},
		"a proof of no time":        {option: coatcheck.AuthenticatedAt(time.Time{})},
		"a proof of the future":     {option: coatcheck.AuthenticatedAt(newHandClock().now.Add(5*time.Second + 1))},
	} {
		srv := newServer(t, memory(), func(config *coatcheck.Config) { config.Profile = c.profile })
		r, w := srv.browser().request(ctx), httptest.NewRecorder()
		r.Method = http.MethodGet // for which no profile asks for a token
		var err error
		srv.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			err = s.SignIn(r.Context(), "alice", c.option)
			return err
		}).ServeHTTP(w, r)
		list, _ := srv.List(ctx, "alice")
		if (err == nil) != c.good || (len(w.Header()["Set-Cookie"]) == 1) != c.good || (len(list) == 1) != c.good {
			t.Errorf("%s: %v, %d sessions", name, err, len(list))
		}
		if c.good && list[0].AuthenticatedAt.After(srv.clock.Now()) {
			t.Errorf("%s: proved in the future", name)
		}
	}
}
