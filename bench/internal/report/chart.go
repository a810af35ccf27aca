package report

import (
	"fmt"
	"math"
	"strings"
)

// Chart shows lines over a logarithmic axis, or bars if no line has an X.
type Chart struct {
	Title string
	XName string
	YName string
	Lines []Line
}

// Line is one contender's.
type Line struct {
	Name string
	X, Y []float64
}

const (
	width, height           = 720, 420
	left, right, top, below = 80, 190, 50, 60
)

var colours = []string{"#0b5fa5", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#be185d", "#0f766e", "#475569", "#1e293b", "#65a30d", "#f472b6"}

// axis maps values to places, logarithmically.
type axis struct{ low, high, from, to float64 }

func newAxis(values []float64, from, to float64) axis {
	a := axis{low: math.Inf(1), high: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		if v > 0 {
			a.low, a.high = min(a.low, math.Log10(v)), max(a.high, math.Log10(v))
		}
	}
	a.low, a.high = math.Floor(a.low), math.Ceil(a.high)
	if !(a.low < a.high) {
		a.high = a.low + 1
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(max(v, math.Pow(10, a.low)))-a.low)/(a.high-a.low)*(a.to-a.from)
}

// decades are the powers of ten that the axis shows.
func (a axis) decades() (all []float64) {
	for e := a.low; e <= a.high; e++ {
		all = append(all, math.Pow(10, e))
	}
	return all
}

// SVG draws the chart. Both axes are logarithmic; bars are drawn upwards.
func (c Chart) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="%s">`+"\n", width, height, escape(c.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, escape(c.Title))
	var xs, ys []float64
	for _, line := range c.Lines {
		xs, ys = append(xs, line.X...), append(ys, line.Y...)
	}
	y := newAxis(ys, height-below, top)
	for _, v := range y.decades() {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%[3]f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, width-right, y.at(v), left-6, y.at(v)+4, Number(v))
	}
	fmt.Fprintf(&b, `<text x="16" y="%d" transform="rotate(-90 16 %[1]d)" text-anchor="middle">%s</text>`+"\n", (height-below+top)/2, escape(c.YName))
	if len(xs) == 0 {
		c.bars(&b, y)
	} else {
		c.curves(&b, newAxis(xs, left+10, width-right-10), y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c Chart) curves(b *strings.Builder, x, y axis) {
	for _, v := range x.decades() {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x.at(v), height-below+18, Number(v))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-16, escape(c.XName))
	for i, line := range c.Lines {
		colour := colours[i%len(colours)]
		var points []string
		for j := range line.X {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(line.X[j]), y.at(line.Y[j])))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(line.X[j]), y.at(line.Y[j]), colour)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", width-right+12, top+20*i+4, colour, escape(line.Name))
	}
}

func (c Chart) bars(b *strings.Builder, y axis) {
	groups := 0
	for _, line := range c.Lines {
		groups = max(groups, len(line.Y))
	}
	names := strings.Split(c.XName, "|")
	group := float64(width-right-left) / float64(groups)
	bar := group * 0.85 / float64(len(c.Lines))
	for i, line := range c.Lines {
		colour := colours[i%len(colours)]
		for j, v := range line.Y {
			if v <= 0 {
				continue
			}
			at := y.at(v)
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s: %s</title></rect>`+"\n",
				left+group*float64(j)+bar*float64(i), at, bar*0.92, float64(height-below)-at, colour, escape(line.Name), Number(v))
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", width-right+12, top+20*i+4, colour, escape(line.Name))
	}
	for j, name := range names {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", left+group*(float64(j)+0.43), height-below+18, escape(name))
	}
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
