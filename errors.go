package coatcheck

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/coatcheck/coatcheck/store"
)

// The errors of this package. Compare with errors.Is; Status gives the HTTP
// status of each.
var (
	// ErrNoHandler: the request did not come through Manager.Handler.
	ErrNoHandler = errors.New("coatcheck: the request did not pass through Handler of this Manager: wrap the mux with sessions.Handler(mux), or use sessions.HandlerFunc")
	// ErrCommitted: the response has started, so the cookie can no longer be
	// sent and gathered data is stored already.
	ErrCommitted = errors.New("coatcheck: the response has started: change the session before the first write, or write data with Session.Update")
	// ErrConflict: a value changed between this request's Get and Set of it.
	ErrConflict = errors.New("coatcheck: another request changed this value meanwhile: use Key.Update, or let the client try again")
	// ErrStale: the request's token was superseded while it was under way. The
	// browser may hold a better cookie by now, so that it can try again.
	ErrStale = errors.New("coatcheck: the session was replaced while this request was under way: load the page again")
	// ErrEnded: the session was ended while this request was under way.
	ErrEnded = errors.New("coatcheck: the session has ended: sign in again")
	// ErrNotFound: there is no such session, or it is not this user's.
	ErrNotFound = errors.New("coatcheck: no such session")
	// ErrTooLarge: the session's data would exceed Config.MaxBytes.
	ErrTooLarge = errors.New("coatcheck: the session's data would exceed MaxBytes: keep large values in a database and their key in the session")
	// ErrTooManySessions: the subject has MaxPerSubject sessions and AtLimit
	// is RefuseSignIn.
	ErrTooManySessions = errors.New("coatcheck: this user has as many sessions as are allowed: end one elsewhere first")
	// ErrInsecureTransport: a session cannot start on a connection that
	// browsers send no Secure cookie over.
	ErrInsecureTransport = errors.New("coatcheck: no session over insecure transport: serve TLS; behind a proxy that ends TLS let it send X-Forwarded-Proto: https; in a test give httptest.NewRequest an https:// URL; on a network without TLS set Config.InsecureHTTP")
	// ErrCrossSite: another site made the browser send this request.
	ErrCrossSite = errors.New("coatcheck: refused: another site caused this request; list its origin in TrustedOrigins, or the route in CrossSite if it needs no session")
	// ErrCSRFToken: the request lacks a CSRF token of its session.
	ErrCSRFToken = errors.New("coatcheck: the form's token is missing or of another session: load the form again and send it with the field csrf_token")
	// ErrNotSignedIn: the route needs a signed-in session.
	ErrNotSignedIn = errors.New("coatcheck: sign in first")
	// ErrNotFresh: the route needs a more recent proof of identity.
	ErrNotFresh = errors.New("coatcheck: confirm your identity again first")
	// ErrLevel: the route needs a stronger proof of identity.
	ErrLevel = errors.New("coatcheck: this needs a stronger sign-in")
	// ErrDuplicateCookie: the request has several cookies of one name. Which
	// of them is the user's cannot be told, so none is believed.
	ErrDuplicateCookie = errors.New("coatcheck: the request has several session cookies of one name: clear the cookies of this site")
	// ErrTooManyCookies: the request has more cookies than any browser sends.
	ErrTooManyCookies = errors.New("coatcheck: the request has too many cookies: clear the cookies of this site")
	// ErrStore: the store failed. The error wraps the store's own.
	ErrStore = errors.New("coatcheck: the session store failed: try again soon")
)

// errInsideUpdate: fn of Session.Update may run again, so it may change data
// only.
var errInsideUpdate = errors.New("coatcheck: inside the function of Session.Update only data may be changed: sign in, rotate, end or write the response before or after it")

// A DecodeError says that a stored value is not of its key's type. The stored
// value is left as it is; Set and Delete replace and remove it.
type DecodeError struct {
	Key string // the name of the key
	err error
}

// Error names the key and leaves out what the decoder said, which may quote
// the value: errors are logged, and values are not to be.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("coatcheck: the stored value of %q does not fit the key's type: set it anew or delete it", e.Key)
}

// Unwrap returns what the decoder said.
func (e *DecodeError) Unwrap() error { return e.err }

// An EndedError is the cause of a context of Session.Context whose session
// ended. It is ErrEnded, or ErrStale if the session was superseded.
type EndedError struct {
	Reason Reason
}

func (e *EndedError) Error() string {
	return "coatcheck: the session has ended: " + string(e.Reason)
}

// Is reports whether target is ErrEnded, or ErrStale for a session that was
// superseded.
func (e *EndedError) Is(target error) bool {
	if e.Reason == ReasonReplaced {
		return target == ErrStale
	}
	return target == ErrEnded
}

// Status returns the HTTP status that fits an error of this package: 500 for
// any other error, 200 for nil.
func Status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	for _, c := range statuses {
		if errors.Is(err, c.err) {
			return c.status
		}
	}
	return http.StatusInternalServerError
}

var statuses = []struct {
	err    error
	status int
}{
	{ErrNotSignedIn, http.StatusUnauthorized},
	{ErrNotFresh, http.StatusUnauthorized},
	{ErrEnded, http.StatusUnauthorized},
	{ErrLevel, http.StatusForbidden},
	{ErrCrossSite, http.StatusForbidden},
	{ErrCSRFToken, http.StatusForbidden},
	{ErrInsecureTransport, http.StatusForbidden},
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
	{ErrStale, http.StatusConflict},
	{ErrTooManySessions, http.StatusConflict},
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrDuplicateCookie, http.StatusBadRequest},
	{ErrTooManyCookies, http.StatusRequestHeaderFieldsTooLarge},
	{ErrStore, http.StatusServiceUnavailable},
}

// storeError wraps an error of the store that the manager has no name for.
func storeError(doing string, err error) error {
	if errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w: %s: there is no room for another session: %w", ErrStore, doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrStore, doing, err)
}
