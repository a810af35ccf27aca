package demo_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAPasswordChangeEndsTheOtherSessions(t *testing.T) {
	site := openSite(t)
	here, elsewhere := site.browser(), site.browser()
	here.signIn("alice")
	elsewhere.signIn("alice")
	old := here.cookies()["__Host-id"]
	change := url.Values{"current": {passwordOf("alice")}, "new": {"a coat of one colour"}}
	here.post("/account/password", change).want(t, http.StatusOK, "Your password is changed.", "this one has a new secret", "There is nothing in your session.", "Alice Overton")
	if here.cookies()["__Host-id"] == old {
		t.Error("the cookie is the old one")
	}
	elsewhere.get("/wallet").want(t, http.StatusOK, "Sign in")
	elsewhere.post("/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}}).want(t, http.StatusUnprocessableEntity)
	elsewhere.post("/sign-in", url.Values{"account": {"alice"}, "password": {"a coat of one colour"}, "next": {"/wallet"}}).want(t, http.StatusOK, "Your wallet")
}

func TestAPasswordChangeIsChecked(t *testing.T) {
	site := openSite(t)
	b, other := site.browser(), site.browser()
	b.signIn("alice")
	other.signIn("alice")
	for _, c := range []struct{ current, new, problem string }{
		{"wrong wrong wrong", "a coat of one colour", "That is not your password now."},
		{passwordOf("alice"), "short", "Please use at least 15 characters."},
		{passwordOf("alice"), strings.Repeat("long", 40), "Please use at most 128 characters."},
	} {
		b.post("/account/password", url.Values{"current": {c.current}, "new": {c.new}}).want(t, http.StatusUnprocessableEntity, c.problem)
	}
	other.get("/wallet").want(t, http.StatusOK, "Your wallet")
}

func TestWhatIsKeptIsShown(t *testing.T) {
	b := openSite(t).browser()
	checkOut(b)
	b.signIn("alice")
	b.post("/wallet/transfer", twelve)
	b.get("/kept").want(t, http.StatusOK, "1 × Evening coat", "12 Hook Lane", "£12.50 to bob", "Firefox on Linux", "127.0.0.0/24", "SHA-256")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	site := openSite(t)
	here, elsewhere, bob := site.browser(), site.browser(), site.browser()
	here.signIn("alice")
	elsewhere.signIn("alice")
	bob.signIn("bob")

	list := here.get("/sessions")
	list.want(t, http.StatusOK, "this browser", "Firefox on Linux", "127.0.0.0/24", "just now", "End all others")
	if n := strings.Count(list.body, `action="/sessions/end"`); n != 1 {
		t.Fatalf("%d sessions can be ended, want the other one alone", n)
	}
	here.post("/sessions/end", url.Values{"id": {list.field(t, "id")}}).want(t, http.StatusOK, "is cancelled", "This is your only session.")
	elsewhere.get("/wallet").want(t, http.StatusOK, "Sign in")

	elsewhere.signIn("alice")
	here.post("/sessions/end-others", url.Values{}).want(t, http.StatusOK, "One other session ended.")
	elsewhere.get("/wallet").want(t, http.StatusOK, "Sign in")
	bob.get("/wallet").want(t, http.StatusOK, "Your wallet")
}

func TestNobodyEndsAnothersSession(t *testing.T) {
	site := openSite(t)
	alice, bob := site.browser(), site.browser()
	alice.signIn("alice")
	bob.signIn("bob")
	id := sessionOf(t, bob.get("/kept"))
	alice.post("/sessions/end", url.Values{"id": {id}}).want(t, http.StatusNotFound, "That session is gone")
	alice.post("/sessions/end", url.Values{"id": {"x"}}).want(t, http.StatusBadRequest)
	bob.get("/wallet").want(t, http.StatusOK, "Your wallet")
}

func sessionOf(t *testing.T, p page) string {
	t.Helper()
	_, rest, found := strings.Cut(p.body, `data-session="`)
	if !found {
		t.Fatalf("%s has no session", p.path)
	}
	return rest[:32]
}

func TestEndingSessionsAsksForThePasswordAfterTenMinutes(t *testing.T) {
	site := openSite(t)
	here, elsewhere := site.browser(), site.browser()
	here.signIn("alice")
	elsewhere.signIn("alice")
	id := here.get("/sessions").field(t, "id")
	site.clock.advance(10*time.Minute + time.Second)
	for path, form := range map[string]url.Values{"/sessions/end": {"id": {id}}, "/sessions/end-others": {}} {
		here.post(path, form).want(t, http.StatusOK, "Is it still you?", "Before sessions are ended")
	}
	elsewhere.get("/wallet").want(t, http.StatusOK, "Your wallet")
	here.post("/sign-in", url.Values{"again": {"1"}, "password": {passwordOf("alice")}, "next": {"/sessions"}}).want(t, http.StatusOK, "Your sessions")
	here.post("/sessions/end", url.Values{"id": {id}}).want(t, http.StatusOK, "is cancelled")
}
