package coatcheck

import (
	"context"
	"errors"
	"time"
)

// Rotate gives a signed-in session a new secret: same session, same data, new
// cookie. Requests that are under way with the previous secret go on; it stays
// good until the new one has been seen and for RotationGrace after that, so
// that neither parallel requests nor a lost answer sign anybody out. Asked for
// again within the grace, or by a request with the previous secret, it does
// nothing. Errors: ErrNotSignedIn, ErrCommitted, ErrStale, ErrEnded, ErrStore,
// ErrInsecureTransport.
func (s *Session) Rotate(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.mayChangeCookie(); err != nil {
			return err
		}
		if !s.signedIn() {
			return ErrNotSignedIn
		}
		return s.rotate(ctx)
	})
}

// rotationDue reports whether RotateEvery asks for a new secret.
func (s *Session) rotationDue() bool {
	every := s.manager.config.RotateEvery
	return every > 0 && s.signedIn() && !s.manager.now().Before(s.head.Drawn.Add(every)) &&
		s.manager.secureTransport(s.request)
}

// errNotNow says that a rotation is not to happen, which is no fault.
var errNotNow = errors.New("no rotation now")

func (s *Session) rotate(ctx context.Context) error {
	m := s.manager
	err := s.swap(ctx, attempt{edit: func(n *successor) error {
		now := m.now()
		if s.tooSoon(n, now) {
			return errNotNow
		}
		m.rotate(n, now)
		return nil
	}})
	if errors.Is(err, errNotNow) {
		return nil
	}
	if err != nil {
		return err
	}
	s.setCookie(cookieSignedIn)
	s.tell(KindRotated, Event{ID: s.record.ID, Subject: s.subject()})
	return nil
}

// tooSoon reports whether a rotation would put a secret out of use that the
// browser may still send.
func (s *Session) tooSoon(n *successor, now time.Time) bool {
	grace := s.manager.config.RotationGrace
	if s.drew {
		return true // what the browser has is the secret before
	}
	if n.earlier {
		// That the current secret is lost is shown only by a request that came
		// with the previous one when the answer should long have arrived, not
		// by one that has been under way since before.
		return !n.head.Seen.IsZero() || s.presented.Before(n.head.Drawn.Add(grace))
	}
	return now.Before(n.head.Drawn.Add(grace)) ||
		n.head.HasPrevious && now.Before(n.head.Seen.Add(grace))
}

// rotate draws a new secret of the same family. The secret that the browser is
// known to have becomes the previous one: the current, or if nobody has ever
// come with that, since the answer with it was lost, still the one before. The
// answer may yet be found, so the lost secret is late for a while and not an
// alarm.
func (m *Manager) rotate(n *successor, now time.Time) {
	if n.earlier {
		n.head.HasReplaced, n.head.Replaced, n.head.ReplacedUntil = true, n.head.Current, now.Add(m.config.RotationGrace)
	} else {
		n.head.HasPrevious, n.head.Previous, n.head.PreviousWrap = true, n.head.Current, n.head.Wrap
	}
	n.head.Seen = time.Time{}
	n.token.Secret = n.token.Secret.Rotated()
	n.head.Current = m.scope.Verifier(n.token.Secret)
	n.head.Drawn = now
	n.earlier = false
	if n.head.Sealed {
		n.head.Wrap = m.scope.Wrap(n.box.Key(), n.token.Secret)
	}
}
