package coatcheck

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// watchEvery is how often a session that somebody waits for is looked at in a
// store that does not tell of changes, and at the latest in one that does.
const (
	watchEvery       = 5 * time.Second
	watchEveryToldOf = time.Minute
)

// doneState is the end of a session, for those who wait for it.
type doneState struct {
	context context.Context
	cancel  context.CancelCauseFunc
	started sync.Once
}

// Context returns a context that ends when parent does or when the session
// does: signed out, ended by another, expired, superseded by a sign-in, or its
// secret replaced without grace by Reauthenticate or CredentialsChanged of
// another request. context.Cause is then an *EndedError. It is for streams and
// long work, and costs a goroutine until the handler returns. That of a session
// that is bound to a device ends with the proof that its request came with,
// after some ten minutes: browsers reconnect an event stream with a newer one.
//
// A store that tells of changes ends it at once; otherwise the store is asked
// every 5 seconds. Waiting is no activity: see Touch.
func (s *Session) Context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	d := s.watch()
	stop := context.AfterFunc(d.context, func() {
		if cause := context.Cause(d.context); cause != context.Canceled {
			cancel(cause)
		}
	})
	context.AfterFunc(ctx, func() { stop() })
	return ctx
}

// Done is closed when the session ends, as for Context, and when the handler
// returns.
func (s *Session) Done() <-chan struct{} { return s.watch().context.Done() }

// watch returns the state that ends with the session, and sees to it that
// somebody looks.
func (s *Session) watch() *doneState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = &doneState{}
		s.done.context, s.done.cancel = context.WithCancelCause(context.WithoutCancel(s.parent))
		switch {
		case s.closed:
			s.done.cancel(nil)
		case s.held != nil && s.is == ended:
			s.done.cancel(&EndedError{ReasonSignOut})
		}
	}
	d := s.done
	if s.standing() == holds {
		d.started.Do(func() { go s.lookOut(d) })
	}
	return d
}

// announce tells those who wait that the session has ended. mu is held.
func (s *Session) announce(e *EndedError) {
	if s.done != nil {
		s.done.cancel(e)
	}
}

// lookOut waits for the end of the session. It belongs to the request and ends
// with it at the latest.
func (s *Session) lookOut(d *doneState) {
	changed := make(chan struct{}, 1)
	every := watchEvery
	var watched ID
	stop := func() {}
	defer func() { stop() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.context.Done():
			return
		case <-changed:
		case <-timer.C:
		}
		// The id changes when this request itself signs in again.
		if id := s.ID(); id != watched {
			stop()
			watched, stop = id, func() {}
			if w, ok := s.manager.config.Store.(store.Watcher); ok && !id.IsZero() {
				every = watchEveryToldOf
				stop = w.Watch(id, func() {
					select {
					case changed <- struct{}{}:
					default:
					}
				})
			}
		}
		reason, next := s.look(d.context)
		if reason != "" {
			d.cancel(&EndedError{reason})
			return
		}
		timer.Reset(min(every, max(next, time.Millisecond)))
	}
}

// look says why the session is over, if it is, or when it will be at the
// earliest.
func (s *Session) look(ctx context.Context) (over Reason, next time.Duration) {
	m := s.manager
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ReasonSignOut, 0
	}
	// Also where the request's own write has met the end: the record says why.
	probe := &Session{manager: m, held: &held{token: s.token, ticket: s.ticket}}
	s.mu.Unlock()
	err := m.load(ctx, probe.token.ID, &probe.record, store.Fresh)
	if errors.Is(err, store.ErrNotFound) {
		return ReasonByAnother, 0
	}
	if err != nil || probe.parseHead() != nil {
		return "", watchEvery // trouble with the store ends nobody's stream
	}
	now := m.now()
	switch v := probe.judge(now); {
	case v.opens, v.retired && probe.record.Live(now): // rotation ends no work
		return "", probe.record.Deadline().Sub(now)
	case v.retired, v.reason == ReasonWrongSecret:
		over = ReasonReplaced
	default:
		over = v.reason
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing() == holds && s.token != probe.token {
		return "", 0 // this request itself replaced it
	}
	return over, 0
}
