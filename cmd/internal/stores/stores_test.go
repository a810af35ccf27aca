package stores_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/stores"
	"github.com/coatcheck/coatcheck/store"
)

func TestAnUnknownFormListsTheKnownAndNoPassword(t *testing.T) {
	for _, name := range []string{"", "memory", "cloud:x", ":", "sqlite:", "memory:x", "mysql://me:secret@host/db"} {
		_, err := stores.Open(context.Background(), name)
		if !errors.Is(err, stores.ErrForm) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := stores.Open(context.Background(), "cloud:x"); !strings.Contains(err.Error(), stores.Forms()) {
		t.Errorf("the forms are not listed: %v", err)
	}
}

func TestNobodyAttachesToAMemory(t *testing.T) {
	_, err := stores.Attach(context.Background(), "memory:")
	if !errors.Is(err, stores.ErrForm) || !strings.Contains(err.Error(), stores.FormsToAttach()) {
		t.Errorf("%v", err)
	}
	if strings.Contains(stores.FormsToAttach(), "memory:") || !strings.Contains(stores.Forms(), "memory:") {
		t.Error("the lists of forms are not as they should be")
	}
}

func TestNoErrorRepeatsAPassword(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, name := range []string{"redis://me:secret@127.0.0.1:1", "redis://me:secret@127.0.0.1:port", "redis-cluster://me:secret@", "postgres://me:secret@127.0.0.1:1/db", "postgres://me:secret@127.0.0.1:port/db"} {
		if _, err := stores.Open(ctx, name); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestMemory(t *testing.T) {
	opened, err := stores.Open(context.Background(), "memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, err := range opened.All(context.Background()) {
		t.Errorf("a new store has something in it: %v", err)
	}
	if _, inside := opened.(store.InProcess); !inside {
		t.Error("it does not say that it is in this process")
	}
}

func TestAToolSeesTheFileThatASiteHolds(t *testing.T) {
	ctx := context.Background()
	name := "sqlite:" + filepath.Join(t.TempDir(), "sessions.db")
	if _, err := stores.Attach(ctx, name); err == nil {
		t.Fatal("a tool made a store")
	}
	site, err := stores.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	now := store.Instant(time.Now())
	record := store.Record{ID: store.ID{1}, Version: 1, Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(time.Hour)}
	if _, err := site.Create(ctx, record, store.Terms{}, now); err != nil {
		t.Fatal(err)
	}
	tool, err := stores.Attach(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if ended, err := tool.Delete(ctx, record.ID); err != nil || len(ended) != 1 {
		t.Errorf("the tool ended %v, %v", ended, err)
	}
	if err := site.Load(ctx, record.ID, &record, store.Cached); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the site finds what the tool ended: %v", err)
	}
}
