package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// start is when every case begins: long ago, because no store may look at a
// clock.
var start = time.Date(2011, time.May, 6, 7, 8, 9, 123456000, time.UTC)

// after is d past the start of the case.
func after(d time.Duration) time.Time { return start.Add(d) }

// newRecord is a session that was created at the start. It dies 30 minutes
// after it was last seen, and after 12 hours.
func newRecord(subject string) store.Record {
	id := store.ID(random(16))
	if subject != "" {
		place := sha256.Sum256([]byte(subject))
		copy(id[:2], place[:])
	}
	return store.Record{
		ID: id, Version: newVersion(), Subject: subject,
		Created: start, LastSeen: start, Idle: 30 * time.Minute, Absolute: after(12 * time.Hour),
		Head: random(40), Data: random(200),
	}
}

// seen is a session of the subject that was created at the start and last seen
// d after it.
func seen(subject string, d time.Duration) store.Record {
	rec := newRecord(subject)
	rec.LastSeen = after(d)
	return rec
}

// next is the record as a later write might leave it.
func next(rec store.Record) store.Record {
	rec.Version, rec.Head, rec.Data = newVersion(), random(44), random(260)
	return rec
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func newVersion() uint64 {
	for {
		if v := binary.LittleEndian.Uint64(random(8)); v != 0 {
			return v
		}
	}
}

// handle picks one of the two handles in turn.
func (k *trial) handle(i int) store.Store {
	if i%2 == 0 {
		return k.a
	}
	return k.b
}

// create stores records by the first handle, without terms.
func (k *trial) create(recs ...store.Record) {
	k.Helper()
	for _, rec := range recs {
		if _, err := k.a.Create(k.Context(), rec, store.Terms{}, start); err != nil {
			k.Fatalf("Create of a new record: %v", err)
		}
	}
}

// update stores rec over the version was, at the start.
func (k *trial) update(rec store.Record, was uint64) {
	k.Helper()
	if err := k.a.Update(k.Context(), rec, was, start); err != nil {
		k.Fatalf("Update of a live record at the version named: %v", err)
	}
}

// retire creates the record and retires it.
func (k *trial) retire(rec store.Record) store.Record {
	k.Helper()
	k.create(rec)
	was := rec.Version
	rec = next(rec)
	rec.Retired = true
	k.update(rec, was)
	return rec
}

// load returns the record as it is now.
func (k *trial) load(id store.ID) store.Record {
	k.Helper()
	var rec store.Record
	if err := k.b.Load(k.Context(), id, &rec, store.Fresh); err != nil {
		k.Fatalf("Load of a record that is there: %v", err)
	}
	return rec
}

// kept fails unless the store holds exactly this record.
func (k *trial) kept(want store.Record) {
	k.Helper()
	k.equal("Load", k.load(want.ID), want)
}

// gone fails if the store still holds the record.
func (k *trial) gone(id store.ID) {
	k.Helper()
	var rec store.Record
	err := k.b.Load(k.Context(), id, &rec, store.Fresh)
	k.is("Load of a record that is gone", err, store.ErrNotFound)
}

// is fails unless err is the error wanted.
func (k *trial) is(what string, err, want error) {
	k.Helper()
	if !errors.Is(err, want) {
		k.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// equal compares two records field by field.
func (k *trial) equal(what string, got, want store.Record) {
	k.Helper()
	if got.ID != want.ID || got.Version != want.Version || got.Subject != want.Subject || got.Retired != want.Retired {
		k.Errorf("%s: got id %v, version %d, subject %q, retired %v; want %v, %d, %q, %v", what,
			got.ID, got.Version, got.Subject, got.Retired, want.ID, want.Version, want.Subject, want.Retired)
	}
	k.sameTime(what+": Created", got.Created, want.Created)
	k.sameTime(what+": LastSeen", got.LastSeen, want.LastSeen)
	k.sameTime(what+": Absolute", got.Absolute, want.Absolute)
	if got.Idle != want.Idle {
		k.Errorf("%s: Idle is %v, want %v", what, got.Idle, want.Idle)
	}
	if !bytes.Equal(got.Head, want.Head) {
		k.Errorf("%s: Head is %d bytes %.40x, want %d bytes %.40x", what, len(got.Head), got.Head, len(want.Head), want.Head)
	}
	if !bytes.Equal(got.Data, want.Data) {
		k.Errorf("%s: Data is %d bytes %.40x, want %d bytes %.40x", what, len(got.Data), got.Data, len(want.Data), want.Data)
	}
}

func (k *trial) sameTime(what string, got, want time.Time) {
	k.Helper()
	if !got.Equal(want) || got.Location() != time.UTC {
		k.Errorf("%s is %v, want %v", what, got, want.UTC())
	}
}

// list returns the ids of the subject's live records, in order.
func (k *trial) list(subject string, now time.Time) []store.ID {
	k.Helper()
	recs, err := k.b.List(k.Context(), subject, now)
	if err != nil {
		k.Fatalf("List: %v", err)
	}
	return idsOf(recs...)
}

// all returns what All yields.
func (k *trial) all() []store.Record {
	k.Helper()
	var recs []store.Record
	for rec, err := range k.b.All(k.Context()) {
		if err != nil {
			k.Fatalf("All: %v", err)
		}
		recs = append(recs, rec)
	}
	return recs
}

// sweep sweeps until two rounds are finished: the one that was under way, and
// a whole one.
func (k *trial) sweep(now time.Time) (removed int) {
	k.Helper()
	for range 2 {
		for more, calls := true, 0; more; calls++ {
			if calls == 100_000 {
				k.Fatalf("Sweep has said %d times that there is more to do", calls)
			}
			var n int
			var err error
			if n, more, err = k.a.Sweep(k.Context(), now, 100); err != nil {
				k.Fatalf("Sweep: %v", err)
			}
			removed += n
		}
	}
	return removed
}

// sameIDs fails unless both hold the same ids, in whatever order.
func (k *trial) sameIDs(what string, got []store.ID, want ...store.ID) {
	k.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.SortFunc(got, compareIDs)
	slices.SortFunc(want, compareIDs)
	k.inOrder(what, got, want...)
}

// inOrder fails unless both hold the same ids in the same order.
func (k *trial) inOrder(what string, got []store.ID, want ...store.ID) {
	k.Helper()
	if !slices.Equal(got, want) {
		k.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func idsOf(recs ...store.Record) []store.ID {
	var ids []store.ID
	for _, rec := range recs {
		ids = append(ids, rec.ID)
	}
	return ids
}

func compareIDs(a, b store.ID) int { return bytes.Compare(a[:], b[:]) }

// settle waits until no handle answers from a copy that is out of date.
func (k *trial) settle() {
	k.Helper()
	for _, s := range []store.Store{k.a, k.b} {
		if settler, ok := s.(store.Settler); ok {
			ctx, cancel := context.WithTimeout(k.Context(), 2*k.patience)
			defer cancel()
			if err := settler.Settle(ctx); err != nil {
				k.Fatalf("Settle: %v", err)
			}
		}
	}
}

// parallel runs n workers at once and waits for them. A worker reports by
// Errorf and returns; it must not call what may call Fatalf.
func (k *trial) parallel(n int, work func(i int)) {
	var workers sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		workers.Go(func() {
			<-begin
			work(i)
		})
	}
	close(begin)
	workers.Wait()
}
