package demo

import (
	"net/http"
	"strconv"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
)

// happenedPage is one exchange, drawn and explained.
type happenedPage struct {
	Exchange exchange.Exchange
	Drawings []exchange.Drawing
	Network  string
	Cookie   exchange.Cookie
	Reasons  []exchange.Reason
	SetBy    *exchange.Exchange // the earlier exchange that set the cookie, if it was not this one

	List []exchange.Exchange
	Info coatcheck.Info
	Keys []string
	// Sealed: the store is outside this process, and cannot read the data.
	Sealed bool
}

func happenedOf(e exchange.Exchange) happenedPage {
	p := happenedPage{
		Exchange: e,
		Drawings: []exchange.Drawing{exchange.Draw(e, exchange.Wide), exchange.Draw(e, exchange.Narrow)},
		Network:  "It went over plain http.",
	}
	switch {
	case e.Secure:
		p.Network = "On the way it was encrypted: a listener sees that these two talk, when and how much."
	case e.Local:
		p.Network = "It did not leave this machine."
	}
	if cookie, found := e.SessionCookie(); found {
		p.Cookie, p.Reasons = cookie, cookie.Reasons()
	}
	return p
}

// whatHappened draws the exchange that the query names, or the last one. It is
// found by the session, so that nobody sees another's. Looking at it is no
// activity: a page that refreshes itself must not keep a session alive.
func (s *Site) whatHappened(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if r.Header.Get("Sec-Fetch-Mode") == "cors" || r.Header.Get("Sec-Fetch-Mode") == "same-origin" {
		if _, err := s.sessions.Peek(r); err != nil {
			return err
		}
	}
	list := s.recorder.Of(session.ID())
	drawn := s.recorder.Present(r)
	if len(list) > 0 {
		drawn = list[0]
	}
	if number, err := strconv.ParseUint(r.URL.Query().Get("n"), 10, 64); err == nil {
		for _, e := range list {
			if e.Number == number {
				drawn = e
			}
		}
	}
	p := happenedOf(drawn)
	if cookie, setBy, known := s.recorder.Cookie(session.ID()); known && cookie.Name == p.Cookie.Name && len(p.Cookie.Attributes) == 0 {
		p.Cookie, p.Reasons, p.SetBy = cookie, cookie.Reasons(), &setBy
	}
	p.Sealed = s.sealed
	p.List, p.Info, p.Keys = list, session.Info(), session.Keys()
	return s.show(w, r, session, http.StatusOK, "happened", page{Title: "What happened", Section: "/what-happened", Body: p})
}
