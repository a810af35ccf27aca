package coatcheck_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// waiting is a store outside the process that looks at its context.
type waiting struct {
	store.Store
	look func(context.Context) error
}

func (w waiting) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	if err := w.look(ctx); err != nil {
		return err
	}
	return w.Store.Load(ctx, id, rec, read)
}

func TestStoreCallsEndWithTheirTimeAndTheirVisitor(t *testing.T) {
	var first context.Context
	asks := map[string]func(context.Context) error{
		"does not wait": func(ctx context.Context) error {
			if first == nil {
				first = ctx
			}
			return ctx.Err()
		},
		"waits": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"asks until when": func(ctx context.Context) error {
			until, bounded := ctx.Deadline()
			if !bounded || time.Until(until) > 5*time.Second {
				return errors.New("no bound")
			}
			return ctx.Err()
		},
		"waits in a context of its own": func(ctx context.Context) error {
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			<-own.Done()
			return own.Err()
		},
	}
	for name, look := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := waiting{memory(), func(context.Context) error { return nil }}
				s := newServer(t, &w, func(c *coatcheck.Config) { c.Now = time.Now })
				w.look = look
				began := time.Now()
				_, err := s.Lookup(context.Background(), store.ID{1})
				waits := name == "waits" || name == "waits in a context of its own"
				if took := time.Since(began); waits && (took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("a store that never answers: %v after %v; want the deadline after StoreTimeout", err, took)
				} else if !waits && !errors.Is(err, coatcheck.ErrNotFound) {
					t.Errorf("a store that answers: %v", err)
				}
				gone, cancel := context.WithCancel(context.Background())
				cancel()
				if _, err := s.Lookup(gone, store.ID{1}); !errors.Is(err, context.Canceled) && name != "asks until when" {
					t.Errorf("a visitor who has gone: %v", err)
				}
			})
		})
	}
	if first.Err() == nil {
		t.Error("the context of a call that has returned is not over")
	}
	select {
	case <-first.Done():
	default:
		t.Error("whoever waits for it afterwards waits for ever")
	}
}
