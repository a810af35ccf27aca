package report

import (
	"fmt"
	"strings"
)

// Steps shows how something grows step by step: groups of bars that lie, each
// with what it adds to the one before it in a stronger colour. All have one
// axis, which begins at zero.
type Steps struct {
	Title  string
	Unit   string
	Groups []StepGroup
}

// StepGroup is one row of steps.
type StepGroup struct {
	Name  string
	Steps []Step
}

// Step is one bar.
type Step struct {
	Name  string
	Value float64
	Whole bool // drawn in one colour: nothing is compared with the step before
}

const (
	stepLeft, stepRight = 270, 70
	stepRow             = 18
	stepTop             = 44
)

// SVG draws the chart.
func (s Steps) SVG() string {
	var b strings.Builder
	rows, longest := 0, 0.0
	for _, group := range s.Groups {
		rows += len(group.Steps) + 2
		for _, step := range group.Steps {
			longest = max(longest, step.Value)
		}
	}
	height := stepTop + rows*stepRow
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="%s">`+"\n", width, height, escape(s.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="16" y="24" font-size="15" font-weight="bold">%s</text><text x="%d" y="24" text-anchor="end">%s</text>`+"\n", escape(s.Title), width-16, escape(s.Unit))
	scale := float64(width-stepLeft-stepRight) / max(longest, 1)
	y := stepTop
	for _, group := range s.Groups {
		fmt.Fprintf(&b, `<text x="16" y="%d" font-weight="bold">%s</text>`+"\n", y+13, escape(group.Name))
		y += stepRow
		before := 0.0
		for _, step := range group.Steps {
			step.draw(&b, y, before, scale)
			before = step.Value
			y += stepRow
		}
		y += stepRow
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (s Step) draw(b *strings.Builder, y int, before, scale float64) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, stepLeft-8, y+13, escape(s.Name))
	bar := func(from, to float64, colour string) {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, stepLeft+from*scale, y+2, (to-from)*scale, stepRow-4, colour)
	}
	if s.Whole {
		bar(0, s.Value, colours[1])
	} else {
		kept := min(before, s.Value)
		bar(0, kept, "#b6cfe4")
		bar(kept, s.Value, colours[0])
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", stepLeft+s.Value*scale+6, y+13, Number(s.Value))
}
