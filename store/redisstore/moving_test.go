package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// startPrimaries starts a Cluster of two primaries, and returns its address
// too.
func startPrimaries(t testing.TB) (a, b *server, address string) {
	t.Helper()
	both := make([]*server, 2)
	for i := range both {
		both[i] = start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no")
		both[i].cli(t, "cluster", "addslotsrange", fmt.Sprint(8192*i), fmt.Sprint(8192*i+8191))
		both[i].cli(t, "cluster", "set-config-epoch", fmt.Sprint(i+1))
	}
	a, b = both[0], both[1]
	a.cli(t, "cluster", "meet", "127.0.0.1", b.port)
	for _, s := range both {
		eventually(t, "both know all slots", func() bool {
			info := s.cli(t, "cluster", "info")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
		})
	}
	return a, b, "redis-cluster://" + a.address + "," + b.address
}

// move is a slot on its way from one primary to another.
type move struct {
	from, to *server
	tag      string // begins the keys of its subject
	slot     string
}

// beginMove has the slot of a subject leave the primary that has it. No key
// goes before moveKey.
func beginMove(t testing.TB, a, b *server, subject string) *move {
	t.Helper()
	place := store.PlacementOf(subject)
	m := &move{from: a, to: b, tag: fmt.Sprintf("cc:{%x}", place[:])}
	m.slot = a.cli(t, "cluster", "keyslot", m.tag)
	if strings.Contains(a.cli(t, "exists", m.tag), "MOVED") {
		m.from, m.to = b, a
	}
	m.to.cli(t, "cluster", "setslot", m.slot, "importing", m.from.cli(t, "cluster", "myid"))
	m.from.cli(t, "cluster", "setslot", m.slot, "migrating", m.to.cli(t, "cluster", "myid"))
	return m
}

func (m *move) moveKey(t testing.TB, key string) {
	t.Helper()
	if out := m.from.cli(t, "migrate", "127.0.0.1", m.to.port, key, "0", "5000"); out != "OK" {
		t.Fatalf("MIGRATE %s: %s", key, out)
	}
}

func (m *move) finish(t testing.TB) {
	t.Helper()
	for key := range strings.FieldsSeq(m.from.cli(t, "cluster", "getkeysinslot", m.slot, "100")) {
		m.moveKey(t, key)
	}
	id := m.to.cli(t, "cluster", "myid")
	m.to.cli(t, "cluster", "setslot", m.slot, "node", id)
	m.from.cli(t, "cluster", "setslot", m.slot, "node", id)
}

// The index of a subject arrives before its records, or a record before the
// index: what is still to come must not pass for gone.
func TestWhatIsOnItsWayToAnotherServerIsNotTakenForGone(t *testing.T) {
	t.Parallel()
	a, b, address := startPrimaries(t)
	s := open(t, address, &redisstore.Options{MaxStale: stale})
	// soon is too short for waiting until the slot is at rest.
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	sessions := func(subject string) {
		for range 3 {
			create(t, s, newRecord(subject))
		}
	}
	t.Run("by DeleteSubject", func(t *testing.T) {
		if _, err := s.DeleteSubject(t.Context(), "alice", time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		sessions("alice")
		m := beginMove(t, a, b, "alice")
		m.moveKey(t, m.tag+"salice")
		m.moveKey(t, m.tag+"malice")
		if ended, err := s.DeleteSubject(soon(), "alice", time.Now()); err == nil || named(err) {
			t.Errorf("while the records are on their way: %d ended, %v; want an error", len(ended), err)
		}
		m.finish(t)
		if ended, err := s.DeleteSubject(t.Context(), "alice", time.Now()); len(ended) != 3 || err != nil {
			t.Errorf("when they have arrived: %d ended, %v; want 3", len(ended), err)
		}
	})
	t.Run("by List", func(t *testing.T) {
		sessions("bob")
		m := beginMove(t, a, b, "bob")
		m.moveKey(t, m.tag+"sbob")
		if listed, err := s.List(soon(), "bob", time.Now()); err == nil {
			t.Errorf("while the records are on their way: %d of 3, and no error", len(listed))
		}
		m.finish(t)
		if listed, err := s.List(t.Context(), "bob", time.Now()); len(listed) != 3 || err != nil {
			t.Errorf("when they have arrived: %d, %v; want 3", len(listed), err)
		}
	})
	t.Run("by Update", func(t *testing.T) {
		rec := create(t, s, newRecord("carol"))
		m := beginMove(t, a, b, "carol")
		m.moveKey(t, m.tag+fmt.Sprintf("r%x", rec.ID[2:]))
		longer := rec
		longer.Version, longer.Absolute = newVersion(), rec.Absolute.Add(30*24*time.Hour)
		if err := s.Update(soon(), longer, rec.Version, time.Now()); err == nil || named(err) {
			t.Errorf("while the index, which must live longer too, is on its way: %v; want an error", err)
		}
		m.finish(t)
		if err := s.Update(t.Context(), longer, rec.Version, time.Now()); err != nil {
			t.Errorf("when it has arrived: %v", err)
		}
	})
}

// The index goes with the last session in it. What is retired is in no index,
// and must not be looked for there when half the work is done.
func TestDeleteInASlotThatLeavesSaysWhatItEnded(t *testing.T) {
	t.Parallel()
	a, b, address := startPrimaries(t)
	s := open(t, address, &redisstore.Options{MaxStale: stale})
	live, retired := create(t, s, newRecord("alice")), create(t, s, newRecord("alice"))
	was := retired.Version
	retired.Version, retired.Retired = newVersion(), true
	if err := s.Update(t.Context(), retired, was, retired.LastSeen); err != nil {
		t.Fatal(err)
	}
	beginMove(t, a, b, "alice")
	ended, err := s.Delete(t.Context(), live.ID, retired.ID)
	if err != nil || len(ended) != 1 || ended[0] != live.ID {
		t.Errorf("Delete of a live and a retired session: %v, %v; want the live one", ended, err)
	}
	for _, rec := range []store.Record{live, retired} {
		if err := s.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Load of what was deleted: %v, want ErrNotFound", err)
		}
	}
}
