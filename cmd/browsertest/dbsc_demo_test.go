package browsertest_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo"
)

// The demo shows what the session is bound to, and a person can steal their own
// cookie and watch the copy die.
func TestTheDemoShowsTheBindingAndTheTheft(t *testing.T) {
	s := openBindingSite(t)
	house, err := demo.New(demo.Options{Now: s.clock.Now, DeviceBound: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(house.Close)
	s.serveWith(house)
	b := openChromium(t, s.site, withoutQuota).tab(t)
	b.signIn(s.shop(""), "alice")
	s.untilBound(b)
	b.click(`a[href="/device"]`)
	b.wantText("This session is bound to this device", "ES256", "works until")
	b.click("main form button")
	b.wantText("curl -k", s.shop("/device/who"))

	loot := regexp.MustCompile(`-H '(Cookie): ([^']+)'`).FindStringSubmatch(b.page())
	if loot == nil {
		t.Fatalf("the page has no command: %s", b.page())
	}
	thief, stolen := s.thiefsClient(), map[string]string{loot[1]: loot[2]}
	if status, body := s.send(thief, "GET", "/device/who", stolen); status != http.StatusOK || body != "alice. This cookie opens the session.\n" {
		t.Fatalf("the copy is answered %d %q at once", status, body)
	}
	s.clock.advance(7 * time.Minute)
	b.forget(s.shop("/"), boundCookie) // its time has come; the browser's own clock stands still
	if status, body := s.send(thief, "GET", "/device/who", stolen); status != http.StatusUnauthorized || body != "Nobody. This cookie opens nothing.\n" {
		t.Errorf("the copy is answered %d %q after its end", status, body)
	}
	b.open(s.shop("/device"))
	b.wantText("This session is bound to this device", "just now")
	if status, _ := s.send(thief, "GET", "/device/who", stolen); status != http.StatusUnauthorized {
		t.Errorf("when the owner is back, the copy is answered %d", status)
	}
}
