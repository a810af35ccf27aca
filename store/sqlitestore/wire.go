package sqlitestore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

const (
	socketSuffix = ".sock"

	// protocol is the version of the messages below. They are written with
	// encoding/gob, requests and answers in turn: fields may be added, and the
	// version grows when one changes its meaning.
	protocol = 1
)

// operation names a method. The numbers are part of the protocol.
type operation uint8

const (
	opHello operation = iota // nothing but the version
	opLoad
	opCreate
	opUpdate
	opTouch
	opDelete
	opDeleteSubject
	opDeleteAll
	opList
	opPage // of All
	opSweep
)

// request is a call of a method: of its arguments those that the method has.
type request struct {
	Protocol  int
	Operation operation
	ID        store.ID
	IDs       []store.ID // of Delete; kept by DeleteSubject
	Record    store.Record
	Terms     store.Terms
	Was       uint64
	Subject   string
	After     []byte
	Limit     int
	Now       time.Time
}

// answer is what the method returned.
type answer struct {
	Records []store.Record // one for Load
	IDs     []store.ID
	N       int
	More    bool
	Refusal int    // 1 more than the index in refusals; 0: none
	Error   string // the text of an error; empty: none
}

// refusals are the errors that keep their identity on the way. Their order is
// part of the protocol.
var refusals = []error{
	store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrLimit,
	store.ErrSubjectEnded, store.ErrFull, ErrClosed,
}

func (a *answer) setError(err error) {
	if err == nil {
		return
	}
	a.Error = err.Error()
	for i, refusal := range refusals {
		if errors.Is(err, refusal) {
			a.Refusal = i + 1
			return
		}
	}
}

func (a *answer) err() error {
	if a.Error == "" {
		return nil
	}
	if i := a.Refusal - 1; i >= 0 && i < len(refusals) {
		if a.Error == refusals[i].Error() {
			return refusals[i]
		}
		return &ownerError{a.Error, refusals[i]}
	}
	return &ownerError{a.Error, nil}
}

// ownerError is an error that the owner of the file returned.
type ownerError struct {
	text    string
	refusal error
}

func (e *ownerError) Error() string { return e.text }
func (e *ownerError) Unwrap() error { return e.refusal }

// maxSocketName is how long the name of a socket may be on every system.
const maxSocketName = 100

// socketName returns a name of the socket at path that is short enough for the
// system, and what must be closed when it has been used.
func socketName(path string) (name string, used func(), err error) {
	used = func() {}
	if len(path) <= maxSocketName {
		return path, used, nil
	}
	if dir, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(dir, path); err == nil && len(relative) <= maxSocketName {
			return relative, used, nil
		}
	}
	if runtime.GOOS == "linux" {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return "", used, err
		}
		name := filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path))
		if len(name) <= maxSocketName {
			return name, func() { dir.Close() }, nil
		}
		dir.Close()
	}
	return "", used, errors.New("the name is too long for a socket; use a shorter one for the file, or set Options.NoSocket")
}
