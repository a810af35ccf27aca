package stores_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/cmd/internal/stores"
)

func TestAnUnknownFormListsTheKnown(t *testing.T) {
	for _, name := range []string{"", "memory", "cloud:x", ":"} {
		_, _, err := stores.Open(context.Background(), name)
		if !errors.Is(err, stores.ErrForm) || !strings.Contains(err.Error(), stores.Forms()) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestMemory(t *testing.T) {
	opened, closeStore, err := stores.Open(context.Background(), "memory:")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range opened.All(context.Background()) {
		t.Errorf("a new store has something in it: %v", err)
	}
	if err := closeStore(); err != nil {
		t.Error(err)
	}
}
