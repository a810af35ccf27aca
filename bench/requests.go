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

// measureRequests measures one request in process: no socket, no server, the
// handler called as a server would. To profile one kind of work of one
// contender there is BenchmarkSite, in internal/site/bench_test.go.
func measureRequests(o options) error {
	// A server has a heap. Without one the collector would run all the time,
	// and what is measured would be how often it starts.
	heap := make([]byte, 64<<20)
	defer runtime.KeepAlive(heap)
	rounds, each := 9, 100*time.Millisecond
	if o.quick {
		rounds, each = 5, 40*time.Millisecond
	}
	r := report.New(o.out, "requests", "One request, in process")
	r.Say("%s\n", machine())
	r.Say("Medians of %d rounds; \"x floor\" and \"x scs\" are medians of the rounds' ratios of processor time, the collector's included.\n", rounds)
	chart := report.Chart{Title: "One request, 3 keys, serial", YName: "processor time, ns", XName: strings.Join(workNames(), "|")}
	small := map[site.Work]measure.Results{}
	for _, payload := range []site.Payload{site.Small, site.Large} {
		for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
			for _, work := range site.Works {
				contenders := chosen(o, payload, work)
				subjects := make([]measure.Subject, len(contenders))
				for i, c := range contenders {
					subjects[i] = requestSubject(c, payload, work)
				}
				results, err := measure.Compare(subjects, rounds, each, goroutines)
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
	requestTargets(r, small)
	return r.Close()
}

// requestTargets compares processor time, of 3 keys, serially.
func requestTargets(r *report.Report, small map[site.Work]measure.Results) {
	var t targets
	cpu := func(w site.Work, name, by string) float64 {
		if small[w][name] == nil || small[w][by] == nil {
			return 0
		}
		return small[w].Ratio(name, by, measure.CPU)
	}
	for _, aim := range []struct {
		work       site.Work
		floor, scs float64
	}{{site.Untouched, 1, 30}, {site.ReadOne, 1.6, 15}, {site.WriteOne, 1.8, 15}, {site.SignIn, 2, 8}} {
		t.atMost(string(aim.work)+", of the floor", cpu(aim.work, "coatcheck", "floor"), aim.floor)
		t.atLeast(string(aim.work)+", scs's time of it", cpu(aim.work, "scs", "coatcheck"), aim.scs)
		t.atLeast(string(aim.work)+", sealed, scs's time of it", cpu(aim.work, "scs", "coatcheck sealed"), 8)
	}
	if read := small[site.ReadOne]; read["scs"] != nil {
		t.atLeast("read one key, scs's bytes of it", read.Ratio("scs", "coatcheck", measure.Bytes), 15)
	}
	t.atMost("read one key, sealed, of unsealed", cpu(site.ReadOne, "coatcheck sealed", "coatcheck"), 2)
	t.atMost("the same, of sessions not used for a while", cpu(site.ReadOne, "coatcheck sealed cold", "coatcheck"), 2)
	for _, l := range site.Ladders {
		t.note(l.Title()+", of the floor with duties", cpu(l.Work, l.Own, l.Bound))
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

// requestSubject is a new site for each round, with a visitor for each
// goroutine.
func requestSubject(c site.Contender, p site.Payload, w site.Work) measure.Subject {
	return measure.Subject{Name: c.Name, Begin: func(goroutines int) ([]func(), func() error, error) {
		s, err := c.New(p)
		if err != nil {
			return nil, nil, err
		}
		visitors := make([]site.Visitor, goroutines)
		operations := make([]func(), goroutines)
		for i := range operations {
			if visitors[i], err = s.Visitor(w); err != nil {
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
