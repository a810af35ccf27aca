// Package measure runs contenders side by side and keeps what each round
// showed. [Compare] is the beginning; a [Sample] is one round of one of them.
//
// The machine may be shared and may change its speed by the minute, so the
// contenders take turns, in another order in each round, and only what was
// measured in the same round is compared: [Results.Ratio] is the median of the
// rounds' ratios. What others do on the machine takes time on the wall, and
// much less processor time, so ratios are best taken of that.
package measure

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sample is what one round showed of one operation.
type Sample struct {
	Operations int
	Nanos      float64 // for one operation, by the clock on the wall
	CPU        float64 // the same of processor time, of all threads of the process, the collector's too
	Bytes      float64 // allocated by one
	Allocs     float64
}

// Subject is one contender in a comparison.
type Subject struct {
	Name string
	// Begin prepares a round and returns what is measured, one function for
	// each goroutine, and what to do afterwards. Only the functions count. An
	// error of end says that the work was not done: what fails fast must not
	// win.
	Begin func(goroutines int) (operations []func(), end func() error, err error)
}

// Results are the samples of each subject, round by round.
type Results map[string][]Sample

// Compare measures the subjects for about d in each round, with as many
// goroutines as told.
func Compare(subjects []Subject, rounds int, d time.Duration, goroutines int) (Results, error) {
	results := Results{}
	for _, s := range subjects {
		results[s.Name] = make([]Sample, rounds)
	}
	for round := range rounds {
		for _, i := range rand.Perm(len(subjects)) {
			s := subjects[i]
			operations, end, err := s.Begin(goroutines)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			results[s.Name][round] = measure(operations, d)
			if err := end(); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return results, nil
}

// measure runs each operation again and again until about d has passed.
//
// A round is too short for the collector to come by itself to who allocates
// slowly: with 64 MiB of heap it comes after as much again. So each round ends
// with a collection, which counts as processor time: everyone pays for the
// garbage of the round, and all of it is swept. It takes about as long after
// every round, so that no ratio gains by it.
func measure(operations []func(), d time.Duration) Sample {
	batch := warmUp(operations[0], d/4)
	runtime.GC() // nobody pays for what the one before has left, nor for the warm-up
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make([]int, len(operations))
	var all sync.WaitGroup
	start, used := time.Now(), ProcessorTime()
	for i, operation := range operations {
		all.Go(func() {
			for time.Since(start) < d {
				for range batch {
					operation()
				}
				done[i] += batch
			}
		})
	}
	all.Wait()
	elapsed := time.Since(start)
	runtime.GC()
	used = ProcessorTime() - used
	runtime.ReadMemStats(&after)
	total := 0
	for _, n := range done {
		total += n
	}
	per := func(n uint64) float64 { return float64(n) / float64(total) }
	return Sample{
		Operations: total,
		Nanos:      float64(elapsed.Nanoseconds()) / float64(total),
		CPU:        float64(used.Nanoseconds()) / float64(total),
		Bytes:      per(after.TotalAlloc - before.TotalAlloc),
		Allocs:     per(after.Mallocs - before.Mallocs),
	}
}

// warmUp runs the operation for at least d, so that caches and pools are as in
// a server that has been running. It returns how often the operation can run in
// about a fifth of a millisecond: with that many between two readings of the
// clock, the clock costs nothing.
func warmUp(operation func(), d time.Duration) int {
	const long = 200 * time.Microsecond
	begin := time.Now()
	for n := 1; ; {
		start := time.Now()
		for range n {
			operation()
		}
		enough := time.Since(start) >= long || n >= 1<<16
		if !enough {
			n *= 2
		} else if time.Since(begin) >= d {
			return n
		}
	}
}

// Median returns the middle of the rounds.
func (r Results) Median(name string, of func(Sample) float64) float64 {
	var values []float64
	for _, s := range r[name] {
		values = append(values, of(s))
	}
	return Median(values)
}

// Ratio returns the median of what name has by what by has, round by round.
func (r Results) Ratio(name, by string, of func(Sample) float64) float64 {
	var ratios []float64
	for round := range r[name] {
		ratios = append(ratios, of(r[name][round])/of(r[by][round]))
	}
	return Median(ratios)
}

// Difference returns the median of what name has more than by, round by round.
func (r Results) Difference(name, by string, of func(Sample) float64) float64 {
	var differences []float64
	for round := range r[name] {
		differences = append(differences, of(r[name][round])-of(r[by][round]))
	}
	return Median(differences)
}

// These are the fields of a sample, for Median and Ratio.
func Nanos(s Sample) float64  { return s.Nanos }
func CPU(s Sample) float64    { return s.CPU }
func Bytes(s Sample) float64  { return s.Bytes }
func Allocs(s Sample) float64 { return s.Allocs }

// Median returns the middle value, 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Benchstat writes the samples as `go test -bench` writes benchmarks.
func (r Results) Benchstat(w io.Writer, benchmark string, order []string) error {
	clean := strings.NewReplacer(" ", "_", "/", "_")
	for _, name := range order {
		for _, s := range r[name] {
			if _, err := fmt.Fprintf(w, "Benchmark%s/site=%s-%d\t%d\t%.1f ns/op\t%.1f cpu-ns/op\t%.0f B/op\t%.2f allocs/op\n",
				benchmark, clean.Replace(name), runtime.GOMAXPROCS(0), s.Operations, s.Nanos, s.CPU, s.Bytes, s.Allocs); err != nil {
				return err
			}
		}
	}
	return nil
}
