package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	const name = "load"
	if read == store.Cached && s.copies != nil {
		if stored, ok := s.copies.get(id); ok && ctx.Err() == nil && !s.closed.Load() {
			return decode(stored, id, rec, true)
		}
	}
	if err := s.enter(ctx, name); err != nil {
		return err
	}
	defer s.leave()
	stored, _, err := s.fetch(ctx, id)
	if rueidis.IsRedisNil(err) {
		if s.copies != nil {
			s.copies.drop(id) // whoever was told that it is gone is not told otherwise
		}
		return store.ErrNotFound
	}
	if err != nil {
		return s.explainIn(ctx, name, err)
	}
	return decode(stored, id, rec, true)
}

// fetch reads a record from its primary, and reports whether the server now
// tells of its changes.
func (s *Store) fetch(ctx context.Context, id store.ID) (stored string, followed bool, err error) {
	if p := s.route(id); p != nil {
		stored, err = p.read(ctx, id)
		if !errors.Is(err, errNotFollowed) {
			return stored, true, err
		}
	}
	err = patiently(ctx, func() error {
		stored, err = s.client.Do(ctx, s.client.B().Get().Key(s.keys.record(id)).Build()).ToString()
		return err
	})
	return stored, false, err
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	const name = "list"
	if subject == "" {
		return nil, errNoSubject
	}
	if err := s.enter(ctx, name); err != nil {
		return nil, err
	}
	defer s.leave()
	answer, err := s.run(ctx, name, &call{listScript, []string{s.keys.subject(subject)}, nil})
	if err != nil {
		return nil, err
	}
	fields, err := answer.AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("redisstore: list: %w", err)
	}
	var live []store.Record
	for pair := range slices.Chunk(fields, 2) {
		id, err := member(store.PlacementOf(subject), pair[0])
		if err != nil {
			return nil, fmt.Errorf("%w (%q in an index)", errForeign, pair[0])
		}
		var rec store.Record
		if err := decode(pair[1], id, &rec, false); err != nil {
			return nil, err
		}
		if rec.Live(now) {
			live = append(live, rec)
		}
	}
	slices.SortFunc(live, func(a, b store.Record) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return live, nil
}

// Settle implements [store.Settler]. It waits for MaxStale.
func (s *Store) Settle(ctx context.Context) error {
	if err := s.enter(ctx, "settle"); err != nil {
		return err
	}
	defer s.leave()
	if !sleep(ctx, s.opts.MaxStale) {
		return fmt.Errorf("redisstore: settle: %w", ctx.Err())
	}
	return nil
}
