package coatchecktest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

var cart = coatcheck.NewKey[[]string]("shop.cart")

// shop is a program to be tested: a cart that anybody fills, and an account
// for those who have signed in.
func shop(sessions *coatcheck.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /cart", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return cart.Update(s, func(items []string) ([]string, error) {
			return append(items, r.FormValue("item")), nil
		})
	}))
	mux.Handle("POST /sign-in", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if r.FormValue("password") != "swordfish" {
			return errors.New("wrong password")
		}
		if err := s.SignIn(r.Context(), r.FormValue("user")); err != nil {
			return err
		}
		http.Redirect(w, r, coatcheck.NextPath(r), http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /account", sessions.RequireSignIn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := sessions.Get(r) // RequireSignIn has got it
		fmt.Fprintf(w, "hello, %s", s.Subject())
	})))
	return sessions.Handler(mux)
}

// In a test, t is the argument of the test function.
var t = new(testing.T)

func Example() {
	site := coatchecktest.New(t, coatcheck.Config{}, shop)
	alice := site.Visitor()
	alice.Post("/cart", url.Values{"item": {"scarf"}})

	res := alice.Post("/sign-in", url.Values{"user": {"alice"}, "password": {"swordfish"}, "next": {"/account"}})
	fmt.Println(alice.Follow(res).Body)

	items, _ := coatchecktest.Value(alice, cart)
	fmt.Println("the cart still holds", items)
	// Output:
	// hello, alice
	// the cart still holds [scarf]
}

func ExampleSite_Advance() {
	site := coatchecktest.New(t, coatcheck.Config{Idle: 20 * time.Minute}, shop)
	alice := site.SignedIn("alice")

	site.Advance(15 * time.Minute)
	fmt.Println("after 15 minutes:", alice.Get("/account").Status)
	site.Advance(15 * time.Minute)
	fmt.Println("15 minutes later:", alice.Get("/account").Status)
	site.Advance(21 * time.Minute)
	fmt.Println("21 minutes later:", alice.Get("/account").Status)
	// Output:
	// after 15 minutes: 200
	// 15 minutes later: 200
	// 21 minutes later: 401
}

func ExampleVisitor_PostFrom() {
	site := coatchecktest.New(t, coatcheck.Config{Logger: slog.New(slog.DiscardHandler)}, shop)
	alice := site.SignedIn("alice")

	res := alice.PostFrom("https://evil.example", "/cart", url.Values{"item": {"anvil"}})
	_, found := coatchecktest.Value(alice, cart)
	fmt.Println(res.Status, found)
	// Output: 403 false
}

func ExampleVisitor_Reopen() {
	site := coatchecktest.New(t, coatcheck.Config{}, shop)
	alice := site.SignedIn("alice")
	bob := site.SignedIn("bob", coatcheck.Remember(14*24*time.Hour))

	alice.Reopen()
	bob.Reopen()
	fmt.Println("alice:", alice.Get("/account").Status)
	fmt.Println("bob:", bob.Get("/account").Status)
	// Output:
	// alice: 401
	// bob: 200
}
