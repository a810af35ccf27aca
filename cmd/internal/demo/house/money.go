package house

import (
	"errors"
	"fmt"
	"strings"
)

// Money is an amount in pence.
type Money int64

// ErrAmount is returned by [ParseMoney] for what is not an amount.
var ErrAmount = errors.New("write an amount such as 12 or 12.50")

// String writes the amount in pounds, as in £12.50.
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "−", -m
	}
	return fmt.Sprintf("%s£%d.%02d", sign, m/100, m%100)
}

// ParseMoney reads a positive amount in pounds of at most a million, with or
// without pence and pound sign. Anything else is [ErrAmount].
func ParseMoney(text string) (Money, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "£")
	pounds, pence, dotted := strings.Cut(text, ".")
	if pounds == "" || len(pounds) > 7 || dotted && len(pence) != 2 {
		return 0, ErrAmount
	}
	var amount Money
	for _, digit := range pounds + pence {
		if digit < '0' || digit > '9' {
			return 0, ErrAmount
		}
		amount = amount*10 + Money(digit-'0')
	}
	if !dotted {
		amount *= 100
	}
	if amount == 0 || amount > 100_000_000 {
		return 0, ErrAmount
	}
	return amount, nil
}
