package sqlitestore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// A promise is what has been acknowledged of one session. Whoever reads it
// before he asks the store must be answered with that or more.
type promise struct {
	rec     store.Record
	version atomic.Uint64 // grows with each update
	seen    atomic.Int64  // microseconds
	ended   atomic.Bool
}

// No answer is older than what was acknowledged before the question, by the
// cache, by the database, while the one is filled from the other, while
// records are pushed out of it, and while touches move to the file.
func TestAnswersAreNeverOutOfDate(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	// 32 shards of 4 KiB, so that a few records push each other out.
	s := open(t, newFile(t), &sqlitestore.Options{CacheBytes: 128 << 10})
	var sessions [24]*promise
	for i := range sessions {
		p := &promise{rec: newRecord("alice", now)}
		p.rec.ID[15] = byte(i % 2) // two shards
		p.rec.Version, p.rec.Data = 1, make([]byte, 500)
		p.version.Store(1)
		if _, err := s.Create(t.Context(), p.rec, store.Terms{}, now); err != nil {
			t.Fatal(err)
		}
		sessions[i] = p
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	for i, p := range sessions {
		wait.Go(func() { p.use(ctx, t, s, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(100+i)))
		wait.Go(func() {
			for range 3000 {
				judge(t, s, sessions[:], random.IntN(len(sessions)), random.IntN(2) == 0)
				if random.IntN(50) == 0 {
					if _, _, err := s.Sweep(t.Context(), now, 10); err != nil { // writes the touches
						t.Error(err)
					}
				}
			}
			cancel()
		})
	}
	wait.Wait()
}

// use updates and touches a session, and in the end may end it.
func (p *promise) use(ctx context.Context, t *testing.T, s *sqlitestore.Store, random *rand.Rand) {
	rec := p.rec
	seen := now.UnixMicro()
	for n := 0; ctx.Err() == nil; n++ {
		if random.IntN(3) > 0 {
			seen++
			if err := s.Touch(context.Background(), rec.ID, time.UnixMicro(seen)); err != nil {
				t.Error(err)
				return
			}
			p.seen.Store(seen)
			continue
		}
		was := rec.Version
		rec.Version++
		binary.LittleEndian.PutUint64(rec.Data, rec.Version)
		if err := s.Update(context.Background(), rec, was, now); err != nil {
			t.Error(err)
			return
		}
		p.version.Store(rec.Version)
		if n > 100 && random.IntN(50) == 0 {
			if ended, err := s.Delete(context.Background(), rec.ID); err != nil || len(ended) != 1 {
				t.Error(ended, err)
			}
			p.ended.Store(true)
			return
		}
	}
}

// judge asks for a session, by List or Load, and judges the answer; and then
// by Load, whose answer must not be older than the first.
func judge(t *testing.T, s *sqlitestore.Store, sessions []*promise, i int, list bool) {
	p := sessions[i]
	version, seen, ended := p.version.Load(), p.seen.Load(), p.ended.Load()
	for range 2 {
		var rec store.Record
		var err error
		if list {
			rec, err = find(t, s, p.rec.ID)
		} else {
			err = s.Load(t.Context(), p.rec.ID, &rec, store.Cached)
		}
		switch {
		case errors.Is(err, store.ErrNotFound):
			ended = true // also for the second look
		case err != nil:
			t.Error(err)
		case ended:
			t.Errorf("an ended session is there, by List: %v", list)
		case rec.Version < version:
			t.Errorf("version %d is out of date, %d was there before; by List: %v", rec.Version, version, list)
		case rec.LastSeen.UnixMicro() < seen:
			t.Errorf("last seen %d is out of date, %d was there before; by List: %v", rec.LastSeen.UnixMicro(), seen, list)
		case !list && binary.LittleEndian.Uint64(rec.Data) != rec.Version && rec.Version > 1:
			t.Errorf("version %d has the data of %d", rec.Version, binary.LittleEndian.Uint64(rec.Data))
		default:
			version, seen = rec.Version, rec.LastSeen.UnixMicro()
		}
		list = false
	}
}

func find(t *testing.T, s *sqlitestore.Store, id store.ID) (store.Record, error) {
	all, err := s.List(t.Context(), "alice", now)
	for _, rec := range all {
		if rec.ID == id {
			return rec, err
		}
	}
	return store.Record{}, errors.Join(err, store.ErrNotFound)
}

// stored is when the file alone says that a session was last seen.
func stored(t *testing.T, path string, rec store.Record) time.Time {
	t.Helper()
	copied := path + "-copy"
	vacuumInto(t, path, copied)
	s := open(t, copied, &sqlitestore.Options{NoSocket: true})
	var got store.Record
	if err := s.Load(t.Context(), rec.ID, &got, store.Fresh); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	remove(t, copied)
	return got.LastSeen
}

// A touch is in the file a moment later, by itself, and at once by Sweep and by
// Close.
func TestTouchesReachTheFile(t *testing.T) {
	t.Parallel()
	touched := now.Add(time.Minute)
	tests := map[string]func(t *testing.T, s *sqlitestore.Store){
		"by itself": func(t *testing.T, s *sqlitestore.Store) {
			eventually(t, "the touch is written", func() bool { return s.Unwritten() == 0 })
		},
		"by another write": func(t *testing.T, s *sqlitestore.Store) { create(t, s, "bob") },
		"by Sweep": func(t *testing.T, s *sqlitestore.Store) {
			if _, _, err := s.Sweep(t.Context(), now, 1); err != nil {
				t.Fatal(err)
			}
		},
		"by Close": func(t *testing.T, s *sqlitestore.Store) { mustClose(t, s) },
	}
	for name, write := range tests {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			s := open(t, path, nil)
			rec := create(t, s, "alice")
			if err := s.Touch(t.Context(), rec.ID, touched); err != nil {
				t.Fatal(err)
			}
			write(t, s)
			if seen := stored(t, path, rec); !seen.Equal(touched) {
				t.Errorf("last seen in the file is %v, want %v", seen, touched)
			}
		})
	}
}

// Sweep writes every touch, not only those that ride along with other writes.
func TestSweepWritesAllTouches(t *testing.T) {
	s := open(t, newFile(t), nil)
	records := make([]store.Record, 200) // created first, as each creation takes touches along
	for i := range records {
		records[i] = create(t, s, "alice")
	}
	for _, rec := range records {
		if err := s.Touch(t.Context(), rec.ID, now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Sweep(t.Context(), now, 1); err != nil {
		t.Fatal(err)
	}
	if n := s.Unwritten(); n != 0 {
		t.Errorf("%d touches are still in memory", n)
	}
}

// Touches that the file does not have yet count wherever a session's times do.
func TestUnwrittenTouchesCount(t *testing.T) {
	s := open(t, newFile(t), nil)
	touched := now.Add(29 * time.Minute) // idle is 30
	later := now.Add(50 * time.Minute)
	rec, other := create(t, s, "alice"), newRecord("alice", now.Add(5*time.Minute))
	if _, err := s.Create(t.Context(), other, store.Terms{}, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Touch(t.Context(), rec.ID, touched); err != nil {
		t.Fatal(err)
	}
	if live, err := s.List(t.Context(), "alice", later); err != nil || len(live) != 1 || !live[0].LastSeen.Equal(touched) {
		t.Errorf("List has %v (%v), want the one that was touched", live, err)
	}
	for got, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got.ID == rec.ID && !got.LastSeen.Equal(touched) {
			t.Errorf("All has it last seen at %v, want %v", got.LastSeen, touched)
		}
	}
	evicted, err := s.Create(t.Context(), newRecord("alice", now), store.Terms{Max: 2}, now)
	if err != nil || len(evicted) != 1 || evicted[0] != other.ID {
		t.Errorf("Create at the limit ended %v (%v), want the one that was not touched", evicted, err)
	}
	if err := s.Touch(t.Context(), rec.ID, touched.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), rec, rec.Version, touched.Add(30*time.Minute+30*time.Second)); err != nil {
		t.Errorf("Update of a session that lives by its touch: %v", err)
	}
	if _, _, err := s.Sweep(t.Context(), now.Add(36*time.Minute), 10); err != nil {
		t.Fatal(err)
	}
	mustHave(t, s, rec)
}

// A round that may not remove anything is finished.
func TestSweepOfNothingIsFinished(t *testing.T) {
	s := open(t, newFile(t), nil)
	if n, more, err := s.Sweep(t.Context(), now, 0); n != 0 || more || err != nil {
		t.Errorf("Sweep with a limit of 0: %d removed, more: %v, %v", n, more, err)
	}
}

// What could not be written at first, and was written later by another write,
// is no error of Close.
func TestCloseForgetsAFailureThatIsOver(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path, nil)
	rec := create(t, s, "alice")
	runSQL(t, path, "CREATE TRIGGER failing BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'it fails'); END")
	if err := s.Touch(t.Context(), rec.ID, now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // it is tried after one second
	if s.Unwritten() != 1 {
		t.Fatal("the touch was written by itself")
	}
	runSQL(t, path, "DROP TRIGGER failing")
	if _, _, err := s.Sweep(t.Context(), now, 1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

// A call whose context ends returns, although the writer is held up; what the
// writer had not begun does not happen.
func TestContextEndsAWaitForTheWriter(t *testing.T) {
	s := open(t, newFile(t), nil)
	release := s.HoldWriter()
	ctx, cancel := context.WithCancel(t.Context())
	rec := newRecord("alice", now)
	result := make(chan error)
	go func() {
		_, err := s.Create(ctx, rec, store.Terms{}, now)
		result <- err
	}()
	eventually(t, "the write waits", func() bool { return s.Waiting() == 1 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Create given up: %v, want context.Canceled", err)
	}
	release()
	create(t, s, "bob") // behind the other
	if err := s.Load(t.Context(), rec.ID, &rec, store.Fresh); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was given up before it began has happened: %v", err)
	}
}

// What a call returns when its context has ended is its own: the writer, which
// may do it later, does not set it.
func TestContextEndsWhileTheWriterIsAtWork(t *testing.T) {
	s := open(t, newFile(t), nil)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 200 {
				id := create(t, s, "alice").ID
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+2*i)*time.Microsecond)
				if ended, err := s.Delete(ctx, id); err != nil && ended != nil {
					t.Errorf("Delete returned %v with the error %v", ended, err)
				}
				if n, more, err := s.Sweep(ctx, now, 1); err != nil && (n != 0 || more) {
					t.Errorf("Sweep returned %d and %v with the error %v", n, more, err)
				}
				cancel()
			}
		})
	}
	wait.Wait()
}

// A call whose context ends returns while Close waits for the writer, too.
func TestContextEndsAWaitForClose(t *testing.T) {
	s := open(t, newFile(t), nil)
	rec := create(t, s, "alice")
	release := s.HoldWriter()
	var wait sync.WaitGroup
	for range 300 { // more than there is room for
		wait.Go(func() { _, _ = s.Delete(context.Background(), store.ID{}) })
	}
	eventually(t, "the queue is full", func() bool { return s.Waiting() == 256 })
	time.Sleep(20 * time.Millisecond) // the others wait for room
	wait.Go(func() { _ = s.Close() })
	time.Sleep(20 * time.Millisecond) // Close waits for them
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	touched := make(chan struct{})
	go func() {
		defer close(touched)
		_ = s.Touch(ctx, rec.ID, now.Add(time.Second))
	}()
	select {
	case <-touched:
	case <-time.After(2 * time.Second):
		t.Error("Touch waits long after its context has ended")
	}
	release()
	wait.Wait()
}

// Close lets what is in flight finish: what it acknowledges is in the file, and
// what it refuses is not.
func TestCloseWaitsForWhatIsInFlight(t *testing.T) {
	path := newFile(t)
	s := open(t, path, nil)
	var records [64]store.Record
	var results [64]error
	var wait sync.WaitGroup
	release := s.HoldWriter()
	for i := range records {
		wait.Go(func() {
			records[i] = newRecord("alice", now)
			_, results[i] = s.Create(t.Context(), records[i], store.Terms{}, now)
		})
	}
	eventually(t, "some writes wait", func() bool { return s.Waiting() > 8 })
	time.AfterFunc(time.Millisecond, release)
	mustClose(t, s)
	wait.Wait()
	s = open(t, path, noWait)
	acknowledged := 0
	for i, rec := range records {
		err := s.Load(t.Context(), rec.ID, &rec, store.Fresh)
		switch {
		case results[i] == nil && err != nil:
			t.Errorf("an acknowledged session: %v", err)
		case results[i] == nil:
			acknowledged++
		case !errors.Is(results[i], sqlitestore.ErrClosed):
			t.Error(results[i])
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("a refused session: %v", err)
		}
	}
	if acknowledged < 8 {
		t.Errorf("%d were acknowledged of those that were in flight", acknowledged)
	}
}
