package pgstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// The server of the tests does not sync to the disk: a durable write costs one
// sync more, which those who write at the same time share.
func BenchmarkStore(b *testing.B) {
	server := startServer(b)
	s := server.open(b, newSchema())
	const sessions = 1000
	var recs [sessions]store.Record
	for i := range recs {
		recs[i] = newRecord(fmt.Sprint("user ", i%300))
		create(b, s, recs[i])
	}
	var next atomic.Int64
	for _, operation := range []struct {
		name string
		do   func(i int64) error
	}{
		{"load", func(i int64) error {
			var rec store.Record
			return s.Load(context.Background(), recs[i%sessions].ID, &rec, store.Cached)
		}},
		{"touch", func(i int64) error {
			return s.Touch(context.Background(), recs[i%sessions].ID, after(time.Duration(i/sessions)))
		}},
		{"create and delete", func(i int64) error {
			rec := newRecord(fmt.Sprint("user ", i%300))
			if _, err := s.Create(context.Background(), rec, store.Terms{Began: start, Max: 100}, start); err != nil {
				return err
			}
			_, err := s.Delete(context.Background(), rec.ID)
			return err
		}},
	} {
		b.Run(operation.name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := operation.do(next.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
