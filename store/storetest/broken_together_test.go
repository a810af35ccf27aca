package storetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// brokenWalks breaks All and Sweep.
var brokenWalks = map[string]func() (a, b store.Store){
	"all-yields": one(func(m *memstore.Store, r *rigged) {
		r.all = func(ctx context.Context) iter.Seq2[store.Record, error] {
			return func(yield func(store.Record, error) bool) {
				for _, rec := range everyRecord(ctx, m) {
					if rec.Live(start) && !yield(rec, nil) {
						return
					}
				}
			}
		}
	}),
	"all-once": one(func(m *memstore.Store, r *rigged) {
		r.all = func(ctx context.Context) iter.Seq2[store.Record, error] {
			return func(yield func(store.Record, error) bool) {
				for offset := 0; ; offset += 50 {
					recs := everyRecord(ctx, m)
					slices.SortFunc(recs, func(a, b store.Record) int { return compareIDs(a.ID, b.ID) })
					if offset >= len(recs) {
						return
					}
					for _, rec := range recs[offset:min(offset+50, len(recs))] {
						if !yield(rec, nil) {
							return
						}
					}
				}
			}
		}
	}),
	"all-unlocked": one(func(m *memstore.Store, r *rigged) {
		var mu sync.Mutex
		r.all = func(ctx context.Context) iter.Seq2[store.Record, error] {
			return func(yield func(store.Record, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				m.All(ctx)(yield)
			}
		}
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			mu.Lock()
			defer mu.Unlock()
			return m.Load(ctx, id, rec, read)
		}
	}),
	"all-early-end": one(func(m *memstore.Store, r *rigged) {
		var rest []store.Record
		r.all = func(ctx context.Context) iter.Seq2[store.Record, error] {
			return func(yield func(store.Record, error) bool) {
				if len(rest) == 0 {
					rest = everyRecord(ctx, m)
				}
				for len(rest) > 0 {
					rec := rest[0]
					rest = rest[1:]
					if !yield(rec, nil) {
						return
					}
				}
			}
		}
	}),
	"all-error-ends": one(func(m *memstore.Store, r *rigged) {
		r.all = func(ctx context.Context) iter.Seq2[store.Record, error] {
			return func(yield func(store.Record, error) bool) {
				for _, rec := range everyRecord(context.WithoutCancel(ctx), m) {
					if !yield(rec, ctx.Err()) {
						return
					}
				}
			}
		}
	}),

	"sweep-retention": one(func(m *memstore.Store, r *rigged) {
		r.sweep = func(ctx context.Context, now time.Time, limit int) (int, bool, error) {
			return m.Sweep(ctx, now.Add(store.SweepAfter), limit)
		}
	}),
	"sweep-retired": sweepOwn(0),
	"sweep-limit": one(func(m *memstore.Store, r *rigged) {
		r.sweep = func(ctx context.Context, now time.Time, _ int) (int, bool, error) { return m.Sweep(ctx, now, 1000) }
	}),
	"sweep-everything": one(func(m *memstore.Store, r *rigged) {
		r.sweep = func(ctx context.Context, now time.Time, limit int) (int, bool, error) {
			n, _, err := m.Sweep(ctx, now, limit)
			return n, false, err
		}
	}),
	"sweep-index": one(func(m *memstore.Store, r *rigged) {
		var index []store.ID
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			index = append(index, rec.ID)
			return m.Create(ctx, rec, terms, now)
		}
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
			_, err := m.DeleteSubject(ctx, subject, now, keep...)
			return index, err
		}
	}),
}

// brokenTogether breaks what shows when calls meet.
var brokenTogether = map[string]func() (a, b store.Store){
	"race-update": one(func(m *memstore.Store, r *rigged) {
		r.update = func(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
			var old store.Record
			if err := m.Load(ctx, rec.ID, &old, store.Fresh); err != nil {
				return err
			}
			if old.Version != was {
				return store.ErrConflict
			}
			time.Sleep(time.Millisecond)
			for {
				if err := m.Update(ctx, rec, old.Version, now); !errors.Is(err, store.ErrConflict) {
					return err
				}
				if err := m.Load(ctx, rec.ID, &old, store.Fresh); err != nil {
					return err
				}
			}
		}
	}),
	"race-create-one-id": one(func(m *memstore.Store, r *rigged) {
		r.create = func(ctx context.Context, rec store.Record, _ store.Terms, _ time.Time) ([]store.ID, error) {
			if err := m.Load(ctx, rec.ID, new(store.Record), store.Fresh); err == nil {
				return nil, store.ErrExists
			}
			time.Sleep(time.Millisecond)
			return nil, force(ctx, m, rec)
		}
	}),
	"race-limit-refuses": limitFirst(theOldest),
	"race-limit-evicts":  limitFirst(theOldest),
	"race-update-delete": forceUpdate(func(*store.Record, store.Record) {}),
	"race-update-retire": forceUpdate(func(*store.Record, store.Record) {}),
	"race-touch-delete":  one(forceTouch),
	"race-touch-update":  one(forceTouch),
	"race-delete": one(func(m *memstore.Store, r *rigged) {
		r.remove = func(ctx context.Context, ids ...store.ID) (told []store.ID, err error) {
			for _, id := range ids {
				if m.Load(ctx, id, new(store.Record), store.Fresh) == nil {
					told = append(told, id)
				}
			}
			time.Sleep(time.Millisecond)
			_, err = m.Delete(ctx, ids...)
			return told, err
		}
	}),
	"race-delete-subject": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, _ ...store.ID) ([]store.ID, error) {
			time.Sleep(time.Millisecond)
			live, err := m.List(ctx, subject, now)
			if err != nil {
				return nil, err
			}
			ended, err := m.Delete(ctx, idsOf(live...)...)
			if err != nil {
				return nil, err
			}
			time.Sleep(5 * time.Millisecond)
			if live, err = m.List(ctx, subject, now); err != nil {
				return nil, err
			}
			_, err = m.DeleteSubject(ctx, subject, now, idsOf(live...)...)
			return ended, err
		}
	}),
	"race-delete-all": one(func(m *memstore.Store, r *rigged) {
		var mark atomic.Bool
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			if mark.Load() {
				return nil, store.ErrSubjectEnded
			}
			return m.Create(ctx, rec, store.Terms{}, now)
		}
		r.deleteAll = func(ctx context.Context, now time.Time) (int, error) {
			n, err := m.DeleteAll(ctx, now)
			time.Sleep(5 * time.Millisecond)
			mark.Store(true)
			return n, err
		}
	}),
	"race-sweep":       sweepOwn(time.Millisecond),
	"race-sweep-touch": sweepOwn(time.Millisecond),
	"race-whole-records": one(func(m *memstore.Store, r *rigged) {
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			var first store.Record
			if err := m.Load(ctx, id, &first, read); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
			err := m.Load(ctx, id, rec, read)
			rec.Head = first.Head
			return err
		}
	}),

	"handles-see-each-other": func() (a, b store.Store) { return memstore.New(nil), memstore.New(nil) },
	"handles-settle": func() (a, b store.Store) {
		m := memstore.New(nil)
		return m, newCopying(m, false)
	},
	"copies-own-writes": func() (a, b store.Store) {
		c := newCopying(memstore.New(nil), false)
		return c, c
	},
	"copies-no-misses": func() (a, b store.Store) {
		m := memstore.New(nil)
		return m, newCopying(m, true)
	},
	"context-ended": one(func(m *memstore.Store, r *rigged) {
		r.touch = func(ctx context.Context, id store.ID, now time.Time) error {
			return m.Touch(context.WithoutCancel(ctx), id, now)
		}
	}),
	"watch-tells": deafStore(func(*memstore.Store) func(store.ID, func()) func() {
		return func(store.ID, func()) func() { return func() {} }
	}),
	"watch-stops": deafStore(func(m *memstore.Store) func(store.ID, func()) func() {
		return func(id store.ID, changed func()) func() {
			m.Watch(id, changed)
			return func() {}
		}
	}),
}
