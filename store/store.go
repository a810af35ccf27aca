// Package store is the contract between a session manager and the place where
// it keeps sessions. Users of Coatcheck choose a store and never call it;
// people who write one read this package, implement [Store] in about 300 lines
// and run the conformance kit in store/storetest against it. The in-memory
// store in store/memstore is the reference.
//
// # Consistency
//
// A store is linearizable per id and per subject: once a call has returned,
// every call that starts later, through any handle on the same store, sees its
// effect or a later one. Every method is atomic: it happens whole or not at
// all, and no other call sees it half done. A record, the index of its subject
// and the marks left by DeleteSubject and DeleteAll change together.
//
// A store may answer Load with [Cached] from a local copy, and then states in
// its package comment for how long at most the copy may be out of date. A copy
// may say yes, never no: a manager confirms every refusal (an unknown id, a
// secret that does not match, a deadline that has passed) by a [Fresh] load
// before it acts. So misses are never kept, and a store drops or replaces its
// own copy before any write of its own returns.
//
// # Errors
//
// The errors named in this package say that nothing happened, and why. Any
// other error of a call that writes says that the outcome is unknown: the
// write may have happened, may still happen, or may not. The manager then
// loads the record; a version that it drew itself proves that the write
// happened. A store retries what its own transport calls transient; a manager
// never does. Named errors may come wrapped: compare with errors.Is.
//
// # Time
//
// Time is an argument, never the clock of the store: a record is dead when its
// recorded times say so at the now that is passed in. A native time to live is
// garbage collection only and is set at least [SweepAfter] past the deadline.
// Times are whole microseconds in UTC (see [Instant]); durations are whole
// microseconds.
//
// # Bytes
//
// A store keeps every byte of ID, Subject, Head and Data and looks into none
// of them: no prefix, encoding or character has a meaning to it, and none
// becomes part of a path, a pattern or a statement. It copies what it is given
// before it returns and never lends its own memory.
//
// # Optional abilities
//
// Found by assertion and used where they are: [Watcher] (tells that a record
// changed by another hand), [Settler] (waits until no copy is out of date),
// [InProcess] (keeps records in this process alone, so that they need no
// sealing), [ExactMarks] (adds nothing to marks).
//
// All methods are safe for use by several goroutines at once. Every method
// that takes a context returns soon after the context ends, with an error that
// wraps the context's, unless it has finished.
package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// The errors of the contract. Each says that nothing happened.
var (
	// ErrNotFound: there is no such record, or none that can still be changed.
	ErrNotFound = errors.New("store: no such session")
	// ErrExists: a record of that id is there already.
	ErrExists = errors.New("store: a session of this id exists already")
	// ErrConflict: the record is no longer at the version named.
	ErrConflict = errors.New("store: the session has changed meanwhile")
	// ErrLimit: the subject has as many live sessions as Terms allow.
	ErrLimit = errors.New("store: the subject has as many sessions as are allowed")
	// ErrSubjectEnded: the subject's sessions were ended after Terms.Began.
	ErrSubjectEnded = errors.New("store: the subject's sessions were ended meanwhile")
	// ErrFull: there is no room, and making some would end a live session of
	// somebody who is signed in.
	ErrFull = errors.New("store: full")
)

const (
	// MaxHead bounds Record.Head, in bytes.
	MaxHead = 2 << 10
	// MaxSubject bounds Record.Subject, in bytes.
	MaxSubject = 512
	// MarkFor is how long DeleteSubject and DeleteAll are remembered.
	MarkFor = time.Hour
	// SweepAfter is how long past its deadline a record is left in place, so
	// that a late visitor can be told why a session ended.
	SweepAfter = 5 * time.Minute
	// ClockTolerance is how far the clocks of two machines that share a store
	// may be apart.
	ClockTolerance = 5 * time.Second
)

// Record is what a store keeps for one session: the fields it must act on, and
// two opaque byte strings. The zero Record is not valid.
type Record struct {
	ID      ID     // of the placement of its subject: see PlacementOf
	Version uint64 // random, drawn by the manager for each write; never 0
	Subject string // index; empty: none. At most MaxSubject bytes

	Created  time.Time
	LastSeen time.Time
	Idle     time.Duration // dead at LastSeen+Idle
	Absolute time.Time     // and at this time

	// Retired: superseded by another session. Load returns such a record and
	// All skips it; no index or count holds it; it can never be changed again.
	Retired bool

	Head []byte // opaque, at most MaxHead bytes; List and All yield it
	Data []byte // opaque; List and All leave it out
}

// Deadline is the earlier of both limits.
func (r *Record) Deadline() time.Time {
	idle := r.LastSeen.Add(r.Idle)
	if idle.Before(r.Absolute) {
		return idle
	}
	return r.Absolute
}

// Live reports whether the record is of a session that still lives at now:
// neither retired nor at its deadline or past it.
func (r *Record) Live(now time.Time) bool {
	return !r.Retired && now.Before(r.Deadline())
}

// Instant returns t as a store keeps it: in UTC, whole microseconds, without a
// monotonic reading.
func Instant(t time.Time) time.Time {
	return time.UnixMicro(t.UnixMicro()).UTC() // faster than Truncate
}

// Freshness says what may answer a Load.
type Freshness uint8

const (
	// Cached allows a local copy that may be out of date within the store's
	// stated bound.
	Cached Freshness = iota
	// Fresh asks for the record as it is now.
	Fresh
)

// Terms are the conditions of a Create. The zero Terms set none.
type Terms struct {
	// Began is when the request began that creates the record. A mark later
	// than Began refuses it with ErrSubjectEnded: the mark of its subject, or
	// for any record the mark of all. A store that several machines share adds
	// ClockTolerance to the mark, because their clocks may differ; one that a
	// single process holds does not. The zero time is refused by no mark. See
	// [ExactMarks].
	Began time.Time
	// Replaces is not counted against Max, nor ended for it.
	Replaces ID
	// Max is how many live records the subject may have, this one included.
	// 0 sets no limit; a record without subject has none.
	Max int
	// Refuse answers ErrLimit at Max, instead of ending the subject's least
	// recently seen records.
	Refuse bool
}

// Store keeps records. The package comment says what all methods promise.
type Store interface {
	// Load fills rec with the record as stored, live or not, retired or not,
	// or returns ErrNotFound. It overwrites every field and may reuse the
	// capacity of rec.Head and rec.Data.
	Load(ctx context.Context, id ID, rec *Record, read Freshness) error

	// Create stores a record whose id is not there yet. It returns the ids of
	// the records that it ended to keep within terms.Max: the least recently
	// seen first. ErrExists, ErrLimit, ErrSubjectEnded, ErrFull.
	Create(ctx context.Context, rec Record, terms Terms, now time.Time) (evicted []ID, err error)

	// Update replaces the record if its version is still was, else ErrConflict.
	// It never creates: a record that is gone, retired or dead at now is
	// ErrNotFound. It keeps the later of both LastSeen, and never changes id,
	// subject or creation, whatever rec says. rec.Retired takes the record out
	// of every index and count. A full store may refuse a record that has
	// grown with ErrFull.
	Update(ctx context.Context, rec Record, was uint64, now time.Time) error

	// Touch moves LastSeen forward to now, never back, and changes nothing
	// else, the version included. ErrNotFound if the record is gone, retired
	// or dead at now. What a touch wrote may be lost when the process dies; a
	// store says for how long.
	Touch(ctx context.Context, id ID, now time.Time) error

	// Delete removes records, retired or not, and returns the ids of those
	// that it removed and that were not retired: of several calls for one id,
	// one is told. What is not there is no error.
	Delete(ctx context.Context, ids ...ID) (ended []ID, err error)

	// DeleteSubject removes the subject's records but those in keep, returns
	// as Delete does, and leaves a mark at now for MarkFor, also where there
	// was no record. A later mark replaces an earlier one, never the reverse.
	// An empty subject is an error.
	DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...ID) (ended []ID, err error)

	// DeleteAll removes every record, returns how many were not retired, and
	// leaves a mark for every subject, as DeleteSubject does.
	DeleteAll(ctx context.Context, now time.Time) (n int, err error)

	// List returns the subject's records that live at now, oldest first (by
	// creation, then id), without Data. An empty subject is an error.
	List(ctx context.Context, subject string, now time.Time) ([]Record, error)

	// All yields every record that is not retired, live or not, without Data:
	// once each record that is there from the start of the iteration to its
	// end, at most once any other. It holds no lock while it yields, so the
	// caller may use the store within. The first error ends it.
	All(ctx context.Context) iter.Seq2[Record, error]

	// Sweep removes up to limit records whose deadline was SweepAfter before
	// now or earlier, retired ones included, and marks older than MarkFor. It
	// returns how many records it removed, and whether there may be more to do
	// at once: false says that a round is finished.
	Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error)
}

// Watcher is a store that tells when a record has changed. Others may have to
// wait while it does, stop among them: so what it calls must return soon, and
// must call neither stop nor the store.
type Watcher interface {
	// Watch calls changed, from any goroutine and as often as it likes, soon
	// after the record is updated, retired or removed through any handle. It
	// is a hint to look: calls may come for nothing, and may be lost where the
	// package comment says so. changed must not block. After stop has returned
	// no call starts.
	Watch(id ID, changed func()) (stop func())
}

// Settler is a store with local copies that knows when they are up to date.
type Settler interface {
	// Settle returns once no handle on this store answers from a copy that was
	// out of date when Settle was called.
	Settle(ctx context.Context) error
}

// InProcess is a store whose records never leave the memory of this process.
// A manager does not seal what it gives to one.
type InProcess interface {
	Store
	// InProcess does nothing: having it is the statement.
	InProcess()
}

// ExactMarks is a store that can say that it compares marks as they are,
// because one clock decides. A manager takes any other to add ClockTolerance:
// then a request that ends a user's sessions, and signs that user in, counts as
// so much later.
type ExactMarks interface {
	// ExactMarks reports whether nothing is added to marks: one refuses what
	// began a microsecond before it, and not what began at its time.
	ExactMarks() bool
}
