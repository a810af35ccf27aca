package storetest

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Method names a method of store.Store to [Faults].
type Method string

// The methods that can be made to fail.
const (
	Load          Method = "Load"
	Create        Method = "Create"
	Update        Method = "Update"
	Touch         Method = "Touch"
	Delete        Method = "Delete"
	DeleteSubject Method = "DeleteSubject"
	DeleteAll     Method = "DeleteAll"
	List          Method = "List"
	All           Method = "All"
	Sweep         Method = "Sweep"
)

// Faults controls a store made by [Faulty]. All methods are safe with calls to
// the store under way; a call that has begun keeps the hooks that it found.
type Faults struct {
	mu     sync.Mutex
	before map[Method]func(context.Context) error
	after  map[Method]func(context.Context, error) error
	calls  map[Method]int
}

// Faulty returns a store that does what inner does until its Faults say
// otherwise. It has the optional abilities that inner has.
func Faulty(inner store.Store) (store.Store, *Faults) {
	f := &Faults{calls: map[Method]int{}}
	f.Heal()
	return withAbilities(&faulty{inner: inner, faults: f}, inner), f
}

// Before makes every call of m run hook first. If hook returns an error the
// call returns that, and nothing has happened.
func (f *Faults) Before(m Method, hook func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before[m] = hook
}

// After makes every call of m return what hook makes of its error, once it has
// happened. A hook that turns nil into an error not named in package store
// leaves the caller with an unknown outcome. All has happened when its last
// record was yielded.
func (f *Faults) After(m Method, hook func(ctx context.Context, err error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after[m] = hook
}

// Fail makes the next n calls of m return err without doing anything; calls
// after those are as they were before Fail.
func (f *Faults) Fail(m Method, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.before[m]
	var mu sync.Mutex
	f.before[m] = func(ctx context.Context) error {
		mu.Lock()
		failing := n > 0
		n--
		mu.Unlock()
		if failing {
			return err
		}
		if rest != nil {
			return rest(ctx)
		}
		return nil
	}
}

// Lose makes the next n calls of m happen and return err all the same: the
// answer was lost.
func (f *Faults) Lose(m Method, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.after[m]
	var mu sync.Mutex
	f.after[m] = func(ctx context.Context, happened error) error {
		mu.Lock()
		losing := n > 0
		n--
		mu.Unlock()
		if losing {
			return err
		}
		if rest != nil {
			return rest(ctx, happened)
		}
		return happened
	}
}

// Hold makes calls of m wait, before they do anything, until release is called
// or their context ends, whose error they then return. waiting receives a value
// for each call that has begun to wait, as long as somebody receives. It
// replaces what Before has set.
func (f *Faults) Hold(m Method) (waiting <-chan struct{}, release func()) {
	arrived, open := make(chan struct{}), make(chan struct{})
	f.Before(m, func(ctx context.Context) error {
		for announce := arrived; ; announce = nil {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			case announce <- struct{}{}:
			}
		}
	})
	return arrived, sync.OnceFunc(func() { close(open) })
}

// Calls returns how many calls of m have begun, failed ones included.
func (f *Faults) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// Heal removes every fault. Calls that Hold keeps waiting go on waiting.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = map[Method]func(context.Context) error{}
	f.after = map[Method]func(context.Context, error) error{}
}

// run makes one call, with what the faults put around it.
func (f *Faults) run(ctx context.Context, m Method, call func() error) error {
	f.mu.Lock()
	f.calls[m]++
	before, after := f.before[m], f.after[m]
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	err := call()
	if after != nil {
		return after(ctx, err)
	}
	return err
}

// faulty is a store that asks its faults first. A call that fails returns
// nothing but its error: what a lost answer said is lost.
type faulty struct {
	inner  store.Store
	faults *Faults
}

// call runs a method that has a result.
func call[R any](f *faulty, ctx context.Context, m Method, do func() (R, error)) (R, error) {
	var result R
	err := f.faults.run(ctx, m, func() (err error) {
		result, err = do()
		return err
	})
	if err != nil {
		var none R
		return none, err
	}
	return result, nil
}

func (f *faulty) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	return f.faults.run(ctx, Load, func() error { return f.inner.Load(ctx, id, rec, read) })
}

func (f *faulty) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	return call(f, ctx, Create, func() ([]store.ID, error) { return f.inner.Create(ctx, rec, terms, now) })
}

func (f *faulty) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	return f.faults.run(ctx, Update, func() error { return f.inner.Update(ctx, rec, was, now) })
}

func (f *faulty) Touch(ctx context.Context, id store.ID, now time.Time) error {
	return f.faults.run(ctx, Touch, func() error { return f.inner.Touch(ctx, id, now) })
}

func (f *faulty) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	return call(f, ctx, Delete, func() ([]store.ID, error) { return f.inner.Delete(ctx, ids...) })
}

func (f *faulty) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	return call(f, ctx, DeleteSubject, func() ([]store.ID, error) { return f.inner.DeleteSubject(ctx, subject, now, keep...) })
}

func (f *faulty) DeleteAll(ctx context.Context, now time.Time) (int, error) {
	return call(f, ctx, DeleteAll, func() (int, error) { return f.inner.DeleteAll(ctx, now) })
}

func (f *faulty) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	return call(f, ctx, List, func() ([]store.Record, error) { return f.inner.List(ctx, subject, now) })
}

// errLeft says that the caller of All wants no more.
var errLeft = errors.New("storetest: the iteration was left")

func (f *faulty) All(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		left := false
		err := f.faults.run(ctx, All, func() error {
			for rec, err := range f.inner.All(ctx) {
				if err != nil {
					return err
				}
				if !yield(rec, nil) {
					left = true
					return errLeft
				}
			}
			return nil
		})
		if err != nil && !left {
			yield(store.Record{}, err)
		}
	}
}

func (f *faulty) Sweep(ctx context.Context, now time.Time, limit int) (n int, more bool, err error) {
	err = f.faults.run(ctx, Sweep, func() (err error) {
		n, more, err = f.inner.Sweep(ctx, now, limit)
		return err
	})
	return n, more, err
}
