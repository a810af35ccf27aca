package main

import (
	"fmt"
	"os"

	"github.com/coatcheck/coatcheck/bench/internal/report"
)

// targets are what was to be reached, with what was.
type targets struct{ rows [][]string }

// atMost and atLeast note a ratio, or another number, and its limit.
func (t *targets) atMost(what string, measured, limit float64) {
	t.add(what, measured, "at most", limit, measured <= limit)
}

func (t *targets) atLeast(what string, measured, limit float64) {
	t.add(what, measured, "at least", limit, measured >= limit)
}

func (t *targets) add(what string, measured float64, word string, limit float64, met bool) {
	if measured == 0 { // one of the two was left out of this run
		return
	}
	verdict := "missed"
	if met {
		verdict = "met"
	}
	row := []string{what, digits(measured), word + " " + digits(limit), verdict}
	fmt.Fprintf(os.Stderr, "  target: %v\n", row)
	t.rows = append(t.rows, row)
}

// note adds a ratio that has no limit.
func (t *targets) note(what string, measured float64) {
	if measured == 0 {
		return
	}
	row := []string{what, digits(measured), "-", ""}
	fmt.Fprintf(os.Stderr, "  for comparison: %v\n", row)
	t.rows = append(t.rows, row)
}

func digits(v float64) string {
	if v != 0 && v < 0.1 {
		return fmt.Sprintf("%.4f", v)
	}
	return report.Number(v)
}

// write adds the table to a report.
func (t *targets) write(r *report.Report) {
	r.Table("Targets", []string{"", "measured", "target", ""}, t.rows)
}
