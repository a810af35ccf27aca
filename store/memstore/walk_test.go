package memstore_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

func TestOneRoundOfSweepsRemovesWhatWasDead(t *testing.T) {
	for _, limit := range []int{1, 7, 5000} {
		s := memstore.New(nil)
		const dead = 2000
		fill(t, s, 0, dead, func(n uint64) int { return int(n % 900) })
		live := anonymous(1<<40, 100, 7200)
		if _, err := s.Create(t.Context(), live, store.Terms{}, began); err != nil {
			t.Fatal(err)
		}
		removed := 0
		for more := true; more; {
			n, again, err := s.Sweep(t.Context(), began.Add(time.Hour), limit)
			if err != nil {
				t.Fatal(err)
			}
			removed, more = removed+n, again
		}
		if removed != dead {
			t.Errorf("a round of sweeps of at most %d removed %d of %d dead sessions", limit, removed, dead)
		}
		if err := s.Load(t.Context(), live.ID, new(store.Record), store.Fresh); err != nil {
			t.Errorf("the one that lives: %v", err)
		}
	}
}

func TestSweepsAndSessionsDoNotDisturbEachOther(t *testing.T) {
	s := memstore.New(nil)
	fill(t, s, 0, 3000, func(n uint64) int { return int(n % 700) })
	later := began.Add(time.Hour)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for range 5 {
				if _, _, err := s.Sweep(t.Context(), later, 500); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Go(func() {
		for n := range uint64(1000) {
			rec := session(1<<40+n, int(n%700))
			rec.LastSeen = later
			if _, err := s.Create(t.Context(), rec, store.Terms{}, later); err != nil {
				t.Error(err)
			}
			if err := s.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); err != nil {
				t.Error(err)
			}
		}
	})
	workers.Go(func() {
		for _, err := range s.All(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}
	})
	workers.Wait()
	for more := true; more; {
		var err error
		if _, more, err = s.Sweep(t.Context(), later, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Sweep(t.Context(), later, 10_000); err != nil {
		t.Fatal(err)
	}
	left := 0
	for range s.All(t.Context()) {
		left++
	}
	if left != 1000 {
		t.Errorf("%d sessions are left, want the 1000 that live", left)
	}
}

func TestAWatcherMayStopItselfAndOthers(t *testing.T) {
	s := memstore.New(nil)
	rec := session(1, 10)
	fill(t, s, 1, 2, always(10))
	var heard []string
	var stopFirst, stopSecond func()
	stopFirst = s.Watch(rec.ID, func() {
		heard = append(heard, "first")
		stopFirst()
		stopSecond()
	})
	stopSecond = s.Watch(rec.ID, func() { heard = append(heard, "second") })
	defer s.Watch(rec.ID, func() { heard = append(heard, "third") })()
	for range 2 {
		was := rec.Version
		rec.Version++
		if err := s.Update(t.Context(), rec, was, began); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"first", "third", "third"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}
