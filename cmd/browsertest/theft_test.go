package browsertest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
)

// thief is a script that an attacker got into a page of the shop. It looks
// wherever a script can look for the cookie, and then tries to replace it.
const thief = `<script>
window.stolen = (async () => {
  document.cookie = "readable=yes; Secure; Path=/";
  const loot = [document.cookie, JSON.stringify(await cookieStore.getAll())];
  const look = async (answer) => loot.push(answer.url, JSON.stringify([...answer.headers]), await answer.text());
  await look(await fetch("/cart/add", { method: "POST", body: new URLSearchParams({ good: "hat", quantity: "1" }) }));
  for (const path of ["/", "/cart", "/account", "/kept", "/sessions", "/what-happened"]) await look(await fetch(path));
  for (const name of ["__Host-id", "__Host-id-visit"]) {
    document.cookie = name + "=overwritten; Secure; Path=/";
    document.cookie = name + "=; Max-Age=0; Secure; Path=/";
    await cookieStore.set(name, "overwritten").catch(() => {});
    await cookieStore.delete(name).catch(() => {});
  }
  return loot;
})();
</script>`

func TestScriptCannotReadTheCookie(t *testing.T) {
	s := openSite(t, opening{})
	s.extra.HandleFunc("GET "+shopHost+"/vulnerable", func(w http.ResponseWriter, r *http.Request) {
		answerPage(w, "<h1>Hello "+r.URL.Query().Get("name")+"</h1>")
	})
	b := openChromium(t, s).tab(t)
	steal := func(cookie string) {
		t.Helper()
		b.open(s.shop("/shop"))
		b.click(".good button")
		before := b.cookie(s.shop("/"), cookie).Value
		b.open(s.shop("/vulnerable?name=" + url.QueryEscape(thief)))
		loot := eval[[]string](b, `window.stolen`)
		if !strings.Contains(loot[0], "readable") || !strings.Contains(loot[1], "readable") {
			t.Fatalf("the script reads no cookie at all: %q", loot[:2])
		}
		for what, secret := range map[string]string{"token": before, "secret": before[24:]} {
			if at := slices.IndexFunc(loot, func(text string) bool { return strings.Contains(text, secret) }); at >= 0 {
				t.Errorf("the script read the %s of %s:\n%s", what, cookie, loot[at])
			}
		}
		if after := b.cookie(s.shop("/"), cookie).Value; after != before {
			t.Errorf("the script replaced %s", cookie)
		}
	}
	steal(visitCookie)
	b.signIn(s.shop(""), "alice")
	steal(sessionCookie)
	b.open(s.shop("/account"))
	b.wantPath("/account")
}

func TestAPlantedCookieIsWorthlessAfterSignIn(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	attacker := c.elsewhere(t)
	attacker.open(s.shop("/shop"))
	attacker.click(".good button")
	planted := attacker.cookie(s.shop("/"), visitCookie).Value
	madeUp := strings.Repeat("A", 64)

	t.Run("a sibling host cannot plant it", func(t *testing.T) {
		b := c.elsewhere(t)
		lines := plantingLines(planted)
		s.extra.HandleFunc("GET "+siblingHost+"/plant", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = append(lines, "wide=1; Domain=site.test; Path=/; Secure")
			answerPage(w, "planted")
		})
		refused := b.refusedCookies()
		b.open(s.sibling("/plant"))
		refused.wait(len(lines))
		b.open(s.shop("/"))
		if got := s.seen.last(t, s.shop("/")).cookies; !slices.Equal(got, []string{"wide"}) {
			t.Errorf("the shop got the cookies %q from the sibling, want only the one that may be wide", got)
		}
	})
	t.Run("planted by hand", func(t *testing.T) {
		b := c.elsewhere(t)
		b.plant(s.shop("/"), visitCookie, planted)
		b.open(s.shop("/cart"))
		b.wantText("Check out") // the attacker's cart: the cookie is in use
		b.signIn(s.shop(""), "alice")
		if got := b.cookie(s.shop("/"), sessionCookie).Value; strings.Contains(got, planted[24:]) {
			t.Error("the secret that was planted is that of the sign-in")
		}
		b.wantNoCookie(s.shop("/"), visitCookie)
		opensNothing(t, s, c.elsewhere(t), planted)
	})
	t.Run("made up", func(t *testing.T) {
		b := c.elsewhere(t)
		b.plant(s.shop("/"), visitCookie, madeUp)
		b.plant(s.shop("/"), sessionCookie, madeUp)
		b.signIn(s.shop(""), "alice")
		if got := b.cookie(s.shop("/"), sessionCookie).Value; got == madeUp {
			t.Error("the browser's own token was adopted")
		}
		opensNothing(t, s, c.elsewhere(t), madeUp)
	})
}

// plantingLines are Set-Cookie lines by which another host might try to set
// the shop's cookies.
func plantingLines(token string) (lines []string) {
	for _, name := range []string{sessionCookie, visitCookie, strings.ToLower(sessionCookie), "__HOST-id"} {
		lines = append(lines, fmt.Sprintf("%s=%s; Domain=site.test; Path=/; Secure; HttpOnly", name, token))
	}
	return append(lines, "="+sessionCookie+"="+token+"; Domain=site.test; Path=/; Secure")
}

// opensNothing shows a token to the site under either name, at once and when
// what is kept for late requests is gone: whoever holds it is nobody.
func opensNothing(t *testing.T, s *site, b *tab, token string) {
	t.Helper()
	for range 2 {
		for _, name := range []string{visitCookie, sessionCookie} {
			b.plant(s.shop("/"), name, token)
			got := b.open(s.shop("/account"))
			if who := b.signedInAs(); who != "" || got.status == http.StatusOK && b.path() != "/sign-in" {
				t.Errorf("the planted token shows %s to %q", b.page(), who)
			}
		}
		s.clock.advance(time.Minute)
	}
	b.wantPath("/sign-in")
}

func TestTheCookieStaysOnItsHostAndOnTLS(t *testing.T) {
	s := openSite(t, opening{noHSTS: true})
	s.extra.HandleFunc("GET /probe", func(w http.ResponseWriter, _ *http.Request) { answerPage(w, "probe") })
	s.extra.HandleFunc("GET "+shopHost+"/overwrite", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Set-Cookie"] = []string{
			sessionCookie + "=evil; Path=/; HttpOnly", sessionCookie + "=evil; Path=/; Secure; HttpOnly", sessionCookie + "=; Path=/; Max-Age=0",
		}
		answerPage(w, "overwritten")
	})
	b := openChromium(t, s).tab(t)
	b.signIn(s.shop(""), "alice")
	token := b.cookie(s.shop("/"), sessionCookie).Value
	// A cookie without care goes wherever this one must not.
	eval[string](b, `document.cookie = "careless=1; Domain=site.test; Path=/"`)

	b.open(s.shop("/probe"))
	if got := s.seen.last(t, s.shop("/probe")).cookies; !slices.Contains(got, sessionCookie) {
		t.Fatalf("the shop itself got %q", got)
	}
	for name, address := range map[string]string{
		"a sibling host":         s.sibling("/probe"),
		"a host below":           s.below("/probe"),
		"the host without TLS":   s.overPlainHTTP(s.shop("/probe")),
		"a sibling, without TLS": s.overPlainHTTP(s.sibling("/probe")),
	} {
		b.open(address)
		if got := s.seen.last(t, address).cookies; !slices.Equal(got, []string{"careless"}) {
			t.Errorf("%s got the cookies %q", name, got)
		}
	}
	withheld := b.withheldCookies()
	b.open(s.overPlainHTTP(s.shop("/probe")))
	if reasons := withheld.wait(1)[sessionCookie]; !slices.Contains(reasons, network.CookieBlockedReasonSecureOnly) {
		t.Errorf("the browser withholds the cookie from plain HTTP for the reasons %v", reasons)
	}
	refused := b.refusedCookies()
	b.open(s.overPlainHTTP(s.shop("/overwrite")))
	refused.wait(3)
	if got := b.cookie(s.shop("/"), sessionCookie).Value; got != token {
		t.Error("an answer without TLS replaced the cookie")
	}
}

func TestAnotherOriginCannotPost(t *testing.T) {
	s := openSite(t, opening{})
	posts := map[string]url.Values{
		"/cart/add":            {"good": {"hat"}, "quantity": {"1"}},
		"/sign-out":            {},
		"/sign-in":             {"account": {"bob"}, "password": {passwordOf(t, "bob")}},
		"/wallet/transfer":     {"to": {"bob"}, "amount": {"1"}},
		"/sessions/end-others": {},
	}
	forms := func(w http.ResponseWriter, _ *http.Request) {
		var body strings.Builder
		fmt.Fprintf(&body, `<a href=%q>Look at this</a>`, s.shop("/account"))
		for path, fields := range posts {
			fmt.Fprintf(&body, `<form method="post" action=%q><button>Win a coat</button>`, s.shop(path))
			for name := range fields {
				fmt.Fprintf(&body, `<input name=%q value=%q>`, name, fields.Get(name))
			}
			body.WriteString(`</form>`)
		}
		answerPage(w, body.String())
	}
	s.extra.HandleFunc("GET "+evilHost+"/win", forms)
	s.extra.HandleFunc("GET "+siblingHost+"/win", forms)
	c := openChromium(t, s)
	for name, other := range map[string]struct {
		page       string
		fetchedBy  string
		withCookie bool // the browser sends it: SameSite does not help here
	}{
		"another site":               {s.evil("/win"), "cross-site", false},
		"another origin of the site": {s.sibling("/win"), "same-site", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.elsewhere(t)
			wantPostsRefused(t, s, b, other.page, "/sign-in", "/cart/add")
			if stored := b.cookies(s.shop("/")); len(stored) != 0 {
				t.Errorf("the forms of another origin left a visitor with %s", namesOf(stored))
			}
			b.signIn(s.shop(""), "alice")
			b.open(s.shop("/shop"))
			b.click(".good button") // the shop's own form works
			token := b.cookie(s.shop("/"), sessionCookie).Value
			wantPostsRefused(t, s, b, other.page, "/sign-out", "/wallet/transfer", "/cart/add")
			got := s.seen.last(t, s.shop("/cart/add"))
			if got.fetchedBy != other.fetchedBy || slices.Contains(got.cookies, sessionCookie) != other.withCookie {
				t.Errorf("the browser posted as %s with the cookies %q", got.fetchedBy, got.cookies)
			}
			b.open(other.page)
			b.click("a")
			b.wantPath("/account")
			if who, cart := b.signedInAs(), eval[string](b, `document.querySelector(".basket b").textContent`); who != "alice" || cart != "1" {
				t.Errorf("after the posts %q is signed in with %s things in the cart", who, cart)
			}
			if b.cookie(s.shop("/"), sessionCookie).Value != token {
				t.Error("the posts replaced the cookie")
			}
		})
	}
}

// wantPostsRefused sends forms of another origin's page, as a person who clicks
// does, and before that all of them at once, as a script does.
func wantPostsRefused(t *testing.T, s *site, b *tab, from string, clicked ...string) {
	t.Helper()
	for i, path := range clicked {
		b.open(from)
		if i == 0 {
			eval[[]string](b, `Promise.all([...document.forms].map((form) =>
				fetch(form.action, { method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams(new FormData(form)) })
					.then((answer) => answer.type, (error) => error.name)))`)
		}
		if got := b.click(fmt.Sprintf(`form[action=%q] button`, s.shop(path))); got.status != http.StatusForbidden {
			t.Errorf("a post to %s from %s is answered %d", path, from, got.status)
		}
	}
}
