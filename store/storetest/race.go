package storetest

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var raceCases = []testCase{
	{"race-update", "Every method is atomic: it happens whole or not at all, and no other call sees it half done.", raceUpdate},
	{"race-create-one-id", "Create stores a record whose id is not there yet.", raceCreateOneID},
	{"race-update-delete", "It never creates: a record that is gone, retired or dead at now is ErrNotFound.", raceUpdateDelete},
	{"race-update-retire", "Load returns such a record and All skips it; no index or count holds it; it can never be changed again.", raceUpdateRetire},
	{"race-touch-delete", "Touch moves LastSeen forward to now, never back, and changes nothing else, the version included.", raceTouchDelete},
	{"race-touch-update", "All methods are safe for use by several goroutines at once.", raceTouchUpdate},
	{"race-delete", "of several calls for one id, one is told.", raceDelete},
	{"race-sweep", "It returns how many records it removed, and whether there may be more to do at once: false says that a round is finished.", raceSweep},
	{"race-sweep-touch", "once a call has returned, every call that starts later, through any handle on the same store, sees its effect or a later one.", raceSweepTouch},
	{"race-whole-records", "Every method is atomic: it happens whole or not at all, and no other call sees it half done.", raceWholeRecords},
}

// amend loads the record and stores what change makes of it, until no other
// write comes between. It reports trouble but ErrNotFound, which it returns.
func (k *trial) amend(s store.Store, id store.ID, change func(*store.Record)) error {
	for range 100_000 {
		var rec store.Record
		err := s.Load(k.Context(), id, &rec, store.Fresh)
		if err == nil {
			was := rec.Version
			rec.Version = newVersion()
			change(&rec)
			err = s.Update(k.Context(), rec, was, start)
		}
		if err == nil || errors.Is(err, store.ErrNotFound) {
			return err
		}
		if !errors.Is(err, store.ErrConflict) {
			k.Errorf("Load and Update under contention: %v", err)
			return err
		}
	}
	k.Errorf("Update was refused with ErrConflict 100,000 times")
	return store.ErrConflict
}

func raceUpdate(k *trial) {
	const workers, each = 8, 10
	rec := newRecord("alice")
	rec.Data = make([]byte, 8)
	k.create(rec)
	k.parallel(workers, func(i int) {
		for range each {
			err := k.amend(k.handle(i), rec.ID, func(rec *store.Record) {
				binary.BigEndian.PutUint64(rec.Data, binary.BigEndian.Uint64(rec.Data)+1)
			})
			if err != nil {
				k.Errorf("Update: %v", err)
				return
			}
		}
	})
	if n := binary.BigEndian.Uint64(k.load(rec.ID).Data); n != workers*each {
		k.Errorf("%d of %d updates, each reported as stored, were lost", workers*each-int(n), workers*each)
	}
}

func raceCreateOneID(k *trial) {
	won := 0
	for range 10 {
		id := newRecord("alice").ID
		var created atomic.Int32
		var winner atomic.Value
		k.parallel(8, func(i int) {
			rec := newRecord([]string{"alice", ""}[i/2%2])
			rec.ID = id
			_, err := k.handle(i).Create(k.Context(), rec, store.Terms{Max: 20}, start)
			switch {
			case err == nil:
				created.Add(1)
				winner.Store(rec)
			case !errors.Is(err, store.ErrExists):
				k.Errorf("Create of one id by several: %v", err)
			}
		})
		if n := created.Load(); n != 1 {
			k.Fatalf("of 8 parallel Creates of one id %d succeeded", n)
		}
		rec := winner.Load().(store.Record)
		k.kept(rec)
		if rec.Subject == "alice" {
			won++
		}
	}
	if n := len(k.list("alice", start)); n != won {
		k.Errorf("List has %d records, want the %d that were created", n, won)
	}
}

func raceUpdateDelete(k *trial) {
	for range 20 {
		rec := newRecord("alice")
		k.create(rec)
		k.parallel(5, func(i int) {
			if i == 0 {
				if ended, err := k.b.Delete(k.Context(), rec.ID); err != nil || len(ended) != 1 {
					k.Errorf("Delete told of %v, %v; want the one that was there", ended, err)
				}
				return
			}
			for range 50 {
				if k.amend(k.handle(i), rec.ID, func(rec *store.Record) { rec.Data = random(300) }) != nil {
					return
				}
			}
		})
		k.gone(rec.ID)
		k.sameIDs("List after Delete", k.list("alice", start))
	}
}

func raceUpdateRetire(k *trial) {
	for range 20 {
		rec := newRecord("alice")
		k.create(rec)
		var retired atomic.Uint64
		k.parallel(4, func(i int) {
			var version uint64
			if i == 0 {
				if k.amend(k.a, rec.ID, func(rec *store.Record) { rec.Retired, version = true, rec.Version }) == nil {
					retired.Store(version)
				}
				return
			}
			for range 50 {
				if k.amend(k.handle(i), rec.ID, func(rec *store.Record) { rec.Retired, rec.Data = false, random(300) }) != nil {
					return
				}
			}
		})
		if got := k.load(rec.ID); !got.Retired || got.Version != retired.Load() {
			k.Errorf("a record was changed after it was retired: retired %v, version %d, want %d", got.Retired, got.Version, retired.Load())
		}
		k.sameIDs("List after all were retired", k.list("alice", start))
	}
}

func raceTouchDelete(k *trial) {
	for range 20 {
		rec := newRecord("alice")
		k.create(rec)
		k.parallel(5, func(i int) {
			if i == 0 {
				if _, err := k.b.Delete(k.Context(), rec.ID); err != nil {
					k.Errorf("Delete: %v", err)
				}
				return
			}
			for n := range 50 {
				err := k.handle(i).Touch(k.Context(), rec.ID, after(time.Duration(n)*time.Second))
				if errors.Is(err, store.ErrNotFound) {
					return
				}
				if err != nil {
					k.Errorf("Touch: %v", err)
					return
				}
			}
		})
		k.gone(rec.ID)
		k.sameIDs("List after Delete", k.list("alice", start))
	}
}

// raceTouchUpdate lets updates go on for as long as there are touches.
func raceTouchUpdate(k *trial) {
	rec := newRecord("alice")
	rec.Data = make([]byte, 8)
	k.create(rec)
	const touchers, touches = 3, 15
	var touching, updates atomic.Int64
	touching.Store(touchers)
	k.parallel(2*touchers, func(i int) {
		if i < touchers {
			defer touching.Add(-1)
			for n := range touches {
				if err := k.handle(i).Touch(k.Context(), rec.ID, after(time.Duration(n*touchers+i)*time.Second)); err != nil {
					k.Errorf("Touch: %v", err)
				}
			}
			return
		}
		for n := 0; n < 10 || touching.Load() > 0; n++ {
			err := k.amend(k.handle(i), rec.ID, func(rec *store.Record) {
				binary.BigEndian.PutUint64(rec.Data, binary.BigEndian.Uint64(rec.Data)+1)
			})
			if err != nil {
				k.Errorf("Update: %v", err)
				return
			}
			updates.Add(1)
		}
	})
	got := k.load(rec.ID)
	if n := int64(binary.BigEndian.Uint64(got.Data)); n != updates.Load() {
		k.Errorf("%d of %d updates were lost to touches", updates.Load()-n, updates.Load())
	}
	k.sameTime("LastSeen after the last touch", got.LastSeen, after((touches*touchers-1)*time.Second))
}

func raceDelete(k *trial) {
	for range 20 {
		recs := []store.Record{newRecord("alice"), newRecord("alice"), newRecord("")}
		k.create(recs...)
		var mu sync.Mutex
		var told []store.ID
		k.parallel(6, func(i int) {
			ids := idsOf(recs...)
			if i%2 == 1 {
				slices.Reverse(ids)
			}
			var ended []store.ID
			var err error
			if i == 5 {
				ended, err = k.handle(i).DeleteSubject(k.Context(), "alice", start)
			} else {
				ended, err = k.handle(i).Delete(k.Context(), ids...)
			}
			if err != nil {
				k.Errorf("Delete: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, ended...)
		})
		k.sameIDs("parallel Deletes told of", told, idsOf(recs...)...)
	}
}

func raceSweep(k *trial) {
	live := newRecord("alice")
	live.Idle = 10 * time.Hour
	k.create(live)
	for i := range 300 {
		k.create(newRecord([]string{"alice", "bob", ""}[i%3]))
	}
	var removed atomic.Int64
	k.parallel(4, func(i int) {
		for rounds := 0; rounds < 2; {
			n, more, err := k.handle(i).Sweep(k.Context(), after(2*time.Hour), 9)
			if err != nil {
				k.Errorf("Sweep: %v", err)
				return
			}
			removed.Add(int64(n))
			if !more {
				rounds++
			}
		}
	})
	if n := removed.Load() + int64(k.sweep(after(2*time.Hour))); n != 300 {
		k.Errorf("parallel Sweeps say that they removed %d records, want 300", n)
	}
	k.sameIDs("All", idsOf(k.all()...), live.ID)
}

// raceSweepTouch lets sweeps race with touches that come before the deadline:
// whoever is told that a session lives on must find it there.
func raceSweepTouch(k *trial) {
	for range 10 {
		var recs []store.Record
		for range 12 {
			recs = append(recs, newRecord("alice"))
		}
		k.create(recs...)
		touched := make([]bool, len(recs))
		k.parallel(3, func(i int) {
			if i == 0 {
				for more := true; more; {
					var err error
					if _, more, err = k.a.Sweep(k.Context(), after(40*time.Minute), 100); err != nil {
						k.Errorf("Sweep: %v", err)
						return
					}
				}
				return
			}
			for n := i - 1; n < len(recs); n += 2 {
				err := k.b.Touch(k.Context(), recs[n].ID, after(29*time.Minute))
				touched[n] = err == nil
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					k.Errorf("Touch: %v", err)
				}
			}
		})
		for i, rec := range recs {
			if touched[i] {
				rec.LastSeen = after(29 * time.Minute)
				k.kept(rec)
			}
		}
		if _, err := k.a.Delete(k.Context(), idsOf(recs...)...); err != nil {
			k.Fatalf("Delete: %v", err)
		}
	}
}

func raceWholeRecords(k *trial) {
	rec := newRecord("alice")
	fill := func(rec *store.Record, b byte) {
		rec.Head, rec.Data = make([]byte, 50), make([]byte, 100+40*int(b))
		for i := range rec.Head {
			rec.Head[i] = b
		}
		for i := range rec.Data {
			rec.Data[i] = b
		}
	}
	fill(&rec, 1)
	k.create(rec)
	k.parallel(6, func(i int) {
		for n := range 40 {
			if i < 2 {
				_ = k.amend(k.handle(i), rec.ID, func(rec *store.Record) { fill(rec, byte(n)) })
				continue
			}
			var got store.Record
			if err := k.handle(i).Load(k.Context(), rec.ID, &got, store.Freshness(i%2)); err != nil {
				k.Errorf("Load: %v", err)
				return
			}
			b := got.Head[0]
			for _, x := range append(got.Head, got.Data...) {
				if x != b || len(got.Data) != 100+40*int(b) {
					k.Errorf("Load returned parts of two versions")
					return
				}
			}
		}
	})
}
