package memstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// stressed is a store that several goroutines use at once. What a record holds
// follows from its id and version, so that bytes of another show.
type stressed struct {
	*Store
	t   *testing.T
	now time.Time
}

// stressedID is a random id of a record with the subject that subjectOf says,
// in one of few shards.
func stressedID(random *rand.Rand) (id store.ID) {
	binary.LittleEndian.PutUint64(id[:], random.Uint64())
	binary.LittleEndian.PutUint64(id[8:], random.Uint64())
	id[15] &= 0xf
	return id
}

func subjectOf(id store.ID) string {
	if who := id[0] % 8; who > 1 {
		return fmt.Sprint("user-", who, "-", id[1])
	}
	return ""
}

// pattern is what a record holds.
func pattern(id store.ID, version uint64) []byte {
	random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(id[:]), version))
	data := make([]byte, int(random.ExpFloat64()*600)+random.IntN(2)*random.IntN(2)*random.IntN(40<<10))
	for i := range data {
		data[i] = byte(uint64(i)*version + uint64(id[i%15]))
	}
	return data
}

func (s *stressed) record(id store.ID, version uint64) store.Record {
	return store.Record{
		ID: id, Version: version, Subject: subjectOf(id), Created: s.now, LastSeen: s.now,
		Idle: time.Hour, Absolute: s.now.Add(time.Hour), Data: pattern(id, version),
	}
}

// load reports whether a record is there, which one of somebody who is signed
// in must be.
func (s *stressed) load(id store.ID, version uint64) bool {
	var rec store.Record
	err := s.Load(s.t.Context(), id, &rec, store.Fresh)
	switch {
	case err == nil && (rec.Version != version || rec.Subject != subjectOf(id) || !bytes.Equal(rec.Data, pattern(id, version))):
		s.t.Errorf("a record of version %d of %q holds what is not its own", rec.Version, rec.Subject)
	case errors.Is(err, store.ErrNotFound) && subjectOf(id) != "":
		s.t.Errorf("a session of %q is gone", subjectOf(id))
	case err != nil && !errors.Is(err, store.ErrNotFound):
		s.t.Error(err)
	}
	return err == nil
}

// use creates, updates and deletes records of its own, some of each kind.
func (s *stressed) use(random *rand.Rand, steps int) {
	type known struct {
		id      store.ID
		version uint64
	}
	var mine []known
	for range steps {
		if len(mine) == 0 || random.IntN(2) == 0 {
			id := stressedID(random)
			_, err := s.Create(s.t.Context(), s.record(id, 1), store.Terms{}, s.now)
			if err == nil {
				mine = append(mine, known{id, 1})
				continue
			}
			if !errors.Is(err, store.ErrFull) {
				s.t.Error(err)
			}
		}
		if len(mine) == 0 {
			continue
		}
		i := random.IntN(len(mine))
		here := s.load(mine[i].id, mine[i].version)
		if here && random.IntN(3) > 0 {
			version := mine[i].version
			if s.Update(s.t.Context(), s.record(mine[i].id, version+1), version, s.now) == nil {
				mine[i].version++
			}
			continue
		}
		if _, err := s.Delete(s.t.Context(), mine[i].id); err != nil {
			s.t.Error(err)
		}
		mine[i] = mine[len(mine)-1]
		mine = mine[:len(mine)-1]
	}
}

// TestRecordsKeepTheirBytesAmongManyWriters lets writers meet in stores that
// are soon full, and in one that is not, while others sweep and read all.
func TestRecordsKeepTheirBytesAmongManyWriters(t *testing.T) {
	for _, bound := range []int64{300 << 10, 3 << 20, 1 << 30} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			s := &stressed{New(&Options{MaxBytes: bound}), t, noon}
			var writers, others sync.WaitGroup
			for range 3 {
				writers.Go(func() { s.use(rand.New(rand.NewPCG(rand.Uint64(), 1)), 1500) })
			}
			finished := make(chan struct{})
			others.Go(func() {
				for {
					select {
					case <-finished:
						return
					case <-time.After(time.Millisecond):
					}
					if _, _, err := s.Sweep(t.Context(), noon, 50); err != nil {
						t.Error(err)
					}
					for rec, err := range s.All(t.Context()) {
						if err != nil || rec.Subject != subjectOf(rec.ID) {
							t.Errorf("All yields a record of %q instead of %q, %v", rec.Subject, subjectOf(rec.ID), err)
						}
					}
				}
			})
			writers.Wait()
			close(finished)
			others.Wait()
			checkParts(t, s.Store)
		})
	}
}
