package demo

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

var cart = coatcheck.NewKey[house.Cart]("shop.cart")

func cartOf(session *coatcheck.Session) house.Cart {
	lines, _ := cart.Get(session)
	return lines
}

func (s *Site) home(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.show(w, r, session, http.StatusOK, "home", page{Title: "Leave your coat", Section: "/"})
}

func (s *Site) shop(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.show(w, r, session, http.StatusOK, "shop", page{Title: "Shop", Section: "/shop", Body: house.Goods()})
}

// addToCart changes the cart by Update, so that two tabs that add at the same
// moment both count.
func (s *Site) addToCart(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	good, sold := house.FindGood(r.PostForm.Get("good"))
	quantity, err := strconv.Atoi(r.PostForm.Get("quantity"))
	if !sold || err != nil || quantity < 1 || quantity > house.MaxQuantity {
		return errBadForm
	}
	err = cart.Update(session, func(lines house.Cart) (house.Cart, error) {
		return lines.Add(good.ID, quantity), nil
	})
	if err != nil {
		return err
	}
	if err := flash.Set(session, "In your cart: "+good.Name+"."); err != nil {
		return err
	}
	return seeOther(w, r, "/shop")
}

func (s *Site) showCart(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	lines := cartOf(session)
	return s.show(w, r, session, http.StatusOK, "cart", page{Title: "Cart", Section: "/cart", Body: map[string]any{
		"Lines": lines, "Total": lines.Total(),
	}})
}

// changeCart sets the quantities that the form names, or takes one good out.
func (s *Site) changeCart(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	if err := form(r); err != nil {
		return err
	}
	wanted := map[string]int{}
	for field := range r.PostForm {
		good, isQuantity := strings.CutPrefix(field, "quantity.")
		if !isQuantity {
			continue
		}
		quantity, err := strconv.Atoi(r.PostForm.Get(field))
		if err != nil || quantity < 0 || quantity > house.MaxQuantity {
			return errBadForm
		}
		wanted[good] = quantity
	}
	if gone := r.PostForm.Get("remove"); gone != "" {
		wanted = map[string]int{gone: 0}
	}
	err := cart.Update(session, func(lines house.Cart) (house.Cart, error) {
		for good, quantity := range wanted {
			lines = lines.With(good, quantity)
		}
		return lines, nil
	})
	if err != nil {
		return err
	}
	return seeOther(w, r, "/cart")
}
