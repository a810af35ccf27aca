package memstore

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// sweepRound is how far the sweeps of a round have come.
type sweepRound struct {
	mu    sync.Mutex
	shard int
	chunk uint32
}

// nextPiece returns the next piece of work. done says that there is none left, and
// begins a new round.
func (s *Store) nextPiece() (shard int, chunk uint32, done bool) {
	r := &s.round
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; r.shard < shardCount; r.shard, r.chunk = r.shard+1, 0 {
		sh := &s.shards[r.shard]
		sh.mu.RLock()
		chunks := len(sh.slots.chunks)
		sh.mu.RUnlock()
		if int(r.chunk) < chunks {
			shard, chunk = r.shard, r.chunk
			r.chunk++
			return shard, chunk, false
		}
	}
	r.shard, r.chunk = 0, 0
	return 0, 0, true
}

// unfinished takes a piece of work back.
func (s *Store) unfinished(shard int, chunk uint32) {
	r := &s.round
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shard > shard || r.shard == shard && r.chunk > chunk {
		r.shard, r.chunk = shard, chunk
	}
}

// Sweep implements store.Store. It goes on until it has removed as many as it
// may or the round is finished, a chunk at a time, and stops nobody for longer
// than a chunk takes.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	deadline := now.Add(-store.SweepAfter).UnixMicro()
	for {
		if err := ended(ctx); err != nil {
			return n, true, err
		}
		shard, chunk, done := s.nextPiece()
		if done {
			s.forgetMarks(now.Add(-store.MarkFor).UnixMicro())
			return n, false, nil
		}
		removed, left := s.sweepChunk(shard, chunk, deadline, limit-n)
		n += removed
		if left {
			s.unfinished(shard, chunk)
			return n, true, nil
		}
	}
}

// sweepChunk removes up to limit records of a chunk that were dead at a time,
// and reports whether there are more. It looks under a read lock, and removes
// one record at a time, each after a second look.
func (s *Store) sweepChunk(shard int, chunk uint32, deadline int64, limit int) (removed int, more bool) {
	sh := &s.shards[shard]
	sh.mu.RLock()
	dead := sh.dead(chunk, deadline)
	sh.mu.RUnlock()
	for _, id := range dead {
		if removed >= limit {
			return removed, true
		}
		held := s.lockRecords(id)
		at := sh.find(id)
		gone := at != 0 && sh.slots.row(at).deadline() <= deadline
		if gone {
			s.detach(id, at)
			removed++
		}
		s.unlock(held)
		if gone {
			s.watches.tell(id)
		}
	}
	if removed > 0 {
		// Only now, so that the dead stay where a sweep comes by.
		sh.mu.Lock()
		sh.slots.tidy(chunk << refSlotBits)
		sh.mu.Unlock()
	}
	return removed, false
}

// dead returns the ids of a chunk's records that were dead at a time.
func (sh *shard) dead(chunk uint32, deadline int64) (ids []store.ID) {
	if int(chunk) >= len(sh.slots.chunks) || sh.slots.chunks[chunk].mem == nil {
		return nil
	}
	c := &sh.slots.chunks[chunk]
	for slot := range c.slots() {
		if r := c.row(slot); r.used() && r.deadline() <= deadline {
			ids = append(ids, r.id())
		}
	}
	return ids
}

// forgetMarks removes the marks that were left before a time.
func (s *Store) forgetMarks(before int64) {
	for i := range s.stripes {
		st := &s.stripes[i]
		st.mu.Lock()
		for hash, mark := range st.marks {
			if mark < before {
				delete(st.marks, hash)
			}
		}
		st.mu.Unlock()
	}
}

// batch is about how many records All reads at a time.
const batch = 64

// All implements store.Store. It walks the shards by the tags of the ids, which
// stay what they are wherever a record is moved.
func (s *Store) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		for i := range s.shards {
			for from := uint64(0); from < 1<<32; {
				if err := ended(ctx); err != nil {
					yield(store.Record{}, err)
					return
				}
				var records []store.Record
				records, from = s.shards[i].readFrom(from)
				for _, rec := range records {
					if !yield(rec, nil) {
						return
					}
				}
			}
		}
	}
}

// readFrom returns the records that are not retired of an interval of tags, and
// where the next begins.
func (sh *shard) readFrom(from uint64) (records []store.Record, next uint64) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	next = min(1<<32, from+1<<32/uint64(sh.ids.n/batch+1))
	for _, at := range sh.ids.within(uint32(from), uint32(next-1), nil) {
		if r := sh.slots.row(at); !r.retired() {
			var rec store.Record
			r.read(&rec)
			records = append(records, rec)
		}
	}
	return records, next
}
