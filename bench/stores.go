package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
)

// act is what a client asks of a store.
type act string

const (
	create     act = "create"
	readCopy   act = "read" // of one of the sessions that are in use; a copy may answer
	readFresh  act = "read, uncached"
	update     act = "update"
	touch      act = "touch"
	listByUser act = "list"
)

var acts = []act{create, readCopy, readFresh, update, touch, listByUser}

// inUse is how many sessions are there from the start, and are read and
// written.
const inUse = 5_000

// backend is a store as a client sees it. Sessions 0 to inUse-1 are there.
type backend struct {
	name    string
	do      map[act]func(n uint64) error
	sweeper *sweeper
}

// loadResult is what one round showed.
type loadResult struct {
	Operations int
	PerSecond  float64
	P50, P99   float64 // microseconds
}

// measureStores measures each store beside those of scs and beside what it is
// built on, used by hand.
func measureStores(o options) error {
	rounds, each, expired := 5, 400*time.Millisecond, 10_000
	if o.quick {
		rounds, each, expired = 3, 200*time.Millisecond, 2_000
	}
	r := report.New(o.out, "stores", "Stores")
	r.Say("%s\n\n%s\n", machine(), versions("redis-server", "postgres"))
	r.Say("Medians of %d rounds, in which the stores take turns, in a new order each. SQLite with WAL and synchronous=FULL, PostgreSQL with its defaults, Redis without persistence; servers run on the same machine, over loopback. %d sessions in use, with 264 bytes of sealed data. A dash: the store cannot do that.\n", rounds, inUse)
	backends, stop, err := openBackends()
	defer stop()
	if err != nil {
		return err
	}
	for _, b := range backends {
		if err := fillBackend(b); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	if err := measureSweeps(r, backends, rounds, expired); err != nil {
		return err
	}
	loads := map[string]map[string][]loadResult{} // by act and clients, and name
	for _, a := range acts {
		for _, clients := range []int{1, 16, 256} {
			results := map[string][]loadResult{}
			for range rounds {
				for _, i := range rand.Perm(len(backends)) {
					b := backends[i]
					if b.do[a] == nil {
						continue
					}
					result, err := load(b.do[a], a, clients, each)
					if err != nil {
						return fmt.Errorf("%s, %s: %w", b.name, a, err)
					}
					results[b.name] = append(results[b.name], result)
				}
			}
			loads[loadName(a, clients)] = results
			storeTable(r, a, clients, backends, results)
		}
	}
	storeTargets(r, loads)
	return r.Close()
}

// sampleName is a name as benchstat takes it.
func sampleName(name string) string { return strings.NewReplacer(" ", "_", ",", "").Replace(name) }

func loadName(a act, clients int) string { return fmt.Sprintf("%s %d", a, clients) }

func storeTargets(r *report.Report, loads map[string]map[string][]loadResult) {
	perSecond := func(name, by string, results map[string][]loadResult) float64 {
		var ratios []float64
		for round, l := range results[name] {
			if len(results[by]) > round {
				ratios = append(ratios, l.PerSecond/results[by][round].PerSecond)
			}
		}
		return measure.Median(ratios)
	}
	var t targets
	creates, reads, uncached := loads[loadName(create, 16)], loads[loadName(readCopy, 1)], loads[loadName(readFresh, 256)]
	t.atLeast("SQLite, 16 clients, durable creates, of those grouped by hand", perSecond("sqlitestore", "SQLite by hand", creates), 0.7)
	for _, name := range []string{scsByModernc, scsByMattn} {
		t.atLeast("SQLite, 16 clients, durable creates, of "+name, perSecond("sqlitestore", name, creates), 3)
	}
	t.atMost("SQLite, cached read, time of memstore's", perSecond("memstore", "sqlitestore", reads), 2)
	for _, name := range []string{scsByModernc, scsByMattn} {
		t.atLeast("SQLite, cached read, of "+name, perSecond("sqlitestore", name, reads), 20)
	}
	var p50 []float64
	for _, l := range reads["redisstore"] {
		p50 = append(p50, l.P50)
	}
	t.atMost("Redis, read of a session used before, microseconds", measure.Median(p50), 3)
	t.atLeast("Redis, read of a session used before, of scs goredisstore", perSecond("redisstore", "scs goredisstore", reads), 30)
	t.atLeast("Redis, 256 uncached reads, of rueidis alone", perSecond("redisstore", "rueidis alone", uncached), 0.8)
	t.atLeast("Redis, 256 uncached reads, of scs goredisstore", perSecond("redisstore", "scs goredisstore", uncached), 1.5)
	t.write(r)
}

func fillBackend(b backend) error {
	if b.do[create] == nil {
		return nil
	}
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() {
			for n := i; n < inUse && errs[i] == nil; n += len(errs) {
				if errs[i] = b.do[create](uint64(n)); errs[i] == nil && b.do[readCopy] != nil {
					errs[i] = b.do[readCopy](uint64(n)) // from now on it has been used before
				}
			}
		})
	}
	all.Wait()
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// fresh numbers sessions that are created.
var fresh atomic.Uint64

// load runs clients for about d.
func load(do func(uint64) error, a act, clients int, d time.Duration) (loadResult, error) {
	took := make([][]float64, clients)
	errs := make([]error, clients)
	var all sync.WaitGroup
	start := time.Now()
	for i := range clients {
		all.Go(func() {
			for turn := uint64(0); time.Since(start) < d; turn++ {
				n := scramble(turn<<16+uint64(i)) % inUse
				if a == create {
					n = inUse + fresh.Add(1)
				}
				began := time.Now()
				if err := do(n); err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], float64(time.Since(began).Nanoseconds())/1e3)
			}
		})
	}
	all.Wait()
	elapsed := time.Since(start).Seconds()
	for _, err := range errs {
		if err != nil {
			return loadResult{}, err
		}
	}
	every := slices.Concat(took...)
	slices.Sort(every)
	return loadResult{len(every), float64(len(every)) / elapsed, every[len(every)/2], every[len(every)*99/100]}, nil
}

func storeTable(r *report.Report, a act, clients int, backends []backend, results map[string][]loadResult) {
	var rows [][]string
	title := fmt.Sprintf("%s, %d clients", a, clients)
	fmt.Fprintln(os.Stderr, title)
	for _, b := range backends {
		if results[b.name] == nil {
			continue
		}
		row := []string{b.name}
		for _, of := range []func(loadResult) float64{
			func(l loadResult) float64 { return l.PerSecond },
			func(l loadResult) float64 { return l.P50 },
			func(l loadResult) float64 { return l.P99 },
		} {
			var values []float64
			for _, l := range results[b.name] {
				values = append(values, of(l))
			}
			row = append(row, report.Number(measure.Median(values)))
		}
		rows = append(rows, row)
		fmt.Fprintf(os.Stderr, "  %-24s %v\n", b.name, row[1:])
		for _, l := range results[b.name] {
			fmt.Fprintf(&r.Samples, "BenchmarkStore/act=%s/clients=%d/store=%s\t%d\t%.1f ns/op\t%.0f p50-ns\t%.0f p99-ns\n",
				sampleName(string(a)), clients, sampleName(b.name), l.Operations, 1e9/l.PerSecond, l.P50*1e3, l.P99*1e3)
		}
	}
	r.Table(title, []string{"", "per second", "p50 µs", "p99 µs"}, rows)
}
