package coatcheck

import (
	"context"
	"errors"

	"github.com/coatcheck/coatcheck/store"
)

// Update stores what this request has gathered so far and what fn changes,
// all or nothing, before it returns. If another request changes the session
// meanwhile, fn runs again and reads the newer values. It is the way
//   - to use a value exactly once: read it in fn, return an error if it is
//     gone, delete it;
//   - to keep several values in step;
//   - to store before something that cannot be undone;
//   - to write after the response has started.
//
// fn must do nothing but read and write values of this session; while it runs,
// methods that take a context return an error, on other goroutines of the
// request too, and what those write counts as written by fn. If fn returns an
// error or panics, nothing that it wrote is kept, and what was gathered before
// stays gathered. Errors: that of fn, those of Key.Set, ErrStale, ErrEnded.
func (s *Session) Update(ctx context.Context, fn func() error) error {
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.refusal(); err != nil {
			return err
		}
		if err := s.unseal(); err != nil {
			return err
		}
		before, working := len(s.ops), s.working
		drops, version := s.drops, s.record.Version
		undo := func() {
			if s.drops != drops { // what was gathered before fn is dropped too
				s.drop()
				return
			}
			s.ops = s.ops[:before]
			if !s.behind {
				s.working = working
			}
		}
		run := func() error {
			working = s.working
			s.updating = true
			defer func() { s.updating = false }()
			return s.outside(fn)
		}
		done := false
		defer func() { // fn may panic
			if done {
				return
			}
			undo()
			if s.is == holds && s.record.Version != version {
				s.behind = true // working is of an older record
			}
		}()
		err := run()
		switch {
		case err != nil:
		case len(s.ops) == 0:
		case s.is == nobody && len(s.working) == 0:
			s.settle()
		case s.is == nobody && s.started:
			err = ErrCommitted // nobody would get the cookie
		case s.is == nobody:
			err = s.createAnonymous(ctx)
		default:
			err = s.swap(ctx, attempt{undo: undo, redo: run})
		}
		done = err == nil
		return err
	})
}

// act is the frame of every method that takes a context: it waits until nobody
// else stores, and runs f to its end although the visitor may go. f runs with
// mu held.
func (s *Session) act(ctx context.Context, f func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.updating {
		return errInsideUpdate
	}
	if err := s.takeTurn(); err != nil {
		return err
	}
	defer s.giveTurn()
	if s.closed || s.held == nil {
		return ErrCommitted
	}
	if s.err != nil {
		return s.err
	}
	ctx, call := s.manager.writeContext(ctx)
	defer call.end()
	return f(ctx)
}

// Reload reads the session again, as it is now, and does what this request has
// gathered again to the newer values. Errors: ErrConflict, ErrStale, ErrEnded,
// ErrCrossSite, ErrStore, that of an Update function.
func (s *Session) Reload(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if s.is != holds {
			return s.refusal()
		}
		if err := s.unseal(); err != nil {
			return err
		}
		return s.reopen(ctx)
	})
}

// Touch records activity now, however recent the last is recorded: for a long
// stream whose visitor is known to be there. ErrEnded if the session is over.
func (s *Session) Touch(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if s.is != holds {
			return s.refusal()
		}
		if _, err := s.newest(ctx); err != nil {
			return err
		}
		now := s.manager.now()
		err := s.manager.config.Store.Touch(ctx, s.record.ID, now)
		switch {
		case err == nil:
			s.record.LastSeen = now
			return nil
		case errors.Is(err, store.ErrNotFound):
			s.is = ended
			return ErrEnded
		}
		return storeError("touch", err)
	})
}
