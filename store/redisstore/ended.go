package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// ended remembers which ids this store has ended, and which marks it has left,
// in the last minute: a server that comes back, or takes over, may have lost
// that, and is told again.
type ended struct {
	mu         sync.Mutex
	young, old memory
	since      time.Time // young began
	wake       bell
}

type memory struct {
	ids   map[store.ID]struct{}
	marks map[string]string // key: at
}

const (
	rememberFor = time.Minute
	// mostRemembered bounds the ids of a minute. More end at once only where
	// many are ended on purpose, and that is known to who does it.
	mostRemembered = 1 << 18
)

// turn begins a new minute. mu is held.
func (e *ended) turn() {
	if now := time.Now(); now.Sub(e.since) > rememberFor || e.young.ids == nil {
		e.old = e.young
		e.young = memory{map[store.ID]struct{}{}, map[string]string{}}
		if now.Sub(e.since) > 2*rememberFor {
			e.old = memory{}
		}
		e.since = now
	}
}

func (e *ended) add(ids ...store.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn()
	for _, id := range ids {
		if len(e.young.ids) < mostRemembered {
			e.young.ids[id] = struct{}{}
		}
	}
}

func (e *ended) addMark(key, at string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn()
	if at > e.young.marks[key] { // big-endian, so the later is the greater
		e.young.marks[key] = at
	}
}

func (e *ended) remove(id store.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.young.ids, id)
	delete(e.old.ids, id)
}

func (e *ended) recall() (ids []store.ID, marks []*call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn()
	for _, m := range []memory{e.old, e.young} {
		for id := range m.ids {
			ids = append(ids, id)
		}
		for key, at := range m.marks {
			marks = append(marks, &call{markScript, []string{key}, []string{at}})
		}
	}
	return ids, marks
}

// endAgain ends what was ended in the last minute whenever a server may have
// lost it, until Close.
func (s *Store) endAgain() {
	for {
		select {
		case <-s.ended.wake:
		case <-s.background.Done():
			return
		}
		// What rang is a connection that has only begun.
		sleep(s.background, 100*time.Millisecond)
		ids, marks := s.ended.recall()
		if len(ids)+len(marks) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(s.background, 2*patience)
		_, _, err := s.remove(ctx, "end again", ids, "")
		for _, r := range s.runAll(ctx, "end again", marks) {
			if r.err != nil {
				err = r.err
			}
		}
		cancel()
		if err != nil && sleep(s.background, time.Second) {
			s.ended.wake.ring()
		}
	}
}
