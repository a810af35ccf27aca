package coatcheck

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/internal/payload"
)

// Session is what a request has of its visitor's session. It belongs to one
// request; its methods may be called by several goroutines of that. After the
// handler has returned it is empty, and writes return ErrCommitted.
//
// Data operations (Key.Set and its kin) are gathered and stored in one
// operation when the response starts. Methods that take a context act at once:
// what they do has happened when they return.
type Session struct {
	// This object is also the request's context and its response writer (see
	// requestContext and responder), so that a request costs few allocations.

	manager   *Manager
	request   *http.Request       // as handlers see it
	writer    http.ResponseWriter // nil if opened by Open
	parent    context.Context     // of the request
	began     time.Time           // when the request began, as Config.Now said; mu guards it after the start
	prompt    bool                // it asked for the session at once: that is when began is
	crossSite bool                // another site caused the request

	// headerOut and failure belong to the response writer, which like any
	// other is not for concurrent use: whether the final header is out, and
	// why it is that of an error page.
	headerOut bool
	failure   error

	// mu guards everything below but lent. It is released while functions of
	// the user's run.
	mu        sync.Mutex
	*held                   // nil until the session is asked for
	turn      chan struct{} // closed when storing ends; nil if nobody waits for that
	done      *doneState    // nil until asked for
	outsiders int32         // how many functions of the user's run, without mu
	is        standing
	storing   bool // a goroutine of the request stores: see takeTurn
	updating  bool // a function of Session.Update is running
	peek      bool // the request is no activity
	closed    bool // the handler has returned
	started   bool // what was gathered has been stored: the final header is about to go out

	// lent has the values of Vary and Cache-Control, which are the header's
	// once they are in it: so these lines are in the memory that is never used
	// again.
	lent [2]string
}

// requestContext is a Session as the context of its request.
type requestContext Session

// Deadline returns that of the request.
func (c *requestContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done returns that of the request.
func (c *requestContext) Done() <-chan struct{} { return c.parent.Done() }

// Err returns that of the request.
func (c *requestContext) Err() error { return c.parent.Err() }

// Value returns the session for the key of its manager.
func (c *requestContext) Value(key any) any {
	if k, ok := key.(contextKey); ok && k.manager == c.manager {
		return (*Session)(c)
	}
	return c.parent.Value(key)
}

// ID names the session. It is zero for an anonymous session that has not been
// stored.
func (s *Session) ID() ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing() != holds {
		return ID{}
	}
	return s.record.ID
}

// Subject is the user who is signed in, or "".
func (s *Session) Subject() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subject()
}

// SignedIn reports whether a user is signed in.
func (s *Session) SignedIn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signedIn()
}

// SignedInAt is when this session began by a sign-in: zero for an anonymous
// session.
func (s *Session) SignedInAt() time.Time { return s.Info().SignedInAt }

// AuthenticatedAt is when the user last proved who they are, at sign-in or by
// Reauthenticate: zero for an anonymous session. Fresh counts from it.
func (s *Session) AuthenticatedAt() time.Time { return s.Info().AuthenticatedAt }

// Created is when the session was first stored: zero if it has not been.
func (s *Session) Created() time.Time { return s.Info().Created }

// LastSeen is the last recorded activity before this request. It is recorded
// at most once in Idle/16, or once a minute.
func (s *Session) LastSeen() time.Time { return s.Info().LastSeen }

// Expires is when the session ends at the latest if no other request comes:
// the earlier of both limits, from what has been recorded.
func (s *Session) Expires() time.Time { return s.Info().Expires }

// Level is the strength of the user's proof of identity, as AtLevel said:
// 0 for an anonymous session.
func (s *Session) Level() int { return s.Info().Level }

// Fresh reports whether the user proved who they are at most max ago.
func (s *Session) Fresh(max time.Duration) bool {
	at := s.AuthenticatedAt()
	return !at.IsZero() && s.manager.now().Sub(at) <= max
}

// Info describes the session as lists do.
func (s *Session) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing() != holds {
		return Info{}
	}
	info := s.manager.info(&s.record, &s.head)
	info.Current = true
	return info
}

// Keys are the names of the stored values, those that this request has
// gathered included, in no particular order.
func (s *Session) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.unseal() != nil {
		return nil
	}
	return slices.Sorted(payload.Names(s.working))
}

// Format prints id and subject under every verb.
func (s *Session) Format(f fmt.State, _ rune) {
	id, subject := s.identity()
	fmt.Fprintf(struct{ io.Writer }{f}, "session %s of %q", id, subject)
}

// LogValue logs id and subject.
func (s *Session) LogValue() slog.Value {
	id, subject := s.identity()
	return slog.GroupValue(slog.String("id", id.String()), slog.String("subject", subject))
}

// MarshalText writes what Format prints, so that encoders reveal no more.
func (s *Session) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", s), nil }

func (s *Session) identity() (ID, string) {
	if s == nil {
		return ID{}, ""
	}
	return s.ID(), s.Subject()
}

func (s *Session) signedIn() bool { return s.standing() == holds && s.head.SignedIn }

func (s *Session) subject() string {
	if !s.signedIn() {
		return ""
	}
	return s.manager.subjectOf(&s.record)
}
