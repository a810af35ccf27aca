package memstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) (a, b store.Store) {
		s := memstore.New(nil)
		return s, s
	})
}

// What is kept in memory is not sealed: printing a store, or a configuration
// that holds one, must not show it.
func TestPrintingAStoreShowsNothingOfIt(t *testing.T) {
	s := memstore.New(nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rec := store.Record{
		ID: store.ID{2: 1}, Version: 1, Created: now, LastSeen: now, Idle: time.Hour,
		Absolute: now.Add(time.Hour), Head: []byte("head"), Data: []byte("a clear word"),
	}
	if _, err := s.Create(t.Context(), rec, store.Terms{}, now); err != nil {
		t.Fatal(err)
	}
	raw := strings.Trim(fmt.Sprint([]byte("clear")), "[]")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		for _, value := range []any{s, struct{ Store store.Store }{s}} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "clear") || strings.Contains(text, raw) || len(text) > 100 {
				t.Errorf("%s prints %.100q", verb, text)
			}
		}
	}
}
