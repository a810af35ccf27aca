package exchange

import (
	"fmt"
	"strings"
)

// Layout says how large a diagram is. There are two, so that the letters stay
// readable on a phone.
type Layout struct {
	Name    string
	width   int
	lanes   [4]int // where browser, network, server and store stand
	letter  float64
	line    int // from one line of text to the next
	request int // characters in a line between browser and server
	step    int // characters in a line between server and store
	note    int // width of a note
	caption bool
}

// The layouts, in units that are pixels at the size they are meant for.
var (
	Wide   = Layout{"wide", 960, [4]int{70, 330, 600, 890}, 7.3, 18, 68, 36, 270, true}
	Narrow = Layout{"narrow", 360, [4]int{26, 112, 200, 332}, 6.1, 15, 52, 30, 200, false}
)

// Drawing is a diagram with every position worked out, for a template to write
// down as SVG.
type Drawing struct {
	Name          string
	Width, Height int
	Top, Bottom   int // of the lifelines
	Lanes         []Lane
	Texts         []Text
	Arrows        []Arrow
	Notes         []Note
}

// Lane is one of the four who take part.
type Lane struct {
	Name, Caption string
	X             int
	Anchor        string
	Network       bool
	Left, Wide    int // of the network's band
}

// Text is one line of text.
type Text struct {
	X, Y   int
	Kind   string // "first", "field", "cookie" or "answer": how it looks
	Anchor string
	Line   string
}

// Arrow is a message from one lane to another.
type Arrow struct {
	X1, X2, Y int
	Back      bool // an answer, drawn dashed
}

// Head is the arrow's point, as the points of a polygon.
func (a Arrow) Head() string {
	back := 8
	if a.X2 < a.X1 {
		back = -8
	}
	return fmt.Sprintf("%d,%d %d,%d %d,%d", a.X2, a.Y, a.X2-back, a.Y-4, a.X2-back, a.Y+4)
}

// Note is a remark on the server's lane.
type Note struct {
	X, Y, Wide, High int
	Texts            []Text
}

const (
	browser = iota
	network
	server
	kept
)

// Draw lays an exchange out: the request across, what the store was asked, the
// answer back.
func Draw(e Exchange, layout Layout) Drawing {
	p := &pen{Layout: layout, Drawing: Drawing{Name: layout.Name, Width: layout.width, Top: 56}, y: 64}
	p.drawLanes(e)
	p.message(browser, server, e.requestText(), false)
	if remark := e.remark(); remark != "" {
		p.remark(remark)
	}
	for _, step := range e.Steps {
		p.step(step)
	}
	if e.Status != 0 {
		p.message(server, browser, e.responseText(), true)
	}
	p.Bottom = p.y + 14
	p.Height = p.Bottom + 10
	return p.Drawing
}

type pen struct {
	Layout
	Drawing
	y int // how far down the drawing has come
}

func (p *pen) drawLanes(e Exchange) {
	captions := [4]string{"keeps the cookie", e.eavesdropper(), "checks, decides", "keeps what is checked"}
	for i, name := range [4]string{"Browser", "Network", "Server", "Store"} {
		lane := Lane{Name: name, X: p.lanes[i], Anchor: "middle"}
		if p.caption {
			lane.Caption = captions[i]
		}
		if i == network {
			lane.Network, lane.Wide = true, p.width/9
			lane.Left = lane.X - lane.Wide/2
		}
		p.Lanes = append(p.Lanes, lane)
	}
	if !p.caption { // the outer names would stick out
		p.Lanes[browser].Anchor, p.Lanes[browser].X = "start", 4
		p.Lanes[kept].Anchor, p.Lanes[kept].X = "end", p.width-4
	}
}

// Lifeline is where a lane's line is drawn, which its name need not stand over.
func (d Drawing) Lifeline(lane int) int {
	if d.Name == Wide.Name {
		return Wide.lanes[lane]
	}
	return Narrow.lanes[lane]
}

func (e Exchange) eavesdropper() string {
	switch {
	case e.Secure:
		return "sees that, not what"
	case e.Local:
		return "inside this machine"
	}
	return "reads everything"
}

type sentence struct{ kind, text string }

func (e Exchange) requestText() []sentence {
	said := []sentence{{"first", e.Method + " " + e.Path + " " + e.Proto}}
	for _, field := range e.Request {
		said = append(said, sentence{"field", field.Name + ": " + field.Value})
	}
	for _, cookie := range e.Brought {
		said = append(said, sentence{cookie.kind(), "Cookie: " + cookie.Line()})
	}
	return said
}

func (e Exchange) responseText() []sentence {
	said := []sentence{{"first", e.Answer()}}
	for _, field := range e.Response {
		said = append(said, sentence{"field", field.Name + ": " + field.Value})
	}
	for _, cookie := range e.Set {
		said = append(said, sentence{cookie.kind(), "Set-Cookie: " + cookie.Line()})
	}
	return said
}

func (c Cookie) kind() string {
	if c.Session {
		return "cookie"
	}
	return "field"
}

// remark is what the server does with the cookie between the two.
func (e Exchange) remark() string {
	for _, cookie := range e.Brought {
		if cookie.Session {
			return "SHA-256 of the secret is compared with the one kept"
		}
	}
	return "no session cookie came"
}

// message draws one side of the exchange: the text, then the arrow below it.
func (p *pen) message(from, to int, said []sentence, back bool) {
	p.y += 6
	left := p.lanes[browser] + 10
	for _, s := range said {
		for _, line := range wrapped(s.text, p.request) {
			p.y += p.line
			p.Texts = append(p.Texts, Text{left, p.y, s.kind, "start", line})
		}
	}
	p.arrow(from, to, back)
}

func (p *pen) step(step Step) {
	ask := step.Verb
	if step.ID != "" {
		ask += " " + step.ID
	}
	p.beside(ask, "first")
	p.arrow(server, kept, false)
	p.beside(step.Answer, "answer")
	p.arrow(kept, server, true)
}

func (p *pen) beside(text, kind string) {
	for _, line := range wrapped(text, p.Layout.step) {
		p.y += p.line
		p.Texts = append(p.Texts, Text{p.lanes[kept] - 10, p.y, kind, "end", line})
	}
}

func (p *pen) arrow(from, to int, back bool) {
	p.y += 9
	p.Arrows = append(p.Arrows, Arrow{p.lanes[from], p.lanes[to], p.y, back})
	p.y += 4
}

func (p *pen) remark(text string) {
	p.y += 8
	lines := wrapped(text, int(float64(p.note-16)/p.letter))
	middle := p.lanes[server]
	note := Note{X: middle - p.note/2, Y: p.y, Wide: p.note, High: len(lines)*p.line + 12}
	for i, line := range lines {
		note.Texts = append(note.Texts, Text{middle, p.y + (i+1)*p.line, "answer", "middle", line})
	}
	p.Notes = append(p.Notes, note)
	p.y += note.High + 4
}

// wrapped breaks text into lines of at most so many characters, at spaces
// where there are any. Lines after the first are indented.
func wrapped(text string, most int) []string {
	const indent = "  "
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for len([]rune(word)) > most-len(indent) {
			letters := []rune(word)
			cut := most - len(indent)
			if line != "" {
				lines, line = append(lines, line), indent
			}
			lines, line = append(lines, line+string(letters[:cut])), indent
			word = string(letters[cut:])
		}
		switch {
		case line == "" || line == indent:
			line += word
		case len([]rune(line))+1+len([]rune(word)) <= most:
			line += " " + word
		default:
			lines, line = append(lines, line), indent+word
		}
	}
	if strings.TrimSpace(line) != "" {
		lines = append(lines, line)
	}
	return lines
}
