package browsertest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
)

func TestABrowserBindsAndRenews(t *testing.T) {
	s := openBindingSite(t)
	b := openChromium(t, s.site, withoutQuota).tab(t)
	s.bind(b)
	if got := b.cookie(s.shop("/"), boundCookie); !got.HTTPOnly || !got.Secure || got.Session {
		t.Errorf("the browser keeps %+v", got)
	}
	if got := fetched(b, "GET", "/me"); got != http.StatusOK || s.renewals() != 0 {
		t.Errorf("with both cookies: %d, after %d renewals", got, s.renewals())
	}

	t.Run("a request waits for the renewal", func(t *testing.T) {
		b.forget(s.shop("/"), boundCookie)
		if got := fetched(b, "GET", "/me"); got != http.StatusOK || s.renewals() != 1 {
			t.Errorf("answered %d after %d renewals, want 1", got, s.renewals())
		}
		b.forget(s.shop("/"), boundCookie)
		got := b.open(s.shop("/me"))
		if got.status != http.StatusOK || s.renewals() != 2 {
			t.Errorf("a navigation is answered %d after %d renewals, want 2", got.status, s.renewals())
		}
	})
	t.Run("many requests wait for one", func(t *testing.T) {
		before := s.renewals()
		b.forget(s.shop("/"), boundCookie)
		wantAll(t, b, 120, http.StatusOK)
		if n := s.renewals() - before; n != 1 {
			t.Errorf("%d renewals, want 1", n)
		}
	})
	t.Run("an invalid cookie is taken away and renewed", func(t *testing.T) {
		before := s.renewals()
		b.plant(s.shop("/"), boundCookie, strings.Repeat("A", 43))
		if got := fetched(b, "GET", "/me"); got != http.StatusUnauthorized {
			t.Errorf("with an invalid cookie: %d", got)
		}
		b.wantNoCookie(s.shop("/"), boundCookie)
		if got := fetched(b, "GET", "/me"); got != http.StatusOK || s.renewals() != before+1 {
			t.Errorf("then: %d after %d renewals", got, s.renewals()-before)
		}
	})
	t.Run("the server restarts", func(t *testing.T) {
		before := s.renewals()
		s.restart()
		b.forget(s.shop("/"), boundCookie)
		if got := fetched(b, "GET", "/me"); got != http.StatusOK || s.renewals() != before+1 {
			t.Errorf("answered %d after %d renewals", got, s.renewals()-before)
		}
	})
}

// wantAll sends requests side by side, half of which write, and fails the test
// if one of them is answered otherwise.
func wantAll(t *testing.T, b *tab, n, want int) {
	t.Helper()
	wantAllAfter(t, b, "Promise.resolve()", n, want)
}

// wantAllAfter sends them as soon as the promise of a script is kept.
func wantAllAfter(t *testing.T, b *tab, promise string, n, want int) {
	t.Helper()
	got := eval[map[string]int](b, fmt.Sprintf(`%s.then(() => Promise.all(Array.from({length: %d}, (_, i) =>
		fetch("/shelf?" + i, {method: i %% 2 ? "POST" : "GET"}).then(r => r.status)))).then(all =>
		all.reduce((count, status) => (count[status] = (count[status] || 0) + 1, count), {}))`, promise, n))
	if len(got) != 1 || got[fmt.Sprint(want)] != n {
		t.Errorf("%d requests are answered %v, want %d each", n, got, want)
	}
}

// The sign-in comes back from an identity provider: browsers send the
// registration and the renewals of that arrival without the session cookie.
func TestASignInThroughAnotherSiteIsBound(t *testing.T) {
	s := openBindingSite(t)
	b := openChromium(t, s.site, withoutQuota).tab(t)
	b.open(s.evil("/"))
	b.click("#provider")
	s.untilBound(b)
	for _, p := range s.arrived("register") {
		if p.session {
			t.Error("the registration came with the session cookie: this is not the case to be tested")
		}
	}
	if got := fetched(b, "GET", "/me"); got != http.StatusOK {
		t.Errorf("then: %d", got)
	}
	b.forget(s.shop("/"), boundCookie)
	if got := fetched(b, "GET", "/me"); got != http.StatusOK || s.renewals() == 0 {
		t.Errorf("after a renewal: %d", got)
	}
}

// Requests that are on their way while the cookie appears and changes.
func TestNoRequestIsRefusedWhileTheCookieChanges(t *testing.T) {
	// With less than two minutes left, a request makes the browser renew beside it.
	const early = 2 * time.Minute
	s := openBindingSite(t, func(c *coatcheck.Config) { c.DeviceBound.Lifetime = early + 8*time.Second })
	b := openChromium(t, s.site, withoutQuota).tab(t)
	b.open(s.shop("/"))
	wantAllAfter(t, b, `fetch("/sign-in", {method: "POST"})`, 120, http.StatusOK) // across the registration
	s.untilBound(b)
	before, cookie := s.renewals(), b.cookie(s.shop("/"), boundCookie)
	eventually(t, func() bool { return time.Until(time.UnixMilli(int64(cookie.Expires*1000))) < early-time.Second }, func() {
		t.Fatalf("the cookie is kept until %v", cookie.Expires)
	})
	wantAll(t, b, 120, http.StatusOK) // across renewals
	eventually(t, func() bool { return s.renewals() > before }, func() { t.Fatal("the browser renews nothing early") })
	eventually(t, func() bool { return b.cookie(s.shop("/"), boundCookie).Value != cookie.Value }, func() {
		t.Error("the browser keeps the cookie before")
	})
	wantAll(t, b, 20, http.StatusOK)
	if got := eval[string](b, `fetch("/shelf").then(r => r.text())`); got != "130" {
		t.Errorf("%s of 130 writes are there", got)
	}
}

// Chromium signs six times in nine minutes. Whoever needs more waits; nothing
// ends.
func TestTheQuotaOfABrowserEndsNoSession(t *testing.T) {
	s := openBindingSite(t)
	b := openChromium(t, s.site, bindingFlag).tab(t)
	s.bind(b)
	renewed := 0
	for ; renewed < 10; renewed++ {
		b.forget(s.shop("/"), boundCookie)
		if fetched(b, "GET", "/me") != http.StatusOK {
			break
		}
	}
	if renewed != 5 || s.renewals() != 5 {
		t.Errorf("after the registration the browser renewed %d times (%d arrived), want 5", renewed, s.renewals())
	}
	if n := s.told(coatcheck.KindEnded, ""); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
	if fetched(b, "POST", "/sign-in") != http.StatusOK || fetched(b, "GET", "/me") != http.StatusOK {
		t.Error("the user cannot sign in again")
	}
}

func TestABindingOutlivesTheBrowser(t *testing.T) {
	s := openBindingSite(t)
	c := openChromium(t, s.site, withoutQuota)
	s.bind(c.tab(t))
	c.close()
	c.reopen(withoutQuota)
	b := c.tab(t)
	b.forget(s.shop("/"), boundCookie)
	if got := b.open(s.shop("/me")); got.status != http.StatusOK || s.renewals() != 1 {
		t.Fatalf("answered %d after %d renewals, want 1; it shows %s", got.status, s.renewals(), b.page())
	}
	b.wantText("hello alice")
}

func TestASessionThatIsOverIsNotRenewed(t *testing.T) {
	s := openBindingSite(t)
	c := openChromium(t, s.site, withoutQuota)
	over := func(t *testing.T, b *tab) {
		t.Helper()
		before := len(s.arrived("refresh"))
		if got := fetched(b, "GET", "/me"); got != http.StatusUnauthorized {
			t.Errorf("answered %d", got)
		}
		asked := len(s.arrived("refresh"))
		fetched(b, "GET", "/me")
		fetched(b, "GET", "/me")
		if asked == before || len(s.arrived("refresh")) != asked {
			t.Errorf("the browser asked %d times, then %d times", asked-before, len(s.arrived("refresh"))-asked)
		}
		b.wantNoCookie(s.shop("/"), boundCookie)
	}
	t.Run("signed out", func(t *testing.T) {
		b := c.tab(t)
		s.bind(b)
		if got := fetched(b, "POST", "/sign-out"); got != http.StatusOK {
			t.Fatalf("signing out is answered %d", got)
		}
		b.wantNoCookie(s.shop("/"), sessionCookie)
		b.wantNoCookie(s.shop("/"), boundCookie)
		over(t, b)
	})
	t.Run("ended from another browser", func(t *testing.T) {
		b := c.tab(t)
		s.bind(b)
		other := c.elsewhere(t)
		s.bind(other)
		if got := fetched(other, "POST", "/end-others"); got != http.StatusOK {
			t.Fatalf("ending the others is answered %d", got)
		}
		b.forget(s.shop("/"), boundCookie)
		over(t, b)
		if got := fetched(other, "GET", "/me"); got != http.StatusOK {
			t.Errorf("the other browser is answered %d", got)
		}
		s.bind(b)
		if got := fetched(b, "GET", "/me"); got != http.StatusOK {
			t.Errorf("signed in again: %d", got)
		}
	})
}

// Browsers do not renew for the sake of another site; the page in between makes
// it a matter of this one.
func TestALinkFromAnotherSiteFindsTheUserSignedIn(t *testing.T) {
	s := openBindingSite(t)
	b := openChromium(t, s.site, withoutQuota).tab(t)
	s.bind(b)
	b.open(s.evil("/"))
	b.forget(s.shop("/"), boundCookie)
	b.do("follow the link", chromedp.Click(chromedp.CSS("#link")))
	b.until("the shop greets", `document.body?.innerText.includes("hello alice") ?? false`)
	b.wantPath("/me")
	if n := s.between(); n != 1 {
		t.Errorf("it went over %d pages in between, want 1", n)
	}
	if n := eval[int](b, `history.length`); n > 4 {
		t.Errorf("the history has %d entries", n)
	}

	t.Run("when the session has ended", func(t *testing.T) {
		b.open(s.evil("/"))
		b.forget(s.shop("/"), boundCookie)
		if _, err := s.sessions.EndSubject(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		b.do("follow the link", chromedp.Click(chromedp.CSS("#link")))
		b.until("the shop asks who it is", `location.pathname === "/sign-in"`)
	})
}

// The cookie jar of a real browser, copied whole, dies with the short-lived
// cookie in it. The browser goes on.
func TestACopiedCookieJarDiesAndTheBrowserGoesOn(t *testing.T) {
	s := openBindingSite(t)
	b := openChromium(t, s.site, withoutQuota).tab(t)
	s.bind(b)
	var jar []string
	for name, cookie := range b.cookies(s.shop("/")) {
		jar = append(jar, name+"="+cookie.Value)
	}
	stolen := map[string]string{"Cookie": strings.Join(jar, "; ")}
	thief := s.thiefsClient()
	if status, body := s.send(thief, "GET", "/me", stolen); status != http.StatusOK || !strings.Contains(body, "alice") {
		t.Fatalf("the copy is answered %d %q at once: this is not the case to be tested", status, body)
	}
	s.clock.advance(11 * time.Minute)
	b.forget(s.shop("/"), boundCookie) // its time has come; the browser's own clock stands still
	for range 2 {
		if status, body := s.send(thief, "GET", "/me", stolen); status != http.StatusUnauthorized {
			t.Fatalf("the copy is answered %d %q when the cookie has ended", status, body)
		}
		if got := fetched(b, "GET", "/me"); got != http.StatusOK {
			t.Fatalf("the owner is answered %d", got)
		}
	}
	b.open(s.shop("/me"))
	b.wantText("hello alice")
	stolen[dbsc.HeaderSession] = "made-up"
	for _, proof := range []string{"", "a.b.c"} {
		stolen[dbsc.HeaderResponse] = proof
		if status, body := s.send(thief, "POST", "/device-bound-session/refresh", stolen); status < 400 {
			t.Errorf("the proof %q is answered %d %q", proof, status, body)
		}
	}
	if n := s.told(coatcheck.KindEnded, ""); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
}
