package coatcheck

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// RequireSignIn serves h to signed-in visitors, and answers others as Error
// does with ErrNotSignedIn. It works within Handler and without.
func (m *Manager) RequireSignIn(h http.Handler) http.Handler {
	return m.require(h, func(*Session) error { return nil })
}

// RequireFresh serves h to those who proved who they are at most max ago, and
// answers others as Error does with ErrNotSignedIn or ErrNotFresh.
func (m *Manager) RequireFresh(max time.Duration, h http.Handler) http.Handler {
	return m.require(h, func(s *Session) error {
		if !s.Fresh(max) {
			return ErrNotFresh
		}
		return nil
	})
}

// RequireLevel serves h to those whose proof of identity is of level n or
// stronger, and answers others as Error does with ErrNotSignedIn or ErrLevel.
func (m *Manager) RequireLevel(n int, h http.Handler) http.Handler {
	return m.require(h, func(s *Session) error {
		if s.Level() < n {
			return ErrLevel
		}
		return nil
	})
}

func (m *Manager) require(h http.Handler, check func(*Session) error) http.Handler {
	return m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r)
		switch {
		case err != nil:
		case s.isStale():
			err = ErrStale // the browser may be signed in by now
		case !s.SignedIn():
			err = ErrNotSignedIn
		default:
			err = check(s)
		}
		if err != nil {
			m.Error(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	}))
}

func (s *Session) isStale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.standing() == stale
}

// Error answers a request with an error. Navigations that need a sign-in go to
// SignInPath, with the way back in the query (see NextPath); everything else,
// such as fetch, XHR, WebSocket and event streams, gets the status that Status
// says. ErrorHandler writes the page, if there is one. What the error wraps is
// not shown. It is logged where it is this server's fault: an error of the
// store's, and without an ErrorHandler any that Status does not know.
func (m *Manager) Error(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	status := Status(err)
	if errors.Is(err, ErrStore) || status >= 500 && m.config.ErrorHandler == nil {
		m.logFailure(r, err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	if needsSignIn(err) && m.config.SignInPath != "" && r.URL.Path != m.config.SignInPath && navigation(r) {
		to := url.URL{Path: m.config.SignInPath, RawQuery: url.Values{"next": {wayBack(r)}}.Encode()}
		http.Redirect(w, r, to.String(), http.StatusSeeOther)
		return
	}
	if errors.Is(err, ErrStale) && r.Method == http.MethodGet && navigation(r) {
		w.Header().Set("Refresh", "1") // by then the browser has its better cookie
	}
	if m.config.ErrorHandler != nil {
		m.config.ErrorHandler(w, r, err)
		return
	}
	http.Error(w, clientText(err, status), status)
}

func (m *Manager) logFailure(r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the visitor has gone, which is no failure
	}
	m.config.Logger.LogAttrs(r.Context(), slog.LevelError, "coatcheck: request failed",
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
}

// clientText is what the client is told: the text of this package's error
// without what it wraps, or the name of the status.
func clientText(err error, status int) string {
	for _, c := range statuses {
		if errors.Is(err, c.err) {
			text, _, _ := strings.Cut(strings.TrimPrefix(c.err.Error(), "coatcheck: "), ": serve TLS")
			return text
		}
	}
	return http.StatusText(status)
}

func needsSignIn(err error) bool {
	return errors.Is(err, ErrNotSignedIn) || errors.Is(err, ErrNotFresh) ||
		errors.Is(err, ErrLevel) || errors.Is(err, ErrEnded)
}

// navigation reports whether the request will replace the page that the user
// sees. Browsers say so (Fetch Metadata); from older ones a GET for HTML that
// no script has marked is taken for one.
func navigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !handshake(r) &&
		r.Header.Get("X-Requested-With") == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// wayBack is where to go after the sign-in: the page itself if it can be got
// again, else the one that the form was on.
func wayBack(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if localPath(r.RequestURI) {
			return r.RequestURI // as it was asked for: StripPrefix and its like change the URL
		}
		return nextPath(r.URL.RequestURI())
	}
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
		return nextPath(from.RequestURI())
	}
	return "/"
}

// NextPath returns where to go after a sign-in: the field "next" of query or
// form if it is a path of this site, else "/". It never leads to another site.
func NextPath(r *http.Request) string { return nextPath(r.FormValue("next")) }

func nextPath(p string) string {
	if !localPath(p) {
		return "/"
	}
	return p
}

// localPath reports whether every browser takes p for a path of this site:
// "//host" and "/\host" lead to others, and some drop control characters
// before they look.
func localPath(p string) bool {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") {
		return false
	}
	return !strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f })
}

// cleanPath is the path that http.ServeMux redirects p to.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
