// Tally reads what "go test -json" says, prints a line for each package and
// everything that a failing test wrote, and counts. script/test uses it to stay
// short when all is well and to end with numbers that are true:
//
//	go test -json ./... | tally -counts FILE
//
// It appends "passed failed skipped" to FILE, and exits with status 1 if
// anything failed. A test and each of its subtests count, as go test reports
// them; a package that fails without a failing test (it does not build, say)
// counts as one failure. With COATCHECK_REQUIRE_ALL=1 a skip is a failure.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	counts := flag.String("counts", "", "append the counts to this `file`")
	flag.Parse()
	tally := &tally{out: os.Stdout, requireAll: os.Getenv("COATCHECK_REQUIRE_ALL") == "1"}
	err := tally.read(os.Stdin)
	if err == nil && *counts != "" {
		err = tally.save(*counts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	if tally.failed > 0 {
		os.Exit(1)
	}
}

// event is a line of "go test -json"; see go doc test2json and go help
// buildjson.
type event struct {
	Action     string
	Package    string
	ImportPath string // in the events of a build
	Test       string
	Output     string
	Elapsed    float64
}

// tally holds what was written by whoever has not finished, and the counts.
type tally struct {
	out        io.Writer
	requireAll bool

	written map[string]*strings.Builder // by package and test
	tests   map[string]*counts          // by package
	counts
}

type counts struct{ passed, failed, skipped int }

func (t *tally) read(in io.Reader) error {
	t.written, t.tests = map[string]*strings.Builder{}, map[string]*counts{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading test events: %w", err)
		}
	}
}

// line takes in one line; what is no event is a message of the go command.
func (t *tally) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(t.out, line)
		return
	}
	switch e.Action {
	case "output":
		t.writer(e).WriteString(e.Output)
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.packageEnds(e)
		} else {
			t.testEnds(e)
		}
	}
}

func (t *tally) writer(e event) *strings.Builder {
	key := e.Package + " " + e.Test
	if t.written[key] == nil {
		t.written[key] = &strings.Builder{}
	}
	return t.written[key]
}

func (t *tally) testEnds(e event) {
	if t.tests[e.Package] == nil {
		t.tests[e.Package] = &counts{}
	}
	tests := t.tests[e.Package]
	switch {
	case e.Action == "pass":
		tests.passed++
	case e.Action == "skip" && !t.requireAll:
		tests.skipped++
	case e.Action == "skip":
		tests.failed++
		fmt.Fprintf(t.out, "FAIL %s %s: skipped, and COATCHECK_REQUIRE_ALL=1 forbids it\n", e.Package, e.Test)
		fmt.Fprint(t.out, t.writer(e))
	default:
		tests.failed++
		fmt.Fprintf(t.out, "FAIL %s %s\n%s", e.Package, e.Test, t.writer(e))
	}
	delete(t.written, e.Package+" "+e.Test)
}

// packageEnds prints the package's line; if it failed, also what it wrote
// outside its tests, and what tests wrote that never ended.
func (t *tally) packageEnds(e event) {
	tests := t.tests[e.Package]
	if tests == nil {
		tests = &counts{}
	}
	if e.Action == "fail" {
		if tests.failed == 0 {
			tests.failed = 1
		}
		for key, written := range t.written {
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(t.out, written)
			}
		}
		fmt.Fprintf(t.out, "FAIL %s\n", e.Package)
	} else if tests.passed+tests.failed+tests.skipped > 0 {
		fmt.Fprintf(t.out, "ok   %s: %d passed in %.1f s\n", e.Package, tests.passed, e.Elapsed)
	}
	for key := range t.written {
		if strings.HasPrefix(key, e.Package+" ") {
			delete(t.written, key)
		}
	}
	t.passed += tests.passed
	t.failed += tests.failed
	t.skipped += tests.skipped
}

func (t *tally) save(name string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%d %d %d\n", t.passed, t.failed, t.skipped)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
