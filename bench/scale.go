package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
)

// scaleResult is what one table showed at one size.
type scaleResult struct {
	Stored  float64 // bytes of a session: id, times, subject, head, data
	Filled  float64 // resident bytes for each session
	Churned float64 // the same after a third was deleted and created three times
	Collect float64 // processor milliseconds of a collector's cycle
	Mean    float64 // nanoseconds of a look-up
	Rest    tail    // look-ups while nothing else happens
	Sweep   tail    // look-ups while the table is swept, a tenth expired
}

// tail are the slow look-ups, in microseconds, the clock's cost included.
type tail struct{ P50, P99, P9999, Worst float64 }

// measureScale measures tables from a thousand to five million sessions.
func measureScale(o options) error {
	sizes := []int{1_000, 10_000, 100_000, 1_000_000, 5_000_000}
	if o.quick {
		sizes = []int{1_000, 100_000, 1_000_000}
	}
	r := report.New(o.out, "scale", "From a thousand to five million sessions")
	r.Say("%s\n\n%s\n", machine(), versions())
	r.Say("235 bytes of data in each session, and for \"mixed\" an exponential distribution of that mean; \"lean\" is the record of an anonymous session without a head, as the target has it; \"signed in\" is what a manager stores: subject, verifiers, device, network. Each figure is of a process of its own. Look-ups are at the store, of random sessions.\n")
	results := map[string][]scaleResult{}
	for _, name := range tableNames {
		for _, size := range sizes {
			var result scaleResult
			if err := ask(&result, "scale", name, strconv.Itoa(size)); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%-18s %9d  %+v\n", name, size, result)
			results[name] = append(results[name], result)
		}
	}
	scaleTables(r, sizes, results)
	flat, err := measureFlat(r, sizes)
	if err != nil {
		return err
	}
	scaleTargets(r, sizes, results, flat)
	charts := []struct {
		file, title, unit string
		of                func(scaleResult) float64
	}{
		{"lookup.svg", "A look-up, by number of sessions", "nanoseconds", func(s scaleResult) float64 { return s.Mean }},
		{"memory.svg", "Resident memory, after churn", "bytes for each session", func(s scaleResult) float64 { return s.Churned }},
		{"collector.svg", "One cycle of the garbage collector", "processor milliseconds", func(s scaleResult) float64 { return s.Collect }},
		{"sweep.svg", "Slowest look-up while expired sessions are removed", "microseconds", func(s scaleResult) float64 { return s.Sweep.Worst }},
	}
	for _, c := range charts {
		chart := report.Chart{Title: c.title, XName: "sessions", YName: c.unit}
		for _, name := range tableNames {
			line := report.Line{Name: name}
			for i, size := range sizes {
				line.X, line.Y = append(line.X, float64(size)), append(line.Y, c.of(results[name][i]))
			}
			chart.Lines = append(chart.Lines, line)
		}
		if err := r.Chart(c.file, chart); err != nil {
			return err
		}
	}
	return r.Close()
}

func scaleTables(r *report.Report, sizes []int, results map[string][]scaleResult) {
	for i, size := range sizes {
		head := []string{"", "stored B", "resident B", "x stored", "x scs", "after churn B", "x stored", "x scs", "GC cycle ms", "look-up ns", "p99.99 µs", "worst µs", "swept p99.99 µs", "swept worst µs"}
		scs := results["scs"][i]
		var rows [][]string
		for _, name := range tableNames {
			s := results[name][i]
			row := []string{name}
			for _, v := range []float64{s.Stored, s.Filled, s.Filled / s.Stored, s.Filled / scs.Filled, s.Churned, s.Churned / s.Stored, s.Churned / scs.Churned,
				s.Collect, s.Mean, s.Rest.P9999, s.Rest.Worst, s.Sweep.P9999, s.Sweep.Worst} {
				row = append(row, report.Number(v))
			}
			rows = append(rows, row)
		}
		r.Table(report.Number(float64(size))+" sessions", head, rows)
	}
}

// scaleTargets compares memory from a million sessions on, and the rest at the
// largest size, which a quick run has too few of for a verdict.
func scaleTargets(r *report.Report, sizes []int, results map[string][]scaleResult, flat map[string][]float64) {
	var t targets
	last := len(sizes) - 1
	of := func(name string, size int) scaleResult { return results[name][size] }
	for i, size := range sizes {
		if size < 1_000_000 {
			continue
		}
		with := ", " + report.Number(float64(size)) + " sessions"
		for _, name := range []string{"lean", "signed in", "mixed"} {
			s := of("coatcheck "+name, i)
			t.atMost("resident bytes"+with+", "+name+", filled, of those stored", s.Filled/s.Stored, 1.3)
			t.atMost("resident bytes"+with+", "+name+", after churn, of those stored", s.Churned/s.Stored, 1.3)
		}
		lean, scs := of("coatcheck lean", i), of("scs", i)
		t.atMost("resident bytes"+with+", lean, filled, of scs's", lean.Filled/scs.Filled, 0.85)
		t.atMost("resident bytes"+with+", lean, after churn, of scs's", lean.Churned/scs.Churned, 0.6)
	}
	with := ", " + report.Number(float64(sizes[last])) + " sessions"
	atMost := t.atMost
	if sizes[last] < 5_000_000 { // at which the targets are set
		atMost = func(what string, measured, _ float64) { t.note(what, measured) }
	}
	atMost("collector's cycle"+with+", mixed sizes, of scs's", of("coatcheck mixed", last).Collect/of("scs mixed", last).Collect, 0.01)
	for _, name := range []string{"lean", "signed in", "mixed"} {
		atMost("look-up during a sweep"+with+", "+name+", p99.99 in milliseconds", of("coatcheck "+name, last).Sweep.P9999/1e3, 0.3)
	}
	atMost("look-up during a sweep"+with+", lean, worst, of scs's", of("coatcheck lean", last).Sweep.Worst/of("scs", last).Sweep.Worst, 0.02)
	for _, name := range flatNames {
		t.note(name+": read one key"+with+", of one among "+report.Number(float64(sizes[0])), flat[name][last]/flat[name][0])
	}
	t.note("read one key"+with+", of the floor", flat["coatcheck"][last]/flat["floor"][last])
	t.note("look-up"+with+", signed in, of one among "+report.Number(float64(sizes[0])), of("coatcheck signed in", last).Mean/of("coatcheck signed in", 0).Mean)
	t.note("map of structs: look-up"+with+", of one among "+report.Number(float64(sizes[0])), of("map of structs", last).Mean/of("map of structs", 0).Mean)
	t.write(r)
}

// scaleJob measures one table at one size.
func scaleJob(args []string) (any, error) {
	name := args[0]
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	var result scaleResult
	before := resident()
	t, err := newTable(name, size)
	if err != nil {
		return nil, err
	}
	stored := 0
	for n := range uint64(size) {
		stored += t.create(n, n%10 == 9)
	}
	result.Stored = float64(stored) / float64(size)
	result.Filled = float64(resident()-before) / float64(size)
	result.Collect = collect()
	result.Mean = lookUps(t, size)
	result.Rest = tails(t, size, time.Second, func() bool { return false })
	swept := make(chan struct{})
	go func() {
		t.sweep()
		close(swept)
	}()
	result.Sweep = tails(t, size, time.Second, func() bool {
		select {
		case <-swept:
			return false
		default:
			return true
		}
	})
	churn(t, size)
	result.Churned = float64(resident()-before) / float64(size)
	runtime.KeepAlive(t)
	return result, nil
}

// churn deletes a third of the sessions and creates as many, three times. The
// tenth that was swept is created again first.
func churn(t table, size int) {
	kept := make([]uint64, size)
	next := uint64(size)
	for i := range kept {
		kept[i] = uint64(i)
		if i%10 == 9 {
			kept[i] = next
			t.create(next, false)
			next++
		}
	}
	for range 3 {
		for range size / 3 {
			i := rand.IntN(size)
			t.remove(kept[i])
			t.create(next, false)
			kept[i] = next
			next++
		}
	}
}

// resident is the memory of this process after everything free was given back.
func resident() int {
	debug.FreeOSMemory()
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, pages int
	fmt.Sscan(string(content), &total, &pages)
	return pages * os.Getpagesize()
}

// collect is the processor time of a collector's cycle, the least of five:
// what others do on the machine only adds to it.
func collect() float64 {
	var cycles []float64
	for range 5 {
		used := measure.ProcessorTime()
		runtime.GC()
		cycles = append(cycles, (measure.ProcessorTime()-used).Seconds()*1e3)
	}
	return slices.Min(cycles)
}

// lookUps is the mean time of a look-up, the least of five rounds.
func lookUps(t table, size int) float64 {
	const count = 200_000
	var rounds []float64
	for range 5 {
		used := measure.ProcessorTime()
		for range count {
			t.lookUp(lasting(size))
		}
		rounds = append(rounds, float64((measure.ProcessorTime()-used).Nanoseconds())/count)
	}
	return slices.Min(rounds)
}

// lasting draws a session that does not expire.
func lasting(size int) uint64 {
	for {
		if n := rand.Uint64N(uint64(size)); n%10 != 9 {
			return n
		}
	}
}

// tails times each look-up, for at least d and as long as busy says.
func tails(t table, size int, d time.Duration, busy func() bool) tail {
	var took []float64
	start := time.Now()
	for time.Since(start) < d || busy() {
		for range 100 {
			n := lasting(size)
			began := time.Now()
			t.lookUp(n)
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1))] }
	return tail{at(0.5), at(0.99), at(0.9999), at(1)}
}
