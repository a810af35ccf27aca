package browsertest_test

import (
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/inspect.js
var inspection string

// screens are the widths that every page is looked at in.
var screens = []struct {
	name          string
	width, height int64
	phone         bool
}{{"phone", 390, 844, true}, {"desktop", 1280, 900, false}}

// tour looks at one page after another.
type tour struct {
	*tab
	folder string
	pages  int
	wrong  map[string][]string // what is wrong, and in which pictures
}

// newTour begins a tour, whose pictures go to a folder of that name, or to that
// of all pictures.
func newTour(b *tab, name string) *tour {
	b.t.Helper()
	return &tour{tab: b, folder: picturesFolder(b.t, name), wrong: map[string][]string{}}
}

// report says what was wrong.
func (b *tour) report() {
	b.t.Helper()
	for wrong, where := range b.wrong {
		b.t.Errorf("%s, in %s and %d more", wrong, where[0], len(where)-1)
	}
	b.t.Logf("%d pages, pictures in %s", b.pages, b.folder)
}

// look inspects the page at which the tab is, in each width, light and dark,
// and takes its picture.
func (b *tour) look(name string) {
	b.t.Helper()
	b.pages++
	for _, screen := range screens {
		call(b.tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: screen.width, Height: screen.height, DeviceScaleFactor: 1, Mobile: screen.phone,
		})
		for _, scheme := range []string{"light", "dark"} {
			call(b.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			where := fmt.Sprintf("%02d-%s-%s-%s", b.pages, name, screen.name, scheme)
			for _, wrong := range eval[[]string](b.tab, inspection) {
				b.wrong[wrong] = append(b.wrong[wrong], where)
			}
			b.picture(where + ".png")
		}
	}
	call(b.tab, emulation.ClearDeviceMetricsOverride, chromedp.Void{})
}

// picture writes a picture of the whole page.
func (b *tour) picture(file string) {
	b.t.Helper()
	yes := true
	taken := call(b.tab, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &yes, OptimizeForSpeed: &yes})
	if err := os.WriteFile(filepath.Join(b.folder, file), taken.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// complaints are what the browser has to say against the pages that it shows.
type complaints struct {
	mu    sync.Mutex
	all   map[string]bool
	hosts map[string]bool // that anything was asked of
}

// hear begins to listen for them.
func hear(b *tab) *complaints {
	b.t.Helper()
	heard := &complaints{all: map[string]bool{}, hosts: map[string]bool{}}
	add := func(format string, values ...any) { heard.all[fmt.Sprintf(format, values...)] = true }
	b.listen(func(event any) {
		heard.mu.Lock()
		defer heard.mu.Unlock()
		switch event := event.(type) {
		case *audits.EventIssueAdded:
			add("issue: %s", event.Issue.Code)
		case *log.EventEntryAdded:
			if event.Entry.Source != log.EntrySourceNetwork { // that a page is answered 404 is as it should be
				add("%s: %s", event.Entry.Source, event.Entry.Text)
			}
		case *runtime.EventConsoleAPICalled:
			add("console.%s", event.Type)
		case *runtime.EventExceptionThrown:
			add("exception: %s", event.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if at, err := url.Parse(event.Request.URL); err != nil || at.Scheme != "data" {
				heard.hosts[at.Scheme+"://"+at.Hostname()] = true
			}
		}
	})
	call(b, audits.Enable, chromedp.Void{})
	return heard
}

func (c *complaints) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for complaint := range c.all {
		t.Error("the browser complains:", complaint)
	}
	delete(c.hosts, "https://"+shopHost)
	if len(c.hosts) > 0 {
		t.Errorf("pages of the demo ask something of %v", c.hosts)
	}
}

func TestEveryPageIsWhole(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	b := newTour(c.tab(t), "")
	heard := hear(b.tab)
	visit := func(path, name string) { t.Helper(); b.open(s.shop(path)); b.look(name) }

	visit("/", "entrance")
	visit("/shop", "shop")
	visit("/cart", "cart-empty")
	visit("/kept", "kept-nothing")
	visit("/what-happened", "what-happened-first")
	visit("/sign-in?as=alice", "sign-in")
	b.fill("#password", "not alice's")
	b.click("main form button")
	b.look("sign-in-refused")
	visit("/welcome", "no-cookie-came-back")
	visit("/nowhere", "no-such-page")

	b.open(s.shop("/shop"))
	b.click(`[value="coat"] ~ button`)
	b.click(`[value="gloves"] ~ button`)
	b.look("shop-added")
	visit("/cart", "cart")
	visit("/checkout/address", "checkout-address")
	for field, text := range map[string]string{"name": "Alice Ashdown", "street": "12 Cloak Lane", "postcode": "EC4R 2RU", "city": "London"} {
		b.fill("#"+field, text)
	}
	b.click("main form button")
	b.look("checkout-delivery")
	b.do("choose a delivery", clickOn(".choice"))
	b.click("main form button")
	b.look("checkout-review-visitor")
	visit("/kept", "kept-visitor")
	visit("/what-happened", "what-happened-visitor")

	elsewhere := c.elsewhere(t)
	elsewhere.signIn(s.shop(""), "alice")
	b.signIn(s.shop(""), "alice")
	visit("/checkout/review", "checkout-review")
	b.click(`form[action="/checkout/place"] button`)
	b.look("order")
	b.transfer(s, "nobody", "1000000")
	b.look("wallet-refused")
	b.transfer(s, "bob", "12.50")
	b.look("wallet-confirm")
	b.click("main form button")
	b.look("wallet-sent")
	visit("/account", "account")
	visit("/sessions", "sessions")
	visit("/kept", "kept")
	visit("/what-happened", "what-happened")
	visit("/admin", "admin-refused")
	s.clock.advance(3 * time.Minute)
	b.transfer(s, "bob", "1")
	b.look("sign-in-again")
	b.click(`form[action="/sign-out"] button`)
	b.look("goodbye")
	b.signIn(s.shop(""), "admin")
	visit("/admin", "admin")
	visit("/admin?subject=alice", "admin-alice")
	heard.check(t)
	b.report()
}

// transfer asks the wallet to send money.
func (b *tour) transfer(s *site, to, amount string) {
	b.t.Helper()
	b.open(s.shop("/wallet"))
	b.fill("#to", to)
	b.fill("#amount", amount)
	b.click("main form button")
}

func picturesFolder(t *testing.T, below string) string {
	t.Helper()
	folder := os.Getenv("COATCHECK_SCREENSHOTS")
	if folder == "" {
		folder = "screenshots"
	}
	folder = filepath.Join(folder, below)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}
