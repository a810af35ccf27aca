package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Options change how a store works. The zero Options, or nil, are what most
// want.
type Options struct {
	// LockWait is how long Open waits for another process to let go of the
	// file, as happens when a program is replaced by a newer one of itself.
	// 0: 30 seconds. Negative: not at all.
	LockWait time.Duration

	// CacheBytes bounds the memory of recently used records, without the index
	// of some 40 bytes for each. 0: 64 MiB. Negative: no cache, and every Load
	// asks the database. A record larger than a 128th of it is not kept.
	CacheBytes int64

	// NoSocket leaves out the socket at which Dial finds the store: for file
	// systems that cannot hold one.
	NoSocket bool

	// Now is the clock that Open compares with the newest session in the file.
	// nil: time.Now.
	Now func() time.Time
}

const (
	defaultLockWait   = 30 * time.Second
	defaultCacheBytes = 64 << 20
	maxClockLead      = 24 * time.Hour // of the newest session over the clock
)

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.LockWait == 0 {
		opts.LockWait = defaultLockWait
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = defaultCacheBytes
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return opts
}

// Store keeps sessions in a file that this process holds. Made by Open. It
// implements [store.Store], [store.Watcher] and [store.ExactMarks].
type Store struct {
	path     string
	lock     *lockFile
	cache    *cache
	watchers watchers
	writer   writer

	reads      *sql.DB
	selectOne  *sql.Stmt // selectSession
	selectList *sql.Stmt // listSessions
	selectPage *sql.Stmt // pageOfSessions

	// settled is held for reading by those who read from the file: so that no
	// touch moves from memory into the file between their look at the one and
	// at the other, and so that Close waits for them.
	settled sync.RWMutex
	closed  atomic.Bool

	checkpoints checkpointer
	served      served
}

// Open takes the file for this process and makes it if it is not there; the
// directory must exist. While another process holds the file it waits as
// Options say, or until the context ends, and then names that process. It
// refuses a file that is not a store, that a newer version has written, or
// that cannot be written. The errors say what to do.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	options := opts.withDefaults()
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	lock, err := acquire(ctx, path+lockSuffix, options.LockWait)
	if err != nil {
		return nil, err
	}
	s, err := open(path, options)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	s.lock = lock
	if !options.NoSocket {
		if err := s.listen(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// open does what Open does once the file is this process's.
func open(path string, options Options) (s *Store, err error) {
	s = &Store{path: path, cache: newCache(options.CacheBytes)}
	var opened []func() error
	defer func() {
		if err != nil {
			for _, undo := range slices.Backward(opened) {
				err = errors.Join(err, undo())
			}
		}
	}()
	if err := s.openWriter(); err != nil {
		return nil, err
	}
	opened = append(opened, s.writer.sql.close)
	if err := s.checkClock(options.Now()); err != nil {
		return nil, err
	}
	if err := s.openReads(); err != nil {
		return nil, err
	}
	opened = append(opened, s.closeReads)
	if err := s.checkpoints.open(s); err != nil {
		return nil, err
	}
	go s.checkpoints.run()
	go s.writer.run()
	return s, nil
}

// Close waits for what is in flight, writes the gathered touches, and lets go
// of the file. Methods called after it return ErrClosed.
func (s *Store) Close() error {
	s.stopServing()
	err := s.writer.close()
	if errors.Is(err, ErrClosed) {
		return err
	}
	if err != nil {
		err = fmt.Errorf("sqlitestore: the last touches could not be written, so some sessions will end a little early: %w", err)
	}
	s.settled.Lock()
	s.closed.Store(true)
	s.settled.Unlock()
	return errors.Join(err, s.checkpoints.close(), s.closeReads(), s.writer.sql.close(), s.lock.release())
}

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) (evicted []store.ID, err error) {
	if err := check(&rec); err != nil {
		return nil, err
	}
	own := owned(&rec)
	var done []store.ID
	err = s.writer.write(ctx, "create", &op{do: func(t *transaction) (err error) {
		done, err = t.create(own, terms, now.UnixMicro())
		return err
	}})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := check(&rec); err != nil {
		return err
	}
	own := owned(&rec)
	return s.writer.write(ctx, "update", &op{do: func(t *transaction) error {
		return t.update(own, was, now.UnixMicro())
	}})
}

// Touch implements [store.Store]. It is done in memory, and in the file within
// a second.
func (s *Store) Touch(ctx context.Context, id store.ID, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlitestore: touch: %w", err)
	}
	at := now.UnixMicro()
	result := touchUnknown
	if s.cache.pending.Load() < maxTouches {
		if result = s.touchCached(id, at); result == touchUnknown {
			var rec store.Record
			if err := s.Load(ctx, id, &rec, store.Fresh); err != nil {
				return err
			}
			result = s.touchCached(id, at)
		}
	}
	switch result {
	case touchDone:
		return nil
	case touchRefused:
		return store.ErrNotFound
	}
	return s.writer.write(ctx, "touch", &op{do: func(t *transaction) error { return t.touch(id, at) }})
}

// touchCached touches a record in memory. No touch is gathered after the
// writer has begun to write the last ones.
func (s *Store) touchCached(id store.ID, now int64) touchResult {
	w := &s.writer
	w.sending.RLock()
	defer w.sending.RUnlock()
	if w.closed {
		return touchUnknown
	}
	result := s.cache.touch(id, now)
	if result == touchDone {
		w.touchesWait()
	}
	return result
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, ids ...store.ID) (ended []store.ID, err error) {
	own := slices.Clone(ids)
	var done []store.ID
	err = s.writer.write(ctx, "delete", &op{do: func(t *transaction) (err error) {
		done, err = t.delete(own)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// DeleteSubject implements [store.Store].
func (s *Store) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) (ended []store.ID, err error) {
	if subject == "" {
		return nil, errNoSubject
	}
	own := slices.Clone(keep)
	var done []store.ID
	err = s.writer.write(ctx, "delete subject", &op{do: func(t *transaction) (err error) {
		done, err = t.deleteSubject(subject, now.UnixMicro(), own)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// DeleteAll implements [store.Store].
func (s *Store) DeleteAll(ctx context.Context, now time.Time) (n int, err error) {
	var done int
	err = s.writer.write(ctx, "delete all", &op{do: func(t *transaction) (err error) {
		done, err = t.deleteAll(now.UnixMicro())
		return err
	}})
	if err != nil {
		return 0, err
	}
	return done, nil
}

// ExactMarks implements [store.ExactMarks]: all who use the file are on this
// machine, and go by its clock.
func (s *Store) ExactMarks() bool { return true }

// maxSweep bounds the records of one Sweep, because other writes wait for it.
const maxSweep = 1000

// Sweep implements [store.Store]. It looks at no more than 1000 records at a
// time, whatever the limit, and writes the gathered touches.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	limit = min(max(limit, 0), maxSweep)
	var (
		done int
		rest bool
	)
	err = s.writer.write(ctx, "sweep", &op{flush: true, do: func(t *transaction) (err error) {
		done, rest, err = t.sweep(now.UnixMicro(), limit)
		return err
	}})
	if err != nil {
		return 0, false, err
	}
	return done, rest, nil
}

var errNoSubject = errors.New("sqlitestore: the subject is empty: sessions without one cannot be listed or ended by subject")

// check refuses a record that the contract does not allow.
func check(rec *store.Record) error {
	switch {
	case len(rec.Subject) > store.MaxSubject:
		return fmt.Errorf("sqlitestore: a subject has at most %d bytes, this has %d", store.MaxSubject, len(rec.Subject))
	case len(rec.Head) > store.MaxHead:
		return fmt.Errorf("sqlitestore: a head has at most %d bytes, this has %d", store.MaxHead, len(rec.Head))
	}
	return nil
}

// owned copies what a record borrows, because a write may outlast its call.
func owned(rec *store.Record) *store.Record {
	own := *rec
	bytes := make([]byte, 0, len(rec.Head)+len(rec.Data))
	bytes = append(bytes, rec.Head...)
	own.Head = bytes[:len(rec.Head):len(rec.Head)]
	own.Data = append(bytes, rec.Data...)[len(rec.Head):]
	return &own
}
