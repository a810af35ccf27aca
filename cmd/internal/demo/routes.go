package demo

import (
	"errors"
	"net/http"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
)

// How recent the password must be.
const (
	freshForMoney    = 2 * time.Minute
	freshForSessions = 10 * time.Minute
)

// maxForm bounds what a form may send, in bytes.
const maxForm = 16 << 10

// action is a handler of this site: what it returns as an error is answered
// with a page.
type action = func(http.ResponseWriter, *http.Request, *coatcheck.Session) error

func (s *Site) routes() http.Handler {
	mux := http.NewServeMux()
	visitors := func(pattern string, f action) { mux.Handle(pattern, s.noted(s.page(f))) }
	members := func(pattern string, f action) { mux.Handle(pattern, s.noted(s.sessions.RequireSignIn(s.page(f)))) }

	visitors("GET /{$}", s.home)
	visitors("GET /shop", s.shop)
	visitors("POST /cart/add", s.addToCart)
	visitors("GET /cart", s.showCart)
	visitors("POST /cart", s.changeCart)
	visitors("GET /checkout", s.beginCheckout)
	visitors("GET /checkout/address", s.askAddress)
	visitors("POST /checkout/address", s.takeAddress)
	visitors("GET /checkout/delivery", s.askDelivery)
	visitors("POST /checkout/delivery", s.takeDelivery)
	visitors("GET /checkout/review", s.review)
	members("POST /checkout/place", s.placeOrder)
	members("GET /orders/{id}", s.showOrder)

	visitors("GET /sign-in", s.askPassword)
	visitors("POST /sign-in", s.takePassword)
	visitors("GET /welcome", s.welcome)
	visitors("POST /sign-out", s.signOut)
	visitors("GET /goodbye", s.goodbye)

	members("GET /wallet", s.wallet)
	members("POST /wallet/transfer", s.draftTransfer)
	mux.Handle("GET /wallet/confirm", s.noted(s.sessions.RequireFresh(freshForMoney, s.page(s.reviewTransfer))))
	members("POST /wallet/confirm", s.sendTransfer)

	members("GET /account", s.account)
	members("POST /account/password", s.changePassword)
	visitors("GET /kept", s.kept)
	members("GET /sessions", s.listSessions)
	members("POST /sessions/end", s.endSession)
	members("POST /sessions/end-others", s.endOtherSessions)

	if s.binds {
		members("GET /device", s.device)
		members("POST /device/steal", s.steal)
		visitors("GET /device/who", s.who)
	}

	members("GET /admin", s.attendant(s.admin))
	members("POST /admin/end", s.attendant(s.adminEnd))
	members("POST /admin/end-subject", s.attendant(s.adminEndSubject))

	mux.Handle("GET /what-happened", aside(s.page(s.whatHappened)))
	mux.Handle("GET /live", aside(http.HandlerFunc(s.live)))
	visitors("/", func(http.ResponseWriter, *http.Request, *coatcheck.Session) error { return errNoPage })

	outer := http.NewServeMux()
	outer.Handle("GET /static/", s.assets)
	outer.Handle("/", s.recorder.Handler(s.sessions.Handler(limited(mux))))
	return secured(outer)
}

// page serves an action. The site answers its own faults itself; what else goes
// wrong is the session manager's to answer.
func (s *Site) page(f action) http.Handler {
	return s.sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
		err := f(w, r, session)
		var own *fault
		if errors.As(err, &own) {
			session.Discard()
			s.problem(w, r, own)
			return nil
		}
		return err
	})
}

// noted tells the recorder which session a request is served by.
func (s *Site) noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.sessions.Get(r)
		if err == nil {
			exchange.Serves(r.Context(), session.ID(), session.Subject())
		}
		next.ServeHTTP(w, r)
		if err == nil {
			exchange.Serves(r.Context(), session.ID(), session.Subject())
		}
	})
}

// aside keeps a request out of the record: the pages that show the record must
// not become part of it.
func aside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange.Aside(r.Context())
		next.ServeHTTP(w, r)
	})
}

// attendant serves the administrator alone.
func (s *Site) attendant(f action) action {
	return func(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
		if account, known := s.accounts.Find(session.Subject()); !known || !account.Admin {
			return errNotAdmin
		}
		return f(w, r, session)
	}
}

// limited bounds the body of a request.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// form reads the form of a request.
func form(r *http.Request) error {
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return errFormTooLarge
	case err != nil:
		return errBadForm
	}
	return nil
}

// proveAgain sends somebody whose password was given too long ago to give it
// again, and from there to a page of this site.
func proveAgain(w http.ResponseWriter, r *http.Request, back string) error {
	return seeOther(w, r, "/sign-in?next="+back)
}

func seeOther(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}
