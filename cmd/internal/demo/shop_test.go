package demo_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func addCoat(b *browser) page {
	b.t.Helper()
	return b.post("/cart/add", url.Values{"good": {"coat"}, "quantity": {"1"}})
}

func TestWhoeverOnlyLooksLeavesNothing(t *testing.T) {
	b := openSite(t).browser()
	for _, path := range []string{"/", "/shop", "/cart", "/sign-in", "/welcome", "/goodbye", "/kept", "/what-happened", "/nowhere", "/live"} {
		p := b.get(path)
		if set := p.header.Values("Set-Cookie"); len(set) > 0 {
			t.Errorf("%s sets %q", path, set)
		}
	}
	b.get("/kept").want(t, http.StatusOK, "Nothing. You came without a cookie")
}

func TestTheFirstClickMakesAVisitorsSession(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b).want(t, http.StatusOK, "In your cart: Evening coat.")
	if cookies := b.cookies(); len(cookies) != 1 || cookies["__Host-id-visit"] == "" {
		t.Fatalf("cookies are %v", cookies)
	}
	if again := b.get("/shop"); again.has("In your cart:") {
		t.Error("a sentence for the next page is shown on the one after it too")
	}
}

func TestACartFilledBeforeSignInIsThereAfterIt(t *testing.T) {
	b := openSite(t).browser()
	b.post("/cart/add", url.Values{"good": {"scarf"}, "quantity": {"3"}})
	b.signIn("alice")
	b.get("/cart").want(t, http.StatusOK, "Striped scarf", "£94.50")
	if visit := b.cookies()["__Host-id-visit"]; visit != "" {
		t.Error("the visitor's cookie outlives the sign-in")
	}
}

func TestACartChanges(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b)
	addCoat(b)
	b.get("/cart").want(t, http.StatusOK, "£378.00")
	b.post("/cart/add", url.Values{"good": {"hat"}, "quantity": {"2"}})
	b.post("/cart", url.Values{"quantity.coat": {"2"}, "quantity.hat": {"1"}}).want(t, http.StatusOK, "£442.00")
	b.post("/cart", url.Values{"quantity.coat": {"7"}, "quantity.hat": {"1"}, "remove": {"hat"}}).want(t, http.StatusOK, "£378.00")
	b.post("/cart", url.Values{"quantity.coat": {"0"}}).want(t, http.StatusOK, "There is nothing in your cart")
	for _, wrong := range []url.Values{
		{"good": {"coat"}, "quantity": {"-1"}}, {"good": {"coat"}, "quantity": {"1000"}},
		{"good": {"coat"}, "quantity": {"x"}}, {"good": {"crown"}, "quantity": {"1"}},
	} {
		b.post("/cart/add", wrong).want(t, http.StatusBadRequest)
	}
}

var address = url.Values{"name": {"Alice Overton"}, "street": {"12 Hook Lane"}, "postcode": {"CT7 2AB"}, "city": {"Hangerford"}}

// checkOut goes as far as the review.
func checkOut(b *browser) page {
	b.t.Helper()
	addCoat(b)
	b.get("/checkout").want(b.t, http.StatusOK, "Where shall it go?")
	b.post("/checkout/address", address).want(b.t, http.StatusOK, "How shall it travel?")
	p := b.post("/checkout/delivery", url.Values{"delivery": {"post"}})
	p.want(b.t, http.StatusOK, "Is this right?", "Hangerford", "£193.95")
	return p
}

func TestACheckoutKeepsItsFormOverReloadAndSignIn(t *testing.T) {
	b := openSite(t).browser()
	checkOut(b)
	b.get("/checkout/address").want(t, http.StatusOK, `value="12 Hook Lane"`)
	b.get("/checkout/review").want(t, http.StatusOK, "Sign in to pay £193.95")
	p := b.post("/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}, "next": {"/checkout/review"}})
	p.want(t, http.StatusOK, "Is this right?", "12 Hook Lane", "Pay £193.95")
}

func TestACheckoutSaysWhatIsMissing(t *testing.T) {
	b := openSite(t).browser()
	b.get("/checkout/review").want(t, http.StatusOK, "There is nothing in your cart")
	addCoat(b)
	p := b.post("/checkout/address", url.Values{"name": {"Alice"}, "street": {strings.Repeat("x", 200)}})
	p.want(t, http.StatusUnprocessableEntity, `value="Alice"`, "Please fill this in.", "Please write less here.")
	b.get("/checkout/delivery").want(t, http.StatusOK, "Where shall it go?")
	b.post("/checkout/address", address)
	b.post("/checkout/delivery", url.Values{"delivery": {"pigeon"}}).want(t, http.StatusUnprocessableEntity, "Please choose one.")
}

func TestAnOrderIsPaidOnce(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	form := payForm(t, checkOut(b))
	for range 3 {
		b.post("/checkout/place", form).want(t, http.StatusOK, "Your order is placed and paid.", "Hangerford")
	}
	b.get("/wallet").want(t, http.StatusOK, "£306.05")
	if p := b.get("/wallet"); strings.Count(p.body, "An order from the shop") != 1 {
		t.Error("the statement has the order more than once")
	}
	b.get("/cart").want(t, http.StatusOK, "There is nothing in your cart")
	b.get("/account").want(t, http.StatusOK, "1 × Evening coat")
}

func TestAnOrderIsPaidOnceByManyClicksAtTheSameTime(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	form := payForm(t, checkOut(b))
	for answer := range atOnce(12, func() page { return try(b, "/checkout/place", form) }) {
		if answer.status != http.StatusSeeOther || !strings.HasPrefix(answer.header.Get("Location"), "/orders/") {
			t.Errorf("a click was answered %d %s", answer.status, answer.header.Get("Location"))
		}
	}
	b.get("/wallet").want(t, http.StatusOK, "£306.05")
}

func payForm(t *testing.T, review page) url.Values {
	t.Helper()
	return url.Values{"order": {review.field(t, "order")}, "total": {review.field(t, "total")}}
}

func TestAnOrderThatChangedMeanwhileIsNotPaid(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	form := payForm(t, checkOut(b))
	b.post("/cart/add", url.Values{"good": {"hat"}, "quantity": {"1"}})
	b.post("/checkout/place", form).want(t, http.StatusConflict, "Your cart changed meanwhile")
	b.get("/wallet").want(t, http.StatusOK, "£500.00")
}

func TestAnOrderNeedsMoneyAndASignIn(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	visitor := payForm(t, signInToPay(b))
	b.post("/checkout/place", visitor).want(t, http.StatusUnprocessableEntity, "There is not enough in your wallet. Nothing was paid.")
	b.get("/wallet").want(t, http.StatusOK, "£500.00")

	stranger := site.browser()
	checkOut(stranger)
	stranger.post("/checkout/place", url.Values{"order": {"x"}}).want(t, http.StatusOK, "Sign in")
	order := stranger.get("/orders/" + visitor.Get("order"))
	if order.path != "/sign-in?next=%2Forders%2F"+visitor.Get("order") {
		t.Errorf("a stranger who asks for an order is sent to %s", order.path)
	}
}

// signInToPay fills a cart with more than a wallet holds, and signs in.
func signInToPay(b *browser) page {
	b.t.Helper()
	checkOut(b)
	b.post("/cart/add", url.Values{"good": {"coat"}, "quantity": {"9"}})
	b.signIn("alice")
	return b.get("/checkout/review")
}

func TestTheNextOrderIsAnotherOne(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	for _, left := range []string{"£306.05", "£112.10"} {
		b.post("/checkout/place", payForm(t, checkOut(b))).want(t, http.StatusOK, "Your order is placed and paid.")
		b.get("/wallet").want(t, http.StatusOK, left)
	}
}
