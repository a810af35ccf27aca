package sqlitestore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// clients is how many write at once in the benchmarks.
const clients = 16

// newRecord returns a record of the usual size: 235 bytes of data.
func newRecord(subject string, now time.Time) store.Record {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails
	return store.Record{
		ID: store.ID(random[:16]), Version: binary.LittleEndian.Uint64(random[16:]) | 1,
		Subject: subject, Created: now, LastSeen: now,
		Idle: 30 * time.Minute, Absolute: now.Add(12 * time.Hour),
		Head: make([]byte, 150), Data: make([]byte, 235),
	}
}

func openBench(b *testing.B, opts *sqlitestore.Options) *sqlitestore.Store {
	b.Helper()
	s, err := sqlitestore.Open(b.Context(), b.TempDir()+"/sessions.db", opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// share has each client do its part of b.N.
func share(b *testing.B, do func(i int64) error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wait.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// Durable creates by 16 clients, against the same rows in transactions of 16
// that nobody has to wait for or to judge.
func BenchmarkCreate(b *testing.B) {
	now := store.Instant(time.Now())
	b.Run("store", func(b *testing.B) {
		s := openBench(b, nil)
		share(b, func(i int64) error {
			_, err := s.Create(b.Context(), newRecord(fmt.Sprint("user", i), now), store.Terms{Began: now, Max: 100}, now)
			return err
		})
	})
	b.Run("anonymous", func(b *testing.B) {
		s := openBench(b, nil)
		share(b, func(i int64) error {
			_, err := s.Create(b.Context(), newRecord("", now), store.Terms{Began: now}, now)
			return err
		})
	})
	b.Run("by-hand", func(b *testing.B) { createByHand(b, now) })
}

func createByHand(b *testing.B, now time.Time) {
	path := b.TempDir() + "/sessions.db"
	s, err := sqlitestore.Open(b.Context(), path, nil) // for the schema
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", path+"?_pragma=synchronous(2)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	insert, err := db.Prepare(`INSERT INTO sessions
		(id, version, subject, created, last_seen, idle, absolute, due, retired, head, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for done := 0; done < b.N; {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		stmt := tx.Stmt(insert)
		for range min(clients, b.N-done) {
			done++
			rec := newRecord(fmt.Sprint("user", done), now)
			_, err := stmt.Exec(rec.ID[:], int64(rec.Version>>1), []byte(rec.Subject), now.UnixMicro(), now.UnixMicro(),
				rec.Idle.Microseconds(), rec.Absolute.UnixMicro(), rec.Deadline().UnixMicro(), false, rec.Head, rec.Data)
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

const sessionsRead = 10_000

// fill creates the records that a benchmark reads.
func fill(b *testing.B, s store.Store, now time.Time) []store.ID {
	b.Helper()
	ids := make([]store.ID, sessionsRead)
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			for i := c; i < len(ids); i += clients {
				rec := newRecord(fmt.Sprint("user", i), now)
				ids[i] = rec.ID
				if _, err := s.Create(context.Background(), rec, store.Terms{}, now); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return ids
}

// A read from the cache and one from the file, against memstore.
func BenchmarkLoad(b *testing.B) {
	now := store.Instant(time.Now())
	load := func(s store.Store) func(b *testing.B) {
		ids := fill(b, s, now)
		return func(b *testing.B) {
			b.ReportAllocs()
			var rec store.Record
			for i := 0; b.Loop(); i++ {
				if err := s.Load(b.Context(), ids[i%len(ids)], &rec, store.Cached); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("memstore", load(memstore.New(nil)))
	b.Run("cached", load(openBench(b, nil)))
	b.Run("uncached", load(openBench(b, &sqlitestore.Options{CacheBytes: -1})))
}

// Touches of sessions that are in the cache, as nearly all are.
func BenchmarkTouch(b *testing.B) {
	now := store.Instant(time.Now())
	s := openBench(b, nil)
	ids := fill(b, s, now)
	share(b, func(i int64) error {
		return s.Touch(b.Context(), ids[i%sessionsRead], now.Add(time.Duration(i)*time.Microsecond))
	})
}

func BenchmarkUpdate(b *testing.B) {
	now := store.Instant(time.Now())
	s := openBench(b, nil)
	ids := fill(b, s, now)
	share(b, func(i int64) error {
		rec := newRecord("", now)
		rec.ID = ids[i%sessionsRead]
		var was store.Record
		if err := s.Load(b.Context(), rec.ID, &was, store.Cached); err != nil {
			return err
		}
		return s.Update(b.Context(), rec, was.Version, now)
	})
}
