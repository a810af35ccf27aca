package everystore_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// missing ends a test that needs a program which is not installed.
func missing(t testing.TB, name, debian string) {
	t.Helper()
	const reason = "%s is not installed; Debian has it in the package %s"
	if os.Getenv("COATCHECK_REQUIRE_ALL") == "1" {
		t.Fatalf(reason, name, debian)
	}
	t.Skipf(reason, name, debian)
}

func program(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name, debian)
	}
	return path
}

// freePort returns a port on which nobody listens, nor on the one 10,000 above
// it, where the servers of a Redis Cluster speak to each other.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port > 55_000 {
			port -= 20_000
		}
		if free(port) && free(port+10_000) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// run starts a server, ends it with the test, and waits until it answers.
func run(t testing.TB, c *exec.Cmd, end os.Signal, answers func() bool) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(end) // it may have ended
		_ = c.Wait()
	})
	eventually(t, filepath.Base(c.Path)+" answers", answers)
}

// redisServer is a redis-server of a test.
type redisServer struct {
	address string
	port    string
}

func startRedis(t testing.TB, args ...string) redisServer {
	t.Helper()
	path := program(t, "redis-server", "redis-server")
	port := freePort(t)
	s := redisServer{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprint(port)}
	// Not compressed, so that a dump can be searched.
	args = append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "",
		"--rdbcompression", "no", "--logfile", "log"}, args...)
	run(t, exec.Command(path, args...), syscall.SIGKILL, func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// cli runs redis-cli and returns what it prints.
func (s redisServer) cli(t testing.TB, args ...string) []byte {
	t.Helper()
	c := exec.Command(program(t, "redis-cli", "redis-tools"), append([]string{"-h", "127.0.0.1", "-p", s.port}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// startRedisCluster starts three primaries and returns their address.
func startRedisCluster(t testing.TB) string {
	t.Helper()
	var servers []redisServer
	var addresses []string
	for range 3 {
		s := startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		servers, addresses = append(servers, s), append(addresses, s.address)
	}
	servers[0].cli(t, append([]string{"--cluster", "create", "--cluster-yes"}, addresses...)...)
	eventually(t, "the Cluster is whole", func() bool {
		return !slices.ContainsFunc(servers, func(s redisServer) bool {
			return !strings.Contains(string(s.cli(t, "cluster", "info")), "cluster_state:ok")
		})
	})
	return "redis-cluster://" + strings.Join(addresses, ",")
}

// postgresProgram finds a program of the newest PostgreSQL: Debian keeps those
// of the server out of PATH.
func postgresProgram(t testing.TB, name string) string {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	return program(t, name, "postgresql")
}

const postgresUser = "coatcheck"

// startPostgres starts a server that does not sync, since it is not the machine
// that dies in these tests, and returns the address of its database.
func startPostgres(t testing.TB) string {
	t.Helper()
	initdb, server := postgresProgram(t, "initdb"), postgresProgram(t, "postgres")
	// Not a directory of the test: as root the server runs as another user,
	// who may not look into those.
	dir, err := os.MkdirTemp("", "everystore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := giveAway(dir); err != nil {
		t.Fatal(err)
	}
	data, port := filepath.Join(dir, "data"), freePort(t)
	made := exec.Command(initdb, "--pgdata", data, "--username", postgresUser, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	made.Dir = dir
	giveUpRoot(made)
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	c := exec.Command(server, "-D", data, "-p", fmt.Sprint(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off")
	c.Dir = dir
	giveUpRoot(c)
	ready := postgresProgram(t, "pg_isready")
	run(t, c, syscall.SIGINT, func() bool {
		return exec.Command(ready, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-d", "postgres", "-U", postgresUser).Run() == nil
	})
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", postgresUser, port)
}
