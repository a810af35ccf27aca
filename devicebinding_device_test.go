package coatcheck_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
)

const boundCookie = "__Host-id-bound"

// binds configures a server that binds sessions to devices.
func binds(mode dbsc.Mode) func(*coatcheck.Config) {
	return func(c *coatcheck.Config) { c.DeviceBound.Mode = mode }
}

// device is a browser with a key that cannot be copied from it, and what it
// keeps of the binding of its session.
type device struct {
	*browser
	key       *ecdsa.PrivateKey
	offered   string // the challenge of a registration
	name      string // of the session, as it was told
	challenge string // the latest
}

func (s *server) device() *device {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return &device{browser: s.browser(), key: key}
}

// signedInDevice returns a device in which that user has signed in, and which
// has not answered the offer of a registration.
func (s *server) signedInDevice(subject string, options ...coatcheck.SignInOption) *device {
	s.t.Helper()
	d := s.device()
	d.signIn(subject, options...)
	return d
}

// bound returns a device whose session is bound, as of half a minute ago: the
// session cookie alone opens it no more.
func (s *server) bound(subject string, options ...coatcheck.SignInOption) *device {
	s.t.Helper()
	d := s.signedInDevice(subject, options...)
	d.register().wantStatus(http.StatusOK)
	s.clock.advance(dbsc.LeewayBare)
	return d
}

var offerForm = regexp.MustCompile(`^\(ES256 RS256\);path="/device-bound-session/register";challenge="([^"]+)"$`)

func (d *device) signIn(subject string, options ...coatcheck.SignInOption) *exchange {
	d.t.Helper()
	x := d.must(signIn(subject, options...))
	offer := offerForm.FindStringSubmatch(x.answer.Header().Get(dbsc.HeaderRegistration))
	if offer == nil {
		d.t.Fatalf("the sign-in offers a registration by %q", x.answer.Header()[dbsc.HeaderRegistration])
	}
	d.offered = offer[1]
	return x
}

// proof answers a challenge by the device's key.
func (d *device) proof(challenge string) string {
	d.t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	header := fmt.Sprintf(`{"alg":"ES256","jwk":{"crv":"P-256","kty":"EC","x":%q,"y":%q},"typ":"dbsc+jwt"}`, encode(point[1:33]), encode(point[33:]))
	signed := encode([]byte(header)) + "." + encode(fmt.Appendf(nil, `{"jti":%q}`, challenge))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, d.key, sum[:])
	if err != nil {
		d.t.Fatal(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// send posts to a path of the protocol and returns the answer, which is not
// delivered. Header fields are added to those of a browser.
func (d *device) send(path string, header map[string]string) *exchange {
	d.t.Helper()
	r := d.request(context.Background())
	r.URL.Path = "/device-bound-session/" + path
	for name, value := range header {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return d.exchange(r)
}

// exchange serves a request by a site on which nobody asks for a session.
func (d *device) exchange(r *http.Request) *exchange {
	return d.exchangeWith(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}), r)
}

// exchangeWith serves a request by a site with that handler.
func (d *device) exchangeWith(h http.Handler, r *http.Request) *exchange {
	x := &exchange{browser: d.browser, answer: httptest.NewRecorder(), done: make(chan struct{})}
	close(x.done)
	d.server.Handler(h).ServeHTTP(x.answer, r)
	return x
}

// register answers the offer of the last sign-in; cookies are sent as they are.
func (d *device) register() *exchange {
	d.t.Helper()
	return d.take(d.send("register", map[string]string{dbsc.HeaderResponse: d.proof(d.offered)}))
}

// ask posts a refresh without a proof: the answer has what is to be signed.
func (d *device) ask() *exchange {
	d.t.Helper()
	return d.take(d.send("refresh", map[string]string{dbsc.HeaderSession: d.name}))
}

// refresh posts a refresh with a proof of the latest challenge.
func (d *device) refresh() *exchange {
	d.t.Helper()
	return d.take(d.send("refresh", d.refreshing()))
}

func (d *device) refreshing() map[string]string {
	d.t.Helper()
	return map[string]string{dbsc.HeaderSession: d.name, dbsc.HeaderResponse: d.proof(d.challenge)}
}

var challengeForm = regexp.MustCompile(`^"([A-Za-z0-9_-]{43})";id="([0-9a-f]{32})"$`)

// instructions are what a browser is told of its binding.
type instructions struct {
	Session     string `json:"session_identifier"`
	RefreshURL  string `json:"refresh_url"`
	Continue    *bool
	Scope       *struct{ Include_site bool }
	Credentials []struct{ Type, Name, Attributes string }
}

// take delivers an answer of the protocol, and keeps what the device is told.
func (d *device) take(x *exchange) *exchange {
	d.t.Helper()
	x.deliver()
	if next := x.answer.Header().Get(dbsc.HeaderChallenge); next != "" {
		parts := challengeForm.FindStringSubmatch(next)
		if parts == nil {
			d.t.Fatalf("the challenge is written %q", next)
		}
		d.challenge, d.name = parts[1], parts[2]
	}
	if x.answer.Header().Get("Cache-Control") != "no-store" {
		d.t.Error("an answer of the protocol may be kept by a cache")
	}
	return x
}

// told is the answer's instructions.
func (x *exchange) told() (i instructions) {
	x.browser.t.Helper()
	if err := json.Unmarshal(x.answer.Body.Bytes(), &i); err != nil {
		x.browser.t.Fatalf("the answer %d %q is not JSON: %v", x.answer.Code, x.answer.Body, err)
	}
	return i
}

// wantStopped fails the test if the answer does not make the browser forget its
// binding.
func (x *exchange) wantStopped(name string) *exchange {
	x.browser.t.Helper()
	x.wantStatus(http.StatusOK).wantNoCookie()
	if got := x.told(); got.Continue == nil || *got.Continue || got.Session != name {
		x.browser.t.Errorf("told is %s, want to stop %s", x.answer.Body, name)
	}
	return x
}

// id is that of the session in the session cookie.
func (b *browser) id() coatcheck.ID {
	b.t.Helper()
	token, err := base64.RawURLEncoding.DecodeString(b.cookies[signedInCookie])
	if err != nil || len(token) != 48 {
		b.t.Fatalf("the browser has the token %q", b.cookies[signedInCookie])
	}
	return coatcheck.ID(token[:16])
}

// record is what the store has of a session.
func (s *server) record(id coatcheck.ID) store.Record {
	s.t.Helper()
	var r store.Record
	if err := s.store.Load(ctx, id, &r, store.Fresh); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// without returns the same device as it sends no such cookies, as after an
// arrival from another site.
func (d *device) without(cookies ...string) *device {
	bare := *d
	bare.browser = d.stolen()
	for _, name := range cookies {
		delete(bare.cookies, name)
	}
	return &bare
}

// wantUnproven fails the test if the browser's session is not there but out of
// reach: it reads nothing, it writes nothing, and nothing of it has ended.
func wantUnproven(t *testing.T, b *browser) {
	t.Helper()
	before := b.server.record(b.id())
	got := "unread"
	x := b.begin(func(_ *exchange, s *coatcheck.Session) error {
		text, _ := textKey.Get(s)
		got = s.Subject() + text
		return nil
	})
	x.wantStatus(http.StatusOK)
	if got != "" {
		t.Errorf("a request without proof reads %q", got)
	}
	if x.sets(signedInCookie) || x.sets(visitCookie) {
		t.Error("its answer sets a session cookie")
	}
	w := b.begin(write("by a thief")).wantStatus(http.StatusConflict)
	if w.sets(signedInCookie) || w.sets(visitCookie) {
		t.Error("the answer to its write sets a session cookie")
	}
	for what, h := range map[string]serve{"sign-out": signOut, "rotation": rotate, "re-authentication": reauthenticate, "ending others": endOthers} {
		if x := b.begin(h); x.status() == http.StatusOK || x.sets(signedInCookie) {
			t.Errorf("%s without proof is answered %d", what, x.status())
		}
	}
	if after := b.server.record(b.id()); after.Version != before.Version || !after.LastSeen.Equal(before.LastSeen) {
		t.Error("requests without proof changed the session")
	}
}
