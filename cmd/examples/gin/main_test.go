package main

import (
	"testing"

	"github.com/coatcheck/coatcheck/cmd/examples/internal/walk"
)

func TestAVisitorWalksThroughTheShop(t *testing.T) {
	h, err := newEngine()
	if err != nil {
		t.Fatal(err)
	}
	walk.Through(t, walk.Handler(h))
}
