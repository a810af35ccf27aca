package redisstore_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

var callsOf = regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`)

// commandCalls is how often each command was called, from within scripts too.
func commandCalls(t testing.TB, s *server) map[string]int {
	t.Helper()
	calls := map[string]int{}
	for _, m := range callsOf.FindAllStringSubmatch(s.cli(t, "info", "commandstats"), -1) {
		calls[m[1]], _ = strconv.Atoi(m[2])
	}
	return calls
}

func TestEveryOperationIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	s := start(t)
	// Copies would hide the round trip of Load.
	st := open(t, "redis://"+s.address, &redisstore.Options{CacheBytes: -1})
	now := time.Now()
	ctx := t.Context()
	var rec store.Record
	operations := []struct {
		name string
		do   func() error
	}{
		{"create", func() error {
			rec = newRecord("alice")
			_, err := st.Create(ctx, rec, store.Terms{Began: now.Add(time.Hour), Max: 2}, now)
			return err
		}},
		{"load", func() error { return st.Load(ctx, rec.ID, new(store.Record), store.Fresh) }},
		{"update", func() error {
			was := rec.Version
			rec.Version++
			return st.Update(ctx, rec, was, now)
		}},
		{"touch", func() error { return st.Touch(ctx, rec.ID, now.Add(time.Second)) }},
		{"list", func() error { _, err := st.List(ctx, "alice", now); return err }},
		{"delete", func() error { _, err := st.Delete(ctx, rec.ID, newRecord("").ID, newRecord("").ID); return err }},
		{"delete subject", func() error { _, err := st.DeleteSubject(ctx, "alice", now); return err }},
	}
	for _, op := range operations { // now the server knows the scripts
		if err := op.do(); err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
	}
	for _, op := range operations {
		s.cli(t, "config", "resetstat")
		if err := op.do(); err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		calls := commandCalls(t, s)
		if op.name == "load" {
			if calls["get"] != 1 || calls["evalsha"] != 0 {
				t.Errorf("load: %v; want one GET", calls)
			}
			continue
		}
		if calls["evalsha"] != 1 || calls["eval"] != 0 {
			t.Errorf("%s: %v; want one EVALSHA", op.name, calls)
		}
	}
}

// What replicas have not confirmed is not acknowledged.
func TestWaitingForReplicasRidesWithTheWrite(t *testing.T) {
	t.Parallel()
	primary := start(t, "--repl-diskless-sync-delay", "0")
	replica := start(t, "--replicaof", "127.0.0.1 "+primary.port, "--repl-diskless-sync-delay", "0")
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.cli(t, "info", "replication"), "master_link_status:up")
	})
	st := open(t, "redis://"+primary.address, &redisstore.Options{MinReplicas: 1})
	rec := create(t, st, newRecord("alice"))
	primary.cli(t, "config", "resetstat")
	if err := st.Touch(t.Context(), rec.ID, rec.LastSeen.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	calls := commandCalls(t, primary)
	if calls["eval"]+calls["evalsha"] > 2 || calls["wait"] == 0 {
		t.Errorf("Touch with MinReplicas: %v; want a script and a WAIT", calls)
	}
	replica.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	other := newRecord("alice")
	if _, err := st.Create(ctx, other, store.Terms{}, other.Created); err == nil || named(err) {
		t.Errorf("Create that no replica confirms: %v; want an error that says that the outcome is unknown", err)
	}
	if err := st.Load(ctx, other.ID, new(store.Record), store.Fresh); err != nil {
		t.Errorf("Load of what the primary alone has: %v", err)
	}
}
