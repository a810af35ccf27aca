package pgstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
)

// What Open returns tells what to change, and never the password.
func TestOpenSaysWhatToDo(t *testing.T) {
	server := startServer(t)
	const password = "s3cret-of-the-role"
	newer, foreign, empty := newSchema(), newSchema(), newSchema()
	server.open(t, empty)
	server.sql(t, "DELETE FROM "+empty+".version")
	server.open(t, newer)
	server.sql(t, "UPDATE "+newer+".version SET version = 99")
	server.sql(t, "CREATE SCHEMA "+foreign+"; CREATE TABLE "+foreign+".sessions (id integer)")
	nobody, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	good := server.dsn(owner)
	for name, c := range map[string]struct {
		dsn  string
		opts pgstore.Options
		is   error
		says string
	}{
		"no connection string":  {dsn: "postgres://a:" + password + "@[half an address/db", says: "postgres://USER:PASSWORD@HOST"},
		"bad parameter":         {dsn: good + "&pool_max_conns=" + password, says: "parameters"},
		"wrong password":        {dsn: strings.Replace(server.dsn(guarded), "@", ":"+password+"@", 1), says: "pg_hba.conf"},
		"no such role":          {dsn: server.dsn("who_is_this"), says: "role"},
		"no such database":      {dsn: strings.Replace(good, "/postgres?", "/nowhere?", 1), says: "createdb"},
		"nobody listens":        {dsn: fmt.Sprintf("postgres://a:%s@127.0.0.1:%d/a", password, nobody), says: fmt.Sprint("127.0.0.1:", nobody)},
		"takes no writes":       {dsn: server.dsn(readOnly), says: "takes writes"},
		"stricter transactions": {dsn: server.dsn(serial), says: "ALTER ROLE serial SET default_transaction_isolation"},
		"may not create":        {dsn: server.dsn(nothingAllowed), opts: pgstore.Options{Schema: "not_made"}, says: "pgstore.Schema"},
		"missing, not to make":  {dsn: good, opts: pgstore.Options{Schema: "not_made", NoMigrate: true}, is: pgstore.ErrSchema, says: "pgstore.Schema"},
		"newer schema":          {dsn: good, opts: pgstore.Options{Schema: newer}, is: pgstore.ErrSchema, says: "version 99"},
		"newer, not to change":  {dsn: good, opts: pgstore.Options{Schema: newer, NoMigrate: true}, is: pgstore.ErrSchema, says: "version 99"},
		"no version":            {dsn: good, opts: pgstore.Options{Schema: empty}, is: pgstore.ErrSchema, says: "version"},
		"somebody else's table": {dsn: good, opts: pgstore.Options{Schema: foreign}, says: "another schema"},
		"clock is behind":       {dsn: good, opts: pgstore.Options{Now: func() time.Time { return start }}, says: "clock"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := pgstore.Open(t.Context(), c.dsn, &c.opts)
			if err == nil {
				s.Close()
				t.Fatal("Open returned no error")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("Open returned %v, want one that is %v", err, c.is)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("Open returned %q, which does not say %q", err, c.says)
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("Open returned %q, which shows the password", err)
			}
		})
	}
}

// A context that ends while nobody answers ends Open.
func TestOpenEndsWithItsContext(t *testing.T) {
	nobody, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = pgstore.Open(ctx, fmt.Sprintf("postgres://a@127.0.0.1:%d/a", nobody), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open returned %v, want that the deadline has passed", err)
	}
}

// Several processes that start at once find or make one schema.
func TestProcessesCreateTheSchemaAtOnce(t *testing.T) {
	server := startServer(t)
	const processes, rounds = 6, 3
	for range rounds {
		schema := newSchema()
		var begin []io.Closer
		var children []*exec.Cmd
		for range processes {
			child := newChild("create a session", "PGSTORE_TEST_DSN="+server.dsn(owner), "PGSTORE_TEST_SCHEMA="+schema)
			in, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatalf("a child printed %q: %v", line, err)
			}
			begin, children = append(begin, in), append(children, child)
		}
		for _, in := range begin {
			in.Close()
		}
		for _, child := range children {
			if err := child.Wait(); err != nil {
				t.Errorf("one of %d processes that open a new store at once: %v", processes, err)
			}
		}
		if n := query[int](t, server.connect(t), "SELECT count(*)::int FROM "+schema+".sessions"); n != processes {
			t.Errorf("%d sessions are in the store, want one of each of %d processes", n, processes)
		}
		if n := query[int](t, server.connect(t), "SELECT count(*)::int FROM "+schema+".version"); n != 1 {
			t.Errorf("the schema has %d versions, want 1", n)
		}
	}
}

// createSession opens a store once its input ends, and creates a session.
func createSession() error {
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s, err := pgstore.Open(context.Background(), os.Getenv("PGSTORE_TEST_DSN"), &pgstore.Options{Schema: os.Getenv("PGSTORE_TEST_SCHEMA")})
	if err != nil {
		return err
	}
	if _, err := s.Create(context.Background(), newRecord("alice"), store.Terms{}, start); err != nil {
		return err
	}
	return s.Close()
}

// A name is a name, whatever is in it.
func TestSchemaMayHaveAnyName(t *testing.T) {
	server := startServer(t)
	for _, name := range []string{`Mixed Case`, `quo"ted`, `semi; DROP SCHEMA public`, `été`} {
		s := server.open(t, name)
		rec := newRecord("alice")
		create(t, s, rec)
		again := server.open(t, name)
		var got store.Record
		if err := again.Load(t.Context(), rec.ID, &got, store.Fresh); err != nil {
			t.Errorf("Load from schema %q: %v", name, err)
		}
	}
}

// Close waits for what is in flight, and leaves a pool alone that is the
// caller's.
func TestCloseWaits(t *testing.T) {
	server := startServer(t)
	schema, pool := newSchema(), server.pool(t)
	s, err := pgstore.New(t.Context(), pool, &pgstore.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecord("alice")
	create(t, s, rec)
	release := hold(t, server, schema, rec.ID)
	touched, closed := make(chan error, 1), make(chan error, 1)
	go func() { touched <- s.Touch(t.Context(), rec.ID, after(time.Minute)) }()
	conn := server.connect(t)
	eventually(t, "the touch waits for the row", func() bool { return waits(t, conn, 1) })
	go func() { closed <- s.Close() }()
	eventually(t, "the store is closing", func() bool {
		return errors.Is(s.Touch(t.Context(), newRecord("").ID, start), pgstore.ErrClosed)
	})
	select {
	case err := <-closed:
		t.Error("Close returned while a touch was in flight")
		closed <- err
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if err := <-touched; err != nil {
		t.Errorf("the touch that was in flight: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, pgstore.ErrClosed) {
		t.Errorf("Close again: %v, want ErrClosed", err)
	}
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("the caller's pool after Close: %v", err)
	}
}

// Nothing of a store goes on after Close, not even with telling who watches.
func TestCloseWaitsForWhoIsBeingTold(t *testing.T) {
	s := startServer(t).open(t, newSchema())
	telling, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s.Watch(newRecord("alice").ID, func() { // the first call comes for nothing
		first.Do(func() { close(telling) })
		<-goOn
	})
	<-telling
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close has returned (%v) while a watcher was being told", err)
	case <-time.After(300 * time.Millisecond):
	}
	close(goOn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
