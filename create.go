package coatcheck

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// seal returns data as it is stored.
func (m *Manager) seal(n *successor, data []byte) []byte {
	if !n.head.Sealed {
		return data
	}
	return m.scope.Seal(make([]byte, 0, len(data)+secret.Overhead), &n.box, n.record.ID, data)
}

// encodeHead returns a head as it is stored. A store in this process has copied
// it when it returns; another that has run out of time may still be sending it,
// so it gets memory that is never used again.
func (s *Session) encodeHead(h *head.Head) []byte {
	if s.manager.sealed {
		return h.Append(nil)
	}
	return h.Append(s.memory.newHead.take(h.Size()))
}

// createAnonymous stores a session for a visitor who has none.
func (s *Session) createAnonymous(ctx context.Context) error {
	m := s.manager
	n := s.next
	m.newSession(n, "", m.config.Idle, m.config.Absolute, m.now())
	if _, err := s.create(ctx, n, store.Terms{Began: store.Instant(s.began)}); err != nil {
		return err
	}
	s.install(n)
	s.unsealed = true
	s.setCookie(cookieVisit)
	s.tell(KindCreated, Event{ID: n.record.ID})
	return nil
}

// newSession makes n a new session: it draws everything that one has from its
// beginning.
func (m *Manager) newSession(n *successor, subject string, idle, absolute time.Duration, now time.Time) {
	key := m.subjectKey(subject)
	if !n.record.ID.IsZero() { // this request has stored something before
		*n = successor{}
	}
	// No literals: they would be made elsewhere and copied.
	n.token = secret.NewToken(key)
	n.head = &n.newHead
	n.head.SignedIn, n.head.Sealed, n.head.Name = subject != "", m.sealed, m.nameBytes
	n.record.ID, n.record.Subject = n.token.ID, key
	n.record.Created, n.record.LastSeen = now, now
	n.record.Idle, n.record.Absolute = idle, now.Add(absolute)
	m.draw(n, now)
}

// draw gives the successor's secret its verifiers, and a new data key.
func (m *Manager) draw(n *successor, now time.Time) {
	n.head.Family = m.scope.Family(n.token.Secret)
	n.head.Current = m.scope.Verifier(n.token.Secret)
	n.head.Drawn = now
	n.earlier = false
	if n.head.Sealed {
		n.box.Use(secret.NewDataKey())
		n.head.Wrap = m.scope.Wrap(n.box.Key(), n.token.Secret)
		n.rekeyed = true
	}
}

// create stores a new session with the working data. Errors: ErrStore,
// ErrTooManySessions, ErrEnded.
func (s *Session) create(ctx context.Context, n *successor, terms store.Terms) (evicted []ID, err error) {
	m := s.manager
	n.record.Data = m.seal(n, s.working)
	n.record.Head = s.encodeHead(n.head)
	n.record.Version = newVersion()
	evicted, err = m.config.Store.Create(ctx, n.record, terms, n.record.Created)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrLimit):
		return nil, ErrTooManySessions
	case errors.Is(err, store.ErrSubjectEnded):
		return nil, ErrEnded
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrExists):
		return nil, storeError("create", err)
	default:
		if !m.landed(ctx, n.record) {
			s.withdraw(ctx, n.record.ID) // it may be there all the same
			return nil, storeError("create", err)
		}
	}
	return evicted, nil
}

// newVersion draws a version. It is not secret, only unlike any other.
func newVersion() uint64 {
	for {
		if v := rand.Uint64(); v != 0 {
			return v
		}
	}
}
