package memstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// The environment variables that run one seed alone, and that say how many
// histories of each kind there are.
const (
	modelSeed = "COATCHECK_MODEL_SEED"
	modelRuns = "COATCHECK_MODEL_RUNS"
)

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// eachSeed runs a test for several seeds, the same each time, or for the one
// that the environment names.
func eachSeed(t *testing.T, runs uint64, test func(t *testing.T, seed uint64)) {
	first, runs := uint64(1), fromEnvironment(t, modelRuns, runs)
	if alone := fromEnvironment(t, modelSeed, 0); alone != 0 {
		first, runs = alone, 1
	}
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { test(t, seed) })
	}
}

// Whatever is done to a store, in any order, it answers as a map would, and its
// parts agree after each step. Small stores may give up what is anonymous or
// dead for the rest. What subjects hash to differs from run to run; all else
// follows from the seed.
func TestHistories(t *testing.T) {
	eachSeed(t, 2, func(t *testing.T, seed uint64) {
		for _, bound := range []int64{100 << 10, 400 << 10, 2 << 20, 1 << 30} {
			t.Run(fmt.Sprint(bound), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, uint64(bound)))
				h := newHistory(t, New(&Options{MaxBytes: bound}), random, 'a', 20+random.IntN(900))
				if h.alone = true; bound < 1<<30 {
					h.loss = roomIsMade
				}
				defer h.logTrace()
				h.watch()
				for step := range 1600 {
					h.step()
					h.settle(store.ID{})
					h.checkTold()
					checkParts(t, h.s)
					checkSubjects(t, h.s)
					if step%50 == 0 {
						h.checkRecords()
						checkWiped(t, h.s)
					}
				}
				h.checkRecords()
			})
		}
	})
}

// Several histories on one store, which share its shards, do not disturb each
// other, while sweeps go on and, at times, everything is ended.
func TestHistoriesTogether(t *testing.T) {
	const phases = 8
	eachSeed(t, 2, func(t *testing.T, seed uint64) {
		for _, bound := range []int64{300 << 10, 3 << 20, 1 << 30} {
			t.Run(fmt.Sprint(bound), func(t *testing.T) {
				s := New(&Options{MaxBytes: bound})
				var all []*history
				for name := range uint64(3) {
					h := newHistory(t, s, rand.New(rand.NewPCG(seed, name)), byte('a'+name), 300)
					defer h.logTrace()
					all = append(all, h)
				}
				for phase := range phases {
					together(t, s, all, phase, bound < 1<<30)
				}
			})
		}
	})
}

// together lets histories go on at the same time.
func together(t *testing.T, s *Store, all []*history, phase int, small bool) {
	now := noon.Add(time.Duration(phase) * 10 * time.Minute)
	ending := phase%4 == 3
	var running sync.WaitGroup
	for _, h := range all {
		switch h.now = now; {
		case ending:
			h.loss = anythingVanishes
		case small:
			h.loss = roomIsMade
		default:
			h.loss = theDeadVanish
		}
		running.Go(func() {
			for range 150 {
				h.step()
			}
		})
	}
	if ending {
		running.Go(func() {
			if _, err := s.DeleteAll(t.Context(), now); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
	checkParts(t, s)
	checkSubjects(t, s)
	for _, h := range all {
		h.settle(store.ID{})
		if h.checkRecords(); ending {
			h.markOfAll = now
		}
	}
}
