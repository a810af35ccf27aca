// Command fiber shows Coatcheck under a framework that is not net/http: Open
// and Commit in place of Handler.
package main

import (
	"log"

	"github.com/coatcheck/coatcheck"
	"github.com/gofiber/fiber/v3"
)

var cart = coatcheck.NewKey[[]string]("shop.cart")

func main() {
	app, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(app.Listen("localhost:8080"))
}

func newApp() (*fiber.App, error) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		return nil, err
	}
	with := func(f func(fiber.Ctx, *coatcheck.Session) error) fiber.Handler {
		return func(c fiber.Ctx) error { return serve(sessions, c, f) }
	}
	app := fiber.New()
	app.Post("/cart", with(func(c fiber.Ctx, s *coatcheck.Session) error {
		item := c.FormValue("item")
		return cart.Update(s, func(items []string) ([]string, error) { return append(items, item), nil })
	}))
	app.Get("/cart", with(func(c fiber.Ctx, s *coatcheck.Session) error {
		items, _ := cart.Get(s)
		return c.JSON(fiber.Map{"user": s.Subject(), "cart": items})
	}))
	app.Post("/login", with(func(c fiber.Ctx, s *coatcheck.Session) error {
		return s.SignIn(c.Context(), c.FormValue("user")) // a program of yours checks a password first
	}))
	app.Post("/logout", with(func(c fiber.Ctx, s *coatcheck.Session) error { return s.End(c.Context()) }))
	return app, nil
}
