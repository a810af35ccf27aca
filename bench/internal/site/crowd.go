package site

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Crowd starts so many sessions with the payload, and returns who reads one
// value of another of them each time, drawn at random.
func Crowd(s Site, size int) (Visitor, error) {
	h, ok := s.(*httpSite)
	if !ok {
		return nil, errors.New("its requests are not net/http's")
	}
	v, err := h.Visitor(NoCookie) // who reads too, and whose cookies come below
	if err != nil {
		return nil, err
	}
	c := &crowd{httpVisitor: *v.(*httpVisitor)}
	header := c.template.Header
	for i := range size {
		// Nobody has too many sessions, and nobody's lie side by side.
		header[userHeader][0] = users[i%len(users)]
		cookie, err := h.start(c.httpVisitor)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			c.length = len(cookie)
			c.cookies = make([]byte, 0, size*c.length)
		}
		if len(cookie) != c.length {
			return nil, fmt.Errorf("one cookie has %d bytes, another %d", c.length, len(cookie))
		}
		c.cookies = append(c.cookies, cookie...)
	}
	header[userHeader][0], header["Cookie"] = users[0], []string{""}
	return c, nil
}

// crowd keeps its cookies in one piece, so that the collector has nothing to do
// with them.
type crowd struct {
	httpVisitor
	cookies []byte
	length  int
}

// Visit implements Visitor.
func (c *crowd) Visit() {
	at := rand.IntN(len(c.cookies)/c.length) * c.length
	c.template.Header["Cookie"][0] = string(c.cookies[at : at+c.length])
	c.httpVisitor.Visit()
}
