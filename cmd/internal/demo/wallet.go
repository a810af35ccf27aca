package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// welcomeSum is what a wallet holds when the house opens.
const welcomeSum house.Money = 50_000

// transfer is one that waits to be confirmed. Form is good for sending it
// once.
type transfer struct {
	Form   string      `json:"form"`
	To     string      `json:"to"`
	Amount house.Money `json:"amount"`
	Note   string      `json:"note"`
}

var waiting = coatcheck.NewKey[transfer]("wallet.transfer")

var errTransferUsed = &fault{http.StatusConflict, "This form has been used",
	"The transfer was sent already, or replaced by another one in a second tab. Nothing was sent now. Your statement shows what was.",
	[]way{{"/wallet", "To the wallet", false}}}

// walletPage is what the wallet shows.
type walletPage struct {
	Balance   house.Money
	Statement []house.Entry
	Fields    []field
	Proven    time.Time
}

// transferFields is the form of a transfer by that account.
func transferFields(from string) []field {
	others := slices.DeleteFunc(guestNames(), func(name string) bool { return name == from })
	return []field{
		{Name: "to", Label: "To", Hint: "Another account of the house: " + strings.Join(others, " or ") + ".", Type: "text", Autocomplete: "off", Most: 64},
		{Name: "amount", Label: "Amount in pounds", Type: "text", Autocomplete: "transaction-amount", Most: 12},
		{Name: "note", Label: "Note", Type: "text", Autocomplete: "off", Most: 80, Optional: true},
	}
}

func (s *Site) showWallet(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, status int, fields []field) error {
	name := session.Subject()
	return s.show(w, r, session, status, "wallet", page{Title: "Wallet", Section: "/wallet", Body: walletPage{
		Balance: s.ledger.Balance(name), Statement: s.ledger.Statement(name),
		Fields: fields, Proven: session.AuthenticatedAt(),
	}})
}

func (s *Site) wallet(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.showWallet(w, r, session, http.StatusOK, transferFields(session.Subject()))
}

// draftTransfer keeps a transfer in the session until it is confirmed, so that
// it is still there when the password was asked for in between.
func (s *Site) draftTransfer(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	fields := transferFields(session.Subject())
	for i := range fields {
		fields[i].Value = r.PostForm.Get(fields[i].Name)
		fields[i].check()
	}
	to, sum := &fields[0], &fields[1]
	to.Value = strings.ToLower(to.Value)
	amount, err := house.ParseMoney(sum.Value)
	if err != nil && sum.Problem == "" {
		sum.Problem = "Please write an amount such as 12 or 12.50."
	}
	if amount > s.ledger.Balance(session.Subject()) {
		sum.Problem = "That is more than your wallet holds."
	}
	if _, known := s.accounts.Find(to.Value); !known && to.Problem == "" {
		to.Problem = "Nobody here has that name."
	}
	if to.Value == session.Subject() {
		to.Problem = "That is you. Choose somebody else."
	}
	if !sound(fields) {
		return s.showWallet(w, r, session, http.StatusUnprocessableEntity, fields)
	}
	if err := waiting.Set(session, transfer{rand.Text(), to.Value, amount, fields[2].Value}); err != nil {
		return err
	}
	return seeOther(w, r, "/wallet/confirm")
}

func (s *Site) reviewTransfer(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	kept, _ := waiting.Get(session)
	return s.show(w, r, session, http.StatusOK, "confirm", page{Title: "Send money", Section: "/wallet", Body: map[string]any{"Draft": kept}})
}

// sendTransfer takes the waiting transfer out of the session and then sends
// it. Of any number of requests with one form, Session.Update gives it to one;
// should the program die before the money moves, it has not moved.
func (s *Site) sendTransfer(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	if !session.Fresh(freshForMoney) {
		return proveAgain(w, r, "/wallet/confirm")
	}
	var taken transfer
	err := session.Update(r.Context(), func() error {
		kept, _ := waiting.Get(session)
		if kept.Form == "" || kept.Form != r.PostForm.Get("form") {
			return errTransferUsed
		}
		taken = kept
		return waiting.Delete(session)
	})
	if err != nil {
		return err
	}
	err = s.ledger.Move(taken.Form, session.Subject(), taken.To, taken.Amount, taken.Note, s.now())
	said := fmt.Sprintf("%s is on its way to %s.", taken.Amount, taken.To)
	switch {
	case errors.Is(err, house.ErrNotEnough):
		said = "There was not enough in your wallet any more. Nothing was sent."
	case err != nil:
		return fmt.Errorf("send a transfer: %w", err)
	}
	if err := flash.Set(session, said); err != nil {
		return err
	}
	return seeOther(w, r, "/wallet")
}
