package browsertest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// meeting is where requests wait for each other.
type meeting struct {
	mu      sync.Mutex
	missing int
	allHere chan struct{}
}

func newMeeting(of int) *meeting { return &meeting{missing: of, allHere: make(chan struct{})} }

func (m *meeting) wait(ctx context.Context) error {
	m.mu.Lock()
	if m.missing--; m.missing == 0 {
		close(m.allHere)
	}
	m.mu.Unlock()
	select {
	case <-m.allHere:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nobody else came: %w", context.Cause(ctx))
	}
}

type meetingKey struct{}

// meetingStore makes requests meet that carry a meeting: each has loaded its
// session before any goes on, so that all but one write on old data.
type meetingStore struct{ store.Store }

func (s meetingStore) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	err := s.Store.Load(ctx, id, rec, read)
	if m, ok := ctx.Value(meetingKey{}).(*meeting); ok && err == nil {
		err = m.wait(ctx)
	}
	return err
}

func TestTwoTabsAddingAtOnceLoseNothing(t *testing.T) {
	s := openSite(t, opening{store: meetingStore{memstore.New(nil)}})
	c := openChromium(t, s)
	one, two := c.tab(t), c.tab(t)
	one.signIn(s.shop(""), "alice")
	one.open(s.shop("/shop"))
	two.open(s.shop("/shop"))

	door, loaded := newMeeting(2), newMeeting(2)
	s.extra.HandleFunc("POST "+shopHost+"/cart/add", func(w http.ResponseWriter, r *http.Request) {
		if err := door.wait(r.Context()); err != nil {
			t.Error(err)
		}
		s.demo.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), meetingKey{}, loaded)))
	})
	first := one.leading("add a hat", clickOn(`[value="hat"] ~ button`))
	second := two.leading("add a scarf", clickOn(`[value="scarf"] ~ button`))
	for _, got := range []answered{first(), second()} {
		if got.status != http.StatusOK {
			t.Errorf("adding to the cart is answered %d at %s", got.status, got.url)
		}
	}
	one.open(s.shop("/cart"))
	one.wantText("Felt hat", "Striped scarf")
	one.wantInCart("2")

	// And as fast as two tabs can.
	const burst = `window.burst = Promise.all(Array.from({ length: 8 }, () =>
		fetch("/cart/add", { method: "POST", body: new URLSearchParams({ good: "hat", quantity: "1" }) }).then((answer) => answer.status))), true`
	eval[bool](one, burst)
	eval[bool](two, burst)
	for _, status := range append(eval[[]int](one, `window.burst`), eval[[]int](two, `window.burst`)...) {
		if status != http.StatusOK {
			t.Errorf("adding to the cart is answered %d", status)
		}
	}
	one.open(s.shop("/cart"))
	one.wantInCart("18")
}

func TestSigningOutHoldsAgainstASlowRequest(t *testing.T) {
	s := openSite(t, opening{})
	note := coatcheck.NewKey[string]("test.note")
	arrived, goOn := make(chan struct{}), make(chan struct{})
	s.extra.Handle("GET "+shopHost+"/slow", s.demo.Sessions().Handler(s.demo.Sessions().HandlerFunc(
		func(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
			note.Get(session)
			arrived <- struct{}{}
			select {
			case <-goOn:
			case <-t.Context().Done():
			}
			if r.URL.Query().Has("write") {
				if err := note.Set(session, "written late"); err != nil {
					return err
				}
			}
			answerPage(w, "slow page of "+session.Subject())
			return nil
		})))
	c := openChromium(t, s)
	one, two := c.tab(t), c.tab(t)
	for _, address := range []string{s.shop("/slow?read"), s.shop("/slow?write")} {
		one.signIn(s.shop(""), "alice")
		token := one.cookie(s.shop("/"), sessionCookie).Value
		two.open(s.shop("/shop"))
		slowly := one.leading("open "+address, chromedp.Navigate(address))
		select {
		case <-arrived:
		case <-time.After(stepTime):
			t.Fatal("the slow request does not arrive")
		}
		two.click(`form[action="/sign-out"] button`)
		two.wantNoCookie(s.shop("/"), sessionCookie)
		goOn <- struct{}{}
		if got := slowly(); got.status != http.StatusOK {
			t.Errorf("the slow request is answered %d", got.status)
		}
		one.wantText("slow page of alice") // it began before the sign-out
		if stored := one.cookies(s.shop("/")); len(stored) != 0 {
			t.Errorf("after the slow answer the browser stores %s", namesOf(stored))
		}
		if left, err := s.demo.Sessions().List(t.Context(), "alice"); err != nil || len(left) != 0 {
			t.Errorf("alice has %d sessions (%v)", len(left), err)
		}
		one.plant(s.shop("/"), sessionCookie, token) // as it was before the sign-out
		one.open(s.shop("/account"))
		one.wantPath("/sign-in")
		one.forget(s.shop("/"), sessionCookie)
	}
}

func TestAfterSignOutBackShowsNoPrivatePage(t *testing.T) {
	s := openSite(t, opening{})
	// A page as restorable as a private page can be: no script that listens.
	s.extra.Handle("GET "+shopHost+"/quiet", s.demo.Sessions().Handler(s.demo.Sessions().HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request, session *coatcheck.Session) error {
			answerPage(w, `<p>this is for `+session.Subject()+`.<script>addEventListener("pageshow", (e) => { window.restored = e.persisted })</script>`)
			return nil
		})))
	s.extra.HandleFunc("GET "+shopHost+"/public", func(w http.ResponseWriter, _ *http.Request) { answerPage(w, "public") })
	c := openChromium(t, s)

	t.Run("pages of the demo", func(t *testing.T) {
		b := c.elsewhere(t)
		b.signIn(s.shop(""), "alice")
		b.open(s.shop("/wallet"))
		b.wantText("Balance")
		b.open(s.shop("/account"))
		b.click(`form[action="/sign-out"] button`)
		b.wantPath("/goodbye")
		for range 2 {
			b.goBack("/sign-in")
			if page := b.page(); strings.Contains(page, "Balance") || strings.Contains(page, "Change your password") || b.signedInAs() != "" {
				t.Errorf("Back shows %s", page)
			}
		}
	})
	t.Run("a page that the browser may keep whole", func(t *testing.T) {
		b, other := c.tab(t), c.tab(t)
		b.signIn(s.shop(""), "alice")
		b.open(s.shop("/quiet"))
		b.leave("/public")
		b.goBack("/quiet")
		b.wantText("this is for alice.")
		if !eval[bool](b, `window.restored`) {
			t.Fatal("while signed in, Back does not restore the page: what follows would show nothing")
		}
		b.leave("/public")
		other.open(s.shop("/shop"))
		other.click(`form[action="/sign-out"] button`)
		b.goBack("/quiet")
		b.wantText("this is for .")
	})
}

func TestASessionEndedElsewhereIsOverAtOnce(t *testing.T) {
	s := openSite(t, opening{})
	c := openChromium(t, s)
	here, elsewhere := c.tab(t), c.elsewhere(t)
	here.signIn(s.shop(""), "alice")
	streamed := here.streamed()
	here.open(s.shop("/wallet"))
	here.wantText("Balance")
	streamed.wait(1) // it listens

	elsewhere.signIn(s.shop(""), "alice")
	elsewhere.open(s.shop("/sessions"))
	elsewhere.click(`form[action="/sessions/end"] button`)
	elsewhere.wantText("is cancelled")

	here.until("the open page says that the session ended", `!document.querySelector(".banner").hidden`)
	if reason, told := streamed.wait(1)["ended"]; !told || reason != "ended by another" {
		t.Errorf("the stream says that the session ended: %v, because of %q", told, reason)
	}
	here.click(`a[href="/sessions"]`)
	here.wantPath("/sign-in")
	if who := elsewhere.signedInAs(); who != "alice" {
		t.Errorf("elsewhere %q is signed in", who)
	}
	here.cookie(s.shop("/"), sessionCookie) // an answer to another's sign-out erases no cookie
}
