package coatcheck

import (
	"context"
	"time"
)

// Whoever stores has the turn, one goroutine of a request at a time, from the
// first load to the last write. It is a mark and not a lock, because everybody
// who asks for it holds Session.mu, which is released only while functions of
// the user's run, or while somebody waits here.

// takeTurn waits until nobody else of the request stores. It gives up if nobody
// gives the turn back for longer than storing can take: then a function of
// Key.Update, run again on newer data, waits for itself here. mu is held, but
// not while it waits. Error: ErrStore.
func (s *Session) takeTurn() error {
	if s.storing {
		if err := s.waitForTurn(); err != nil {
			return err
		}
	}
	s.storing = true
	return nil
}

func (s *Session) waitForTurn() error {
	patience := s.manager.config.StoreTimeout + maxContention
	stuck := time.NewTimer(patience)
	defer stuck.Stop()
	for s.storing {
		if s.turn == nil {
			s.turn = make(chan struct{})
		}
		over := s.turn
		s.mu.Unlock()
		select {
		case <-over:
			s.mu.Lock()
			stuck.Reset(patience)
		case <-stuck.C:
			s.mu.Lock()
			return storeError("wait for another goroutine of the request", context.DeadlineExceeded)
		}
	}
	return nil
}

// giveTurn lets the next one store. mu is held.
func (s *Session) giveTurn() {
	s.storing = false
	if s.turn != nil {
		close(s.turn)
		s.turn = nil
	}
}
