package sqlitestore

import (
	"sync"

	"github.com/coatcheck/coatcheck/store"
)

// watchers are those who asked to be told of changes to a record.
type watchers struct {
	mu sync.Mutex
	of map[store.ID]map[*watcher]struct{}
}

type watcher struct {
	mu      sync.Mutex // held while changed runs, so that stop can promise
	stopped bool
	changed func()
}

// Watch implements [store.Watcher]. Every change of this store is told, also
// one that came through Dial; none is lost. The writer waits for changed, which
// must call neither stop nor the store.
func (s *Store) Watch(id store.ID, changed func()) (stop func()) {
	w := &watcher{changed: changed}
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	if s.watchers.of == nil {
		s.watchers.of = make(map[store.ID]map[*watcher]struct{})
	}
	if s.watchers.of[id] == nil {
		s.watchers.of[id] = make(map[*watcher]struct{})
	}
	s.watchers.of[id][w] = struct{}{}
	return func() { s.watchers.remove(id, w) }
}

func (ws *watchers) remove(id store.ID, w *watcher) {
	ws.mu.Lock()
	delete(ws.of[id], w)
	if len(ws.of[id]) == 0 {
		delete(ws.of, id)
	}
	ws.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
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

// tellAll calls everybody.
func (ws *watchers) tellAll() {
	ws.mu.Lock()
	ids := make([]store.ID, 0, len(ws.of))
	for id := range ws.of {
		ids = append(ids, id)
	}
	ws.mu.Unlock()
	for _, id := range ids {
		ws.tell(id)
	}
}

func (w *watcher) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.changed()
	}
}
