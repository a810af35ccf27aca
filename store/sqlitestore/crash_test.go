package sqlitestore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// kills is how often the process under load is killed.
const kills = 50

// What has been acknowledged survives kill -9, what was ended stays ended, and
// the file is whole.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := newFile(t)
	known := make(fates)
	acknowledged := 0
	for round := range kills {
		acknowledged += known.follow(t, path, time.Duration(random.IntN(40_000))*time.Microsecond)
		known.check(t, path)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d writes were acknowledged", acknowledged)
	if acknowledged < kills {
		t.Errorf("%d writes were acknowledged in %d rounds: the test has shown nothing", acknowledged, kills)
	}
}

// fate is what is known of a session from what the child has printed. A child
// does one thing at a time with a session, so at most one of the two that were
// asked for is undecided.
type fate struct {
	version        uint64 // acknowledged; 0: none
	asked          uint64 // the last one asked for
	askedToEnd     bool
	acknowledgeEnd bool
}

type fates map[string]*fate

// follow runs a child, kills it some time after its first acknowledged write,
// and notes what it printed. It returns the number of acknowledged writes.
func (f fates) follow(t *testing.T, path string, after time.Duration) (acknowledged int) {
	t.Helper()
	child := newChild(t, "write", path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // what is left is not a whole line
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "error") {
			t.Fatal(line)
		}
		if f.note(t, line) {
			acknowledged++
			if kill == nil {
				kill = time.AfterFunc(after, func() { _ = child.Process.Kill() })
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child was to be killed, and ended")
	}
	return acknowledged
}

// note takes in a line and reports whether it is an acknowledgement.
func (f fates) note(t *testing.T, line string) bool {
	t.Helper()
	var (
		word, id string
		version  uint64
	)
	if _, err := fmt.Sscan(line, &word, &id, &version); err != nil {
		t.Fatalf("the child printed %q: %v", line, err)
	}
	if f[id] == nil {
		f[id] = new(fate)
	}
	switch word {
	case "write":
		f[id].asked = version
	case "written":
		f[id].version = version
	case "end":
		f[id].askedToEnd = true
	case "ended":
		f[id].acknowledgeEnd = true
	}
	return word == "written" || word == "ended"
}

// check opens the file after a kill and compares it with what is known. What
// was undecided is decided by it.
func (f fates) check(t *testing.T, path string) {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	integrity(t, path)
	for _, id := range slices.Sorted(maps.Keys(f)) {
		known := f[id]
		parsed, err := store.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		var rec store.Record
		err = s.Load(t.Context(), parsed, &rec, store.Fresh)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if known.version != 0 && !known.askedToEnd {
				t.Errorf("session %s at version %d is gone", id, known.version)
			}
			known.askedToEnd, known.acknowledgeEnd = true, true // must not come back
		case err != nil:
			t.Fatal(err)
		case known.acknowledgeEnd:
			t.Errorf("session %s was ended and is back", id)
		case rec.Version != known.version && rec.Version != known.asked:
			t.Errorf("session %s is at version %d; acknowledged was %d, asked for %d", id, rec.Version, known.version, known.asked)
		case len(rec.Data) != int(rec.Version%5000):
			t.Errorf("session %s has %d bytes of data at version %d", id, len(rec.Data), rec.Version)
		default:
			known.version, known.asked, known.askedToEnd = rec.Version, rec.Version, false
		}
	}
}

// integrity has SQLite look through the whole file.
func integrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		t.Fatal(err)
	}
	if verdict != "ok" {
		t.Errorf("integrity_check: %s", verdict)
	}
}

// writeUntilKilled writes to the file, and prints each write before it asks
// for it and after it was acknowledged.
func writeUntilKilled(path string) error {
	s, err := sqlitestore.Open(context.Background(), path, nil)
	if err != nil {
		return err
	}
	failed := make(chan error)
	var printing sync.Mutex
	tell := func(word string, id store.ID, version uint64) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Println(word, id, version)
	}
	for range 8 {
		go func() {
			for {
				if err := liveAndDie(s, tell); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// liveAndDie has a session signed in, used, and at times ended.
func liveAndDie(s *sqlitestore.Store, tell func(word string, id store.ID, version uint64)) error {
	ctx := context.Background()
	now := store.Instant(time.Now())
	rec := newRecord(fmt.Sprint("user", rand.IntN(3)), now)
	terms := store.Terms{Began: now}
	rec.Data = make([]byte, rec.Version%5000)
	tell("write", rec.ID, rec.Version)
	if _, err := s.Create(ctx, rec, terms, now); err != nil {
		return err
	}
	tell("written", rec.ID, rec.Version)
	for range rand.IntN(3) {
		if err := s.Touch(ctx, rec.ID, now.Add(time.Second)); err != nil {
			return err
		}
		was := rec.Version
		rec.Version = rand.Uint64() | 1
		rec.Data = make([]byte, rec.Version%5000)
		tell("write", rec.ID, rec.Version)
		if err := s.Update(ctx, rec, was, now); err != nil {
			return err
		}
		tell("written", rec.ID, rec.Version)
	}
	if rand.IntN(2) == 0 {
		return nil
	}
	tell("end", rec.ID, 0)
	if _, err := s.Delete(ctx, rec.ID); err != nil {
		return err
	}
	tell("ended", rec.ID, 0)
	return nil
}
