package coatchecktest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/coatcheck/coatcheck"
)

// Visitor is a browser on its way through a Site: it keeps the site's cookies
// and sends them as browsers do, with Sec-Fetch headers. Its methods are safe
// for concurrent use, as the tabs of a browser are. They fail the test where
// no request can be made.
type Visitor struct {
	site   *Site
	jar    jar
	number int
}

// Response is the answer to one request. It is there once its handler has
// returned.
type Response struct {
	Status int // of the final response
	Header http.Header
	Body   string
	// Early are the headers of informational responses, such as 103 Early
	// Hints, in their order.
	Early []http.Header

	method string // of the request
}

// Location is where a redirect leads: a path, if it stays on the site. Empty
// if the response is none.
func (r *Response) Location() string {
	return strings.TrimPrefix(r.Header.Get("Location"), Origin)
}

// leadsToPage reports whether the browser gets a page of the site next.
func (r *Response) leadsToPage() bool {
	to := r.Location()
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		return false
	}
	switch r.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return true
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return r.method == http.MethodGet
	}
	return false
}

// Get visits a page, as by a click on a link of the site. Redirects are
// returned and not followed: see Follow.
func (v *Visitor) Get(path string) *Response {
	return v.navigate(http.MethodGet, path, nil, Origin)
}

// Post submits a form of the site.
func (v *Visitor) Post(path string, form url.Values) *Response {
	return v.navigate(http.MethodPost, path, form, Origin)
}

// PostFrom submits a form that stands on a page of another origin, such as
// "https://evil.example": what a cross-site request forgery does.
func (v *Visitor) PostFrom(origin, path string, form url.Values) *Response {
	return v.navigate(http.MethodPost, path, form, origin)
}

// GetFrom follows a link that stands on a page of another origin.
func (v *Visitor) GetFrom(origin, path string) *Response {
	return v.navigate(http.MethodGet, path, nil, origin)
}

// Follow visits the page of the site to which a response redirects, and then
// the next, as browsers do, and returns the first response that leads nowhere
// else: no redirect, one to another site, or one that repeats a form.
func (v *Visitor) Follow(r *Response) *Response {
	v.site.t.Helper()
	for range 20 {
		if !r.leadsToPage() {
			return r
		}
		r = v.Get(r.Location())
	}
	v.site.t.Fatalf("coatchecktest: more than 20 redirects, the last to %s", r.Location())
	return nil
}

// Do sends a request as a script of the site would by fetch: one that
// httptest.NewRequest made for a path, say. Fields of the header that the
// browser fills in, Cookie apart, are left alone where the request has them.
func (v *Visitor) Do(r *http.Request) *Response {
	r = v.atSite(r)
	setDefault(r.Header, "Sec-Fetch-Mode", "cors")
	setDefault(r.Header, "Sec-Fetch-Dest", "empty")
	setDefault(r.Header, "Accept", "*/*")
	return v.send(r, v.site.handler)
}

// Session runs f with the visitor's session, as a handler of the site would,
// in a request that the site's own handlers do not see: to sign in, or to put
// into the session what a test begins with. An error of f fails the test.
func (v *Visitor) Session(f func(*coatcheck.Session) error) {
	v.site.t.Helper()
	var failure error
	handler := v.site.sessions.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		failure = f(s)
		return failure
	})
	res := v.send(v.request(http.MethodGet, "/", nil, Origin), handler)
	if failure == nil && res.Status >= 400 {
		failure = errors.New(strings.TrimSpace(res.Body))
	}
	if failure != nil {
		v.site.t.Fatalf("coatchecktest: Session: %v", failure)
	}
}

// CSRFToken returns a token for a form of the visitor's, as the site's pages
// get it from Session.CSRFToken.
func (v *Visitor) CSRFToken() (token string) {
	v.site.t.Helper()
	v.Session(func(s *coatcheck.Session) (err error) {
		token, err = s.CSRFToken()
		return err
	})
	return token
}

// Info describes the visitor's session: the zero Info if nothing is stored of
// it. Looking is no activity of the visitor's.
func (v *Visitor) Info() (info coatcheck.Info) {
	v.site.t.Helper()
	v.peek(func(s *coatcheck.Session) { info = s.Info() })
	return info
}

// Value returns what is stored under the key in the visitor's session. Looking
// is no activity of the visitor's.
func Value[T any](v *Visitor, key coatcheck.Key[T]) (value T, found bool) {
	v.site.t.Helper()
	v.peek(func(s *coatcheck.Session) { value, found = key.Get(s) })
	return value, found
}

// Put stores a value in the visitor's session, which begins with it if there
// is none.
func Put[T any](v *Visitor, key coatcheck.Key[T], value T) {
	v.site.t.Helper()
	v.Session(func(s *coatcheck.Session) error { return key.Set(s, value) })
}

// Cookies are the cookies that the browser would send with the next request
// to a page of the site.
func (v *Visitor) Cookies() []*http.Cookie {
	return v.jar.cookiesFor(v.request(http.MethodGet, "/", nil, Origin))
}

// SetCookie gives the browser a cookie as a response of the site would, by a
// line as in Set-Cookie: a token that was copied, say. It fails the test if
// browsers refuse the line.
func (v *Visitor) SetCookie(line string) {
	if err := v.jar.set(line, "/"); err != nil {
		v.site.t.Helper()
		v.site.t.Fatalf("coatchecktest: SetCookie: %v", err)
	}
}

// Reopen closes the browser and opens it again: cookies that end with it are
// gone.
func (v *Visitor) Reopen() { v.jar.endOfBrowser() }

func (v *Visitor) peek(look func(*coatcheck.Session)) {
	v.site.t.Helper()
	var failure error
	handler := v.site.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := v.site.sessions.Peek(r)
		if failure = err; err == nil {
			look(s)
		}
	}))
	v.send(v.request(http.MethodGet, "/", nil, Origin), handler)
	if failure != nil {
		v.site.t.Fatalf("coatchecktest: %v", failure)
	}
}

// navigate sends what makes the browser show another page.
func (v *Visitor) navigate(method, path string, form url.Values, origin string) *Response {
	r := v.request(method, path, form, origin)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-User", "?1")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return v.send(r, v.site.handler)
}

func (v *Visitor) request(method, path string, form url.Values, origin string) *http.Request {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if origin != Origin {
		r.Header.Set("Origin", origin)
	}
	return v.atSite(r)
}

// atSite returns a copy of the request that comes over TLS, from this browser.
func (v *Visitor) atSite(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	if r.TLS == nil {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: host}
	}
	r.Host = host
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:%d", v.number%250+1, 40000+v.number%20000)
	setDefault(r.Header, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	origin := r.Header.Get("Origin")
	switch {
	case origin != "" && origin != Origin:
		setDefault(r.Header, "Sec-Fetch-Site", "cross-site")
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			r.Header.Del("Origin") // browsers send none with a navigation by GET
		}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		r.Header.Set("Origin", Origin)
		fallthrough
	default:
		setDefault(r.Header, "Sec-Fetch-Site", "same-origin")
	}
	return r
}

// send lets a handler answer a request with the browser's cookies, and keeps
// the cookies of the answer.
func (v *Visitor) send(r *http.Request, handler http.Handler) *Response {
	r.Header.Del("Cookie")
	for _, c := range v.jar.cookiesFor(r) {
		r.AddCookie(c)
	}
	answer := recorder{header: http.Header{}}
	handler.ServeHTTP(&answer, r)
	res := answer.response()
	res.method = r.Method
	for _, line := range res.Header["Set-Cookie"] {
		// What a browser refuses is not kept: the test sees that it is missing.
		_ = v.jar.set(line, r.URL.Path)
	}
	return res
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}
