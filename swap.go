package coatcheck

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// A commit that meets others is tried again so often, and so long.
const (
	maxAttempts   = 16
	maxContention = 2 * time.Second
)

// successor is the record that is to take the place of the present one, with
// what the request must know of it. A data commit leaves all but the data as
// it is.
type successor struct {
	record  store.Record
	head    *head.Head // newHead, or the present one, which is large, where that stays
	newHead head.Head
	token   secret.Token
	earlier bool
	box     secret.Box
	rekeyed bool // the data must be sealed anew
}

// attempt says how a swap makes a successor, at first and after a conflict.
type attempt struct {
	// edit changes the successor; nil leaves all but the data as it is. Its
	// error ends the swap.
	edit func(*successor) error
	// undo is called before the newer record is loaded, and redo after it.
	undo func()
	redo func() error
}

// swap puts a successor with the gathered data in the place of the present
// record, by compare-and-swap. After a conflict it loads the newer record,
// checks that the token still opens it, and does everything again. mu and
// the turn are held. Errors: ErrConflict, ErrStale, ErrEnded, ErrTooLarge,
// ErrStore, those of edit and redo.
func (s *Session) swap(ctx context.Context, a attempt) error {
	if s.manager.queues.busy(s.record.ID) {
		return s.swapInTurn(ctx, a, 0)
	}
	err := s.trySwap(ctx, a.edit)
	if errors.Is(err, store.ErrConflict) {
		return s.swapInTurn(ctx, a, 1)
	}
	return err
}

// swapInTurn is swap for a session that other requests change too, after some
// tries.
func (s *Session) swapInTurn(ctx context.Context, a attempt, tries int) error {
	id := s.record.ID
	leave, err := s.manager.queues.enter(ctx, id)
	if err != nil {
		return storeError("wait for other requests of the session", err)
	}
	defer leave()
	var start time.Time // of the contention
	for ; ; tries++ {
		switch {
		case tries == 1:
			start = time.Now()
		case tries > 1: // somebody outside this process
			if tries == maxAttempts || time.Since(start) > maxContention {
				return ErrConflict
			}
			pause(ctx, tries)
		}
		if tries > 0 {
			if err := s.again(ctx, a); err != nil {
				return err
			}
		}
		err := s.trySwap(ctx, a.edit)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if tries > 0 {
			s.tell(KindConflictRetried, Event{ID: id, Detail: strconv.Itoa(tries)})
		}
		return err
	}
}

// again takes up the newer record after a conflict.
func (s *Session) again(ctx context.Context, a attempt) error {
	if a.undo != nil {
		a.undo()
	}
	if err := s.reopen(ctx); err != nil || a.redo == nil {
		return err
	}
	return a.redo()
}

// pause waits a random time that grows with the number of tries.
func pause(ctx context.Context, tries int) {
	limit := min(time.Millisecond<<tries, 200*time.Millisecond)
	timer := time.NewTimer(rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// trySwap makes one successor and offers it to the store. ErrConflict of the
// store comes back as it is.
func (s *Session) trySwap(ctx context.Context, edit func(*successor) error) error {
	m, n, now := s.manager, s.next, s.roughly()
	n.record, n.head, n.rekeyed = s.record, &s.head, false
	if len(s.ops) > 0 || edit != nil {
		if err := s.unseal(); err != nil {
			return err
		}
		if err := s.catchUp(); err != nil {
			return err
		}
	}
	if edit != nil || s.head.Sealed { // else they are neither needed nor changed
		n.token, n.earlier, n.box = s.token, s.earlier, s.box
	}
	headChanges := edit != nil || s.unseen()
	if headChanges {
		n.newHead = s.head
		n.head = &n.newHead
	}
	if s.unseen() {
		n.head.Seen = now
	}
	if s.touchDue(now) {
		n.record.LastSeen = now
	}
	if edit != nil {
		if err := edit(n); err != nil {
			return err
		}
	}
	if n.rekeyed || len(s.ops) > 0 {
		n.record.Data = m.seal(n, s.working)
	}
	if headChanges {
		n.record.Head = s.encodeHead(n.head)
	}
	n.record.Version = newVersion()
	err := m.config.Store.Update(ctx, n.record, s.record.Version, now)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, store.ErrNotFound):
		if gone := s.reopen(ctx); gone != nil {
			return gone
		}
		return storeError("update", err) // it is there, and yet it is not
	default:
		s.memory.lose()
		if !m.landed(ctx, n.record) {
			return storeError("update", err)
		}
	}
	if edit == nil {
		s.keep(n)
	} else {
		s.install(n)
	}
	return nil
}

// landed reports whether a write with an unknown outcome has happened: the
// version is one that nobody else can have drawn.
func (m *Manager) landed(ctx context.Context, r store.Record) bool {
	ctx, call := m.writeContext(ctx) // the write may have used up its time
	defer call.end()
	var now store.Record
	return m.load(ctx, r.ID, &now, store.Fresh) == nil && now.Version == r.Version
}

// install makes a stored successor what the request has.
func (s *Session) install(n *successor) {
	if n.token != s.token {
		s.drew, s.given = true, n.head.Current
		s.manager.ciphers.Keep(n.record.ID, n.head.Current, n.head.Wrap, n.box)
	}
	if n.record.ID != s.record.ID {
		s.unsealed, s.sealError = true, nil
	}
	s.is, s.token, s.earlier, s.box = holds, n.token, n.earlier, n.box
	s.keep(n)
}

// keep makes the record of a stored successor what the request has.
func (s *Session) keep(n *successor) {
	if len(s.ops) > 0 { // else the data is as it was, readable or not
		s.unsealed, s.sealError = true, nil
	}
	s.record = n.record
	if n.head != &s.head {
		s.head = *n.head
	}
	s.settle()
}

// reopen takes up the session as it is now and does what was gathered again to
// the newer data. Errors: those of newest and of catchUp.
func (s *Session) reopen(ctx context.Context) error {
	newer, err := s.newest(ctx)
	if err != nil {
		return err
	}
	s.record, s.head, s.binding, s.earlier = newer.record, newer.head, newer.binding, newer.earlier
	s.behind = s.unsealed
	return s.catchUp()
}

// newest loads the session as it is now, past any copy and in new memory, and
// makes sure that the request's token still opens it. ErrStale if the session
// was superseded, ErrEnded if it is gone.
func (s *Session) newest(ctx context.Context) (*held, error) {
	m := s.manager
	newer := &Session{manager: m, held: &held{token: s.token, ticket: s.ticket}}
	err := m.load(ctx, s.token.ID, &newer.record, store.Fresh)
	if errors.Is(err, store.ErrNotFound) {
		s.is = ended
		return nil, ErrEnded
	}
	if err != nil {
		return nil, err
	}
	if err := newer.parseHead(); err != nil {
		return nil, err
	}
	switch v := newer.judge(m.now()); {
	case v.opens:
		newer.earlier = v.earlier
		return newer.held, nil
	case v.reason == ReasonIdle, v.reason == ReasonAbsolute, v.reason == ReasonNotBound && !v.foreign:
		s.is = ended
		return nil, ErrEnded
	}
	// The token was good when the request came, so whatever is wrong with it
	// now is no theft: it was superseded while the request was under way.
	s.is = stale
	s.tell(KindStaleRequest, Event{ID: s.token.ID, Subject: m.subjectOf(&newer.record), Reason: ReasonReplaced})
	return nil, ErrStale
}

// catchUp does what was gathered to the data of the record, if a newer one was
// loaded and that has not been done. After an error nothing is stored before
// it has succeeded, or what was gathered is dropped.
func (s *Session) catchUp() error {
	if !s.behind {
		return nil
	}
	base, err := s.plain()
	if err != nil {
		return err
	}
	if err := s.rebase(base); err != nil {
		s.working = base // what was gathered is done again, or not at all
		return err
	}
	s.behind = false
	return nil
}
