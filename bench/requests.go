package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// heapBytes is the heap that a server has. Without one the collector would run
// all the time, and what is measured would be how often it starts.
const heapBytes = 64 << 20

// measureRequests measures one request in process: no socket, no server, the
// handler called as a server would. To profile one kind of work of one
// contender there is BenchmarkSite, in internal/site/bench_test.go.
func measureRequests(o options) error {
	heap := make([]byte, heapBytes)
	defer runtime.KeepAlive(heap)
	// What has a target is measured in more rounds: its ratios vary by a fifth
	// from round to round where the machine is shared.
	rounds, judged, each := 9, 25, 100*time.Millisecond
	if o.quick {
		rounds, judged, each = 5, 5, 40*time.Millisecond
	}
	r := report.New(o.out, "requests", "One request, in process")
	r.Say("%s\n\n%s\n", machine(), versions())
	r.Say("Medians of %d rounds, of %d for 3 keys serially; \"x floor\" and \"x scs\" are medians of the rounds' ratios of processor time, the collector's included.\n", rounds, judged)
	chart := report.Chart{Title: "One request, 3 keys, serial", YName: "processor time, ns", XName: strings.Join(workNames(), "|")}
	small := map[site.Work]measure.Results{}
	for _, payload := range []site.Payload{site.Small, site.Large} {
		for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
			for _, work := range site.Works {
				contenders := chosen(o, payload, work)
				subjects := make([]measure.Subject, len(contenders))
				for i, c := range contenders {
					subjects[i] = requestSubject(c, payload, work, again)
				}
				n := rounds
				if payload.Label == site.Small.Label && goroutines == 1 {
					n = judged
				}
				results, err := measure.Compare(subjects, n, each, goroutines)
				if err != nil {
					return err
				}
				title := fmt.Sprintf("%s, %s, %s", work, payload.Label, inParallel(goroutines))
				head, rows := requestTable(contenders, results)
				r.Table(title, head, rows)
				fmt.Fprintln(os.Stderr, title)
				for _, row := range rows {
					fmt.Fprintf(os.Stderr, "  %-18s %s\n", row[0], strings.Join(row[1:], "  "))
				}
				if err := results.Benchstat(&r.Samples, benchmarkName(work, payload, goroutines), names(contenders)); err != nil {
					return err
				}
				if payload.Label == site.Small.Label && goroutines == 1 {
					small[work] = results
					chart.Lines = addBars(chart.Lines, contenders, results, slices.Index(site.Works, work))
				}
			}
		}
	}
	if err := r.Chart("requests.svg", chart); err != nil {
		return err
	}
	if err := measureLadders(o, r, rounds, each); err != nil {
		return err
	}
	anew, err := measureAnew(o, r, judged, each)
	if err != nil {
		return err
	}
	requestTargets(r, small, anew)
	return r.Close()
}

// requestTargets compares processor time, of 3 keys, serially.
func requestTargets(r *report.Report, small, anew map[site.Work]measure.Results) {
	var t targets
	ratio := func(of map[site.Work]measure.Results, w site.Work, name, by string) float64 {
		if of[w][name] == nil || of[w][by] == nil {
			return 0
		}
		return of[w].Ratio(name, by, measure.CPU)
	}
	for _, aim := range []struct {
		work       site.Work
		floor, scs float64
	}{{site.Untouched, 1, 30}, {site.ReadOne, 1.6, 15}, {site.WriteOne, 1.8, 15}, {site.SignIn, 2, 8}} {
		work, newly := string(aim.work), string(aim.work)+", with new requests"
		t.atMost(work+", of the floor", ratio(small, aim.work, "coatcheck", "floor"), aim.floor)
		t.note(newly+", of the floor", ratio(anew, aim.work, "coatcheck", "floor"))
		if aim.work != site.Untouched { // which has no ladder
			t.note(work+", of the floor with duties", ratio(small, aim.work, "coatcheck", "floor with duties"))
			t.note("floor with duties: "+work+", of the floor", ratio(small, aim.work, "floor with duties", "floor"))
			t.note("floor with duties: "+newly+", of the floor", ratio(anew, aim.work, "floor with duties", "floor"))
			t.note("floor with duties: "+work+", times faster than scs", ratio(small, aim.work, "scs", "floor with duties"))
		}
		t.atLeast(work+", times faster than scs", ratio(small, aim.work, "scs", "coatcheck"), aim.scs)
		t.note(newly+", times faster than scs", ratio(anew, aim.work, "scs", "coatcheck"))
	}
	var bytes float64
	if read := small[site.ReadOne]; read["scs"] != nil && read["coatcheck"] != nil {
		bytes = read.Ratio("coatcheck", "scs", measure.Bytes)
	}
	t.atMost("read one key, bytes allocated, of scs's", bytes, 1./15)
	t.atMost("read one key, sealed, of unsealed", ratio(small, site.ReadOne, "coatcheck sealed", "coatcheck"), 2)
	t.atMost("read one key, sealed, of a session not used for a while, of unsealed", ratio(small, site.ReadOne, "coatcheck sealed cold", "coatcheck"), 2)
	for _, w := range []site.Work{site.Untouched, site.ReadOne, site.WriteOne, site.SignIn} {
		work := string(w) + ", sealed"
		t.atLeast(work+", times faster than scs unsealed", ratio(small, w, "scs", "coatcheck sealed"), 8)
		if w != site.Untouched {
			t.note(work+", of the floor with duties sealed", ratio(small, w, "coatcheck sealed", "floor with duties sealed"))
			t.note("floor with duties sealed: "+string(w)+", times faster than scs unsealed", ratio(small, w, "scs", "floor with duties sealed"))
		}
	}
	t.write(r)
}

func workNames() (all []string) {
	for _, w := range site.Works {
		all = append(all, string(w))
	}
	return all
}

// chosen are the contenders that take part.
func chosen(o options, p site.Payload, w site.Work) (all []site.Contender) {
	for _, c := range site.All {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), c.Name) || !c.Can(w) {
			continue
		}
		s, err := c.New(p)
		if errors.Is(err, site.ErrTooLarge) {
			continue
		}
		if err == nil {
			s.Close()
		}
		all = append(all, c)
	}
	return all
}

// again has a visitor use its request again, which is how all is measured but
// what measureAnew does.
func again(v site.Visitor) (site.Visitor, error) { return v, nil }

// requestSubject is a new site for each round, with a visitor for each
// goroutine, whose requests are made as told.
func requestSubject(c site.Contender, p site.Payload, w site.Work, made func(site.Visitor) (site.Visitor, error)) measure.Subject {
	return measure.Subject{Name: c.Name, Begin: func(goroutines int) ([]func(), func() error, error) {
		s, err := c.New(p)
		if err != nil {
			return nil, nil, err
		}
		visitors := make([]site.Visitor, goroutines)
		operations := make([]func(), goroutines)
		for i := range operations {
			v, err := s.Visitor(w)
			if err == nil {
				visitors[i], err = made(v)
			}
			if err != nil {
				return nil, nil, err
			}
			operations[i] = visitors[i].Visit
		}
		return operations, func() error {
			defer s.Close()
			for _, v := range visitors {
				if err := site.Check(v, w); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}}
}

func requestTable(contenders []site.Contender, results measure.Results) (head []string, rows [][]string) {
	head = []string{"", "ns", "CPU ns", "B", "allocations", "x floor", "x scs"}
	for _, c := range contenders {
		row := []string{c.Name}
		for _, of := range []func(measure.Sample) float64{measure.Nanos, measure.CPU, measure.Bytes, measure.Allocs} {
			row = append(row, report.Number(results.Median(c.Name, of)))
		}
		for _, by := range []string{"floor", "scs"} {
			if results[by] == nil {
				row = append(row, "-")
				continue
			}
			row = append(row, report.Times(results.Ratio(c.Name, by, measure.CPU)))
		}
		rows = append(rows, row)
	}
	return head, rows
}

func inParallel(goroutines int) string {
	if goroutines == 1 {
		return "serial"
	}
	return fmt.Sprintf("%d goroutines", goroutines)
}

func names(contenders []site.Contender) (all []string) {
	for _, c := range contenders {
		all = append(all, c.Name)
	}
	return all
}

func benchmarkName(w site.Work, p site.Payload, goroutines int) string {
	return strings.ReplaceAll(fmt.Sprintf("Request/work=%s/payload=%s/goroutines=%d", w, p.Label, goroutines), " ", "_")
}

// addBars adds each contender's bar of one kind of work.
func addBars(lines []report.Line, contenders []site.Contender, results measure.Results, place int) []report.Line {
	for _, c := range contenders {
		i := slices.IndexFunc(lines, func(l report.Line) bool { return l.Name == c.Name })
		if i < 0 {
			i = len(lines)
			lines = append(lines, report.Line{Name: c.Name, Y: make([]float64, len(site.Works))})
		}
		lines[i].Y[place] = results.Median(c.Name, measure.CPU)
	}
	return lines
}
