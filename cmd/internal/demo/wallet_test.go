package demo_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

var twelve = url.Values{"to": {"bob"}, "amount": {"12.50"}, "note": {"for the umbrella"}}

func TestATransferArrives(t *testing.T) {
	site := openSite(t)
	alice, bob := site.browser(), site.browser()
	alice.signIn("alice")
	bob.signIn("bob")
	p := alice.post("/wallet/transfer", twelve)
	p.want(t, http.StatusOK, "Send this?", "£12.50", "for the umbrella")
	alice.post("/wallet/confirm", url.Values{"form": {p.field(t, "form")}}).want(t, http.StatusOK, "£12.50 is on its way to bob.", "£487.50")
	bob.get("/wallet").want(t, http.StatusOK, "£512.50", "for the umbrella")
}

func TestATransferAsksForThePasswordAfterTwoMinutes(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	b.signIn("alice")
	site.clock.advance(2*time.Minute + time.Second)
	p := b.post("/wallet/transfer", twelve)
	p.want(t, http.StatusOK, "Is it still you?", "Your transfer is kept as you wrote it.")
	old := b.cookies()["__Host-id"]

	again := url.Values{"again": {"1"}, "next": {p.field(t, "next")}, "password": {"wrong wrong wrong"}}
	b.post("/sign-in", again).want(t, http.StatusUnprocessableEntity, "Is it still you?")
	again.Set("password", passwordOf("alice"))
	p = b.post("/sign-in", again)
	p.want(t, http.StatusOK, "Send this?", "£12.50")
	if b.cookies()["__Host-id"] == old {
		t.Error("the proof did not change the cookie")
	}

	// Time passes while the visitor looks at it: the button asks again.
	site.clock.advance(2*time.Minute + time.Second)
	form := url.Values{"form": {p.field(t, "form")}}
	b.post("/wallet/confirm", form).want(t, http.StatusOK, "Is it still you?")
	b.get("/wallet").want(t, http.StatusOK, "£500.00")
	b.post("/sign-in", again).want(t, http.StatusOK, "Send this?")
	b.post("/wallet/confirm", form).want(t, http.StatusOK, "on its way to bob")
}

func TestATransferIsSentOnce(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	form := url.Values{"form": {b.post("/wallet/transfer", twelve).field(t, "form")}}
	sent := 0
	for answer := range atOnce(12, func() page { return try(b, "/wallet/confirm", form) }) {
		switch answer.status {
		case http.StatusSeeOther:
			sent++
		case http.StatusConflict:
		default:
			t.Errorf("a click was answered %d", answer.status)
		}
	}
	if sent != 1 {
		t.Errorf("%d of 12 clicks sent the money", sent)
	}
	b.post("/wallet/confirm", form).want(t, http.StatusConflict, "This form has been used")
	b.get("/wallet").want(t, http.StatusOK, "£487.50")
}

func TestATransferIsChecked(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	for _, c := range []struct{ to, amount, problem string }{
		{"bob", "1,000", "Please write an amount"},
		{"bob", "-5", "Please write an amount"},
		{"bob", "500.01", "That is more than your wallet holds."},
		{"carol", "5", "Nobody here has that name."},
		{"alice", "5", "That is you."},
		{"", "5", "Please fill this in."},
	} {
		b.post("/wallet/transfer", url.Values{"to": {c.to}, "amount": {c.amount}}).want(t, http.StatusUnprocessableEntity, c.problem)
	}
	b.get("/wallet/confirm").want(t, http.StatusOK, "There is no transfer waiting")
}
