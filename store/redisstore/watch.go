package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// watchers are those who asked to be told of changes to a record.
//
// A server tells once of a change, to who has read the record since the last.
// So after each change, and on each new connection, the record is read before
// the watchers are told: what changes later is then told of again.
type watchers struct {
	mu   sync.Mutex
	of   map[store.ID]map[*watcher]struct{}
	due  map[store.ID]struct{} // to be read, then told
	wake bell
}

type watcher struct {
	mu      sync.Mutex // held while changed runs, so that stop can promise
	stopped bool
	changed func()
}

// Watch implements [store.Watcher]. A change is told within milliseconds, and
// where the connection is lost after it is found again; none goes untold.
// Without local copies records are looked at every MaxStale instead. changed
// must not call stop.
func (s *Store) Watch(id store.ID, changed func()) (stop func()) {
	w := &watcher{changed: changed}
	s.watchers.add(id, w)
	s.watchers.arm(id)
	return func() { s.watchers.remove(id, w) }
}

func (ws *watchers) add(id store.ID, w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.of == nil {
		ws.of = map[store.ID]map[*watcher]struct{}{}
	}
	if ws.of[id] == nil {
		ws.of[id] = map[*watcher]struct{}{}
	}
	ws.of[id][w] = struct{}{}
}

func (ws *watchers) remove(id store.ID, w *watcher) {
	ws.mu.Lock()
	delete(ws.of[id], w)
	if len(ws.of[id]) == 0 {
		delete(ws.of, id)
		delete(ws.due, id)
	}
	ws.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// arm has a record read and its watchers told, if it has any.
func (ws *watchers) arm(id store.ID) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(ws.of[id]) > 0 {
		ws.armLocked(id)
	}
}

func (ws *watchers) armAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for id := range ws.of {
		ws.armLocked(id)
	}
}

func (ws *watchers) armLocked(id store.ID) {
	if ws.due == nil {
		ws.due = map[store.ID]struct{}{}
	}
	ws.due[id] = struct{}{}
	ws.wake.ring()
}

// take returns what is due, and forgets it.
func (ws *watchers) take() []store.ID {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ids := make([]store.ID, 0, len(ws.due))
	for id := range ws.due {
		ids = append(ids, id)
	}
	clear(ws.due)
	return ids
}

// tell calls those who watch id.
func (ws *watchers) tell(id store.ID) {
	ws.mu.Lock()
	told := make([]*watcher, 0, len(ws.of[id]))
	for w := range ws.of[id] {
		told = append(told, w)
	}
	ws.mu.Unlock()
	for _, w := range told {
		w.tell()
	}
}

func (w *watcher) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.changed()
	}
}

// armWatches reads what is due, until Close.
func (s *Store) armWatches() {
	var later []store.ID // could not be armed
	var then <-chan time.Time
	for {
		select {
		case <-s.watchers.wake:
			later = append(later, s.armDue()...)
		case <-then:
			for _, id := range later {
				s.watchers.arm(id)
			}
			later, then = nil, nil
		case <-s.background.Done():
			return
		}
		if len(later) > 0 && then == nil {
			then = time.After(s.opts.MaxStale)
		}
	}
}

// armDue reads what is due and tells its watchers. It returns what must be
// read again, because the server does not tell of changes to it.
func (s *Store) armDue() (again []store.ID) {
	var mu sync.Mutex
	var all sync.WaitGroup
	turns := make(chan struct{}, 16)
	for _, id := range s.watchers.take() {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(s.background, answerTimeout)
			defer cancel()
			_, followed, err := s.fetch(ctx, id)
			gone := rueidis.IsRedisNil(err)
			if !followed || err != nil && !gone {
				mu.Lock()
				again = append(again, id)
				mu.Unlock()
			}
			if err == nil || gone {
				s.watchers.tell(id)
			}
		})
	}
	all.Wait()
	return again
}
