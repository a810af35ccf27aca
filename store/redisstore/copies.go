package redisstore

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// copies are the local copies of recently read records, as they are stored.
//
// A copy comes from one connection, on which the server from then on tells of
// changes, and answers as long as that connection is known to be whole: see
// link. What keeps an old copy from being kept after a newer one, or after the
// news that it is old: whoever reads notes the shard's round before it asks,
// and may keep the answer only if the round is still the same. Every change
// that is heard of, and every write of this store when it has returned, ends
// the round and drops the copy.
type copies struct {
	shards [copyShards]copyShard
}

const copyShards = 64

// copyShard keeps two generations: what was used since the last change of
// generations, and what was used in the one before. The latter goes when the
// former is full, so about the least recently used is lost.
type copyShard struct {
	mu         sync.Mutex
	young, old map[store.ID]localCopy
	size       int64 // of young
	limit      int64
	round      uint64

	_ [64]byte // apart from the next one's lock
}

type localCopy struct {
	stored string
	link   *link
}

// copyCost is about what a copy needs besides its bytes.
const copyCost = 100

func newCopies(size int64) *copies {
	c := new(copies)
	for i := range c.shards {
		c.shards[i].limit = size / copyShards / 2
		c.shards[i].young = map[store.ID]localCopy{}
	}
	return c
}

// of returns the shard of an id, by its last byte: the first two are common to
// the sessions of one subject.
func (c *copies) of(id store.ID) *copyShard { return &c.shards[id[len(id)-1]%copyShards] }

// get returns the copy of a record, if it may answer now.
func (c *copies) get(id store.ID) (stored string, ok bool) {
	s := c.of(id)
	s.mu.Lock()
	found, ok := s.young[id]
	if !ok {
		if found, ok = s.old[id]; ok {
			delete(s.old, id)
			s.put(id, found)
		}
	}
	s.mu.Unlock()
	return found.stored, ok && found.link.whole()
}

// round is what keep must be given by who begins to read now.
func (c *copies) round(id store.ID) uint64 {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.round
}

// keep keeps what was read, unless the record may have changed since.
func (c *copies) keep(id store.ID, stored string, from *link, round uint64) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.round == round {
		delete(s.old, id)
		s.put(id, localCopy{stored, from})
	}
}

func (s *copyShard) put(id store.ID, c localCopy) {
	cost := int64(len(c.stored)) + copyCost
	if cost > s.limit/8 {
		delete(s.young, id)
		return
	}
	if s.size+cost > s.limit {
		s.old, s.young, s.size = s.young, map[store.ID]localCopy{}, 0
	}
	s.young[id] = c
	s.size += cost
}

// drop forgets a record that has changed, and ends the round.
func (c *copies) drop(id store.ID) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	delete(s.young, id)
	delete(s.old, id)
}

// dropAll forgets everything, and ends every round.
func (c *copies) dropAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.round++
		s.young, s.old, s.size = map[store.ID]localCopy{}, nil, 0
		s.mu.Unlock()
	}
}

// link is one connection on which a server tells of changes. It is whole up to
// MaxStale after the sending of the last question that was answered on it:
// what was changed before that question is known here, because the server tells
// of it on this connection before it answers. So a copy may be old by MaxStale
// at most, whatever becomes of the connection.
type link struct {
	dial  int64        // which connection of its primary
	until atomic.Int64 // by clock; severed: never again
}

const severed = math.MinInt64

func (l *link) whole() bool { return clock() < l.until.Load() }

// prolong says that a question was answered that was sent a while before until.
func (l *link) prolong(until int64) {
	for {
		was := l.until.Load()
		if was == severed || was >= until || l.until.CompareAndSwap(was, until) {
			return
		}
	}
}

func (l *link) sever() { l.until.Store(severed) }

var base = time.Now()

// clock is one that is never set: nanoseconds since the process began.
func clock() int64 { return int64(time.Since(base)) }
