package pgstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/coatcheck/coatcheck/store"
)

const (
	watchEvery   = 250 * time.Millisecond
	watchShare   = 4    // pauses are this many times as long as looking took
	watchAtOnce  = 1000 // records of one query
	watchTimeout = 10 * time.Second
)

// watchers are those who asked to be told of changes to a record. While there
// is one, a goroutine looks at the versions of what is watched, all in one
// query. It compares states, so that no change is lost while the server is
// away.
//
// LISTEN and NOTIFY would tell a little sooner. But the server commits the
// transactions that notify one after the other, each with its own sync to the
// disk, so that every write would pay for those who watch (measured with 16
// clients: a quarter to a tenth of the updates per second); and a connection
// that breaks, or a pooler between, loses what was told.
type watchers struct {
	mu     sync.Mutex
	of     map[store.ID]*watched
	stop   context.CancelFunc // of the goroutine; nil: there is none
	closed bool

	goroutines sync.WaitGroup // which close waits for
}

// watched is a record that somebody watches.
type watched struct {
	known   bool
	version uint64 // 0: the record is not there
	by      map[*watcher]struct{}
}

type watcher struct {
	mu      sync.Mutex // held while changed runs, so that stop can promise
	stopped bool
	changed func()
}

// Watch implements [store.Watcher]. changed is called about a quarter of a
// second after the record was updated, retired or removed by anybody: later
// when many thousand are watched, and when the server is away, once it is back.
// No change is lost, though one call may tell of several. The first call comes
// for nothing. changed must not call stop.
func (s *Store) Watch(id store.ID, changed func()) (stop func()) {
	w := &watcher{changed: changed}
	ws := &s.watchers
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.of == nil {
		ws.of = make(map[store.ID]*watched)
	}
	if ws.of[id] == nil {
		ws.of[id] = &watched{by: make(map[*watcher]struct{})}
	}
	// What is known of the record may be newer than what the caller knows.
	ws.of[id].known = false
	ws.of[id].by[w] = struct{}{}
	if ws.stop == nil && !ws.closed {
		var ctx context.Context
		ctx, ws.stop = context.WithCancel(context.Background())
		ws.goroutines.Go(func() { s.lookOut(ctx) })
	}
	return func() { ws.remove(id, w) }
}

func (ws *watchers) remove(id store.ID, w *watcher) {
	ws.mu.Lock()
	if of := ws.of[id]; of != nil {
		delete(of.by, w)
		if len(of.by) == 0 {
			delete(ws.of, id)
		}
	}
	if len(ws.of) == 0 && ws.stop != nil {
		ws.stop()
		ws.stop = nil
	}
	ws.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

func (ws *watchers) close() {
	ws.mu.Lock()
	ws.closed = true
	if ws.stop != nil {
		ws.stop()
	}
	ws.mu.Unlock()
	ws.goroutines.Wait()
}

// lookOut looks at what is watched until the context ends.
func (s *Store) lookOut(ctx context.Context) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		for ids := range slices.Chunk(s.watchers.ids(), watchAtOnce) {
			// After an error, the next look sees what has changed until then.
			if versions, err := s.versionsOf(ctx, ids); err == nil {
				s.watchers.saw(ids, versions)
			}
		}
		timer.Reset(max(watchEvery, watchShare*time.Since(began)))
	}
}

func (ws *watchers) ids() []store.ID {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return slices.Collect(maps.Keys(ws.of))
}

// versionsOf returns the versions of those records that are there.
func (s *Store) versionsOf(ctx context.Context, ids []store.ID) (versions map[store.ID]uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	err = s.do(ctx, "watch", true, func(ctx context.Context, conn *pgxpool.Conn) error {
		versions = make(map[store.ID]uint64, len(ids))
		rows, err := conn.Query(ctx, s.sql.versions, uuids(ids))
		if err != nil {
			return err
		}
		var id pgtype.UUID
		var version int64
		_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error {
			versions[id.Bytes] = uint64(version)
			return nil
		})
		return err
	})
	return versions, err
}

// saw tells those whose records are not as they were.
func (ws *watchers) saw(ids []store.ID, versions map[store.ID]uint64) {
	var told []*watcher
	ws.mu.Lock()
	for _, id := range ids {
		of := ws.of[id]
		if of == nil || of.known && of.version == versions[id] {
			continue
		}
		of.known, of.version = true, versions[id]
		told = slices.AppendSeq(told, maps.Keys(of.by))
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
