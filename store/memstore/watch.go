package memstore

import (
	"sync"
	"sync/atomic"

	"github.com/coatcheck/coatcheck/store"
)

// watches are the functions to call when a record has changed.
type watches struct {
	any  atomic.Int64 // how many there are: mostly none, and then nobody looks
	mu   sync.Mutex
	byID map[store.ID][]*watch
}

type watch struct {
	changed func()
	stopped atomic.Bool
}

// Watch implements store.Watcher. Calls come from the goroutine that made the
// change, after the change and outside all locks; none is lost. changed may call
// stop, so stop does not wait for it: a call that has begun on another goroutine
// may still run when stop has returned.
func (s *Store) Watch(id store.ID, changed func()) (stop func()) {
	w := &watch{changed: changed}
	s.watches.add(id, w)
	return func() {
		if !w.stopped.Swap(true) {
			s.watches.drop(id, w)
		}
	}
}

func (ws *watches) add(id store.ID, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byID == nil {
		ws.byID = map[store.ID][]*watch{}
	}
	ws.byID[id] = append(ws.byID[id], w)
	ws.any.Add(1)
}

func (ws *watches) drop(id store.ID, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.any.Add(-1)
	var others []*watch
	for _, other := range ws.byID[id] {
		if other != w {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		delete(ws.byID, id)
		return
	}
	ws.byID[id] = others
}

// tell calls those who watch these records.
func (ws *watches) tell(ids ...store.ID) {
	if ws.any.Load() == 0 {
		return
	}
	for _, id := range ids {
		ws.mu.Lock()
		watching := ws.byID[id]
		ws.mu.Unlock()
		call(watching)
	}
}

// tellAll calls everybody.
func (ws *watches) tellAll() {
	ws.mu.Lock()
	var watching []*watch
	for _, some := range ws.byID {
		watching = append(watching, some...)
	}
	ws.mu.Unlock()
	call(watching)
}

func call(watching []*watch) {
	for _, w := range watching {
		if !w.stopped.Load() {
			w.changed()
		}
	}
}
