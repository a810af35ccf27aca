package coatcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/internal/cookie"
	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/internal/payload"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// standing is how a request stands to its session.
type standing uint8

const (
	// nobody: there is no session; the first write starts an anonymous one.
	nobody standing = iota
	// holds: the request's token opens a live session.
	holds
	// stale: the token was superseded a moment ago. The request sees nothing,
	// changes nothing and gets no cookie.
	stale
	// unproven: the token opens a session that is bound to a device, and the
	// request does not show that it comes from there. It sees and changes
	// nothing, as if stale, but may sign in anew: a browser that has lost its
	// key could do nothing else.
	unproven
	// foreign: another site caused the request.
	foreign
	// ended: the session ended under the request's hands.
	ended
)

// held is what a request holds of its session while it lasts: what it presented,
// what was loaded, and what it has gathered. It is large, so its memory is used
// again for other requests: see release.
type held struct {
	err     error // why the session could not be opened
	token   secret.Token
	earlier bool            // token has the previous secret, not the current
	drew    bool            // token was drawn by this request: no browser has it yet
	given   secret.Verifier // of the token's secret
	// presented is when the token that the request came with was found good.
	presented time.Time
	ticket    string // the short-lived cookie of a bound session, as presented

	record  store.Record
	head    head.Head // lends from record.Head
	binding dbsc.State
	memory  memory // that the bytes of all these lie in

	unsealed  bool
	sealError error
	box       secret.Box // of the session's data key
	gathered
	next *successor // what is being stored, by who has the turn

	// For the response:
	failed     error // why it is that of an error page
	setLines   [cookieCount]string
	setsCookie bool        // there is a line
	offer      dbsc.Secret // challenge of a registration to be offered
}

var heldPool = sync.Pool{New: func() any { return &held{next: new(successor)} }}

// nothingHeld is what a session holds that is over. It is never written to.
var nothingHeld held

// release gives the memory back, wiped, unless a goroutine that has outlived
// its handler is in a method of the session. Whoever asks later finds the
// session closed, and in any case nothing. mu is held.
func (s *Session) release() {
	if s.held == nil || s.outsiders > 0 || s.storing {
		return
	}
	h := s.held
	s.held = &nothingHeld
	memory, next := h.memory, h.next
	memory.wipe()
	if !next.record.ID.IsZero() { // most requests store nothing
		*next = successor{}
	}
	*h = held{} // a literal with fields would be made elsewhere and copied
	h.memory, h.next = memory, next
	heldPool.Put(h)
}

func (s *Session) standing() standing {
	if s.held == nil || s.closed {
		return nobody
	}
	return s.is
}

// open finds the session of the request, once.
func (s *Session) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find()
}

// find is open for who holds mu, or has the request alone.
func (s *Session) find() error {
	if s.held != nil {
		return s.err
	}
	if s.closed {
		return ErrCommitted
	}
	s.held = heldPool.Get().(*held)
	s.err = s.search()
	return s.err
}

// search looks for a live session among the cookies of the request: first the
// signed-in, then the anonymous one. A stale sign-in is not passed over, so
// that its answer cannot start something that takes its place.
func (s *Session) search() error {
	if s.crossSite {
		s.is = foreign
		return nil
	}
	m := s.manager
	var found [cookieCount]cookie.Found
	if pairs := cookie.Scan(s.request.Header["Cookie"], m.names[:], found[:]); pairs > cookie.MaxPairs {
		s.tell(KindDuplicateCookie, Event{Detail: "more cookies than browsers send"})
		return ErrTooManyCookies
	}
	for i, f := range found {
		if f.Count > 1 {
			s.tell(KindDuplicateCookie, Event{Detail: m.names[i]})
			return fmt.Errorf("%w (%s)", ErrDuplicateCookie, m.names[i])
		}
	}
	s.ticket = found[cookieBound].Value
	for _, which := range [...]int{cookieSignedIn, cookieVisit} {
		if found[which].Count == 0 || found[which].Value == "" {
			continue
		}
		if !s.token.Parse(found[which].Value) {
			s.tell(KindForgedToken, Event{Reason: ReasonMalformed})
			continue
		}
		if err := s.present(which == cookieSignedIn); err != nil || s.is != nobody {
			return err
		}
	}
	return nil
}

// present shows the token. Whatever it opens, or is stale for, becomes the
// request's standing.
func (s *Session) present(signedIn bool) error {
	for _, read := range [...]store.Freshness{store.Cached, store.Fresh} {
		if err := s.load(s.parent, read); err != nil {
			switch {
			case errors.Is(err, store.ErrNotFound) && read == store.Fresh:
				return s.refuse(ReasonUnknown, false)
			case errors.Is(err, store.ErrNotFound):
				continue // a copy may say yes, never no
			case s.parent.Err() == nil: // else the visitor has gone, which is no trouble
				s.tell(KindStoreError, Event{ID: s.token.ID, Detail: "load: " + err.Error()})
			}
			return err
		}
		now := store.Instant(s.began)
		if !s.prompt || read == store.Fresh {
			now = s.manager.now()
		}
		v := s.judge(now)
		if v.opens && s.head.SignedIn == signedIn {
			s.is, s.earlier, s.presented = holds, v.earlier, now
			if s.record.LastSeen.After(now.Add(store.ClockTolerance)) {
				s.tell(KindClockSkew, Event{ID: s.token.ID, Subject: s.subject(), Detail: s.record.LastSeen.Sub(now).String() + " ahead"})
			}
			return nil
		}
		if read == store.Fresh {
			return s.turnAway(v, now)
		}
	}
	return nil
}

// load fills record and head with what the store has, in memory that is used
// again. Errors: ErrNotFound of the store as it is, any other as ErrStore.
func (s *Session) load(ctx context.Context, read store.Freshness) error {
	s.record.Head, s.record.Data = wiped(s.memory.head), wiped(s.memory.data)
	err := s.manager.load(ctx, s.token.ID, &s.record, read)
	if err != nil {
		return err
	}
	s.memory.head, s.memory.data = s.record.Head, s.record.Data
	return s.parseHead()
}

// load fills a record from the store. Errors: ErrNotFound of the store as it
// is, any other as ErrStore.
func (m *Manager) load(ctx context.Context, id ID, record *store.Record, read store.Freshness) error {
	ctx, call := m.readContext(ctx)
	defer call.end()
	err := m.config.Store.Load(ctx, id, record, read)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return storeError("load", err)
	}
	return err
}

func (s *Session) parseHead() error {
	err := s.head.Parse(s.record.Head)
	if err == nil {
		s.binding, err = dbsc.Parse(s.head.Bound)
	}
	if err != nil {
		return storeError("load", err)
	}
	return nil
}

// verdict is what a loaded record says to a token.
type verdict struct {
	opens   bool // it is good
	earlier bool // by the previous secret
	late    bool // it was good, and the browser may hold a better one by now
	retired bool // it was good, and is not to be seen again
	foreign bool // it is good, but not on this device
	reason  Reason
}

// judge compares the presented token with the loaded record, each part in
// constant time.
func (s *Session) judge(now time.Time) verdict {
	h, scope := &s.head, s.manager.scope
	s.given = scope.Verifier(s.token.Secret)
	given := s.given
	current := given.Equal(h.Current)
	previous := h.HasPrevious && given.Equal(h.Previous)
	replaced := h.HasReplaced && given.Equal(h.Replaced)

	good := current || previous && (h.Seen.IsZero() || now.Before(h.Seen.Add(s.manager.config.RotationGrace)))
	family := good || scope.Family(s.token.Secret).Equal(h.Family)
	switch {
	case replaced:
		return verdict{late: now.Before(h.ReplacedUntil), reason: ReasonReplaced, retired: family && !now.Before(h.ReplacedUntil)}
	case good && s.record.Retired:
		return verdict{late: now.Before(s.record.Absolute), reason: ReasonReplaced}
	case good && !now.Before(s.record.Absolute):
		return verdict{reason: ReasonAbsolute}
	case good && !now.Before(s.record.Deadline()):
		return verdict{reason: ReasonIdle}
	case good && s.unboundTooLong(now):
		return verdict{reason: ReasonNotBound}
	case good && !s.binding.Proves(s.ticket, now):
		return verdict{foreign: true, reason: ReasonNotBound}
	case good:
		return verdict{opens: true, earlier: !current}
	case family:
		return verdict{retired: true, reason: ReasonReuse}
	}
	return verdict{reason: ReasonWrongSecret}
}

// turnAway acts on a verdict that does not open the session, after a fresh
// load.
func (s *Session) turnAway(v verdict, now time.Time) error {
	subject := s.manager.subjectOf(&s.record)
	switch {
	case v.opens:
		// A good token in the cookie of the other kind: no browser that got it
		// from here has it there.
		return s.refuse(ReasonWrongSecret, true)
	case v.late:
		s.is = stale
		s.tell(KindStaleRequest, Event{ID: s.token.ID, Subject: subject, Reason: v.reason})
		return nil
	case v.foreign:
		s.is = unproven
		s.turnAwayForeign(subject)
		return nil
	case v.retired && s.record.Live(now):
		s.tell(KindRetiredToken, Event{ID: s.token.ID, Subject: subject, Reason: ReasonReuse})
		return s.remove(subject, ReasonReuse)
	case v.reason == ReasonWrongSecret:
		return s.refuse(v.reason, true)
	case v.reason == ReasonIdle, v.reason == ReasonAbsolute, v.reason == ReasonNotBound:
		return s.remove(subject, v.reason)
	}
	return s.refuse(v.reason, true) // superseded long ago
}

// refuse leaves the request without the session of this token, at no cost to
// the store.
func (s *Session) refuse(reason Reason, known bool) error {
	e := Event{Reason: reason}
	if known {
		e.ID = s.token.ID
	}
	s.tell(KindForgedToken, e)
	return nil
}

// remove deletes the session that was found to be over. Of all who find it so,
// one tells. A failure is an event: the session is over in any case.
func (s *Session) remove(subject string, reason Reason) error {
	m := s.manager
	ctx, call := m.writeContext((*requestContext)(s))
	defer call.end()
	gone, err := m.config.Store.Delete(ctx, s.token.ID)
	if err != nil {
		s.tell(KindStoreError, Event{ID: s.token.ID, Detail: "delete: " + err.Error()})
		if reason == ReasonReuse {
			return storeError("end a session whose retired token was presented", err)
		}
		return nil
	}
	for _, id := range gone {
		s.tell(KindEnded, Event{ID: id, Subject: subject, Reason: reason})
	}
	return nil
}

// unseal makes the data readable. mu is held.
func (s *Session) unseal() error {
	if s.held == nil {
		return ErrCommitted
	}
	if s.unsealed {
		return s.sealError
	}
	s.unsealed = true
	if s.is != holds {
		return nil
	}
	s.base, s.sealError = s.plain()
	if len(s.ops) == 0 {
		s.working = s.base
	}
	if s.sealError != nil {
		s.tell(KindUndecodable, Event{ID: s.record.ID, Subject: s.subject(), Detail: s.sealError.Error()})
	}
	return s.sealError
}

// plain returns the record's data, unsealed.
func (s *Session) plain() ([]byte, error) {
	if !s.head.Sealed {
		return s.record.Data, nil
	}
	wrap := s.head.Wrap
	if s.earlier {
		wrap = s.head.PreviousWrap
	}
	m := s.manager
	s.box = m.ciphers.Box(m.scope, s.record.ID, s.given, wrap, s.token.Secret)
	data, err := m.scope.Open(s.memory.opened.take(len(s.record.Data)), &s.box, s.record.ID, s.record.Data)
	if err == nil {
		err = payload.Check(data)
	}
	if err != nil {
		return nil, storeError("unseal", err)
	}
	return data, nil
}

// tell emits an event of this kind with what is known of the request.
func (s *Session) tell(kind Kind, e Event) {
	if m := s.manager; m.hears(kind) {
		e.Kind, e.Remote = kind, m.remote(s.request)
		m.emit(e)
	}
}

// subjectKey is how the subject is written in records: the manager's name, a
// colon, which no name has, and the subject. So lists and limits of two
// managers on one store are apart.
func (m *Manager) subjectKey(subject string) string {
	if subject == "" {
		return ""
	}
	return m.prefix + subject
}

// subjectOf is the reverse of subjectKey. It does not allocate.
func (m *Manager) subjectOf(r *store.Record) string {
	return strings.TrimPrefix(r.Subject, m.prefix)
}
