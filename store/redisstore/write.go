package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) (evicted []store.ID, err error) {
	const name = "create"
	if err := check(&rec); err != nil {
		return nil, err
	}
	place := rec.ID.Placement()
	if rec.Subject != "" && place != store.PlacementOf(rec.Subject) {
		return nil, fmt.Errorf("redisstore: create: the id %v is not placed as its subject: see store.PlacementOf", rec.ID)
	}
	if err := s.enter(ctx, name); err != nil {
		return nil, err
	}
	defer s.leave()

	names := []string{s.keys.record(rec.ID), s.keys.markAll(place)}
	if rec.Subject != "" {
		names = append(names, s.keys.subject(rec.Subject), s.keys.mark(rec.Subject))
	}
	began, refuse, replaces := "", "0", ""
	if !terms.Began.IsZero() {
		began = instant(terms.Began)
	}
	if terms.Refuse {
		refuse = "1"
	}
	if terms.Replaces.Placement() == place {
		replaces = restOf(terms.Replaces)
	}
	// An id that was ended and is given anew is not to be ended again.
	s.ended.remove(rec.ID)
	answer, err := s.run(ctx, name, &call{createScript, names, []string{
		instant(now), began, string(encode(&rec)), strconv.Itoa(max(terms.Max, 0)), refuse, replaces,
	}})
	s.forget(rec.ID)
	if err != nil {
		if terms.Max > 0 && !terms.Refuse && !undone(err) {
			s.forgetAll() // which records have gone, if any, is not known
		}
		return nil, err
	}
	if err := refusal(answer); err != nil {
		return nil, err
	}
	evicted, err = members(answer, place)
	s.forget(evicted...)
	s.ended.add(evicted...)
	return evicted, err
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := check(&rec); err != nil {
		return err
	}
	return s.change(ctx, "update", rec.ID, &call{updateScript, []string{s.keys.record(rec.ID)},
		[]string{instant(now), version(was), string(encode(&rec))}})
}

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, id store.ID, now time.Time) error {
	return s.change(ctx, "touch", id, &call{touchScript, []string{s.keys.record(id)}, []string{instant(now)}})
}

// change runs a script that changes one record.
func (s *Store) change(ctx context.Context, name string, id store.ID, c *call) error {
	if err := s.enter(ctx, name); err != nil {
		return err
	}
	defer s.leave()
	answer, err := s.run(ctx, name, c)
	s.forget(id)
	if err != nil {
		return err
	}
	return refusal(answer)
}

// forget drops the copies of records that a write of this store has changed,
// or may have.
func (s *Store) forget(ids ...store.ID) {
	if s.copies != nil {
		for _, id := range ids {
			s.copies.drop(id)
		}
	}
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, ids ...store.ID) (ended []store.ID, err error) {
	if err := s.enter(ctx, "delete"); err != nil {
		return nil, err
	}
	defer s.leave()
	s.ended.add(ids...)
	_, ended, err = s.remove(ctx, "delete", ids, "")
	return ended, err
}

// remove removes records, those alone that were dead at a time if one is
// given. It returns how many it removed, and which of them were not retired.
// After an error others may have been removed.
func (s *Store) remove(ctx context.Context, name string, ids []store.ID, deadAt string) (removed int, ended []store.ID, err error) {
	var groups [][]store.ID
	if s.target.kind == cluster {
		// A script reaches the keys of one slot. Those that share a placement
		// are known to be in one.
		groups = byPlacement(ids)
	} else {
		groups = slices.Collect(slices.Chunk(slices.Clone(ids), 500))
	}
	calls := make([]*call, len(groups))
	for i, group := range groups {
		calls[i] = &call{removeScript, make([]string, len(group)), []string{deadAt}}
		for j, id := range group {
			calls[i].keys[j] = s.keys.record(id)
		}
	}
	var errs []error
	for i, result := range s.runAll(ctx, name, calls) {
		s.forget(groups[i]...)
		if result.err != nil {
			errs = append(errs, result.err)
			continue
		}
		states, err := result.answer.AsIntSlice()
		if err != nil || len(states) != len(groups[i]) {
			errs = append(errs, fmt.Errorf("redisstore: %s: the server answered something else than was asked for: %w", name, errors.Join(err, errForeign)))
			continue
		}
		for j, state := range states {
			if state > 0 {
				removed++
			}
			if state == 2 {
				ended = append(ended, groups[i][j])
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, nil, err
	}
	return removed, ended, nil
}

// byPlacement sorts ids into groups of the same placement.
func byPlacement(ids []store.ID) (groups [][]store.ID) {
	at := map[[2]byte]int{}
	for _, id := range ids {
		i, seen := at[id.Placement()]
		if !seen {
			i = len(groups)
			at[id.Placement()], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], id)
	}
	return groups
}

type result struct {
	answer rueidis.RedisMessage
	err    error
}

// atOnce is how many scripts go to the servers together.
const atOnce = 1000

// runAll runs scripts in one round trip, or in one for every thousand.
func (s *Store) runAll(ctx context.Context, name string, calls []*call) []result {
	results := make([]result, len(calls))
	if len(calls) == 1 || s.opts.MinReplicas > 0 {
		turns := make(chan struct{}, 16)
		var all sync.WaitGroup
		for i, c := range calls {
			turns <- struct{}{}
			all.Go(func() {
				results[i].answer, results[i].err = s.run(ctx, name, c)
				<-turns
			})
		}
		all.Wait()
		return results
	}
	for from := 0; from < len(calls); from += atOnce {
		to := min(from+atOnce, len(calls))
		s.runTogether(ctx, name, calls[from:to], results[from:to])
	}
	return results
}

// runTogether runs scripts in one round trip. Those that did nothing for a
// reason that passes run again, together too: else each would wait for itself,
// one after the other.
func (s *Store) runTogether(ctx context.Context, name string, calls []*call, results []result) {
	send := func(which []int, build func(*call, rueidis.Builder) rueidis.Completed) {
		commands := make(rueidis.Commands, len(which))
		for i, at := range which {
			commands[i] = build(calls[at], s.client.B())
		}
		for i, r := range s.client.DoMulti(ctx, commands...) {
			results[which[i]].answer, results[which[i]].err = r.ToMessage()
		}
	}
	var waiting []int
	for i := range calls {
		waiting = append(waiting, i)
	}
	_ = patiently(ctx, func() error { // what comes of each is in results
		send(waiting, (*call).build)
		for missing := unknown(waiting, results); len(missing) > 0; missing = unknown(missing[1:], results) {
			send(missing[:1], (*call).buildFull) // which teaches one server
			send(missing[1:], (*call).build)
		}
		waiting = slices.DeleteFunc(waiting, func(at int) bool {
			return !passing(results[at].err) && !unreached(results[at].err)
		})
		if len(waiting) == 0 {
			return nil
		}
		return results[waiting[0]].err
	})
	for i := range results {
		results[i].err = s.explainIn(ctx, name, results[i].err)
	}
}

// unknown returns those of some scripts that their servers did not know.
func unknown(which []int, results []result) (those []int) {
	for _, at := range which {
		if said(results[at].err, "NOSCRIPT") {
			those = append(those, at)
		}
	}
	return those
}

// DeleteSubject implements [store.Store].
func (s *Store) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) (ended []store.ID, err error) {
	const name = "delete subject"
	if subject == "" {
		return nil, errNoSubject
	}
	if err := s.enter(ctx, name); err != nil {
		return nil, err
	}
	defer s.leave()
	place := store.PlacementOf(subject)
	args := []string{instant(now)}
	for _, id := range keep {
		if id.Placement() == place {
			args = append(args, restOf(id))
		}
	}
	mark := s.keys.mark(subject)
	s.ended.addMark(mark, args[0])
	answer, err := s.run(ctx, name, &call{removeSubjectScript, []string{s.keys.subject(subject), mark}, args})
	if err != nil {
		// Which records have gone, if any, is not known.
		s.forgetAll()
		return nil, err
	}
	ended, err = members(answer, place)
	s.forget(ended...)
	s.ended.add(ended...)
	return ended, err
}

func (s *Store) forgetAll() {
	if s.copies != nil {
		s.copies.dropAll()
	}
}

// members reads the ids that a script answers with.
func members(answer rueidis.RedisMessage, place [2]byte) ([]store.ID, error) {
	rests, err := answer.AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	var ids []store.ID
	for _, rest := range rests {
		id, err := member(place, rest)
		if err != nil {
			return nil, fmt.Errorf("%w (%q in an index)", errForeign, rest)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// DeleteAll implements [store.Store]. It leaves its mark in every slot first,
// so that a Create that began before finds it wherever it comes too late, and
// then walks over all records. Those that are created meanwhile, by requests
// that began later, may go too.
func (s *Store) DeleteAll(ctx context.Context, now time.Time) (n int, err error) {
	const name = "delete all"
	if err := s.enter(ctx, name); err != nil {
		return 0, err
	}
	defer s.leave()
	marks := s.keys.allMarks()
	calls := make([]*call, len(marks))
	for i, key := range marks {
		calls[i] = &call{markScript, []string{key}, []string{instant(now)}}
		s.ended.addMark(key, instant(now))
	}
	for _, r := range s.runAll(ctx, name, calls) {
		if r.err != nil {
			return 0, r.err
		}
	}
	defer s.forgetAll()
	err = s.walk(ctx, func(ids []store.ID) error {
		_, ended, err := s.remove(ctx, name, ids, "")
		n += len(ended)
		s.ended.add(ended...)
		return err
	})
	if err != nil {
		return 0, s.explainIn(ctx, name, err)
	}
	return n, nil
}
