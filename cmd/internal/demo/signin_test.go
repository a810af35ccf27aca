package demo_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

func TestSignInLeadsWhereTheVisitorWantedToGo(t *testing.T) {
	site := openSite(t)
	for _, c := range []struct{ next, ends string }{
		{"/wallet", "/wallet"},
		{"/admin?subject=bob", "/admin?subject=bob"},
		{"", "/"},
		{"https://example.com/", "/"},
		{"//example.com/", "/"},
		{`/\example.com`, "/"},
	} {
		b := site.browser()
		p := b.post("/sign-in", url.Values{"account": {"admin"}, "password": {passwordOf("admin")}, "next": {c.next}})
		if p.status != http.StatusOK || p.path != c.ends {
			t.Errorf("next %q leads to %d %s", c.next, p.status, p.path)
		}
	}
}

func TestAMembersPageLeadsThroughSignInAndBack(t *testing.T) {
	b := openSite(t).browser()
	p := b.get("/wallet")
	p.want(t, http.StatusOK, "Sign in")
	b.post("/sign-in", url.Values{"account": {"Bob "}, "password": {passwordOf("bob")}, "next": {p.field(t, "next")}}).
		want(t, http.StatusOK, "Your wallet", "£500.00")
}

func TestALimitDaysAwayHasItsDate(t *testing.T) {
	b := openSite(t).browser() // it is the second of March
	b.post("/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}, "remember": {"1"}})
	for _, path := range []string{"/", "/what-happened"} {
		b.get(path).want(t, http.StatusOK, "on 16 March at ", "on 1 April at ")
	}
}

func TestWhoeverIsAskedAgainIsOfferedTheirOwnPasswordAlone(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	for _, as := range []string{"", "?as=alice", "?as=bob"} {
		p := b.get("/sign-in" + as)
		p.want(t, http.StatusOK, "Is it still you?", passwordOf("alice"))
		if p.has(passwordOf("bob")) {
			t.Errorf("%q: alice is offered bob's password", as)
		}
	}
}

func TestAWrongPasswordSaysNeitherNameNorPassword(t *testing.T) {
	b := openSite(t).browser()
	for _, account := range []string{"alice", "nobody", ""} {
		b.post("/sign-in", url.Values{"account": {account}, "password": {"wrong wrong wrong"}}).
			want(t, http.StatusUnprocessableEntity, "That name and password do not belong together.")
	}
	if len(b.cookies()) > 0 {
		t.Errorf("a wrong password left cookies: %v", b.cookies())
	}
}

func TestAttemptsAreLimitedByAccountAndAddress(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	wrong := url.Values{"account": {"alice"}, "password": {"wrong wrong wrong"}}
	for range house.MaxAttempts {
		b.post("/sign-in", wrong).want(t, http.StatusUnprocessableEntity)
		site.clock.advance(time.Second)
	}
	right := url.Values{"account": {"alice"}, "password": {passwordOf("alice")}}
	p := b.post("/sign-in", right)
	p.want(t, http.StatusTooManyRequests, "Too many attempts from your address. Try again in 5 minutes.")
	if wait, err := strconv.Atoi(p.header.Get("Retry-After")); err != nil || wait < 280 || wait > 300 {
		t.Errorf("Retry-After is %q", p.header.Get("Retry-After"))
	}
	site.browser().signIn("bob")
	site.clock.advance(house.AttemptsWithin)
	b.signIn("alice")
}

func TestAttemptsAtTheSameTimeAllCount(t *testing.T) {
	b := openSite(t).browser()
	looked := 0
	for answer := range atOnce(20, func() page {
		return try(b, "/sign-in", url.Values{"account": {"alice"}, "password": {"wrong wrong wrong"}})
	}) {
		if answer.status == http.StatusUnprocessableEntity {
			looked++
		}
	}
	if looked != house.MaxAttempts {
		t.Errorf("%d of 20 guesses were looked at", looked)
	}
}

func TestRememberMeIsTheOnlyLastingCookie(t *testing.T) {
	site := openSite(t)
	for _, remember := range []string{"", "1"} {
		b := site.browser()
		p := b.once("POST", "/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}, "remember": {remember}})
		line := p.header.Get("Set-Cookie")
		if lasting := strings.Contains(line, "Max-Age=2592000"); lasting != (remember != "") {
			t.Errorf("remember %q sets %d bytes, Max-Age: %v", remember, len(line), lasting)
		}
	}
}

func TestABrowserThatDropsCookiesIsTold(t *testing.T) {
	b := openSite(t).browser()
	b.client.Jar = nil
	b.post("/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}}).
		want(t, http.StatusOK, "Your browser did not keep the ticket", "Safari on http://localhost", "coatcheck demo --tls")
}

func TestSignOutIsFinalAndShown(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	b.signIn("alice")
	kept := b.cookies()["__Host-id"]
	p := b.post("/sign-out", url.Values{})
	p.want(t, http.StatusOK, "Your ticket is cancelled", "POST /sign-out", "delete", "Max-Age=0")
	if len(b.cookies()) > 0 {
		t.Errorf("cookies after sign-out: %v", b.cookies())
	}
	b.get("/wallet").want(t, http.StatusOK, "Sign in")

	thief := site.browser()
	at, _ := url.Parse(site.url)
	thief.client.Jar.SetCookies(at, []*http.Cookie{{Name: "__Host-id", Value: kept, Path: "/", Secure: true}})
	thief.get("/wallet").want(t, http.StatusOK, "Sign in")
}

func TestEveryPageOfAMemberHasSignOut(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("admin")
	for _, path := range []string{"/", "/shop", "/cart", "/wallet", "/wallet/confirm", "/account", "/kept", "/sessions", "/admin", "/what-happened", "/sign-in", "/nowhere"} {
		if !b.get(path).has(`action="/sign-out"`) {
			t.Errorf("%s has no sign-out", path)
		}
	}
}
