package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var subjectRaceCases = []testCase{
	{"race-limit-refuses", "Max is how many live records the subject may have, this one included.", raceLimitRefuses},
	{"race-limit-evicts", "Max is how many live records the subject may have, this one included.", raceLimitEvicts},
	{"race-delete-subject", "A mark later than Began refuses it with ErrSubjectEnded: the mark of its subject, or for any record the mark of all.", raceDeleteSubject},
	{"race-delete-all", "DeleteAll removes every record, returns how many were not retired, and leaves a mark for every subject, as DeleteSubject does.", raceDeleteAll},
}

func raceLimitRefuses(k *trial) {
	var created, refused atomic.Int32
	k.parallel(50, func(i int) {
		_, err := k.handle(i).Create(k.Context(), newRecord("alice"), store.Terms{Max: 5, Refuse: true}, start)
		switch {
		case err == nil:
			created.Add(1)
		case errors.Is(err, store.ErrLimit):
			refused.Add(1)
		default:
			k.Errorf("Create at the limit: %v", err)
		}
	})
	if created.Load() != 5 || refused.Load() != 45 {
		k.Errorf("of 50 parallel Creates with Max 5, %d succeeded and %d were refused", created.Load(), refused.Load())
	}
	if n := len(k.list("alice", start)); n != 5 {
		k.Errorf("List has %d records, want 5", n)
	}
}

func raceLimitEvicts(k *trial) {
	var mu sync.Mutex
	var created, evicted []store.ID
	k.parallel(50, func(i int) {
		rec := seen("alice", time.Duration(i)*time.Second)
		gone, err := k.handle(i).Create(k.Context(), rec, store.Terms{Max: 5}, start)
		if err != nil {
			k.Errorf("Create at the limit: %v", err)
			return
		}
		listed, err := k.handle(i+1).List(k.Context(), "alice", start)
		if err != nil || len(listed) > 5 {
			k.Errorf("List meanwhile: %d records, %v; want at most 5", len(listed), err)
		}
		mu.Lock()
		defer mu.Unlock()
		created, evicted = append(created, rec.ID), append(evicted, gone...)
	})
	left := k.list("alice", start)
	if len(left) != 5 {
		k.Errorf("List has %d records, want 5", len(left))
	}
	k.sameIDs("what is left and what Create has ended", append(left, evicted...), created...)
}

func raceDeleteSubject(k *trial) {
	raceMark(k, func() error {
		_, err := k.b.DeleteSubject(k.Context(), "alice", after(time.Minute))
		return err
	})
}

func raceDeleteAll(k *trial) {
	raceMark(k, func() error {
		_, err := k.b.DeleteAll(k.Context(), after(time.Minute))
		return err
	})
}

// raceMark lets sign-ins that began before a mark race with what leaves it.
func raceMark(k *trial, end func() error) {
	var refused atomic.Int32
	var ended atomic.Bool
	k.parallel(9, func(i int) {
		if i == 0 {
			if err := end(); err != nil {
				k.Errorf("ending the subject's sessions: %v", err)
			}
			ended.Store(true)
			return
		}
		for range 2000 {
			late := ended.Load()
			_, err := k.handle(i).Create(k.Context(), newRecord("alice"), store.Terms{Began: start}, after(time.Minute))
			if errors.Is(err, store.ErrSubjectEnded) {
				refused.Add(1)
				return
			}
			if err != nil || late {
				k.Errorf("Create that began before the mark, called after it: %v", err)
				return
			}
		}
	})
	if left := k.list("alice", after(time.Minute)); len(left) != 0 {
		k.Errorf("%d sessions survived that began before the subject's sessions were ended", len(left))
	}
	if n := len(k.all()); n != 0 {
		k.Errorf("All yields %d records, want none", n)
	}
}
