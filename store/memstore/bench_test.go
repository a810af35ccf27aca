package memstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

var began = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// session is a live session of a subject, with ids that follow from a number.
func session(n uint64, data int) store.Record {
	random := rand.New(rand.NewPCG(n, 1))
	rec := store.Record{
		Version: 1, Subject: fmt.Sprint("user-", n), Created: began, LastSeen: began,
		Idle: 30 * time.Minute, Absolute: began.Add(12 * time.Hour),
		Head: make([]byte, 48), Data: make([]byte, data),
	}
	binary.LittleEndian.PutUint64(rec.ID[:], random.Uint64())
	binary.LittleEndian.PutUint64(rec.ID[8:], random.Uint64())
	return rec
}

// stored is how many bytes a record holds: what a caller gave, the times and
// the version.
func stored(rec store.Record) int {
	return len(rec.ID) + 5*8 + len(rec.Subject) + len(rec.Head) + len(rec.Data)
}

func fill(tb testing.TB, s *memstore.Store, from, to uint64, data func(n uint64) int) (bytes int) {
	for n := from; n < to; n++ {
		rec := session(n, data(n))
		bytes += stored(rec)
		if _, err := s.Create(context.Background(), rec, store.Terms{Max: 100, Began: began}, began); err != nil {
			tb.Fatal(err)
		}
	}
	return bytes
}

func always(data int) func(uint64) int { return func(uint64) int { return data } }

func BenchmarkLoad(b *testing.B) {
	for _, count := range []uint64{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			s := memstore.New(nil)
			fill(b, s, 0, count, always(235))
			ids := make([]store.ID, 4096)
			for i := range ids {
				ids[i] = session(rand.Uint64N(count), 0).ID
			}
			var rec store.Record
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				// Each visitor has a name of its own; what it costs to make the
				// string is the caller's choice, who may pass the name it expects.
				if err := s.Load(b.Context(), ids[i%len(ids)], &rec, store.Cached); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoadParallel(b *testing.B) {
	s := memstore.New(nil)
	fill(b, s, 0, 100_000, always(235))
	b.RunParallel(func(pb *testing.PB) {
		var rec store.Record
		id := session(rand.Uint64N(100_000), 0).ID
		for pb.Next() {
			if err := s.Load(context.Background(), id, &rec, store.Cached); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	s := memstore.New(nil)
	rec := session(1, 235)
	fill(b, s, 0, 100_000, always(235))
	b.ReportAllocs()
	for b.Loop() {
		was := rec.Version
		rec.Version++
		if err := s.Update(b.Context(), rec, was, began); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTouch(b *testing.B) {
	s := memstore.New(nil)
	fill(b, s, 0, 100_000, always(235))
	id := session(1, 0).ID
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Touch(b.Context(), id, began); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	s := memstore.New(nil)
	fill(b, s, 0, 100_000, always(235))
	rec := session(1<<40, 235)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Create(b.Context(), rec, store.Terms{Max: 100, Began: began}, began); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Delete(b.Context(), rec.ID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory reports the heap that sessions take, as a multiple of the
// bytes stored: filled, and after a third was deleted and created three times,
// with one size and with many.
func BenchmarkMemory(b *testing.B) {
	const count = 500_000
	for name, data := range map[string]func(uint64) int{
		"same": always(235),
		"mixed": func(n uint64) int {
			return int(rand.New(rand.NewPCG(n, 2)).ExpFloat64() * 300)
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s := memstore.New(nil)
				bytes := fill(b, s, 0, count, data)
				b.ReportMetric(float64(heap()-before)/float64(bytes), "filled-heap/stored")
				next := uint64(count)
				kept := make([]uint64, count)
				for n := range kept {
					kept[n] = uint64(n)
				}
				for range 3 {
					for i := range kept {
						if rand.IntN(3) != 0 {
							continue
						}
						rec := session(kept[i], data(kept[i]))
						bytes -= stored(rec)
						if _, err := s.Delete(b.Context(), rec.ID); err != nil {
							b.Fatal(err)
						}
						kept[i] = next
						next++
					}
					for _, n := range kept {
						rec := session(n, data(n))
						if _, err := s.Create(b.Context(), rec, store.Terms{}, began); err == nil {
							bytes += stored(rec)
						}
					}
				}
				kept = nil
				b.ReportMetric(float64(heap()-before)/float64(bytes), "churned-heap/stored")
				b.ReportMetric(float64(bytes)/count, "stored-B/session")
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
