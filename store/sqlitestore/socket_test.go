package sqlitestore_test

import (
	"context"
	"encoding/gob"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func attach(t *testing.T, path string) sqlitestore.Attached {
	t.Helper()
	s, err := sqlitestore.Attach(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAttachTakesAFileThatNobodyHolds(t *testing.T) {
	path := newFile(t)
	first := open(t, path, nil)
	rec := create(t, first, "alice")
	mustClose(t, first)
	s := attach(t, path)
	if _, ok := s.(*sqlitestore.Store); !ok {
		t.Errorf("Attach returned a %T", s)
	}
	mustHave(t, s, rec)
}

func TestAttachSpeaksToAnotherProcess(t *testing.T) {
	path := newFile(t)
	first := open(t, path, nil)
	rec := create(t, first, "alice")
	mustClose(t, first)
	_, release := holding(t, path)
	s := attach(t, path)
	if _, ok := s.(*sqlitestore.Client); !ok {
		t.Errorf("Attach returned a %T", s)
	}
	mustHave(t, s, rec)
	if ended, err := s.DeleteSubject(t.Context(), "alice", now); err != nil || len(ended) != 1 {
		t.Errorf("DeleteSubject ended %v: %v", ended, err)
	}
	release()
	mine := open(t, path, nil) // waits for the other to stop
	if err := mine.Load(t.Context(), rec.ID, &rec, store.Fresh); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was ended through the socket: %v", err)
	}
}

func TestAttachMakesNoFile(t *testing.T) {
	path := newFile(t)
	if _, err := sqlitestore.Attach(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "there is no store at "+path) {
		t.Errorf("Attach to nothing: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("Attach left %v", left)
	}
}

func TestDialFindsNobody(t *testing.T) {
	path := newFile(t)
	if _, err := sqlitestore.Dial(t.Context(), path); !errors.Is(err, sqlitestore.ErrNotHeld) {
		t.Errorf("Dial without a file: %v, want ErrNotHeld", err)
	}
	open(t, path, &sqlitestore.Options{NoSocket: true})
	if _, err := sqlitestore.Dial(t.Context(), path); !errors.Is(err, sqlitestore.ErrNotHeld) {
		t.Errorf("Dial to a store without socket: %v, want ErrNotHeld", err)
	}
}

// A process that died leaves its socket, which is in nobody's way.
func TestSocketOfAProcessThatDied(t *testing.T) {
	path := newFile(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".sock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	mustClose(t, listener)
	if _, err := sqlitestore.Dial(t.Context(), path); !errors.Is(err, sqlitestore.ErrNotHeld) {
		t.Errorf("Dial to a dead socket: %v, want ErrNotHeld", err)
	}
	s := open(t, path, noWait)
	mustHave(t, dial(t, path), create(t, s, "alice"))
}

// The system allows about a hundred bytes for the name of a socket.
func TestSocketInADeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sessions.db")
	s := open(t, path, nil)
	mustHave(t, dial(t, path), create(t, s, "alice"))

	path = filepath.Join(dir, strings.Repeat("f", 100)+".db")
	if _, err := sqlitestore.Open(t.Context(), path, noWait); err == nil || !strings.Contains(err.Error(), "set Options.NoSocket") {
		t.Errorf("Open of a name that is too long for a socket: %v", err)
	}
	open(t, path, &sqlitestore.Options{LockWait: -1, NoSocket: true})
}

func TestCloseEndsTheConversation(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	c := dial(t, path)
	rec := create(t, c, "alice")
	mustClose(t, s)
	if err := c.Load(t.Context(), rec.ID, &rec, store.Fresh); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load through the socket of a closed store: %v", err)
	}
	mustClose(t, c)
	if err := c.Touch(t.Context(), rec.ID, now); !errors.Is(err, sqlitestore.ErrClosed) {
		t.Errorf("Touch by a closed client: %v, want ErrClosed", err)
	}
}

// Close answers what has been asked already.
func TestCloseAnswersWhatWasAsked(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	c := dial(t, path)
	release := s.HoldWriter()
	rec := newRecord("alice", now)
	result := make(chan error)
	go func() {
		_, err := c.Create(context.Background(), rec, store.Terms{}, now)
		result <- err
	}()
	eventually(t, "the write waits", func() bool { return s.Waiting() == 1 })
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	release()
	if err := errors.Join(<-result, <-closed); err != nil {
		t.Fatal(err)
	}
	mustHave(t, open(t, path, noWait), rec)
}

// Close waits for no process that was stopped before it had read its answer.
func TestCloseWaitsForNobodyWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path, nil)
	for range 300 { // more than a socket takes unread
		rec := newRecord("alice", now)
		rec.Head = make([]byte, store.MaxHead)
		if _, err := s.Create(t.Context(), rec, store.Terms{}, now); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const page = 9
	if err := gob.NewEncoder(conn).Encode(struct {
		Protocol  int
		Operation uint8
	}{1, page}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it is being answered
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Errorf("Close has not returned within %v", patience)
	}
}

// While processes come and go, Attach finds one or is one.
func TestAttachWhileProcessesComeAndGo(t *testing.T) {
	path := newFile(t)
	mustClose(t, open(t, path, nil))
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			s, err := sqlitestore.Open(context.Background(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(3 * time.Millisecond)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
	for range 300 {
		s, err := sqlitestore.Attach(t.Context(), path, nil)
		if err != nil {
			t.Error(err)
			break
		}
		_ = s.Close()
	}
	cancel()
	wait.Wait()
}

func TestClientFindsTheNextProcess(t *testing.T) {
	path := newFile(t)
	first := open(t, path, nil)
	rec := create(t, first, "alice")
	c := dial(t, path)
	mustClose(t, first)
	open(t, path, noWait)
	mustHave(t, c, rec)
}

func TestCloseOfAClientEndsItsCalls(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	c := dial(t, path)
	defer s.HoldWriter()()
	result := make(chan error, 1)
	go func() {
		_, err := c.Delete(context.Background(), store.ID{})
		result <- err
	}()
	eventually(t, "the write waits", func() bool { return s.Waiting() == 1 })
	mustClose(t, c)
	select {
	case err := <-result:
		if err == nil || !strings.Contains(err.Error(), "it may still happen") {
			t.Errorf("the call in flight returned %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the call in flight has not ended")
	}
}

// Someone who speaks another version is told so, and someone who speaks
// nonsense is not answered.
func TestSocketRefusesOtherProtocols(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	conn, err := net.Dial("unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := gob.NewEncoder(conn).Encode(struct{ Protocol int }{99}); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Error string }
	if err := gob.NewDecoder(conn).Decode(&answer); err != nil || !strings.Contains(answer.Error, "was asked in version 99") {
		t.Errorf("answered %q: %v", answer.Error, err)
	}
	nonsense, err := net.Dial("unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer nonsense.Close()
	if _, err := nonsense.Write([]byte(strings.Repeat("GET / HTTP/1.0\r\n", 20))); err != nil {
		t.Fatal(err)
	}
	if n, err := nonsense.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("nonsense was answered")
	}
	create(t, s, "alice")
}
