package house

import (
	"sync"
	"time"
)

// Delivery is a way to bring an order to its buyer.
type Delivery struct {
	ID, Name, About string
	Price           Money
}

var deliveries = []Delivery{
	{"counter", "Keep it at the counter", "Fetch it whenever you like; your account is your ticket.", 0},
	{"post", "By post", "Two to three days.", 495},
	{"messenger", "By messenger", "This evening, before the curtain.", 1400},
}

// Deliveries returns the ways to deliver, the cheapest first.
func Deliveries() []Delivery { return append([]Delivery(nil), deliveries...) }

// FindDelivery returns the way to deliver of that id.
func FindDelivery(id string) (Delivery, bool) {
	for _, delivery := range deliveries {
		if delivery.ID == id {
			return delivery, true
		}
	}
	return Delivery{}, false
}

// Order is a cart that was paid for.
type Order struct {
	ID       string
	Buyer    string
	Placed   time.Time
	Lines    Cart
	Address  []string
	Delivery Delivery
	Total    Money
}

// maxOrders is how many orders are kept for one buyer.
const maxOrders = 50

// Orders keeps what was bought, by buyer. The zero value is ready. Safe for
// concurrent use.
type Orders struct {
	mu  sync.Mutex
	all map[string][]Order
}

// Place keeps an order, the newest first. An id that the buyer has already
// used is the same order and changes nothing.
func (o *Orders) Place(order Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[string][]Order{}
	}
	kept := o.all[order.Buyer]
	for _, earlier := range kept {
		if earlier.ID == order.ID {
			return
		}
	}
	kept = append([]Order{order}, kept...)
	o.all[order.Buyer] = kept[:min(len(kept), maxOrders)]
}

// Of returns a buyer's orders, the newest first.
func (o *Orders) Of(buyer string) []Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Order(nil), o.all[buyer]...)
}

// Find returns one order of a buyer.
func (o *Orders) Find(buyer, id string) (Order, bool) {
	for _, order := range o.Of(buyer) {
		if order.ID == id {
			return order, true
		}
	}
	return Order{}, false
}
