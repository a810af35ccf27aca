package demo

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// keptValue is one value of a session as the visitor may see it.
type keptValue struct{ Key, Name, Value, Purpose string }

// keptIn describes every value that a session holds. A key that nobody wrote a
// description for is shown all the same: nothing is kept in secret.
func keptIn(session *coatcheck.Session) []keptValue {
	var values []keptValue
	for _, key := range session.Keys() {
		if key == flash.Name() { // this page shows it, and with that it is gone
			continue
		}
		v := keptValue{Key: key, Name: key, Purpose: "Until the session ends."}
		switch key {
		case cart.Name():
			v.Name, v.Purpose = "Your cart", "Until you order, and at the latest until the session ends."
			for i, line := range cartOf(session) {
				if i > 0 {
					v.Value += ", "
				}
				v.Value += fmt.Sprintf("%d × %s", line.Quantity, line.Item().Name)
			}
			if v.Value == "" {
				v.Value = "empty"
			}
		case checkout.Name():
			d, _ := checkout.Get(session)
			v.Name, v.Purpose = "Your checkout form", "So that the form survives a reload and a sign-in. Gone when you order."
			v.Value = strings.Join(d.Lines(), ", ")
			if d.hasDelivery() {
				v.Value += ", " + d.Delivery
			}
		case waiting.Name():
			t, _ := waiting.Get(session)
			v.Name, v.Purpose = "A transfer to confirm", "Until you send it. Its number is good for one sending."
			v.Value = fmt.Sprintf("%s to %s", t.Amount, t.To)
		}
		values = append(values, v)
	}
	return values
}

func (s *Site) kept(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.show(w, r, session, http.StatusOK, "kept", page{Title: "What is kept about you", Section: "/kept", Body: map[string]any{
		"Info": session.Info(), "Kept": keptIn(session), "Exchanges": len(s.recorder.Of(session.ID())),
	}})
}

func passwordFields() []field {
	return []field{
		{Name: "current", Label: "Password now", Type: "password", Autocomplete: "current-password", Most: house.MaxPassword},
		{Name: "new", Label: "New password", Hint: fmt.Sprintf("At least %d characters. A short sentence is easy to keep.", house.MinPassword), Type: "password", Autocomplete: "new-password", Most: house.MaxPassword},
	}
}

func (s *Site) showAccount(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, status int, fields []field) error {
	return s.show(w, r, session, status, "account", page{Title: "Account", Section: "/account", Body: map[string]any{
		"Fields": fields, "Orders": s.orders.Of(session.Subject()), "Kept": keptIn(session),
	}})
}

func (s *Site) account(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.showAccount(w, r, session, http.StatusOK, passwordFields())
}

// changePassword replaces the password and then, in this order, tells the
// session manager: what was signed in with the old one ends, and a sign-in
// with the old one that is still under way is refused.
func (s *Site) changePassword(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	fields := passwordFields()
	old, fresh := &fields[0], &fields[1]
	_, err := s.checkPassword(w, r, session.Subject(), r.PostForm.Get(old.Name))
	var refused *refusal
	if errors.As(err, &refused) {
		old.Problem = "That is not your password now."
		if refused.status == http.StatusTooManyRequests {
			old.Problem = refused.text
		}
		return s.showAccount(w, r, session, refused.status, fields)
	}
	if err != nil {
		return err
	}
	err = s.accounts.SetPassword(session.Subject(), r.PostForm.Get(fresh.Name))
	switch {
	case errors.Is(err, house.ErrShortPassword):
		fresh.Problem = fmt.Sprintf("Please use at least %d characters.", house.MinPassword)
	case errors.Is(err, house.ErrLongPassword):
		fresh.Problem = fmt.Sprintf("Please use at most %d characters.", house.MaxPassword)
	case err != nil:
		return fmt.Errorf("change a password: %w", err)
	}
	if !sound(fields) {
		return s.showAccount(w, r, session, http.StatusUnprocessableEntity, fields)
	}
	if err := session.CredentialsChanged(r.Context()); err != nil {
		return err
	}
	if err := flash.Set(session, "Your password is changed. Your other sessions have ended, and this one has a new secret."); err != nil {
		return err
	}
	return seeOther(w, r, "/account")
}
