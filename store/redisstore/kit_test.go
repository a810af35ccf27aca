package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// stale is short in tests, because Settle waits for it.
const stale = 100 * time.Millisecond

// As the user that the page for operators tells to make.
func TestKeepsTheContractOnOneServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	setUser(t, s, "coatcheck", aclRule(t, "coatcheck"))
	address := "redis://coatcheck:secret@" + s.address
	opts := &redisstore.Options{MaxStale: stale}
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		s.cli(t, "flushall")
		return open(t, address, opts), open(t, address, opts)
	})
}

func TestKeepsTheContractWithoutCopies(t *testing.T) {
	t.Parallel()
	s := start(t)
	opts := &redisstore.Options{MaxStale: stale, CacheBytes: -1}
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		s.cli(t, "flushall")
		return open(t, "redis://"+s.address, opts), open(t, "redis://"+s.address, opts)
	})
}

func TestACluster(t *testing.T) {
	c := startCluster(t)
	t.Run("keeps the contract", c.keepsTheContract)
	t.Run("has the mark of all in every slot", c.hasTheMarkOfAllInEverySlot)
	t.Run("loses nothing while slots move", c.losesNothingWhileSlotsMove)
	t.Run("loses nothing in a failover when all replicas confirm", c.losesNothingInAFailover)
	t.Run("loses what no replica has confirmed", c.losesWhatNoReplicaHas)
}

func (c *cluster) keepsTheContract(t *testing.T) {
	for _, s := range c.servers {
		setUser(t, s, "coatcheck", aclRule(t, "coatcheck"))
	}
	everywhere := client(t, rueidis.ClientOption{InitAddress: []string{c.servers[0].address}})
	opts := &redisstore.Options{MaxStale: stale, Username: "coatcheck", Password: "secret"}
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		for _, node := range everywhere.Nodes() {
			_ = node.Do(t.Context(), node.B().Flushall().Build()).Error() // replicas refuse
		}
		return open(t, c.address, opts), open(t, c.address, opts)
	})
}

func (c *cluster) hasTheMarkOfAllInEverySlot(t *testing.T) {
	s := open(t, c.address, nil)
	now := time.Now()
	if _, err := s.DeleteAll(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for place := 0; place < 1<<16; place += 7 {
		rec := newRecord("")
		rec.ID[0], rec.ID[1] = byte(place>>8), byte(place)
		if _, err := s.Create(t.Context(), rec, store.Terms{Began: now.Add(-time.Second)}, now); !errors.Is(err, store.ErrSubjectEnded) {
			t.Fatalf("Create at placement %04x that began before all were ended: %v, want ErrSubjectEnded", place, err)
		}
	}
	c.flush(t)
}
