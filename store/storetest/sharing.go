package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var handleCases = []testCase{
	{"handles-see-each-other", "once a call has returned, every call that starts later, through any handle on the same store, sees its effect or a later one.", seeEachOther},
	{"handles-settle", "Settle returns once no handle on this store answers from a copy that was out of date when Settle was called.", settles},
	{"copies-own-writes", "a store drops or replaces its own copy before any write of its own returns.", ownWrites},
	{"copies-no-misses", "So misses are never kept", noMisses},
}

var contextCases = []testCase{
	{"context-ended", "Every method that takes a context returns soon after the context ends, with an error that wraps the context's, unless it has finished.", contextEnded},
}

var watchCases = []testCase{
	{"watch-tells", "Watch calls changed, from any goroutine and as often as it likes, soon after the record is updated, retired or removed through any handle.", watchTells},
	{"watch-stops", "After stop has returned no call starts.", watchStops},
}

func seeEachOther(k *trial) {
	ctx, one, two := k.Context(), k.a, k.b
	for range 2 {
		rec := newRecord("alice")
		if _, err := one.Create(ctx, rec, store.Terms{}, start); err != nil {
			k.Fatalf("Create: %v", err)
		}
		if _, err := two.Create(ctx, rec, store.Terms{}, start); !errors.Is(err, store.ErrExists) {
			k.Errorf("Create of an id that the other handle has created: %v, want ErrExists", err)
		}
		load := func(s store.Store, want store.Record) {
			k.Helper()
			var got store.Record
			if err := s.Load(ctx, rec.ID, &got, store.Fresh); err != nil {
				k.Fatalf("Load, Fresh: %v", err)
			}
			k.equal("Load, Fresh, by the other handle", got, want)
		}
		load(two, rec)
		changed := next(rec)
		if err := two.Update(ctx, changed, rec.Version, start); err != nil {
			k.Errorf("Update of what the other handle has created: %v", err)
		}
		k.is("Update over the version that the other handle has replaced", one.Update(ctx, next(rec), rec.Version, start), store.ErrConflict)
		load(one, changed)
		if err := one.Touch(ctx, rec.ID, after(time.Minute)); err != nil {
			k.Errorf("Touch: %v", err)
		}
		changed.LastSeen = after(time.Minute)
		load(two, changed)
		if listed, err := two.List(ctx, "alice", start); err != nil || len(listed) != 1 {
			k.Errorf("List by the other handle: %d records, %v; want 1", len(listed), err)
		}
		if ended, err := two.Delete(ctx, rec.ID); err != nil || len(ended) != 1 {
			k.Errorf("Delete of what the other handle has created told of %v, %v", ended, err)
		}
		k.is("Load, Fresh, of what the other handle has deleted", one.Load(ctx, rec.ID, &rec, store.Fresh), store.ErrNotFound)
		k.is("Touch of what the other handle has deleted", one.Touch(ctx, rec.ID, after(time.Minute)), store.ErrNotFound)
		one, two = two, one
	}
}

// writes are all ways to change or end alice's session.
var writes = []struct {
	name string
	do   func(ctx context.Context, s store.Store, rec store.Record) error
}{
	{"Update", func(ctx context.Context, s store.Store, rec store.Record) error {
		return s.Update(ctx, next(rec), rec.Version, start)
	}},
	{"Update that retires", func(ctx context.Context, s store.Store, rec store.Record) error {
		retired := next(rec)
		retired.Retired = true
		return s.Update(ctx, retired, rec.Version, start)
	}},
	{"Touch", func(ctx context.Context, s store.Store, rec store.Record) error {
		return s.Touch(ctx, rec.ID, after(time.Minute))
	}},
	{"Delete", func(ctx context.Context, s store.Store, rec store.Record) error {
		_, err := s.Delete(ctx, rec.ID)
		return err
	}},
	{"DeleteSubject", func(ctx context.Context, s store.Store, rec store.Record) error {
		_, err := s.DeleteSubject(ctx, rec.Subject, start)
		return err
	}},
	{"DeleteAll", func(ctx context.Context, s store.Store, _ store.Record) error {
		_, err := s.DeleteAll(ctx, start)
		return err
	}},
	{"Create at the limit", func(ctx context.Context, s store.Store, _ store.Record) error {
		_, err := s.Create(ctx, seen("alice", time.Minute), store.Terms{Max: 1}, start)
		return err
	}},
	{"Sweep", func(ctx context.Context, s store.Store, _ store.Record) error {
		for rounds := 0; rounds < 2; {
			_, more, err := s.Sweep(ctx, after(24*time.Hour), 100)
			if err != nil {
				return err
			}
			if !more {
				rounds++
			}
		}
		return nil
	}},
}

// cachedIsFresh loads by Cached what the writing handle must answer like Fresh.
func (k *trial) cachedIsFresh(s store.Store, id store.ID, what string) {
	k.Helper()
	var cached, fresh store.Record
	cachedErr := s.Load(k.Context(), id, &cached, store.Cached)
	freshErr := s.Load(k.Context(), id, &fresh, store.Fresh)
	if errors.Is(cachedErr, store.ErrNotFound) != errors.Is(freshErr, store.ErrNotFound) {
		k.Errorf("Load, Cached, after %s: %v; Fresh: %v", what, cachedErr, freshErr)
		return
	}
	if freshErr == nil {
		k.equal("Load, Cached, after "+what, cached, fresh)
	}
}

// warm creates a session of alice and loads it, so that a store that keeps
// copies has one.
func (k *trial) warm() store.Record {
	k.Helper()
	rec := newRecord("alice")
	k.create(rec)
	for _, s := range []store.Store{k.a, k.b} {
		for range 3 {
			var got store.Record
			if err := s.Load(k.Context(), rec.ID, &got, store.Cached); err != nil {
				k.Fatalf("Load, Cached: %v", err)
			}
		}
	}
	return rec
}

func settles(k *trial) {
	for _, write := range writes {
		rec := k.warm()
		if err := write.do(k.Context(), k.a, rec); err != nil {
			k.Fatalf("%s: %v", write.name, err)
		}
		k.settle()
		k.cachedIsFresh(k.b, rec.ID, write.name+" by the other handle and Settle")
	}
}

func ownWrites(k *trial) {
	for _, write := range writes {
		rec := k.warm()
		if err := write.do(k.Context(), k.a, rec); err != nil {
			k.Fatalf("%s: %v", write.name, err)
		}
		k.cachedIsFresh(k.a, rec.ID, write.name+" by the same handle")
	}
}

func noMisses(k *trial) {
	rec := newRecord("alice")
	for _, s := range []store.Store{k.a, k.b} {
		for range 3 {
			var got store.Record
			k.is("Load, Cached, before Create", s.Load(k.Context(), rec.ID, &got, store.Cached), store.ErrNotFound)
		}
	}
	k.create(rec)
	for _, s := range []store.Store{k.a, k.b} {
		var got store.Record
		if err := s.Load(k.Context(), rec.ID, &got, store.Cached); err != nil {
			k.Errorf("Load, Cached, after a miss and a Create: %v", err)
		}
	}
}

func contextEnded(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	cancelled, cancel := context.WithCancel(k.Context())
	cancel()
	expired, cancel := context.WithDeadline(k.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		for i := range 2 {
			s := k.handle(i)
			var got store.Record
			k.is("Load, Fresh", s.Load(ctx, rec.ID, &got, store.Fresh), ctx.Err())
			k.is("Load, Cached", s.Load(ctx, rec.ID, &got, store.Cached), ctx.Err())
			_, err := s.Create(ctx, newRecord("bob"), store.Terms{Max: 1}, start)
			k.is("Create", err, ctx.Err())
			k.is("Update", s.Update(ctx, next(rec), rec.Version+1, start), ctx.Err())
			k.is("Touch", s.Touch(ctx, rec.ID, start), ctx.Err())
			_, err = s.Delete(ctx, newRecord("").ID)
			k.is("Delete", err, ctx.Err())
			_, err = s.DeleteSubject(ctx, "carol", start)
			k.is("DeleteSubject", err, ctx.Err())
			_, err = s.DeleteAll(ctx, after(-48*time.Hour))
			k.is("DeleteAll", err, ctx.Err())
			_, err = s.List(ctx, "alice", start)
			k.is("List", err, ctx.Err())
			_, _, err = s.Sweep(ctx, start, 10)
			k.is("Sweep", err, ctx.Err())
			err = nil
			for _, err = range s.All(ctx) {
			}
			k.is("All", err, ctx.Err())
		}
	}
	fine := newRecord("dave")
	k.create(fine)
	k.kept(fine)
	if _, err := k.b.Delete(k.Context(), fine.ID); err != nil {
		k.Errorf("Delete after calls whose context had ended: %v", err)
	}
}

func watchTells(k *trial) {
	for i := range 2 {
		for _, write := range writes {
			if write.name == "Touch" {
				continue
			}
			rec := newRecord("alice")
			k.create(rec)
			watcher, ok := k.handle(i).(store.Watcher)
			if !ok {
				return
			}
			told := make(chan struct{}, 1)
			stop := watcher.Watch(rec.ID, func() {
				select {
				case told <- struct{}{}:
				default:
				}
			})
			if err := write.do(k.Context(), k.a, rec); err != nil {
				k.Fatalf("%s: %v", write.name, err)
			}
			select {
			case <-told:
			case <-time.After(k.patience):
				k.Errorf("nothing told a watcher of a record within %v of %s", k.patience, write.name)
			}
			stop()
			if _, err := k.a.DeleteAll(k.Context(), after(-48*time.Hour)); err != nil {
				k.Fatalf("DeleteAll: %v", err)
			}
		}
	}
}

func watchStops(k *trial) {
	watcher, ok := k.a.(store.Watcher)
	if !ok {
		return
	}
	rec := newRecord("alice")
	k.create(rec)
	var stopped, others atomic.Int32
	var over atomic.Bool
	stop := watcher.Watch(rec.ID, func() {
		if over.Load() {
			stopped.Add(1)
		}
	})
	told := make(chan struct{}, 100)
	stopOther := watcher.Watch(rec.ID, func() {
		others.Add(1)
		select {
		case told <- struct{}{}:
		default:
		}
	})
	defer stopOther()
	stop()
	over.Store(true)
	stop()
	k.update(next(rec), rec.Version)
	select {
	case <-told:
	case <-time.After(k.patience):
		k.Errorf("a watcher heard nothing after another was stopped")
	}
	if n := stopped.Load(); n > 0 {
		k.Errorf("a watcher was called %d times after stop had returned", n)
	}
}
