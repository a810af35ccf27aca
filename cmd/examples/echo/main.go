// Command echo shows Coatcheck under the framework echo: sessions.Handler is
// wrapped into a middleware, and errors go through echo's own error handler.
package main

import (
	"log"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/labstack/echo/v4"
)

var cart = coatcheck.NewKey[[]string]("shop.cart")

func main() {
	e, err := newEcho()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(e.Start("localhost:8080"))
}

func newEcho() (*echo.Echo, error) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		return nil, err
	}
	with := func(f func(echo.Context, *coatcheck.Session) error) echo.HandlerFunc {
		return func(c echo.Context) error {
			s, err := sessions.Get(c.Request())
			if err == nil {
				err = f(c, s)
			}
			if err != nil {
				return echo.NewHTTPError(coatcheck.Status(err)).SetInternal(err)
			}
			return nil
		}
	}
	e := echo.New()
	e.HideBanner = true
	e.Use(echo.WrapMiddleware(sessions.Handler))
	e.POST("/cart", with(func(c echo.Context, s *coatcheck.Session) error {
		return cart.Update(s, func(items []string) ([]string, error) { return append(items, c.FormValue("item")), nil })
	}))
	e.GET("/cart", with(func(c echo.Context, s *coatcheck.Session) error {
		items, _ := cart.Get(s)
		return c.JSON(http.StatusOK, map[string]any{"user": s.Subject(), "cart": items})
	}))
	e.POST("/login", with(func(c echo.Context, s *coatcheck.Session) error {
		return s.SignIn(c.Request().Context(), c.FormValue("user")) // a program of yours checks a password first
	}))
	e.POST("/logout", with(func(c echo.Context, s *coatcheck.Session) error {
		return s.End(c.Request().Context())
	}))
	return e, nil
}
