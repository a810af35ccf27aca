package pgstore_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/coatcheck/coatcheck/store"
)

// start is when every test begins, by its own clock.
var start = time.Date(2011, time.May, 6, 7, 8, 9, 123456000, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// newRecord is a session that was created at the start and dies 30 minutes
// after it was last seen.
func newRecord(subject string) store.Record {
	rec := store.Record{
		Version: newVersion(), Subject: subject,
		Created: start, LastSeen: start, Idle: 30 * time.Minute, Absolute: after(12 * time.Hour),
		Head: make([]byte, 240), Data: make([]byte, 300),
	}
	rand.Read(rec.ID[:])
	rand.Read(rec.Head)
	rand.Read(rec.Data)
	return rec
}

func newVersion() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// create stores records without terms.
func create(t testing.TB, s store.Store, recs ...store.Record) {
	t.Helper()
	for _, rec := range recs {
		if _, err := s.Create(t.Context(), rec, store.Terms{}, start); err != nil {
			t.Fatal(err)
		}
	}
}

// fill stores n sessions of 300 bytes in one statement of the server's, all
// created at the start, with their time last seen as that expression of i says.
func fill(t testing.TB, s *server, schema string, n int, lastSeen string) {
	t.Helper()
	s.sql(t, fmt.Sprintf(`INSERT INTO %s.sessions
		SELECT gen_random_uuid(), 1, %[2]d, %[2]d + %[3]s, %[4]d, %[5]d, %[2]d + %[4]d, false, '',
			decode(repeat('5a', 100), 'hex'), decode(repeat('a5', 200), 'hex')
		FROM generate_series(1, %[6]d) i`,
		schema, start.UnixMicro(), lastSeen, (30*time.Minute).Microseconds(), after(12*time.Hour).UnixMicro(), n))
}

// query returns what a query of one value says.
func query[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 3000 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("a minute has passed, and not: %s", what)
}

// hold locks the row of a session until release is called.
func hold(t testing.TB, s *server, schema string, id store.ID) (release func()) {
	t.Helper()
	tx, err := s.connect(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var locked int
	err = tx.QueryRow(t.Context(), fmt.Sprintf(`SELECT 1 FROM %s.sessions WHERE id = $1 FOR UPDATE`, schema), id[:]).Scan(&locked)
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(context.Background()) }
}

// waits reports whether so many wait for a lock.
func waits(t testing.TB, conn *pgx.Conn, n int) bool {
	t.Helper()
	return query[int](t, conn, `SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock'`) >= n
}
