package browsertest_test

import (
	"testing"

	"github.com/chromedp/cdproto/network"
)

func TestTheBrowserStoresTheCookieWithEveryAttribute(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	for name, entrance := range map[string]string{"over TLS": s.shop(""), "on localhost": s.local("")} {
		t.Run(name, func(t *testing.T) {
			b := c.tab(t)
			b.open(entrance + "/shop")
			if stored := b.cookies(entrance); len(stored) != 0 {
				t.Fatalf("a visitor who did nothing has %s", namesOf(stored))
			}
			b.click(".good button")
			visit := b.cookie(entrance, visitCookie)
			wantEveryAttribute(t, entrance, visit)

			b.signIn(entrance, "alice")
			session := b.cookie(entrance, sessionCookie)
			wantEveryAttribute(t, entrance, session)
			if session.Value == visit.Value {
				t.Error("the token is the same before and after the sign-in")
			}
			b.wantNoCookie(entrance, visitCookie)
			b.open(entrance + "/cart")
			b.wantText("Your cart", "Check out")

			b.click(`form[action="/sign-out"] button`)
			if stored := b.cookies(entrance); len(stored) != 0 {
				t.Errorf("after the sign-out the browser stores %s", namesOf(stored))
			}
		})
	}
}

// wantEveryAttribute checks a cookie of the defaults as the browser stores it.
func wantEveryAttribute(t *testing.T, address string, got *network.Cookie) {
	t.Helper()
	for attribute, right := range map[string]bool{
		"Secure":                   got.Secure,
		"HttpOnly":                 got.HTTPOnly,
		"SameSite=Lax":             got.SameSite == network.CookieSameSiteLax,
		"Path=/":                   got.Path == "/",
		"no Domain":                got.Domain == hostOf(t, address),
		"no expiry":                got.Session && got.Expires == -1,
		"no partition":             got.PartitionKey == nil,
		"a token of 64 characters": len(got.Value) == 64,
	} {
		if !right {
			t.Errorf("%s is not stored with %s: %+v", got.Name, attribute, got)
		}
	}
}
