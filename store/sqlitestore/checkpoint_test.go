package sqlitestore

import (
	"path/filepath"
	"testing"
)

// The log protects what it holds until the database has been synced, which on
// macOS takes more than the usual sync.
func TestCheckpointsReachTheDisk(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sessions.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, connection := range map[string]*statements{"writer": s.writer.sql, "checkpointer": s.checkpoints.sql} {
		for pragma, want := range map[string]int{"synchronous": 2, "checkpoint_fullfsync": 1} {
			var got int
			if err := connection.row("PRAGMA "+pragma, nil, &got); err != nil || got != want {
				t.Errorf("the %s has %s %d (%v), want %d", name, pragma, got, err, want)
			}
		}
	}
}
