package memstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// lockSubject locks what holds a subject's records.
func (s *Store) lockSubject(hash uint64) locks {
	held := locks{stripes: 1 << stripeOf(hash)}
	s.lockStripes(held.stripes)
	held.shards = s.shardsOf(hash)
	s.lock(locks{shards: held.shards})
	return held
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if subject == "" {
		return nil, errNoSubject
	}
	hash := s.subjectHash([]byte(subject))
	var list []store.Record
	held := s.lockSubject(hash)
	for _, m := range s.members(hash, subject) {
		if m.row.live(now.UnixMicro()) {
			rec := store.Record{Subject: subject}
			m.row.read(&rec)
			list = append(list, rec)
		}
	}
	s.unlock(held)
	slices.SortFunc(list, func(a, b store.Record) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return list, nil
}

// DeleteSubject implements store.Store.
func (s *Store) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if subject == "" {
		return nil, errNoSubject
	}
	hash := s.subjectHash([]byte(subject))
	var told []store.ID
	held := s.lockSubject(hash)
	for _, m := range s.members(hash, subject) {
		if id := m.row.id(); !slices.Contains(keep, id) {
			told = append(told, id)
		}
	}
	for _, id := range told {
		s.remove(id)
	}
	s.stripe(hash).mark(hash, now.UnixMicro())
	s.unlock(held)
	s.watches.tell(told...)
	return told, nil
}

// DeleteAll implements store.Store. All locks are held while everything is
// counted and forgotten. The memory, which may be gigabytes, is wiped after
// that, but before DeleteAll returns.
func (s *Store) DeleteAll(ctx context.Context, now time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	held := locks{stripes: everything, shards: everything}
	s.lock(held)
	n := 0
	var gone [shardCount][]chunk
	for i := range s.shards {
		var ended int
		ended, gone[i] = s.shards[i].clear()
		n += ended
	}
	for i := range s.stripes {
		members := &s.stripes[i].members
		s.budget.used.Add(-8 * int64(len(members.cells)))
		*members = index{}
	}
	s.markOfAll = max(s.markOfAll, now.UnixMicro())
	s.unlock(held)
	s.watches.tellAll()
	for _, chunks := range gone {
		for i := range chunks {
			clear(chunks[i].mem)
		}
	}
	return n, nil
}
