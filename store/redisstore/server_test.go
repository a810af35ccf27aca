package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// server is a redis-server process of a test.
type server struct {
	address string
	port    string
	dir     string
	args    []string
	process *exec.Cmd
	exited  chan struct{}
}

// program finds one of Redis's programs.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		const reason = "%s is not installed; Debian has it in the package redis-server"
		if os.Getenv("COATCHECK_REQUIRE_ALL") == "1" {
			t.Fatalf(reason, name)
		}
		t.Skipf(reason, name)
	}
	return path
}

// freePort returns a port on which nobody listens, nor on the one 10,000 above
// it, where the servers of a Cluster speak to each other.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port+10_000 > 65_535 {
			port -= 20_000
		}
		free := true
		for _, p := range []int{port, port + 10_000} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts a server that keeps nothing on disk, unless args say so.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{port: freePort(t), dir: t.TempDir(), args: args}
	s.address = "127.0.0.1:" + s.port
	s.run(t)
	return s
}

// run starts the process and waits until it answers.
func (s *server) run(t testing.TB) {
	t.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--logfile", filepath.Join(s.dir, "log"), "--daemonize", "no"}, s.args...)
	s.launch(t, program(t, "redis-server"), args...)
}

func (s *server) launch(t testing.TB, path string, args ...string) {
	t.Helper()
	s.process = exec.Command(path, args...)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	exited, process := make(chan struct{}), s.process
	s.exited = exited
	go func() {
		_ = process.Wait() // killed, mostly
		close(exited)
	}()
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended
		<-exited
	})
	eventually(t, "the server answers", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// kill ends the process at once.
func (s *server) kill() {
	_ = s.process.Process.Kill() // it may have ended
	<-s.exited
}

// alive reports whether the process has not ended.
func (s *server) alive() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 60 s it has not come about that %s", what)
		}
	}
}

// cli runs redis-cli against the server and returns what it prints.
func (s *server) cli(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, "redis-cli"), append([]string{"-h", "127.0.0.1", "-p", s.port}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// cluster is three primaries, each with a replica.
type cluster struct {
	servers []*server
	address string // as Open takes it
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{}
	var hosts []string
	for range 6 {
		s := start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--repl-ping-replica-period", "1",
			"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
		c.servers, hosts = append(c.servers, s), append(hosts, s.address)
	}
	c.address = "redis-cluster://" + strings.Join(hosts, ",")
	c.servers[0].cli(t, append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, hosts...)...)
	eventually(t, "the Cluster is whole", func() bool {
		for _, s := range c.servers {
			info := s.cli(t, "cluster", "info")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:6") {
				return false
			}
			if s.role(t) == "slave" && !strings.Contains(s.cli(t, "info", "replication"), "master_link_status:up") {
				return false
			}
		}
		return true
	})
	return c
}

func (s *server) role(t testing.TB) string {
	t.Helper()
	return strings.Split(s.cli(t, "role"), "\n")[0]
}

// flush empties the Cluster.
func (c *cluster) flush(t testing.TB) {
	t.Helper()
	for _, s := range c.servers {
		if s.role(t) == "master" {
			s.cli(t, "flushall")
		}
	}
}

// open opens a store that does not outlive the test.
func open(t testing.TB, address string, opts *redisstore.Options) *redisstore.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := redisstore.Open(ctx, address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
	return s
}

// client is a plain client, for what a store does not do.
func client(t testing.TB, option rueidis.ClientOption) rueidis.Client {
	t.Helper()
	option.DisableCache = true
	c, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// named reports whether err is one of the contract, which say that nothing
// happened.
func named(err error) bool {
	for _, e := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrLimit, store.ErrSubjectEnded, store.ErrFull} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
