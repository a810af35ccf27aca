package house_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

var opening = time.Date(2026, 3, 2, 19, 30, 0, 0, time.UTC)

func TestMoneyIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]house.Money{"12": 1200, "12.50": 1250, "£0.01": 1, " 7 ": 700, "1000000": 100_000_000} {
		if got, err := house.ParseMoney(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "0.00", "-1", "1.5", "1,50", "1.500", "x", "1e3", "1000000.01", "99999999", ".50", "£", "١"} {
		if got, err := house.ParseMoney(text); !errors.Is(err, house.ErrAmount) {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for amount, want := range map[house.Money]string{1250: "£12.50", 5: "£0.05", -1205: "−£12.05", 0: "£0.00"} {
		if amount.String() != want {
			t.Errorf("%d is written %s", int64(amount), amount)
		}
	}
}

func TestACartKeepsToWhatIsSold(t *testing.T) {
	c := house.Cart(nil).Add("coat", 1).Add("crown", 3).Add("hat", -1).Add("hat", 2).Add("hat", 900)
	if c.Count() != 1+house.MaxQuantity || c.Total() != 18900+house.MaxQuantity*6400 {
		t.Errorf("the cart has %d things for %s", c.Count(), c.Total())
	}
	before := c
	left := c.Without(house.Cart{{Good: "coat", Quantity: 1}, {Good: "hat", Quantity: 5}, {Good: "scarf", Quantity: 1}})
	if left.Count() != house.MaxQuantity-5 || before.Count() != 1+house.MaxQuantity {
		t.Errorf("%d are left, and %d were before", left.Count(), before.Count())
	}
}

func TestMoneyMovesOnceForAnId(t *testing.T) {
	ledger := house.NewLedger(10_000, opening, "alice", "bob")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := ledger.Move("form", "alice", "bob", 2500, "", opening); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if a, b := ledger.Balance("alice"), ledger.Balance("bob"); a != 7500 || b != 12_500 {
		t.Errorf("alice has %s, bob %s", a, b)
	}
}

func TestMoneyThatIsNotThereDoesNotMove(t *testing.T) {
	ledger := house.NewLedger(10_000, opening, "alice", "bob")
	for _, c := range []struct {
		from, to string
		amount   house.Money
		want     error
	}{
		{"alice", "bob", 10_001, house.ErrNotEnough},
		{"alice", "alice", 1, house.ErrSameWallet},
		{"alice", "carol", 1, house.ErrNoSuchWallet},
		{"carol", "alice", 1, house.ErrNoSuchWallet},
		{"alice", "bob", -5, house.ErrAmount},
		{"alice", "bob", 0, house.ErrAmount},
	} {
		if err := ledger.Move("one", c.from, c.to, c.amount, "", opening); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
	if err := ledger.Move("one", "alice", "bob", 10_000, "", opening); err != nil {
		t.Errorf("an id whose move was refused is used up: %v", err)
	}
}

func TestParallelMovesNeverOverdraw(t *testing.T) {
	ledger := house.NewLedger(1000, opening, "alice", "bob")
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			err := ledger.Move(string(rune('A'+n)), "alice", "bob", 300, "", opening)
			if err != nil && !errors.Is(err, house.ErrNotEnough) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if a, b := ledger.Balance("alice"), ledger.Balance("bob"); a != 100 || b != 1900 {
		t.Errorf("alice has %s, bob %s", a, b)
	}
}

func TestPasswords(t *testing.T) {
	accounts := house.OpenAccounts()
	ctx := context.Background()
	for _, guest := range house.Guests() {
		if account, err := accounts.Check(ctx, guest.Name, guest.Password); err != nil || account != guest.Account {
			t.Errorf("%s: %v", guest.Name, err)
		}
		if len(guest.Password) < house.MinPassword {
			t.Errorf("%s could not choose that password", guest.Name)
		}
	}
	for _, c := range [][2]string{{"alice", ""}, {"alice", "wrong"}, {"nobody", ""}, {"", ""}, {"alice", string(make([]byte, 5000))}} {
		if _, err := accounts.Check(ctx, c[0], c[1]); !errors.Is(err, house.ErrWrongPassword) {
			t.Errorf("%q: %v", c[0], err)
		}
	}
	if err := accounts.SetPassword("alice", "another sentence"); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.Check(ctx, "alice", house.Guests()[0].Password); !errors.Is(err, house.ErrWrongPassword) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := accounts.Check(ctx, "alice", "another sentence"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := accounts.SetPassword("nobody", "another sentence"); !errors.Is(err, house.ErrWrongPassword) {
		t.Errorf("a password for nobody: %v", err)
	}
}

func TestAttempts(t *testing.T) {
	var attempts house.Attempts
	now := opening
	for range house.MaxAttempts {
		if wait := attempts.Begin("alice", "192.0.2.1", now); wait != 0 {
			t.Fatalf("wait %v", wait)
		}
		now = now.Add(time.Second)
	}
	if wait := attempts.Begin("alice", "192.0.2.1", now); wait != house.AttemptsWithin-house.MaxAttempts*time.Second {
		t.Errorf("wait %v", wait)
	}
	for _, other := range [][2]string{{"alice", "192.0.2.2"}, {"bob", "192.0.2.1"}} {
		if wait := attempts.Begin(other[0], other[1], now); wait != 0 {
			t.Errorf("%v waits %v", other, wait)
		}
	}
	if wait := attempts.Begin("alice", "192.0.2.1", opening.Add(house.AttemptsWithin)); wait != 0 {
		t.Errorf("later: wait %v", wait)
	}
	attempts.Succeeded("alice", "192.0.2.1")
	if wait := attempts.Begin("alice", "192.0.2.1", now); wait != 0 {
		t.Errorf("after success: wait %v", wait)
	}
}

func TestAnOrderIsPlacedOnceAndIsItsBuyers(t *testing.T) {
	var orders house.Orders
	for range 3 {
		orders.Place(house.Order{ID: "1", Buyer: "alice"})
	}
	orders.Place(house.Order{ID: "2", Buyer: "alice"})
	if of := orders.Of("alice"); len(of) != 2 || of[0].ID != "2" {
		t.Errorf("alice has %v", of)
	}
	if _, found := orders.Find("bob", "1"); found {
		t.Error("bob finds alice's order")
	}
}
