package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

func TestCloseWaitsAndEndsTheStore(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	rec := create(t, st, newRecord("alice"))
	warm(t, s, st, rec.ID)
	settled := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		for range st.All(t.Context()) {
			close(begun)
			settled <- st.Settle(t.Context()) // takes a second
		}
	}()
	<-begun
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-settled:
		if err != nil && !errors.Is(err, redisstore.ErrClosed) {
			t.Errorf("a call that was under way when the store was closed: %v", err)
		}
	default:
		t.Error("Close has not waited for a call under way")
	}
	for _, read := range []store.Freshness{store.Cached, store.Fresh} {
		if err := st.Load(t.Context(), rec.ID, new(store.Record), read); !errors.Is(err, redisstore.ErrClosed) {
			t.Errorf("Load after Close: %v, want ErrClosed", err)
		}
	}
	if err := st.Touch(t.Context(), rec.ID, rec.LastSeen); !errors.Is(err, redisstore.ErrClosed) {
		t.Errorf("Touch after Close: %v, want ErrClosed", err)
	}
	if err := st.Close(); !errors.Is(err, redisstore.ErrClosed) {
		t.Errorf("Close after Close: %v, want ErrClosed", err)
	}
}

// One second is promised, plus what a busy machine needs.
func TestALoadWithoutADeadlineGivesUpOnADeadServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	rec := create(t, st, newRecord(""))
	s.kill()
	given := make(chan error, 1)
	within := func(what string, do func() error) {
		t.Helper()
		go func() { given <- do() }()
		select {
		case err := <-given:
			t.Logf("%s: %v", what, err)
		case <-time.After(6 * time.Second):
			t.Errorf("%s has not returned in 6 s", what)
			s.run(t) // or it never would
			<-given
		}
	}
	within("Load", func() error { return st.Load(context.Background(), rec.ID, new(store.Record), store.Fresh) })
	within("Close", st.Close)
}

func TestStoresUnderDifferentPrefixesAreApart(t *testing.T) {
	t.Parallel()
	s := start(t)
	one := open(t, "redis://"+s.address, &redisstore.Options{Prefix: "one"})
	two := open(t, "redis://"+s.address, &redisstore.Options{Prefix: "two"})
	rec := create(t, one, newRecord("alice"))
	create(t, two, newRecord("alice"))
	s.cli(t, "set", "cc:{0000}rstranger", "another program's")
	if n, err := two.DeleteAll(t.Context(), rec.Created); n != 1 || err != nil {
		t.Errorf("DeleteAll under one prefix: %d, %v; want 1", n, err)
	}
	if err := one.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); err != nil {
		t.Errorf("a session under another prefix: %v", err)
	}
	database := open(t, "redis://"+s.address+"/3", &redisstore.Options{Prefix: "one"})
	if err := database.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session in another database: %v, want ErrNotFound", err)
	}
	shared := open(t, "redis://"+s.address, nil)
	if _, err := shared.DeleteAll(t.Context(), rec.Created); err == nil || named(err) {
		t.Errorf("DeleteAll among keys of another program: %v; want an error that says so", err)
	}
}

func TestAnIDMustBePlacedAsItsSubject(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	rec := newRecord("alice")
	rec.ID[0] ^= 1
	if _, err := st.Create(t.Context(), rec, store.Terms{}, rec.Created); err == nil || named(err) {
		t.Errorf("Create of an id of another placement: %v; want an error that says so", err)
	}
}

// A server that is started anew is waited for, also by those who send it many
// scripts at once.
func TestADeleteWaitsForAServerThatIsStartedAnew(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2000} {
		s := start(t)
		st := open(t, "redis://"+s.address, nil)
		ids := make([]store.ID, n)
		for i := range ids {
			ids[i] = newRecord("").ID
		}
		s.kill()
		eventually(t, "the store notices that the server is gone", func() bool {
			err := st.Touch(t.Context(), ids[0], time.Now())
			return err != nil && strings.Contains(err.Error(), "no server answers")
		})
		done := make(chan error, 1)
		go func() {
			_, err := st.Delete(t.Context(), ids...)
			done <- err
		}()
		time.Sleep(200 * time.Millisecond)
		s.run(t)
		if err := <-done; err != nil {
			t.Errorf("Delete of %d: %v", n, err)
		}
	}
}

// Many scripts that wait for one server wait together.
func TestManyScriptsWaitNoLongerThanOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	ids := make([]store.ID, 2000)
	for i := range ids {
		ids[i] = newRecord("").ID
	}
	for i := 0; i < len(ids); i += 500 { // one in each script
		ids[i] = create(t, st, newRecord("")).ID
	}
	s.cli(t, "replicaof", "127.0.0.1", freePort(t)) // so it refuses writes, for a reason that may pass
	began := time.Now()
	_, err := st.Delete(t.Context(), ids...)
	if took := time.Since(began); err == nil || took > 12*time.Second {
		t.Errorf("Delete of %d: %v after %v, want an error after 5 s", len(ids), err, took)
	}
}
