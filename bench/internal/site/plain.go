package site

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// plain answers what a site that reads one value answers, with the headers that
// a session read asks for, and has no sessions.
func plain(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Vary"] = []string{"Cookie"}
	h["Cache-Control"] = []string{"no-store"}
	io.WriteString(w, name)
}

// Plain is net/http alone, for comparisons of whole servers.
const Plain = "net/http alone"

// Serve serves a contender that reads one key, until its listener is closed.
// The path /fill writes the payload into a new session.
func Serve(l net.Listener, contender string) error {
	if contender == Plain {
		return http.Serve(l, http.HandlerFunc(plain))
	}
	c, err := Named(contender)
	if err != nil {
		return err
	}
	s, err := c.New(Small)
	if err != nil {
		return err
	}
	defer s.Close()
	switch s := s.(type) {
	case *httpSite:
		read, first := s.handlers[ReadOne], s.handlers[fill]
		return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/fill" {
				first.ServeHTTP(w, r)
				return
			}
			read.ServeHTTP(w, r)
		}))
	case fiberSite:
		return fasthttp.Serve(l, func(c *fasthttp.RequestCtx) {
			if string(c.Path()) == "/fill" {
				c.Request.SetRequestURI("/")
				s.handlers[fill](c)
				return
			}
			s.handlers[ReadOne](c)
		})
	}
	return fmt.Errorf("%s cannot be served", contender)
}
