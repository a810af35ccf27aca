package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	contract "github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// TestTheModelPredictsARealCluster replays one mix against the model and against
// six servers, and compares what the servers counted.
func TestTheModelPredictsARealCluster(t *testing.T) {
	primaries, address := startCluster(t)
	for _, c := range []struct {
		name string
		edit func(*mix)
	}{
		{"any node", func(*mix) {}},
		{"the session's node", func(m *mix) { m.Sticky = 0.9 }},
		{"few writes", func(m *mix) { m.Writes, m.Ends = 0.01, 0 }},
		{"too little room", func(m *mix) { m.CacheBytes, m.RecordBytes = 1<<20, 900 }},
		{"no copies", func(m *mix) { m.CacheBytes = 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mix{
				Nodes: 3, Sessions: 2000, Rate: 50, Skew: 1.2, Flat: 100, Writes: 0.05, Ends: 0.002,
				CacheBytes: 4 << 20, RecordBytes: 620, Throttle: time.Minute, Seed: 7,
			}
			c.edit(&m)
			const requests = 12_000
			want := m.replay(requests, newModel(m))
			got := m.replay(requests, newReal(t, m, primaries, address))
			t.Logf("hits %.1f %% predicted, %.1f %% found; round trips %.3f a request predicted, %.3f found",
				want.share(want.Hits)*100, got.share(got.Requests-got.Loads)*100, want.share(want.trips()), got.share(got.trips()))
			if off := math.Abs(float64(got.trips())/float64(want.trips()) - 1); off > 0.1 {
				t.Errorf("the prediction is %.0f %% off: %d round trips predicted, %d found", off*100, want.trips(), got.trips())
			}
		})
	}
}

// real replays a mix on a Cluster: a handle for each node.
type real struct {
	t         testing.TB
	nodes     []contract.Store
	primaries []string
	records   []contract.Record // of the sessions, as stored
	began     time.Time
	before    [2]int
	touches   int
	inScripts int // reads that scripts made
}

var prefixes int // one for each mix

func newReal(t testing.TB, m mix, primaries []string, address string) *real {
	t.Helper()
	prefixes++
	r := &real{t: t, primaries: primaries, began: time.Now(), records: make([]contract.Record, m.Sessions)}
	for range m.Nodes {
		size := m.CacheBytes
		if size == 0 {
			size = -1
		}
		s, err := redisstore.Open(t.Context(), address, &redisstore.Options{CacheBytes: size, Prefix: fmt.Sprint("cc", prefixes)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		r.nodes = append(r.nodes, s)
	}
	for i := range r.records {
		r.create(0, i, m.RecordBytes-46)
	}
	r.before = r.calls()
	return r
}

func (r *real) must(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) create(node, session, size int) {
	rec := contract.Record{
		Version: version(), Created: r.began, LastSeen: r.began, Idle: 24 * time.Hour, Absolute: r.began.Add(24 * time.Hour), Data: make([]byte, size),
	}
	rand.Read(rec.ID[:])
	rec.Created, rec.LastSeen, rec.Absolute = contract.Instant(rec.Created), contract.Instant(rec.LastSeen), contract.Instant(rec.Absolute)
	_, err := r.nodes[node].Create(context.Background(), rec, contract.Terms{}, rec.Created)
	r.must(err)
	r.records[session] = rec
}

func version() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}

func (r *real) read(node, session int) {
	var rec contract.Record
	r.must(r.nodes[node].Load(context.Background(), r.records[session].ID, &rec, contract.Cached))
}

func (r *real) touch(node, session int) {
	r.touches++ // each later than the one before, or it changes nothing
	r.must(r.nodes[node].Touch(context.Background(), r.records[session].ID, r.began.Add(time.Duration(r.touches)*time.Millisecond)))
}

func (r *real) change(node, session int) {
	r.inScripts++
	rec := &r.records[session]
	was := rec.Version
	rec.Version = version()
	r.must(r.nodes[node].Update(context.Background(), *rec, was, r.began))
}

func (r *real) replace(node, session int) {
	var rec contract.Record
	r.must(r.nodes[node].Load(context.Background(), r.records[session].ID, &rec, contract.Fresh))
	_, err := r.nodes[node].Delete(context.Background(), r.records[session].ID)
	r.must(err)
	r.create(node, session, len(r.records[session].Data))
}

func (r *real) counted() tally {
	now := r.calls()
	return tally{Loads: now[0] - r.before[0] - r.inScripts, Changes: now[1] - r.before[1]}
}

var callsOf = regexp.MustCompile(`cmdstat_(get|evalsha):calls=(\d+)`)

// calls are the reads and the scripts that the primaries have counted, reads by
// scripts included: that of an Update makes one.
func (r *real) calls() (calls [2]int) {
	for _, address := range r.primaries {
		out, err := exec.Command("redis-cli", "-u", "redis://"+address, "info", "commandstats").Output()
		r.must(err)
		for _, found := range callsOf.FindAllStringSubmatch(string(out), -1) {
			n, _ := strconv.Atoi(found[2])
			if found[1] == "get" {
				calls[0] += n
			} else {
				calls[1] += n
			}
		}
	}
	return calls
}

// startCluster starts three primaries with a replica each.
func startCluster(t testing.TB) (primaries []string, address string) {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("COATCHECK_REQUIRE_ALL") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	var all []string
	for range 6 {
		all = append(all, startServer(t))
	}
	made := exec.Command("redis-cli", append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, all...)...)
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "the Cluster is whole", func() bool {
		primaries = nil
		for _, a := range all {
			if info, _ := exec.Command("redis-cli", "-u", "redis://"+a, "cluster", "info").Output(); !strings.Contains(string(info), "cluster_state:ok") {
				return false
			}
			role, _ := exec.Command("redis-cli", "-u", "redis://"+a, "role").Output()
			if strings.HasPrefix(string(role), "master") {
				primaries = append(primaries, a)
			}
		}
		return len(primaries) == 3
	})
	return primaries, "redis-cluster://" + strings.Join(all, ",")
}

func startServer(t testing.TB) string {
	t.Helper()
	var port int
	until(t, "two ports are free", func() bool {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return false
		}
		defer l.Close()
		port = l.Addr().(*net.TCPAddr).Port
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10_000))
		if err != nil {
			return false
		}
		return bus.Close() == nil
	})
	c := exec.Command("redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "",
		"--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
	c.Stdout = io.Discard
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	until(t, "a server answers", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return address
}

func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in a minute it has not come about that %s", what)
		}
	}
}
