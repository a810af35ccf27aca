package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/pgstore"
	"github.com/coatcheck/coatcheck/store/redisstore"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// errMissing says that a server is not installed.
var errMissing = errors.New("is not installed")

// openBackends opens all stores, and starts the servers that they need. stop is
// to be called in any case.
func openBackends() (backends []backend, stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, func() { os.RemoveAll(dir) })
	backends = append(backends, ours("memstore", memstore.New(&memstore.Options{MaxBytes: 8 << 30})))
	for _, family := range []func(string) ([]backend, func(), error){sqliteFamily, redisFamily, postgresFamily} {
		more, end, err := family(dir)
		if end != nil {
			stops = append(stops, end)
		}
		if errors.Is(err, errMissing) {
			fmt.Fprintln(os.Stderr, "left out:", err)
			continue
		}
		if err != nil {
			return nil, stop, err
		}
		backends = append(backends, more...)
	}
	return backends, stop, nil
}

// ours is a store of this project. A session belongs to one of as many users as
// there are sessions in use.
func ours(name string, st store.Store) backend {
	ctx := context.Background()
	now := store.Instant(time.Now())
	user := func(n uint64) string { return fmt.Sprint("id:user-", n) }
	id := func(n uint64) store.ID {
		id := idOf(n)
		place := store.PlacementOf(user(n))
		copy(id[:2], place[:])
		return id
	}
	read := func(how store.Freshness) func(uint64) error {
		return func(n uint64) error {
			rec := records4k.Get().(*store.Record)
			defer records4k.Put(rec)
			return st.Load(ctx, id(n), rec, how)
		}
	}
	started := func(idle time.Duration) func(n uint64) error {
		return func(n uint64) error {
			_, err := st.Create(ctx, store.Record{
				ID: id(n), Version: 1, Subject: user(n), Created: now, LastSeen: now, Idle: idle, Absolute: now.Add(12 * time.Hour),
				Head: dataSpace[:136], Data: dataSpace[:264],
			}, store.Terms{Began: now, Max: 100}, now)
			return err
		}
	}
	later := now.Add(10 * time.Minute) // then those of a minute are long over, and no others
	sweeps := &sweeper{expired: started(time.Minute), sweep: func() (int, bool, error) { return st.Sweep(ctx, later, sweepLimit) }}
	return backend{name: name, sweeper: sweeps, do: map[act]func(uint64) error{
		create:    started(30 * time.Minute),
		readCopy:  read(store.Cached),
		readFresh: read(store.Fresh),
		update: func(n uint64) error {
			for {
				var rec store.Record
				if err := st.Load(ctx, id(n), &rec, store.Cached); err != nil {
					return err
				}
				was := rec.Version
				rec.Version = scramble(was + 1)
				if err := st.Update(ctx, rec, was, now); !errors.Is(err, store.ErrConflict) {
					return err
				}
			}
		},
		touch: func(n uint64) error { return st.Touch(ctx, id(n), store.Instant(time.Now())) },
		listByUser: func(n uint64) error {
			found, err := st.List(ctx, user(n), now)
			if err == nil && len(found) != 1 {
				err = fmt.Errorf("a user has %d sessions", len(found))
			}
			return err
		},
	}}
}

// uncached is sqlitestore without its memory of records: each read asks the
// database, as the first one after a start does. What it writes is the same.
func uncached(path string) (backend, func(), error) {
	st, err := sqlitestore.Open(context.Background(), path, &sqlitestore.Options{CacheBytes: -1})
	if err != nil {
		return backend{}, nil, err
	}
	b := ours("sqlitestore, no cache", st)
	b.sweeper, b.do = nil, map[act]func(uint64) error{create: b.do[create], readFresh: b.do[readFresh], listByUser: b.do[listByUser]}
	return b, func() { st.Close() }, nil
}

// records4k are used again, as a manager does.
var records4k = sync.Pool{New: func() any { return &store.Record{} }}

func sqliteFamily(dir string) (backends []backend, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	add := func(b backend, end func(), err error) error {
		if end != nil {
			stops = append(stops, end)
		}
		backends = append(backends, b)
		return err
	}
	st, err := sqlitestore.Open(context.Background(), filepath.Join(dir, "ours.db"), nil)
	if err != nil {
		return nil, nil, err
	}
	err = add(ours("sqlitestore", st), func() { st.Close() }, nil)
	if err == nil {
		err = add(uncached(filepath.Join(dir, "uncached.db")))
	}
	for i, driver := range scsDrivers {
		if err == nil {
			err = add(scsSQLite(filepath.Join(dir, fmt.Sprint("scs", i, ".db")), driver))
		}
	}
	if err == nil {
		err = add(sqliteByHand(filepath.Join(dir, "hand.db")))
	}
	return backends, stop, err
}

func redisFamily(dir string) ([]backend, func(), error) {
	address, stop, err := startRedis(dir)
	if err != nil {
		return nil, stop, err
	}
	st, err := redisstore.Open(context.Background(), "redis://"+address, nil)
	if err != nil {
		return nil, stop, err
	}
	alone, stopAlone, err := rueidisAlone(address)
	if err != nil {
		return nil, func() { st.Close(); stop() }, err
	}
	scs, stopSCS := scsRedis(address)
	return []backend{ours("redisstore", st), scs, alone}, func() { st.Close(); stopAlone(); stopSCS(); stop() }, nil
}

func postgresFamily(string) ([]backend, func(), error) {
	dsn, stop, err := startPostgres()
	if err != nil {
		return nil, stop, err
	}
	st, err := pgstore.Open(context.Background(), dsn, nil)
	if err != nil {
		return nil, stop, err
	}
	scs, stopSCS, err := scsPostgres(dsn)
	return []backend{ours("pgstore", st), scs}, func() { st.Close(); stopSCS(); stop() }, err
}
