package demo

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// draft is a checkout under way. It lives in the session, so that it survives
// going back, reloading and signing in. The order's number is drawn at the
// beginning: paying it twice is paying it once.
type draft struct {
	Order    string `json:"order"`
	Name     string `json:"name"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
	Delivery string `json:"delivery"`
}

var checkout = coatcheck.NewKey[draft]("shop.checkout")

// Lines is the address as it stands on a parcel.
func (d draft) Lines() []string { return []string{d.Name, d.Street, d.City + " " + d.Postcode} }

func (d draft) hasAddress() bool  { return d.Name != "" }
func (d draft) hasDelivery() bool { return d.Delivery != "" }

func (d draft) fields() []field {
	return []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Most: 80, Value: d.Name},
		{Name: "street", Label: "Street and number", Type: "text", Autocomplete: "street-address", Most: 120, Value: d.Street},
		{Name: "postcode", Label: "Postcode", Type: "text", Autocomplete: "postal-code", Most: 16, Value: d.Postcode},
		{Name: "city", Label: "Town", Type: "text", Autocomplete: "address-level2", Most: 80, Value: d.City},
	}
}

// step is one station of the checkout.
type step struct {
	Name, Path       string
	Here, Done, Open bool
}

// checkoutPage is what the three steps show.
type checkoutPage struct {
	Step       string
	Steps      []step
	Draft      draft
	Lines      house.Cart
	Fields     []field
	Deliveries []house.Delivery
	Delivery   house.Delivery
	Total      house.Money
	Balance    house.Money
	Problem    string
}

func (s *Site) checkoutPage(session *coatcheck.Session, here string) checkoutPage {
	d, _ := checkout.Get(session)
	lines := cartOf(session)
	delivery, _ := house.FindDelivery(d.Delivery)
	return checkoutPage{
		Step: here,
		Steps: []step{
			{"Address", "/checkout/address", here == "address", d.hasAddress(), true},
			{"Delivery", "/checkout/delivery", here == "delivery", d.hasDelivery(), d.hasAddress()},
			{"Review and pay", "/checkout/review", here == "review", false, d.hasAddress() && d.hasDelivery()},
		},
		Draft: d, Lines: lines, Fields: d.fields(),
		Deliveries: house.Deliveries(), Delivery: delivery,
		Total:   lines.Total() + delivery.Price,
		Balance: s.ledger.Balance(session.Subject()),
	}
}

func (s *Site) showCheckout(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, status int, p checkoutPage) error {
	return s.show(w, r, session, status, "checkout", page{Title: "Check out", Section: "/cart", Back: "/checkout/" + p.Step, Body: p})
}

// beginCheckout leads to the first step that is not done yet.
func (s *Site) beginCheckout(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	d, _ := checkout.Get(session)
	switch {
	case len(cartOf(session)) == 0:
		return seeOther(w, r, "/cart")
	case !d.hasAddress():
		return seeOther(w, r, "/checkout/address")
	case !d.hasDelivery():
		return seeOther(w, r, "/checkout/delivery")
	}
	return seeOther(w, r, "/checkout/review")
}

func (s *Site) askAddress(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if len(cartOf(session)) == 0 {
		return seeOther(w, r, "/cart")
	}
	return s.showCheckout(w, r, session, http.StatusOK, s.checkoutPage(session, "address"))
}

func (s *Site) takeAddress(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	fields := draft{}.fields()
	for i := range fields {
		fields[i].Value = r.PostForm.Get(fields[i].Name)
		fields[i].check()
	}
	if !sound(fields) {
		p := s.checkoutPage(session, "address")
		p.Fields = fields
		return s.showCheckout(w, r, session, http.StatusUnprocessableEntity, p)
	}
	number := rand.Text()
	err := checkout.Update(session, func(d draft) (draft, error) {
		if d.Order == "" {
			d.Order = number
		}
		d.Name, d.Street, d.Postcode, d.City = fields[0].Value, fields[1].Value, fields[2].Value, fields[3].Value
		return d, nil
	})
	if err != nil {
		return err
	}
	return seeOther(w, r, "/checkout/delivery")
}

func (s *Site) askDelivery(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	p := s.checkoutPage(session, "delivery")
	if len(p.Lines) == 0 || !p.Draft.hasAddress() {
		return seeOther(w, r, "/checkout")
	}
	return s.showCheckout(w, r, session, http.StatusOK, p)
}

func (s *Site) takeDelivery(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	delivery, offered := house.FindDelivery(r.PostForm.Get("delivery"))
	if !offered {
		p := s.checkoutPage(session, "delivery")
		p.Problem = "Please choose one."
		return s.showCheckout(w, r, session, http.StatusUnprocessableEntity, p)
	}
	err := checkout.Update(session, func(d draft) (draft, error) {
		d.Delivery = delivery.ID
		return d, nil
	})
	if err != nil {
		return err
	}
	return seeOther(w, r, "/checkout/review")
}

func (s *Site) review(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	p := s.checkoutPage(session, "review")
	if len(p.Lines) == 0 || !p.Draft.hasAddress() || !p.Draft.hasDelivery() {
		return seeOther(w, r, "/checkout")
	}
	return s.showCheckout(w, r, session, http.StatusOK, p)
}

// placeOrder pays and places the order. Both are asked for by the order's
// number and happen once for it, so that a second click, a retry after an
// answer that was lost, or two of these at the same moment are harmless.
func (s *Site) placeOrder(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	p := s.checkoutPage(session, "review")
	if _, placed := s.orders.Find(session.Subject(), r.PostForm.Get("order")); placed {
		return seeOther(w, r, "/orders/"+r.PostForm.Get("order"))
	}
	if len(p.Lines) == 0 || !p.Draft.hasAddress() || !p.Draft.hasDelivery() || p.Draft.Order != r.PostForm.Get("order") {
		return seeOther(w, r, "/checkout")
	}
	if p.Total.String() != r.PostForm.Get("total") {
		p.Problem = "Your cart changed meanwhile, in another tab perhaps. Nothing was paid: look at it again."
		return s.showCheckout(w, r, session, http.StatusConflict, p)
	}
	order := house.Order{
		ID: p.Draft.Order, Buyer: session.Subject(), Placed: s.now(),
		Lines: p.Lines, Address: p.Draft.Lines(), Delivery: p.Delivery, Total: p.Total,
	}
	err := s.ledger.Move(order.ID, order.Buyer, house.Till, order.Total, "An order from the shop", order.Placed)
	if errors.Is(err, house.ErrNotEnough) {
		p.Problem = "There is not enough in your wallet. Nothing was paid."
		return s.showCheckout(w, r, session, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	s.orders.Place(order)
	if err := session.Update(r.Context(), func() error { return clearOrdered(session, order) }); err != nil {
		return err
	}
	return seeOther(w, r, "/orders/"+order.ID)
}

// clearOrdered takes what was ordered out of the cart and ends the checkout,
// unless another request has done so for this order already. What was put
// into the cart meanwhile stays there.
func clearOrdered(session *coatcheck.Session, order house.Order) error {
	if d, _ := checkout.Get(session); d.Order != order.ID {
		return nil
	}
	if err := checkout.Delete(session); err != nil {
		return err
	}
	left := cartOf(session).Without(order.Lines)
	if len(left) == 0 {
		return cart.Delete(session)
	}
	return cart.Set(session, left)
}

func (s *Site) showOrder(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	order, found := s.orders.Find(session.Subject(), r.PathValue("id"))
	if !found {
		return errNoOrder
	}
	return s.show(w, r, session, http.StatusOK, "order", page{Title: "Thank you", Section: "/shop", Body: order})
}
