package coatcheck

import (
	"context"
	"errors"

	"github.com/coatcheck/coatcheck/store"
)

// End signs the visitor out: the session is gone from the store when it
// returns, and no request that is under way brings it back. Without a session
// it does nothing, so that a second click is no error. It works after the
// response has started too, except that the browser then keeps a worthless
// cookie. Errors: ErrStale, ErrCrossSite, ErrStore.
func (s *Session) End(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if s.is == ended {
			return nil
		}
		if s.is != holds {
			return s.refusal()
		}
		m, subject := s.manager, s.subject()
		switch _, err := s.newest(ctx); {
		case errors.Is(err, ErrEnded):
			s.leave(ReasonSignOut)
			return nil
		case err != nil:
			return err
		}
		gone, err := m.config.Store.Delete(ctx, s.record.ID)
		if err != nil {
			return storeError("end", err)
		}
		which := cookieVisit
		if s.head.SignedIn {
			which = cookieSignedIn
		}
		s.leave(ReasonSignOut)
		// If another request ended or replaced it first, the browser may hold a
		// newer cookie: only who ends the session itself expires its cookie.
		if len(gone) > 0 {
			if !s.started {
				s.expireCookie(which)
				if s.ticket != "" {
					s.expireCookie(cookieBound)
				}
			}
			s.tell(KindEnded, Event{ID: s.token.ID, Subject: subject, Reason: ReasonSignOut})
		}
		return nil
	})
}

// leave makes the request one whose session is over.
func (s *Session) leave(reason Reason) {
	s.is = ended
	s.ops, s.base, s.working = nil, nil, nil
	var lines [cookieCount]string
	if s.head.SignedIn { // the visit that a sign-in of this request retired stays over
		lines[cookieVisit] = s.setLines[cookieVisit]
	}
	s.setLines, s.setsCookie, s.offer = lines, lines[cookieVisit] != "", ""
	s.announce(&EndedError{reason})
}

// EndOther ends another session of the same user: what a page with the user's
// sessions calls. ErrNotFound if there is none of that id, or if it is
// somebody else's; other errors are those of End, and ErrNotSignedIn.
func (s *Session) EndOther(ctx context.Context, id ID) error {
	if id == s.ID() {
		return s.End(ctx)
	}
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.stillHolds(ctx); err != nil {
			return err
		}
		m := s.manager
		var other store.Record
		err := m.load(ctx, id, &other, store.Fresh)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || other.Subject != s.record.Subject || !other.Live(m.now()) {
			return ErrNotFound
		}
		gone, err := m.config.Store.Delete(ctx, id)
		if err != nil {
			return storeError("end", err)
		}
		if len(gone) == 0 {
			return ErrNotFound
		}
		s.tell(KindEnded, Event{ID: id, Subject: s.subject(), Reason: ReasonByAnother})
		return nil
	})
}

// EndOthers ends every other session of the same user, and refuses sign-ins of
// that user which are under way. It returns how many it ended. Errors are
// those of EndOther.
func (s *Session) EndOthers(ctx context.Context) (int, error) {
	n := 0
	err := s.act(ctx, func(ctx context.Context) (err error) {
		if err = s.stillHolds(ctx); err == nil {
			n, err = s.endOthers(ctx)
		}
		return err
	})
	return n, err
}

func (s *Session) endOthers(ctx context.Context) (int, error) {
	m := s.manager
	mark := m.config.Now()
	gone, err := m.config.Store.DeleteSubject(ctx, s.record.Subject, store.Instant(mark), s.record.ID)
	if err != nil {
		return 0, storeError("end the other sessions", err)
	}
	for _, id := range gone {
		s.tell(KindEnded, Event{ID: id, Subject: s.subject(), Reason: ReasonByAnother})
	}
	s.outlive(mark)
	return len(gone), nil
}

// stillHolds makes sure that the user is signed in as of now, because what
// follows ends sessions: a slow request of a session that was ended long ago
// must not.
func (s *Session) stillHolds(ctx context.Context) error {
	if err := s.refusal(); err != nil {
		return err
	}
	if !s.signedIn() {
		return ErrNotSignedIn
	}
	_, err := s.newest(ctx)
	return err
}
