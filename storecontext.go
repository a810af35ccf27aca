package coatcheck

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// storeContext bounds a call of the store like context.WithTimeout, but its
// time runs from when somebody waits for its end. A store that answers from
// memory never does, and a timer would cost more than its answer.
type storeContext struct {
	context.Context // of the request
	timeout         time.Duration

	mu      sync.Mutex
	running context.Context // nil until somebody waits
	cancel  context.CancelFunc
	over    bool // the call has returned
}

// run returns the context with a timer.
func (c *storeContext) run() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running, c.cancel = context.WithTimeout(c.Context, c.timeout)
		if c.over {
			c.cancel()
		}
	}
	return c.running
}

// Deadline implements context.Context.
func (c *storeContext) Deadline() (time.Time, bool) { return c.run().Deadline() }

// Done implements context.Context.
func (c *storeContext) Done() <-chan struct{} { return c.run().Done() }

// Err implements context.Context.
func (c *storeContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.running != nil:
		return c.running.Err()
	case c.over:
		return context.Canceled
	}
	return c.Context.Err()
}

// end says that the call has returned. It does nothing for nil.
func (c *storeContext) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// readContext bounds a call of the store that may stop when the visitor goes.
// The call's end is to be told to what it returns besides, which may be nil.
func (m *Manager) readContext(ctx context.Context) (context.Context, *storeContext) {
	if !m.sealed { // memory answers at once
		return ctx, nil
	}
	c := &storeContext{Context: ctx, timeout: m.config.StoreTimeout}
	return c, c
}

// writeContext bounds a call that must run to its end although the visitor has
// gone: what ends, replaces or stores a session is not undone by a closed tab.
func (m *Manager) writeContext(ctx context.Context) (context.Context, *storeContext) {
	if c, ok := ctx.(*requestContext); ok {
		return m.readContext((*lastingContext)(c))
	}
	return m.readContext(quietContext{context.WithoutCancel(ctx), m})
}

// quietContext leaves out the session, whose lock is held while the store works.
type quietContext struct {
	context.Context
	manager *Manager
}

// Value is that of the context, without the session.
func (c quietContext) Value(key any) any {
	if k, ok := key.(contextKey); ok && k.manager == c.manager {
		return nil
	}
	return c.Context.Value(key)
}

// lastingContext is a Session as the context of its request, of which it has
// the values and not the end: context.WithoutCancel for most of what is stored,
// without its allocation.
type lastingContext Session

// Deadline implements context.Context: there is none.
func (c *lastingContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context: never.
func (c *lastingContext) Done() <-chan struct{} { return nil }

// Err implements context.Context: none.
func (c *lastingContext) Err() error { return nil }

// Value returns that of the request's context.
func (c *lastingContext) Value(key any) any {
	return context.WithoutCancel(c.parent).Value(key)
}

// Format prints a name under every verb, without the request's header.
func (c *lastingContext) Format(f fmt.State, v rune) { (*requestContext)(c).Format(f, v) }

// LogValue logs a name.
func (c *lastingContext) LogValue() slog.Value { return (*requestContext)(c).LogValue() }
