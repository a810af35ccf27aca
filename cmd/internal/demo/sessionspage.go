package demo

import (
	"fmt"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
)

// sessionRow is one session in a list.
type sessionRow struct {
	Info    coatcheck.Info
	Ticket  string
	Current bool
}

func rowOf(info coatcheck.Info, session *coatcheck.Session) sessionRow {
	return sessionRow{info, exchange.Short(info.ID), info.ID == session.ID()}
}

func (s *Site) listSessions(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	infos, err := s.sessions.List(r.Context(), session.Subject())
	if err != nil {
		return err
	}
	var rows []sessionRow
	for _, info := range infos { // this browser's first
		if row := rowOf(info, session); row.Current {
			rows = append([]sessionRow{row}, rows...)
		} else {
			rows = append(rows, row)
		}
	}
	return s.show(w, r, session, http.StatusOK, "sessions", page{Title: "Your sessions", Section: "/sessions", Body: map[string]any{
		"Sessions": rows, "Proven": session.AuthenticatedAt(),
	}})
}

// endSession ends one other session of this person. Session.EndOther knows no
// session of anybody else.
func (s *Site) endSession(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	if !session.Fresh(freshForSessions) {
		return proveAgain(w, r, "/sessions")
	}
	id, err := coatcheck.ParseID(r.PostForm.Get("id"))
	if err != nil {
		return errBadForm
	}
	if err := session.EndOther(r.Context(), id); err != nil {
		return err
	}
	if err := flash.Set(session, "Ticket "+exchange.Short(id)+" is cancelled. Whoever held it is signed out."); err != nil {
		return err
	}
	return seeOther(w, r, "/sessions")
}

func (s *Site) endOtherSessions(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if !session.Fresh(freshForSessions) {
		return proveAgain(w, r, "/sessions")
	}
	ended, err := session.EndOthers(r.Context())
	if err != nil {
		return err
	}
	if err := flash.Set(session, countOf(ended, "other session")+" ended."); err != nil {
		return err
	}
	return seeOther(w, r, "/sessions")
}

func countOf(n int, what string) string {
	switch n {
	case 0:
		return "No " + what
	case 1:
		return "One " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
