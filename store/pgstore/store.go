package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options change how a store works. The zero Options, or nil, are what most
// want.
type Options struct {
	// Schema is the name of the schema that holds the tables; stores of
	// different schemas in one database have nothing to do with each other.
	// Empty: "coatcheck".
	Schema string

	// NoMigrate leaves the schema as it is: Open refuses one that is missing or
	// of another version, instead of creating or migrating it.
	NoMigrate bool

	// Now is the clock that Open compares with the server's. nil: time.Now.
	Now func() time.Time
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Schema == "" {
		opts.Schema = "coatcheck"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return opts
}

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("pgstore: the store is closed")

// Store keeps sessions in a PostgreSQL database. Made by Open or New. It
// implements [store.Store] and [store.Watcher].
type Store struct {
	pool     *pgxpool.Pool
	ownsPool bool
	schema   string
	sql      statements
	watchers watchers
	swept    atomic.Int64 // how far this round of Sweep has come, as a due

	mu       sync.Mutex
	closed   bool
	inFlight sync.WaitGroup
}

// Open connects to the database that a connection string names, as a URL
// (postgres://...) or as keywords (host=...), and creates or migrates the
// schema. It connects to servers that take writes only: where the string names
// several hosts, to the first that does.
//
// The string may set the size of the pool (pool_max_conns, by default the
// number of CPUs, at least 4) and everything else that package pgxpool reads
// from it, and the environment variables of PostgreSQL's own programs fill in
// what it leaves out.
//
// The errors say what to do, and never contain the password. ErrSchema is one.
func Open(ctx context.Context, dsn string, opts *Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// What pgx says of the string may contain the password.
		return nil, errDSN
	}
	setDefaults(config)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, explain("open", err)
	}
	s, err := New(ctx, pool, opts)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.ownsPool = true
	return s, nil
}

var errDSN = errors.New("pgstore: open: the connection string cannot be read; write postgres://USER:PASSWORD@HOST:5432/DATABASE, with every special character of the password as %XX, or host=HOST user=USER password=PASSWORD dbname=DATABASE, and check the spelling of its parameters")

const (
	connectTimeout = 5 * time.Second // for each host
	pingTimeout    = 2 * time.Second // of a connection that has been idle

	// When a context ends in the middle of a query, the query is given this
	// long, then cancelled at the server, and the connection lives. Visitors
	// who go away would otherwise cost a connection each.
	cancelAfter = 100 * time.Millisecond
	giveUpAfter = time.Second
)

// setDefaults fills in what the connection string leaves open.
func setDefaults(config *pgxpool.Config) {
	conn := config.ConnConfig
	if conn.ValidateConnect == nil {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "coatcheck"
	}
	conn.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: cancelAfter, DeadlineDelay: giveUpAfter}
	}
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
}

// New keeps sessions through a pool that remains the caller's: Close leaves it
// open. Its connections must reach the primary server, directly or through a
// pooler that gives each of them a session of its own. Otherwise it does what
// Open does.
func New(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Store, error) {
	options := opts.withDefaults()
	s := &Store{pool: pool, schema: options.Schema, sql: statementsIn(options.Schema)}
	s.swept.Store(roundBegins)
	if err := s.checkServer(ctx, options.Now); err != nil {
		return nil, err
	}
	if err := s.prepareSchema(ctx, !options.NoMigrate); err != nil {
		return nil, err
	}
	return s, nil
}

const maxClockDifference = 24 * time.Hour

// checkServer refuses a server on which the store would not keep its promises.
func (s *Store) checkServer(ctx context.Context, now func() time.Time) error {
	return s.do(ctx, "open", true, func(ctx context.Context, conn *pgxpool.Conn) error {
		var (
			standby   bool
			isolation string
			clock     time.Time
		)
		err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('default_transaction_isolation'), clock_timestamp()`).
			Scan(&standby, &isolation, &clock)
		if err != nil {
			return err
		}
		here := now()
		switch {
		case standby:
			return errors.New("the server is a standby and takes no writes; name the primary, or all hosts")
		case isolation != "read committed":
			return fmt.Errorf("default_transaction_isolation is %q, with which limits would not be exact; ALTER ROLE %s SET default_transaction_isolation TO 'read committed'",
				isolation, conn.Conn().Config().User)
		case here.Sub(clock).Abs() > maxClockDifference:
			return fmt.Errorf("the clock of this machine says %s and that of the server %s; set both right, since sessions end by the clock of this machine",
				here.UTC().Format(time.RFC3339), clock.UTC().Format(time.RFC3339))
		}
		return nil
	})
}

// Close waits for what is in flight and closes the connections, unless the pool
// was the caller's. Methods called after it return ErrClosed, also a second
// Close.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	s.watchers.close()
	s.inFlight.Wait()
	if s.ownsPool {
		s.pool.Close()
	}
	return nil
}

// enter is the beginning of everything that Close must wait for.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.inFlight.Add(1)
	return nil
}

// lockKey returns the key of an advisory lock. Keys that meet by chance, 1 in
// 2^64, make one wait for the other and do no harm.
func (s *Store) lockKey(purpose, subject string) int64 {
	h := sha256.New()
	for _, part := range []string{"coatcheck", s.schema, purpose, subject} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		h.Write([]byte(part))
	}
	return int64(binary.BigEndian.Uint64(h.Sum(nil)))
}
