package redisstore_test

import (
	"testing"
	"time"

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

func TestKeepsTheContractOnACluster(t *testing.T) {
	c := startCluster(t)
	for _, s := range c.servers {
		setUser(t, s, "coatcheck", aclRule(t, "coatcheck"))
	}
	opts := &redisstore.Options{MaxStale: stale, Username: "coatcheck", Password: "secret"}
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		c.flush(t)
		return open(t, c.address, opts), open(t, c.address, opts)
	})
}
