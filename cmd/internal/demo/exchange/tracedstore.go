package exchange

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Trace wraps a store so that what a recorded request asks of it becomes part
// of the exchange. The wrapper has the optional abilities that the store has,
// and no others.
func (r *Recorder) Trace(s store.Store) store.Store {
	t := tracedStore{s}
	watcher, watches := s.(store.Watcher)
	settler, settles := s.(store.Settler)
	_, inside := s.(store.InProcess)
	switch {
	case watches && settles && inside:
		return struct {
			tracedStore
			store.Watcher
			store.Settler
			inProcess
		}{t, watcher, settler, inProcess{}}
	case watches && settles:
		return struct {
			tracedStore
			store.Watcher
			store.Settler
		}{t, watcher, settler}
	case watches && inside:
		return struct {
			tracedStore
			store.Watcher
			inProcess
		}{t, watcher, inProcess{}}
	case settles && inside:
		return struct {
			tracedStore
			store.Settler
			inProcess
		}{t, settler, inProcess{}}
	case watches:
		return struct {
			tracedStore
			store.Watcher
		}{t, watcher}
	case settles:
		return struct {
			tracedStore
			store.Settler
		}{t, settler}
	case inside:
		return struct {
			tracedStore
			inProcess
		}{t, inProcess{}}
	}
	return t
}

type inProcess struct{}

// InProcess does nothing: having it is the statement.
func (inProcess) InProcess() {}

type tracedStore struct{ store.Store }

// ExactMarks repeats what the store says of its marks.
func (s tracedStore) ExactMarks() bool {
	marks, says := s.Store.(store.ExactMarks)
	return says && marks.ExactMarks()
}

func (s tracedStore) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	err := s.Store.Load(ctx, id, rec, read)
	answer := ""
	if err == nil {
		answer = contents(*rec)
	}
	note(ctx, "load", id, answer, err)
	return err
}

func (s tracedStore) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	evicted, err := s.Store.Create(ctx, rec, terms, now)
	note(ctx, "create", rec.ID, contents(rec), err)
	return evicted, err
}

func (s tracedStore) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	err := s.Store.Update(ctx, rec, was, now)
	note(ctx, "update", rec.ID, contents(rec), err)
	return err
}

func (s tracedStore) Touch(ctx context.Context, id store.ID, now time.Time) error {
	err := s.Store.Touch(ctx, id, now)
	note(ctx, "touch", id, "last seen "+now.Local().Format(time.TimeOnly), err)
	return err
}

func (s tracedStore) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	ended, err := s.Store.Delete(ctx, ids...)
	for _, id := range ids {
		note(ctx, "delete", id, "gone", err)
	}
	return ended, err
}

func (s tracedStore) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	ended, err := s.Store.DeleteSubject(ctx, subject, now, keep...)
	_, subject, _ = strings.Cut(subject, ":")
	note(ctx, "delete all of "+subject, store.ID{}, fmt.Sprintf("%d ended, %d kept", len(ended), len(keep)), err)
	return ended, err
}

func (s tracedStore) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	records, err := s.Store.List(ctx, subject, now)
	_, subject, _ = strings.Cut(subject, ":")
	note(ctx, "list "+subject, store.ID{}, fmt.Sprintf("%d sessions", len(records)), err)
	return records, err
}

// contents says what a record holds without saying what is in it.
func contents(rec store.Record) string {
	whose := "nobody"
	if _, subject, named := strings.Cut(rec.Subject, ":"); named { // the manager's name comes first
		whose = subject
	}
	if rec.Retired {
		return "of " + whose + ", retired"
	}
	return fmt.Sprintf("of %s, %d bytes", whose, len(rec.Head)+len(rec.Data))
}

func note(ctx context.Context, verb string, id store.ID, answer string, err error) {
	t := traceOf(ctx)
	if t == nil {
		return
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		answer = "not found"
	case errors.Is(err, store.ErrConflict):
		answer = "changed meanwhile"
	case err != nil:
		answer = "refused"
	}
	step := Step{Verb: verb, Answer: clipped(answer, 60)}
	if !id.IsZero() {
		step.ID = Short(id)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) < maxSteps {
		t.steps = append(t.steps, step)
	}
}
