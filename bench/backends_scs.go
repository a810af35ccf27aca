package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
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

// openSQLite opens a database as safe against the loss of power as sqlitestore.
func openSQLite(path string) (*sql.DB, error) {
	options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(20000)"}}
	return sql.Open("sqlite", "file:"+path+"?"+options.Encode())
}

func scsSQLite(path string) (backend, func(), error) {
	db, err := openSQLite(path)
	if err != nil {
		return backend{}, nil, err
	}
	_, err = db.Exec(`CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions(expiry);`)
	st := sqlite3store.NewWithCleanupInterval(db, 0)
	return overSCSStore("scs sqlite3store", st), func() { db.Close() }, err
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
	return overSCSStore("scs pgxstore", pgxstore.NewWithCleanupInterval(pool, 0)), pool.Close, err
}
