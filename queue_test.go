package coatcheck

// This test is inside the package because a lock that nobody holds shows
// outside only as memory that grows.

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/coatcheck/coatcheck/store"
)

// A queue is there only while somebody is in it (F-26): otherwise every session
// that ever met a conflict would leave one behind.
func TestQueuesAreGoneWhenNobodyWaits(t *testing.T) {
	var q queues
	inside, most := map[ID]int{}, 0
	var mu sync.Mutex
	note := func(id ID, change int) {
		mu.Lock()
		defer mu.Unlock()
		inside[id] += change
		most = max(most, inside[id])
	}
	given, cancel := context.WithCancel(t.Context())
	held, err := q.enter(t.Context(), store.ID{9})
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for n := range 64 {
		workers.Go(func() {
			id := store.ID{byte(n % 4)}
			for range 50 {
				leave, err := q.enter(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				note(id, 1)
				note(id, -1)
				leave()
			}
		})
		workers.Go(func() { // waits for what is held, and gives up
			if _, err := q.enter(given, store.ID{9}); !errors.Is(err, context.Canceled) {
				t.Errorf("entered: %v", err)
			}
		})
	}
	cancel()
	workers.Wait()
	if !q.busy(store.ID{9}) || q.busy(store.ID{1}) {
		t.Error("a queue is busy that nobody is in, or is not although somebody is")
	}
	held()
	if most > 1 {
		t.Errorf("%d were in one queue at once", most)
	}
	left := int(q.any.Load())
	for i := range q.shards {
		left += len(q.shards[i].queues)
	}
	if left > 0 {
		t.Errorf("%d queues are left", left)
	}
}
