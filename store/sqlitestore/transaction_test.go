package sqlitestore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// A touch is of one record, and not of the next with the same id, even if one
// transaction does everything.
func TestATouchIsNotOfTheNextRecord(t *testing.T) {
	now := store.Instant(time.Now())
	rec := store.Record{ID: store.ID{1}, Version: 1, Subject: "alice", Created: now, LastSeen: now,
		Idle: time.Hour, Absolute: now.Add(time.Hour)}
	next := rec
	next.Version++
	remove := func(t *transaction) error { return t.remove([]store.ID{rec.ID}) }
	removeAll := func(t *transaction) error { _, err := t.deleteAll(now.UnixMicro()); return err }
	create := func(t *transaction) error { _, err := t.create(&rec, store.Terms{}, now.UnixMicro()); return err }
	update := func(t *transaction) error { return t.update(&next, rec.Version, now.UnixMicro()) }
	for name, writes := range map[string][]func(*transaction) error{
		"created":         {remove, create},
		"updated":         {remove, create, update},
		"after all ended": {removeAll, create},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sessions.db"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Create(t.Context(), rec, store.Terms{}, now); err != nil {
				t.Fatal(err)
			}
			if err := s.Touch(t.Context(), rec.ID, now.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			var group []*op
			for _, write := range writes {
				group = append(group, &op{do: write, done: make(chan struct{})})
			}
			s.writer.commit(group)
			for _, o := range group {
				if o.err != nil {
					t.Fatal(o.err)
				}
			}
			listed, err := s.List(t.Context(), "alice", now)
			if err != nil || len(listed) != 1 {
				t.Fatalf("List: %d records, %v", len(listed), err)
			}
			var loaded store.Record
			if err := s.Load(t.Context(), rec.ID, &loaded, store.Fresh); err != nil {
				t.Fatal(err)
			}
			if !listed[0].LastSeen.Equal(now) || !loaded.LastSeen.Equal(now) {
				t.Errorf("a session created at %v was last seen at %v in the list and at %v by Load", now, listed[0].LastSeen, loaded.LastSeen)
			}
		})
	}
}
