package storetest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// brokenRecords breaks what the contract says of single records.
var brokenRecords = map[string]func() (a, b store.Store){
	"load-live": loadThen(func(rec *store.Record) error { rec.Data = nil; return nil }),
	"load-dead": loadThen(func(rec *store.Record) error {
		if rec.Deadline().Before(start) {
			return store.ErrNotFound
		}
		return nil
	}),
	"load-retired": loadThen(func(rec *store.Record) error {
		if rec.Retired {
			return store.ErrNotFound
		}
		return nil
	}),
	"load-missing": one(func(m *memstore.Store, r *rigged) {
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			err := m.Load(ctx, id, rec, read)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		}
	}),
	"load-overwrites": one(func(m *memstore.Store, r *rigged) {
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			retired := rec.Retired
			err := m.Load(ctx, id, rec, read)
			rec.Retired = rec.Retired || retired
			return err
		}
	}),

	"bytes-every-value": beforeCreate(func(rec *store.Record, _ *store.Terms, _ *time.Time) {
		rec.Head = bytes.ToValidUTF8(rec.Head, []byte("?"))
	}),
	"bytes-every-id": one(func(m *memstore.Store, r *rigged) {
		r.remove = func(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
			if ids[0][0] == '*' {
				ids = idsOf(everyRecord(ctx, m)...)
			}
			return m.Delete(ctx, ids...)
		}
	}),
	"bytes-none": beforeUpdate(func(rec *store.Record, _ *uint64, old store.Record) {
		if len(rec.Data) == 0 {
			rec.Data = old.Data
		}
	}),
	"bytes-largest": beforeCreate(func(rec *store.Record, _ *store.Terms, _ *time.Time) {
		rec.Data = rec.Data[:min(len(rec.Data), 64<<10-1)]
	}),
	"bytes-every-size": beforeUpdate(func(rec *store.Record, _ *uint64, _ store.Record) {
		rec.Data = rec.Data[:min(len(rec.Data), 32<<10)]
	}),
	"bytes-copied-in": one(func(m *memstore.Store, r *rigged) {
		kept := map[store.ID][]byte{}
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			kept[rec.ID] = rec.Data
			return m.Create(ctx, rec, terms, now)
		}
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			err := m.Load(ctx, id, rec, read)
			rec.Data = bytes.Clone(kept[id])
			return err
		}
	}),
	"bytes-not-lent": one(func(m *memstore.Store, r *rigged) {
		lent := map[store.ID]store.Record{}
		r.load = func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
			if _, found := lent[id]; !found {
				err := m.Load(ctx, id, rec, read)
				lent[id] = *rec
				return err
			}
			*rec = lent[id]
			return nil
		}
	}),
	"times-kept": beforeCreate(func(rec *store.Record, _ *store.Terms, _ *time.Time) {
		rec.Created = rec.Created.Truncate(time.Millisecond)
	}),
	"times-are-arguments": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, _ time.Time) ([]store.Record, error) {
			return m.List(ctx, subject, time.Now())
		}
	}),
	"version-every-bit": beforeCreate(func(rec *store.Record, _ *store.Terms, _ *time.Time) {
		rec.Version &^= 1 << 63
	}),

	"create-exists": one(func(m *memstore.Store, r *rigged) {
		r.create = func(ctx context.Context, rec store.Record, _ store.Terms, _ time.Time) ([]store.ID, error) {
			return nil, force(ctx, m, rec)
		}
	}),
	"create-again": one(func(m *memstore.Store, r *rigged) {
		known := map[store.ID]bool{}
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			if known[rec.ID] {
				return nil, store.ErrExists
			}
			known[rec.ID] = true
			return m.Create(ctx, rec, terms, now)
		}
	}),

	"update-replaces": beforeUpdate(func(rec *store.Record, _ *uint64, old store.Record) { rec.Idle = old.Idle }),
	"update-conflict": beforeUpdate(func(_ *store.Record, was *uint64, old store.Record) { *was = old.Version }),
	"update-never-creates": one(func(m *memstore.Store, r *rigged) {
		r.update = func(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
			err := m.Update(ctx, rec, was, now)
			if errors.Is(err, store.ErrNotFound) {
				return force(ctx, m, rec)
			}
			return err
		}
	}),
	"update-not-retired": forceUpdate(func(*store.Record, store.Record) {}),
	"update-not-dead": one(func(m *memstore.Store, r *rigged) {
		r.update = func(ctx context.Context, rec store.Record, was uint64, _ time.Time) error {
			return m.Update(ctx, rec, was, start)
		}
	}),
	"update-last-seen": forceUpdate(func(rec *store.Record, old store.Record) {
		rec.Subject, rec.Created = old.Subject, old.Created
	}),
	"update-identity": forceUpdate(func(*store.Record, store.Record) {}),
	"update-retires":  beforeUpdate(func(rec *store.Record, _ *uint64, _ store.Record) { rec.Retired = false }),

	"touch-forward": one(func(m *memstore.Store, r *rigged) {
		r.touch = func(ctx context.Context, id store.ID, now time.Time) error {
			var rec store.Record
			if err := m.Load(ctx, id, &rec, store.Fresh); err != nil {
				return err
			}
			rec.LastSeen = now
			was := rec.Version
			rec.Version = newVersion()
			return m.Update(ctx, rec, was, now)
		}
	}),
	"touch-never-back": one(forceTouch),
	"touch-extends": one(func(_ *memstore.Store, r *rigged) {
		r.touch = func(context.Context, store.ID, time.Time) error { return nil }
	}),
	"touch-not-found": one(func(m *memstore.Store, r *rigged) {
		r.touch = func(ctx context.Context, id store.ID, now time.Time) error {
			err := m.Touch(ctx, id, now)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		}
	}),

	"delete-removes": one(func(m *memstore.Store, r *rigged) {
		r.remove = func(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
			_, err := m.Delete(ctx, ids...)
			return ids, err
		}
	}),
	"delete-tells-once": one(func(m *memstore.Store, r *rigged) {
		r.remove = func(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
			ended, err := m.Delete(ctx, ids...)
			if len(ended) < len(ids) {
				ended = append(ended, ended...)
			}
			return ended, err
		}
	}),
	"delete-missing": one(func(m *memstore.Store, r *rigged) {
		r.remove = func(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
			ended, err := m.Delete(ctx, ids...)
			if err == nil && len(ended) < len(ids) {
				err = store.ErrNotFound
			}
			return ended, err
		}
	}),
}
