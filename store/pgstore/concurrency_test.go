package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
)

// Whom a Create ends is decided when the rows are its own: a touch that it had
// to wait for counts.
func TestCreateEndsByWhatItWaitedFor(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	first, second := newRecord("alice"), newRecord("alice")
	second.LastSeen = after(time.Minute)
	create(t, s, first, second)
	tx, err := server.connect(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "UPDATE "+schema+".sessions SET last_seen = $2 WHERE id = $1", first.ID[:], after(2*time.Minute).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	type result struct {
		evicted []store.ID
		err     error
	}
	created := make(chan result, 1)
	third := newRecord("alice")
	go func() {
		evicted, err := s.Create(t.Context(), third, store.Terms{Max: 2}, after(3*time.Minute))
		created <- result{evicted, err}
	}()
	conn := server.connect(t)
	eventually(t, "the Create waits for the row", func() bool { return waits(t, conn, 1) })
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-created
	if got.err != nil || !slices.Equal(got.evicted, []store.ID{second.ID}) {
		t.Errorf("Create ended %v, %v; want %v, which is now the least recently seen", got.evicted, got.err, second.ID)
	}
}

// A Create locks no row of the subject while it is below the limit, so that
// signing in does not wait for the subject's requests.
func TestCreateBelowTheLimitWaitsForNoSession(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	held := newRecord("alice")
	create(t, s, held)
	defer hold(t, server, schema, held.ID)()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := s.Create(ctx, newRecord("alice"), store.Terms{Max: 3}, start); err != nil {
		t.Errorf("Create while another session of the subject is locked: %v", err)
	}
}

// Ending waits for a sign-in that began before and is under way, and finds what
// it has made: none comes to life after the mark.
func TestEndingWaitsForSignInsUnderWay(t *testing.T) {
	server := startServer(t)
	for name, end := range map[string]func(store.Store) error{
		"DeleteAll": func(s store.Store) error {
			_, err := s.DeleteAll(t.Context(), after(time.Minute))
			return err
		},
		"DeleteSubject": func(s store.Store) error {
			_, err := s.DeleteSubject(t.Context(), "alice", after(time.Minute))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			schema := newSchema()
			s, conn := server.open(t, schema), server.connect(t)
			first := newRecord("alice")
			create(t, s, first)
			release := hold(t, server, schema, first.ID)
			defer release()
			created, ended := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := s.Create(t.Context(), newRecord("alice"), store.Terms{Began: start, Max: 1}, after(time.Minute))
				created <- err
			}()
			eventually(t, "the Create, which has looked for marks, waits for the row", func() bool { return waits(t, conn, 1) })
			go func() { ended <- end(s) }()
			eventually(t, "the other waits too", func() bool { return waits(t, conn, 2) })
			release()
			if err := errors.Join(<-created, <-ended); err != nil {
				t.Fatal(err)
			}
			if left, err := s.List(t.Context(), "alice", after(time.Minute)); err != nil || len(left) != 0 {
				t.Errorf("%d sessions are left, %v; want none", len(left), err)
			}
		})
	}
}

// Of two transactions that wait for each other the server rolls one back. If it
// is the store's, that is done again.
func TestDeadlockIsTriedAgain(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	recs := []store.Record{newRecord("alice"), newRecord("alice")}
	recs[0].ID[0], recs[1].ID[0] = 1, 2 // locked in this order
	create(t, s, recs...)
	tx, err := server.connect(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock := "SELECT FROM " + schema + ".sessions WHERE id = $1 FOR UPDATE"
	if _, err := tx.Exec(t.Context(), lock, recs[1].ID[:]); err != nil {
		t.Fatal(err)
	}
	var ended []store.ID
	deleted := make(chan error, 1)
	go func() {
		var err error
		ended, err = s.Delete(t.Context(), recs[0].ID, recs[1].ID)
		deleted <- err
	}()
	conn := server.connect(t)
	eventually(t, "the Delete waits for the second row", func() bool { return waits(t, conn, 1) })
	// The one that has waited longest looks for deadlocks first, and gives way.
	_, _ = tx.Exec(t.Context(), lock, recs[0].ID[:])
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-deleted; err != nil || len(ended) != 2 {
		t.Errorf("Delete in a deadlock: ended %v, %v; want both", ended, err)
	}
}

// A visitor who goes away ends the query and not the connection.
func TestAnEndedContextCostsNoConnection(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	name := "application_name=patient_" + schema
	s, err := pgstore.Open(t.Context(), server.dsn(owner)+"&pool_max_conns=1&"+name, &pgstore.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rec := newRecord("alice")
	create(t, s, rec)
	conn := server.connect(t)
	backend := func() int {
		return query[int](t, conn, "SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE application_name = $1", "patient_"+schema)
	}
	before := backend()
	release := hold(t, server, schema, rec.ID)
	defer release()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := s.Touch(ctx, rec.ID, after(time.Minute))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Touch of a row that another holds: %v, want that the deadline has passed", err)
		}
	}
	release()
	if err := s.Touch(t.Context(), rec.ID, after(time.Minute)); err != nil {
		t.Errorf("Touch after others were given up: %v", err)
	}
	if now := backend(); now != before || before == 0 {
		t.Errorf("the connection's server process is %d, and was %d", now, before)
	}
}

// A watcher hears of each change by another handle, also after the first call,
// which comes for nothing.
func TestWatchTellsOfEachChange(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	a, b := server.open(t, schema), server.open(t, schema)
	rec, other := newRecord("alice"), newRecord("bob")
	create(t, a, rec, other)
	var calls, others atomic.Int64
	stop := a.Watch(rec.ID, func() { calls.Add(1) })
	defer stop()
	stopOther := a.Watch(other.ID, func() { others.Add(1) })
	defer stopOther()
	heard := func(n int64) func() bool { return func() bool { return calls.Load() >= n } }
	eventually(t, "the first call", heard(1))
	next := rec
	next.Version = newVersion()
	if err := b.Update(t.Context(), next, rec.Version, start); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a call after an update", heard(2))
	if err := b.Touch(t.Context(), rec.ID, after(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Delete(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a call after a delete", heard(3))
	if n := others.Load(); n != 1 {
		t.Errorf("who watches another record was called %d times, want once", n)
	}
}

// A touch does not wait for the disk; every other write does.
func TestOnlyTouchesDoNotWaitForTheDisk(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	rec := newRecord("alice")
	create(t, s, rec)
	// Each write notes how its transaction is going to commit.
	server.sql(t, fmt.Sprintf(`CREATE TABLE %[1]s.noted (op text, how text);
		CREATE FUNCTION %[1]s.note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO %[1]s.noted VALUES (TG_OP || CASE WHEN TG_OP = 'UPDATE' AND NEW.version = OLD.version THEN ' of last_seen' ELSE '' END,
				current_setting('synchronous_commit'));
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %[1]s.sessions
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %[1]s.note()`, schema))
	create(t, s, newRecord("alice"))
	next := rec
	next.Version = newVersion()
	if err := s.Touch(t.Context(), rec.ID, after(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), next, rec.Version, start); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	got := query[string](t, server.connect(t), "SELECT string_agg(DISTINCT op || ': ' || how, ', ' ORDER BY op || ': ' || how) FROM "+schema+".noted")
	want := strings.Join([]string{"DELETE: on", "INSERT: on", "UPDATE of last_seen: off", "UPDATE: on"}, ", ")
	if got != want {
		t.Errorf("synchronous_commit was %s; want %s", got, want)
	}
}

// A full disk of the server fails the request, and passes.
func TestFullDiskIsAnErrorThatPasses(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	rec := newRecord("alice")
	create(t, s, rec)
	server.sql(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.full() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON %[1]s.sessions FOR EACH ROW EXECUTE FUNCTION %[1]s.full()`, schema))
	if _, err := s.Create(t.Context(), newRecord("alice"), store.Terms{}, start); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Create while the server's disk is full: %v, want ErrFull that says what to do", err)
	}
	next := rec
	next.Version = newVersion()
	if err := s.Update(t.Context(), next, rec.Version, start); err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Update while the server's disk is full: %v, want an error that says what to do", err)
	}
	server.sql(t, "DROP TRIGGER full_disk ON "+schema+".sessions")
	create(t, s, newRecord("alice"))
	if err := s.Update(t.Context(), next, rec.Version, start); err != nil {
		t.Errorf("Update after the disk had space again: %v", err)
	}
}
