package browsertest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coatcheck/coatcheck/cmd/internal/demo"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// brokenStore answers no load while it is told not to.
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

func TestEveryPageOfTroubleIsWhole(t *testing.T) {
	kept := &brokenStore{Store: memstore.New(nil)}
	s := openSite(t, opening{store: kept, noHSTS: true})
	s.extra.HandleFunc("GET "+evilHost+"/win", func(w http.ResponseWriter, _ *http.Request) {
		answerPage(w, `<form method="post" action="`+s.shop("/cart/add")+`"><button>Win a coat</button></form>`)
	})
	c := openChromium(t, s)
	b := newTour(c.tab(t), "trouble")
	// strip is what the foot of the page says of its session.
	answers := func(name string, got answered, status int, text, strip string) {
		t.Helper()
		if got.status != status {
			t.Errorf("%s: answered %d, want %d", name, got.status, status)
		}
		b.wantText(text)
		if said := eval[string](b.tab, `document.querySelector(".strip").innerText`); !strings.Contains(said, strip) {
			t.Errorf("%s: of the session the page says %q, want %q", name, said, strip)
		}
		b.look(name)
	}

	b.open(s.overPlainHTTP(s.shop("/shop")))
	answers("not-over-this-connection", b.click(`[value="coat"] ~ button`), http.StatusForbidden, "Not over this connection", "came without a cookie")
	b.open(s.evil("/win"))
	answers("another-site", b.click("button"), http.StatusForbidden, "Another site sent this", "came without a cookie")
	heard := hear(b.tab)

	b.open(s.shop("/shop"))
	b.click(`[value="coat"] ~ button`)
	late := c.elsewhere(t)
	late.plant(s.shop("/"), visitCookie, b.cookie(s.shop("/"), visitCookie).Value)
	late.open(s.shop("/shop"))
	b.signIn(s.shop(""), "alice")
	first := b.tab
	b.tab = late
	answers("stale", b.click(`[value="hat"] ~ button`), http.StatusConflict, "Your session changed in another tab", "opens no session")
	b.tab = first

	b.transfer(s, "bob", "1")
	second := c.tab(t)
	second.open(s.shop("/wallet/confirm"))
	second.click("main form button")
	answers("transfer-used", b.click("main form button"), http.StatusConflict, "This form has been used", "the session of alice")
	answers("no-transfer-waits", b.open(s.shop("/wallet/confirm")), http.StatusOK, "no transfer waiting", "the session of alice")
	answers("no-such-order", b.open(s.shop("/orders/none")), http.StatusNotFound, "There is no such order", "the session of alice")

	kept.broken.Store(true)
	answers("store-in-trouble", b.open(s.shop("/wallet")), http.StatusServiceUnavailable, "The cloakroom cannot be reached", "cannot be told now")
	kept.broken.Store(false)

	guesser := c.elsewhere(t)
	guesser.open(s.shop("/sign-in"))
	b.tab = guesser
	var got answered
	for range 6 {
		b.fill("#account", "bob")
		b.fill("#password", "not bob's")
		got = b.click("main form button")
	}
	answers("too-many-attempts", got, http.StatusTooManyRequests, "Too many attempts", "came without a cookie")
	heard.check(t)
	b.report()
}

// What people write is long, and has no spaces where lines could break.
func TestLongTextsStayInTheirPlaces(t *testing.T) {
	s := openSite(t, opening{})
	b := newTour(openChromium(t, s).tab(t), "long")
	b.open(s.shop("/shop"))
	b.do("ask for twenty", chromedp.SetValue(chromedp.CSS(`[value="coat"] ~ * input[type=number]`), "20"))
	b.click(`[value="coat"] ~ button`)
	b.open(s.shop("/checkout/address"))
	long := strings.Repeat("Wwwwwwwwww", 12)
	for field, most := range map[string]int{"name": 80, "street": 120, "postcode": 16, "city": 80} {
		b.fill("#"+field, long[:most])
	}
	b.click("main form button")
	b.do("choose a delivery", clickOn(".choice"))
	b.click("main form button")
	b.look("checkout-review")
	b.signIn(s.shop(""), "alice")
	b.open(s.shop("/checkout/review"))
	b.click(`form[action="/checkout/place"] button`)
	b.look("cannot-pay")
	b.open(s.shop("/kept"))
	b.look("kept")
	b.open(s.shop("/wallet"))
	b.fill("#to", "bob")
	b.fill("#amount", "1")
	b.fill("#note", long[:80])
	b.click("main form button")
	b.look("confirm")
	b.click("main form button")
	b.look("wallet")
	b.open(s.shop("/what-happened?" + long))
	b.look("what-happened")
	b.report()
}

func TestEveryPageOfADeviceIsWhole(t *testing.T) {
	s := openBindingSite(t)
	house, err := demo.New(demo.Options{Now: s.clock.Now, DeviceBound: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(house.Close)
	s.serveWith(house)
	b := newTour(openChromium(t, s.site, withoutQuota).tab(t), "device")
	b.signIn(s.shop(""), "alice")
	b.open(s.shop("/device"))
	b.look("not-bound-yet")
	s.untilBound(b.tab)
	b.open(s.shop("/device"))
	b.look("bound")
	b.click("main form button")
	b.look("stolen")
	b.report()
}
