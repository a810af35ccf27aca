package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ErrClosed is returned by the methods of a store after Close.
var ErrClosed = errors.New("redisstore: the store is closed")

const (
	// keepExpired is how long past its deadline Redis itself keeps a record.
	keepExpired = 10 * time.Minute
	// indexSlack is how much longer an index is kept than the records in it,
	// because the machines that reckon the two may have clocks that differ.
	indexSlack = 24 * time.Hour
)

// Store keeps sessions in Redis or Valkey. Made by Open. It implements
// [store.Store], [store.Watcher] and [store.Settler].
type Store struct {
	target *target
	opts   Options
	keys   keys
	client rueidis.Client // for everything but reads that fill copies

	copies    *copies // nil: none
	primaries primaries
	watchers  watchers
	ended     ended
	sweeps    sweeps

	lost   atomic.Bool  // a connection was, and none was made since
	losses atomic.Int64 // of connections that the store did not give up itself
	closed atomic.Bool
	gate   sync.RWMutex // held for reading while a call begins, by Close to set closed
	calls  sync.WaitGroup

	background context.Context // ends at Close
	stop       context.CancelFunc
	workers    sync.WaitGroup
}

// Open connects to the servers that an address names, one of
//
//	redis://[user:password@]host[:port][/database]
//	rediss://...
//	redis-cluster://[user:password@]host[:port],host[:port],...
//	redis-sentinel://[user:password@]host[:port],host[:port],.../primary[/database]
//
// The first two are one server, without and with TLS. The others take several
// hosts, of which one must answer, and ?tls=true at the end. Special characters
// in user and password are written as %XX.
//
// Open refuses servers older than Redis 7, and such as may evict sessions to
// make room. Its errors say what to do.
func Open(ctx context.Context, address string, opts *Options) (*Store, error) {
	options, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	t, err := parse(address)
	if err != nil {
		return nil, err
	}
	s := &Store{target: t, opts: options, keys: keys{prefix: options.Prefix}}
	if t.kind == cluster {
		s.keys.markOf = &placements().markOf
	}
	if options.CacheBytes > 0 {
		s.copies = newCopies(options.CacheBytes)
	}
	s.background, s.stop = context.WithCancel(context.Background())
	s.watchers.wake, s.ended.wake, s.primaries.wake = newBell(), newBell(), newBell()
	s.sweeps.turn = make(chan struct{}, 1)

	if s.client, err = s.connect(ctx); err != nil {
		s.stop()
		return nil, s.explain("open", err)
	}
	if err := s.inspect(ctx); err != nil {
		s.client.Close()
		s.stop()
		return nil, err
	}
	s.workers.Go(s.followPrimaries)
	s.workers.Go(s.armWatches)
	s.workers.Go(s.endAgain)
	return s, nil
}

// connect makes the client. The library's constructor knows no context.
func (s *Store) connect(ctx context.Context) (rueidis.Client, error) {
	option := connectTo(s.target, &s.opts)
	option.DialCtxFn = func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, address, dialer, config)
		if err != nil {
			return nil, err
		}
		if s.lost.Swap(false) {
			s.ended.wake.ring() // the server may have lost what it had acknowledged
		}
		return &watchedConn{Conn: conn, store: s}, nil
	}
	type made struct {
		client rueidis.Client
		err    error
	}
	done := make(chan made, 1)
	go func() {
		client, err := rueidis.NewClient(option)
		done <- made{client, err}
	}()
	select {
	case m := <-done:
		if m.err == nil && s.target.kind == cluster && m.client.Mode() != rueidis.ClientModeCluster {
			m.client.Close()
			return nil, errNoCluster
		}
		return m.client, m.err
	case <-ctx.Done():
		go func() {
			if m := <-done; m.err == nil {
				m.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if config != nil {
		secured := tls.Dialer{NetDialer: dialer, Config: config}
		return secured.DialContext(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// watchedConn notes when the connection is lost.
type watchedConn struct {
	net.Conn
	store *Store
	owed  atomic.Bool // nothing has come since something was sent
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.owed.Store(false)
	}
	c.note(err)
	return n, err
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.owed.Store(true)
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

func (c *watchedConn) note(err error) {
	if err == nil {
		return
	}
	c.store.lost.Store(true)
	// The client closes idle connections when all is answered, and others when
	// no answer comes: only the latter are a loss.
	if !errors.Is(err, net.ErrClosed) || c.owed.Load() {
		c.store.losses.Add(1)
	}
}

// inspect refuses servers that sessions are not safe with.
func (s *Store) inspect(ctx context.Context) error {
	shards, err := s.shards(ctx)
	if err != nil {
		return s.explain("open", err)
	}
	nodes := s.client.Nodes()
	for _, shard := range shards {
		node, known := nodes[shard.address]
		if !known {
			node = s.client
		}
		hello, err := node.Do(ctx, node.B().Arbitrary("HELLO").Build()).AsMap()
		if err != nil {
			return s.explain("open", err)
		}
		if err := s.inspectHello(shard.address, hello); err != nil {
			return err
		}
		info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		if said(err, "NOPERM") {
			continue // the package's page for operators says to check by hand then
		}
		if err != nil {
			return s.explain("open", err)
		}
		for line := range strings.Lines(info) {
			policy, found := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
			if found && policy != "noeviction" {
				return fmt.Errorf("redisstore: open: the server at %s ends sessions when its memory is full (maxmemory-policy is %s); set it to noeviction, in its configuration file and now by CONFIG SET maxmemory-policy noeviction", shard.address, policy)
			}
		}
	}
	return nil
}

func (s *Store) inspectHello(address string, hello map[string]rueidis.RedisMessage) error {
	text := func(name string) string {
		m := hello[name]
		value, _ := m.ToString() // "" for what is missing
		return value
	}
	if major, _, _ := strings.Cut(text("version"), "."); len(major) == 1 && major < "7" {
		return fmt.Errorf("redisstore: open: the server at %s has version %s; Redis 7, or any Valkey, is the oldest that this works with", address, text("version"))
	}
	switch {
	case s.target.kind == standalone && text("mode") == "cluster":
		return fmt.Errorf("redisstore: open: the server at %s belongs to a Cluster; begin the address with redis-cluster:// instead of redis://", address)
	case text("role") != "master":
		return fmt.Errorf("redisstore: open: the server at %s is a replica, which cannot be written to; name its primary, or the Sentinels, as in redis-sentinel://host:26379/primary", address)
	}
	return nil
}

// Close waits for the calls that are under way, and for what ends by itself
// within seconds behind them. Methods called after it return ErrClosed.
func (s *Store) Close() error {
	s.gate.Lock()
	closed := s.closed.Swap(true)
	s.gate.Unlock()
	if closed {
		return ErrClosed
	}
	s.calls.Wait()
	s.stop()
	s.workers.Wait()
	s.client.Close()
	return nil
}

// enter begins a call, unless the store is closed or the context has ended.
func (s *Store) enter(ctx context.Context, name string) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redisstore: %s: %w", name, err)
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

// run runs a script once, unless the server says that it did nothing for a
// reason that passes.
func (s *Store) run(ctx context.Context, name string, c *call) (rueidis.RedisMessage, error) {
	var answer rueidis.RedisMessage
	err := patiently(ctx, func() (err error) {
		answer, err = s.exec(ctx, c)
		return err
	})
	return answer, s.explainIn(ctx, name, err)
}

// exec runs a script once. With MinReplicas it waits for those to have what
// the script wrote, in the same round trip.
func (s *Store) exec(ctx context.Context, c *call) (rueidis.RedisMessage, error) {
	do := s.execAlone
	if s.opts.MinReplicas > 0 {
		do = s.execReplicated
	}
	answer, err := do(ctx, c.build)
	if said(err, "NOSCRIPT") {
		answer, err = do(ctx, c.buildFull)
	}
	if said(err, "MOVED") {
		// A connection of one's own follows no redirection. With this the
		// client learns where the slot is now, whatever the answer.
		_ = s.client.Do(ctx, s.client.B().Exists().Key(c.keys[0]).Build()).Error()
	}
	return answer, err
}

func (s *Store) execAlone(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) (rueidis.RedisMessage, error) {
	return s.client.Do(ctx, build(s.client.B())).ToMessage()
}

// replicaWait is how long replicas are waited for.
const replicaWait = time.Second

func (s *Store) execReplicated(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) (answer rueidis.RedisMessage, err error) {
	err = s.client.Dedicated(func(c rueidis.DedicatedClient) error {
		results := c.DoMulti(ctx, build(c.B()),
			c.B().Wait().Numreplicas(int64(s.opts.MinReplicas)).Timeout(replicaWait.Milliseconds()).Build())
		var err error
		if answer, err = results[0].ToMessage(); err != nil {
			return err
		}
		if refusal(answer) != nil {
			return nil // nothing was written that replicas could have
		}
		have, err := results[1].AsInt64()
		if err != nil {
			// Not wrapped: whatever the reason, the write is not to be tried again.
			return fmt.Errorf("%w: %v", errUnconfirmed, err)
		}
		if have < int64(s.opts.MinReplicas) {
			return fmt.Errorf("%w: %d of %d have within %v", errUnconfirmed, have, s.opts.MinReplicas, replicaWait)
		}
		return nil
	})
	return answer, err
}
