package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver of sqlitestore
)

// scsStore is what scs asks of a store. It has no update by version, no touch
// and no list of one user's sessions; its write is a create or overwrites.
type scsStore interface {
	Find(token string) (b []byte, exists bool, err error)
	Commit(token string, b []byte, expiry time.Time) error
}

func scsToken(n uint64) string { return fmt.Sprintf("%x%x", idOf(n), scramble(n)) }

func overSCSStore(name string, st scsStore) backend {
	until := time.Now().Add(12 * time.Hour)
	commit := func(n uint64) error { return st.Commit(scsToken(n), dataSpace[:264], until) }
	find := func(n uint64) error {
		_, found, err := st.Find(scsToken(n))
		if err == nil && !found {
			err = fmt.Errorf("session %d is not there", n)
		}
		return err
	}
	return backend{name: name, do: map[act]func(uint64) error{create: commit, readCopy: find, readFresh: find, update: commit}}
}

// sweptBy adds how the store sweeps.
func sweptBy(b backend, st scsStore, sweep func() (int, bool, error)) backend {
	b.sweeper = &sweeper{sweep: sweep, expired: func(n uint64) error {
		return st.Commit(scsToken(n), dataSpace[:264], time.Now().Add(-time.Hour))
	}}
	return b
}

// scsDriver is a driver under scs's store, with what are sqliteOptions to it.
type scsDriver struct{ name, driver, options string }

const (
	scsByModernc = "scs sqlite3store"
	scsByMattn   = "scs sqlite3store, mattn"
)

// scsDrivers are the one of sqlitestore, so that the stores are compared and
// not drivers, and in backends_mattn.go the one of scs's documentation.
var scsDrivers = []scsDriver{{scsByModernc, "sqlite", sqliteOptions}}

// sqliteOptions make a database as safe against the loss of power as
// sqlitestore's.
const sqliteOptions = "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(20000)"

func openSQLite(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+path+"?"+sqliteOptions)
}

// scsSQLite is scs's store with the best setting for each act, as its
// documentation has none: connections for 16 readers, which stay open (by
// default all but two are closed after each use), and one for writers, who
// would else wait for each other's locks by trying again. A site has one
// setting for both.
func scsSQLite(path string, on scsDriver) (b backend, stop func(), err error) {
	var open []*sql.DB
	stop = func() {
		for _, db := range open {
			db.Close()
		}
	}
	for _, connections := range []int{16, 1} {
		db, err := sql.Open(on.driver, "file:"+path+"?"+on.options)
		if err != nil {
			return b, stop, err
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		open = append(open, db)
	}
	if _, err := open[1].Exec(`CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions(expiry);`); err != nil {
		return b, stop, err
	}
	reads, writes := sqlite3store.NewWithCleanupInterval(open[0], 0), sqlite3store.NewWithCleanupInterval(open[1], 0)
	run := func(ctx context.Context, statement string) (int64, error) {
		result, err := open[1].ExecContext(ctx, statement)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	}
	b = sweptBy(overSCSStore(on.name, writes), writes, sweepStatement(run, "DELETE FROM sessions WHERE expiry < julianday('now')"))
	reading := overSCSStore(on.name, reads)
	b.do[readCopy], b.do[readFresh] = reading.do[readCopy], reading.do[readFresh]
	return b, stop, nil
}

func scsRedis(address string) (backend, func()) {
	client := redis.NewClient(&redis.Options{Addr: address})
	return overSCSStore("scs goredisstore", inBackground{goredisstore.New(client)}), func() { client.Close() }
}

// inBackground calls scs's store for contexts without one.
type inBackground struct{ *goredisstore.RedisStore }

func (s inBackground) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s inBackground) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func scsPostgres(dsn string) (backend, func(), error) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		return backend{}, func() {}, err
	}
	_, err = pool.Exec(context.Background(), `CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions (expiry);`)
	run := func(ctx context.Context, statement string) (int64, error) {
		tag, err := pool.Exec(ctx, statement)
		return tag.RowsAffected(), err
	}
	st := pgxstore.NewWithCleanupInterval(pool, 0)
	b := sweptBy(overSCSStore("scs pgxstore", st), st, sweepStatement(run, "DELETE FROM sessions WHERE expiry < current_timestamp"))
	return b, pool.Close, err
}
