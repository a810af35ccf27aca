// Package memstore keeps sessions in the memory of one process: the default
// store of a manager, and the reference for those who write another. What it
// holds is gone when the process ends. Start with [New].
//
// # Promises
//
// It is linearizable, never answers from a copy, and loses no call that
// [Store.Watch] promises. All handles share one clock, so a mark refuses exactly
// what began before it. It starts no goroutine and needs no Close.
//
// # Memory
//
// Records lie packed in large pieces of memory without pointers, so that
// millions of them cost the garbage collector nothing, at about 1.1 to 1.3
// times of what they hold. After half of them were deleted at random it can be
// twice, and after two thirds three times, until something new is created,
// shrinks or needs room.
//
// Options bounds them. When the bound is reached, room for a record is made in
// this order: the dead go that share a shard with it (see below), and what is
// left there is packed closer; anonymous sessions go, those not seen for long
// first; the dead of other shards go, and those are packed closer. A live
// session of somebody who is signed in never goes, and store.ErrFull says so.
//
// # How it is built
//
// An id's last bytes choose one of 64 shards, which keeps the record: index.go
// finds it, slots.go is the memory, row.go a record's bytes, shard.go the three
// together; tidy.go keeps the pieces of memory full and few. A subject's hash
// chooses one of 64 stripes, which know the ids of the subject's records:
// subjects.go, also about the order of locks, of which lock.go is one. room.go
// is for when memory runs out, sweep.go for what walks over everything, watch.go
// for who wants to be told.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var (
	_ store.InProcess  = (*Store)(nil)
	_ store.Watcher    = (*Store)(nil)
	_ store.ExactMarks = (*Store)(nil)
)

// Options are the choices of a store. The zero value is the default.
type Options struct {
	// MaxBytes is about how much memory records and what finds them may take,
	// in bytes. 0 means 1 GiB. It may be a little more: the indexes grow
	// without asking, and the list of the pieces of memory never shrinks.
	// Marks, of which there is one for each subject whose sessions were ended
	// in the last hour, come on top: about 40 bytes each.
	MaxBytes int64
}

// Store keeps records in memory. Use New; the zero Store is not valid.
type Store struct {
	budget  budget
	seed    maphash.Seed
	shards  [shardCount]shard
	stripes [shardCount]stripe
	// markOfAll is the mark of DeleteAll in microseconds. It is written under
	// all locks, and so read under any.
	markOfAll int64
	round     sweepRound
	watches   watches
}

// New returns an empty store. Nil options are the defaults.
func New(opts *Options) *Store {
	s := &Store{seed: maphash.MakeSeed(), markOfAll: noMark}
	s.budget.max = 1 << 30
	if opts != nil && opts.MaxBytes > 0 {
		s.budget.max = opts.MaxBytes
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.slots.budget, sh.slots.ids = &s.budget, &sh.ids
	}
	return s
}

// noMark is before any time that a mark or a request can have.
const noMark = -1 << 62

var errNoSubject = errors.New("memstore: the subject is empty: name the one whose sessions are meant")

// Format prints a name under every verb: what is kept here is not sealed, and
// must not get into a log with the configuration of a manager.
func (s *Store) Format(f fmt.State, _ rune) { io.WriteString(f, "memstore") }

// LogValue logs what Format prints.
func (s *Store) LogValue() slog.Value { return slog.StringValue("memstore") }

// InProcess states that records never leave the memory of this process.
func (s *Store) InProcess() {}

// ExactMarks implements [store.ExactMarks]: one process has one clock.
func (s *Store) ExactMarks() bool { return true }

// ended returns the context's error, if it has ended. Nothing here takes long,
// so once is enough for most.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}

func (s *Store) shard(id store.ID) *shard { return &s.shards[shardOf(idKey(id))] }

// Load implements store.Store. It allocates nothing where rec has the capacity
// and the subject already.
func (s *Store) Load(ctx context.Context, id store.ID, rec *store.Record, _ store.Freshness) error {
	if err := ended(ctx); err != nil {
		return err
	}
	sh := s.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	at := sh.find(id)
	if at == 0 {
		return store.ErrNotFound
	}
	r := sh.slots.row(at)
	r.read(rec)
	rec.Data = append(rec.Data[:0], r.data()...)
	return nil
}

// Create implements store.Store. In a full store a subject at its limit gets
// store.ErrFull, although its oldest session would end for the new one and so
// make room: the room is taken before anything ends.
func (s *Store) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if err := checkBounds(&rec); err != nil {
		return nil, err
	}
	var evicted []store.ID
	err := s.withRoom(rec.ID, now, func() (err error) {
		evicted, err = s.create(&rec, terms, now.UnixMicro())
		return err
	})
	s.watches.tell(evicted...)
	return evicted, err
}

// create is Create without making room: it answers noRoom.
func (s *Store) create(rec *store.Record, terms store.Terms, now int64) (evicted []store.ID, err error) {
	hash := s.subjectHash([]byte(rec.Subject))
	held := locks{shards: 1 << shardOf(idKey(rec.ID))}
	limited := false
	if hash != 0 {
		held.stripes = 1 << stripeOf(hash)
		s.lockStripes(held.stripes)
		// Only a subject that has as many records as are allowed, live or not,
		// can be above its limit.
		if st := s.stripe(hash); terms.Max > 0 && st.members.count(subjectTag(hash), terms.Max) == terms.Max {
			limited = true
			held.shards |= s.shardsOf(hash)
		}
	}
	s.lock(locks{shards: held.shards})
	defer s.unlock(held)

	if !terms.Began.IsZero() && s.marked(hash, terms.Began.UnixMicro(), now) {
		return nil, store.ErrSubjectEnded
	}
	sh := s.shard(rec.ID)
	if sh.find(rec.ID) != 0 {
		return nil, store.ErrExists
	}
	var over []member
	if limited {
		over = s.overLimit(hash, rec.Subject, terms, now)
		if len(over) > 0 && terms.Refuse {
			return nil, store.ErrLimit
		}
	}
	for _, m := range over { // before rows may move
		evicted = append(evicted, m.row.id())
	}
	size := rowSize(len(rec.Subject), rec)
	at := sh.slots.take(size, rec.Subject == "")
	if at == 0 {
		return nil, noRoom{size, rec.Subject == ""}
	}
	r := sh.slots.row(at)
	r.write(rec, len(rec.Subject), rec.Created.UnixMicro(), rec.LastSeen.UnixMicro())
	copy(r[rowHeader:], rec.Subject)
	sh.add(rec.ID, at)
	for _, id := range evicted {
		s.remove(id)
	}
	if !rec.Retired {
		s.join(hash, rec.ID)
	}
	return evicted, nil
}

// overLimit returns the records that must end so that one more may be created,
// the least recently seen first.
func (s *Store) overLimit(hash uint64, subject string, terms store.Terms, now int64) []member {
	counted := s.members(hash, subject)
	counted = slices.DeleteFunc(counted, func(m member) bool {
		return !m.row.live(now) || m.row.id() == terms.Replaces
	})
	over := len(counted) + 1 - terms.Max
	if over <= 0 {
		return nil
	}
	slices.SortFunc(counted, leastRecentlySeen)
	return counted[:over]
}

// Update implements store.Store. It answers store.ErrFull if the record has
// grown and there is no room.
func (s *Store) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if err := checkBounds(&rec); err != nil {
		return err
	}
	micros := now.UnixMicro()
	err := s.withRoom(rec.ID, now, func() error { return s.update(&rec, was, micros) })
	if err == nil {
		s.watches.tell(rec.ID)
	}
	return err
}

// update is Update without making room: it answers noRoom.
func (s *Store) update(rec *store.Record, was uint64, now int64) error {
	sh := s.shard(rec.ID)
	var hash uint64 // of the subject that is to lose the record
	if rec.Retired {
		var held locks
		held, hash = s.lockRetirement(rec)
		defer s.unlock(held)
	} else {
		sh.mu.Lock()
		defer sh.mu.Unlock()
	}
	at := sh.find(rec.ID)
	if at == 0 {
		return store.ErrNotFound
	}
	r := sh.slots.row(at)
	if !r.live(now) {
		return store.ErrNotFound
	}
	if r.version() != was {
		return store.ErrConflict
	}
	subject := len(r.subject())
	if !sh.rewrite(at, rec) {
		return noRoom{rowSize(subject, rec), subject == 0}
	}
	s.leave(hash, rec.ID)
	return nil
}

// Touch implements store.Store. What it wrote is lost with everything else.
func (s *Store) Touch(ctx context.Context, id store.ID, now time.Time) error {
	if err := ended(ctx); err != nil {
		return err
	}
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at := sh.find(id)
	if at == 0 || !sh.slots.row(at).live(now.UnixMicro()) {
		return store.ErrNotFound
	}
	sh.slots.row(at).seen(now.UnixMicro())
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	var told []store.ID
	held := s.lockRecords(ids...)
	for _, id := range ids {
		if found, retired := s.remove(id); found && !retired {
			told = append(told, id)
		}
	}
	s.unlock(held)
	s.watches.tell(ids...)
	return told, nil
}

// remove removes a record. The caller holds its shard, and its subject's stripe
// if it has one.
func (s *Store) remove(id store.ID) (found, retired bool) {
	sh := s.shard(id)
	at := sh.find(id)
	if at == 0 {
		return false, false
	}
	retired = sh.slots.row(at).retired()
	s.detach(id, at)
	sh.slots.tidy(at)
	return true, retired
}

// detach is remove for a record that was found, and leaves its chunk alone.
func (s *Store) detach(id store.ID, at ref) {
	sh := s.shard(id)
	if r := sh.slots.row(at); !r.retired() {
		s.leave(s.subjectHash(r.subject()), id)
	}
	sh.remove(at)
}
