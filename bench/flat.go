package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// flatNames are whose requests are measured by the number of sessions: the
// floor shows the machine's own cache misses. Others would take minutes to
// start so many.
var flatNames = []string{"floor", "coatcheck"}

// measureFlat measures a request that reads one value, of another session each
// time, by the number of sessions there are: it is to cost the same but for the
// machine's cache misses.
func measureFlat(r *report.Report, sizes []int) (map[string][]float64, error) {
	results := map[string][]float64{}
	var rows [][]string
	chart := report.Chart{Title: "A request that reads one value, by number of sessions", XName: "sessions", YName: "processor time, ns"}
	for _, name := range flatNames {
		row, line := []string{name}, report.Line{Name: name}
		for _, size := range sizes {
			var nanos float64
			if err := ask(&nanos, "flat", name, strconv.Itoa(size)); err != nil {
				return nil, err
			}
			results[name] = append(results[name], nanos)
			row = append(row, report.Number(nanos))
			line.X, line.Y = append(line.X, float64(size)), append(line.Y, nanos)
		}
		fmt.Fprintln(os.Stderr, "  a request:", row)
		rows = append(rows, row)
		chart.Lines = append(chart.Lines, line)
	}
	head := []string{"sessions"}
	for _, size := range sizes {
		head = append(head, report.Number(float64(size)))
	}
	r.Say("A whole request that reads one value, in process, of a session drawn at random; nanoseconds of processor time, the least of five rounds, without the collector. The floor shows what the machine's cache misses cost.\n")
	r.Table("A request, by number of sessions", head, rows)
	return results, r.Chart("flat.svg", chart)
}

// flatJob starts so many sessions and measures requests.
func flatJob(args []string) (any, error) {
	c, err := site.Named(args[0])
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	s, err := c.New(site.Small)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	v, err := site.Crowd(s, size)
	if err != nil {
		return nil, err
	}
	const count = 100_000 // too few for the collector to come: its cost is in another table
	var rounds []float64
	for range 5 {
		runtime.GC()
		used := measure.ProcessorTime()
		for range count {
			v.Visit()
		}
		rounds = append(rounds, float64((measure.ProcessorTime()-used).Nanoseconds())/count)
		if err := site.Check(v, site.ReadOne); err != nil {
			return nil, err
		}
	}
	return slices.Min(rounds), nil
}
