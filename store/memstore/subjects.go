package memstore

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"

	"github.com/coatcheck/coatcheck/store"
)

// stripe indexes the records of a 64th of all subjects, and holds their marks.
type stripe struct {
	mu      sync.Mutex
	members index            // from the tag of a subject to the keys of its records' ids
	marks   map[uint64]int64 // from the hash of a subject to its mark, in microseconds
}

// subjectHash stands for a subject. Nobody outside can find two of one hash,
// because the seed is the store's own, and by chance there are none. It is 0
// for the empty subject alone, and so is its tag.
func (s *Store) subjectHash(subject []byte) uint64 {
	if len(subject) == 0 {
		return 0
	}
	return maphash.Bytes(s.seed, subject) | 1
}

func stripeOf(hash uint64) int           { return int(hash >> 58) }
func subjectTag(hash uint64) uint32      { return uint32(hash) }
func (s *Store) stripe(h uint64) *stripe { return &s.stripes[stripeOf(h)] }

// marked reports whether a mark refuses what began at a time. The caller holds
// the subject's stripe, and a shard.
func (s *Store) marked(hash uint64, began, now int64) bool {
	refuses := func(mark int64) bool {
		return began < mark && now <= mark+store.MarkFor.Microseconds()
	}
	if refuses(s.markOfAll) {
		return true
	}
	if hash == 0 {
		return false
	}
	mark, found := s.stripe(hash).marks[hash]
	return found && refuses(mark)
}

// mark leaves a mark, unless there is a later one.
func (st *stripe) mark(hash uint64, at int64) {
	if st.marks == nil {
		st.marks = map[uint64]int64{}
	}
	if before, found := st.marks[hash]; !found || at > before {
		st.marks[hash] = at
	}
}

// member is a record of a subject: where it lies, and what it is.
type member struct {
	shard int
	ref   ref
	row   row
}

// shardsOf returns the shards in which the subject's records lie. The caller
// holds the subject's stripe.
func (s *Store) shardsOf(hash uint64) (shards uint64) {
	for _, key := range s.stripe(hash).members.values(subjectTag(hash), nil) {
		shards |= 1 << shardOf(key)
	}
	return shards
}

// members returns the subject's records, in no order. The caller holds the
// subject's stripe, and the shards that shardsOf named.
func (s *Store) members(hash uint64, subject string) []member {
	keys := s.stripe(hash).members.values(subjectTag(hash), nil)
	slices.Sort(keys)
	var found []member
	for _, key := range slices.Compact(keys) {
		sh := &s.shards[shardOf(key)]
		for _, at := range sh.ids.values(tagOf(key), nil) {
			r := sh.slots.row(at)
			// Tags may be shared by strangers.
			if idKey(r.id()) == key && !r.retired() && string(r.subject()) == subject {
				found = append(found, member{shardOf(key), at, r})
			}
		}
	}
	return found
}

// leastRecentlySeen orders members by last-seen time, then age, then id.
func leastRecentlySeen(a, b member) int {
	return cmp.Or(
		cmp.Compare(a.row.lastSeen(), b.row.lastSeen()),
		cmp.Compare(a.row.created(), b.row.created()),
		bytes.Compare(a.row[12:28], b.row[12:28]),
	)
}

// join puts a record into its subject's index, if it has a subject.
func (s *Store) join(hash uint64, id store.ID) {
	if hash == 0 {
		return
	}
	s.budget.note(s.stripe(hash).members.add(subjectTag(hash), idKey(id)))
}

// leave takes a record out of its subject's index, if it has a subject.
func (s *Store) leave(hash uint64, id store.ID) {
	if hash == 0 {
		return
	}
	s.budget.note(s.stripe(hash).members.remove(subjectTag(hash), idKey(id)))
}

// locks is a set of stripes and shards, a bit for each.
//
// Whoever needs several locks takes stripes before shards, and each kind in
// ascending order. A stripe's lock guards which records a subject has, a
// shard's what those are: so a method that changes the first holds both, one
// that changes the second a shard alone, and one that weighs all of a subject's
// records against each other holds all of them at once.
type locks struct{ stripes, shards uint64 }

const everything = ^uint64(0)

func (s *Store) lock(l locks) {
	s.lockStripes(l.stripes)
	for set := l.shards; set != 0; set &= set - 1 {
		s.shards[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (s *Store) lockStripes(stripes uint64) {
	for set := stripes; set != 0; set &= set - 1 {
		s.stripes[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (s *Store) unlock(l locks) {
	for set := l.shards; set != 0; set &= set - 1 {
		s.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
	for set := l.stripes; set != 0; set &= set - 1 {
		s.stripes[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// lockRetirement locks what an Update changes that retires a record: its shard,
// and the stripe of its subject, which is to lose it. The subject is most likely
// the one that the update says, though an Update never goes by that. It returns
// the hash of the one that the record has.
func (s *Store) lockRetirement(rec *store.Record) (held locks, hash uint64) {
	held.shards = 1 << shardOf(idKey(rec.ID))
	held.stripes = stripeBit(s.subjectHash([]byte(rec.Subject)))
	s.lock(held)
	if hash = s.hashOf(rec.ID); stripeBit(hash)&^held.stripes != 0 {
		s.unlock(held)
		held = s.lockRecords(rec.ID)
		hash = s.hashOf(rec.ID)
	}
	return held, hash
}

// lockRecords locks the shards of the ids and the stripes of the subjects that
// the records have. To know these it must look before it locks: it looks again
// after, in case an id has come to name another subject's record.
func (s *Store) lockRecords(ids ...store.ID) locks {
	for {
		var l locks
		for _, id := range ids {
			l.shards |= 1 << shardOf(idKey(id))
			sh := s.shard(id)
			sh.mu.RLock()
			l.stripes |= stripeBit(s.hashOf(id))
			sh.mu.RUnlock()
		}
		s.lock(l)
		missing := uint64(0)
		for _, id := range ids {
			missing |= stripeBit(s.hashOf(id)) &^ l.stripes
		}
		if missing == 0 {
			return l
		}
		s.unlock(l)
	}
}

// hashOf is the hash of the subject that the record has, if any. The caller
// holds its shard.
func (s *Store) hashOf(id store.ID) uint64 {
	sh := s.shard(id)
	at := sh.find(id)
	if at == 0 {
		return 0
	}
	return s.subjectHash(sh.slots.row(at).subject())
}

// stripeBit is the stripe of a subject's hash in a set, none for the empty
// subject's.
func stripeBit(hash uint64) uint64 {
	if hash == 0 {
		return 0
	}
	return 1 << stripeOf(hash)
}
