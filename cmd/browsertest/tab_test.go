package browsertest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// The cookies of the demo.
const (
	sessionCookie = "__Host-id"
	visitCookie   = "__Host-id-visit"
)

// tab is one tab, and what a person does in it. What cannot be done fails the
// test.
type tab struct {
	t    *testing.T
	site *site
	ctx  context.Context
}

// run does one thing in the tab and returns what it yields.
func run[T any](b *tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	// The first action opens the tab, which then lives as long as its context.
	ctx := b.ctx
	if chromedp.FromContext(ctx).Target != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stepTime)
		defer cancel()
	}
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return value
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, what, chromedp.Steps(steps...))
}

// answered is what came of a navigation: the last answer, after redirects.
type answered struct {
	status int
	url    string
}

// leads does something that leads to a page and waits until that has loaded.
func (b *tab) leads(what string, steps ...chromedp.Action[chromedp.Void]) answered {
	b.t.Helper()
	return b.leading(what, steps...)()
}

// leading begins what leads does; what it returns waits for the page.
func (b *tab) leading(what string, steps ...chromedp.Action[chromedp.Void]) (wait func() answered) {
	var response *network.Response
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(b.ctx, stepTime)
		defer cancel()
		response, err = chromedp.RunResponse(ctx, steps...)
	}()
	return func() answered {
		b.t.Helper()
		<-done
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
		return answered{int(response.Status), response.URL}
	}
}

// open enters an address.
func (b *tab) open(address string) answered {
	b.t.Helper()
	return b.leads("open "+address, chromedp.Navigate(address))
}

// click clicks what leads to another page: a link, or the button of a form.
func (b *tab) click(css string) answered {
	b.t.Helper()
	return b.leads("click "+css, chromedp.Click(chromedp.CSS(css)))
}

// fill writes into an input.
func (b *tab) fill(css, text string) {
	b.t.Helper()
	b.do("fill "+css, chromedp.SetValue(chromedp.CSS(css), text))
}

// eval runs a script in the page, waits if it yields a promise, and returns
// its value.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	return run(b, "run "+script, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise, func(p *runtime.EvaluateParams) {
		userGesture := true
		p.UserGesture = &userGesture
	}))
}

// until waits until a script yields true, on this page or one that comes.
func (b *tab) until(what, script string) {
	b.t.Helper()
	eventually(b.t, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, stepTime)
		defer cancel()
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script)) // fails while the page changes
		return err == nil && yes
	}, func() { b.t.Fatalf("waiting until %s; the page is %s", what, b.page()) })
}

// leave goes to another path, as goBack does: with nothing but the page's own
// means, which also work on a page that the browser kept whole.
func (b *tab) leave(to string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`location.assign(%q), true`, to))
	b.until("the browser is at "+to, fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, to))
}

// goBack goes back one page and waits until it is at the path.
func (b *tab) goBack(path string) {
	b.t.Helper()
	eval[bool](b, `history.back(), true`)
	b.until("the browser is back at "+path, fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, path))
}

// page is the address and the text of the page, for messages and to look for
// words in it.
func (b *tab) page() string {
	b.t.Helper()
	return eval[string](b, `location.href + "\n" + (document.querySelector("main") || document.body).innerText`)
}

// path is where the tab is.
func (b *tab) path() string {
	b.t.Helper()
	return eval[string](b, `location.pathname`)
}

func (b *tab) wantPath(path string) {
	b.t.Helper()
	if got := b.path(); got != path {
		b.t.Fatalf("the browser is at %s, want %s; it shows %s", got, path, b.page())
	}
}

func (b *tab) wantText(texts ...string) {
	b.t.Helper()
	page := b.page()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.t.Fatalf("the page lacks %q: %s", text, page)
		}
	}
}

// signIn signs in on the demo at the address of its entrance, as a person does.
func (b *tab) signIn(entrance, name string) {
	b.t.Helper()
	b.open(strings.TrimSuffix(entrance, "/") + "/sign-in")
	b.submitSignIn(name)
}

// submitSignIn fills in and sends the form that the tab shows.
func (b *tab) submitSignIn(name string) {
	b.t.Helper()
	b.fill("#account", name)
	b.fill("#password", passwordOf(b.t, name))
	if got := b.click("main form button"); got.status != http.StatusOK {
		b.t.Fatalf("signing in is answered %d", got.status)
	}
	if who := b.signedInAs(); who != name {
		b.t.Fatalf("%q is signed in, want %s: %s", who, name, b.page())
	}
}

// signedInAs is who the page says is signed in.
func (b *tab) signedInAs() string {
	b.t.Helper()
	return eval[string](b, `document.querySelector(".person .name")?.textContent ?? ""`)
}

func passwordOf(t *testing.T, name string) string {
	t.Helper()
	for _, guest := range house.Guests() {
		if guest.Name == name {
			return guest.Password
		}
	}
	t.Fatalf("the demo has no guest %q", name)
	return ""
}

// call gives the browser a command of its protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// cookies are those that the browser would send to the address, by name, as it
// stores them.
func (b *tab) cookies(address string) map[string]*network.Cookie {
	b.t.Helper()
	found := call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
	named := map[string]*network.Cookie{}
	for _, cookie := range found.Cookies {
		if named[cookie.Name] != nil {
			b.t.Fatalf("the browser stores %s twice", cookie.Name)
		}
		named[cookie.Name] = cookie
	}
	return named
}

// cookie is one of them, which must be there.
func (b *tab) cookie(address, name string) *network.Cookie {
	b.t.Helper()
	cookie := b.cookies(address)[name]
	if cookie == nil {
		b.t.Fatalf("the browser stores no %s for %s, only %s", name, address, namesOf(b.cookies(address)))
	}
	return cookie
}

func (b *tab) wantNoCookie(address, name string) {
	b.t.Helper()
	if b.cookies(address)[name] != nil {
		b.t.Fatalf("the browser still stores %s for %s", name, address)
	}
}

func namesOf(cookies map[string]*network.Cookie) string {
	var names []string
	for name := range cookies {
		names = append(names, name)
	}
	return fmt.Sprint(names)
}

// plant sets a cookie as somebody does who has their hands on the browser.
func (b *tab) plant(address, name, value string) {
	b.t.Helper()
	yes := true
	call(b, network.SetCookie, network.SetCookieParams{
		Name: name, Value: value, URL: address, Path: "/", Secure: &yes, HTTPOnly: &yes, SameSite: network.CookieSameSiteLax,
	})
}

func clickOn(css string) chromedp.Action[chromedp.Void] { return chromedp.Click(chromedp.CSS(css)) }

func hostOf(t *testing.T, address string) string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return at.Hostname()
}

// forget deletes a cookie.
func (b *tab) forget(address, name string) {
	b.t.Helper()
	call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: name, URL: address})
}

// wantInCart checks the count beside the cart at the top of the page.
func (b *tab) wantInCart(count string) {
	b.t.Helper()
	if got := eval[string](b, `document.querySelector(".basket b")?.textContent ?? "none"`); got != count {
		b.t.Errorf("the cart has %s things, want %s", got, count)
	}
}
