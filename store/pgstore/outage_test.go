package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
)

// A server that is restarted, or that crashes, costs a few errors. What was
// acknowledged is there, and what was ended stays ended.
func TestRestartUnderLoad(t *testing.T) {
	server := startServer(t)
	s := server.open(t, newSchema())
	load := startLoad(t, s)
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGINT} {
		load.work(50)
		server.stop(how)
		if err := server.start(); err != nil {
			t.Fatal(err)
		}
	}
	load.work(50)
	load.finish()
	load.check(s)
}

// A connection string that names both servers follows the primary, and with a
// synchronous standby nothing acknowledged is lost when that takes over.
func TestFailoverToASynchronousStandby(t *testing.T) {
	primary, standby := startPair(t)
	dsn := fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable", owner, primary.port, standby.port)
	s, err := pgstore.Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, open := range map[string]func() (*pgstore.Store, error){
		"Open": func() (*pgstore.Store, error) { return pgstore.Open(t.Context(), standby.dsn(owner), nil) },
		"New":  func() (*pgstore.Store, error) { return pgstore.New(t.Context(), standby.pool(t), nil) },
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "name the primary") && !strings.Contains(err.Error(), "takes writes") {
			t.Errorf("%s of a standby: %v, want an error that says what to do", name, err)
		}
	}
	unconfirmed(t, s, standby)
	load := startLoad(t, s)
	load.work(50)
	primary.stop(syscall.SIGQUIT)
	standby.sql(t, "SELECT pg_promote()")
	load.work(50)
	load.finish()
	load.check(s)
}

// unconfirmed proves that a write whose context ends while the standby does not
// answer is not acknowledged.
func unconfirmed(t *testing.T, s store.Store, standby *server) {
	t.Helper()
	standby.stop(syscall.SIGINT)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	rec := newRecord("alice")
	if _, err := s.Create(ctx, rec, store.Terms{}, start); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Create without an answer of the standby: %v, want that the deadline has passed", err)
	}
	if err := standby.start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), rec.ID); err != nil { // acknowledged by the standby again
		t.Fatal(err)
	}
}

// startPair starts a server and a standby without which it acknowledges
// nothing.
func startPair(t *testing.T) (primary, standby *server) {
	t.Helper()
	shared := startServer(t)
	// Beside the data of the server of all tests, which is removed at the end.
	primary = &server{programs: shared.programs, data: shared.data + "-primary"}
	standby = &server{programs: shared.programs, data: shared.data + "-standby"}
	if err := primary.make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { primary.stop(syscall.SIGQUIT) })
	backup := standby.command("pg_basebackup", "--pgdata", standby.data, "--write-recovery-conf", "--checkpoint", "fast",
		"--no-sync", "--dbname", primary.dsn(owner))
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	if err := standby.startSomewhere(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.stop(syscall.SIGQUIT) })
	primary.sql(t, "ALTER SYSTEM SET synchronous_standby_names TO '*'")
	primary.sql(t, "SELECT pg_reload_conf()")
	conn := primary.connect(t)
	eventually(t, "the standby is synchronous", func() bool {
		return query[bool](t, conn, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
	})
	return primary, standby
}

// A dump that PostgreSQL's own tool takes under load is a store, and so is one
// without the sessions.
func TestDumpTakenUnderLoadIsAStore(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	s := server.open(t, schema)
	before := newRecord("alice")
	create(t, s, before)
	load := startLoad(t, s)
	load.work(5)
	whole := server.restored(t, schema, "whole")
	without := server.restored(t, schema, "without", "--exclude-table-data", schema+".sessions")
	load.finish()
	load.check(s)
	if rec := loaded(t, whole, before.ID); rec.Version != before.Version {
		t.Errorf("Load from the restored dump: version %d, want %d", rec.Version, before.Version)
	}
	for rec, err := range without.All(t.Context()) {
		t.Errorf("a dump without sessions has session %v, %v", rec.ID, err)
	}
	create(t, without, before)
}

// restored dumps a schema and opens it in a database of its own.
func (s *server) restored(t *testing.T, schema, name string, dumpOptions ...string) *pgstore.Store {
	t.Helper()
	database, file := schema+"_"+name, s.data+"-"+name
	run(t, s.command("pg_dump", append(dumpOptions, "--format", "custom", "--schema", schema, "--file", file, s.dsn(owner))...))
	s.sql(t, "CREATE DATABASE "+database)
	dsn := strings.Replace(s.dsn(owner), "/postgres?", "/"+database+"?", 1)
	run(t, s.command("pg_restore", "--dbname", dsn, file))
	restored, err := pgstore.Open(t.Context(), dsn, &pgstore.Options{Schema: schema, NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = restored.Close() })
	return restored
}

func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", filepath.Base(c.Path), err, out)
	}
}

// load is what a site does with its store, and what it knows of it.
type load struct {
	t       *testing.T
	stop    chan struct{}
	workers sync.WaitGroup

	mu     sync.Mutex
	done   int // operations that succeeded
	errors []error
	fates  map[store.ID]*fate
}

// fate is what is known of a session. One worker uses it, and leaves it alone
// after an error; so at most its last write is undecided.
type fate struct {
	version, asked uint64 // acknowledged, and asked for; 0: none
	mayHaveEnded   bool
	ended          bool // acknowledged
}

const workers = 6

func startLoad(t *testing.T, s store.Store) *load {
	l := &load{t: t, stop: make(chan struct{}), fates: make(map[store.ID]*fate)}
	for range workers {
		l.workers.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
					l.liveAndDie(s)
				}
			}
		})
	}
	t.Cleanup(l.finish)
	return l
}

// liveAndDie has a session signed in, used, and at times ended.
func (l *load) liveAndDie(s store.Store) {
	rec := newRecord(fmt.Sprint("user ", rand.IntN(20)))
	f := &fate{asked: rec.Version}
	l.mu.Lock()
	l.fates[rec.ID] = f
	l.mu.Unlock()
	if l.try(func(ctx context.Context) error {
		_, err := s.Create(ctx, rec, store.Terms{Began: start, Max: 1000}, start)
		return err
	}) != nil {
		return
	}
	f.version = rec.Version
	for i := range 3 {
		was := rec.Version
		rec.Version = newVersion()
		f.asked = rec.Version
		if l.try(func(ctx context.Context) error { return s.Update(ctx, rec, was, start) }) != nil {
			return
		}
		f.version = rec.Version
		if l.try(func(ctx context.Context) error { return s.Touch(ctx, rec.ID, after(time.Duration(i)*time.Minute)) }) != nil {
			return
		}
		var got store.Record
		if l.try(func(ctx context.Context) error { return s.Load(ctx, rec.ID, &got, store.Fresh) }) != nil {
			return
		}
		if got.Version != rec.Version {
			l.t.Errorf("Load returned version %d after %d was stored", got.Version, rec.Version)
		}
	}
	if rand.IntN(2) == 0 {
		return
	}
	f.mayHaveEnded = true
	var ended []store.ID
	if l.try(func(ctx context.Context) (err error) {
		ended, err = s.Delete(ctx, rec.ID)
		return err
	}) != nil {
		return
	}
	f.ended = true
	if len(ended) != 1 {
		l.t.Errorf("Delete of a session that was there told of %v", ended)
	}
}

// try gives an operation the time that a request has. None of them may be
// refused: an error that is named says that nothing happened, and why, and
// there is no reason.
func (l *load) try(operation func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := operation(ctx)
	if named(err) {
		l.t.Errorf("an operation on a session of one's own was refused: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.done++
	} else {
		l.errors = append(l.errors, err)
	}
	return err
}

// work waits until so many operations more of each worker have succeeded.
func (l *load) work(each int) {
	l.t.Helper()
	succeeded := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.done
	}
	begin := succeeded()
	eventually(l.t, "the store works", func() bool { return succeeded() >= begin+each*workers })
}

// finish waits for the workers.
func (l *load) finish() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.workers.Wait()
}

// check compares what is known with what is there.
func (l *load) check(s store.Store) {
	l.t.Helper()
	counts := map[string]int{}
	for _, err := range l.errors {
		counts[err.Error()]++
	}
	for text, n := range counts {
		l.t.Logf("%d times: %s", n, text)
	}
	l.t.Logf("%d operations on %d sessions, %d errors", l.done, len(l.fates), len(l.errors))
	if most := 10 * workers; len(l.errors) > most {
		l.t.Errorf("%d errors, want few: at most %d", len(l.errors), most)
	}
	for id, f := range l.fates {
		var rec store.Record
		err := s.Load(l.t.Context(), id, &rec, store.Fresh)
		switch gone := errors.Is(err, store.ErrNotFound); {
		case err != nil && !gone:
			l.t.Fatal(err)
		case gone && f.version != 0 && !f.mayHaveEnded:
			l.t.Errorf("session %v, acknowledged at version %d, is gone", id, f.version)
		case !gone && f.ended:
			l.t.Errorf("session %v was ended, and is back", id)
		case !gone && rec.Version != f.version && rec.Version != f.asked:
			l.t.Errorf("session %v is at version %d; acknowledged was %d, and asked for %d", id, rec.Version, f.version, f.asked)
		}
	}
}
