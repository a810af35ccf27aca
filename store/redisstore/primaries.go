package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// primaries are the servers that answer for records, each with the connection
// over which this store reads, and over which the server tells of changes.
type primaries struct {
	routes atomic.Pointer[routes]
	wake   bell // look again who they are
}

// routes say which primary answers for which slot.
type routes struct {
	all []*primary
	of  *[slots]*primary // nil: the first, for every slot
}

// shard is what one primary answers for.
type shard struct {
	address string
	slots   [][2]int64 // from, to
}

// shards asks who the primaries are.
func (s *Store) shards(ctx context.Context) ([]shard, error) {
	switch s.target.kind {
	case standalone:
		return []shard{{address: s.target.addresses[0]}}, nil
	case sentinel:
		for address := range s.client.Nodes() {
			return []shard{{address: address}}, nil
		}
		return nil, errors.New("the Sentinels know no primary")
	}
	rows, err := s.slotRows(ctx)
	if err != nil {
		return nil, err
	}
	var all []shard
	for _, row := range rows {
		from, to, address, err := slotRow(row)
		if err != nil {
			return nil, err
		}
		if address == "" {
			address = s.target.addresses[0] // the server does not know its own name
		}
		at := slices.IndexFunc(all, func(sh shard) bool { return sh.address == address })
		if at < 0 {
			at, all = len(all), append(all, shard{address: address})
		}
		all[at].slots = append(all[at].slots, [2]int64{from, to})
	}
	if len(all) == 0 {
		return nil, errNoSlots
	}
	return all, nil
}

// slotRows asks one server after another for CLUSTER SLOTS, since some may be
// dead.
func (s *Store) slotRows(ctx context.Context) (rows []rueidis.RedisMessage, err error) {
	err = errNoSlots
	for _, node := range s.client.Nodes() {
		if rows, err = node.Do(ctx, node.B().ClusterSlots().Build()).ToArray(); err == nil || ctx.Err() != nil {
			break
		}
	}
	return rows, err
}

// slotRow reads a row of CLUSTER SLOTS: from, to, and the primary first of
// those that have them.
func slotRow(row rueidis.RedisMessage) (from, to int64, address string, err error) {
	fields, err := row.ToArray()
	if err != nil || len(fields) < 3 {
		return 0, 0, "", errors.Join(err, errForeign)
	}
	node, err := fields[2].ToArray()
	if err != nil || len(node) < 2 {
		return 0, 0, "", errors.Join(err, errForeign)
	}
	from, err1 := fields[0].AsInt64()
	to, err2 := fields[1].AsInt64()
	port, err3 := node[1].ToAny()
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, 0, "", err
	}
	number, _ := port.(int64)
	if host, err := node[0].ToString(); err == nil && host != "" {
		address = net.JoinHostPort(host, strconv.FormatInt(number, 10))
	}
	return from, to, address, nil
}

// primary is one of them.
type primary struct {
	store   *Store
	address string
	client  atomic.Pointer[rueidis.Client] // one connection; nil: none yet
	dials   atomic.Int64                   // connections begun
	link    atomic.Pointer[link]           // the present one; nil: none that is known to be whole
	stop    context.CancelFunc
}

// followPrimaries keeps a connection to every primary, until Close.
func (s *Store) followPrimaries() {
	running := map[string]*primary{}
	known := ""
	for {
		ctx, cancel := context.WithTimeout(s.background, answerTimeout)
		shards, err := s.shards(ctx)
		cancel()
		if err == nil {
			if s.copies != nil {
				s.reroute(shards, running)
			}
			if are := addresses(shards); are != known {
				if known != "" {
					s.ended.wake.ring() // a new primary may lack what the old had acknowledged
				}
				known = are
			}
		}
		select {
		case <-s.primaries.wake:
			// Who rings has seen a server fail; the others need a moment.
			sleep(s.background, s.opts.MaxStale/4)
		case <-time.After(5 * time.Second):
		case <-s.background.Done():
			return
		}
	}
}

// reroute follows the primaries that are, and no others.
func (s *Store) reroute(shards []shard, running map[string]*primary) {
	next := &routes{}
	if s.target.kind == cluster {
		next.of = new([slots]*primary)
	}
	for _, sh := range shards {
		p := running[sh.address]
		if p == nil {
			p = s.follow(sh.address)
			running[sh.address] = p
		}
		next.all = append(next.all, p)
		for _, span := range sh.slots {
			for slot := span[0]; slot <= span[1]; slot++ {
				next.of[slot] = p
			}
		}
	}
	s.primaries.routes.Store(next)
	for address, p := range running {
		if !slices.Contains(next.all, p) {
			p.stop()
			delete(running, address)
		}
	}
}

func addresses(shards []shard) (joined string) {
	var all []string
	for _, sh := range shards {
		all = append(all, sh.address)
	}
	slices.Sort(all)
	for _, address := range all {
		joined += address + " "
	}
	return joined
}

// route returns the primary that a record is read from, if there is a
// connection that its copy could come from.
func (s *Store) route(id store.ID) *primary {
	r := s.primaries.routes.Load()
	switch {
	case r == nil:
		return nil
	case r.of == nil:
		return r.all[0]
	}
	return r.of[slotOf(id.Placement())]
}

// follow begins to keep a connection to a primary.
func (s *Store) follow(address string) *primary {
	ctx, cancel := context.WithCancel(s.background)
	p := &primary{store: s, address: address, stop: cancel}
	s.workers.Go(func() { p.run(ctx) })
	return p
}

// run asks the primary again and again whether it still is one, over the
// connection that it tells of changes on.
func (p *primary) run(ctx context.Context) {
	every := p.store.opts.MaxStale / 4
	for {
		if p.client.Load() == nil {
			p.connect()
		}
		p.ask(ctx)
		if !sleep(ctx, every) {
			break
		}
	}
	if l := p.link.Swap(nil); l != nil {
		l.sever()
	}
	if client := p.client.Load(); client != nil {
		(*client).Close()
	}
}

func (p *primary) connect() {
	option := connectTo(&target{
		addresses: []string{p.address},
		username:  p.store.target.username, password: p.store.target.password,
		database: p.store.target.database, tls: p.store.target.tls,
	}, &p.store.opts)
	option.DisableCache = false
	option.ClientTrackingOptions = []string{} // whatever is read is told of when it changes
	option.PipelineMultiplex = -1             // one connection, so that answers and news come in order
	option.OnInvalidations = p.changed
	option.ConnWriteTimeout = followTimeout
	option.DialCtxFn = func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		p.dials.Add(1)
		return dial(ctx, address, dialer, config)
	}
	if client, err := rueidis.NewClient(option); err == nil {
		p.client.Store(&client)
	}
}

// ask prolongs the link, if it is still the connection that it was.
func (p *primary) ask(ctx context.Context) {
	client := p.client.Load()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.store.opts.MaxStale)
	defer cancel()
	dial, sent := p.dials.Load(), clock()
	role, err := (*client).Do(ctx, (*client).B().Role().Build()).ToArray()
	if err != nil || p.dials.Load() != dial {
		return
	}
	if len(role) == 0 {
		return
	}
	if is, err := role[0].ToString(); err != nil || is != "master" {
		if l := p.link.Swap(nil); l != nil {
			l.sever()
		}
		p.store.primaries.wake.ring()
		return
	}
	l := p.link.Load()
	if l == nil || l.dial != dial {
		l = &link{dial: dial}
		p.link.Store(l)
		p.store.watchers.armAll()
	}
	l.prolong(sent + int64(p.store.opts.MaxStale))
}

// changed is called by the client, in the order in which the server sends.
func (p *primary) changed(keys []rueidis.RedisMessage) {
	s := p.store
	if keys == nil { // the connection is lost, or the database was emptied
		if l := p.link.Swap(nil); l != nil {
			l.sever()
		}
		s.watchers.armAll()
		return
	}
	for _, key := range keys {
		name, err := key.ToString()
		if err != nil {
			continue
		}
		if id, err := s.keys.idOf(name); err == nil {
			s.copies.drop(id)
			s.watchers.arm(id)
		}
	}
}

// followTimeout is when a connection is given up on which no answers come; its
// copies have ended before. What was asked over it is then asked once more.
const followTimeout = 2 * time.Second

var errNotFollowed = errors.New("redisstore: no connection to read over")

// read reads a record over the connection that its changes are told on, and
// keeps a copy. After errNotFollowed it must be read some other way.
func (p *primary) read(ctx context.Context, id store.ID) (string, error) {
	l, client := p.link.Load(), p.client.Load()
	if l == nil || client == nil || !l.whole() {
		return "", errNotFollowed
	}
	s := p.store
	round := s.copies.round(id)
	stored, err := (*client).Do(ctx, (*client).B().Get().Key(s.keys.record(id)).Build()).ToString()
	if p.dials.Load() != l.dial || err != nil && !rueidis.IsRedisNil(err) && ctx.Err() == nil {
		s.primaries.wake.ring()
		return "", errNotFollowed
	}
	if err == nil {
		s.copies.keep(id, stored, l, round)
	}
	return stored, err
}
