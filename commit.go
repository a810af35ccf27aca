package coatcheck

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// conclude stores what was gathered, once, before the response starts, and adds
// to its header what belongs there. An error belongs in the response in place
// of the handler's. A session that has ended is no error: the request finishes,
// and what it wrote is dropped.
func (s *Session) conclude(ctx context.Context, h http.Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil { // nobody asked for the session
		s.started = true
		return nil
	}
	defer s.writeHeader(h)
	if s.updating {
		s.started, s.failed = true, errInsideUpdate
		return errInsideUpdate
	}
	if err := s.takeTurn(); err != nil {
		s.started, s.failed = true, err
		return err
	}
	defer s.giveTurn()
	if s.started || s.err != nil {
		s.started = true
		return s.failed
	}
	s.started = true
	wrote := len(s.ops) > 0
	err := s.store(ctx)
	if errors.Is(err, ErrEnded) {
		err = nil
		if wrote {
			s.tell(KindWriteDropped, Event{ID: s.token.ID})
		}
	}
	if err != nil {
		s.drop() // the client is told that it was not stored
	}
	s.failed = err
	return err
}

// store brings the store up to date with the request: data, rotation that is
// due, activity.
func (s *Session) store(ctx context.Context) error {
	if len(s.ops) == 0 && s.is != holds {
		return nil
	}
	rotate := !s.peek && s.rotationDue()
	if len(s.ops) == 0 && !rotate && (s.peek || s.drew || !s.unseen() && !s.touchDue(s.roughly())) {
		return nil // who drew a token has just stored that the visitor is here
	}
	ctx, call := s.manager.writeContext(ctx)
	defer call.end()
	switch s.is {
	case nobody:
		if len(s.working) == 0 {
			s.settle()
			return nil
		}
		return s.createAnonymous(ctx)
	case holds:
	default:
		return s.refusal()
	}
	if rotate {
		err := s.rotate(ctx)
		if err != nil && len(s.ops) == 0 {
			s.forgive(err) // the page is read all the same
			return nil
		}
		if err != nil {
			return err
		}
	}
	if len(s.ops) > 0 {
		return s.swap(ctx, attempt{})
	}
	if !s.peek {
		s.noteActivity(ctx, s.manager.now())
	}
	return nil
}

// refusal is the error for changing anything by a request that does not hold
// its session, nil if it does or if there is none.
func (s *Session) refusal() error {
	switch s.is {
	case stale, unproven:
		return ErrStale
	case foreign:
		return ErrCrossSite
	case ended:
		return ErrEnded
	}
	return nil
}

// noteActivity records that the session, and its current secret, were seen.
func (s *Session) noteActivity(ctx context.Context, now time.Time) {
	m := s.manager
	var err error
	switch {
	case s.unseen():
		err = s.swap(ctx, attempt{})
	case s.touchDue(now):
		err = m.config.Store.Touch(ctx, s.record.ID, now)
		if err == nil {
			s.record.LastSeen = now
		}
	}
	s.forgive(err)
}

// forgive makes the failure of what a request does beside its own work an
// event: the next request tries again.
func (s *Session) forgive(err error) {
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, ErrEnded), errors.Is(err, ErrStale):
	default:
		s.tell(KindStoreError, Event{ID: s.record.ID, Detail: "activity: " + err.Error()})
	}
}

// roughly is the time, where nothing depends on what the machine slept while the
// request was under way: to tell whether something is due that the next request
// can do as well, or to write what nobody will read if the session has run out
// in that sleep. Where it can it goes by the monotonic clock since the request
// began, which takes half as long to read.
func (s *Session) roughly() time.Time {
	if s.manager.ownClock {
		return s.manager.now()
	}
	return store.Instant(s.began.Add(time.Since(s.began)))
}

// unseen reports whether this request is the first with the current secret.
func (s *Session) unseen() bool {
	return s.head.HasPrevious && s.head.Seen.IsZero() && !s.earlier && !s.drew
}

// touchDue reports whether activity is to be recorded: at most once in a
// sixteenth of Idle or a minute, never backwards.
func (s *Session) touchDue(now time.Time) bool {
	return !s.peek && !now.Before(s.record.LastSeen.Add(min(s.record.Idle/16, time.Minute)))
}
