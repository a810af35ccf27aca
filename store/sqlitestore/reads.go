package sqlitestore

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Load implements [store.Store]. The cache is exact, so it serves both kinds
// of read.
func (s *Store) Load(ctx context.Context, id store.ID, rec *store.Record, _ store.Freshness) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlitestore: load: %w", err)
	}
	if s.closed.Load() {
		return ErrClosed
	}
	found, missed := s.cache.load(id, rec)
	if found {
		return nil
	}
	s.settled.RLock()
	defer s.settled.RUnlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if err := s.loadRow(id, rec); err != nil {
		return err
	}
	s.cache.filled(rec, missed)
	return nil
}

// A point read takes a moment, so none of the reads hands its context to the
// database: to interrupt a query costs the connection.

func (s *Store) loadRow(id store.ID, rec *store.Record) error {
	rows, err := s.selectOne.Query(id[:])
	if err != nil {
		return s.explain("load", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return s.explain("load", err)
		}
		return store.ErrNotFound
	}
	var (
		version                       int64
		created, seen, idle, absolute int64
		subject, head, data           sql.RawBytes
	)
	err = rows.Scan(&version, &subject, &created, &seen, &idle, &absolute, &rec.Retired, &head, &data)
	if err != nil {
		return s.explain("load", err)
	}
	rec.ID, rec.Version = id, uint64(version)
	setTimes(rec, created, seen, idle, absolute)
	setSubject(rec, subject)
	rec.Head = append(rec.Head[:0], head...)
	rec.Data = append(rec.Data[:0], data...)
	return nil
}

func setTimes(rec *store.Record, created, seen, idle, absolute int64) {
	rec.Created, rec.LastSeen = instant(created), instant(seen)
	rec.Idle, rec.Absolute = microseconds(idle), instant(absolute)
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	if subject == "" {
		return nil, errNoSubject
	}
	all, err := s.heads(ctx, "list", s.selectList, []byte(subject))
	if err != nil {
		return nil, err
	}
	live := slices.DeleteFunc(all, func(rec store.Record) bool { return !rec.Live(now) })
	slices.SortFunc(live, func(a, b store.Record) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return live, nil
}

// pageSize is how many records All reads at a time.
const pageSize = 256

// All implements [store.Store]. It yields in the order of the ids.
func (s *Store) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return paged(func(after []byte) ([]store.Record, error) { return s.page(ctx, after) })
}

// page returns the records after an id, or from the first; pageSize of them
// unless they are the last.
func (s *Store) page(ctx context.Context, after []byte) ([]store.Record, error) {
	return s.heads(ctx, "all", s.selectPage, notNull(after), pageSize)
}

// paged yields the records of page after page.
func paged(page func(after []byte) ([]store.Record, error)) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		var after []byte
		for {
			records, err := page(after)
			if err != nil {
				yield(store.Record{}, err)
				return
			}
			for _, rec := range records {
				if !yield(rec, nil) {
					return
				}
			}
			if len(records) < pageSize {
				return
			}
			after = records[len(records)-1].ID[:]
		}
	}
}

// heads returns the records that a query finds, without their data and with
// their touches.
func (s *Store) heads(ctx context.Context, name string, query *sql.Stmt, args ...any) (found []store.Record, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sqlitestore: %s: %w", name, err)
	}
	s.settled.RLock()
	defer s.settled.RUnlock()
	if s.closed.Load() {
		return nil, ErrClosed
	}
	rows, err := query.Query(args...)
	if err != nil {
		return nil, s.explain(name, err)
	}
	defer rows.Close()
	for rows.Next() {
		rec, err := scanHead(rows)
		if err != nil {
			return nil, s.explain(name, err)
		}
		if seen := s.cache.seen(rec.ID); seen > rec.LastSeen.UnixMicro() {
			rec.LastSeen = instant(seen)
		}
		found = append(found, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(name, err)
	}
	return found, nil
}

func scanHead(rows *sql.Rows) (rec store.Record, err error) {
	var (
		version                       int64
		created, seen, idle, absolute int64
		id, subject, head             sql.RawBytes
	)
	if err := rows.Scan(&id, &version, &subject, &created, &seen, &idle, &absolute, &head); err != nil {
		return rec, err
	}
	if rec.ID, err = idOf(id); err != nil {
		return rec, err
	}
	rec.Version, rec.Subject = uint64(version), string(subject)
	setTimes(&rec, created, seen, idle, absolute)
	rec.Head = slices.Clone(head)
	return rec, nil
}
