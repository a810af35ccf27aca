package sqlitestore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// noWait is for those who are sure to be refused, or not.
var noWait = &sqlitestore.Options{LockWait: -1}

// now is the time of tests in which no time passes.
var now = store.Instant(time.Now())

// create creates a session and returns its record.
func create(t *testing.T, s store.Store, subject string) store.Record {
	t.Helper()
	rec := newRecord(subject, now)
	if _, err := s.Create(t.Context(), rec, store.Terms{}, now); err != nil {
		t.Fatal(err)
	}
	return rec
}

// mustHave fails unless the record is there at this version.
func mustHave(t *testing.T, s store.Store, rec store.Record) {
	t.Helper()
	var got store.Record
	if err := s.Load(t.Context(), rec.ID, &got, store.Fresh); err != nil {
		t.Fatalf("session %v: %v", rec.ID, err)
	}
	if got.Version != rec.Version || got.Subject != rec.Subject || string(got.Data) != string(rec.Data) {
		t.Fatalf("session %v is %+v, want %+v", rec.ID, got, rec)
	}
}

func mustClose(t *testing.T, s io.Closer) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsOutliveTheStore(t *testing.T) {
	path := newFile(t)
	first := open(t, path, nil)
	rec := create(t, first, "alice")
	mustClose(t, first)
	mustHave(t, open(t, path, noWait), rec)
}

func TestMarksOutliveTheStore(t *testing.T) {
	path := newFile(t)
	first := open(t, path, nil)
	if _, err := first.DeleteSubject(t.Context(), "alice", now); err != nil {
		t.Fatal(err)
	}
	mustClose(t, first)
	second := open(t, path, noWait)
	terms := store.Terms{Began: now.Add(-time.Second)}
	if _, err := second.Create(t.Context(), newRecord("alice", now), terms, now); !errors.Is(err, store.ErrSubjectEnded) {
		t.Errorf("a sign-in from before the mark: %v, want ErrSubjectEnded", err)
	}
}

// Names that mean something to a URL or to SQLite are names like any other.
func TestFileNamesAreTakenAsTheyAre(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory", "100%41.db", "#1.db", "it's.db", "ü.db", strings.Repeat("n", 60) + ".db"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			s := open(t, path, nil)
			rec := create(t, s, "alice")
			mustHave(t, dial(t, path), rec)
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

// A file that is not there yet has one name too: whoever makes it through a
// link holds it by every other.
func TestALinkToAFileThatIsNotThereYet(t *testing.T) {
	links, files := t.TempDir(), t.TempDir()
	relative, err := filepath.Rel(links, files)
	if err != nil {
		t.Fatal(err)
	}
	link, chain, file := filepath.Join(links, "a.db"), filepath.Join(links, "b.db"), filepath.Join(files, "sessions.db")
	for name, target := range map[string]string{link: filepath.Join(relative, "sessions.db"), chain: link} {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	rec := create(t, open(t, chain, nil), "alice")
	for _, path := range []string{file, link, chain} {
		if s, err := sqlitestore.Open(t.Context(), path, noWait); !errors.Is(err, sqlitestore.ErrHeld) {
			if err == nil {
				mustClose(t, s)
			}
			t.Errorf("Open by the name %s: %v, want ErrHeld", path, err)
			continue
		}
		mustHave(t, dial(t, path), rec)
	}
}

func TestFilesBelongToTheirOwnerAlone(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	create(t, s, "alice")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock", ".sock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if rights := info.Mode().Perm(); rights != 0o600 {
			t.Errorf("%s has rights %o, want 600", filepath.Base(path)+suffix, rights)
		}
	}
	mustClose(t, s)
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if name := file.Name(); name != "sessions.db" && name != "sessions.db.lock" {
			t.Errorf("Close left %s", name)
		}
	}
}

// What Open refuses, it says what to do about, and leaves as it was.
func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"text", func(t *testing.T, path string) {
			writeFile(t, path, strings.Repeat("no database. ", 100))
		}, "is not a SQLite database; name another file"},
		{"short text", func(t *testing.T, path string) {
			writeFile(t, path, "hello")
		}, "is not a SQLite database; name another file"},
		{"another program's", func(t *testing.T, path string) {
			runSQL(t, path, "CREATE TABLE notes (text)")
		}, "is the database of another program (application id 0x0); name another file"},
		{"another program's id", func(t *testing.T, path string) {
			runSQL(t, path, "PRAGMA application_id = 4711")
		}, "is the database of another program (application id 0x1267); name another file"},
		{"newer", func(t *testing.T, path string) {
			mustClose(t, open(t, path, nil))
			runSQL(t, path, "PRAGMA user_version = 99")
		}, "was written by a newer version of this program (file version 99"},
		{"from the future", func(t *testing.T, path string) {
			s := open(t, path, nil)
			rec := newRecord("alice", now.Add(25*time.Hour))
			if _, err := s.Create(t.Context(), rec, store.Terms{}, now); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
		}, "set the clock right and start again"},
		{"damaged", func(t *testing.T, path string) {
			mustClose(t, open(t, path, nil))
			damage(t, path)
		}, "is damaged; stop the program and restore the file from a backup"},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := newFile(t)
			test.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := sqlitestore.Open(t.Context(), path, noWait)
			if err == nil {
				mustClose(t, s)
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error says %q, and should say %q and name the file", err, test.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenRefusesNames(t *testing.T) {
	for path, want := range map[string]string{
		"":                      "is not the name of a file",
		":memory:":              "for sessions in memory use memstore",
		"file:sessions.db":      "is not the name of a file",
		"/no/such/place/of.db":  "the directory /no/such/place is not there; make it",
		os.Args[0] + "/file.db": "not a directory",
	} {
		if s, err := sqlitestore.Open(t.Context(), path, noWait); err == nil {
			mustClose(t, s)
			t.Errorf("opened %q", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v; should say %q", path, err, want)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runSQL does to a file what another program would.
func runSQL(t *testing.T, path, script string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
}

// damage overwrites everything behind SQLite's header.
func damage(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(content); i++ {
		content[i] = 0xa5
	}
	writeFile(t, path, string(content))
}

// A file system that is mounted read-only cannot be had without rights, but a
// process that lacks them can.
func TestOpenWithoutTheRightToWrite(t *testing.T) {
	needsUnix(t)
	if os.Getuid() == 0 {
		// Nothing stops this user from writing: a child gives that up.
		t.Setenv(giveUpRootVariable, "1")
	}
	for _, what := range []string{"file", "directory"} {
		t.Run(what, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "sqlitestore")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := filepath.Join(dir, "sessions.db")
			if what == "file" {
				mustClose(t, open(t, path, nil))
				chmod(t, path+".lock", 0o666)
				chmod(t, path, 0o444)
				chmod(t, dir, 0o777)
			} else {
				chmod(t, dir, 0o555)
			}
			output, err := newChild(t, "hold", path).Output()
			if err == nil || !strings.Contains(string(output), "cannot be written; give this process the right to write") {
				t.Errorf("the child printed %q (%v), and should say what right is missing", output, err)
			}
		})
	}
}

func chmod(t *testing.T, path string, rights os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, rights); err != nil {
		t.Fatal(err)
	}
}

// holding starts a process that holds the file until release.
func holding(t *testing.T, path string) (pid int, release func()) {
	t.Helper()
	child := newChild(t, "hold", path)
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
	t.Cleanup(func() { in.Close(); _ = child.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("the child printed %q: %v", line, err)
	}
	return child.Process.Pid, func() { in.Close() }
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := newFile(t)
	pid, _ := holding(t, path)
	began := time.Now()
	const wait = 200 * time.Millisecond
	_, err := sqlitestore.Open(t.Context(), path, &sqlitestore.Options{LockWait: wait})
	if !errors.Is(err, sqlitestore.ErrHeld) {
		t.Fatalf("Open of a file that is held: %v, want ErrHeld", err)
	}
	if want := fmt.Sprintf("is locked by process %d; end it", pid); !strings.Contains(err.Error(), want) {
		t.Errorf("the error says %q, and should say %q", err, want)
	}
	if waited := time.Since(began); waited < wait {
		t.Errorf("refused after %v, want %v", waited, wait)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := sqlitestore.Open(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open given up: %v, want context.Canceled", err)
	}
}

func TestSecondProcessWaits(t *testing.T) {
	path := newFile(t)
	_, release := holding(t, path)
	time.AfterFunc(100*time.Millisecond, release)
	create(t, open(t, path, nil), "alice")
}

// While one process of a program hands over to the next, every request is
// served by one of the two.
func TestRestartWithoutAGap(t *testing.T) {
	path := newFile(t)
	current := open(t, path, nil)
	var records []store.Record
	for range 5 {
		next := make(chan *sqlitestore.Store)
		go func() {
			s, err := sqlitestore.Open(context.Background(), path, nil)
			if err != nil {
				t.Error(err)
			}
			next <- s
		}()
		closing := make(chan error, 1)
		for range 20 {
			records = append(records, create(t, current, "alice"))
		}
		go func(s *sqlitestore.Store) { closing <- s.Close() }(current)
		for {
			rec := newRecord("alice", now)
			_, err := current.Create(t.Context(), rec, store.Terms{}, now)
			if errors.Is(err, sqlitestore.ErrClosed) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rec)
		}
		if err := <-closing; err != nil {
			t.Fatal(err)
		}
		if current = <-next; current == nil {
			t.FailNow()
		}
		t.Cleanup(func() { _ = current.Close() })
	}
	for _, rec := range records {
		mustHave(t, current, rec)
	}
}

func TestMethodsOfAClosedStore(t *testing.T) {
	s := open(t, newFile(t), nil)
	rec := create(t, s, "alice")
	mustClose(t, s)
	ctx := t.Context()
	calls := map[string]func() error{
		"Load":          func() error { return s.Load(ctx, rec.ID, &rec, store.Cached) },
		"Create":        func() error { _, err := s.Create(ctx, rec, store.Terms{}, now); return err },
		"Update":        func() error { return s.Update(ctx, rec, rec.Version, now) },
		"Touch":         func() error { return s.Touch(ctx, rec.ID, now) },
		"Delete":        func() error { _, err := s.Delete(ctx, rec.ID); return err },
		"DeleteSubject": func() error { _, err := s.DeleteSubject(ctx, "alice", now); return err },
		"DeleteAll":     func() error { _, err := s.DeleteAll(ctx, now); return err },
		"List":          func() error { _, err := s.List(ctx, "alice", now); return err },
		"Sweep":         func() error { _, _, err := s.Sweep(ctx, now, 1); return err },
		"Close":         s.Close,
		"All": func() error {
			for _, err := range s.All(ctx) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, sqlitestore.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}
