package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
)

// sweeper removes what has expired from a store, as its library does.
type sweeper struct {
	expired func(n uint64) error // creates a session whose time is over
	// sweep does as much as the library does in one go, and returns how much
	// that was and whether there may be more.
	sweep func() (removed int, more bool, err error)
}

// sweepResult is what one round showed.
type sweepResult struct {
	PerSecond float64
	Longest   float64 // milliseconds of the longest go, for which writers may have to wait
}

// measureSweeps fills each store with sessions that have expired, and sweeps
// them out. It comes first: a sweep looks at what is alive too, and afterwards
// there is much of that, in each store another number.
func measureSweeps(r *report.Report, backends []backend, rounds, count int) error {
	results := map[string][]sweepResult{}
	for range rounds {
		for _, i := range rand.Perm(len(backends)) {
			b := backends[i]
			if b.sweeper == nil {
				continue
			}
			result, err := sweepOnce(*b.sweeper, count)
			if err != nil {
				return fmt.Errorf("%s: sweep: %w", b.name, err)
			}
			results[b.name] = append(results[b.name], result)
		}
	}
	var rows [][]string
	for _, b := range backends {
		if results[b.name] == nil {
			continue
		}
		var perSecond, longest []float64
		for _, s := range results[b.name] {
			perSecond, longest = append(perSecond, s.PerSecond), append(longest, s.Longest)
		}
		rows = append(rows, []string{b.name, report.Number(measure.Median(perSecond)), report.Number(measure.Median(longest))})
		fmt.Fprintf(os.Stderr, "  sweep %-24s %v\n", b.name, rows[len(rows)-1][1:])
		fmt.Fprintf(&r.Samples, "BenchmarkStore/act=sweep/clients=1/store=%s\t1\t%.1f ns/op\n", sampleName(b.name), 1e9/measure.Median(perSecond))
	}
	r.Say("Sweeping out %d expired sessions beside %d that live, before all else. \"Longest\" is the longest go: other writers wait that long where the store is one file, or a row of the same session is theirs. Redis removes what has expired by itself; redisstore only makes it earlier, with rests.\n", count, inUse)
	r.Table("sweep", []string{"", "removed per second", "longest ms"}, rows)
	return nil
}

func sweepOnce(s sweeper, count int) (sweepResult, error) {
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() {
			for n := i; n < count && errs[i] == nil; n += len(errs) {
				errs[i] = s.expired(inUse + fresh.Add(1))
			}
		})
	}
	all.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return sweepResult{}, errs[i]
	}
	total, longest, start := 0, time.Duration(0), time.Now()
	for more := true; more; {
		began := time.Now()
		var removed int
		var err error
		if removed, more, err = s.sweep(); err != nil {
			return sweepResult{}, err
		}
		total, longest = total+removed, max(longest, time.Since(began))
	}
	if total != count {
		return sweepResult{}, fmt.Errorf("%d of %d were removed", total, count)
	}
	return sweepResult{float64(total) / time.Since(start).Seconds(), longest.Seconds() * 1e3}, nil
}

// sweepLimit is how many records a manager has a store remove in one go.
const sweepLimit = 500

// sweepStatement is how scs's SQL stores sweep, in one go, every few minutes:
// the statement that their own goroutine runs, which cannot be called.
func sweepStatement(run func(ctx context.Context, statement string) (int64, error), statement string) func() (int, bool, error) {
	return func() (int, bool, error) {
		n, err := run(context.Background(), statement)
		return int(n), false, err
	}
}
