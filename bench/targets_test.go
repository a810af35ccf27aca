package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/bench/internal/report"
)

func TestTargets(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, add func(*targets)) {
		t.Helper()
		r := report.New(dir, name, "A part")
		r.Say("2 cores, on that day.\n")
		var all targets
		add(&all)
		all.write(r)
		r.Say("![a chart](a.svg)\n")
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("requests", func(all *targets) {
		all.atMost("reached", 1, 1)
		all.atMost("exceeded", 1.001, 1)
		all.note("for comparison", 7)
	})
	write("scale", func(all *targets) {
		all.atLeast("reached too", 30, 30)
		all.atLeast("not reached", 29.9, 30)
		all.atMost("left out", 0, 2)
		all.note("left out too", 0)
	})
	if err := sumUp(dir); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "targets.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 met, 2 missed, 1 not measured.",
		"## requests\n\n2 cores, on that day.\n\n|  | measured |",
		"| reached | 1 | at most 1 | met |", "| exceeded | 1.00 | at most 1 | missed |", "| for comparison | 7 | - |  |",
		"| reached too | 30 | at least 30 | met |", "| not reached | 29.9 | at least 30 | missed |", "| left out | - | at most 2 | not measured |",
		"## stores\n\nNot measured.",
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("%q is not in\n%s", want, content)
		}
	}
	for _, surplus := range []string{"left out too", "a chart"} {
		if strings.Contains(string(content), surplus) {
			t.Errorf("%q is in\n%s", surplus, content)
		}
	}
}

// What is in results can be summed up, whichever run a part is of.
func TestReportsHaveTargets(t *testing.T) {
	for _, p := range parts {
		content, err := os.ReadFile(filepath.Join("results", p.name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		if _, verdicts, err := targetsOf(string(content)); err != nil || verdicts[met]+verdicts[missed] == 0 {
			t.Errorf("%s: %v, %v", p.name, verdicts, err)
		}
	}
}

// The design asks for memory at one and at five million sessions, and for the
// rest at five.
func TestScaleTargets(t *testing.T) {
	sizes := []int{1_000, 1_000_000, 5_000_000}
	results := map[string][]scaleResult{}
	for _, name := range tableNames {
		for i := range sizes {
			n := float64(i + 1)
			results[name] = append(results[name], scaleResult{Stored: 100 * n, Filled: 120 * n, Churned: 130 * n, Collect: n, Mean: n, Sweep: tail{P9999: 300, Worst: n}})
		}
	}
	flat := map[string][]float64{"floor": {1, 2, 3}, "coatcheck": {1, 2, 2.5}}
	dir := t.TempDir()
	r := report.New(dir, "scale", "A part")
	r.Say("2 cores.\n")
	scaleTargets(r, sizes, results, flat)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| resident bytes, 1.00 M sessions, lean, filled, of those stored | 1.20 | at most 1.30 | met |",
		"| resident bytes, 5.00 M sessions, mixed, after churn, of those stored | 1.30 | at most 1.30 | met |",
		"| resident bytes, 1.00 M sessions, lean, filled, of scs's | 1 | at most 0.85 | missed |",
		"| collector's cycle, 5.00 M sessions, mixed sizes, of scs's | 1 | at most 0.0100 | missed |",
		"| look-up during a sweep, 5.00 M sessions, signed in, p99.99 in milliseconds | 0.30 | at most 0.30 | met |",
		"| coatcheck: read one key, 5.00 M sessions, of one among 1000 | 2.50 | - |  |",
		"| look-up, 5.00 M sessions, signed in, of one among 1000 | 3 | - |  |",
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("%q is not in\n%s", want, content)
		}
	}
}
