package demo_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestOnlyTheAdministratorEnters(t *testing.T) {
	b := openSite(t).browser()
	b.get("/admin").want(t, http.StatusOK, "Sign in")
	b.signIn("alice")
	b.get("/admin").want(t, http.StatusForbidden, "Only the attendant may enter")
	b.post("/admin/end-subject", url.Values{"subject": {"bob"}}).want(t, http.StatusForbidden)
	b.post("/admin/end", url.Values{"id": {sessionOf(t, b.get("/kept"))}}).want(t, http.StatusForbidden)
	if b.get("/").has(`href="/admin"`) {
		t.Error("alice is shown the way to the administrator's page")
	}
}

func TestTheAdministratorSeesAndEndsAnyone(t *testing.T) {
	site := openSite(t)
	admin, alice, bob, visitor := site.browser(), site.browser(), site.browser(), site.browser()
	addCoat(visitor)
	alice.signIn("alice")
	bob.signIn("bob")
	admin.signIn("admin")
	admin.get("/admin").want(t, http.StatusOK, "alice", "bob", "a visitor", "3 signed in", "1 visiting", "3 people", "signed in", "created")

	p := admin.get("/admin?subject=bob")
	p.want(t, http.StatusOK, "End all sessions of bob")
	if p.field(t, "id") != sessionOf(t, bob.get("/kept")) {
		t.Error("the search for bob shows another session")
	}
	admin.post("/admin/end", url.Values{"id": {p.field(t, "id")}, "subject": {"bob"}}).want(t, http.StatusOK, "One session ended.", "“bob” has no session.")
	bob.get("/wallet").want(t, http.StatusOK, "Sign in")
	admin.post("/admin/end-subject", url.Values{"subject": {"alice"}}).want(t, http.StatusOK, "One session of alice ended.", "ended by another")
	alice.get("/wallet").want(t, http.StatusOK, "Sign in")
	admin.post("/admin/end-subject", url.Values{"subject": {"admin"}}).want(t, http.StatusOK, "No other session ended.")
}

func TestTheAdministratorProvesHimselfAfterTenMinutes(t *testing.T) {
	site := openSite(t)
	admin, bob := site.browser(), site.browser()
	admin.signIn("admin")
	bob.signIn("bob")
	site.clock.advance(11 * time.Minute)
	p := admin.post("/admin/end-subject", url.Values{"subject": {"bob"}})
	p.want(t, http.StatusOK, "Is it still you?")
	if back := p.field(t, "next"); back != "/admin?subject=bob" {
		t.Errorf("from there it goes back to %s", back)
	}
	admin.post("/admin/end", url.Values{"id": {sessionOf(t, bob.get("/kept"))}, "subject": {"bob"}}).want(t, http.StatusOK, "Is it still you?")
	bob.get("/wallet").want(t, http.StatusOK, "Your wallet")
}
