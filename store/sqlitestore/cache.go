package sqlitestore

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/coatcheck/coatcheck/store"
)

// The cache holds recently used records, exactly as the database has them but
// for the touches that are still to be written, which it also holds.
//
// What keeps it exact: before a transaction judges a record it claims it, and
// from then to the end of the transaction nobody else puts that record into
// the cache or touches it there. Before COMMIT the records that the
// transaction changes leave the cache, so that until the new ones are in it
// every Load asks the database. And a Load that has found nothing here, and
// asked the database, keeps what it got only if no transaction has ended in
// the meantime that could have changed it.
type cache struct {
	shards  [cacheShards]shard
	pending atomic.Int64 // touches to be written, of all shards
}

const cacheShards = 32

type shard struct {
	mu      sync.Mutex
	records ring
	touched map[store.ID]int64 // LastSeen, in microseconds, that the database does not have yet
	round   uint64             // grows when the database has changed below this shard

	claimed    map[store.ID]struct{} // by the transaction that runs
	allClaimed bool                  // the same, for every id

	_ [64]byte // apart from the next one's lock
}

// never is a LastSeen before every other.
const never = math.MinInt64

func newCache(size int64) *cache {
	c := new(cache)
	for i := range c.shards {
		c.shards[i].records.limit = uint64(max(size, 0)) / cacheShards &^ 7
		c.shards[i].touched = make(map[store.ID]int64)
		c.shards[i].claimed = make(map[store.ID]struct{})
	}
	return c
}

// of returns the shard of an id. Its last byte is random; the first two are
// common to the sessions of one subject.
func (c *cache) of(id store.ID) *shard { return &c.shards[id[len(id)-1]%cacheShards] }

// missed is what a Load that found nothing must know when it returns from the
// database.
type missed struct {
	round   uint64
	touched int64
}

// load fills rec, or says what to give to filled.
func (c *cache) load(id store.ID, rec *store.Record) (bool, missed) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.records.get(id); entry != nil {
		decode(entry, rec)
		return true, missed{}
	}
	return false, missed{round: s.round, touched: s.seen(id)}
}

// filled completes a record that came from the database with what only this
// process knows, and keeps it if it is still true.
func (c *cache) filled(rec *store.Record, m missed) {
	s := c.of(rec.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := max(rec.LastSeen.UnixMicro(), m.touched, s.seen(rec.ID))
	rec.LastSeen = instant(seen)
	if !s.isClaimed(rec.ID) && s.round == m.round {
		s.records.put(rec)
	}
}

// seen returns the touch of id that is still to be written, or never.
func (s *shard) seen(id store.ID) int64 {
	if at, ok := s.touched[id]; ok {
		return at
	}
	return never
}

// seen is when id was touched, if that is still to be written, or never.
func (c *cache) seen(id store.ID) int64 {
	if c.pending.Load() == 0 {
		return never
	}
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen(id)
}

type touchResult int

const (
	touchUnknown touchResult = iota // not decided here
	touchDone                       // LastSeen is now or later
	touchRefused                    // retired, or dead
)

// touch moves LastSeen of a record forward that is here and that no
// transaction has claimed.
func (c *cache) touch(id store.ID, now int64) touchResult {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClaimed(id) {
		return touchUnknown
	}
	entry := s.records.get(id)
	switch {
	case entry == nil:
		return touchUnknown
	case !entryLive(entry, now):
		return touchRefused
	case entryInt(entry, offSeen) >= now:
		return touchDone
	}
	setEntryInt(entry, offSeen, now)
	if _, again := s.touched[id]; !again {
		c.pending.Add(1)
	}
	s.touched[id] = now
	return touchDone
}

// claim keeps everybody but the caller's transaction from changing what is
// known of id, until release. It returns the touch still to be written.
func (c *cache) claim(id store.ID) int64 {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed[id] = struct{}{}
	return s.seen(id)
}

func (s *shard) isClaimed(id store.ID) bool {
	_, claimed := s.claimed[id]
	return claimed || s.allClaimed
}

func (c *cache) release(id store.ID) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.claimed, id)
}

// drop takes a record out before the transaction that changes it commits.
func (c *cache) drop(id store.ID) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records.drop(id)
}

// changed says what a committed transaction did to a record, its touch
// included: rec is what is stored now; without rec it is gone, or to be read
// again.
func (c *cache) changed(id store.ID, rec *store.Record) {
	s := c.of(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	s.records.drop(id)
	if _, touched := s.touched[id]; touched {
		delete(s.touched, id)
		c.pending.Add(-1)
	}
	if rec != nil {
		s.records.put(rec)
	}
}

// written says that a touch is in the database now.
func (c *cache) written(t touch) {
	s := c.of(t.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	if at, touched := s.touched[t.id]; touched && at == t.at {
		delete(s.touched, t.id)
		c.pending.Add(-1)
	}
}

// claimAll empties the cache and claims every record there is or will be,
// until releaseAll.
func (c *cache) claimAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.records.clear()
		s.allClaimed = true
		s.mu.Unlock()
	}
}

func (c *cache) releaseAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.allClaimed = false
		s.mu.Unlock()
	}
}

// removedAll says that a transaction has removed every record.
func (c *cache) removedAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.round++
		s.records.clear()
		c.pending.Add(-int64(len(s.touched)))
		clear(s.touched)
		s.mu.Unlock()
	}
}

// touch is one that is to be written.
type touch struct {
	id store.ID
	at int64
}

// gather returns up to limit of the touches to be written.
func (c *cache) gather(into []touch, limit int) []touch {
	if c.pending.Load() == 0 {
		return into
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for id, at := range s.touched {
			if len(into) == limit {
				break
			}
			into = append(into, touch{id, at})
		}
		s.mu.Unlock()
	}
	return into
}
