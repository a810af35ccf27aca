package site

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// httpSite is a site of net/http handlers.
type httpSite struct {
	handlers Handlers
	sessions int // of a visitor, which take turns; 0 is one
	close    func()
}

// Close implements Site.
func (s *httpSite) Close() {
	if s.close != nil {
		s.close()
	}
}

// Visitor implements Site.
func (s *httpSite) Visitor(w Work) (Visitor, error) {
	handler := s.handlers[w]
	switch w {
	case NoCookie:
		handler = s.handlers[ReadOne]
	case FirstSignIn:
		handler = s.handlers[SignIn]
	}
	v := &httpVisitor{handler: handler, follows: w == SignIn, signsIn: w == FirstSignIn || w == SignIn}
	v.w.header = http.Header{}
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		return nil, err
	}
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1234"
	r.Header = http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		"Accept":     {"text/html"},
		userHeader:   {users[0]},
	}
	v.template = *r
	if w == NoCookie || w == FirstSignIn {
		return v, nil
	}
	for i := range max(1, s.sessions) {
		r.Header[userHeader][0] = users[i/8] // nobody has too many sessions
		cookie, err := s.start(*v)
		if err != nil {
			return nil, err
		}
		v.turns = append(v.turns, cookie)
	}
	r.Header[userHeader][0] = users[0]
	r.Header["Cookie"] = []string{v.turns[0]}
	return v, nil
}

// start starts a session with the payload, and returns its cookie.
func (s *httpSite) start(first httpVisitor) (cookie string, err error) {
	first.handler, first.turns, first.follows, first.signsIn = s.handlers[fill], nil, false, false
	first.w.header = http.Header{}
	first.Visit()
	if _, err := first.Answer(); err != nil {
		return "", err
	}
	if cookie = cookies(first.w.header["Set-Cookie"]); cookie == "" {
		return "", errors.New("the first request got no cookie")
	}
	return cookie, nil
}

// cookies is what a browser sends back for these Set-Cookie lines.
func cookies(lines []string) string {
	var pairs []string
	for _, line := range lines {
		pair, rest, _ := strings.Cut(line, ";")
		if !strings.Contains(rest, "Max-Age=0") {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "; ")
}

// users sign in one after the other, so that nobody has too many sessions.
var users = func() []string {
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = fmt.Sprintf("user-%05d", i)
	}
	return names
}()

// httpVisitor calls a handler as a server would, but that it uses its request
// again, which costs next to nothing: what is measured is the handler alone.
// With fields it makes each request anew, see Anew.
type httpVisitor struct {
	handler  http.Handler
	template http.Request // a handler may change its copy
	request  http.Request
	fields   []field
	w        recorder
	turns    []string // the cookies that it sends, by turns
	follows  bool     // sends the cookie that it got last
	signsIn  bool
	visits   int
}

// field is one of a request's header, whose value may change between requests.
type field struct {
	name   string
	values []string
}

// Anew returns the visitor, from now on with a new request for each visit, as
// far as net/http's server makes one: the Request, its header with the same
// fields, values side by side as net/textproto puts them, and the header of the
// answer. What more a server does for each request is left out: it reads and
// parses text, makes a URL, a context that can be cancelled and a writer.
func Anew(v Visitor) (Visitor, error) {
	h, ok := v.(*httpVisitor)
	if !ok {
		return nil, errors.New("its requests are not net/http's")
	}
	for name, values := range h.template.Header {
		h.fields = append(h.fields, field{name, values})
	}
	return h, nil
}

// next returns the request for a visit, and readies the writer.
func (v *httpVisitor) next() *http.Request {
	v.w.status, v.w.body = 0, v.w.body[:0]
	if v.fields == nil {
		v.request = v.template
		clear(v.w.header)
		return &v.request
	}
	r := new(http.Request)
	*r = v.template
	r.Header = make(http.Header, len(v.fields))
	values := make([]string, len(v.fields))
	for i, f := range v.fields {
		values[i] = f.values[0]
		r.Header[f.name] = values[i : i+1 : i+1]
	}
	v.w.header = make(http.Header)
	return r
}

// Visit implements Visitor.
func (v *httpVisitor) Visit() {
	header := v.template.Header
	if len(v.turns) > 1 {
		v.visits++
		header["Cookie"][0] = v.turns[v.visits%len(v.turns)]
	}
	if v.signsIn {
		v.visits++
		if !v.follows {
			header[userHeader][0] = users[v.visits&(len(users)-1)]
		}
	}
	v.handler.ServeHTTP(&v.w, v.next())
	if v.follows {
		header["Cookie"][0] = cookies(v.w.header["Set-Cookie"])
	}
}

// Answer implements Visitor.
func (v *httpVisitor) Answer() (string, error) {
	if v.w.status > 299 {
		return "", fmt.Errorf("status %d: %s", v.w.status, v.w.body)
	}
	return string(v.w.body), nil
}

// recorder has the abilities of a net/http server's writer, and no cost.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (w *recorder) Header() http.Header    { return w.header }
func (w *recorder) WriteHeader(status int) { w.status = status }
func (w *recorder) Flush()                 {}

func (w *recorder) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *recorder) WriteString(s string) (int, error) {
	w.body = append(w.body, s...)
	return len(s), nil
}

func (w *recorder) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{w}, r) }

func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}
