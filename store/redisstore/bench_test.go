package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// callers is how many goroutines ask at once in the benchmarks of round trips.
const callers = 256

// share has each caller do its part of b.N.
func share(b *testing.B, do func(i int64) error) {
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkReadUsedBefore is a read that takes no round trip.
func BenchmarkReadUsedBefore(b *testing.B) {
	s := start(b)
	st := open(b, "redis://"+s.address, nil)
	rec := create(b, st, newRecord("alice"))
	warm(b, s, st, rec.ID)
	var got store.Record
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := st.Load(b.Context(), rec.ID, &got, store.Cached); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUncachedReads is 256 callers who each read from the server, beside
// rueidis alone doing the same to the same keys.
func BenchmarkUncachedReads(b *testing.B) {
	const many = 1000
	s := start(b)
	seed := open(b, "redis://"+s.address, nil)
	keys, ids := make([]string, many), make([]store.ID, many)
	for i := range many {
		rec := create(b, seed, newRecord(""))
		keys[i], ids[i] = fmt.Sprintf("cc:{%x}r%x", rec.ID[:2], rec.ID[2:]), rec.ID
	}
	b.Run("rueidis alone", func(b *testing.B) {
		c := client(b, rueidis.ClientOption{InitAddress: []string{s.address}, ForceSingleClient: true})
		share(b, func(i int64) error {
			return c.Do(context.Background(), c.B().Get().Key(keys[i%many]).Build()).Error()
		})
	})
	for _, c := range []struct {
		name string
		opts *redisstore.Options
	}{{"fresh", nil}, {"without copies", &redisstore.Options{CacheBytes: -1}}} {
		b.Run(c.name, func(b *testing.B) {
			st := open(b, "redis://"+s.address, c.opts)
			time.Sleep(100 * time.Millisecond) // until it follows changes
			records := sync.Pool{New: func() any { return new(store.Record) }}
			share(b, func(i int64) error {
				rec := records.Get().(*store.Record)
				defer records.Put(rec)
				return st.Load(context.Background(), ids[i%many], rec, store.Fresh)
			})
		})
	}
}

// BenchmarkWrites is 256 callers who each create a session or touch one.
func BenchmarkWrites(b *testing.B) {
	s := start(b)
	st := open(b, "redis://"+s.address, nil)
	b.Run("create", func(b *testing.B) {
		share(b, func(i int64) error {
			rec := newRecord(fmt.Sprint("user ", i))
			_, err := st.Create(context.Background(), rec, store.Terms{Began: rec.Created, Max: 100}, rec.Created)
			return err
		})
	})
	rec := create(b, st, newRecord("alice"))
	b.Run("touch", func(b *testing.B) {
		share(b, func(i int64) error {
			return st.Touch(context.Background(), rec.ID, rec.LastSeen.Add(time.Duration(i)*time.Microsecond))
		})
	})
}
