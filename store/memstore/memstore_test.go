package memstore_test

import (
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

func TestWhatIsCreatedCanBeLoaded(t *testing.T) {
	ctx, now := t.Context(), time.Unix(1e9, 0)
	s := memstore.New(nil)
	rec := store.Record{ID: store.ID{1}, Version: 1, Subject: "alice", Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(time.Hour), Data: []byte("x")}
	if _, err := s.Create(ctx, rec, store.Terms{}, now); err != nil {
		t.Fatal(err)
	}
	var got store.Record
	if err := s.Load(ctx, rec.ID, &got, store.Fresh); err != nil || got.Subject != "alice" || string(got.Data) != "x" {
		t.Fatalf("loaded %+v, %v", got, err)
	}
}
