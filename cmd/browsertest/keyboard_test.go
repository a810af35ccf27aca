package browsertest_test

import (
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// reachable numbers what a keyboard must reach, in the order of the page: of a
// group of radio buttons, one.
const reachable = `(() => {
  const groups = new Set();
  const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter((e) => {
    if (!e.checkVisibility({ visibilityProperty: true }) || e.disabled) return false;
    if (e.type !== "radio") return true;
    return !groups.has(e.name) && groups.add(e.name);
  });
  all.forEach((e, i) => { e.dataset.turn = i; });
  return all.length;
})()`

// focused is the number of what has the focus, with a ring that can be seen and
// within the window; -1 otherwise.
const focused = `(() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const seen = e.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
    && box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth;
  return seen ? Number(e.dataset.turn ?? -1) : -1;
})()`

func TestTheKeyboardReachesEverything(t *testing.T) {
	s := openSite(t, opening{})
	b := openChromium(t, s).tab(t)
	tabThrough := func(path string) {
		t.Helper()
		b.open(s.shop(path))
		var wanted, turns []int
		for turn := range eval[int](b, reachable) {
			wanted = append(wanted, turn)
			b.do("press Tab", chromedp.KeyEvent(kb.Tab))
			turns = append(turns, eval[int](b, focused))
		}
		if !slices.Equal(turns, wanted) {
			t.Errorf("%s: Tab goes through %v, want the order of the page (-1: unseen)", path, turns)
		}
	}
	tabThrough("/sign-in")
	tabThrough("/shop")

	// Signing in, adding, and signing out with the keyboard alone.
	b.open(s.shop("/sign-in"))
	b.do("go to the form", chromedp.Focus(chromedp.CSS("#account")))
	b.leads("type a name and a password", chromedp.KeyEvent("alice"+kb.Tab+passwordOf(t, "alice")+kb.Enter))
	if who := b.signedInAs(); who != "alice" {
		t.Fatalf("with the keyboard %q signed in", who)
	}
	b.open(s.shop("/shop"))
	b.do("go to the goods", chromedp.Focus(chromedp.CSS(".good input[type=number]")))
	b.leads("ask for two", chromedp.KeyEvent(kb.ArrowUp+kb.Enter))
	b.wantInCart("2")
	tabThrough("/cart")
	tabThrough("/sessions")

	// The first Tab offers to skip the header.
	b.open(s.shop("/shop"))
	b.do("skip to the content", chromedp.KeyEvent(kb.Tab+kb.Enter+kb.Tab))
	if inside := eval[bool](b, `document.querySelector("main").contains(document.activeElement)`); !inside {
		t.Error("the way to skip the header does not lead into the page")
	}
	b.do("go to sign-out", chromedp.Focus(chromedp.CSS(`form[action="/sign-out"] button`)))
	b.leads("sign out", chromedp.KeyEvent(kb.Enter))
	b.wantPath("/goodbye")
}
