// Command chi shows Coatcheck under the router chi: sessions.Handler is a
// middleware like any other, and handlers get their session as an argument.
package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/go-chi/chi/v5"
)

var cart = coatcheck.NewKey[[]string]("shop.cart")

func main() {
	routes, err := newRouter()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", routes))
}

func newRouter() (http.Handler, error) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(sessions.Handler)
	r.Method(http.MethodPost, "/cart", sessions.HandlerFunc(add))
	r.Method(http.MethodGet, "/cart", sessions.HandlerFunc(show))
	r.Method(http.MethodPost, "/login", sessions.HandlerFunc(login))
	r.Method(http.MethodPost, "/logout", sessions.HandlerFunc(logout))
	return r, nil
}

func add(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	return cart.Update(s, func(items []string) ([]string, error) { return append(items, r.FormValue("item")), nil })
}

func show(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	items, _ := cart.Get(s)
	return json.NewEncoder(w).Encode(map[string]any{"user": s.Subject(), "cart": items})
}

// login takes anybody: a program of yours checks a password first.
func login(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	return s.SignIn(r.Context(), r.FormValue("user"))
}

func logout(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	return s.End(r.Context())
}
