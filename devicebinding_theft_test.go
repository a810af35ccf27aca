package coatcheck_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
)

// networked is a site that binds sessions, on a real connection.
type networked struct {
	*server
	address string
	http    *http.Client // without cookies
}

func newNetworked(t *testing.T) *networked {
	t.Helper()
	n := &networked{server: newServer(t, sealed(), binds(dbsc.Prefer))}
	mux := http.NewServeMux()
	mux.Handle("POST /sign-in", n.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.SignIn(r.Context(), "alice")
	}))
	mux.Handle("/account", n.RequireSignIn(n.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		text, _ := textKey.Get(s)
		if r.Method == http.MethodPost {
			return textKey.Set(s, r.FormValue("text"))
		}
		_, err := io.WriteString(w, s.Subject()+" has "+text)
		return err
	})))
	web := httptest.NewTLSServer(n.Handler(mux))
	t.Cleanup(web.Close)
	n.address, n.http = web.URL, web.Client()
	n.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return n
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (n *networked) send(client *http.Client, method, path, body string, header map[string]string) reply {
	n.t.Helper()
	r, err := http.NewRequest(method, n.address+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

// owner is a browser with cookies and a key, on a real connection.
type owner struct {
	*networked
	client http.Client
	jar    *cookiejar.Jar
	keys   *device  // signs; its cookies are not used
	proofs []string // that went over the wire
}

// owner returns a browser in which alice has signed in, bound to its device.
func (n *networked) owner() *owner {
	n.t.Helper()
	o := &owner{networked: n, client: *n.http, keys: n.device()}
	var err error
	if o.jar, err = cookiejar.New(nil); err != nil {
		n.t.Fatal(err)
	}
	o.client.Jar = o.jar
	in := n.send(&o.client, "POST", "/sign-in", "", nil)
	offer := offerForm.FindStringSubmatch(in.header.Get(dbsc.HeaderRegistration))
	if offer == nil {
		n.t.Fatalf("the sign-in is answered %d without an offer", in.status)
	}
	o.prove("register", offer[1])
	return o
}

// prove answers a challenge, as browsers do by themselves.
func (o *owner) prove(path, challenge string) {
	o.t.Helper()
	o.proofs = append(o.proofs, o.keys.proof(challenge))
	got := o.send(&o.client, "POST", "/device-bound-session/"+path, "", map[string]string{
		dbsc.HeaderResponse: o.proofs[len(o.proofs)-1], dbsc.HeaderSession: o.keys.name,
	})
	next := challengeForm.FindStringSubmatch(got.header.Get(dbsc.HeaderChallenge))
	if got.status != http.StatusOK || next == nil {
		o.t.Fatalf("the owner's %s is answered %d %s", path, got.status, got.body)
	}
	o.keys.challenge, o.keys.name = next[1], next[2]
}

// has fails the test if the owner does not see what is hers.
func (o *owner) has(text string) {
	o.t.Helper()
	if got := o.send(&o.client, "GET", "/account", "", nil); got.status != http.StatusOK || got.body != "alice has "+text {
		o.t.Fatalf("the owner sees %d %q", got.status, got.body)
	}
}

// copied is the whole cookie jar as a header field.
func (o *owner) copied() map[string]string {
	o.t.Helper()
	home, err := url.Parse(o.address)
	if err != nil {
		o.t.Fatal(err)
	}
	var loot []string
	for _, c := range o.jar.Cookies(home) {
		loot = append(loot, c.Name+"="+c.Value)
	}
	return map[string]string{"Cookie": strings.Join(loot, "; ")}
}

// The theft, staged: the whole cookie jar is copied while it is good. The copy
// works at most until the short-lived cookie ends, and then never again,
// whatever the thief makes up. The owner notices nothing.
func TestTheftDiesWithTheShortCookie(t *testing.T) {
	site := newNetworked(t)
	alice := site.owner()
	site.send(&alice.client, "POST", "/account", "text=the+coat", nil)
	site.clock.advance(time.Minute)
	alice.has("the coat")

	stolen := alice.copied()
	thiefSees := func(want int) {
		t.Helper()
		got := site.send(site.http, "GET", "/account", "", stolen)
		if got.status != want || want != http.StatusOK && strings.Contains(got.body, "the coat") {
			t.Fatalf("with the copied jar: %d %q, want %d", got.status, got.body, want)
		}
	}
	thiefSees(http.StatusOK) // the copy is as good as the original, for now
	site.clock.advance(8*time.Minute - time.Second)
	thiefSees(http.StatusOK)
	alice.prove("refresh", alice.keys.challenge)
	alice.has("the coat")
	site.clock.advance(time.Minute + time.Second)
	thiefSees(http.StatusUnauthorized)
	alice.has("the coat")

	site.refuseThief(t, alice, stolen)
	thiefSees(http.StatusUnauthorized)
	if got := site.send(site.http, "POST", "/account", "text=gone", stolen); got.status == http.StatusOK {
		t.Error("the thief wrote")
	}
	for range 3 {
		site.clock.advance(8 * time.Minute)
		alice.prove("refresh", alice.keys.challenge)
		alice.has("the coat")
		thiefSees(http.StatusUnauthorized)
	}
	if site.events.count(coatcheck.KindBoundRefused) == 0 {
		t.Error("nobody is told of the theft")
	}
}

// refuseThief tries every proof that a thief has or can make.
func (n *networked) refuseThief(t *testing.T, alice *owner, stolen map[string]string) {
	t.Helper()
	thief, owner, proofs := n.device(), alice.keys, alice.proofs
	good := proofs[len(proofs)-1]
	for what, c := range map[string]struct {
		proof string
		want  int
	}{
		"none":                      {"", http.StatusForbidden},
		"a replayed registration":   {proofs[0], http.StatusForbidden},
		"a replayed proof":          {good, http.StatusForbidden},
		"by a key of his own":       {thief.proof(owner.challenge), http.StatusBadRequest},
		"with the signature gone":   {good[:strings.LastIndexByte(good, '.')+1], http.StatusBadRequest},
		"a new payload, signed old": {spliced(thief.proof(owner.challenge), good), http.StatusBadRequest},
		"made up":                   {"a.b.c", http.StatusBadRequest},
	} {
		for path, names := range map[string]string{"refresh": owner.name, "register": ""} {
			header := map[string]string{dbsc.HeaderResponse: c.proof, dbsc.HeaderSession: names}
			for name, value := range stolen {
				header[name] = value
			}
			want := c.want
			if path == "register" {
				want = http.StatusBadRequest // the offer was taken
			}
			got := n.send(n.http, "POST", "/device-bound-session/"+path, "", header)
			if got.status != want || got.header["Set-Cookie"] != nil {
				t.Errorf("%s with the proof %s: %d, cookies %q, want %d and none", path, what, got.status, got.header["Set-Cookie"], want)
			}
		}
	}
}

// spliced is the first proof with the signature of the second.
func spliced(payload, signature string) string {
	return payload[:strings.LastIndexByte(payload, '.')] + signature[strings.LastIndexByte(signature, '.'):]
}
