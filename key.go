package coatcheck

import (
	"fmt"
	"reflect"

	"github.com/coatcheck/coatcheck/internal/payload"
)

// Key names one value in sessions and gives it a type. Make keys once, as
// package variables:
//
//	var cart = coatcheck.NewKey[[]Item]("shop.cart")
//
// A Key is a small value, safe for concurrent use. Values are written as JSON;
// strings, byte slices, bools, integers and time.Time have shorter forms, each
// of which the other reads, so that a key may change its type as far as JSON
// allows. Nothing is shared with the session: Get decodes anew each time, and
// Set has encoded when it returns. The zero Key is not valid.
type Key[T any] struct {
	name  string
	codec codec[T]
}

// NewKey returns the key of that name. Two keys of one name are one value; it
// is good to begin names with that of a package. It panics if the name is
// empty or longer than 255 bytes.
func NewKey[T any](name string) Key[T] {
	if name == "" || len(name) > 255 {
		panic(fmt.Sprintf("coatcheck: NewKey: a key's name has 1 to 255 bytes, this has %d", len(name)))
	}
	return Key[T]{name, codecOf[T]()}
}

// Name is the name that was given to NewKey.
func (k Key[T]) Name() string { return k.name }

// Get returns the value, or the zero value and false if there is none. A
// stored value that is not of this type counts as none, and raises an event.
func (k Key[T]) Get(s *Session) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := k.decode(s.read(k.name))
	if err != nil {
		if err != errNone {
			s.tell(KindUndecodable, Event{ID: s.record.ID, Subject: s.subject(), Detail: fmt.Sprintf("%q is no %v", k.name, reflect.TypeFor[T]())})
		}
		var zero T
		return zero, false
	}
	return value, true
}

// Set writes the value. If this request has read the key before, the value is
// stored only if no other request changed it meanwhile, else ErrConflict when
// the response starts; a key that was not read is overwritten, whoever wrote
// last. To change a value from what it is, use Update.
//
// Errors: ErrTooLarge, ErrCommitted, ErrStale, ErrEnded, ErrCrossSite,
// ErrInsecureTransport, ErrConflict, ErrStore, what AdmitAnonymous returned,
// or that of the encoder.
func (k Key[T]) Set(s *Session, value T) error {
	op := operation{key: k.name, kind: set}
	if !k.codec.plain {
		var err error
		if op.value, err = k.encode(nil, value); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if k.codec.plain {
		before := s.memory.values
		all, err := k.encode(before, value)
		if err != nil {
			return err
		}
		s.memory.values = all.Bytes
		op.value = payload.Value{Tag: all.Tag, Bytes: all.Bytes[len(before):]}
	}
	return s.add(op)
}

// Update writes what change makes of the present value, the zero value if
// there is none. If another request changes the session meanwhile, change runs
// again on the newer value, so that nothing is lost: it must do nothing but
// return the new value, and call no method that takes a context. Its error
// leaves everything as it was and is returned, as is a *DecodeError. Other
// errors are those of Set.
func (k Key[T]) Update(s *Session, change func(T) (T, error)) error {
	op := operation{key: k.name, kind: update, change: func(old payload.Value, found bool) (payload.Value, error) {
		value, err := k.decode(old, found)
		if err != nil && err != errNone {
			return payload.Value{}, err
		}
		if value, err = change(value); err != nil {
			return payload.Value{}, err
		}
		return k.encode(nil, value)
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.change(op, false); err != nil {
		return err
	}
	s.remember(op)
	return nil
}

// Delete removes the value, under the conditions of Set. That there is none is
// no error; then nothing is started or stored.
func (k Key[T]) Delete(s *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing() == nobody && s.held != nil && len(s.ops) == 0 && s.err == nil && !s.closed {
		return nil
	}
	return s.gather(operation{key: k.name, kind: remove})
}

// Pop returns the value and removes it: for messages that are shown once. Two
// requests at the same time may both get it; a value that is written meanwhile
// stays. Use Session.Update for what must be taken once only.
func (k Key[T]) Pop(s *Session) (T, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var zero T
	v, found := s.read(k.name)
	if !found {
		return zero, false, nil
	}
	value, err := k.decode(v, found)
	if err != nil {
		return zero, false, err
	}
	if err := s.gather(operation{key: k.name, kind: take, value: v}); err != nil {
		return zero, false, err
	}
	return value, true, nil
}

// errNone says that there is no value to decode.
var errNone = fmt.Errorf("no value")

func (k Key[T]) decode(v payload.Value, found bool) (T, error) {
	var zero T
	if !found {
		return zero, errNone
	}
	value, err := k.codec.decode(v)
	if err != nil {
		return zero, &DecodeError{Key: k.name, err: err}
	}
	return value, nil
}

func (k Key[T]) encode(dst []byte, value T) (payload.Value, error) {
	v, err := k.codec.encode(dst, value)
	if err != nil {
		return v, fmt.Errorf("coatcheck: the value for %q cannot be encoded: %w", k.name, err)
	}
	return v, nil
}
