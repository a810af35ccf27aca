package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/coatcheck/coatcheck/store"
)

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	if err := check(&rec); err != nil {
		return nil, err
	}
	var passes *int64 // the latest mark that lets the record pass
	if !terms.Began.IsZero() {
		passes = new(terms.Began.Add(-store.ClockTolerance).UnixMicro())
	}
	var (
		ended, full, created bool
		evicted              []pgtype.UUID
	)
	err := s.gated(ctx, "create", rec.Subject, s.sql.create, []any{
		uuid(rec.ID), []byte(rec.Subject), int64(rec.Version),
		rec.Created.UnixMicro(), rec.LastSeen.UnixMicro(), rec.Idle.Microseconds(), rec.Absolute.UnixMicro(),
		rec.Retired, notNull(rec.Head), notNull(rec.Data),
		passes, now.Add(-store.MarkFor).UnixMicro(), now.UnixMicro(),
		uuid(terms.Replaces), terms.Max, terms.Refuse,
	}, &ended, &full, &created, &evicted)
	switch {
	case err != nil:
		return nil, err
	case ended:
		return nil, store.ErrSubjectEnded
	case full:
		return nil, store.ErrLimit
	case !created:
		return nil, store.ErrExists
	}
	return ids(evicted), nil
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := check(&rec); err != nil {
		return err
	}
	for {
		changed, err := s.exec(ctx, "update", false, s.sql.update,
			uuid(rec.ID), int64(was), int64(rec.Version),
			rec.LastSeen.UnixMicro(), rec.Idle.Microseconds(), rec.Absolute.UnixMicro(),
			rec.Retired, notNull(rec.Head), notNull(rec.Data), now.UnixMicro())
		if err != nil {
			return err
		}
		if changed {
			return nil
		}
		version, err := s.currentVersion(ctx, rec.ID, now)
		if err != nil {
			return err
		}
		if version != was {
			return store.ErrConflict
		}
		// Between both looks a touch has brought the record back to life, by a
		// clock that is behind.
	}
}

// currentVersion returns the version of a record that could be changed.
func (s *Store) currentVersion(ctx context.Context, id store.ID, now time.Time) (uint64, error) {
	var version int64
	err := s.do(ctx, "update", true, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, s.sql.current, uuid(id), now.UnixMicro()).Scan(&version)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, store.ErrNotFound
	}
	return uint64(version), err
}

// Touch implements [store.Store]. Everybody sees it at once; the server writes
// it to the disk within a second.
func (s *Store) Touch(ctx context.Context, id store.ID, now time.Time) error {
	touched, err := s.exec(ctx, "touch", true, s.sql.touch, uuid(id), now.UnixMicro())
	if err == nil && !touched {
		return store.ErrNotFound
	}
	return err
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, which ...store.ID) ([]store.ID, error) {
	var ended []pgtype.UUID
	err := s.gated(ctx, "delete", "", s.sql.deleteIDs, []any{uuids(which)}, &ended)
	if err != nil {
		return nil, err
	}
	return ids(ended), nil
}

// DeleteSubject implements [store.Store].
func (s *Store) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	if subject == "" {
		return nil, errNoSubject
	}
	var ended []pgtype.UUID
	err := s.gated(ctx, "delete subject", subject, s.sql.deleteSubject,
		[]any{[]byte(subject), now.UnixMicro(), uuids(keep)}, &ended)
	if err != nil {
		return nil, err
	}
	return ids(ended), nil
}

// DeleteAll implements [store.Store]. It is one transaction, for which sign-ins
// wait.
func (s *Store) DeleteAll(ctx context.Context, now time.Time) (n int, err error) {
	err = s.do(ctx, "delete all", false, func(ctx context.Context, conn *pgxpool.Conn) error {
		var batch pgx.Batch
		batch.Queue(s.sql.takeGate, s.lockKey(gate, ""))
		batch.Queue(s.sql.deleteEverything, []byte{}, now.UnixMicro()).QueryRow(scanInto(&n))
		return conn.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

const (
	roundBegins = math.MinInt64
	maxSweep    = 1000 // records of one Sweep, because their requests wait for it
)

// Sweep implements [store.Store]. It looks at no more than 1000 records at a
// time, whatever the limit, and leaves those that a request holds to the next
// round.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	limit = min(max(limit, 0), maxSweep)
	from := s.swept.Load()
	var (
		found, forgotten int
		last             int64
	)
	err = s.do(ctx, "sweep", false, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, s.sql.sweep, now.Add(-store.SweepAfter).UnixMicro(), from, limit,
			now.Add(-store.MarkFor).UnixMicro()).Scan(&n, &found, &forgotten, &last)
	})
	if err != nil {
		return 0, false, err
	}
	// The next piece begins where this one ended: while a backup keeps the
	// server from cleaning up, it would else walk over everything that this
	// round has removed.
	if found < limit {
		last = roundBegins
	}
	s.swept.Store(last)
	return n, limit > 0 && (found == limit || forgotten == limit), nil
}

// gate is held by everything that creates a record or locks several, and taken
// by DeleteAll.
const gate = "gate"

// gated runs a statement that answers with one row in one transaction and one
// round trip, with the gate held, and with the subject to itself if there is
// one. The locks come in a statement before, because a statement sees what was
// committed when it began.
func (s *Store) gated(ctx context.Context, name, subject, sql string, args []any, into ...any) error {
	return s.do(ctx, name, false, func(ctx context.Context, conn *pgxpool.Conn) error {
		var batch pgx.Batch
		if subject == "" {
			batch.Queue(s.sql.shareGate, s.lockKey(gate, ""))
		} else {
			batch.Queue(s.sql.shareGateAndSubject, s.lockKey(gate, ""), s.lockKey("subject", subject))
		}
		batch.Queue(sql, args...).QueryRow(scanInto(into...))
		return conn.SendBatch(ctx, &batch).Close()
	})
}

func scanInto(into ...any) func(pgx.Row) error {
	return func(row pgx.Row) error { return row.Scan(into...) }
}

// exec runs a statement that changes at most one row, and reports whether it
// did.
func (s *Store) exec(ctx context.Context, name string, harmless bool, sql string, args ...any) (changed bool, err error) {
	err = s.do(ctx, name, harmless, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, sql, args...)
		changed = tag.RowsAffected() > 0
		return err
	})
	return changed, err
}

var errNoSubject = errors.New("pgstore: the subject is empty: sessions without one cannot be listed or ended by subject")

// check refuses a record that the contract does not allow.
func check(rec *store.Record) error {
	switch {
	case len(rec.Subject) > store.MaxSubject:
		return fmt.Errorf("pgstore: a subject has at most %d bytes, this has %d", store.MaxSubject, len(rec.Subject))
	case len(rec.Head) > store.MaxHead:
		return fmt.Errorf("pgstore: a head has at most %d bytes, this has %d", store.MaxHead, len(rec.Head))
	}
	return nil
}

// uuid is an id as the server keeps it. Any 16 bytes are a uuid to it.
func uuid(id store.ID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func uuids(ids []store.ID) []pgtype.UUID {
	all := make([]pgtype.UUID, len(ids)) // not nil, which would be NULL
	for i, id := range ids {
		all[i] = uuid(id)
	}
	return all
}

func ids(uuids []pgtype.UUID) []store.ID {
	var all []store.ID
	for _, u := range uuids {
		all = append(all, u.Bytes)
	}
	return all
}

// notNull keeps an empty byte string from being stored as NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
