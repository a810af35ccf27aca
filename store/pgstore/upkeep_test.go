package pgstore_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/coatcheck/coatcheck/store"
)

// A new table is small, and reading all of it is the best plan; that plan must
// not stay while the table grows.
func TestCreateAndEndingReadTheirSubjectsRowsAlone(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	const sessions = 400
	for i := range sessions {
		subject := fmt.Sprint("user ", i)
		if _, err := s.Create(t.Context(), newRecord(subject), store.Terms{Began: start, Max: 100}, start); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			if _, err := s.DeleteSubject(t.Context(), subject, start); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil { // a connection that ends hands in its counts
		t.Fatal(err)
	}
	count := counter(t, server.connect(t), schema)
	eventually(t, "all sessions are counted", func() bool { return count("n_tup_ins") >= sessions })
	if read := count("seq_tup_read"); read > sessions {
		t.Errorf("%d rows were read by going over the whole table", read)
	}
}

// counter reads a number that the server keeps of the table of sessions.
func counter(t *testing.T, conn *pgx.Conn, schema string) func(column string) int {
	return func(column string) int {
		return query[int](t, conn, fmt.Sprintf(`SELECT %s::int FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'sessions'`, column), schema)
	}
}

// A touch writes a new row into the same page, and to no index.
func TestTouchIsAHOTUpdate(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	const sessions, touches = 200, 20
	var recs []store.Record
	for range sessions {
		recs = append(recs, newRecord("alice"))
	}
	create(t, s, recs...)
	for i := range touches {
		for _, rec := range recs {
			if err := s.Touch(t.Context(), rec.ID, after(time.Duration(i+1)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil { // a connection that ends hands in its counts
		t.Fatal(err)
	}
	count := counter(t, server.connect(t), schema)
	eventually(t, "all touches are counted", func() bool { return count("n_tup_upd") >= sessions*touches })
	updates, hot := count("n_tup_upd"), count("n_tup_hot_upd")
	t.Logf("%d updates, %d of them HOT", updates, hot)
	if hot < updates*95/100 {
		t.Errorf("%d of %d touches were HOT updates, want nearly all", hot, updates)
	}
}

// sweepRows is how many sessions the sweep has to look at; a million takes a
// minute or two.
func sweepRows() int {
	if rows, err := strconv.Atoi(os.Getenv("PGSTORE_TEST_SWEEP_ROWS")); err == nil && rows >= 1000 {
		return rows
	}
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

// Nine in ten sessions are dead, one in ten is due and was touched since.
// Requests use these, and others, while all are swept.
func TestRequestsGoOnDuringASweep(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	rows := sweepRows()
	touched := (2 * time.Hour).Microseconds()
	fill(t, server, schema, rows, fmt.Sprintf("CASE WHEN i %% 10 = 0 THEN %d ELSE 0 END", touched))
	used := newRecord("alice")
	create(t, s, used)
	now := after(2 * time.Hour)
	touchAll := fmt.Sprintf("UPDATE %s.sessions SET last_seen = last_seen + %d WHERE id = '%s'", schema, touched, used.ID)
	server.sql(t, touchAll) // alive, and due since an hour and a half

	requests, worst := whileRequestsRun(t, s, used, now, func() {
		removed := 0
		for more, pieces := true, 0; more; pieces++ {
			if pieces > rows/100 {
				t.Error("the sweep does not come to an end")
				return
			}
			n, again, err := s.Sweep(t.Context(), now, 1_000_000)
			if err != nil {
				t.Error(err)
				return
			}
			if n > 1000 {
				t.Errorf("one piece of a sweep removed %d sessions, whose requests wait for it; want at most 1000", n)
			}
			removed, more = removed+n, again
		}
		if want := rows - rows/10; removed != want {
			t.Errorf("the sweep removed %d sessions, want %d", removed, want)
		}
	})
	t.Logf("%d sessions, %d requests meanwhile, the slowest took %v", rows, requests, worst)
	if n := query[int](t, server.connect(t), fmt.Sprintf(`SELECT count(*)::int FROM %s.sessions WHERE due <= %d`, schema, after(2*time.Hour-store.SweepAfter).UnixMicro())); n != 0 {
		t.Errorf("%d sessions are due after the sweep, and would be looked at again and again", n)
	}
}

// whileRequestsRun does work while others load, touch, update, create and
// delete, each of which must succeed within the time that a request has.
func whileRequestsRun(t *testing.T, s store.Store, used store.Record, now time.Time, work func()) (requests int64, worst time.Duration) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	var slowest atomic.Int64
	go func() {
		defer close(stopped)
		version := used.Version
		for {
			select {
			case <-stop:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			began := time.Now()
			err := useOnce(ctx, s, used, &version, now)
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
			cancel()
			if err != nil {
				t.Errorf("a request during the sweep: %v", err)
				return
			}
			requests += 6
		}
	}()
	work()
	close(stop)
	<-stopped
	return requests, time.Duration(slowest.Load())
}

// useOnce does with a session what requests do, and signs in and out another.
func useOnce(ctx context.Context, s store.Store, used store.Record, version *uint64, now time.Time) error {
	var rec store.Record
	if err := s.Load(ctx, used.ID, &rec, store.Fresh); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := s.Touch(ctx, used.ID, now); err != nil {
		return fmt.Errorf("touch: %w", err)
	}
	rec.Version = newVersion()
	if err := s.Update(ctx, rec, *version, now); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	*version = rec.Version
	other := newRecord("bob")
	other.LastSeen = now
	if _, err := s.Create(ctx, other, store.Terms{Began: now, Max: 3}, now); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if _, err := s.List(ctx, "bob", now); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if _, err := s.Delete(ctx, other.ID); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// A sweep waits for nobody: what a request holds is left to the next round.
func TestSweepPassesOverWhatIsHeld(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	held, free := newRecord("alice"), newRecord("alice")
	create(t, s, held, free)
	release := hold(t, server, schema, held.ID)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if n, more, err := s.Sweep(ctx, after(2*time.Hour), 10); n != 1 || more || err != nil {
		t.Errorf("Sweep of two, one of which is held: %d, %v, %v; want 1, false, nil", n, more, err)
	}
	release()
	if n, more, err := s.Sweep(ctx, after(2*time.Hour), 10); n != 1 || more || err != nil {
		t.Errorf("Sweep of the one that was held: %d, %v, %v; want 1, false, nil", n, more, err)
	}
}

// While a backup runs, what is removed stays in the index. Each piece of a
// round begins where the last one ended and does not walk over it.
func TestSweepStaysCheapDuringABackup(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	const rows, piece = 5000, 100
	server.sql(t, fmt.Sprintf("ALTER TABLE %s.sessions SET (autovacuum_enabled = off)", schema))
	fill(t, server, schema, rows, "0")
	server.sql(t, fmt.Sprintf("UPDATE %s.sessions SET due = due - (random() * 1000000)::bigint; ANALYZE %[1]s.sessions", schema))
	server.sql(t, fmt.Sprintf("VACUUM %s.sessions", schema))
	backup := server.connect(t)
	if _, err := backup.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM "+schema+".sessions"); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if _, more, err = s.Sweep(t.Context(), after(2*time.Hour), piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn := server.connect(t)
	read := func() int {
		return query[int](t, conn, `SELECT idx_tup_read::int FROM pg_stat_user_indexes WHERE schemaname = $1 AND indexrelname = 'sessions_by_due'`, schema)
	}
	eventually(t, "the sweep is counted", func() bool { return read() >= rows })
	if n := read(); n > 3*rows {
		t.Errorf("sweeping %d sessions in pieces of %d read %d entries of the index", rows, piece, n)
	} else {
		t.Logf("sweeping %d sessions in pieces of %d read %d entries of the index", rows, piece, n)
	}
}
