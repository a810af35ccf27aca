package demo

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
)

// How much the administrator's page reads and shows.
const (
	maxRead  = 5_000
	maxShown = 100
)

// counts are the sessions that there are.
type counts struct{ SignedIn, Anonymous, Subjects int }

// eventRow is one event in the administrator's list.
type eventRow struct {
	coatcheck.Event
	Ticket string
}

func (s *Site) admin(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	subject := strings.TrimSpace(r.URL.Query().Get("subject"))
	var all []coatcheck.Info
	for info, err := range s.sessions.All(r.Context()) {
		if err != nil {
			return err
		}
		if all = append(all, info); len(all) == maxRead {
			break
		}
	}
	shown := all
	if subject != "" {
		var err error
		if shown, err = s.sessions.List(r.Context(), subject); err != nil {
			return err
		}
	}
	slices.SortFunc(shown, func(a, b coatcheck.Info) int { return b.LastSeen.Compare(a.LastSeen) })
	var rows []sessionRow
	for _, info := range shown[:min(len(shown), maxShown)] {
		rows = append(rows, rowOf(info, session))
	}
	var events []eventRow
	for _, event := range s.events.newestFirst() {
		row := eventRow{Event: event}
		if !event.ID.IsZero() {
			row.Ticket = exchange.Short(event.ID)
		}
		events = append(events, row)
	}
	return s.show(w, r, session, http.StatusOK, "admin", page{Title: "The cloakroom", Section: "/admin", Body: map[string]any{
		"Subject": subject, "Sessions": rows, "More": len(shown) > maxShown, "Events": events, "Counts": countsOf(all),
	}})
}

func countsOf(infos []coatcheck.Info) counts {
	var c counts
	subjects := map[string]bool{}
	for _, info := range infos {
		if info.Subject == "" {
			c.Anonymous++
			continue
		}
		c.SignedIn++
		subjects[info.Subject] = true
	}
	c.Subjects = len(subjects)
	return c
}

// adminEnd ends anybody's session, which is what the manager's own methods are
// for.
func (s *Site) adminEnd(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	back := adminOf(r.PostForm.Get("subject"))
	if !session.Fresh(freshForSessions) {
		return proveAgain(w, r, url.QueryEscape(back))
	}
	id, err := coatcheck.ParseID(r.PostForm.Get("id"))
	if err != nil {
		return errBadForm
	}
	ended, err := s.sessions.End(r.Context(), id)
	if err != nil {
		return err
	}
	if err := flash.Set(session, countOf(ended, "session")+" ended."); err != nil {
		return err
	}
	return seeOther(w, r, back)
}

// adminOf is the page with the sessions of one subject, or of all.
func adminOf(subject string) string {
	if subject == "" {
		return "/admin"
	}
	return "/admin?subject=" + url.QueryEscape(subject)
}

func (s *Site) adminEndSubject(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	subject := r.PostForm.Get("subject")
	if subject == "" {
		return errBadForm
	}
	if !session.Fresh(freshForSessions) {
		return proveAgain(w, r, url.QueryEscape(adminOf(subject)))
	}
	if subject == session.Subject() { // this session is one of them: keep it, and end the rest
		return s.endOtherSessions(w, r, session)
	}
	ended, err := s.sessions.EndSubject(r.Context(), subject)
	if err != nil {
		return err
	}
	if err := flash.Set(session, countOf(ended, "session")+" of "+subject+" ended."); err != nil {
		return err
	}
	return seeOther(w, r, "/admin")
}
