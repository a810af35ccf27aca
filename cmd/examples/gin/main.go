// Command gin shows Coatcheck under the framework gin: the engine is an
// http.Handler, so that sessions.Handler wraps it whole, and handlers ask for
// the session of their request.
package main

import (
	"log"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/gin-gonic/gin"
)

var cart = coatcheck.NewKey[[]string]("shop.cart")

func main() {
	engine, err := newEngine()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", engine))
}

func newEngine() (http.Handler, error) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		return nil, err
	}
	with := func(f func(*gin.Context, *coatcheck.Session) error) gin.HandlerFunc {
		return func(c *gin.Context) {
			s, err := sessions.Get(c.Request)
			if err == nil {
				err = f(c, s)
			}
			if err != nil {
				sessions.Error(c.Writer, c.Request, err)
			}
		}
	}
	engine := gin.New()
	engine.POST("/cart", with(func(c *gin.Context, s *coatcheck.Session) error {
		return cart.Update(s, func(items []string) ([]string, error) { return append(items, c.PostForm("item")), nil })
	}))
	engine.GET("/cart", with(func(c *gin.Context, s *coatcheck.Session) error {
		items, _ := cart.Get(s)
		c.JSON(http.StatusOK, gin.H{"user": s.Subject(), "cart": items})
		return nil
	}))
	engine.POST("/login", with(func(c *gin.Context, s *coatcheck.Session) error {
		return s.SignIn(c.Request.Context(), c.PostForm("user")) // a program of yours checks a password first
	}))
	engine.POST("/logout", with(func(c *gin.Context, s *coatcheck.Session) error {
		return s.End(c.Request.Context())
	}))
	return sessions.Handler(engine), nil
}
