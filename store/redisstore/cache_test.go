package redisstore_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// newRecord is a session of the subject that begins now.
func newRecord(subject string) store.Record {
	now := store.Instant(time.Now())
	rec := store.Record{
		Version: newVersion(), Subject: subject, Created: now, LastSeen: now,
		Idle: 30 * time.Minute, Absolute: now.Add(12 * time.Hour),
		Head: make([]byte, 150), Data: make([]byte, 235),
	}
	_, _ = rand.Read(rec.ID[:]) // never fails
	if subject != "" {
		place := store.PlacementOf(subject)
		copy(rec.ID[:], place[:])
	}
	return rec
}

func newVersion() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

func create(t testing.TB, s store.Store, rec store.Record) store.Record {
	t.Helper()
	if _, err := s.Create(t.Context(), rec, store.Terms{}, rec.Created); err != nil {
		t.Fatal(err)
	}
	return rec
}

// cached loads a record from a copy or a server.
func cached(t testing.TB, s store.Store, id store.ID) (rec store.Record, err error) {
	t.Helper()
	err = s.Load(t.Context(), id, &rec, store.Cached)
	return rec, err
}

// gets is how many records the server has been asked for.
func gets(t testing.TB, s *server) int { return commandCalls(t, s)["get"] }

// warm loads a record until the store answers without asking the server.
func warm(t testing.TB, s *server, st store.Store, id store.ID) {
	t.Helper()
	eventually(t, "a record is answered from a copy", func() bool {
		before := gets(t, s)
		for range 3 {
			if _, err := cached(t, st, id); err != nil {
				t.Fatal(err)
			}
		}
		return gets(t, s) == before
	})
}

func TestReadsOfARecordUsedBeforeTakeNoRoundTrip(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	rec := create(t, st, newRecord("alice"))
	warm(t, s, st, rec.ID)
	before := gets(t, s)
	for range 100 {
		got, err := cached(t, st, rec.ID)
		if err != nil || got.Version != rec.Version {
			t.Fatalf("loaded version %d, %v; want %d", got.Version, err, rec.Version)
		}
	}
	// The store may have lost sight of the server for a moment on a busy machine.
	if n := gets(t, s) - before; n > 50 {
		t.Errorf("100 loads of a record used before asked the server %d times", n)
	}
	var fresh store.Record
	before = gets(t, s)
	for range 10 {
		if err := st.Load(t.Context(), rec.ID, &fresh, store.Fresh); err != nil {
			t.Fatal(err)
		}
	}
	if n := gets(t, s) - before; n < 10 {
		t.Errorf("10 fresh loads asked the server %d times", n)
	}
}

// The writer reads as fast as it can by others of the same store while it
// writes: what they fetched before the write must not stay.
func TestAWriteThatHasReturnedIsNeverAnsweredByAnOlderCopy(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	const rounds, readers = 300, 4
	rec := create(t, st, newRecord("alice"))
	var least atomic.Uint64 // the count in the last update that has returned
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var got store.Record
			for ctx.Err() == nil {
				want := least.Load()
				if err := st.Load(t.Context(), rec.ID, &got, store.Cached); err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				if n := binary.BigEndian.Uint64(got.Data); n < want {
					t.Errorf("after update %d had returned a load answered the data of update %d", want, n)
					return
				}
			}
		})
	}
	for n := uint64(1); n <= rounds && !t.Failed(); n++ {
		was := rec.Version
		rec.Version = newVersion()
		binary.BigEndian.PutUint64(rec.Data, n)
		if err := st.Update(t.Context(), rec, was, rec.LastSeen); err != nil {
			t.Fatal(err)
		}
		least.Store(n)
		if n%3 == 0 {
			time.Sleep(200 * time.Microsecond) // let the readers keep a copy
		}
	}
	stop()
	all.Wait()
	ended, err := st.Delete(t.Context(), rec.ID)
	if err != nil || len(ended) != 1 {
		t.Fatalf("Delete: %v, %v", ended, err)
	}
	if _, err := cached(t, st, rec.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load after Delete has returned: %v, want ErrNotFound", err)
	}
}

// A write whose answer is lost has happened, for all that is known: nothing
// that it may have ended is answered from a copy.
func TestAWriteWithoutAnAnswerLeavesNoOlderCopy(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, write := range map[string]func(context.Context, store.Store, store.Record) error{
		"create at the limit": func(ctx context.Context, st store.Store, rec store.Record) error {
			_, err := st.Create(ctx, newRecord(rec.Subject), store.Terms{Max: 1}, rec.Created)
			return err
		},
		"delete": func(ctx context.Context, st store.Store, rec store.Record) error {
			_, err := st.Delete(ctx, rec.ID)
			return err
		},
		"delete subject": func(ctx context.Context, st store.Store, rec store.Record) error {
			_, err := st.DeleteSubject(ctx, rec.Subject, rec.Created)
			return err
		},
	} {
		p := startProxy(t, s.address)
		st := open(t, "redis://"+p.address(), &redisstore.Options{MaxStale: 2 * time.Second})
		rec := create(t, st, newRecord(name))
		warm(t, s, st, rec.ID)
		p.silent.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := write(ctx, st, rec)
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		copied := st.Load(ctx, rec.ID, new(store.Record), store.Cached)
		cancel()
		if err == nil {
			t.Errorf("%s was answered", name)
		}
		if copied == nil {
			t.Errorf("after a %s without an answer the session that it has ended is answered from a copy", name)
		}
	}
}

// proxy forwards connections to a server until it is told to swallow all, or
// all answers.
type proxy struct {
	listener net.Listener
	to       string
	hole     atomic.Bool
	silent   atomic.Bool
	mu       sync.Mutex
	conns    []net.Conn
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to}
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.cut()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		go p.forward(in, out, &p.silent)
		go p.forward(out, in, &p.hole)
	}
}

// forward copies until a side closes. What goes into a hole it goes on reading,
// so that nobody notices.
func (p *proxy) forward(to io.WriteCloser, from io.Reader, alsoHole *atomic.Bool) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.hole.Load() || alsoHole.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// refusedWithin measures how long after the end of a session another node
// still answers from its copy.
func refusedWithin(t *testing.T, b store.Store, id store.ID, ended time.Time) time.Duration {
	t.Helper()
	for {
		asked := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		var rec store.Record
		err := b.Load(ctx, id, &rec, store.Cached)
		cancel()
		if err != nil {
			return asked.Sub(ended)
		}
		if asked.Sub(ended) > 30*time.Second {
			t.Fatal("30 s after its end a session is still answered from a copy")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestASessionEndedElsewhereIsRefusedWithinTheBound(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := open(t, "redis://"+s.address, nil)
	p := startProxy(t, s.address)
	b := open(t, "redis://"+p.address(), nil)
	for _, healthy := range []bool{true, false} {
		rec := create(t, a, newRecord("alice"))
		warm(t, s, b, rec.ID)
		p.hole.Store(!healthy)
		if _, err := a.Delete(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
		took := refusedWithin(t, b, rec.ID, time.Now())
		t.Logf("connection healthy: %v: refused after %v", healthy, took)
		// The question that finds no copy begins within the bound.
		if most := time.Second + 100*time.Millisecond; took > most {
			t.Errorf("connection healthy: %v: the other node answered for %v after the end, want at most %v", healthy, took, most)
		}
	}
	p.hole.Store(false)
	p.cut()
	eventually(t, "the store works again after its connection did", func() bool {
		_, err := b.Create(t.Context(), newRecord("bob"), store.Terms{}, time.Now())
		return err == nil
	})
}

// Whatever was read over a connection that is lost is read again.
func TestCopiesEndWithTheConnectionThatTellsOfChanges(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := open(t, "redis://"+s.address, nil)
	p := startProxy(t, s.address)
	b := open(t, "redis://"+p.address(), nil)
	for range 4 {
		rec := create(t, a, newRecord("alice"))
		warm(t, s, b, rec.ID)
		p.cut()
		if _, err := a.Delete(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
		if took := refusedWithin(t, b, rec.ID, time.Now()); took > time.Second+100*time.Millisecond {
			t.Errorf("refused %v after the end", took)
		}
		eventually(t, "the store works again", func() bool {
			_, err := b.List(t.Context(), "alice", time.Now())
			return err == nil
		})
	}
}

func TestAWatcherIsToldOfAChangeThatHappensWhileTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := open(t, "redis://"+s.address, nil)
	p := startProxy(t, s.address)
	b := open(t, "redis://"+p.address(), &redisstore.Options{MaxStale: stale})
	rec := create(t, a, newRecord("alice"))
	told := make(chan struct{}, 1)
	stop := b.Watch(rec.ID, func() {
		var now store.Record
		if errors.Is(b.Load(t.Context(), rec.ID, &now, store.Fresh), store.ErrNotFound) {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	warm(t, s, b, rec.ID)
	p.hole.Store(true)
	if _, err := a.Delete(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	p.hole.Store(false)
	p.cut()
	select {
	case <-told:
	case <-time.After(60 * time.Second):
		t.Error("nobody told a watcher of a change that came while the connection was lost")
	}
}
