package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTallyCountsAndShowsWhatFailed(t *testing.T) {
	const (
		passes = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
`
		fails = `{"Action":"output","Package":"p","Test":"TestB/x","Output":"broken\n"}
{"Action":"fail","Package":"p","Test":"TestB/x"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- FAIL: TestB\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
`
		skips = `{"Action":"output","Package":"p","Test":"TestC","Output":"no browser\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
`
		packagePasses = `{"Action":"pass","Package":"p","Elapsed":1.25}` + "\n"
		packageFails  = `{"Action":"fail","Package":"p"}` + "\n"
	)
	for _, c := range []struct {
		name       string
		events     string
		requireAll bool
		want       counts
		shows      []string
		hides      string
	}{
		{"a pass is one line", passes + packagePasses, true, counts{passed: 1}, []string{"ok   p: 1 passed in 1.2 s\n"}, "quiet"},
		{"a failure shows what it wrote", passes + fails + packageFails, true, counts{1, 2, 0}, []string{"FAIL p TestB/x\nbroken\n", "FAIL p\n"}, "quiet"},
		{"a skip counts as one", skips + packagePasses, false, counts{skipped: 1}, []string{"ok   p: 0 passed"}, "no browser"},
		{"a skip fails when all is required", skips + packagePasses, true, counts{failed: 1}, []string{"FAIL p TestC: skipped", "no browser"}, "quiet"},
		{"a build that fails is one failure", `{"ImportPath":"p","Action":"build-output","Output":"syntax\n"}` + "\n" + packageFails, true, counts{failed: 1}, []string{"syntax\n", "FAIL p\n"}, "ok"},
		{"a panic shows what was under way", `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: no\n"}` + "\n" + packageFails, true, counts{failed: 1}, []string{"panic: no"}, "ok"},
		{"a package without tests says nothing", `{"Action":"skip","Package":"q"}` + "\n", true, counts{}, nil, "q"},
		{"a message of the go command is passed on", "go: no such module\n", true, counts{}, []string{"go: no such module\n"}, "FAIL"},
		{"an unfinished last line counts", passes + strings.TrimSpace(packagePasses), true, counts{passed: 1}, []string{"ok   p"}, "quiet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			tally := &tally{out: &out, requireAll: c.requireAll}
			if err := tally.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if tally.counts != c.want {
				t.Errorf("counted %+v, want %+v", tally.counts, c.want)
			}
			for _, text := range c.shows {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not show %q:\n%s", text, &out)
				}
			}
			if strings.Contains(out.String(), c.hides) {
				t.Errorf("shows %q:\n%s", c.hides, &out)
			}
		})
	}
}

func TestTallySavesOneLinePerRun(t *testing.T) {
	name := filepath.Join(t.TempDir(), "counts")
	for _, run := range []counts{{3, 0, 1}, {2, 1, 0}} {
		if err := (&tally{counts: run}).save(name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := "3 0 1\n2 1 0\n"; string(got) != want {
		t.Errorf("saved %q, want %q", got, want)
	}
}
