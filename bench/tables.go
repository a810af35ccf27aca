package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	scsmem "github.com/alexedwards/scs/v2/memstore"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// table keeps sessions in memory, by number. It panics where it cannot: a
// measurement without its sessions is worth nothing.
type table interface {
	create(n uint64, expires bool) (stored int)
	lookUp(n uint64)
	remove(n uint64)
	sweep() // removes what has expired, as the library does it
}

var tableNames = []string{"coatcheck lean", "coatcheck signed in", "coatcheck mixed", "scs", "scs mixed", "map of structs"}

func newTable(name string, size int) (table, error) {
	switch name {
	case "coatcheck lean":
		return newRecords(0, false), nil
	case "coatcheck signed in":
		return newRecords(104, false), nil
	case "coatcheck mixed":
		return newRecords(104, true), nil
	case "scs":
		return newSCSTable(size, false), nil
	case "scs mixed":
		return newSCSTable(size, true), nil
	case "map of structs":
		return &structs{sessions: map[[16]byte]*liveSession{}}, nil
	}
	return nil, fmt.Errorf("there is no table %q", name)
}

const dataBytes = 235

var dataSpace [1 << 13]byte

// data are the bytes of a session: as many as all have, or of another number
// for each.
func data(n uint64, mixed bool) []byte {
	if !mixed {
		return dataSpace[:dataBytes]
	}
	share := float64(scramble(n)>>11+1) / (1 << 53)
	return dataSpace[:min(int(-math.Log(share)*dataBytes), len(dataSpace))]
}

// scramble makes a number that looks random of each number (SplitMix64).
func scramble(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func idOf(n uint64) (id store.ID) {
	binary.LittleEndian.PutUint64(id[:], scramble(n))
	binary.LittleEndian.PutUint64(id[8:], scramble(^n))
	return id
}

// records are memstore's.
type records struct {
	store   *memstore.Store
	head    int
	mixed   bool
	began   time.Time
	scratch store.Record
}

func newRecords(head int, mixed bool) *records {
	return &records{store: memstore.New(&memstore.Options{MaxBytes: 16 << 30}), head: head, mixed: mixed, began: store.Instant(time.Now())}
}

func (t *records) create(n uint64, expires bool) int {
	rec := store.Record{
		ID: idOf(n), Version: 1, Created: t.began, LastSeen: t.began, Idle: 30 * time.Minute, Absolute: t.began.Add(12 * time.Hour),
		Head: dataSpace[:t.head], Data: data(n, t.mixed),
	}
	if t.head > 0 {
		rec.Subject = fmt.Sprintf("id:user-%08d", n)
	}
	if expires {
		rec.Idle = time.Minute
	}
	if _, err := t.store.Create(context.Background(), rec, store.Terms{}, t.began); err != nil {
		panic(err)
	}
	return len(rec.ID) + 8 + 4*8 + len(rec.Subject) + len(rec.Head) + len(rec.Data)
}

func (t *records) lookUp(n uint64) {
	if err := t.store.Load(context.Background(), idOf(n), &t.scratch, store.Cached); err != nil {
		panic(err)
	}
}

func (t *records) remove(n uint64) {
	if _, err := t.store.Delete(context.Background(), idOf(n)); err != nil {
		panic(err)
	}
}

func (t *records) sweep() {
	for more := true; more; {
		var err error
		if _, more, err = t.store.Sweep(context.Background(), t.began.Add(10*time.Minute), 500); err != nil {
			panic(err)
		}
	}
}

// scsTable is scs's memstore, which sweeps by itself.
type scsTable struct {
	store *scsmem.MemStore
	mixed bool
	next  time.Time // when it sweeps
}

func newSCSTable(size int, mixed bool) *scsTable {
	every := 3*time.Second + time.Duration(size)*8*time.Microsecond // after it is filled
	return &scsTable{store: scsmem.NewWithCleanupInterval(every), mixed: mixed, next: time.Now().Add(every)}
}

func (t *scsTable) token(n uint64) string {
	var raw [32]byte
	id, more := idOf(n), idOf(n+1<<40)
	copy(raw[:], id[:])
	copy(raw[16:], more[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func (t *scsTable) create(n uint64, expires bool) int {
	until := time.Now().Add(12 * time.Hour)
	if expires {
		until = t.next.Add(-time.Millisecond)
	}
	b := append([]byte(nil), data(n, t.mixed)...) // its caller encodes anew for each
	if err := t.store.Commit(t.token(n), b, until); err != nil {
		panic(err)
	}
	return 43 + 8 + len(b)
}

func (t *scsTable) lookUp(n uint64) {
	if _, found, err := t.store.Find(t.token(n)); err != nil || !found {
		panic(fmt.Sprint("session ", n, " is not there: ", err))
	}
}

func (t *scsTable) remove(n uint64) {
	if err := t.store.Delete(t.token(n)); err != nil {
		panic(err)
	}
}

// sweep waits for the store's own.
func (t *scsTable) sweep() { time.Sleep(time.Until(t.next.Add(2 * time.Second))) }

// structs is what one would write first: live values in a map behind a lock.
type structs struct {
	mu       sync.RWMutex
	sessions map[[16]byte]*liveSession
}

type liveSession struct {
	subject string
	until   time.Time
	values  map[string]string
}

func (t *structs) create(n uint64, expires bool) int {
	until := time.Now().Add(12 * time.Hour)
	if expires {
		until = time.Now()
	}
	s := &liveSession{fmt.Sprintf("user-%08d", n), until, map[string]string{"data": string(data(n, false))}}
	t.mu.Lock()
	t.sessions[idOf(n)] = s
	t.mu.Unlock()
	return 16 + len(s.subject) + 8 + dataBytes
}

func (t *structs) lookUp(n uint64) {
	t.mu.RLock()
	s := t.sessions[idOf(n)]
	t.mu.RUnlock()
	if s == nil || s.values == nil {
		panic(fmt.Sprint("session ", n, " is not there"))
	}
}

func (t *structs) remove(n uint64) {
	t.mu.Lock()
	delete(t.sessions, idOf(n))
	t.mu.Unlock()
}

func (t *structs) sweep() {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, s := range t.sessions {
		if now.After(s.until) {
			delete(t.sessions, id)
		}
	}
}
