package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// The limit of a user's sessions holds exactly, however many sign in at once;
// one of the policies ends the least recently seen, the other refuses. F-17,
// F-18.
func TestRule12LimitHoldsUnderParallelSignIns(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		const limit, sessions = 5, 50
		for name, policy := range map[string]coatcheck.AtLimit{"evict": coatcheck.EvictOldest, "refuse": coatcheck.RefuseSignIn} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject, c.AtLimit = limit, policy })
				browsers := make([]*browser, sessions)
				refused := make([]bool, sessions)
				err := parallel(sessions, func(i int) error {
					browsers[i] = srv.browser()
					err := browsers[i].do(signIn("alice")).err
					if refused[i] = errors.Is(err, coatcheck.ErrTooManySessions); refused[i] && policy == coatcheck.RefuseSignIn {
						return nil
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				signedIn := 0
				for i, b := range browsers {
					if b.look().SignedIn() {
						signedIn++
					} else if !refused[i] && policy == coatcheck.RefuseSignIn {
						t.Error("a sign-in that was answered with success is gone")
					}
				}
				if n := srv.live("alice"); n != limit || signedIn != limit {
					t.Errorf("%d sessions are listed and %d browsers are signed in, want %d", n, signedIn, limit)
				}
				if n := srv.events.count(coatcheck.KindEnded, coatcheck.ReasonEvicted); policy == coatcheck.EvictOldest && n != sessions-limit {
					t.Errorf("%d events say that one was evicted, want %d", n, sessions-limit)
				}
			})
		}
	})
}

// At the limit it is the least recently seen session that goes.
func TestRule12LeastRecentlySeenIsEvicted(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), func(c *coatcheck.Config) { c.MaxPerSubject = 2 })
		oldest := srv.signedIn("alice")
		srv.clock.advance(2 * time.Minute)
		idle := srv.signedIn("alice")
		srv.clock.advance(2 * time.Minute)
		oldest.must(read)
		srv.clock.advance(2 * time.Minute)
		srv.signedIn("alice").wantUser("alice")
		oldest.wantUser("alice")
		idle.wantUser("")
	})
}

// Whoever ends a user's sessions ends those too whose sign-in is under way: a
// password change cannot be outrun by a sign-in with the old password. F-20.
func TestRule12EndingCannotBeOutrun(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for _, c := range []struct {
			name string
			end  func(srv *server, owner *browser) error
			all  bool // of all users
		}{
			{"password change", func(_ *server, owner *browser) error { return owner.do(changeCredentials).err }, false},
			{"end others", func(_ *server, owner *browser) error { return owner.do(endOthers).err }, false},
			{"operator", func(srv *server, _ *browser) error { _, err := srv.EndSubject(ctx, "alice"); return err }, false},
			{"all", func(srv *server, _ *browser) error { _, err := srv.EndAll(ctx); return err }, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				srv := newServer(t, open())
				owner, thief := srv.signedIn("alice"), srv.browser()
				thief.must(write("a session of the thief's own"))
				bob := srv.browser()
				began := []*exchange{thief.begin(late(signIn("alice"))), srv.browser().begin(late(signIn("alice")))}
				bobs := bob.begin(late(signIn("bob")))
				srv.clock.advance(time.Second)
				if err := c.end(srv, owner); err != nil {
					t.Fatal(err)
				}
				sessions := srv.live("alice")
				srv.clock.advance(time.Minute)
				for _, x := range began {
					x.run().wantNoCookie()
					if !errors.Is(x.err, coatcheck.ErrEnded) {
						t.Errorf("a sign-in from before was told %v, want ErrEnded", x.err)
					}
				}
				if n := srv.live("alice"); n != sessions {
					t.Errorf("%d sessions, want %d", n, sessions)
				}
				bobs.run().deliver()
				bob.wantUser(map[bool]string{false: "bob", true: ""}[c.all])
				srv.browser().must(signIn("alice")) // who begins now is welcome
			})
		}
	})
}

// A change of credentials kills every other session and the old cookie, and
// leaves the one in whose hands it was made. A thief with the old cookie, who
// goes on trying, never signs the owner out. F-19, F-20, F-21.
func TestRule12CredentialsChanged(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		owner, phone, bob := srv.signedIn("alice"), srv.signedIn("alice"), srv.signedIn("bob")
		thief := owner.stolen()
		owner.must(changeCredentials)
		for range 20 {
			srv.clock.advance(10 * time.Second)
			for _, b := range []*browser{thief, phone} {
				if b.do(write("x")).sets(signedInCookie) {
					t.Error("the old cookie was answered with a better one")
				}
				b.wantUser("")
			}
			thief.do(signOut)
			thief.do(endOthers)
			owner.wantUser("alice")
			bob.wantUser("bob")
		}
		if n := srv.live("alice"); n != 1 {
			t.Errorf("%d sessions, want the owner's", n)
		}
	})
}

// A session ends another of the same user by its id, and no other: not another
// user's, not that of another manager on the store, not an anonymous one.
func TestRule12SessionsEndTheirOwnUsersAlone(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		admin := srv.another(func(c *coatcheck.Config) { c.Name = "admin" })
		b, phone, bob := srv.signedIn("alice"), srv.signedIn("alice"), srv.signedIn("bob")
		visitor := srv.browser()
		visitor.must(write("x"))
		adminAlice := admin.signedIn("alice")
		end := func(other *browser) serve {
			id := other.look().ID()
			return func(_ *exchange, s *coatcheck.Session) error { return s.EndOther(ctx, id) }
		}
		for _, other := range []*browser{bob, adminAlice, visitor} {
			if x := b.do(end(other)); !errors.Is(x.err, coatcheck.ErrNotFound) {
				t.Errorf("ending somebody else's session: %v, want ErrNotFound", x.err)
			}
			if x := visitor.do(end(other)); other != visitor && !errors.Is(x.err, coatcheck.ErrNotSignedIn) {
				t.Errorf("ending a session without being signed in: %v, want ErrNotSignedIn", x.err)
			}
		}
		b.must(end(phone))
		b.must(endOthers)
		phone.wantUser("")
		b.wantUser("alice")
		bob.wantUser("bob")
		adminAlice.wantUser("alice")
		if x := b.do(end(b)).wantStatus(http.StatusOK); !x.sets(signedInCookie) {
			t.Error("ending the own session by its id leaves the cookie")
		}
		b.wantUser("")
	})
}

// Two managers of different names on one store: the token of one is a forgery
// under the other, and lists, limits and ends are apart.
func TestRule12ManagersAreApart(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		limit := func(c *coatcheck.Config) { c.MaxPerSubject, c.AtLimit = 1, coatcheck.RefuseSignIn }
		srv := newServer(t, open(), limit)
		admin := srv.another(limit, func(c *coatcheck.Config) { c.Name = "admin" })
		b, a := srv.signedIn("alice"), admin.signedIn("alice") // one each is allowed
		swapped := admin.browser()
		swapped.cookies["__Host-admin"] = b.cookies[signedInCookie]
		swapped.wantUser("")
		swapped.do(write("x"))
		if n := admin.events.count(coatcheck.KindForgedToken, coatcheck.ReasonWrongSecret); n == 0 {
			t.Error("no event says that a token was forged")
		}
		b.wantUser("alice")
		if srv.live("alice") != 1 || admin.live("alice") != 1 {
			t.Errorf("the lists have %d and %d sessions, want 1 each", srv.live("alice"), admin.live("alice"))
		}
		if _, err := admin.Lookup(ctx, b.look().ID()); !errors.Is(err, coatcheck.ErrNotFound) {
			t.Errorf("the session is found under another name: %v", err)
		}
		if _, err := admin.EndSubject(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		a.wantUser("")
		b.wantUser("alice")
	})
}

// What is ended by id is gone with the next request, in every process. F-19.
func TestRule12EndActsOnEveryProcess(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open())
		b := srv.signedIn("alice").at(srv.another())
		b.must(read)
		if n, err := srv.End(ctx, b.look().ID(), coatcheck.ID{1}); n != 1 || err != nil {
			t.Errorf("End: %d, %v; want 1", n, err)
		}
		b.wantUser("")
		if n := srv.live("alice"); n != 0 {
			t.Errorf("%d sessions are listed", n)
		}
	})
}

// Lists and ends of a user ask the index, and never walk over all sessions.
// F-83.
func TestRule12ListsDoNotScan(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		st, faults := storetest.Faulty(open())
		srv := newServer(t, st)
		b := srv.signedIn("alice")
		for range 3 {
			srv.signedIn("alice")
			srv.signedIn("bob")
		}
		b.must(func(_ *exchange, s *coatcheck.Session) error {
			if n := srv.live("alice"); n != 4 {
				t.Errorf("%d sessions are listed, want 4", n)
			}
			n, err := s.EndOthers(ctx)
			if n != 3 {
				t.Errorf("%d were ended, want 3", n)
			}
			return err
		})
		if _, err := srv.EndSubject(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if n := faults.Calls(storetest.All); n != 0 {
			t.Errorf("all sessions were walked over %d times", n)
		}
	})
}

// An empty subject is an error everywhere.
func TestRule12EmptySubjectIsAnError(t *testing.T) {
	srv := newServer(t, memory())
	visitor := srv.browser()
	visitor.must(write("x"))
	for name, call := range map[string]func(*coatcheck.Session) error{
		"SignIn":     func(s *coatcheck.Session) error { return s.SignIn(ctx, "") },
		"List":       func(*coatcheck.Session) error { _, err := srv.List(ctx, ""); return err },
		"EndSubject": func(*coatcheck.Session) error { _, err := srv.EndSubject(ctx, ""); return err },
		"EndOthers":  func(s *coatcheck.Session) error { _, err := s.EndOthers(ctx); return err },
	} {
		if x := visitor.do(func(_ *exchange, s *coatcheck.Session) error { return call(s) }); x.err == nil {
			t.Errorf("%s without a subject succeeded", name)
		}
	}
	visitor.wantText("x")
}

// lateMarks is a store of several machines: a mark stands ClockTolerance after
// the time at which it was made.
type lateMarks struct{ store.Store }

func (l lateMarks) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	if !terms.Began.IsZero() {
		terms.Began = terms.Began.Add(-store.ClockTolerance)
	}
	return l.Store.Create(ctx, rec, terms, now)
}

// waysToEnd are those in which a request ends a user's sessions.
var waysToEnd = []struct {
	name     string
	signedIn bool
	end      func(sessions *coatcheck.Manager, r *http.Request, s *coatcheck.Session) error
}{
	{"EndSubject", false, func(sessions *coatcheck.Manager, r *http.Request, _ *coatcheck.Session) error {
		_, err := sessions.EndSubject(r.Context(), "alice")
		return err
	}},
	{"EndOthers", true, func(_ *coatcheck.Manager, _ *http.Request, s *coatcheck.Session) error { return endOthers(nil, s) }},
	{"CredentialsChanged", true, func(_ *coatcheck.Manager, r *http.Request, s *coatcheck.Session) error {
		return s.CredentialsChanged(r.Context())
	}},
}

// endThenSignIn is one request, which ends alice's sessions in the way of that
// number and signs alice in. What is between runs between the two.
func (b *browser) endThenSignIn(way int, between func()) *exchange {
	b.t.Helper()
	if waysToEnd[way].signedIn {
		b.must(signIn("alice"))
	}
	x := &exchange{browser: b, answer: httptest.NewRecorder(), done: make(chan struct{})}
	b.server.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if x.err = waysToEnd[way].end(b.server.Manager, r, s); x.err == nil {
			between()
			x.err = s.SignIn(r.Context(), "alice")
		}
		return x.err
	}).ServeHTTP(x.answer, b.request(ctx))
	close(x.done)
	return x.deliver()
}

// storesByMarks are a store inside the process and one outside it that compare
// marks exactly, and one that adds to them.
var storesByMarks = map[string]func() store.Store{
	"in memory":           memory,
	"sealed":              sealed,
	"of several machines": func() store.Store { return lateMarks{sealed()} },
}

// Who ends a user's sessions and signs the user in, in one request, is signed
// in: as a form for a new password does.
func TestRule12SignInAfterEndingInOneRequest(t *testing.T) {
	for marks, open := range storesByMarks {
		for i, way := range waysToEnd {
			t.Run(marks+" "+way.name, func(t *testing.T) {
				srv := newServer(t, open())
				phone, b := srv.signedIn("alice"), srv.browser()
				b.endThenSignIn(i, func() {}).wantStatus(http.StatusOK)
				b.wantUser("alice")
				phone.wantUser("")
			})
		}
	}
}

// Such a sign-in does not outrun whoever else ends the user's sessions after
// the request has: neither soon after it has returned from that, nor while it
// waits for the store.
func TestRule12SignInAfterEndingOutrunsNobodyElse(t *testing.T) {
	for marks, open := range storesByMarks {
		for i, way := range waysToEnd {
			for _, later := range []time.Duration{time.Microsecond, time.Second, store.ClockTolerance} {
				t.Run(marks+" "+way.name+" "+later.String(), func(t *testing.T) {
					wantOutrunsNobody(t, open(), i, func(_ *storetest.Faults, endToo func()) func() {
						return endToo
					}, later)
				})
				t.Run(marks+" "+way.name+" meanwhile "+later.String(), func(t *testing.T) {
					wantOutrunsNobody(t, open(), i, func(faults *storetest.Faults, endToo func()) func() {
						faults.After(storetest.DeleteSubject, func(_ context.Context, err error) error {
							endToo()
							return err
						})
						return func() {}
					}, later)
				})
			}
		}
	}
}

// wantOutrunsNobody has an operator end alice's sessions later than a request,
// which then cannot sign alice in. arrange sees to it that endToo is called, or
// returns it to be called between.
func wantOutrunsNobody(t *testing.T, st store.Store, way int, arrange func(_ *storetest.Faults, endToo func()) (between func()), later time.Duration) {
	operator := newServer(t, st)
	faulty, faults := storetest.Faulty(st)
	srv := &server{t: t, store: faulty, clock: operator.clock}
	srv.start(nil)
	between := arrange(faults, func() {
		operator.clock.advance(later)
		if _, err := operator.EndSubject(ctx, "alice"); err != nil {
			t.Error(err)
		}
		operator.clock.advance(time.Microsecond)
	})
	b := srv.browser()
	if x := b.endThenSignIn(way, between); !errors.Is(x.err, coatcheck.ErrEnded) {
		t.Errorf("the request returned %v, want ErrEnded", x.err)
	}
	b.wantUser("")
	if n := operator.live("alice"); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
