package everystore_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/pgstore"
	"github.com/coatcheck/coatcheck/store/redisstore"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// place is a store that a test has for itself.
type place struct {
	// name is what the --store flag of the program calls it.
	name string
	// handles are two on the store, as two machines or processes hold them.
	handles [2]store.Store
	// stale is for how long a handle may answer what was true before another
	// handle changed it.
	stale time.Duration
	// dump returns all that the tools of the store can get out of it.
	dump func(t testing.TB) []byte
}

// kind is a kind of store.
type kind struct {
	name string
	open func(t testing.TB) place
}

var kinds = []kind{
	{"memory", openMemory},
	{"sqlite", openSQLite},
	{"redis", openRedis},
	{"redis-cluster", openRedisCluster},
	{"postgres", openPostgres},
}

// stale is short, so that a load of seconds finds many copies too old to use.
const stale = 200 * time.Millisecond

func openMemory(testing.TB) place {
	s := memstore.New(nil)
	return place{name: "memory:", handles: [2]store.Store{s, s}}
}

func openSQLite(t testing.TB) place {
	file := filepath.Join(t.TempDir(), "sessions.db")
	owner, err := sqlitestore.Open(t.Context(), file, nil)
	closeAfter(t, owner, err)
	client, err := sqlitestore.Dial(t.Context(), file)
	closeAfter(t, client, err)
	return place{
		name: "sqlite:" + file, handles: [2]store.Store{owner, client},
		dump: func(t testing.TB) []byte { return dumpSQLite(t, file) },
	}
}

func openRedis(t testing.TB) place {
	s := startRedis(t)
	return onRedis(t, "redis://"+s.address, func(t testing.TB) []byte { return dumpRedis(t, s) })
}

func openRedisCluster(t testing.TB) place {
	return onRedis(t, startRedisCluster(t), nil)
}

func onRedis(t testing.TB, address string, dump func(testing.TB) []byte) place {
	p := place{name: address, stale: stale, dump: dump}
	for i := range p.handles {
		s, err := redisstore.Open(t.Context(), address, &redisstore.Options{MaxStale: stale})
		closeAfter(t, s, err)
		p.handles[i] = s
	}
	return p
}

func openPostgres(t testing.TB) place {
	address := startPostgres(t)
	p := place{name: address, dump: func(t testing.TB) []byte { return dumpPostgres(t, address) }}
	for i := range p.handles {
		s, err := pgstore.Open(t.Context(), address, nil)
		closeAfter(t, s, err)
		p.handles[i] = s
	}
	return p
}

// closeAfter closes a handle at the end of the test, and fails the test if
// there is none.
func closeAfter(t testing.TB, handle interface{ Close() error }, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
}

// eventually waits for a condition, generously: only a test that fails waits
// to the end.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in a minute it has not come about that %s", what)
		}
	}
}

// background is the context of what no request carries.
var background = context.Background()
