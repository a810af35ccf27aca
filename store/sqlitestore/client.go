package sqlitestore

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"os"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// ErrNotHeld is wrapped by Dial's error when no process holds the file.
var ErrNotHeld = errors.New("sqlitestore: no process holds the file")

// errNoAnswer is wrapped by the error of a call whose connection broke, or
// whose context ended, before the answer.
var errNoAnswer = errors.New("has not answered, it may still happen")

// Client is a store that another process holds, or another part of this one.
// Made by Dial. It implements [store.Store] and [store.ExactMarks], with the
// promises of the store that answers, and is meant for tools: every call is a
// round trip.
type Client struct {
	path string

	mu     sync.Mutex
	idle   []*connection
	busy   map[*connection]struct{} // with a call in flight
	closed bool
}

type connection struct {
	net.Conn
	in  *gob.Decoder
	out *gob.Encoder
}

// Dial connects to the process that holds the file at path. If there is none,
// or it has Options.NoSocket set, the error wraps [ErrNotHeld].
func Dial(ctx context.Context, path string) (*Client, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	c := &Client{path: path, busy: make(map[*connection]struct{})}
	if _, err := c.ask(ctx, "dial", &request{Operation: opHello}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connections. Calls in flight end with an error.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.closed = true
	for _, conn := range c.idle {
		conn.Close()
	}
	for conn := range c.busy {
		conn.Close()
	}
	c.idle = nil
	return nil
}

// Load implements [store.Store].
func (c *Client) Load(ctx context.Context, id store.ID, rec *store.Record, _ store.Freshness) error {
	a, err := c.ask(ctx, "load", &request{Operation: opLoad, ID: id})
	if err != nil {
		return err
	}
	if len(a.Records) != 1 {
		return fmt.Errorf("sqlitestore: load: the process that holds %s answered with %d records", c.path, len(a.Records))
	}
	*rec = a.Records[0]
	return nil
}

// Create implements [store.Store].
func (c *Client) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) (evicted []store.ID, err error) {
	a, err := c.ask(ctx, "create", &request{Operation: opCreate, Record: rec, Terms: terms, Now: now})
	return a.IDs, err
}

// Update implements [store.Store].
func (c *Client) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	_, err := c.ask(ctx, "update", &request{Operation: opUpdate, Record: rec, Was: was, Now: now})
	return err
}

// Touch implements [store.Store].
func (c *Client) Touch(ctx context.Context, id store.ID, now time.Time) error {
	_, err := c.ask(ctx, "touch", &request{Operation: opTouch, ID: id, Now: now})
	return err
}

// Delete implements [store.Store].
func (c *Client) Delete(ctx context.Context, ids ...store.ID) (ended []store.ID, err error) {
	a, err := c.ask(ctx, "delete", &request{Operation: opDelete, IDs: ids})
	return a.IDs, err
}

// DeleteSubject implements [store.Store].
func (c *Client) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) (ended []store.ID, err error) {
	a, err := c.ask(ctx, "delete subject", &request{Operation: opDeleteSubject, Subject: subject, Now: now, IDs: keep})
	return a.IDs, err
}

// DeleteAll implements [store.Store].
func (c *Client) DeleteAll(ctx context.Context, now time.Time) (n int, err error) {
	a, err := c.ask(ctx, "delete all", &request{Operation: opDeleteAll, Now: now})
	return a.N, err
}

// List implements [store.Store].
func (c *Client) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	a, err := c.ask(ctx, "list", &request{Operation: opList, Subject: subject, Now: now})
	return a.Records, err
}

// All implements [store.Store].
func (c *Client) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return paged(func(after []byte) ([]store.Record, error) {
		a, err := c.ask(ctx, "all", &request{Operation: opPage, After: after})
		return a.Records, err
	})
}

// Sweep implements [store.Store].
func (c *Client) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	a, err := c.ask(ctx, "sweep", &request{Operation: opSweep, Now: now, Limit: limit})
	return a.N, a.More, err
}

// ask sends a request and waits for the answer, on a connection that nobody
// else uses meanwhile. With an error the answer is empty.
func (c *Client) ask(ctx context.Context, name string, r *request) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("sqlitestore: %s: %w", name, err)
	}
	conn, used, err := c.take(ctx)
	if err != nil {
		return answer{}, err
	}
	if !c.begin(conn) {
		conn.Close()
		return answer{}, ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	r.Protocol = protocol
	var a answer
	err = conn.out.Encode(r)
	sent := err == nil
	if sent {
		err = conn.in.Decode(&a)
	}
	if !stop() || err != nil {
		// A connection that was cut short may still have an answer under way.
		c.giveUp(conn)
	} else {
		c.giveBack(conn)
	}
	if err != nil && !sent && used && ctx.Err() == nil {
		// The process that was on the other end is gone, and has not read what
		// could not be sent. Another may have taken its place.
		return c.ask(ctx, name, r)
	}
	if err == nil {
		if err := a.err(); err != nil {
			return answer{}, err
		}
		return a, nil
	}
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	return answer{}, fmt.Errorf("sqlitestore: %s: the process that holds %s %w: %w", name, c.path, errNoAnswer, err)
}

// take returns a connection that is idle, or a new one, and whether it has been
// used before.
func (c *Client) take(ctx context.Context) (conn *connection, used bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, false, ErrClosed
	}
	if last := len(c.idle) - 1; last >= 0 {
		conn := c.idle[last]
		c.idle = c.idle[:last]
		c.mu.Unlock()
		return conn, true, nil
	}
	c.mu.Unlock()

	path := c.path + socketSuffix
	name, release, err := socketName(path)
	if err != nil {
		return nil, false, fmt.Errorf("sqlitestore: %s: %w", path, err)
	}
	defer release()
	var dialer net.Dialer
	dialed, err := dialer.DialContext(ctx, "unix", name)
	switch {
	case err == nil:
		return &connection{Conn: dialed, in: gob.NewDecoder(dialed), out: gob.NewEncoder(dialed)}, false, nil
	case ctx.Err() != nil:
		return nil, false, fmt.Errorf("sqlitestore: dial %s: %w", path, ctx.Err())
	case nobodyThere(err):
		return nil, false, fmt.Errorf("%w: nobody answers at %s: %w", ErrNotHeld, path, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, false, fmt.Errorf("sqlitestore: %s may be used by its owner alone; run this as the user who runs the store: %w", path, err)
	}
	return nil, false, fmt.Errorf("sqlitestore: dial %s: %w", path, err)
}

// begin notes that a connection is in use, for Close to end it. It reports
// false when the client is closed already.
func (c *Client) begin(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.busy[conn] = struct{}{}
	return true
}

// giveUp ends a connection.
func (c *Client) giveUp(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	conn.Close()
}

// giveBack keeps a connection for the next call.
func (c *Client) giveBack(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	if c.closed {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// Attached is what Attach returns: a store and the way to let go of it.
type Attached interface {
	store.Store
	Close() error
}

// Attach is for tools that work on a store whether it is in use or not: it
// takes the file at path if nobody holds it, and else speaks to the process
// that does. Unlike Open it makes no file. While a process is about to start
// or to stop, it tries again for as long as Options.LockWait.
func Attach(ctx context.Context, path string, opts *Options) (Attached, error) {
	resolved, err := resolve(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(resolved); err != nil {
		return nil, fmt.Errorf("sqlitestore: there is no store at %s: %w", path, err)
	}
	options := opts.withDefaults()
	deadline := time.Now().Add(options.LockWait)
	options.LockWait = -1
	for {
		if s, err := Open(ctx, resolved, &options); err == nil {
			return s, nil
		} else if !errors.Is(err, ErrHeld) {
			return nil, err
		}
		c, err := Dial(ctx, resolved)
		if err == nil {
			return c, nil
		}
		stopping := errors.Is(err, ErrNotHeld) || errors.Is(err, errNoAnswer)
		if !stopping || !time.Now().Before(deadline) {
			return nil, err
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("sqlitestore: attach %s: %w", path, ctx.Err())
		}
	}
}

// ExactMarks implements [store.ExactMarks], as the store that answers does.
func (c *Client) ExactMarks() bool { return true }

var (
	_ store.Store      = (*Client)(nil)
	_ store.ExactMarks = (*Client)(nil)
)
