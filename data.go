package coatcheck

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/coatcheck/coatcheck/internal/payload"
)

// gathered is what a request has read of its session's data and what it wants
// changed. Nothing of it is stored before the response starts, or until a
// method that takes a context is called.
//
// The byte strings are payloads, and are never changed in place: what is lent
// from one stays as it was.
type gathered struct {
	base    []byte      // as stored
	working []byte      // base with ops done to it
	ops     []operation // in the order of the calls
	reads   []string    // keys whose stored value the request has seen
	moved   []string    // of these, the ones that another request changed since
	behind  bool        // the record is newer than base: see catchUp
	drops   int         // how often Discard was called

	// For reads and ops: most requests read and change few.
	readSpace [2]string
	opSpace   [1]operation
}

// operation is one change of one value. It can be done again to newer data, by
// replay.
type operation struct {
	key  string
	kind operationKind
	// value is what set writes, or what take took.
	value payload.Value
	// seen: the request had read the key before, so that set and remove are
	// conditional on what it read. Otherwise the last writer wins.
	seen bool
	// change makes the new value of update from the present one.
	change func(old payload.Value, found bool) (payload.Value, error)
}

type operationKind uint8

const (
	set operationKind = iota
	remove
	take   // remove, if the value is still the one that was taken
	update // by a function that may run again
)

// writable returns why nothing can be written now, or nil. mu is held.
func (s *Session) writable() error {
	switch {
	case s.closed || s.held == nil:
		return ErrCommitted
	case s.err != nil:
		return s.err
	case s.refusal() != nil:
		return s.refusal()
	case s.started && !s.updating:
		return ErrCommitted
	}
	if s.is == nobody && len(s.ops) == 0 {
		if err := s.mayStart(); err != nil {
			return err
		}
	}
	return s.unseal()
}

// over reports whether it is too late to gather anything. A function of the
// user's may have taken its time since writable was asked.
func (s *Session) over() bool { return s.closed || s.started && !s.updating }

// mayStart returns why the request cannot start a session, or nil.
func (s *Session) mayStart() error {
	m := s.manager
	if s.started {
		return ErrCommitted
	}
	if !m.secureTransport(s.request) {
		s.tell(KindInsecureTransport, Event{Detail: s.request.Host})
		return ErrInsecureTransport
	}
	if admit := m.config.AdmitAnonymous; admit != nil {
		if err := s.outside(func() error { return admit(s.request) }); err != nil {
			return err
		}
		if s.over() {
			return ErrCommitted
		}
	}
	return nil
}

// read returns the working value of a key and notes that it was seen. mu is
// held; the value is lent.
func (s *Session) read(key string) (payload.Value, bool) {
	if s.closed || s.held == nil || s.unseal() != nil {
		return payload.Value{}, false
	}
	if !s.overwritten(key) {
		if s.reads == nil {
			s.reads = s.readSpace[:0]
		}
		if !slices.Contains(s.reads, key) {
			s.reads = append(s.reads, key)
		}
		if len(s.moved) > 0 {
			s.moved = slices.DeleteFunc(s.moved, func(k string) bool { return k == key })
		}
	}
	return payload.Find(s.working, key)
}

// overwritten reports whether the working value of the key owes nothing to the
// stored one.
func (s *Session) overwritten(key string) bool {
	for i := range s.ops {
		op := &s.ops[i]
		if op.key == key && !op.seen && (op.kind == set || op.kind == remove) {
			return true
		}
	}
	return false
}

// gather adds an operation, if something can be written now. mu is held.
func (s *Session) gather(op operation) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.add(op)
}

// add does an operation to the working data, and remembers it. mu is held.
func (s *Session) add(op operation) error {
	if op.kind == set || op.kind == remove {
		if slices.Contains(s.moved, op.key) {
			return fmt.Errorf("%w (%q)", ErrConflict, op.key)
		}
		op.seen = slices.Contains(s.reads, op.key) && !s.overwritten(op.key)
	}
	next, err := s.apply(s.working, op)
	if err != nil {
		return err
	}
	s.working = next
	s.remember(op)
	return nil
}

// remember adds an operation that has been done to the working data.
func (s *Session) remember(op operation) {
	if s.ops == nil {
		s.ops = s.opSpace[:0]
	}
	s.ops = append(s.ops, op)
}

// apply returns data with a set, remove or take done to it. The result of an
// update comes as a set.
func (s *Session) apply(data []byte, op operation) ([]byte, error) {
	switch op.kind {
	case remove, take:
		old, found := payload.Find(data, op.key)
		if !found || op.kind == take && !old.Equal(op.value) {
			return data, nil
		}
		return payload.Remove(make([]byte, 0, len(data)), data, op.key), nil
	}
	next := payload.Put(s.memory.newData.take(1+len(data)+payload.Size(op.key, op.value)), data, op.key, op.value)
	if len(next) > s.manager.config.MaxBytes {
		return nil, fmt.Errorf("%w (%q has %d bytes; the session would have %d of %d)",
			ErrTooLarge, op.key, len(op.value.Bytes), len(next), s.manager.config.MaxBytes)
	}
	return next, nil
}

// maxOwnAttempts is how often an update gives way to other goroutines of its
// request, each time to one that has finished.
const maxOwnAttempts = 100

// change runs an update, at first or again: then what was gathered is being
// stored, and it is not too late. mu is held, but not while the user's function
// runs; if the value was changed by another goroutine of the request meanwhile,
// the function runs again.
func (s *Session) change(op operation, again bool) error {
	for range maxOwnAttempts {
		old, found := payload.Find(s.working, op.key)
		old.Bytes = bytes.Clone(old.Bytes)
		drops := s.drops
		var value payload.Value
		err := s.outside(func() (err error) {
			value, err = op.change(old, found)
			return err
		})
		if err != nil {
			return err
		}
		if !again && s.over() {
			return ErrCommitted // the response has started meanwhile
		}
		if again && s.drops != drops {
			return nil // discarded meanwhile
		}
		now, foundNow := payload.Find(s.working, op.key)
		if foundNow != found || !now.Equal(old) {
			continue
		}
		next, err := s.apply(s.working, operation{key: op.key, kind: set, value: value})
		if err != nil {
			return err
		}
		s.working = next
		return nil
	}
	return fmt.Errorf("%w (%q is changed by the function of its own Update)", ErrConflict, op.key)
}

// outside runs a function of the user's without mu, so that it may use the
// session, and whatever becomes of it, mu is held again afterwards.
func (s *Session) outside(f func() error) error {
	s.outsiders++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.outsiders--
	}()
	return f()
}

// rebase makes base the stored data and does everything gathered to it again.
// ErrConflict if a value that the request has read and then set or deleted was
// changed by another. mu is held.
func (s *Session) rebase(base []byte) error {
	for _, key := range s.reads {
		old, had := payload.Find(s.base, key)
		now, has := payload.Find(base, key)
		if (had != has || !old.Equal(now)) && !slices.Contains(s.moved, key) {
			s.moved = append(s.moved, key)
		}
	}
	s.base, s.working = base, base
	drops := s.drops
	for _, op := range s.ops { // not those that are gathered meanwhile: they are done already
		if op.seen && slices.Contains(s.moved, op.key) {
			return fmt.Errorf("%w (%q)", ErrConflict, op.key)
		}
		if op.kind == update {
			if err := s.change(op, true); err != nil {
				return err
			}
			if s.drops != drops {
				return nil // so is all that was gathered before
			}
			continue
		}
		next, err := s.apply(s.working, op)
		if err != nil {
			return err
		}
		s.working = next
	}
	return nil
}

// settle says that everything gathered is stored. mu is held.
func (s *Session) settle() {
	s.base = s.working
	s.ops = nil
}

// Discard forgets the changes that have been gathered and not yet stored, also
// those of a Session.Update that is under way, up to here.
func (s *Session) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil && !s.closed {
		s.drop()
		s.drops++
	}
}

func (s *Session) drop() {
	s.ops, s.working = nil, s.base
}
