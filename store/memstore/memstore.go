// Package memstore keeps sessions in the memory of one process: the default
// store of a manager, and the reference for those who write another.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var (
	_ store.InProcess = (*Store)(nil)
	_ store.Watcher   = (*Store)(nil)
)

// Options are the choices of a store. The zero value is the default.
type Options struct {
	// MaxBytes bounds the memory for records and their index, in bytes.
	// 0 means 1 GiB.
	MaxBytes int64
}

// Store keeps records in memory. Use New. It needs no Close.
type Store struct {
	mu       sync.Mutex
	maxBytes int64
	used     int64
	records  map[store.ID]*store.Record
	marks    map[string]time.Time
	markAll  time.Time
	watches  map[store.ID]map[*func()]struct{}
}

// New returns an empty store. Nil options are the defaults.
func New(opts *Options) *Store {
	if opts == nil {
		opts = &Options{}
	}
	s := &Store{
		maxBytes: opts.MaxBytes,
		records:  map[store.ID]*store.Record{},
		marks:    map[string]time.Time{},
		watches:  map[store.ID]map[*func()]struct{}{},
	}
	if s.maxBytes <= 0 {
		s.maxBytes = 1 << 30
	}
	return s
}

// InProcess states that records never leave the memory of this process.
func (s *Store) InProcess() {}

func size(r *store.Record) int64 { return int64(96 + len(r.Subject) + len(r.Head) + len(r.Data)) }

func copyOf(r *store.Record, data bool) store.Record {
	c := *r
	c.Head = bytes.Clone(r.Head)
	c.Data = nil
	if data {
		c.Data = bytes.Clone(r.Data)
	}
	c.Created, c.LastSeen, c.Absolute = store.Instant(r.Created), store.Instant(r.LastSeen), store.Instant(r.Absolute)
	return c
}

func live(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id store.ID, rec *store.Record, _ store.Freshness) error {
	if err := live(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil {
		return store.ErrNotFound
	}
	head, data := append(rec.Head[:0], r.Head...), append(rec.Data[:0], r.Data...)
	*rec = *r
	rec.Head, rec.Data = head, data
	return nil
}

func (s *Store) of(subject string) []*store.Record {
	var rs []*store.Record
	for _, r := range s.records {
		if r.Subject == subject && !r.Retired {
			rs = append(rs, r)
		}
	}
	return rs
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	if err := live(ctx); err != nil {
		return nil, err
	}
	evicted, err := s.create(rec, terms, now)
	s.notify(evicted...)
	return evicted, err
}

func (s *Store) create(rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !terms.Began.IsZero() {
		for _, mark := range []time.Time{s.markAll, s.marks[rec.Subject]} {
			if mark.After(terms.Began) && !now.After(mark.Add(store.MarkFor)) {
				return nil, store.ErrSubjectEnded
			}
		}
	}
	if s.records[rec.ID] != nil {
		return nil, store.ErrExists
	}
	var evicted []store.ID
	if rec.Subject != "" && terms.Max > 0 {
		var counted []*store.Record
		for _, r := range s.of(rec.Subject) {
			if r.Live(now) && r.ID != terms.Replaces {
				counted = append(counted, r)
			}
		}
		if over := len(counted) + 1 - terms.Max; over > 0 {
			if terms.Refuse {
				return nil, store.ErrLimit
			}
			slices.SortFunc(counted, func(a, b *store.Record) int {
				return cmp.Or(a.LastSeen.Compare(b.LastSeen), a.Created.Compare(b.Created), bytes.Compare(a.ID[:], b.ID[:]))
			})
			for _, r := range counted[:over] {
				evicted = append(evicted, r.ID)
			}
		}
	}
	if s.used+size(&rec) > s.maxBytes {
		s.room(size(&rec), now)
		if s.used+size(&rec) > s.maxBytes {
			return nil, store.ErrFull
		}
	}
	for _, id := range evicted {
		s.remove(s.records[id])
	}
	c := copyOf(&rec, true)
	s.records[rec.ID] = &c
	s.used += size(&c)
	return evicted, nil
}

func (s *Store) room(n int64, now time.Time) {
	for _, r := range s.records {
		if s.used+n > s.maxBytes && (r.Subject == "" || !r.Live(now)) {
			s.remove(r)
		}
	}
}

func (s *Store) remove(r *store.Record) {
	delete(s.records, r.ID)
	s.used -= size(r)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := live(ctx); err != nil {
		return err
	}
	if err := s.update(rec, was, now); err != nil {
		return err
	}
	s.notify(rec.ID)
	return nil
}

func (s *Store) update(rec store.Record, was uint64, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[rec.ID]
	if r == nil || !r.Live(now) {
		return store.ErrNotFound
	}
	if r.Version != was {
		return store.ErrConflict
	}
	c := copyOf(&rec, true)
	c.Subject, c.Created = r.Subject, r.Created
	if c.LastSeen.Before(r.LastSeen) {
		c.LastSeen = r.LastSeen
	}
	s.used += size(&c) - size(r)
	*r = c
	return nil
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, id store.ID, now time.Time) error {
	if err := live(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil || !r.Live(now) {
		return store.ErrNotFound
	}
	if at := store.Instant(now); at.After(r.LastSeen) {
		r.LastSeen = at
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	if err := live(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	var ended []store.ID
	for _, id := range ids {
		if r := s.records[id]; r != nil {
			s.remove(r)
			if !r.Retired {
				ended = append(ended, id)
			}
		}
	}
	s.mu.Unlock()
	s.notify(ids...)
	return ended, nil
}

var errNoSubject = errors.New("memstore: the subject is empty: name the one whose sessions are meant")

// DeleteSubject implements store.Store.
func (s *Store) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	if err := live(ctx); err != nil {
		return nil, err
	}
	if subject == "" {
		return nil, errNoSubject
	}
	s.mu.Lock()
	var ended []store.ID
	for _, r := range s.of(subject) {
		if !slices.Contains(keep, r.ID) {
			s.remove(r)
			ended = append(ended, r.ID)
		}
	}
	if at := store.Instant(now); at.After(s.marks[subject]) {
		s.marks[subject] = at
	}
	s.mu.Unlock()
	s.notify(ended...)
	return ended, nil
}

// DeleteAll implements store.Store.
func (s *Store) DeleteAll(ctx context.Context, now time.Time) (int, error) {
	if err := live(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	n := 0
	ids := slices.Collect(maps.Keys(s.records))
	for _, r := range s.records {
		if !r.Retired {
			n++
		}
		s.remove(r)
	}
	if at := store.Instant(now); at.After(s.markAll) {
		s.markAll = at
	}
	s.mu.Unlock()
	s.notify(ids...)
	return n, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	if err := live(ctx); err != nil {
		return nil, err
	}
	if subject == "" {
		return nil, errNoSubject
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []store.Record
	for _, r := range s.of(subject) {
		if r.Live(now) {
			list = append(list, copyOf(r, false))
		}
	}
	slices.SortFunc(list, func(a, b store.Record) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return list, nil
}

// All implements store.Store.
func (s *Store) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		s.mu.Lock()
		ids := slices.Collect(maps.Keys(s.records))
		s.mu.Unlock()
		for _, id := range ids {
			if err := live(ctx); err != nil {
				yield(store.Record{}, err)
				return
			}
			s.mu.Lock()
			r := s.records[id]
			var c store.Record
			skip := r == nil || r.Retired
			if !skip {
				c = copyOf(r, false)
			}
			s.mu.Unlock()
			if !skip && !yield(c, nil) {
				return
			}
		}
	}
}

// Sweep implements store.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, bool, error) {
	if err := live(ctx); err != nil {
		return 0, true, err
	}
	s.mu.Lock()
	var gone []store.ID
	more := false
	for id, r := range s.records {
		if now.Before(r.Deadline().Add(store.SweepAfter)) {
			continue
		}
		if len(gone) == limit {
			more = true
			break
		}
		s.remove(r)
		gone = append(gone, id)
	}
	maps.DeleteFunc(s.marks, func(_ string, m time.Time) bool { return now.After(m.Add(store.MarkFor)) })
	s.mu.Unlock()
	s.notify(gone...)
	return len(gone), more, nil
}

// Watch implements store.Watcher.
func (s *Store) Watch(id store.ID, changed func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[id] == nil {
		s.watches[id] = map[*func()]struct{}{}
	}
	s.watches[id][&changed] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches[id], &changed)
		if len(s.watches[id]) == 0 {
			delete(s.watches, id)
		}
	}
}

func (s *Store) notify(ids ...store.ID) {
	s.mu.Lock()
	var calls []func()
	for _, id := range ids {
		for c := range s.watches[id] {
			calls = append(calls, *c)
		}
	}
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}
