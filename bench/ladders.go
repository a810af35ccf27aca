package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// measureLadders measures what each duty costs, with three keys, serially. Of
// one ladder all rungs, and Coatcheck, are measured side by side. A run of some
// contenders has no ladders unless "floor with duties" is one of them.
func measureLadders(o options, r *report.Report, rounds int, each time.Duration) error {
	if o.only != "" && !slices.Contains(strings.Split(o.only, ","), "floor with duties") {
		return nil
	}
	r.Say("## What the duties cost\n")
	r.Say("Step by step from the floor to the least code that keeps all the rules, which is \"floor with duties\" above; each step has those before it. " +
		"\"adds\" is the median of the rounds' differences to the step before it, in nanoseconds of processor time; a step that costs less than the rounds differ can come out below zero. " +
		"\"for\" is what asks for the step: a heading of docs/design.md, or a threat of docs/threat-model.md. A saving that makes the steps before it cheaper (\"memory used again\") is no duty.\n")
	chart := report.Steps{Title: "What the duties cost, 3 keys, serial", Unit: "processor time, ns"}
	for _, l := range site.Ladders {
		own, err := site.Named(l.Own)
		if err != nil {
			return err
		}
		steps := append(slices.Clone(l.Rungs), site.Rung{Contender: own})
		subjects := make([]measure.Subject, len(steps))
		contenders := make([]site.Contender, len(steps))
		for i, rung := range steps {
			contenders[i] = rung.Contender
			subjects[i] = requestSubject(rung.Contender, site.Small, l.Work, again)
		}
		results, err := measure.Compare(subjects, rounds, each, 1)
		if err != nil {
			return err
		}
		title := "What the duties cost: " + l.Title()
		head, rows := ladderTable(steps, results)
		r.Table(title, head, rows)
		fmt.Fprintln(os.Stderr, title)
		for _, row := range rows {
			fmt.Fprintf(os.Stderr, "  %-36s %s\n", row[0], strings.Join(row[1:len(row)-1], "  "))
		}
		if err := results.Benchstat(&r.Samples, "Ladder/work="+strings.NewReplacer(" ", "_", ",", "").Replace(l.Title()), names(contenders)); err != nil {
			return err
		}
		if !l.Sealed {
			chart.Groups = append(chart.Groups, stepGroup(l, steps, results))
		}
	}
	return r.Steps("ladders.svg", chart)
}

// ladderTable has a row for each step, the last for what Coatcheck costs.
func ladderTable(steps []site.Rung, results measure.Results) (head []string, rows [][]string) {
	head = []string{"", "ns", "CPU ns", "B", "allocations", "x floor", "adds", "for"}
	for i, step := range steps {
		row := []string{step.Name}
		for _, of := range []func(measure.Sample) float64{measure.Nanos, measure.CPU, measure.Bytes, measure.Allocs} {
			row = append(row, report.Number(results.Median(step.Name, of)))
		}
		row = append(row, report.Times(results.Ratio(step.Name, steps[0].Name, measure.CPU)))
		if i == 0 {
			rows = append(rows, append(row, "", ""))
			continue
		}
		row = append(row, report.Number(results.Difference(step.Name, steps[i-1].Name, measure.CPU)))
		rows = append(rows, append(row, step.Keeps))
	}
	return head, rows
}

func stepGroup(l site.Ladder, steps []site.Rung, results measure.Results) report.StepGroup {
	group := report.StepGroup{Name: l.Title()}
	for _, step := range steps {
		group.Steps = append(group.Steps, report.Step{
			Name:  step.Name,
			Value: results.Median(step.Name, measure.CPU),
			Whole: step.Name == l.Own,
		})
	}
	return group
}
