package demo_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

func TestProblemsHavePagesOfTheHouse(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	b.get("/nowhere").want(t, http.StatusNotFound, "There is no such page", "The Coat Check")
	b.get("/orders/none").want(t, http.StatusNotFound, "There is no such order")
	b.post("/cart/add", url.Values{"good": {strings.Repeat("x", 20_000)}}).want(t, http.StatusRequestEntityTooLarge, "That form is too large")
}

func TestAnotherSitesFormIsRefused(t *testing.T) {
	b := openSite(t).browser()
	for _, path := range []string{"/cart/add", "/sign-in", "/sign-out"} {
		p, err := b.try("POST", path, url.Values{"good": {"coat"}, "quantity": {"1"}}, "cross-site")
		if err != nil {
			t.Fatal(err)
		}
		p.want(t, http.StatusForbidden, "Another site sent this")
	}
	p, err := b.try("GET", "/shop", nil, "cross-site")
	if err != nil {
		t.Fatal(err)
	}
	p.want(t, http.StatusOK, "The shop")
}

func TestALateFormOfASupersededSessionIsTold(t *testing.T) {
	site := openSite(t)
	b, late := site.browser(), site.browser()
	addCoat(b)
	at, err := url.Parse(site.url)
	if err != nil {
		t.Fatal(err)
	}
	late.client.Jar.SetCookies(at, b.client.Jar.Cookies(at))
	b.signIn("alice")
	addCoat(late).want(t, http.StatusConflict, "Your session changed in another tab", "Continue", "which opens no session")
	if _, stayed := late.cookies()["__Host-id"]; stayed {
		t.Error("a late request was given the sign-in")
	}
}

// brokenStore fails when it is told to.
type brokenStore struct {
	store.Store
	broken atomic.Bool
}

func (s *brokenStore) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	if s.broken.Load() {
		return errors.New("no answer")
	}
	return s.Store.Load(ctx, id, rec, read)
}

func TestAStoreThatFailsIsAPageAndNoSignOut(t *testing.T) {
	kept := &brokenStore{Store: memstore.New(nil)}
	b := openSiteOver(t, kept).browser()
	b.signIn("alice")
	kept.broken.Store(true)
	p := b.get("/wallet")
	p.want(t, http.StatusServiceUnavailable, "The cloakroom cannot be reached", "Nobody is signed out", "cannot be told now")
	if strings.Contains(p.body, `href="/sign-in`) {
		t.Error("who may be signed in is asked to sign in")
	}
	if p.header.Get("Retry-After") == "" || len(p.header.Values("Set-Cookie")) > 0 {
		t.Errorf("Retry-After %q, Set-Cookie %d", p.header.Get("Retry-After"), len(p.header.Values("Set-Cookie")))
	}
	kept.broken.Store(false)
	b.get("/wallet").want(t, http.StatusOK, "Your wallet")
}

func TestEveryAnswerIsNarrowedByItsHeaders(t *testing.T) {
	b := openSite(t).browser()
	home := b.get("/")
	asset := regexp.MustCompile(`/static/site-[0-9a-f]+\.css`).FindString(home.body)
	for _, path := range []string{"/", "/nowhere", "/wallet", asset, "/static/none.css", "/live"} {
		p := b.once("GET", path, nil)
		for name, part := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if p.header.Get(name) != part {
				t.Errorf("%s: %s is %q", path, name, p.header.Get(name))
			}
		}
	}
}

func TestPagesNeedNothingThatThePolicyForbids(t *testing.T) {
	b := openSite(t).browser()
	checkOut(b)
	b.signIn("admin")
	inline := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<style|<script>|javascript:|https?://[^l"'< ]`)
	for _, path := range []string{"/", "/shop", "/cart", "/checkout/address", "/checkout/delivery", "/checkout/review", "/wallet", "/wallet/confirm", "/account", "/kept", "/sessions", "/admin", "/what-happened", "/sign-in", "/welcome", "/goodbye", "/nowhere"} {
		p := b.get(path)
		if found := inline.FindString(p.body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if strings.Contains(p.body, "<no value>") || strings.Contains(p.body, "ZgotmplZ") {
			t.Errorf("%s has a hole:\n%s", path, p.main())
		}
	}
}

func TestAssetsAreKeptForEverUnderTheNameOfTheirContent(t *testing.T) {
	b := openSite(t).browser()
	home := b.get("/")
	urls := regexp.MustCompile(`/static/[a-z]+-[0-9a-f]{12}\.(css|js|svg)`).FindAllString(home.body, -1)
	if len(urls) != 4 {
		t.Fatalf("the page names %v", urls)
	}
	for _, at := range urls {
		p := b.get(at)
		p.want(t, http.StatusOK)
		if p.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || p.header.Get("Vary") != "" {
			t.Errorf("%s: Cache-Control %q, Vary %q", at, p.header.Get("Cache-Control"), p.header.Get("Vary"))
		}
	}
	b.get("/static/site.css").want(t, http.StatusNotFound)
}
