package sqlitestore_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// patience is how long a test waits for what takes a moment.
const patience = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A full disk is an error of the writes that need room, one by one; everything
// else goes on, and when there is room again, so do they.
func TestDiskFull(t *testing.T) {
	s := open(t, newFile(t), nil)
	kept := create(t, s, "alice")
	if err := s.LimitPages(1); err != nil { // what it has already
		t.Fatal(err)
	}
	var full error
	var created []store.Record
	for full == nil {
		rec := newRecord("bob", now)
		rec.Data = make([]byte, 64<<10)
		if _, full = s.Create(t.Context(), rec, store.Terms{}, now); full == nil {
			created = append(created, rec)
		}
	}
	if !errors.Is(full, store.ErrFull) || !strings.Contains(full.Error(), "free some space, and the store goes on") {
		t.Errorf("Create on a full disk: %v, want ErrFull and what to do", full)
	}

	large := kept
	large.Version, large.Data = kept.Version+2, make([]byte, 64<<10)
	release := s.HoldWriter() // so that all of these are one group
	var results sync.Map
	var wait sync.WaitGroup
	small := kept
	small.Version = kept.Version + 4
	for name, write := range map[string]func() error{
		"touch":  func() error { return s.Touch(t.Context(), kept.ID, now.Add(time.Second)) },
		"update": func() error { return s.Update(t.Context(), large, kept.Version, now) },
		"delete": func() error { _, err := s.Delete(t.Context(), newRecord("", now).ID); return err },
	} {
		wait.Go(func() { results.Store(name, write()) })
	}
	eventually(t, "two writes wait", func() bool { return s.Waiting() == 2 })
	release()
	wait.Wait()
	for _, name := range []string{"touch", "delete"} {
		if err, _ := results.Load(name); err != nil {
			t.Errorf("%s beside a write that needs room: %v", name, err)
		}
	}
	if err, _ := results.Load("update"); err == nil {
		t.Error("a write for which there is no room did not fail")
	}
	mustHave(t, s, kept)
	if err := s.Update(t.Context(), small, kept.Version, now); err != nil {
		t.Errorf("Update that needs no room: %v", err)
	}

	if err := s.LimitPages(1 << 30); err != nil {
		t.Fatal(err)
	}
	created = append(created, create(t, s, "bob"))
	for _, rec := range created {
		mustHave(t, s, rec)
	}
	mustHave(t, s, small)
}

// A disk that fails at the last moment, when the log is written at COMMIT, is
// the same.
func TestDiskFullAtCommit(t *testing.T) {
	needsUnix(t)
	output, err := newChild(t, "small log", newFile(t)).Output()
	if err != nil || string(output) != "refused and recovered\n" {
		t.Errorf("the child printed %q: %v", output, err)
	}
}

// largestFile is that of a child whose log is to be small.
const largestFile = 256 << 10

// smallLog limits the size of files to somewhat more than the log has, writes
// until that is met, and lifts the limit.
func smallLog(path string) error {
	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, path, nil)
	if err != nil {
		return err
	}
	lift, err := limitFiles()
	if err != nil {
		return err
	}
	var created []store.Record
	for {
		rec := newRecord("alice", now)
		rec.Data = make([]byte, 20<<10)
		_, err := s.Create(ctx, rec, store.Terms{}, now)
		if err != nil {
			break
		}
		if created = append(created, rec); len(created) == 100 {
			return errors.New("two megabytes fit into a quarter of one")
		}
	}
	if err := lift(); err != nil {
		return err
	}
	last := newRecord("alice", now)
	if _, err := s.Create(ctx, last, store.Terms{}, now); err != nil {
		return fmt.Errorf("after the limit was lifted: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = sqlitestore.Open(ctx, path, nil); err != nil {
		return err
	}
	for _, want := range append(created, last) {
		var rec store.Record
		if err := s.Load(ctx, want.ID, &rec, store.Fresh); err != nil || len(rec.Data) != len(want.Data) {
			return fmt.Errorf("an acknowledged session: %w", err)
		}
	}
	fmt.Println("refused and recovered")
	return s.Close()
}

// The writes that wait share one sync.
func TestConcurrentWritesShareATransaction(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	create(t, s, "alice")
	before := commits(t, path)
	const writes = 100
	release := s.HoldWriter()
	var wait sync.WaitGroup
	for range writes {
		wait.Go(func() { create(t, s, "bob") })
	}
	eventually(t, "all writes wait", func() bool { return s.Waiting() == writes })
	release()
	wait.Wait()
	if more := commits(t, path) - before; more > 2 {
		t.Errorf("%d writes that waited took %d transactions", writes, more)
	}
}

// commits counts the transactions in the log: the frames of the header's round
// that carry the size of the database, which the last of a transaction does.
func commits(t *testing.T, path string) (n int) {
	t.Helper()
	const header, frameHeader, page = 32, 24, 4096
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	salt := string(log[16:24])
	for frames := log[header:]; len(frames) >= frameHeader+page && string(frames[8:16]) == salt; frames = frames[frameHeader+page:] {
		if binary.BigEndian.Uint32(frames[4:]) != 0 {
			n++
		}
	}
	return n
}

// The log is copied into the database and begun anew while writes go on.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	const written, bound = 50 << 20, 30 << 20
	path := newFile(t)
	s := open(t, path, nil)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range written / 4 / (60 << 10) {
				rec := newRecord("alice", now)
				rec.Data = make([]byte, 60<<10)
				if _, err := s.Create(context.Background(), rec, store.Terms{}, now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > bound {
		t.Errorf("after %d MiB of writes the log has %d MiB", written>>20, info.Size()>>20)
	}
}

// SQLite's own means of copying a database that is in use yield a store, with
// everything that was acknowledged before.
func TestBackupUnderLoad(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Create(context.Background(), newRecord("alice", now), store.Terms{Max: 50}, now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer wait.Wait()
	defer cancel()
	for i := range 5 {
		rec := create(t, s, "bob")
		if err := s.Touch(t.Context(), rec.ID, now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), fmt.Sprintf("copy%d.db", i))
		vacuumInto(t, path, copied)
		integrity(t, copied)
		backup := open(t, copied, nil)
		mustHave(t, backup, rec)
		create(t, backup, "carol")
		mustClose(t, backup)
	}
}

func vacuumInto(t *testing.T, path, copied string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("VACUUM INTO ?", copied); err != nil {
		t.Fatal(err)
	}
}
