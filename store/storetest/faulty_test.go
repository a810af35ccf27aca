package storetest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

var errDown = errors.New("the store is down")

// session is a live session of alice.
func session(id byte) store.Record {
	now := time.Now()
	return store.Record{
		ID: store.ID{15: id}, Version: 1, Subject: "alice",
		Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(time.Hour),
	}
}

// everyMethod calls each method once with what succeeds on a store that holds
// the record, and returns the errors by method.
func everyMethod(ctx context.Context, s store.Store, rec store.Record) map[storetest.Method]error {
	now := rec.LastSeen
	errs := map[storetest.Method]error{
		storetest.Load:   s.Load(ctx, rec.ID, new(store.Record), store.Fresh),
		storetest.Update: s.Update(ctx, rec, rec.Version, now),
		storetest.Touch:  s.Touch(ctx, rec.ID, now),
	}
	_, errs[storetest.Create] = s.Create(ctx, session(99), store.Terms{}, now)
	_, errs[storetest.List] = s.List(ctx, "alice", now)
	for _, err := range s.All(ctx) {
		errs[storetest.All] = err
	}
	_, _, errs[storetest.Sweep] = s.Sweep(ctx, now, 10)
	_, errs[storetest.Delete] = s.Delete(ctx, rec.ID)
	_, errs[storetest.DeleteSubject] = s.DeleteSubject(ctx, "alice", now)
	_, errs[storetest.DeleteAll] = s.DeleteAll(ctx, now)
	return errs
}

func TestFaultyPassesTheContractWithoutFaults(t *testing.T) {
	storetest.Run(t, func(*testing.T) (a, b store.Store) {
		s, _ := storetest.Faulty(memstore.New(nil))
		return s, storetest.Opaque(s)
	})
}

func TestEveryMethodCanFailBeforeItHappens(t *testing.T) {
	inner := memstore.New(nil)
	s, faults := storetest.Faulty(inner)
	rec := session(1)
	if _, err := inner.Create(t.Context(), rec, store.Terms{}, rec.Created); err != nil {
		t.Fatal(err)
	}
	for m := range everyMethod(t.Context(), memstore.New(nil), session(2)) {
		faults.Fail(m, 1, errDown)
	}
	for m, err := range everyMethod(t.Context(), s, rec) {
		if !errors.Is(err, errDown) {
			t.Errorf("%s returned %v, want the fault", m, err)
		}
		if n := faults.Calls(m); n != 1 {
			t.Errorf("%s was counted %d times, want 1", m, n)
		}
	}
	if listed, err := inner.List(t.Context(), "alice", rec.Created); err != nil || len(listed) != 1 {
		t.Errorf("after calls that failed before they happened: %d records, %v; want 1", len(listed), err)
	}
	for m, err := range everyMethod(t.Context(), s, rec) {
		if err != nil {
			t.Errorf("%s after its only fault: %v", m, err)
		}
	}
}

func TestALostAnswerLeavesTheWriteInPlace(t *testing.T) {
	inner := memstore.New(nil)
	s, faults := storetest.Faulty(inner)
	rec := session(1)
	faults.Lose(storetest.Create, 1, errDown)
	if _, err := s.Create(t.Context(), rec, store.Terms{}, rec.Created); !errors.Is(err, errDown) {
		t.Fatalf("Create returned %v, want the fault", err)
	}
	if err := inner.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); err != nil {
		t.Errorf("the write whose answer was lost did not happen: %v", err)
	}
	if _, err := s.Create(t.Context(), rec, store.Terms{}, rec.Created); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create after its only fault: %v, want ErrExists", err)
	}
	faults.Lose(storetest.Delete, 1, errDown)
	if ended, err := s.Delete(t.Context(), rec.ID); ended != nil || !errors.Is(err, errDown) {
		t.Errorf("Delete whose answer was lost told of %v, %v", ended, err)
	}
}

func TestAHeldCallWaitsForItsReleaseOrItsContext(t *testing.T) {
	s, faults := storetest.Faulty(memstore.New(nil))
	rec := session(1)
	waiting, release := faults.Hold(storetest.Touch)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Touch(ctx, rec.ID, rec.Created) }()
	<-waiting
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a held call whose context ended returned %v", err)
	}
	go func() { done <- s.Touch(t.Context(), rec.ID, rec.Created) }()
	<-waiting
	release()
	release()
	if err := <-done; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a held call that was released returned %v, want what the store says", err)
	}
}

func TestHealingRemovesEveryFault(t *testing.T) {
	s, faults := storetest.Faulty(memstore.New(nil))
	faults.Fail(storetest.List, 1000, errDown)
	faults.Lose(storetest.DeleteAll, 1000, errDown)
	faults.Heal()
	if _, err := s.List(t.Context(), "alice", time.Now()); err != nil {
		t.Errorf("List: %v", err)
	}
	if _, err := s.DeleteAll(t.Context(), time.Now()); err != nil {
		t.Errorf("DeleteAll: %v", err)
	}
}

// abilities names what a store can do besides.
func abilities(s store.Store) (names []string) {
	if _, ok := s.(store.Watcher); ok {
		names = append(names, "Watcher")
	}
	if _, ok := s.(store.Settler); ok {
		names = append(names, "Settler")
	}
	if _, ok := s.(store.InProcess); ok {
		names = append(names, "InProcess")
	}
	if exact, ok := s.(store.ExactMarks); ok && exact.ExactMarks() {
		names = append(names, "ExactMarks")
	}
	return names
}

type settler struct{}

func (settler) Settle(context.Context) error { return nil }

func TestWrappersForwardTheAbilitiesThatAStoreHas(t *testing.T) {
	mem := memstore.New(nil)
	bare := struct{ store.Store }{mem}
	for _, inner := range []store.Store{
		bare, mem,
		struct {
			store.Store
			settler
		}{bare, settler{}},
		struct {
			*memstore.Store
			settler
		}{mem, settler{}},
		struct {
			store.Store
			store.Watcher
		}{bare, mem},
		struct {
			store.Store
			store.Watcher
			settler
		}{bare, mem, settler{}},
		struct{ store.InProcess }{mem},
		struct {
			store.InProcess
			settler
		}{mem, settler{}},
		struct {
			store.Store
			store.ExactMarks
		}{bare, mem},
	} {
		wrapped, _ := storetest.Faulty(inner)
		want := abilities(inner)
		if got := abilities(wrapped); !slices.Equal(got, want) {
			t.Errorf("Faulty has %v, the store %v", got, want)
		}
		want = slices.DeleteFunc(want, func(name string) bool { return name == "InProcess" })
		if got := abilities(storetest.Opaque(inner)); !slices.Equal(got, want) {
			t.Errorf("Opaque has %v, want %v", got, want)
		}
	}
}
