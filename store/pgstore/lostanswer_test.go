package pgstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
)

// When a connection breaks before the answer has come, what is harmless is done
// again. Anything else is done once, and its error has no name, because the
// outcome is unknown.
func TestALostAnswer(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	direct := server.open(t, schema)
	through, lose := losingProxy(t, server, wholeAnswer)
	s := openThrough(t, through, schema)
	ctx := t.Context()
	used, changed, created := newRecord("alice"), newRecord("alice"), newRecord("bob")
	create(t, s, used)
	create(t, s, changed)
	next := changed
	next.Version = newVersion()
	var got store.Record
	for _, c := range []struct {
		name     string
		harmless bool
		do       func() error
		happened func() bool
	}{
		{"load", true, func() error { return s.Load(ctx, used.ID, &got, store.Fresh) }, func() bool { return got.ID == used.ID }},
		{"list", true, func() error { _, err := s.List(ctx, "alice", start); return err }, nil},
		{"touch", true, func() error { return s.Touch(ctx, used.ID, after(time.Minute)) },
			func() bool { return loaded(t, direct, used.ID).LastSeen.Equal(after(time.Minute)) }},
		{"update", false, func() error { return s.Update(ctx, next, changed.Version, start) },
			func() bool { return loaded(t, direct, next.ID).Version == next.Version }},
		{"create", false, func() error { _, err := s.Create(ctx, created, store.Terms{}, start); return err },
			func() bool { return loaded(t, direct, created.ID).Version == created.Version }},
		{"delete", false, func() error { _, err := s.Delete(ctx, used.ID); return err },
			func() bool { return loaded(t, direct, used.ID).Version == 0 }},
		{"delete subject", false, func() error { _, err := s.DeleteSubject(ctx, "bob", start); return err },
			func() bool { return loaded(t, direct, created.ID).Version == 0 }},
		{"delete all", false, func() error { _, err := s.DeleteAll(ctx, start); return err },
			func() bool { return loaded(t, direct, next.ID).Version == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			// What is lost must not be an answer to a new connection.
			if _, err := s.List(ctx, "nobody", start); err != nil {
				t.Fatal(err)
			}
			lose.Store(true)
			err := c.do()
			if lose.Load() {
				t.Fatal("no answer was lost")
			}
			if c.harmless && err != nil {
				t.Errorf("it returned %v; it can be done again", err)
			}
			if !c.harmless && (err == nil || named(err)) {
				t.Errorf("it returned %v, want an error without a name", err)
			}
			if c.happened != nil && !c.happened() {
				t.Error("it has not happened")
			}
		})
	}
}

// Who was ended is not said by an answer that broke off, although it says so
// before it does.
func TestIDsComeWithoutAnError(t *testing.T) {
	server := startServer(t)
	schema := newSchema()
	server.open(t, schema)
	through, lose := losingProxy(t, server, endOfAnswer)
	s := openThrough(t, through, schema)
	rec := newRecord("alice")
	for name, end := range map[string]func() ([]store.ID, error){
		"delete":         func() ([]store.ID, error) { return s.Delete(t.Context(), rec.ID) },
		"delete subject": func() ([]store.ID, error) { return s.DeleteSubject(t.Context(), "alice", start) },
	} {
		t.Run(name, func(t *testing.T) {
			create(t, s, rec)
			lose.Store(true)
			if ids, err := end(); err == nil || ids != nil {
				t.Errorf("it returned %v, %v; want nothing but an error", ids, err)
			}
		})
	}
}

// openThrough opens a store with one connection, through a proxy.
func openThrough(t *testing.T, address, schema string) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable&pool_max_conns=1", owner, address), &pgstore.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A loss is what a losingProxy keeps of an answer.
type loss int

const (
	wholeAnswer loss = iota
	endOfAnswer      // the last message, which says that the server is ready
)

// losingProxy stands before a server. When lose is set, it keeps the next answer
// to a command, or its end, from whoever waits for it, once that is committed,
// breaks the connection, and clears lose.
func losingProxy(t *testing.T, s *server, what loss) (address string, lose *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	lose = new(atomic.Bool)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(upstream, client)
				_ = upstream.Close()
			}()
			go func() {
				forwardAnswers(client, upstream, what, lose)
				_ = client.Close()
			}()
		}
	}()
	return listener.Addr().String(), lose
}

// forwardAnswers forwards the server's messages: a letter, a length that counts
// itself, and the rest. C says that a command is complete, Z that the server is
// ready for the next, having committed.
func forwardAnswers(client io.Writer, upstream io.Reader, what loss, lose *atomic.Bool) {
	losing := false
	for {
		var header [5]byte
		if _, err := io.ReadFull(upstream, header[:]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(upstream, rest); err != nil {
			return
		}
		losing = losing || header[0] == 'C' && lose.Load()
		if losing && header[0] == 'Z' {
			lose.Store(false)
			return
		}
		if losing && what == wholeAnswer {
			continue
		}
		if _, err := client.Write(append(header[:], rest...)); err != nil {
			return
		}
	}
}

// loaded returns a session, or the zero Record.
func loaded(t *testing.T, s store.Store, id store.ID) (rec store.Record) {
	t.Helper()
	if err := s.Load(t.Context(), id, &rec, store.Fresh); err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return rec
}

// named reports whether an error says that nothing happened.
func named(err error) bool {
	for _, name := range []error{store.ErrNotFound, store.ErrConflict, store.ErrExists, store.ErrLimit, store.ErrSubjectEnded, store.ErrFull} {
		if errors.Is(err, name) {
			return true
		}
	}
	return false
}
