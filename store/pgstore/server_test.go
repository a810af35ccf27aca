package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/coatcheck/coatcheck/store/pgstore"
)

// A server is a PostgreSQL that the tests have started, with data of its own.
// It does not sync to the disk: it is the server that dies in these tests, not
// the machine.
type server struct {
	programs string // the directory of initdb and postgres
	data     string
	port     int
	process  *exec.Cmd
	exited   chan struct{}
}

// The roles of the server.
const (
	owner          = "coatcheck_owner" // a superuser
	app            = "app"             // has the rights that tests grant
	guarded        = "guarded"         // let in with a password
	nothingAllowed = "nothing_allowed"
	readOnly       = "read_only"
	serial         = "serial"
)

const createRoles = `CREATE ROLE app LOGIN NOINHERIT;
CREATE ROLE guarded LOGIN PASSWORD 'known to nobody';
CREATE ROLE nothing_allowed LOGIN;
CREATE ROLE read_only LOGIN;
ALTER ROLE read_only SET default_transaction_read_only TO on;
CREATE ROLE serial SUPERUSER LOGIN;
ALTER ROLE serial SET default_transaction_isolation TO 'serializable';
`

// theServer is started by the first test that needs it.
var theServer = sync.OnceValues(newServer)

// TestMain plays the part of another process when asked to, and stops the
// server after the tests.
func TestMain(m *testing.M) {
	if part := os.Getenv(childVariable); part != "" {
		if err := children[part](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	stopServer()
	os.Exit(code)
}

const childVariable = "PGSTORE_TEST_CHILD" // the part that a child plays

// children are the parts. A child is this binary again.
var children = map[string]func() error{
	"create a session": createSession,
	"clean up":         cleanUp,
}

// newChild prepares a child; the test starts it.
func newChild(part string, environment ...string) *exec.Cmd {
	child := exec.Command(os.Args[0])
	child.Env = append(append(os.Environ(), environment...), childVariable+"="+part)
	child.Stderr = os.Stderr
	return child
}

var stopServer = func() {}

// errNoServer says that PostgreSQL is not installed.
var errNoServer = errors.New("PostgreSQL is not installed, or initdb and postgres are not in PATH or /usr/lib/postgresql")

// startServer returns the server of all tests.
func startServer(t testing.TB) *server {
	t.Helper()
	s, err := theServer()
	if errors.Is(err, errNoServer) && os.Getenv("COATCHECK_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newServer() (*server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	// Not a directory of one test: as root the server runs as another user,
	// who may not look into those.
	dir, err := os.MkdirTemp("", "pgstore-test")
	if err != nil {
		return nil, err
	}
	cleaned, err := cleanUpAfterwards(dir)
	if err != nil {
		return nil, err
	}
	stopServer = cleaned
	if err := giveAway(dir); err != nil {
		return nil, err
	}
	s := &server{programs: programs, data: filepath.Join(dir, "data")}
	if err := s.make(); err != nil {
		return nil, err
	}
	stopServer = func() {
		s.stop(syscall.SIGINT)
		cleaned()
	}
	return s, nil
}

const dirVariable = "PGSTORE_TEST_DIR"

// cleanUpAfterwards has a child wait for the end of this process, however it
// comes, to leave neither a server nor files behind. now is that end come
// early.
func cleanUpAfterwards(dir string) (now func(), err error) {
	child := newChild("clean up", dirVariable+"="+dir)
	ended, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = ended.Close()
		_ = child.Wait()
	}, nil
}

// cleanUp kills the servers of a directory that are left when its input ends,
// and removes the directory.
func cleanUp() error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	dir := os.Getenv(dirVariable)
	left, err := filepath.Glob(filepath.Join(dir, "*", "postmaster.pid"))
	for _, file := range left {
		text, _ := os.ReadFile(file)
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil || pid <= 1 {
			continue
		}
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Signal(syscall.SIGQUIT)
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// make makes the server's data, and starts it on a free port.
func (s *server) make() (err error) {
	initdb := s.command("initdb", "--pgdata", s.data, "--username", owner, "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(s.data, "pg_hba.conf"), []byte(whoMayConnect), 0o600); err != nil {
		return err
	}
	if err := s.startSomewhere(); err != nil {
		return err
	}
	conn, err := pgx.Connect(context.Background(), s.dsn(owner))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), createRoles, pgx.QueryExecModeSimpleProtocol)
	return err
}

const whoMayConnect = `host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
`

// findPrograms returns the directory of the newest installed PostgreSQL.
func findPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errNoServer
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// command prepares one of PostgreSQL's programs, which refuse to run as root.
func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.programs, name), args...)
	c.Dir = filepath.Dir(s.data)
	giveUpRoot(c)
	return c
}

// startSomewhere starts the server on a free port.
func (s *server) startSomewhere() (err error) {
	if s.port, err = freePort(); err != nil {
		return err
	}
	return s.start()
}

// start starts the server on its port and waits until it answers.
func (s *server) start() error {
	s.process = s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100",
		"-c", "log_min_messages=fatal")
	log, err := os.OpenFile(s.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = s.process.Wait()
	}()
	var last error
	for range 1200 {
		conn, err := pgx.Connect(context.Background(), s.dsn(owner))
		if err == nil {
			return conn.Close(context.Background())
		}
		last = err
		select {
		case <-s.exited:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server has ended: %s", text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not answer: %w", last)
}

// stop ends the server: SIGINT as an administrator would, SIGQUIT as a crash
// would.
func (s *server) stop(how os.Signal) {
	_ = s.process.Process.Signal(how)
	<-s.exited
}

// dsn is a connection string for a role.
func (s *server) dsn(role string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", role, s.port)
}

// sql runs statements as the owner.
func (s *server) sql(t testing.TB, statements string) {
	t.Helper()
	conn := s.connect(t)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statements, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

// connect opens a connection of the owner's.
func (s *server) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.dsn(owner))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

var schemas atomic.Int64

// newSchema names a schema that does not exist yet.
func newSchema() string { return fmt.Sprint("coatcheck_", schemas.Add(1)) }

// open opens a store in a schema; it is closed at the end of the test.
func (s *server) open(t testing.TB, schema string) *pgstore.Store {
	t.Helper()
	opened, err := pgstore.Open(t.Context(), s.dsn(owner), &pgstore.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() }) // some tests have closed it
	return opened
}

// pool opens a pool of the owner's connections.
func (s *server) pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), s.dsn(owner))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
