package redisstore_test

import (
	"context"
	"fmt"
	"slices"
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

// share has each caller do its part of n, and returns how long all took.
func share(b *testing.B, n int, do func(i int64) error) time.Duration {
	b.Helper()
	began := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
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

// BenchmarkUncachedReads is 256 callers who each read from the server, in turn
// with rueidis alone doing the same to the same keys, so that both meet the
// same moods of the machine. It reports the reads per second as parts of those
// of rueidis alone; ns/op is of 30,000 reads.
func BenchmarkUncachedReads(b *testing.B) {
	const many, slice = 1000, 10_000
	s := start(b)
	alone := client(b, rueidis.ClientOption{InitAddress: []string{s.address}, ForceSingleClient: true})
	following := open(b, "redis://"+s.address, nil)
	without := open(b, "redis://"+s.address, &redisstore.Options{CacheBytes: -1})
	keys, ids := make([]string, many), make([]store.ID, many)
	for i := range many {
		rec := create(b, following, newRecord(""))
		keys[i], ids[i] = fmt.Sprintf("cc:{%x}r%x", rec.ID[:2], rec.ID[2:]), rec.ID
	}
	records := sync.Pool{New: func() any { return new(store.Record) }}
	load := func(st store.Store) func(int64) error {
		return func(i int64) error {
			rec := records.Get().(*store.Record)
			defer records.Put(rec)
			return st.Load(context.Background(), ids[i%many], rec, store.Fresh)
		}
	}
	var took [3][]time.Duration
	for b.Loop() {
		for i, do := range []func(int64) error{
			func(i int64) error {
				return alone.Do(context.Background(), alone.B().Get().Key(keys[i%many]).Build()).Error()
			},
			load(following), load(without),
		} {
			took[i] = append(took[i], share(b, slice, do))
		}
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	b.ReportMetric(median(took[0])/median(took[1]), "of-rueidis")
	b.ReportMetric(median(took[0])/median(took[2]), "of-rueidis-without-copies")
}

// BenchmarkWrites is 256 callers who each create a session or touch one.
func BenchmarkWrites(b *testing.B) {
	s := start(b)
	st := open(b, "redis://"+s.address, nil)
	b.Run("create", func(b *testing.B) {
		share(b, b.N, func(i int64) error {
			rec := newRecord(fmt.Sprint("user ", i))
			_, err := st.Create(context.Background(), rec, store.Terms{Began: rec.Created, Max: 100}, rec.Created)
			return err
		})
	})
	rec := create(b, st, newRecord("alice"))
	b.Run("touch", func(b *testing.B) {
		share(b, b.N, func(i int64) error {
			return st.Touch(context.Background(), rec.ID, rec.LastSeen.Add(time.Duration(i)*time.Microsecond))
		})
	})
}
