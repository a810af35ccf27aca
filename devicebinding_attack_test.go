package coatcheck_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// answers counts the statuses of requests that are sent at the same time.
func answers(n int, send func(i int) *exchange) (statuses map[int]int, good *exchange) {
	statuses = map[int]int{}
	var mu sync.Mutex
	var sending sync.WaitGroup
	for i := range n {
		sending.Go(func() {
			x := send(i)
			mu.Lock()
			defer mu.Unlock()
			if statuses[x.status()]++; x.status() == http.StatusOK {
				good = x
			}
		})
	}
	sending.Wait()
	return statuses, good
}

// A proof that was overheard on its way is worth nothing, however quick the
// thief is: of all who send it, one gets a cookie.
func TestAProofSentByManyAtOnceIsGoodOnce(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		const senders = 12
		srv := newServer(t, open(), binds(dbsc.Prefer))
		d := srv.bound("alice")
		overheard := d.refreshing()
		statuses, good := answers(senders, func(int) *exchange { return d.without(signedInCookie).send("refresh", overheard) })
		if statuses[http.StatusOK] != 1 || statuses[http.StatusForbidden] != senders-1 {
			t.Fatalf("answered %v, want one 200 and the rest 403", statuses)
		}
		d.take(good)
		d.refresh().wantStatus(http.StatusOK)
		d.wantUser("alice")
	})
}

// An offer that leaked binds one key: whoever comes second, at the same moment
// too, is refused, and cannot renew.
func TestAnOfferTakenUpByManyAtOnceBindsOneKey(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		const devices = 12
		srv := newServer(t, open(), binds(dbsc.Prefer))
		owner := srv.signedInDevice("alice")
		all := make([]*device, devices)
		for i := range all {
			all[i] = srv.device()
			all[i].offered = owner.offered
		}
		statuses, good := answers(devices, func(i int) *exchange { return all[i].register() })
		if statuses[http.StatusOK] != 1 || statuses[http.StatusBadRequest] != devices-1 {
			t.Fatalf("answered %v, want one 200 and the rest 400", statuses)
		}
		winner := good.browser
		told := challengeForm.FindStringSubmatch(good.answer.Header().Get(dbsc.HeaderChallenge))
		for _, d := range all {
			if d.browser == winner {
				continue
			}
			d.name, d.challenge = told[2], told[1]
			d.send("refresh", d.refreshing()).wantStatus(http.StatusBadRequest).wantNoCookie()
		}
		if n := srv.events.count(coatcheck.KindBound); n != 1 {
			t.Errorf("%d events tell of a binding", n)
		}
	})
}

// Whoever has a device and a session of her own gains nothing by them for
// another's.
func TestAnotherUsersDeviceRenewsNothing(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	alice, mallory := srv.bound("alice"), srv.bound("mallory")
	carol := srv.signedInDevice("carol") // whose offer is open
	before := srv.record(alice.id()).Version
	signs := func(challenge string) string { return mallory.proof(challenge) }
	for what, c := range map[string]struct {
		sender      *device
		name, proof string
		path        string
		status      int
	}{
		"her proof of alice's challenge":       {mallory.without(signedInCookie), alice.name, signs(alice.challenge), "refresh", 400},
		"her proof, named as alice's":          {mallory.without(signedInCookie), alice.name, signs(mallory.challenge), "refresh", 400},
		"the same beside alice's cookie":       {alice.without(), alice.name, signs(alice.challenge), "refresh", 400},
		"hers beside alice's cookie":           {alice.without(), mallory.name, signs(mallory.challenge), "refresh", 400},
		"a registration by alice's name":       {mallory.without(signedInCookie), "", signs(alice.name + ":" + alice.challenge), "register", 400},
		"a registration by alice's challenge":  {mallory.without(signedInCookie), "", signs(alice.challenge), "register", 400},
		"a registration by carol's name":       {mallory.without(signedInCookie), "", signs(carol.id().String() + ":" + mallory.offered[33:]), "register", 400},
		"a registration of a session of zeros": {mallory.without(signedInCookie), "", signs(strings.Repeat("0", 32) + ":x"), "register", 200},
	} {
		x := c.sender.send(c.path, map[string]string{dbsc.HeaderSession: c.name, dbsc.HeaderResponse: c.proof})
		x.wantNoCookie()
		if x.status() != c.status {
			t.Errorf("%s is answered %d %s", what, x.status(), x.answer.Body)
		}
	}
	if srv.record(alice.id()).Version != before {
		t.Error("alice's session was changed")
	}
	for _, d := range []*device{alice, mallory} {
		d.refresh().wantStatus(http.StatusOK)
	}
	alice.wantUser("alice")
	carol.register().wantStatus(http.StatusOK)
}

// What no browser sends is refused before it costs a write, and nothing of it
// is signed, stored or repeated.
func TestWhatNoBrowserSendsIsRefused(t *testing.T) {
	st, faults := storetest.Faulty(memory())
	srv := newServer(t, st, binds(dbsc.Prefer))
	d := srv.bound("alice")
	encode := base64.RawURLEncoding.EncodeToString
	good := strings.Split(d.proof(d.challenge), ".")
	jws := func(header, payload string) string {
		return encode([]byte(header)) + "." + encode([]byte(payload)) + "." + good[2]
	}
	for what, proof := range map[string]string{
		"a megabyte":            strings.Repeat("A", 1<<20),
		"a megabyte of dots":    strings.Repeat(".", 1<<20),
		"nothing in three":      "..",
		"deep arrays":           jws(`{"alg":"ES256","typ":"dbsc+jwt","a":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`, `{"jti":"x"}`),
		"deep objects":          jws(strings.Repeat(`{"a":`, 400)+"1"+strings.Repeat("}", 400), `{"jti":"x"}`),
		"no algorithm":          jws(`{"alg":"none","typ":"dbsc+jwt"}`, `{"jti":"`+d.challenge+`"}`),
		"a shared secret":       jws(`{"alg":"HS256","typ":"dbsc+jwt"}`, `{"jti":"`+d.challenge+`"}`),
		"an algorithm of lists": jws(`{"alg":["ES256"],"typ":"dbsc+jwt"}`, `{"jti":"`+d.challenge+`"}`),
		"two challenges":        jws(`{"alg":"ES256","typ":"dbsc+jwt"}`, `{"jti":"x","jti":"`+d.challenge+`"}`),
		"a challenge of null":   jws(`{"alg":"ES256","typ":"dbsc+jwt"}`, `{"jti":null}`),
		"what is not UTF-8":     "\xff\xfe.\xff.\xff",
		"a signature of zeros":  good[0] + "." + good[1] + "." + encode(make([]byte, 64)),
		"a longer signature":    good[0] + "." + good[1] + "." + encode(make([]byte, 65)),
	} {
		writes := faults.Calls(storetest.Update)
		for path, name := range map[string]string{"refresh": d.name, "register": ""} {
			x := d.send(path, map[string]string{dbsc.HeaderSession: name, dbsc.HeaderResponse: proof}).wantNoCookie()
			if x.status() != http.StatusBadRequest || x.answer.Body.Len() > 100 {
				t.Errorf("%s to %s is answered %d with %d bytes", what, path, x.status(), x.answer.Body.Len())
			}
		}
		if n := faults.Calls(storetest.Update) - writes; n != 0 {
			t.Errorf("%s cost %d writes", what, n)
		}
	}
	for _, name := range []string{strings.Repeat("0", 1<<20), d.name + d.name, d.name + "\x00", "../" + d.name, `"` + d.name} {
		x := d.send("refresh", map[string]string{dbsc.HeaderSession: name, dbsc.HeaderResponse: d.proof(d.challenge)})
		if x.wantNoCookie(); x.status() != http.StatusBadRequest || strings.Contains(x.answer.Body.String(), "0000") {
			t.Errorf("a session named by %d bytes is answered %d", len(name), x.status())
		}
	}
	d.refresh().wantStatus(http.StatusOK)
}

// A page of another site cannot make a browser renew, and what it makes the
// browser send without cookies writes and sets nothing.
func TestAnotherSiteMakesNothingOfTheProtocol(t *testing.T) {
	st, faults := storetest.Faulty(memory())
	srv := newServer(t, st, binds(dbsc.Prefer))
	d := srv.bound("alice")
	writes := faults.Calls(storetest.Update)
	evil := d.without(signedInCookie, boundCookie)
	evil.otherSite = true
	for path, want := range map[string]int{"refresh": http.StatusForbidden, "register": http.StatusBadRequest} {
		x := evil.send(path, map[string]string{dbsc.HeaderSession: d.name, "Origin": "https://evil.example"})
		x.wantStatus(want).wantNoCookie()
		if x.answer.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by another site", path)
		}
	}
	if n := faults.Calls(storetest.Update) - writes; n != 0 {
		t.Errorf("it cost %d writes", n)
	}
	d.refresh().wantStatus(http.StatusOK)
}

// With the session cookie alone a thief can do nothing to the session that
// would outlast him, or cost the owner hers.
func TestWithoutItsProofNoCallChangesTheSession(t *testing.T) {
	everyStore(t, func(t *testing.T, open func() store.Store) {
		srv := newServer(t, open(), binds(dbsc.Prefer), func(c *coatcheck.Config) { c.RotateEvery = 2 * time.Minute })
		d, other := srv.bound("alice"), srv.signedInDevice("alice")
		d.must(write("the coat"))
		srv.clock.advance(3 * time.Minute) // a rotation and a touch are due
		before := srv.record(d.id())
		thief := d.without(boundCookie).browser
		for name, act := range map[string]func(s *coatcheck.Session) error{
			"Touch":              func(s *coatcheck.Session) error { return s.Touch(ctx) },
			"Update":             func(s *coatcheck.Session) error { return s.Update(ctx, func() error { return textKey.Set(s, "x") }) },
			"CredentialsChanged": func(s *coatcheck.Session) error { return s.CredentialsChanged(ctx) },
			"Reauthenticate":     func(s *coatcheck.Session) error { return s.Reauthenticate(ctx, coatcheck.AtLevel(3)) },
			"EndOther":           func(s *coatcheck.Session) error { return s.EndOther(ctx, other.id()) },
			"EndOthers":          func(s *coatcheck.Session) error { _, err := s.EndOthers(ctx); return err },
			"EndOther, itself":   func(s *coatcheck.Session) error { return s.EndOther(ctx, d.id()) },
			"End":                func(s *coatcheck.Session) error { return s.End(ctx) },
			"Delete":             func(s *coatcheck.Session) error { return textKey.Delete(s) },
			"Pop":                func(s *coatcheck.Session) error { _, _, err := textKey.Pop(s); return err },
			"Reload":             func(s *coatcheck.Session) error { return s.Reload(ctx) },
			"CSRFToken":          func(s *coatcheck.Session) error { _, err := s.CSRFToken(); return err },
		} {
			x := thief.begin(func(_ *exchange, s *coatcheck.Session) error {
				err := act(s)
				if text, _ := textKey.Get(s); text != "" || s.SignedIn() || s.Level() != 0 || !s.ID().IsZero() || len(s.Keys()) > 0 {
					t.Errorf("after %s the thief sees %v", name, s)
				}
				return err
			})
			if x.sets(signedInCookie) || x.sets(visitCookie) {
				t.Errorf("%s is answered %d with a cookie", name, x.status())
			}
		}
		if after := srv.record(d.id()); after.Version != before.Version || !after.LastSeen.Equal(before.LastSeen) {
			t.Error("the session has changed")
		}
		if srv.live("alice") != 2 {
			t.Errorf("%d sessions are left", srv.live("alice"))
		}
		d.wantText("the coat")
	})
}

// A stream that a thief opened while the copy was good ends with the proof that
// it came with.
func TestAStreamOfTheThiefEndsWithHisProof(t *testing.T) {
	srv := newServer(t, memory(), binds(dbsc.Prefer))
	d := srv.bound("alice")
	var ended <-chan struct{}
	x := d.stolen().begin(func(x *exchange, s *coatcheck.Session) error {
		stream := s.Context(context.Background())
		ended = stream.Done()
		x.pause()
		srv.clock.advance(11 * time.Minute)
		d.refresh().wantStatus(http.StatusOK)
		d.must(write("a coat")) // which the store tells of
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("it goes on")
		}
		return nil
	})
	x.run()
	d.wantUser("alice")
}
