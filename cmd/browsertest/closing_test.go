package browsertest_test

import (
	"testing"
	"time"
)

// lasting is a cookie of the page's own that outlives the browser: if it is
// there again, the profile is the same and the browser did store its cookies.
const lasting = `document.cookie = "lasting=1; Max-Age=3600; Secure; Path=/"`

func TestClosingTheBrowserEndsTheSession(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	b := c.tab(t)
	b.signIn(s.shop(""), "alice")
	eval[string](b, lasting)

	c.close()
	c.reopen()
	b = c.tab(t)
	b.open(s.shop("/account"))
	b.wantPath("/sign-in")
	b.cookie(s.shop("/"), "lasting")
	b.wantNoCookie(s.shop("/"), sessionCookie)
}

func TestRememberMeOutlivesTheBrowserUntilTheServersLimit(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	b := c.tab(t)
	b.open(s.shop("/sign-in"))
	b.do("ask to be remembered", clickOn(`[name="remember"]`))
	b.submitSignIn("alice")
	const asked = 30 * 24 * time.Hour
	stored := b.cookie(s.shop("/"), sessionCookie)
	if left := time.Until(time.Unix(int64(stored.Expires), 0)); left > asked || left < asked-10*time.Minute {
		t.Errorf("the browser keeps the cookie for %v, want %v", left, asked)
	}

	c.close()
	c.reopen()
	b = c.tab(t)
	b.open(s.shop("/account"))
	b.wantPath("/account")
	if kept := b.cookie(s.shop("/"), sessionCookie); kept.Value != stored.Value || kept.Expires != stored.Expires {
		t.Errorf("the browser kept %+v, want %+v", kept, stored)
	}
	s.clock.advance(14*24*time.Hour + time.Minute) // the limit of a remembered session that is not used
	b.open(s.shop("/account"))
	b.wantPath("/sign-in")
}

func TestARestoredBrowserKeepsTheCookieButNotTheSession(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	b := c.tab(t)
	b.signIn(s.shop(""), "alice")
	token := b.cookie(s.shop("/"), sessionCookie).Value

	c.close()
	c.reopen("restore-last-session")
	b = c.tab(t)
	if got := b.cookie(s.shop("/"), sessionCookie).Value; got != token {
		t.Fatal("the browser restored another cookie")
	}
	b.open(s.shop("/account"))
	b.wantPath("/account")

	c.close()
	s.clock.advance(31 * time.Minute)
	c.reopen("restore-last-session")
	b = c.tab(t)
	b.cookie(s.shop("/"), sessionCookie)
	b.open(s.shop("/account"))
	b.wantPath("/sign-in")
}
