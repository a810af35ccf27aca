package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// ErrClosed is what every method of a closed store returns. Nothing happened.
var ErrClosed = errors.New("sqlitestore: the store is closed")

const (
	flushEvery      = time.Second // touches are in the file after this long
	maxGroup        = 256         // writes in one transaction
	touchesPerGroup = 64          // that ride along with other writes
	touchesAlone    = 1024        // in a transaction of their own
	maxTouches      = 64 << 10    // gathered; above it a touch waits for its transaction
)

// The writer is the one goroutine that changes the file. It takes the writes
// that wait, does them in one transaction, and answers them when that has been
// synced: so the cost of a sync is shared by those who wait for it.
type writer struct {
	store *Store
	sql   *statements
	ops   chan *op
	flush chan struct{} // touches have waited long enough
	armed atomic.Bool   // flush will be sent

	// sending is held for reading by those about to send an op, so that close
	// can know that the last one has been sent.
	sending sync.RWMutex
	closed  bool
	closing chan struct{} // closed before that: who waits for room in ops gives up
	once    sync.Once     // closes closing
	stopped chan struct{}

	log        sync.Mutex // held while a transaction or a RESTART checkpoint runs
	newestMark int64
	flushError error // of the last attempt to write touches
}

// op is one write that waits for its answer.
type op struct {
	// do may run more than once, each time on a new transaction.
	do    func(*transaction) error
	flush bool // with all the touches gathered before it
	state atomic.Int32
	err   error
	done  chan struct{}
}

const (
	opWaiting = iota
	opTaken
	opAbandoned
)

// write has the writer do something and waits for it. A context that ends
// before the writer has begun means that nothing happens; after that, the
// outcome is unknown, and do may run after write has returned: so it must not
// use memory of the caller, nor set what the caller returns with the error.
func (w *writer) write(ctx context.Context, name string, o *op) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlitestore: %s: %w", name, err)
	}
	o.done = make(chan struct{})
	if err := w.send(ctx, name, o); err != nil {
		return err
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		if o.state.CompareAndSwap(opWaiting, opAbandoned) {
			return fmt.Errorf("sqlitestore: %s: given up before it began: %w", name, ctx.Err())
		}
		select {
		case <-o.done:
		default:
			return fmt.Errorf("sqlitestore: %s: not waited for, it may still happen: %w", name, ctx.Err())
		}
	}
	if o.err == nil || refused(o.err) {
		return o.err
	}
	return w.store.explain(name, o.err)
}

func (w *writer) send(ctx context.Context, name string, o *op) error {
	w.sending.RLock()
	defer w.sending.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.ops <- o:
		return nil
	case <-w.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("sqlitestore: %s: given up before it began: %w", name, ctx.Err())
	}
}

// close lets the writer finish what it was given, and all touches.
func (w *writer) close() error {
	w.once.Do(func() { close(w.closing) })
	w.sending.Lock()
	if w.closed {
		w.sending.Unlock()
		return ErrClosed
	}
	w.closed = true
	close(w.ops)
	w.sending.Unlock()
	<-w.stopped
	return w.flushError
}

// touchesWait makes the writer write the gathered touches before long.
func (w *writer) touchesWait() {
	if !w.armed.Load() && w.armed.CompareAndSwap(false, true) {
		time.AfterFunc(flushEvery, func() { w.flush <- struct{}{} })
	}
}

func (w *writer) run() {
	defer close(w.stopped)
	group := make([]*op, 0, maxGroup)
	for {
		select {
		case o, open := <-w.ops:
			if !open {
				w.writeTouches()
				return
			}
			group = w.take(group[:0], o)
			w.commit(group)
			clear(group)
			w.store.checkpoints.wake()
			// Those just answered may have more to write: a group that waits
			// for them to say so is a larger one.
			runtime.Gosched()
		case <-w.flush:
			w.armed.Store(false)
			w.writeTouches()
			w.store.checkpoints.wake()
		}
	}
}

// take adds to first whatever else is waiting.
func (w *writer) take(group []*op, first *op) []*op {
	for o := first; ; {
		if o.state.CompareAndSwap(opWaiting, opTaken) {
			group = append(group, o)
		}
		if len(group) == maxGroup {
			return group
		}
		select {
		case next, open := <-w.ops:
			if !open {
				return group
			}
			o = next
		default:
			return group
		}
	}
}

// commit does a group of writes and answers them.
func (w *writer) commit(group []*op) {
	if len(group) == 0 {
		return
	}
	if err := w.try(group, touchesPerGroup); err != nil {
		// The database refused something. Each on its own, so that only what
		// is refused fails.
		for _, o := range group {
			if err := w.try([]*op{o}, 0); err != nil {
				o.err = err
			}
		}
	}
	for _, o := range group {
		close(o.done)
	}
}

// writeTouches writes the touches that are gathered now, in short
// transactions, so that other writes need not wait for all.
func (w *writer) writeTouches() {
	w.flushError = nil // what could not be written may have gone along with other writes
	for left := w.store.cache.pending.Load(); left > 0; left -= touchesAlone {
		if w.flushError = w.try(nil, touchesAlone); w.flushError != nil {
			w.touchesWait()
			return
		}
	}
}

// try does a group of writes and some touches in one transaction: either all,
// or, with an error, nothing.
func (w *writer) try(group []*op, touches int) error {
	w.log.Lock()
	defer w.log.Unlock()
	t := &transaction{statements: w.sql, cache: w.store.cache, newestMark: w.newestMark}
	defer t.release()
	if err := w.begin(); err != nil {
		return err
	}
	if err := t.do(group, touches); err != nil {
		w.rollback()
		return err
	}
	for _, c := range t.changes {
		if !c.all {
			t.cache.drop(c.id)
		}
	}
	if _, err := w.sql.exec("COMMIT"); err != nil {
		w.rollback()
		return err
	}
	w.newestMark = t.newestMark
	w.store.committed(t)
	return nil
}

func (t *transaction) do(group []*op, touches int) error {
	for _, o := range group {
		o.err = o.do(t)
		if o.err != nil && !refused(o.err) {
			return o.err
		}
		if o.flush {
			touches = maxTouches
		}
	}
	return t.writeTouches(touches)
}

func (t *transaction) release() {
	for _, id := range t.claimed {
		t.cache.release(id)
	}
	if t.allClaimed {
		t.cache.releaseAll()
	}
}

func (w *writer) begin() error {
	_, err := w.sql.exec("BEGIN IMMEDIATE")
	if err != nil {
		// A transaction whose end failed may still be open.
		w.rollback()
		_, err = w.sql.exec("BEGIN IMMEDIATE")
	}
	return err
}

// rollback ends a transaction that failed. SQLite may have done so already,
// and then says that there is none.
func (w *writer) rollback() { _, _ = w.sql.exec("ROLLBACK") }

// committed tells the cache and the watchers what is in the file now.
func (s *Store) committed(t *transaction) {
	s.settled.Lock()
	for _, c := range t.changes {
		if c.all {
			s.cache.removedAll()
		} else {
			s.cache.changed(c.id, c.rec)
		}
	}
	for _, touch := range t.written {
		s.cache.written(touch)
	}
	s.settled.Unlock()
	for _, c := range t.changes {
		switch {
		case c.all:
			s.watchers.tellAll()
		case c.was:
			s.watchers.tell(c.id)
		}
	}
}

var (
	_ store.Watcher    = (*Store)(nil)
	_ store.ExactMarks = (*Store)(nil)
)
