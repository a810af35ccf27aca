package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/coatcheck/coatcheck/bench/internal/report"
)

// targets are what was to be reached, with what was. A part has one table of
// them, and targets.md has all: see sumUp.
type targets struct{ rows [][]string }

const (
	targetsTitle = "Targets"

	met        = "met"
	missed     = "missed"
	unmeasured = "not measured"
)

// atMost and atLeast note a ratio, or another number, and its limit. 0 stands
// for one of which a side was left out of the run: it is no less a target.
func (t *targets) atMost(what string, measured, limit float64) {
	t.add(what, measured, "at most", limit, measured <= limit)
}

func (t *targets) atLeast(what string, measured, limit float64) {
	t.add(what, measured, "at least", limit, measured >= limit)
}

func (t *targets) add(what string, measured float64, word string, limit float64, reached bool) {
	verdict := missed
	switch {
	case measured == 0 || math.IsNaN(measured) || math.IsInf(measured, 0):
		verdict = unmeasured
	case reached:
		verdict = met
	}
	t.row(what, measured, word+" "+digits(limit), verdict)
}

// note adds a ratio that has no limit.
func (t *targets) note(what string, measured float64) {
	if measured != 0 {
		t.row(what, measured, "-", "")
	}
}

func (t *targets) row(what string, measured float64, target, verdict string) {
	shown := digits(measured)
	if verdict == unmeasured {
		shown = "-"
	}
	row := []string{what, shown, target, verdict}
	fmt.Fprintf(os.Stderr, "  target: %s\n", strings.Join(row, " | "))
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
	r.Table(targetsTitle, []string{"", "measured", "target", ""}, t.rows)
}

// sumUp writes targets.md: the targets of all parts, from the reports that are
// there, so that it says of each what its report says. A part that did not run
// this time keeps what it showed when it did, with that day.
func sumUp(dir string) error {
	r := report.New(dir, "targets", targetsTitle)
	r.Say("All targets of the reports beside this file, which have the tables behind them; each part with the machine and the day of its own run. " +
		"A row without a target is there for comparison.\n")
	total := map[string]int{}
	var sections []string
	for _, p := range parts {
		content, err := os.ReadFile(filepath.Join(dir, p.name+".md"))
		if errors.Is(err, fs.ErrNotExist) {
			sections = append(sections, fmt.Sprintf("## %s\n\nNot measured.\n", p.name))
			continue
		}
		if err != nil {
			return err
		}
		section, verdicts, err := targetsOf(string(content))
		if err != nil {
			return fmt.Errorf("%s.md: %w", p.name, err)
		}
		for verdict, n := range verdicts {
			total[verdict] += n
		}
		sections = append(sections, fmt.Sprintf("## %s\n\n%s", p.name, section))
	}
	r.Say("%d met, %d missed, %d not measured.\n", total[met], total[missed], total[unmeasured])
	for _, section := range sections {
		r.Say("%s", section)
	}
	return r.Close()
}

// targetsOf takes the line about the machine and the table of targets out of a
// report, and counts the verdicts.
func targetsOf(text string) (section string, verdicts map[string]int, err error) {
	before, after, found := strings.Cut(text, "\n## "+targetsTitle+"\n\n")
	if !found {
		return "", nil, errors.New("has no targets")
	}
	table, _, _ := strings.Cut(after, "\n\n")
	paragraphs := strings.SplitN(before, "\n\n", 3) // the title, the machine
	if len(paragraphs) < 2 {
		return "", nil, errors.New("does not say where it was measured")
	}
	verdicts = map[string]int{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		verdicts[strings.TrimSuffix(cells[len(cells)-1], " |")]++
	}
	return strings.TrimSpace(paragraphs[1]) + "\n\n" + strings.TrimRight(table, "\n") + "\n", verdicts, nil
}
