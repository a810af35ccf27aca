package memstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// Many large records, of sizes that differ, lie in one shard: each keeps its
// own bytes, as it grows and shrinks too.
func TestLargeRecordsOfManySizesKeepTheirBytes(t *testing.T) {
	ctx, s, now := context.Background(), memstore.New(nil), store.Instant(time.Now())
	record := func(n int, version uint64, size int) store.Record {
		r := store.Record{
			Version: version, Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(time.Hour),
			Data: bytes.Repeat([]byte{byte(n + int(version))}, size),
		}
		binary.LittleEndian.PutUint64(r.ID[:], uint64(n)) // all in the first shard
		return r
	}
	size := func(n, version int) int { return 30<<10 + (n*7919+version*104729)%(40<<10) }
	const count = 400
	for n := range count {
		if _, err := s.Create(ctx, record(n, 1, size(n, 1)), store.Terms{}, now); err != nil {
			t.Fatal(err)
		}
	}
	check := func(version int) {
		for n := range count {
			var got store.Record
			want := record(n, uint64(version), size(n, version))
			if err := s.Load(ctx, want.ID, &got, store.Fresh); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("version %d of record %d has %d bytes that are not its own", version, n, len(got.Data))
			}
		}
	}
	check(1)
	for version := 2; version < 5; version++ {
		for n := range count {
			if err := s.Update(ctx, record(n, uint64(version), size(n, version)), uint64(version-1), now); err != nil {
				t.Fatal(err)
			}
		}
		check(version)
	}
}
