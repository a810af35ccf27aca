package sqlitestore

import (
	"context"
	"fmt"
)

// HoldWriter keeps the writer in a transaction until release is called.
func (s *Store) HoldWriter() (release func()) {
	begun, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		first := true // a transaction that failed is done again
		done <- s.writer.write(context.Background(), "hold", &op{do: func(*transaction) error {
			if first {
				first = false
				close(begun)
				<-end
			}
			return nil
		}})
	}()
	<-begun
	return func() { close(end); <-done }
}

// LimitPages has the database refuse to grow beyond n pages, as a full disk
// would; it never cuts off what is there.
func (s *Store) LimitPages(n int) error {
	return s.writer.write(context.Background(), "limit", &op{do: func(t *transaction) error {
		var now int
		return t.row(fmt.Sprintf("PRAGMA max_page_count = %d", n), nil, &now)
	}})
}

// Waiting returns how many writes wait for the writer.
func (s *Store) Waiting() int { return len(s.writer.ops) }

// Unwritten returns how many touches are in memory alone.
func (s *Store) Unwritten() int { return int(s.cache.pending.Load()) }
