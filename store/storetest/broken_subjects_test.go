package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// brokenSubjects breaks what the contract says of subjects, marks and limits.
var brokenSubjects = map[string]func() (a, b store.Store){
	"list-order": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
			recs, err := m.List(ctx, subject, now)
			slices.SortStableFunc(recs, func(a, b store.Record) int { return a.LastSeen.Compare(b.LastSeen) })
			return recs, err
		}
	}),
	"list-live": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, _ time.Time) ([]store.Record, error) {
			return m.List(ctx, subject, start)
		}
	}),
	"list-without-data": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
			recs, err := m.List(ctx, subject, now)
			for i := range recs {
				recs[i].Data = []byte("data")
			}
			return recs, err
		}
	}),
	"list-subject-apart": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, now time.Time) (recs []store.Record, err error) {
			for _, rec := range everyRecord(ctx, m) {
				if strings.EqualFold(rec.Subject, subject) {
					recs = append(recs, rec)
				}
			}
			return recs, nil
		}
	}),
	"list-empty-subject": one(func(m *memstore.Store, r *rigged) {
		r.list = func(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
			if subject == "" {
				return nil, nil
			}
			return m.List(ctx, subject, now)
		}
	}),

	"delete-subject": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, _ ...store.ID) ([]store.ID, error) {
			live, err := m.List(ctx, subject, now)
			if err != nil {
				return nil, err
			}
			return m.Delete(ctx, idsOf(live...)...)
		}
	}),
	"delete-subject-keep": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, _ ...store.ID) ([]store.ID, error) {
			return m.DeleteSubject(ctx, subject, now)
		}
	}),
	"delete-subject-apart": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
			for _, rec := range everyRecord(ctx, m) {
				if strings.HasPrefix(rec.Subject, subject) && rec.Subject != subject {
					if _, err := m.Delete(ctx, rec.ID); err != nil {
						return nil, err
					}
				}
			}
			return m.DeleteSubject(ctx, subject, now, keep...)
		}
	}),
	"delete-subject-empty": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
			if subject == "" {
				return nil, nil
			}
			return m.DeleteSubject(ctx, subject, now, keep...)
		}
	}),
	"delete-all": one(func(m *memstore.Store, r *rigged) {
		r.deleteAll = func(ctx context.Context, _ time.Time) (int, error) {
			ended, err := m.Delete(ctx, idsOf(everyRecord(ctx, m)...)...)
			return len(ended), err
		}
	}),

	"mark-refuses": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) { terms.Began = time.Time{} }),
	"mark-tolerance": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) {
		terms.Began = terms.Began.Add(-10 * time.Second)
	}),
	"mark-exact": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) {
		terms.Began = terms.Began.Add(-store.ClockTolerance)
	}),
	"mark-zero-began": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) {
		terms.Began = terms.Began.Add(time.Nanosecond)
	}),
	"mark-without-records": one(func(m *memstore.Store, r *rigged) {
		r.deleteSubject = func(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
			if live, err := m.List(ctx, subject, now); err != nil || len(live) == 0 {
				return nil, err
			}
			return m.DeleteSubject(ctx, subject, now, keep...)
		}
	}),
	"mark-later-wins": one(func(m *memstore.Store, r *rigged) {
		var mark time.Time
		r.deleteSubject = func(_ context.Context, _ string, now time.Time, _ ...store.ID) ([]store.ID, error) {
			mark = now
			return nil, nil
		}
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			if terms.Began.Before(mark) {
				return nil, store.ErrSubjectEnded
			}
			return m.Create(ctx, rec, terms, now)
		}
	}),
	"mark-of-all": one(func(m *memstore.Store, r *rigged) {
		r.deleteAll = func(ctx context.Context, _ time.Time) (int, error) { return m.DeleteAll(ctx, start.Add(-time.Hour)) }
	}),
	"mark-ends": beforeCreate(func(_ *store.Record, _ *store.Terms, now *time.Time) { *now = start }),
	"mark-swept": one(func(m *memstore.Store, r *rigged) {
		swept := false
		r.sweep = func(ctx context.Context, now time.Time, limit int) (int, bool, error) {
			swept = true
			return m.Sweep(ctx, now, limit)
		}
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			if swept {
				terms.Began = time.Time{}
			}
			return m.Create(ctx, rec, terms, now)
		}
	}),

	"limit-evicts":  limitFirst(func(live []store.Record, over int) []store.Record { return live[len(live)-over:] }),
	"limit-lowered": limitFirst(func(live []store.Record, _ int) []store.Record { return live[:1] }),
	"limit-touched": one(func(_ *memstore.Store, r *rigged) {
		r.touch = func(context.Context, store.ID, time.Time) error { return nil }
	}),
	"limit-refuses":       beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) { terms.Refuse = false }),
	"limit-counts-itself": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) { terms.Max++ }),
	"limit-counts-live": one(func(m *memstore.Store, r *rigged) {
		r.create = func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
			if n := len(everyRecord(ctx, m)); terms.Refuse && n >= terms.Max {
				return nil, store.ErrLimit
			}
			return m.Create(ctx, rec, terms, now)
		}
	}),
	"limit-replaces": beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) { terms.Replaces = store.ID{} }),
	"limit-none":     beforeCreate(func(_ *store.Record, terms *store.Terms, _ *time.Time) { terms.Max = 10 }),
}
