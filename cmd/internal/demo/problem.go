package demo

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
)

// fault is an error of this site with a page of its own.
type fault struct {
	status int
	title  string
	text   string
	ways   []way
}

// way is a link out of a page that reports a problem.
type way struct {
	Path, Name string
	Quiet      bool
}

func (f *fault) Error() string { return "demo: " + f.title }

var (
	entrance = way{"/", "Back to the entrance", false}
	signIn   = way{"/sign-in", "Sign in", false}

	errNoPage       = &fault{http.StatusNotFound, "There is no such page", "The address may be mistyped, or the page may only take a form.", []way{entrance}}
	errNoOrder      = &fault{http.StatusNotFound, "There is no such order", "At least not one of yours.", []way{{"/account", "Your orders", false}}}
	errNotAdmin     = &fault{http.StatusForbidden, "Only the attendant may enter", "This page shows everybody’s sessions. To see it, sign out and sign in as admin.", []way{entrance}}
	errBadForm      = &fault{http.StatusBadRequest, "That form could not be read", "Go back, load the page again and send it once more.", []way{entrance}}
	errFormTooLarge = &fault{http.StatusRequestEntityTooLarge, "That form is too large", "Go back and write less.", []way{entrance}}
)

// faultOf finds the page for an error of the session manager.
func faultOf(err error, r *http.Request) *fault {
	again := way{"/", "Continue", false}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		again.Path = r.URL.EscapedPath()
	}
	var own *fault
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, coatcheck.ErrStale):
		return &fault{0, "Your session changed in another tab", "You signed in, or proved who you are, while this was under way. Nothing was done by this request: your browser holds a newer ticket now, so continue and do it again.", []way{again}}
	case errors.Is(err, coatcheck.ErrConflict):
		return &fault{0, "Somebody was faster", "Another tab of yours changed the same thing at the same moment. Nothing was done by this request: look at how it is now and do it again.", []way{again}}
	case errors.Is(err, coatcheck.ErrEnded):
		return &fault{0, "This session has ended", "It was ended elsewhere, or its time was up. What you just sent was not kept.", []way{signIn, {"/", "Back to the entrance", true}}}
	case errors.Is(err, coatcheck.ErrNotSignedIn), errors.Is(err, coatcheck.ErrNotFresh):
		return &fault{0, "Please sign in", "This page is for people who have given their password.", []way{signIn}}
	case errors.Is(err, coatcheck.ErrNotFound):
		return &fault{0, "That session is gone", "It has ended already, or it was never yours.", []way{{"/sessions", "Your sessions", false}}}
	case errors.Is(err, coatcheck.ErrCrossSite):
		return &fault{0, "Another site sent this", "A page of another site made your browser send this form here. It was refused before it could do anything, whoever you are.", []way{entrance}}
	case errors.Is(err, coatcheck.ErrInsecureTransport):
		return &fault{0, "Not over this connection", "The house gives out tickets only where nobody on the way can read them: over TLS, or on this machine itself. Open the site as http://localhost, or start it with TLS, as “coatcheck help demo” says.", []way{entrance}}
	case errors.Is(err, coatcheck.ErrDuplicateCookie), errors.Is(err, coatcheck.ErrTooManyCookies):
		return &fault{0, "Too many tickets", "Your browser sent several session cookies of one name, and which of them is yours cannot be told. Clear the cookies of this site and come back.", []way{entrance}}
	case errors.Is(err, coatcheck.ErrStore):
		return &fault{0, "The cloakroom cannot be reached", "The place where sessions are kept does not answer. Nobody is signed out by that: your browser keeps its ticket. Try again in a few seconds.", []way{again}}
	}
	return &fault{0, "That went wrong", "It is not your fault. It has been noted; try again, or go back.", []way{again}}
}

// problem answers an error with a page in the look of the house. It is the
// session manager's error handler.
func (s *Site) problem(w http.ResponseWriter, r *http.Request, err error) {
	found := faultOf(err, r)
	status := found.status
	if status == 0 {
		status = coatcheck.Status(err)
	}
	if status == http.StatusInternalServerError {
		s.logger.ErrorContext(r.Context(), "demo: a page failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "5")
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, fmt.Sprintf("%s. %s", found.title, found.text), status)
		return
	}
	p := page{Title: found.title, Body: map[string]any{"Status": status, "Text": found.text, "Ways": found.ways}}
	if session, getErr := s.sessions.Get(r); getErr == nil {
		p.Visit = s.visitOf(r, session)
	} else {
		p.Visit = visit{Unread: true, Cookie: s.broughtBy(r, cookieName, visitName)}
	}
	if err := s.show(w, r, nil, status, "problem", p); err != nil {
		http.Error(w, found.title, status)
	}
}

// retryAfter says how long to wait before another attempt.
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
}
