package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// load is sessions that are created, updated and ended, and what is known of
// each: what was acknowledged must hold.
type load struct {
	t    *testing.T
	s    store.Store
	stop chan struct{}
	all  sync.WaitGroup

	mu   sync.Mutex
	kept []*kept
}

type kept struct {
	rec     store.Record
	acked   time.Time         // when the last write was acknowledged that was
	version uint64            // of that; 0: none was, it may not exist
	maybe   map[uint64]uint64 // versions of later writes whose outcome is unknown, and their counts
	count   uint64            // in the data of the acknowledged version
	ended   time.Time         // when its end was acknowledged
	ending  bool              // an end was tried
}

// startLoad lets workers create, update and end sessions until the load ends.
func startLoad(t *testing.T, s store.Store, workers int) *load {
	l := &load{t: t, s: s, stop: make(chan struct{})}
	for i := range workers {
		l.all.Go(func() { l.work(i) })
	}
	return l
}

// end stops the load and waits for what is under way.
func (l *load) end() []*kept {
	close(l.stop)
	l.all.Wait()
	return l.kept
}

func (l *load) work(worker int) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		subject := ""
		if n%2 == 0 {
			subject = fmt.Sprintf("user %d of %d", n%20, worker)
		}
		k := &kept{rec: newRecord(subject), maybe: map[uint64]uint64{}}
		l.mu.Lock()
		l.kept = append(l.kept, k)
		l.mu.Unlock()
		if l.write(k, func(ctx context.Context) error {
			_, err := l.s.Create(ctx, k.rec, store.Terms{Max: 1000}, k.rec.Created)
			return err
		}) != nil {
			continue
		}
		for range 3 {
			l.update(k)
		}
		if n%4 == 1 {
			l.finish(k)
		}
	}
}

// write does what stores the record, and notes how it went.
func (l *load) write(k *kept, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := do(ctx)
	switch {
	case err == nil:
		k.acked, k.version, k.count = time.Now(), k.rec.Version, counted(k.rec)
		clear(k.maybe)
	case !named(err):
		k.maybe[k.rec.Version] = counted(k.rec)
	}
	return err
}

func counted(rec store.Record) uint64 { return binary.BigEndian.Uint64(rec.Data) }

// update counts one up in the record as it is stored.
func (l *load) update(k *kept) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var now store.Record
	if err := l.s.Load(ctx, k.rec.ID, &now, store.Cached); err != nil {
		return
	}
	was := now.Version
	now.Version = newVersion()
	binary.BigEndian.PutUint64(now.Data, counted(now)+1)
	k.rec = now
	_ = l.write(k, func(ctx context.Context) error { return l.s.Update(ctx, now, was, now.LastSeen) }) // noted
}

func (l *load) finish(k *kept) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	k.ending = true
	if _, err := l.s.Delete(ctx, k.rec.ID); err == nil {
		k.ended = time.Now()
	}
}

// broken counts what was acknowledged and does not hold: writes that are lost,
// and ends that are undone. Only what was acknowledged outside of a span of
// time counts, in which an acknowledgement was no promise.
func (l *load) broken(s store.Store, from, to time.Time) (lost, undone int) {
	outside := func(at time.Time) bool { return !at.IsZero() && (at.Before(from) || at.After(to)) }
	for _, k := range l.kept {
		var now store.Record
		err := s.Load(l.t.Context(), k.rec.ID, &now, store.Fresh)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			l.t.Fatal(err)
		}
		_, unknown := k.maybe[now.Version]
		switch {
		case err == nil && outside(k.ended):
			undone++
		case err != nil && !k.ending && outside(k.acked):
			lost++
		case err == nil && outside(k.acked) && now.Version != k.version && !unknown:
			lost++
		}
	}
	return lost, undone
}

// indexed fails unless every subject's list names exactly its records.
func (l *load) indexed(s store.Store) {
	l.t.Helper()
	bySubject := map[string][]store.ID{}
	for rec, err := range s.All(l.t.Context()) {
		if err != nil {
			l.t.Fatal(err)
		}
		if rec.Subject != "" {
			bySubject[rec.Subject] = append(bySubject[rec.Subject], rec.ID)
		}
	}
	for subject, ids := range bySubject {
		listed, err := s.List(l.t.Context(), subject, time.Now())
		if err != nil {
			l.t.Fatal(err)
		}
		if len(listed) != len(ids) {
			l.t.Errorf("subject %q has %d records, its index %d", subject, len(ids), len(listed))
		}
		for _, rec := range listed {
			if !slices.Contains(ids, rec.ID) {
				l.t.Errorf("the index of %q names %v, which All does not yield", subject, rec.ID)
			}
		}
	}
}

// withReplica returns a primary that a replica follows, and that.
func (c *cluster) withReplica(t testing.TB) (primary, replica *server) {
	t.Helper()
	for _, p := range c.servers {
		if !p.alive() || p.role(t) != "master" {
			continue
		}
		for _, r := range c.servers {
			if r.alive() && strings.HasPrefix(r.cli(t, "role"), "slave\n127.0.0.1\n"+p.port+"\n") {
				return p, r
			}
		}
	}
	t.Fatal("no primary has a replica")
	return nil, nil
}

// The replica is stopped while more is written than fits on the way to it: what
// was acknowledged without it is lost. This shows that the test before this one
// would find a loss.
func (c *cluster) losesWhatNoReplicaHas(t *testing.T) {
	if testing.Short() {
		return // takes a quarter of a minute
	}
	primary, replica := c.withReplica(t)
	alone, confirmed := open(t, c.address, nil), open(t, c.address, &redisstore.Options{MinReplicas: 1})
	var ids []store.ID // in the primary's slots
	plain := client(t, rueidis.ClientOption{InitAddress: []string{primary.address}, ForceSingleClient: true})
	for len(ids) < 400 {
		id := newRecord("").ID
		if plain.Do(t.Context(), plain.B().Get().Key(fmt.Sprintf("cc:{%x}", id[:2])).Build()).Error() == rueidis.Nil {
			ids = append(ids, id)
		}
	}
	if err := halt(replica.process.Process); err != nil {
		t.Fatal(err)
	}
	write := func(s store.Store, id store.ID) error {
		rec := newRecord("")
		rec.ID, rec.Data = id, make([]byte, 64<<10)
		_, err := s.Create(t.Context(), rec, store.Terms{}, rec.Created)
		return err
	}
	for _, id := range ids[:399] {
		if err := write(alone, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(confirmed, ids[399]); err == nil || named(err) {
		t.Errorf("Create that the replica cannot confirm: %v; want an error that says that the outcome is unknown", err)
	}
	primary.kill()
	if err := goOn(replica.process.Process); err != nil {
		t.Fatal(err)
	}
	c.promoted(t)
	lost := 0
	for _, id := range ids[:399] {
		if err := alone.Load(t.Context(), id, new(store.Record), store.Fresh); errors.Is(err, store.ErrNotFound) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 399 writes that were acknowledged without the replica are lost", lost)
	if lost == 0 {
		t.Error("nothing is lost of what no replica had: the test of failovers would find no loss")
	}
}

// promoted waits until primaries that were killed have successors.
func (c *cluster) promoted(t testing.TB) {
	t.Helper()
	eventually(t, "a replica has taken over", func() bool {
		primaries := 0
		for _, s := range c.servers {
			if s.alive() && s.role(t) == "master" && strings.Contains(s.cli(t, "cluster", "info"), "cluster_state:ok") {
				primaries++
			}
		}
		return primaries == 3
	})
}

func (c *cluster) primary(t testing.TB) *server {
	t.Helper()
	for _, s := range c.servers {
		if s.alive() && s.role(t) == "master" {
			return s
		}
	}
	t.Fatal("the Cluster has no primary")
	return nil
}

// recovered waits until the store can write to every part of the Cluster.
func recovered(t testing.TB, s store.Store) {
	t.Helper()
	eventually(t, "sessions can be created everywhere", func() bool {
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			rec := newRecord("")
			_, err := s.Create(ctx, rec, store.Terms{}, rec.Created)
			cancel()
			if err != nil {
				return false
			}
		}
		return true
	})
}

func TestAFailoverLosesAtMostTheLastMoments(t *testing.T) {
	if testing.Short() {
		return // takes a quarter of a minute
	}
	c := startCluster(t)
	s := open(t, c.address, nil)
	l := startLoad(t, s, 6)
	time.Sleep(4 * time.Second)
	victim := c.primary(t)
	killed := time.Now()
	victim.kill()
	c.promoted(t)
	recovered(t, s)
	back := time.Now()
	time.Sleep(2 * time.Second)
	l.end()
	// The ends of the last minute are told again to the new primary.
	eventually(t, "no end is undone", func() bool {
		_, undone := l.broken(s, time.Time{}, time.Time{})
		return undone == 0
	})
	lost, _ := l.broken(s, killed.Add(-time.Second), back)
	everLost, _ := l.broken(s, time.Time{}, time.Time{})
	t.Logf("of %d sessions %d lost an acknowledged write", len(l.kept), everLost)
	if lost > 0 {
		t.Errorf("%d sessions lost a write that was acknowledged a second before the primary died, or after the failover", lost)
	}
	l.indexed(s)
}

func (c *cluster) losesNothingInAFailover(t *testing.T) {
	if testing.Short() {
		return // takes a quarter of a minute
	}
	s := open(t, c.address, &redisstore.Options{MinReplicas: 1})
	l := startLoad(t, s, 6)
	time.Sleep(3 * time.Second)
	victim := c.primary(t)
	victim.kill()
	c.promoted(t)
	l.end()
	other := open(t, c.address, nil) // one that ends nothing again
	lost, undone := l.broken(other, time.Time{}, time.Time{})
	t.Logf("%d sessions", len(l.kept))
	if lost+undone > 0 || len(l.kept) < 100 {
		t.Errorf("of %d sessions %d lost an acknowledged write, and %d live on after an acknowledged end", len(l.kept), lost, undone)
	}
	l.indexed(other)
}

func (c *cluster) losesNothingWhileSlotsMove(t *testing.T) {
	if testing.Short() {
		return // takes a quarter of a minute
	}
	s := open(t, c.address, nil)
	var residents []store.ID
	for i := range 600 {
		subject := ""
		if i%2 == 0 {
			subject = fmt.Sprint("resident ", i)
		}
		residents = append(residents, create(t, s, newRecord(subject)).ID)
	}
	l := startLoad(t, s, 4)
	from := c.primary(t)
	moved := make(chan error, 1)
	var to string
	for _, other := range c.servers {
		if other != from && other.role(t) == "master" {
			to = other.cli(t, "cluster", "myid")
		}
	}
	id := from.cli(t, "cluster", "myid")
	reshard := exec.Command(program(t, "redis-cli"), "--cluster", "reshard", from.address, "--cluster-from", id, "--cluster-to", to,
		"--cluster-slots", "1500", "--cluster-yes")
	go func() {
		out, err := reshard.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		moved <- err
	}()
	walks := 0
	for done := false; !done; walks++ {
		yielded := map[store.ID]int{}
		for rec, err := range s.All(t.Context()) {
			if err != nil {
				t.Fatalf("All while slots move: %v", err)
			}
			yielded[rec.ID]++
		}
		for id, n := range yielded {
			if n != 1 {
				t.Errorf("All yielded %v %d times", id, n)
			}
		}
		for _, id := range residents {
			if yielded[id] == 0 {
				t.Errorf("All missed %v, which was there throughout", id)
			}
		}
		select {
		case err := <-moved:
			if err != nil {
				t.Fatalf("moving slots: %v", err)
			}
			done = true
		default:
		}
	}
	l.end()
	lost, undone := l.broken(s, time.Time{}, time.Time{})
	t.Logf("%d sessions, walked over %d times", len(l.kept), walks)
	if lost+undone > 0 {
		t.Errorf("of %d sessions %d lost an acknowledged write, and %d live on after an acknowledged end", len(l.kept), lost, undone)
	}
	l.indexed(s)
}

// A server that comes back with an old snapshot has forgotten what it had
// acknowledged.
func TestWhatWasEndedIsEndedAgainOnAServerThatForgot(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	first, second := create(t, st, newRecord("alice")), create(t, st, newRecord("bob"))
	s.cli(t, "save")
	if _, err := st.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := st.DeleteSubject(t.Context(), "bob", time.Now()); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s.run(t)
	if n := s.cli(t, "exists", fmt.Sprintf("cc:{%x}r%x", first.ID[:2], first.ID[2:])); n != "1" {
		t.Fatalf("the server has not come back with the old snapshot: %s", n)
	}
	for _, rec := range []store.Record{first, second} {
		eventually(t, "a session that was ended is ended again", func() bool {
			return errors.Is(st.Load(t.Context(), rec.ID, new(store.Record), store.Fresh), store.ErrNotFound)
		})
	}
	late := newRecord("bob")
	eventually(t, "a sign-in that began before all were ended is refused again", func() bool {
		_, err := st.Create(t.Context(), late, store.Terms{Began: time.Now().Add(-time.Minute)}, time.Now())
		if err == nil {
			t.Fatal("a sign-in was accepted that began before all of the subject's sessions were ended")
		}
		return errors.Is(err, store.ErrSubjectEnded)
	})
}

func TestWithAOFAlwaysADyingServerLosesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "--appendonly", "yes", "--appendfsync", "always")
	st := open(t, "redis://"+s.address, nil)
	l := startLoad(t, st, 4)
	time.Sleep(500 * time.Millisecond)
	s.kill()
	s.run(t)
	recovered(t, st)
	l.end()
	if lost, undone := l.broken(st, time.Time{}, time.Time{}); lost+undone > 0 {
		t.Errorf("of %d sessions %d lost an acknowledged write, and %d live on after an acknowledged end", len(l.kept), lost, undone)
	}
	l.indexed(st)
}

// A server that was started anew goes on with a walk at another place.
func TestAWalkMissesNothingWhenTheServerIsStartedAnewMeanwhile(t *testing.T) {
	t.Parallel()
	s := start(t, "--appendonly", "yes")
	st := open(t, "redis://"+s.address, nil)
	const n = 6000
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range n / 20 {
				rec := newRecord("")
				if _, err := st.Create(t.Context(), rec, store.Terms{}, rec.Created); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	yielded := map[store.ID]int{}
	for rec, err := range st.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		yielded[rec.ID]++
		if yielded[rec.ID] > 1 {
			t.Errorf("All yielded %v twice", rec.ID)
		}
		if len(yielded) == n/4 {
			s.kill()
			s.run(t)
			eventually(t, "the server has read its log", func() bool { return s.cli(t, "ping") == "PONG" })
		}
	}
	if len(yielded) != n {
		t.Errorf("All yielded %d of %d sessions, and no error", len(yielded), n)
	}
}

// Of two marks of a subject the later counts, whichever was left last.
func TestAServerThatForgotIsToldTheLaterMark(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-time.Minute)} {
		if _, err := st.DeleteSubject(t.Context(), "alice", at); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	s.run(t)
	place := store.PlacementOf("alice")
	eventually(t, "the server knows a mark again", func() bool {
		_, _ = st.List(t.Context(), "alice", now) // a connection that is lost is made anew when it is needed
		return s.cli(t, "exists", fmt.Sprintf("cc:{%x}malice", place[:])) == "1"
	})
	rec := newRecord("alice")
	if _, err := st.Create(t.Context(), rec, store.Terms{Began: now.Add(-30 * time.Second)}, now); !errors.Is(err, store.ErrSubjectEnded) {
		t.Errorf("a sign-in that began before the later mark: %v, want ErrSubjectEnded", err)
	}
}
