package coatcheck

import (
	"fmt"
	"net/http"
	"strings"
)

// originCheck tells requests that another site caused. It is net/http's
// CrossOriginProtection, asked for every unsafe request with a cookie or
// without: with SameSite=Lax the cookie of a forged sign-in form stays at home,
// so that waiting for it would protect nothing.
type originCheck struct {
	protection *http.CrossOriginProtection
	crossSite  *http.ServeMux // routes that serve other sites, without a session
}

func newOriginCheck(trusted, crossSite []string) (originCheck, error) {
	c := originCheck{protection: http.NewCrossOriginProtection()}
	for _, origin := range trusted {
		if err := c.protection.AddTrustedOrigin(origin); err != nil {
			return c, fmt.Errorf("coatcheck: Config: TrustedOrigins: %q: write scheme://host or scheme://host:port: %w", origin, err)
		}
	}
	for _, pattern := range crossSite {
		if c.crossSite == nil {
			c.crossSite = http.NewServeMux()
		}
		if err := addPattern(c.crossSite, pattern); err != nil {
			return c, err
		}
	}
	return c, nil
}

// addPattern registers a pattern and turns the panic about a wrong one into an
// error, because patterns may come from a configuration file.
func addPattern(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("coatcheck: Config: CrossSite: %q is not a pattern of http.ServeMux: %v", pattern, wrong)
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return nil
}

// admit checks the request before anything is served: where it comes from, and
// its CSRF token where one is required.
func (m *Manager) admit(s *Session, r *http.Request) error {
	if safe(r) {
		return nil
	}
	if err := m.origins.protection.Check(unsafeForm(r)); err != nil {
		if m.origins.serves(r) {
			s.crossSite = true
			return nil
		}
		m.emit(Event{Kind: KindCrossSite, Remote: m.remote(r), Detail: r.Method + " " + r.URL.Path + ": " + err.Error()})
		return fmt.Errorf("%w (%w)", ErrCrossSite, err)
	}
	if m.config.RequireCSRFToken && !handshake(r) {
		return m.verifyCSRF(s, r)
	}
	return nil
}

// safe reports whether the request is one that must change nothing (RFC 9110,
// 9.2.1). A WebSocket handshake is a GET that opens the way for changes.
func safe(r *http.Request) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
		return !handshake(r)
	}
	return false
}

// handshake reports whether the request opens a WebSocket, over HTTP/1 (RFC
// 6455) or HTTP/2 (RFC 8441). What has another method is none, whatever it says.
func handshake(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet:
	case http.MethodConnect:
		return r.Header.Get(":protocol") != ""
	default:
		return false
	}
	for _, v := range r.Header["Upgrade"] {
		if strings.Contains(strings.ToLower(v), "websocket") {
			return true
		}
	}
	return false
}

// unsafeForm is the request in the form that CrossOriginProtection looks at:
// it passes every GET.
func unsafeForm(r *http.Request) *http.Request {
	if !handshake(r) {
		return r
	}
	post := new(http.Request)
	*post = *r
	post.Method = http.MethodPost
	return post
}

// serves reports whether the route is listed in CrossSite.
func (c originCheck) serves(r *http.Request) bool {
	if c.crossSite == nil {
		return false
	}
	// A mux answers a path that is not clean with a redirect under the pattern
	// of the clean one; what is listed is the route, not the way there.
	_, pattern := c.crossSite.Handler(r)
	return pattern != "" && r.URL.Path == cleanPath(r.URL.Path)
}
