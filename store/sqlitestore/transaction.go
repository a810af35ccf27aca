package sqlitestore

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// A transaction is what the writer does between BEGIN and COMMIT. Its methods
// are the writes of the contract, each judged after those before it. One that
// returns a refusal has changed nothing; after any other error the whole
// transaction must be rolled back.
type transaction struct {
	*statements
	cache      *cache
	newestMark int64 // no mark is later

	claimed    []store.ID
	allClaimed bool                  // everything has been removed
	removed    map[store.ID]struct{} // by delete
	changes    []change
	written    []touch
}

// change is what a transaction did to one record, or to all.
type change struct {
	id  store.ID
	all bool          // all are gone
	rec *store.Record // as stored now; nil: gone, or not known
	was bool          // watchers are told: the record was there before, and is not merely touched
}

// refused reports whether err says that nothing happened, and why.
func refused(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrLimit) ||
		errors.Is(err, store.ErrSubjectEnded)
}

// claim keeps id from being touched or cached until the transaction has ended,
// and returns the touch that the database does not have yet.
func (t *transaction) claim(id store.ID) int64 {
	t.claimed = append(t.claimed, id)
	touched := t.cache.claim(id)
	if t.hasRemoved(id) {
		return never
	}
	return touched
}

// hasRemoved reports whether the transaction has removed a record of this id. A
// touch that is gathered was of that one, not of a record that has come since.
func (t *transaction) hasRemoved(id store.ID) bool {
	_, removed := t.removed[id]
	return removed || t.allClaimed
}

func (t *transaction) create(rec *store.Record, terms store.Terms, now int64) (evicted []store.ID, err error) {
	if ended, err := t.marked(rec.Subject, terms.Began, now); err != nil {
		return nil, err
	} else if ended {
		return nil, store.ErrSubjectEnded
	}
	if terms.Max > 0 && rec.Subject != "" {
		live, err := t.liveOf(rec.Subject, terms.Replaces, now)
		if err != nil {
			return nil, err
		}
		if excess := len(live) - terms.Max + 1; excess > 0 {
			if terms.Refuse {
				return nil, store.ErrLimit
			}
			evicted = live[:excess]
		}
	}
	t.claim(rec.ID)
	inserted, err := t.exec(insertSession, rec.ID[:], int64(rec.Version), []byte(rec.Subject),
		rec.Created.UnixMicro(), rec.LastSeen.UnixMicro(), rec.Idle.Microseconds(), rec.Absolute.UnixMicro(),
		rec.Deadline().UnixMicro(), rec.Retired, notNull(rec.Head), notNull(rec.Data))
	if err != nil {
		return nil, err
	}
	if inserted == 0 {
		return nil, store.ErrExists
	}
	t.changes = append(t.changes, change{id: rec.ID, rec: rec})
	return evicted, t.remove(evicted)
}

// marked reports whether a mark refuses a record of a request that began then.
func (t *transaction) marked(subject string, began time.Time, now int64) (bool, error) {
	if began.IsZero() || began.UnixMicro() >= t.newestMark {
		return false, nil
	}
	var at sql.NullInt64
	err := t.row(selectMark, []any{[]byte(subject)}, &at)
	inForce := at.Valid && at.Int64 >= now-store.MarkFor.Microseconds()
	return inForce && at.Int64 > began.UnixMicro(), err
}

// liveOf returns the subject's live records, but for one, the least recently
// seen first.
func (t *transaction) liveOf(subject string, except store.ID, now int64) ([]store.ID, error) {
	all, err := t.timesOf(selectTimes, []byte(subject))
	if err != nil {
		return nil, err
	}
	live := slices.DeleteFunc(all, func(r times) bool { return r.id == except || r.deadline() <= now })
	slices.SortFunc(live, func(a, b times) int {
		return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(a.created, b.created), bytes.Compare(a.id[:], b.id[:]))
	})
	ids := make([]store.ID, len(live))
	for i := range live {
		ids[i] = live[i].id
	}
	return ids, nil
}

func (t *transaction) update(rec *store.Record, was uint64, now int64) error {
	touched := t.claim(rec.ID)
	stored := *rec
	var (
		subject            sql.RawBytes
		created, seen, due int64
	)
	found, err := t.rows(updateSession, []any{int64(rec.Version), max(rec.LastSeen.UnixMicro(), touched),
		rec.Idle.Microseconds(), rec.Absolute.UnixMicro(), notNull(rec.Head), notNull(rec.Data),
		rec.ID[:], int64(was), touched, now}, func(scan scanner) error {
		err := scan(&subject, &created, &seen, &due)
		stored.Subject = string(subject)
		return err
	})
	if err != nil {
		return err
	}
	if found == 0 {
		return t.whyNot(rec.ID, touched, now)
	}
	stored.Created, stored.LastSeen = instant(created), instant(seen)
	if deadline := stored.Deadline().UnixMicro(); deadline < due {
		if _, err := t.exec(setDue, deadline, seen, rec.ID[:]); err != nil {
			return err
		}
	}
	if rec.Retired {
		if _, err := t.exec(setRetired, rec.ID[:]); err != nil {
			return err
		}
	}
	t.changes = append(t.changes, change{id: rec.ID, rec: &stored, was: true})
	return nil
}

// whyNot says why a record could not be changed.
func (t *transaction) whyNot(id store.ID, touched, now int64) error {
	live, err := t.rows(selectLive, []any{id[:], touched, now}, nil)
	switch {
	case err != nil:
		return err
	case live == 0:
		return store.ErrNotFound
	}
	return store.ErrConflict
}

func (t *transaction) touch(id store.ID, now int64) error {
	touched := t.claim(id)
	n, err := t.exec(touchSession, max(now, touched), id[:], touched, now)
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrNotFound
	}
	t.changes = append(t.changes, change{id: id})
	return nil
}

func (t *transaction) delete(ids []store.ID) (ended []store.ID, err error) {
	for _, id := range ids {
		t.claim(id)
		var retired bool
		found, err := t.rows(deleteSession, []any{id[:]}, func(scan scanner) error { return scan(&retired) })
		if err != nil {
			return nil, err
		}
		if found == 0 {
			continue
		}
		t.changes = append(t.changes, change{id: id, was: true})
		if t.removed == nil {
			t.removed = make(map[store.ID]struct{})
		}
		t.removed[id] = struct{}{}
		if !retired {
			ended = append(ended, id)
		}
	}
	return ended, nil
}

// remove deletes records that are known to be there.
func (t *transaction) remove(ids []store.ID) error {
	_, err := t.delete(ids)
	return err
}

func (t *transaction) deleteSubject(subject string, now int64, keep []store.ID) (ended []store.ID, err error) {
	all, err := t.timesOf(selectTimes, []byte(subject))
	if err != nil {
		return nil, err
	}
	var ids []store.ID
	for _, r := range all {
		if !slices.Contains(keep, r.id) {
			ids = append(ids, r.id)
		}
	}
	if ended, err = t.delete(ids); err != nil {
		return nil, err
	}
	return ended, t.mark(subject, now)
}

func (t *transaction) deleteAll(now int64) (n int, err error) {
	t.allClaimed = true
	t.cache.claimAll()
	if err := t.row(countSessions, nil, &n); err != nil {
		return 0, err
	}
	if _, err := t.exec(deleteAll); err != nil {
		return 0, err
	}
	t.changes = append(t.changes, change{all: true})
	return n, t.mark("", now)
}

// mark remembers that the subject's sessions, or everybody's, were ended.
func (t *transaction) mark(subject string, now int64) error {
	t.newestMark = max(t.newestMark, now)
	_, err := t.exec(insertMark, []byte(subject), now)
	return err
}

func (t *transaction) sweep(now int64, limit int) (n int, more bool, err error) {
	cutoff := now - store.SweepAfter.Microseconds()
	due, err := t.timesOf(selectDue, cutoff, limit)
	if err != nil {
		return 0, false, err
	}
	var dead []store.ID
	for _, r := range due {
		if r.deadline() <= cutoff {
			dead = append(dead, r.id)
		} else if _, err := t.exec(setDue, r.deadline(), r.seen, r.id[:]); err != nil {
			return 0, false, err
		}
	}
	if err := t.remove(dead); err != nil {
		return 0, false, err
	}
	_, err = t.exec(deleteMarks, now-store.MarkFor.Microseconds())
	return len(dead), limit > 0 && len(due) == limit, err
}

// writeTouches takes up to limit of the gathered touches into the transaction.
func (t *transaction) writeTouches(limit int) error {
	t.written = t.cache.gather(t.written[:0], limit)
	t.written = slices.DeleteFunc(t.written, func(touch touch) bool { return t.hasRemoved(touch.id) })
	for _, touch := range t.written {
		if _, err := t.exec(writeTouch, touch.at, touch.id[:], touch.at); err != nil {
			return err
		}
	}
	return nil
}

// times are what decides about a record.
type times struct {
	id                            store.ID
	created, seen, idle, absolute int64
}

func (r times) deadline() int64 { return min(r.seen+r.idle, r.absolute) }

// timesOf claims the records that a query finds, so that their times hold
// until the transaction has ended.
func (t *transaction) timesOf(query string, args ...any) (found []times, err error) {
	var id sql.RawBytes
	_, err = t.rows(query, args, func(scan scanner) error {
		var r times
		if err := scan(&id, &r.created, &r.seen, &r.idle, &r.absolute); err != nil {
			return err
		}
		r.id, err = idOf(id)
		found = append(found, r)
		return err
	})
	for i := range found {
		found[i].seen = max(found[i].seen, t.claim(found[i].id))
	}
	return found, err
}

// idOf reads an id from the database.
func idOf(stored []byte) (store.ID, error) {
	if len(stored) != len(store.ID{}) {
		return store.ID{}, fmt.Errorf("a stored id has %d bytes: the file was changed by another program", len(stored))
	}
	return store.ID(stored), nil
}

// notNull keeps an empty byte string from being stored as NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// statements are the prepared statements of one connection.
type statements struct {
	db       *sql.DB
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

type scanner func(into ...any) error

// prepare returns the statement of a query, prepared at its first use.
func (s *statements) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		s.prepared[query] = stmt
	}
	return stmt, err
}

// exec returns how many rows changed.
func (s *statements) exec(query string, args ...any) (int64, error) {
	stmt, err := s.prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// rows calls each for every row of the answer and returns how many there were.
func (s *statements) rows(query string, args []any, each func(scanner) error) (n int, err error) {
	stmt, err := s.prepare(query)
	if err != nil {
		return 0, err
	}
	rows, err := stmt.Query(args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
		if each == nil {
			continue
		}
		if err := each(rows.Scan); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// row scans the only row of the answer.
func (s *statements) row(query string, args []any, into ...any) error {
	n, err := s.rows(query, args, func(scan scanner) error { return scan(into...) })
	if err == nil && n == 0 {
		return sql.ErrNoRows
	}
	return err
}
