package coatcheck

import (
	"context"
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

// end says that the call has returned.
func (c *storeContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// readContext bounds a call of the store that may stop when the visitor goes.
func (m *Manager) readContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if !m.sealed { // memory answers at once
		return ctx, func() {}
	}
	c := &storeContext{Context: ctx, timeout: m.config.StoreTimeout}
	return c, c.end
}

// writeContext bounds a call that must run to its end although the visitor has
// gone: what ends, replaces or stores a session is not undone by a closed tab.
func (m *Manager) writeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return m.readContext(context.WithoutCancel(ctx))
}
