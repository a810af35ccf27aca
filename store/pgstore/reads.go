package pgstore

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/coatcheck/coatcheck/store"
)

// Load implements [store.Store]. It asks the server, whatever the freshness.
func (s *Store) Load(ctx context.Context, id store.ID, rec *store.Record, _ store.Freshness) error {
	var (
		found   row
		retired bool
		data    []byte
	)
	err := s.do(ctx, "load", true, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, s.sql.load, uuid(id)).Scan(&found.version, &found.subject,
			&found.created, &found.seen, &found.idle, &found.absolute, &retired, &found.head, &data)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	if err != nil {
		return err
	}
	found.id = uuid(id)
	*rec = found.record()
	rec.Retired, rec.Data = retired, data
	return nil
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	if subject == "" {
		return nil, errNoSubject
	}
	return s.heads(ctx, "list", s.sql.list, []byte(subject), now.UnixMicro())
}

// pageSize is how many records All reads at a time.
const pageSize = 256

// All implements [store.Store]. It yields in the order of the ids, and holds
// neither a connection nor a transaction while it yields.
func (s *Store) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		var from store.ID
		for {
			page, err := s.heads(ctx, "all", s.sql.page, uuid(from), pageSize)
			if err != nil {
				yield(store.Record{}, err)
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			from = after(page[len(page)-1].ID)
			if from.IsZero() {
				return // there is none after the last of all ids
			}
		}
	}
}

// after returns the id that follows, and the zero ID after the last.
func after(id store.ID) store.ID {
	for i := range slices.Backward(id[:]) {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// heads returns the records that a query finds, without their data.
func (s *Store) heads(ctx context.Context, name, sql string, args ...any) (found []store.Record, err error) {
	err = s.do(ctx, name, true, func(ctx context.Context, conn *pgxpool.Conn) error {
		found = nil
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var r row
		_, err = pgx.ForEachRow(rows, []any{&r.id, &r.version, &r.subject, &r.created, &r.seen, &r.idle, &r.absolute, &r.head},
			func() error {
				found = append(found, r.record())
				return nil
			})
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// row is a record, without its data, as the server returns it.
type row struct {
	id                            pgtype.UUID
	version                       int64
	subject, head                 []byte
	created, seen, idle, absolute int64
}

func (r *row) record() store.Record {
	return store.Record{
		ID: r.id.Bytes, Version: uint64(r.version), Subject: string(r.subject),
		Created: instant(r.created), LastSeen: instant(r.seen),
		Idle: time.Duration(r.idle) * time.Microsecond, Absolute: instant(r.absolute),
		Head: r.head,
	}
}

func instant(microseconds int64) time.Time { return time.UnixMicro(microseconds).UTC() }
