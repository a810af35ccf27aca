// Package report writes what was measured: tables in Markdown, input for
// benchstat, and charts in SVG. A [Report] is one part's files.
package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Report gathers the text of one part, in NAME.md and NAME.txt of a directory.
type Report struct {
	dir, name string
	text      bytes.Buffer
	// Samples is the input for benchstat.
	Samples bytes.Buffer
}

// New begins a report.
func New(dir, name, title string) *Report {
	r := &Report{dir: dir, name: name}
	r.Say("# %s\n", title)
	return r
}

// Say adds a paragraph.
func (r *Report) Say(format string, args ...any) {
	fmt.Fprintf(&r.text, format+"\n", args...)
}

// Table adds a table with a title.
func (r *Report) Table(title string, head []string, rows [][]string) {
	fmt.Fprintf(&r.text, "## %s\n\n", title)
	line := func(cells []string) { fmt.Fprintf(&r.text, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(append([]string{"---"}, strings.Split(strings.Repeat("---: ", len(head)-1), " ")[:len(head)-1]...))
	for _, row := range rows {
		line(row)
	}
	r.text.WriteByte('\n')
}

// Chart writes a chart beside the report and shows it in it.
func (r *Report) Chart(file string, c Chart) error { return r.drawing(file, c.Title, c.SVG()) }

// Steps does the same with steps.
func (r *Report) Steps(file string, s Steps) error { return r.drawing(file, s.Title, s.SVG()) }

func (r *Report) drawing(file, title, svg string) error {
	fmt.Fprintf(&r.text, "![%s](%s)\n\n", title, file)
	return r.write(file, []byte(svg))
}

// Close writes the report.
func (r *Report) Close() error {
	if r.Samples.Len() > 0 {
		if err := r.write(r.name+".txt", r.Samples.Bytes()); err != nil {
			return err
		}
	}
	return r.write(r.name+".md", append(bytes.TrimRight(r.text.Bytes(), "\n"), '\n'))
}

func (r *Report) write(file string, content []byte) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, file), content, 0o644)
}

// Number writes a number with three digits that mean something.
func Number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case abs >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case abs >= 10_000:
		return fmt.Sprintf("%.1f k", v/1e3)
	case abs >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Times writes a ratio.
func Times(v float64) string { return Number(v) + "x" }
