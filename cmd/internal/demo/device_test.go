package demo_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo"
)

// openBinding serves a demo that binds sessions to devices.
func openBinding(t *testing.T) *opened {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 2, 19, 30, 0, 0, time.UTC)}
	log := &strings.Builder{}
	site, err := demo.New(demo.Options{Now: c.Now, DeviceBound: true, Logger: slog.New(slog.NewTextHandler(&locked{w: log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(site)
	t.Cleanup(server.Close)
	t.Cleanup(site.Close)
	return &opened{t, site, c, server.URL, server.Client(), log}
}

func TestTheDevicePageIsThereWhereSessionsAreBound(t *testing.T) {
	alice := openSite(t).browser()
	if p := alice.signIn("alice"); p.has("This device") {
		t.Error("a demo that binds nothing links to it")
	}
	for _, path := range []string{"/device", "/device/who"} {
		alice.get(path).want(t, http.StatusNotFound)
	}
	alice.post("/device/steal", nil).want(t, http.StatusNotFound)

	site := openBinding(t)
	if strings.Contains(site.log.String(), "dbsc") {
		t.Errorf("the demo's own lifetime is warned about: %s", site.log)
	}
	visitor := site.browser()
	if p := visitor.get("/device"); p.path != "/sign-in?next=%2Fdevice" {
		t.Errorf("a visitor gets %s", p.path)
	}
	visitor.get("/device/who").want(t, http.StatusUnauthorized, "Nobody.")
	member := site.browser()
	if p := member.signIn("alice"); !p.has("This device") {
		t.Error("no page links to it")
	}
	member.get("/device").want(t, http.StatusOK, "This session is not bound")
	member.get("/device/who").want(t, http.StatusOK, "alice.")
}

func TestTheStolenCookieIsShownToItsOwnerAlone(t *testing.T) {
	site := openBinding(t)
	alice := site.browser()
	alice.signIn("alice")
	token := alice.cookies()["__Host-id"]
	if p := alice.get("/device"); p.has(token) {
		t.Error("the page shows the cookie unasked")
	}
	alice.post("/device/steal", nil).want(t, http.StatusOK, "curl -k '"+site.url+"/device/who' -H 'Cookie: __Host-id="+token+"'")
	for _, from := range []string{"cross-site", "same-site"} {
		p, err := alice.try("POST", "/device/steal", nil, from)
		if err != nil {
			t.Fatal(err)
		}
		if p.status != http.StatusForbidden || p.has(token) {
			t.Errorf("asked from %s it is answered %d, with the cookie: %t", from, p.status, p.has(token))
		}
	}
	if strings.Contains(site.log.String(), token) {
		t.Error("the cookie is in the log")
	}
	for _, p := range []string{"/what-happened", "/kept", "/sessions"} {
		if alice.get(p).has(token) {
			t.Errorf("%s shows it too", p)
		}
	}
}
