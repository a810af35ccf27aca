package demo

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

//go:embed templates
var templateFiles embed.FS

// flash is a sentence for the next page.
var flash = coatcheck.NewKey[string]("flash")

// page is what every template gets; Body is the page's own.
type page struct {
	Title   string
	Section string // the place in the navigation
	Back    string // where a sign-in should lead back to
	Flash   string
	Visit   visit
	Body    any
}

// visit is what every page says about its session.
type visit struct {
	ID        string // empty: there is no session
	Ticket    string
	SignedIn  bool
	Binds     bool // to devices, if the browser can
	Account   house.Account
	CartCount int
	Cookie    *exchange.Cookie // as it came with the request; nil if it did not
	Unread    bool             // whether there is a session could not be found out
	Expires   time.Time
	Absolute  time.Time
}

// loadPages parses each page together with the frame and the parts that all
// pages share.
func loadPages(s *Site) (map[string]*template.Template, error) {
	var frame *template.Template
	frame = template.New("").Funcs(template.FuncMap{
		"asset":        s.assets.url,
		"ago":          func(t time.Time) string { return ago(s.now().Sub(t)) },
		"at":           func(t time.Time) string { return at(t.Local(), s.now().Local(), "15:04") },
		"atSeconds":    func(t time.Time) string { return at(t.Local(), s.now().Local(), "15:04:05") },
		"clockSeconds": func(t time.Time) string { return t.Local().Format("15:04:05") },
		"moment":       func(t time.Time) string { return moment(t.Local(), s.now().Local()) },
		"stamp":        func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"sub":          func(a, b int) int { return a - b },
		"place": func(path, name, here string) map[string]any {
			return map[string]any{"Path": path, "Name": name, "Here": path == here}
		},
		"drawing": func(name string) (template.HTML, error) {
			var svg bytes.Buffer
			err := frame.ExecuteTemplate(&svg, "drawing-"+name, nil)
			return template.HTML(svg.String()), err // a constant of parts.html
		},
	})
	shared := []string{"templates/base.html", "templates/parts.html"}
	if _, err := frame.ParseFS(templateFiles, shared...); err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	// A template that has been executed cannot be cloned: keep one to clone.
	blank, err := frame.Clone()
	if err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	names, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, entry := range names {
		name := "templates/" + entry.Name()
		if name == shared[0] || name == shared[1] {
			continue
		}
		one, err := blank.Clone()
		if err == nil {
			one, err = one.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("load pages: %s: %w", name, err)
		}
		pages[strings.TrimSuffix(entry.Name(), path.Ext(entry.Name()))] = one
	}
	return pages, nil
}

// show answers with a page.
func (s *Site) show(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, status int, name string, p page) error {
	if session != nil {
		p.Visit = s.visitOf(r, session)
		said, _, err := flash.Pop(session)
		if err != nil {
			return fmt.Errorf("show %s: %w", name, err)
		}
		p.Flash = said
	}
	if p.Back == "" && r.Method == http.MethodGet && r.URL.Path != "/sign-in" && name != "problem" && name != "goodbye" && name != "welcome" {
		p.Back = r.URL.Path
	}
	var body bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&body, "base", p); err != nil {
		return fmt.Errorf("show %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !p.Visit.SignedIn { // what a signed-in visitor saw, the session manager keeps from every cache
		w.Header().Set("Cache-Control", "private, no-cache")
	}
	w.WriteHeader(status)
	_, err := w.Write(body.Bytes())
	if err != nil {
		return fmt.Errorf("show %s: %w", name, err)
	}
	return nil
}

func (s *Site) visitOf(r *http.Request, session *coatcheck.Session) visit {
	id := session.ID()
	if id.IsZero() {
		// A visitor without a session may have brought a ticket all the same: one
		// that opens nothing.
		return visit{CartCount: cartOf(session).Count(), Cookie: s.broughtBy(r, cookieName, visitName)}
	}
	info := session.Info()
	v := visit{
		ID:        id.String(),
		Ticket:    exchange.Short(id),
		SignedIn:  session.SignedIn(),
		Binds:     s.binds,
		CartCount: cartOf(session).Count(),
		Expires:   info.Expires,
		Absolute:  info.Absolute,
	}
	if !v.SignedIn {
		v.Cookie = s.broughtBy(r, visitName)
		return v
	}
	v.Account, _ = s.accounts.Find(session.Subject())
	v.Cookie = s.broughtBy(r, cookieName)
	return v
}

// broughtBy is the first cookie of one of these names that came with the
// request, or nil.
func (s *Site) broughtBy(r *http.Request, names ...string) *exchange.Cookie {
	for _, cookie := range s.recorder.Present(r).Brought {
		if slices.Contains(names, cookie.Name) {
			return &cookie
		}
	}
	return nil
}

// ago says how long something is past.
func ago(past time.Duration) string {
	switch {
	case past < 10*time.Second:
		return "just now"
	case past < time.Minute:
		return fmt.Sprintf("%d seconds ago", int(past.Seconds()))
	case past < 2*time.Minute:
		return "a minute ago"
	case past < time.Hour:
		return fmt.Sprintf("%d minutes ago", int(past.Minutes()))
	case past < 2*time.Hour:
		return "an hour ago"
	case past < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(past.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(past.Hours()/24))
}

// at says when something is or was, with the date where the time of day alone
// would be taken for another.
func at(t, now time.Time, clock string) string {
	if t.Sub(now).Abs() < 20*time.Hour {
		return "at " + t.Format(clock)
	}
	return "on " + t.Format("2 January") + " at " + t.Format(clock)
}

// moment is a time of day, with the date if that is not today's.
func moment(t, now time.Time) string {
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2 January, 15:04")
}
