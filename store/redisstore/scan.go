package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// batch is about how many keys a server looks at for one SCAN.
const batch = 1000

// scan asks one primary for a batch of records. cursor 0 begins, and next 0
// says that this was the last.
func (s *Store) scan(ctx context.Context, address string, cursor uint64) (ids []store.ID, next uint64, err error) {
	node, known := s.client.Nodes()[address]
	if !known {
		if s.target.kind != standalone {
			return nil, 0, fmt.Errorf("the server at %s is no longer a primary", address)
		}
		node = s.client
	}
	entry, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(s.keys.records()).Count(batch).Build()).AsScanEntry()
	if err != nil {
		return nil, 0, err
	}
	for _, key := range entry.Elements {
		id, err := s.keys.idOf(key)
		if err != nil {
			return nil, 0, err
		}
		ids = append(ids, id)
	}
	return ids, entry.Cursor, nil
}

// layout says which server answers for each slot; nobody for one that is on its
// way from one to another.
type layout [slots]string

const movingSlot = "moving"

// layout asks every primary for its slots.
func (s *Store) layout(ctx context.Context, shards []shard) (*layout, error) {
	l := new(layout)
	nodes := s.client.Nodes()
	for _, sh := range shards {
		node, known := nodes[sh.address]
		if !known {
			continue // its slots are nobody's
		}
		lines, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(lines) {
			// id, address, flags and five more, then its slots. Only its own
			// line tells of those that leave or come.
			if fields := strings.Fields(line); len(fields) > 8 && strings.Contains(fields[2], "myself") {
				l.note(sh.address, fields[8:])
			}
		}
	}
	return l, nil
}

// note takes down what a server says of its slots: 7, 0-5460, or [7->-other]
// for one that moves.
func (l *layout) note(address string, spans []string) {
	for _, span := range spans {
		moving := strings.HasPrefix(span, "[")
		first, last, isRange := strings.Cut(strings.TrimPrefix(span, "["), "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange && !moving {
			to, _ = strconv.Atoi(last) // 0: no slot at all
		}
		for slot := from; slot <= to && slot < slots; slot++ {
			if moving || l[slot] != "" {
				l[slot] = movingSlot
			} else {
				l[slot] = address
			}
		}
	}
}

// atRest reports whether a slot was at one place from before to after.
func atRest(before, after *layout, slot int) bool {
	return before[slot] != "" && before[slot] != movingSlot && before[slot] == after[slot]
}

// mostPasses is how often walk passes over all records before it gives up.
const mostPasses = 10

// walk calls each with every record that is there from the start to the end,
// one batch at a time. It may name one several times.
//
// While a slot moves, a pass can miss records of it that have left a server
// before they were scanned for one that was scanned already. So it passes until
// each slot was at rest during one pass.
//
// To a server that was started anew a cursor means nothing: it goes on at some
// other place. So a pass during which a connection was lost does not count.
func (s *Store) walk(ctx context.Context, each func([]store.ID) error) error {
	unsure := make(map[int]struct{}, slots)
	for slot := range slots {
		unsure[slot] = struct{}{}
	}
	interrupted := false
	for range mostPasses {
		losses := s.losses.Load()
		shards, err := s.shards(ctx)
		if err != nil {
			return err
		}
		if s.target.kind != cluster {
			err := s.walkOnce(ctx, shards, each)
			if interrupted = s.losses.Load() != losses; err != nil || !interrupted {
				return err
			}
			continue
		}
		before, err := s.layout(ctx, shards)
		if err != nil {
			return err
		}
		if err := s.walkOnce(ctx, shards, each); err != nil {
			return err
		}
		after, err := s.layout(ctx, shards)
		if err != nil {
			return err
		}
		if interrupted = s.losses.Load() != losses; interrupted {
			continue
		}
		maps.DeleteFunc(unsure, func(slot int, _ struct{}) bool { return atRest(before, after, slot) })
		if len(unsure) == 0 {
			return nil
		}
	}
	if interrupted {
		return errors.New("connections to the servers were lost time and again, so sessions may have been missed; see that the servers run, and that nothing in between cuts connections")
	}
	return fmt.Errorf("%d slots of the Cluster are never at rest; finish moving them, see redis-cli --cluster check", len(unsure))
}

func (s *Store) walkOnce(ctx context.Context, shards []shard, each func([]store.ID) error) error {
	for _, sh := range shards {
		for cursor, more := uint64(0), true; more; {
			ids, next, err := s.scan(ctx, sh.address, cursor)
			if err != nil {
				return err
			}
			if err := each(ids); err != nil {
				return err
			}
			cursor, more = next, next != 0
		}
	}
	return nil
}

// errLeft says that the caller of All wants no more.
var errLeft = errors.New("redisstore: the iteration was left")

// All implements [store.Store]. To yield each record once it remembers the ids
// that it has yielded, with some 40 bytes for each.
func (s *Store) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		const name = "all"
		if err := s.enter(ctx, name); err != nil {
			yield(store.Record{}, err)
			return
		}
		defer s.leave()
		seen := map[store.ID]struct{}{}
		err := s.walk(ctx, func(ids []store.ID) error {
			ids = slices.DeleteFunc(ids, func(id store.ID) bool {
				_, yielded := seen[id]
				seen[id] = struct{}{}
				return yielded
			})
			stored, err := s.heads(ctx, ids, most-1)
			if err != nil {
				return err
			}
			for i, id := range ids {
				var rec store.Record
				if stored[i] == "" {
					continue
				}
				if err := decode(stored[i], id, &rec, false); err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if !rec.Retired && !yield(rec, nil) {
					return errLeft
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errLeft) {
			yield(store.Record{}, s.explainIn(ctx, name, err))
		}
	}
}

// heads reads records up to a byte, in one round trip. What is not there is
// empty.
func (s *Store) heads(ctx context.Context, ids []store.ID, last int64) ([]string, error) {
	commands := make(rueidis.Commands, len(ids))
	for i, id := range ids {
		commands[i] = s.client.B().Getrange().Key(s.keys.record(id)).Start(0).End(last).Build()
	}
	stored := make([]string, len(ids))
	for i, r := range s.client.DoMulti(ctx, commands...) {
		var err error
		if stored[i], err = r.ToString(); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// sweeps is how far the present round of sweeps has come.
type sweeps struct {
	turn   chan struct{} // held by who sweeps
	shards []shard       // still to be scanned; the first is under way
	cursor uint64
	under  bool // a round is under way
}

// sweepRest is what a sweep rests between batches, so that the sweeps of many
// processes together do not burden the servers.
const sweepRest = 20 * time.Millisecond

// Sweep implements [store.Store]. Redis itself removes what is ten minutes past
// its deadline and every mark after its time, so this only makes it earlier: it
// looks at all records, a thousand at a time, with a rest after each.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	const name = "sweep"
	if err := s.enter(ctx, name); err != nil {
		return 0, false, err
	}
	defer s.leave()
	sw := &s.sweeps
	select {
	case sw.turn <- struct{}{}:
		defer func() { <-sw.turn }()
	case <-ctx.Done():
		return 0, false, fmt.Errorf("redisstore: %s: %w", name, ctx.Err())
	}
	if !sw.under {
		if sw.shards, err = s.shards(ctx); err != nil {
			return 0, false, s.explainIn(ctx, name, err)
		}
		sw.cursor, sw.under = 0, true
	}
	for len(sw.shards) > 0 {
		removed, left, err := s.sweepBatch(ctx, now.Add(-store.SweepAfter), limit-n)
		n += removed
		if err != nil {
			sw.under = false // begin anew, with the primaries that are then
			return n, true, s.explainIn(ctx, name, err)
		}
		if left {
			return n, true, nil
		}
		if len(sw.shards) > 0 && !sleep(ctx, sweepRest) {
			return n, true, fmt.Errorf("redisstore: %s: %w", name, ctx.Err())
		}
	}
	sw.under = false
	return n, false, nil
}

// sweepBatch removes up to limit of the records of a batch that were dead at a
// time, and moves on, unless there are more of those in it.
func (s *Store) sweepBatch(ctx context.Context, at time.Time, limit int) (removed int, left bool, err error) {
	sw := &s.sweeps
	ids, next, err := s.scan(ctx, sw.shards[0].address, sw.cursor)
	if err != nil {
		return 0, false, err
	}
	heads, err := s.heads(ctx, ids, atSubject-1)
	if err != nil {
		return 0, false, err
	}
	var dead []store.ID
	for i, head := range heads {
		if head == "" {
			continue
		}
		deadline, err := deadlineOf(head)
		if err != nil {
			return 0, false, err
		}
		if deadline <= at.UnixMicro() {
			dead = append(dead, ids[i])
		}
	}
	if left = len(dead) > limit; left {
		dead = dead[:max(limit, 0)]
	}
	removed, _, err = s.remove(ctx, "sweep", dead, instant(at))
	if err != nil || left {
		return removed, left, err
	}
	if sw.cursor = next; next == 0 {
		sw.shards = sw.shards[1:]
	}
	return removed, false, nil
}
