package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// brokenStores has for each case a store that breaks what it tests.
var brokenStores = merged(brokenRecords, brokenSubjects, brokenWalks, brokenTogether)

func merged(parts ...map[string]func() (a, b store.Store)) map[string]func() (a, b store.Store) {
	all := map[string]func() (a, b store.Store){}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// one makes a store that is sound but for what spoil replaces, with one handle.
func one(spoil func(m *memstore.Store, r *rigged)) func() (a, b store.Store) {
	return func() (a, b store.Store) {
		m := memstore.New(nil)
		r := &rigged{Store: m}
		spoil(m, r)
		return r, r
	}
}

// loadThen spoils what Load returns.
func loadThen(spoil func(rec *store.Record) error) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			if err := m.Load(ctx, id, rec, read); err != nil {
				return err
			}
			return spoil(rec)
		}
	})
}

// beforeCreate spoils what Create is given.
func beforeCreate(spoil func(rec *store.Record, terms *store.Terms, now *time.Time)) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			spoil(&rec, &terms, &now)
			return m.Create(ctx, rec, terms, now)
		}
	})
}

// beforeUpdate spoils what Update is given; old is the record as it is.
func beforeUpdate(spoil func(rec *store.Record, was *uint64, old store.Record)) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.update = func(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
			var old store.Record
			_ = m.Load(ctx, rec.ID, &old, store.Fresh)
			spoil(&rec, &was, old)
			return m.Update(ctx, rec, was, now)
		}
	})
}

// force puts a record in whatever there is.
func force(ctx context.Context, m *memstore.Store, rec store.Record) error {
	if _, err := m.Delete(ctx, rec.ID); err != nil {
		return err
	}
	_, err := m.Create(ctx, rec, store.Terms{}, start)
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// forceUpdate compares versions, and then writes what spoil leaves of a record
// in two steps.
func forceUpdate(spoil func(rec *store.Record, old store.Record)) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.update = func(ctx context.Context, rec store.Record, was uint64, _ time.Time) error {
			var old store.Record
			if err := m.Load(ctx, rec.ID, &old, store.Fresh); err != nil {
				return err
			}
			if old.Version != was {
				return store.ErrConflict
			}
			time.Sleep(time.Millisecond)
			spoil(&rec, old)
			return force(ctx, m, rec)
		}
	})
}

func forceTouch(m *memstore.Store, r *rigged) {
	r.touch = func(ctx context.Context, id store.ID, now time.Time) error {
		var rec store.Record
		if err := m.Load(ctx, id, &rec, store.Fresh); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		rec.LastSeen = now
		return force(ctx, m, rec)
	}
}

// everyRecord is what All yields.
func everyRecord(ctx context.Context, s store.Store) (recs []store.Record) {
	for rec, err := range s.All(ctx) {
		if err == nil {
			recs = append(recs, rec)
		}
	}
	return recs
}

// limitFirst keeps within Max in one step and creates in another.
func limitFirst(end func(live []store.Record, over int) []store.Record) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			var evicted []store.ID
			if rec.Subject != "" && terms.Max > 0 {
				live, err := m.List(ctx, rec.Subject, now)
				if err != nil {
					return nil, err
				}
				over := len(live) + 1 - terms.Max
				if over > 0 && terms.Refuse {
					return nil, store.ErrLimit
				}
				if over > 0 {
					slices.SortFunc(live, func(a, b store.Record) int { return a.LastSeen.Compare(b.LastSeen) })
					if evicted, err = m.Delete(ctx, idsOf(end(live, over)...)...); err != nil {
						return nil, err
					}
				}
				time.Sleep(2 * time.Millisecond)
			}
			terms.Max = 0
			_, err := m.Create(ctx, rec, terms, now)
			return evicted, err
		}
	})
}

func theOldest(live []store.Record, over int) []store.Record { return live[:over] }

// copying keeps a copy of what it loads, and asks keep what to do about writes
// and misses.
type copying struct {
	rigged
	mu     sync.Mutex
	copies map[store.ID]*store.Record // nil: a miss
}

func newCopying(m *memstore.Store, misses bool) *copying {
	c := &copying{rigged: rigged{Store: m}, copies: map[store.ID]*store.Record{}}
	c.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if kept, found := c.copies[id]; found && read == store.Cached {
			if kept == nil {
				return store.ErrNotFound
			}
			*rec = *kept
			return nil
		}
		err := m.Load(ctx, id, rec, read)
		if err == nil {
			kept := *rec
			kept.Head, kept.Data = bytes.Clone(rec.Head), bytes.Clone(rec.Data)
			c.copies[id] = &kept
		} else if misses && errors.Is(err, store.ErrNotFound) {
			c.copies[id] = nil
		}
		return err
	}
	return c
}

// deaf is a store whose Watch is replaced.
type deaf struct {
	rigged
	watch func(id store.ID, changed func()) (stop func())
}

func (d *deaf) Watch(id store.ID, changed func()) (stop func()) { return d.watch(id, changed) }

func deafStore(watch func(m *memstore.Store) func(store.ID, func()) func()) func() (a, b store.Store) {
	return func() (a, b store.Store) {
		m := memstore.New(nil)
		d := &deaf{rigged: rigged{Store: m}, watch: watch(m)}
		return d, d
	}
}

// sweepOwn sweeps what All yields and due accepts.
func sweepOwn(pause time.Duration) func() (a, b store.Store) {
	return one(func(m *memstore.Store, r *rigged) {
		r.sweep = func(ctx context.Context, now time.Time, limit int) (int, bool, error) {
			var due []store.ID
			for _, rec := range everyRecord(ctx, m) {
				if !now.Before(rec.Deadline().Add(store.SweepAfter)) && len(due) < limit {
					due = append(due, rec.ID)
				}
			}
			time.Sleep(pause)
			_, err := m.Delete(ctx, due...)
			return len(due), len(due) > 0, err
		}
	})
}
