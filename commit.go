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
	head    head.Head
	token   secret.Token
	earlier bool
	key     secret.DataKey
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

// conclude stores what was gathered, once, before the response starts. An
// error belongs in the response in place of the handler's. A session that has
// ended is no error: the request finishes, and what it wrote is dropped.
func (s *Session) conclude() error {
	s.mu.Lock()
	inside := s.updating
	s.mu.Unlock()
	if inside {
		return errInsideUpdate
	}
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return s.failed
	}
	s.started = true
	if s.opened == nil || s.err != nil {
		return nil
	}
	wrote := len(s.ops) > 0
	err := s.store()
	if errors.Is(err, ErrEnded) {
		err = nil
		if wrote {
			s.manager.emit(s.event(KindWriteDropped, Event{ID: s.token.ID}))
		}
	}
	s.failed = err
	return err
}

// store brings the store up to date with the request: data, rotation that is
// due, activity.
func (s *Session) store() error {
	if len(s.ops) == 0 && s.is != holds {
		return nil
	}
	now := s.manager.now()
	rotate := !s.peek && s.rotationDue(now)
	if len(s.ops) == 0 && !rotate && (s.peek || !s.unseen() && !s.touchDue(now)) {
		return nil
	}
	ctx, cancel := s.manager.writeContext(s.parent)
	defer cancel()
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
		s.noteActivity(ctx, now)
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
		s.manager.emit(s.event(KindStoreError, Event{ID: s.record.ID, Detail: "activity: " + err.Error()}))
	}
}

// unseen reports whether this request is the first with the current secret.
func (s *Session) unseen() bool {
	return s.head.HasPrevious && s.head.Seen.IsZero() && !s.earlier && !s.drew
}

// touchDue reports whether activity is to be recorded: at most once in a
// sixteenth of Idle or a minute, never backwards.
func (s *Session) touchDue(now time.Time) bool {
	return !s.peek && now.Sub(s.record.LastSeen) >= min(s.record.Idle/16, time.Minute)
}

// swap puts a successor with the gathered data in the place of the present
// record, by compare-and-swap. After a conflict it loads the newer record,
// checks that the token still opens it, and does everything again. mu and
// storing are held. Errors: ErrConflict, ErrStale, ErrEnded, ErrTooLarge,
// ErrStore, those of edit and redo.
func (s *Session) swap(ctx context.Context, a attempt) error {
	m, id := s.manager, s.record.ID
	var start time.Time // of the contention
	var leave func()
	defer func() {
		if leave != nil {
			leave()
		}
	}()
	for tries := 0; ; {
		if leave == nil && (tries > 0 || m.queues.busy(id)) {
			var err error
			if leave, err = m.queues.enter(ctx, id); err != nil {
				return storeError("wait for other requests of the session", err)
			}
		}
		if tries > 0 {
			if a.undo != nil {
				a.undo()
			}
			if err := s.reopen(ctx); err != nil {
				return err
			}
			if a.redo != nil {
				if err := a.redo(); err != nil {
					return err
				}
			}
		}
		err := s.trySwap(ctx, a.edit)
		if !errors.Is(err, store.ErrConflict) {
			if tries > 0 {
				m.emit(s.event(KindConflictRetried, Event{ID: id, Detail: strconv.Itoa(tries)}))
			}
			return err
		}
		if tries++; tries == 1 {
			start = time.Now()
		} else if tries == maxAttempts || time.Since(start) > maxContention {
			return ErrConflict
		}
		if tries > 1 { // somebody outside this process
			pause(ctx, tries)
		}
	}
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
	m, now := s.manager, s.manager.now()
	n := successor{record: s.record, head: s.head, token: s.token, earlier: s.earlier}
	if len(s.ops) > 0 || edit != nil {
		if err := s.unseal(); err != nil {
			return err
		}
		if err := s.catchUp(); err != nil {
			return err
		}
		n.key = s.key
	}
	if s.unseen() {
		n.head.Seen = now
	}
	if s.touchDue(now) {
		n.record.LastSeen = now
	}
	if edit != nil {
		if err := edit(&n); err != nil {
			return err
		}
	}
	if n.rekeyed || len(s.ops) > 0 {
		n.record.Data = m.seal(&n, s.working)
	}
	n.record.Head = n.head.Append(nil)
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
		if !m.landed(ctx, n.record) {
			return storeError("update", err)
		}
	}
	s.install(&n)
	return nil
}

// landed reports whether a write with an unknown outcome has happened: the
// version is one that nobody else can have drawn.
func (m *Manager) landed(ctx context.Context, r store.Record) bool {
	ctx, cancel := m.writeContext(ctx) // the write may have used up its time
	defer cancel()
	var now store.Record
	return m.load(ctx, r.ID, &now, store.Fresh) == nil && now.Version == r.Version
}

// install makes a stored successor what the request has.
func (s *Session) install(n *successor) {
	s.drew = s.drew || n.token != s.token
	s.is, s.token, s.earlier, s.key = holds, n.token, n.earlier, n.key
	s.record, s.head = n.record, n.head
	s.unsealed, s.sealError = s.unsealed || len(s.ops) > 0, nil
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
func (s *Session) newest(ctx context.Context) (*opened, error) {
	m := s.manager
	newer := &Session{manager: m, opened: &opened{token: s.token, ticket: s.ticket}}
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
		return newer.opened, nil
	case v.reason == ReasonIdle, v.reason == ReasonAbsolute, v.reason == ReasonNotBound && !v.foreign:
		s.is = ended
		return nil, ErrEnded
	}
	// The token was good when the request came, so whatever is wrong with it
	// now is no theft: it was superseded while the request was under way.
	s.is = stale
	m.emit(s.event(KindStaleRequest, Event{ID: s.token.ID, Subject: m.subjectOf(&newer.record), Reason: ReasonReplaced}))
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

// seal returns data as it is stored.
func (m *Manager) seal(n *successor, data []byte) []byte {
	if !n.head.Sealed {
		return data
	}
	return m.scope.Seal(make([]byte, 0, len(data)+secret.Overhead), n.key, n.record.ID, data)
}

// createAnonymous stores a session for a visitor who has none.
func (s *Session) createAnonymous(ctx context.Context) error {
	m := s.manager
	n := m.newSession("", m.config.Idle, m.config.Absolute)
	if _, err := s.create(ctx, &n, store.Terms{Began: store.Instant(s.began)}); err != nil {
		return err
	}
	s.install(&n)
	s.unsealed = true
	s.setCookie(cookieVisit)
	m.emit(s.event(KindCreated, Event{ID: n.record.ID}))
	return nil
}

// newSession draws everything that a session has from its beginning.
func (m *Manager) newSession(subject string, idle, absolute time.Duration) successor {
	now := m.now()
	var n successor
	n.token = secret.Token{ID: secret.NewID(m.subjectKey(subject)), Secret: secret.New()}
	n.head = head.Head{
		SignedIn: subject != "",
		Sealed:   m.sealed,
		Name:     []byte(m.config.Name),
	}
	n.record = store.Record{
		ID: n.token.ID, Subject: m.subjectKey(subject),
		Created: now, LastSeen: now, Idle: idle, Absolute: now.Add(absolute),
	}
	m.draw(&n, now)
	return n
}

// draw gives the successor's secret its verifiers, and a new data key.
func (m *Manager) draw(n *successor, now time.Time) {
	n.head.Family = m.scope.Family(n.token.Secret)
	n.head.Current = m.scope.Verifier(n.token.Secret)
	n.head.Drawn = now
	n.earlier = false
	if n.head.Sealed {
		n.key = secret.NewDataKey()
		n.head.Wrap = m.scope.Wrap(n.key, n.token.Secret)
		n.rekeyed = true
	}
}

// create stores a new session with the working data. Errors: ErrStore,
// ErrTooManySessions, ErrEnded.
func (s *Session) create(ctx context.Context, n *successor, terms store.Terms) (evicted []ID, err error) {
	m := s.manager
	n.record.Data = m.seal(n, s.working)
	n.record.Head = n.head.Append(nil)
	n.record.Version = newVersion()
	evicted, err = m.config.Store.Create(ctx, n.record, terms, m.now())
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

// Update stores what this request has gathered so far and what fn changes,
// all or nothing, before it returns. If another request changes the session
// meanwhile, fn runs again and reads the newer values. It is the way
//   - to use a value exactly once: read it in fn, return an error if it is
//     gone, delete it;
//   - to keep several values in step;
//   - to store before something that cannot be undone;
//   - to write after the response has started.
//
// fn must do nothing but read and write values of this session. If it returns
// an error, nothing that it wrote is kept, and what was gathered before stays
// gathered. Errors: that of fn, those of Key.Set, ErrStale, ErrEnded.
func (s *Session) Update(ctx context.Context, fn func() error) error {
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.refusal(); err != nil {
			return err
		}
		if err := s.unseal(); err != nil {
			return err
		}
		before, working := len(s.ops), s.working
		undo := func() {
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
		err := run()
		switch {
		case err != nil:
		case len(s.ops) == 0:
		case s.is == nobody && len(s.working) == 0:
			s.settle()
		case s.is == nobody:
			err = s.createAnonymous(ctx)
		default:
			err = s.swap(ctx, attempt{undo: undo, redo: run})
		}
		if err != nil {
			undo()
		}
		return err
	})
}

// act is the frame of every method that takes a context: it waits until nobody
// else stores, and runs f to its end although the visitor may go. f runs with
// mu held.
func (s *Session) act(ctx context.Context, f func(context.Context) error) error {
	s.mu.Lock()
	inside := s.updating
	s.mu.Unlock()
	if inside {
		return errInsideUpdate
	}
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.opened == nil {
		return ErrCommitted
	}
	if s.err != nil {
		return s.err
	}
	ctx, cancel := s.manager.writeContext(ctx)
	defer cancel()
	return f(ctx)
}

// Reload reads the session again, as it is now, and does what this request has
// gathered again to the newer values. Errors: ErrConflict, ErrStale, ErrEnded,
// ErrStore, that of an Update function.
func (s *Session) Reload(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if s.is != holds {
			return nil
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
			return nil
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
			return ErrEnded
		}
		return storeError("touch", err)
	})
}
