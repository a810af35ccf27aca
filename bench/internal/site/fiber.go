package site

import (
	"errors"
	"fmt"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/valyala/fasthttp"
)

// fiberSite is fiber's session middleware on its in-memory storage, with the
// defaults. Every request with a cookie loads, decodes, encodes and stores its
// session. It is not net/http: what is measured is fiber's handler, below its
// own server.
type fiberSite struct {
	handlers map[Work]fasthttp.RequestHandler
	storage  fiber.Storage
}

func newFiber(p Payload) (Site, error) {
	// One middleware for all handlers: it holds the storage.
	sessions, store := session.NewWithStore()
	handle := func(h fiber.Handler) fasthttp.RequestHandler {
		app := fiber.New()
		app.Use(sessions)
		app.Get("/", h)
		return app.Handler()
	}
	return fiberSite{storage: store.Storage, handlers: map[Work]fasthttp.RequestHandler{
		Untouched: handle(func(c fiber.Ctx) error { return c.Send(okayBody) }),
		ReadOne: handle(func(c fiber.Ctx) error {
			text, _ := session.FromContext(c).Get(nameKey).(string)
			return c.SendString(text)
		}),
		WriteOne: handle(func(c fiber.Ctx) error {
			s := session.FromContext(c)
			n, _ := s.Get(visitsKey).(int)
			s.Set(visitsKey, n+1)
			return c.Send(counted(n + 1))
		}),
		SignIn: handle(func(c fiber.Ctx) error {
			s := session.FromContext(c)
			if err := s.Regenerate(); err != nil {
				return err
			}
			s.Set("user", c.Get(userHeader))
			return c.Send(okayBody)
		}),
		fill: handle(func(c fiber.Ctx) error {
			s := session.FromContext(c)
			s.Set(nameKey, name)
			s.Set(visitsKey, 1)
			for i, text := range p.Texts {
				s.Set(textKey(i), text)
			}
			return nil
		}),
	}}, nil
}

// Close implements Site. Without it the storage's goroutine would keep all
// sessions of the round, for every collection after it to walk.
func (s fiberSite) Close() { _ = s.storage.Close() }

// Visitor implements Site.
func (s fiberSite) Visitor(w Work) (Visitor, error) {
	handler := s.handlers[w]
	switch w {
	case NoCookie:
		handler = s.handlers[ReadOne]
	case FirstSignIn:
		handler = s.handlers[SignIn]
	}
	v := &fiberVisitor{handler: handler, follows: w == SignIn, signsIn: w == FirstSignIn}
	v.header(&v.c.Request.Header)
	if w == NoCookie || w == FirstSignIn {
		return v, nil
	}
	first := &fiberVisitor{handler: s.handlers[fill]}
	first.header(&first.c.Request.Header)
	first.Visit()
	if _, err := first.Answer(); err != nil {
		return nil, err
	}
	cookie := first.cookies()
	if cookie == "" {
		return nil, errors.New("the first request got no cookie")
	}
	v.c.Request.Header.Set("Cookie", cookie)
	return v, nil
}

type fiberVisitor struct {
	handler fasthttp.RequestHandler
	c       fasthttp.RequestCtx
	follows bool
	signsIn bool
	visits  int
}

func (v *fiberVisitor) header(h *fasthttp.RequestHeader) {
	h.SetMethod("GET")
	h.SetRequestURI("/")
	h.SetHost("localhost")
	h.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	h.Set("Accept", "text/html")
	h.Set(userHeader, users[0])
}

// Visit implements Visitor.
func (v *fiberVisitor) Visit() {
	v.c.Response.Reset()
	v.c.ResetUserValues()
	if v.signsIn {
		v.visits++
		v.c.Request.Header.Set(userHeader, users[v.visits&(len(users)-1)])
	}
	v.handler(&v.c)
	if v.follows {
		v.c.Request.Header.Set("Cookie", v.cookies())
	}
}

func (v *fiberVisitor) cookies() string {
	var lines []string
	for _, line := range v.c.Response.Header.PeekAll("Set-Cookie") {
		lines = append(lines, string(line))
	}
	return cookies(lines)
}

// Answer implements Visitor.
func (v *fiberVisitor) Answer() (string, error) {
	if status := v.c.Response.StatusCode(); status > 299 {
		return "", fmt.Errorf("status %d: %s", status, v.c.Response.Body())
	}
	return string(v.c.Response.Body()), nil
}
