package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

const rememberFor = 30 * 24 * time.Hour

// signInPage is what the sign-in page shows. To somebody who is signed in it
// is the page that asks for the password again.
type signInPage struct {
	Next, Cancel string
	Why          string
	Name         string
	Prefill      string
	Remember     bool
	Proven       time.Time
	Problem      string
	Guests       []house.Guest
}

func (s *Site) signInPage(r *http.Request, session *coatcheck.Session) signInPage {
	p := signInPage{Next: coatcheck.NextPath(r), Guests: house.Guests(), Proven: session.AuthenticatedAt()}
	p.Cancel, p.Why = "/", "Give your password once more."
	switch {
	case strings.HasPrefix(p.Next, "/wallet"):
		p.Cancel, p.Why = "/wallet", "Money is about to move, and your password was last asked for more than two minutes ago. Your transfer is kept as you wrote it."
	case strings.HasPrefix(p.Next, "/sessions"), strings.HasPrefix(p.Next, "/admin"):
		p.Cancel, p.Why = p.Next, "Before sessions are ended, the house wants to be sure that it is you: your password was last asked for more than ten minutes ago. Then choose again what to end."
	}
	if session.SignedIn() { // nobody else's password will do
		p.Guests = slices.DeleteFunc(p.Guests, func(g house.Guest) bool { return g.Name != session.Subject() })
	}
	for _, guest := range p.Guests {
		if guest.Name == r.URL.Query().Get("as") {
			p.Name, p.Prefill = guest.Name, guest.Password
		}
	}
	return p
}

func (s *Site) showSignIn(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, status int, p signInPage) error {
	return s.show(w, r, session, status, "signin", page{Title: "Sign in", Section: "/sign-in", Back: p.Next, Body: p})
}

func (s *Site) askPassword(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.showSignIn(w, r, session, http.StatusOK, s.signInPage(r, session))
}

// takePassword signs in, or freshens the session of somebody who is signed in
// and was asked again.
func (s *Site) takePassword(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	p := s.signInPage(r, session)
	p.Name = strings.ToLower(strings.TrimSpace(r.PostForm.Get("account")))
	p.Remember = r.PostForm.Get("remember") != ""
	again := session.SignedIn() && r.PostForm.Get("again") != ""
	if again {
		p.Name = session.Subject()
	}
	account, err := s.checkPassword(w, r, p.Name, r.PostForm.Get("password"))
	var refused *refusal
	if errors.As(err, &refused) {
		p.Problem = refused.text
		return s.showSignIn(w, r, session, refused.status, p)
	}
	if err != nil {
		return err
	}
	if again {
		if err := session.Reauthenticate(r.Context()); err != nil {
			return err
		}
		return seeOther(w, r, p.Next)
	}
	var options []coatcheck.SignInOption
	if p.Remember {
		options = append(options, coatcheck.Remember(rememberFor))
	}
	if err := session.SignIn(r.Context(), account.Name, options...); err != nil {
		return err
	}
	return seeOther(w, r, "/welcome?next="+url.QueryEscape(p.Next))
}

// refusal is a password that was not accepted.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return "demo: " + e.text }

// checkPassword proves a password within the limit of attempts. Names that
// nobody has share one limit for each address, so that guessing names is
// limited too and takes no memory.
func (s *Site) checkPassword(w http.ResponseWriter, r *http.Request, name, password string) (house.Account, error) {
	counted := ""
	if _, known := s.accounts.Find(name); known {
		counted = name
	}
	address := addressOf(r)
	if wait := s.attempts.Begin(counted, address, s.now()); wait > 0 {
		retryAfter(w, wait)
		return house.Account{}, &refusal{http.StatusTooManyRequests,
			fmt.Sprintf("Too many attempts from your address. Try again in %s.", inWords(wait))}
	}
	account, err := s.accounts.Check(r.Context(), name, password)
	if errors.Is(err, house.ErrWrongPassword) {
		return account, &refusal{http.StatusUnprocessableEntity, "That name and password do not belong together."}
	}
	if err == nil {
		s.attempts.Succeeded(counted, address)
	}
	return account, err
}

func inWords(wait time.Duration) string {
	if wait > time.Minute {
		return fmt.Sprintf("%d minutes", int((wait+time.Minute-1)/time.Minute))
	}
	return fmt.Sprintf("%d seconds", int((wait+time.Second-1)/time.Second))
}

// welcome is where a sign-in leads: on to where the visitor wanted to go, if
// the browser has brought the cookie back. Some browsers drop it, and without
// this page the visitor would go round in circles.
func (s *Site) welcome(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if session.SignedIn() {
		return seeOther(w, r, coatcheck.NextPath(r))
	}
	return s.show(w, r, session, http.StatusOK, "welcome", page{Title: "No cookie came back", Section: "/sign-in"})
}

// signOut ends the session and shows how that went. There is no session left
// to find the exchange by, so the page is told a name for it.
func (s *Site) signOut(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if !session.SignedIn() {
		return seeOther(w, r, "/")
	}
	receipt := rand.Text()
	exchange.Receipt(r.Context(), receipt)
	if err := session.End(r.Context()); err != nil {
		return err
	}
	return seeOther(w, r, "/goodbye?receipt="+receipt)
}

func (s *Site) goodbye(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	p := page{Title: "Signed out", Section: "/goodbye"}
	if found, ok := s.recorder.Receipt(r.URL.Query().Get("receipt")); ok {
		p.Body = happenedOf(found)
	}
	return s.show(w, r, session, http.StatusOK, "goodbye", p)
}
