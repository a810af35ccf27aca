package house

import "slices"

// MaxQuantity is how many of one good a cart holds at most.
const MaxQuantity = 20

// Line is one good of a cart and how many of it.
type Line struct {
	Good     string `json:"good"`
	Quantity int    `json:"quantity"`
}

// Cart is what a visitor has put aside, one line for each good. Its methods
// return a new cart and leave the old one alone. The zero Cart is empty.
type Cart []Line

// Add returns the cart with so many more of a good, up to [MaxQuantity]. A
// good that the house does not sell and a quantity below 1 change nothing.
func (c Cart) Add(good string, quantity int) Cart {
	if _, sold := FindGood(good); !sold || quantity < 1 {
		return c
	}
	return c.With(good, c.quantity(good)+min(quantity, MaxQuantity))
}

// With returns the cart with exactly so many of a good, at most [MaxQuantity];
// 0 and less take it out.
func (c Cart) With(good string, quantity int) Cart {
	if _, sold := FindGood(good); !sold {
		return c
	}
	quantity = min(quantity, MaxQuantity)
	at := slices.IndexFunc(c, func(l Line) bool { return l.Good == good })
	next := slices.Clone(c)
	switch {
	case quantity < 1 && at >= 0:
		return slices.Delete(next, at, at+1)
	case quantity < 1:
		return next
	case at >= 0:
		next[at].Quantity = quantity
		return next
	}
	return append(next, Line{good, quantity})
}

// Without returns what is left when the lines of another cart are taken out.
func (c Cart) Without(taken Cart) Cart {
	left := slices.Clone(c)
	for _, line := range taken {
		left = left.With(line.Good, left.quantity(line.Good)-line.Quantity)
	}
	return left
}

// Count is the number of things in the cart.
func (c Cart) Count() int {
	count := 0
	for _, line := range c {
		count += line.Quantity
	}
	return count
}

// Total is the price of everything in the cart.
func (c Cart) Total() Money {
	var total Money
	for _, line := range c {
		total += line.Price()
	}
	return total
}

func (c Cart) quantity(good string) int {
	for _, line := range c {
		if line.Good == good {
			return line.Quantity
		}
	}
	return 0
}

// Item is the good itself; the zero Good if the house no longer sells it.
func (l Line) Item() Good {
	good, _ := FindGood(l.Good)
	return good
}

// Price is the price of the line.
func (l Line) Price() Money { return l.Item().Price * Money(l.Quantity) }
