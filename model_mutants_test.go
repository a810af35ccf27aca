package coatcheck_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// A mutant is something broken that the model must notice. The zero mutant is
// not broken.
type mutant struct {
	name   string
	store  func(store.Store) store.Store
	config func(*coatcheck.Config)
	answer func(*exchange)
	mix    *mix // in which it is noticed soon
}

func (m mutant) settings() func(*coatcheck.Config) {
	if m.config == nil {
		return func(*coatcheck.Config) {}
	}
	return m.config
}

// The model can fail: for each of its properties something broken is noticed.
func TestModelNoticesWhatIsBroken(t *testing.T) {
	t.Parallel()
	const most = 1000 // runs, by when it must have been noticed
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for seed := range uint64(most) {
				st := memory()
				if m.store != nil {
					st = m.store(st)
				}
				if broken := randomRun(t, seed, st, m); broken != "" {
					t.Logf("run %d: %.200s", seed+1, broken)
					return
				}
			}
			t.Errorf("not noticed in %d runs", most)
		})
	}
}

var mutants = []mutant{
	{name: "an update creates what is gone", store: func(s store.Store) store.Store { return creates{s} }},
	{name: "an update ignores the version", store: func(s store.Store) store.Store { return overwrites{s} }},
	{name: "an update is done and refused", store: func(s store.Store) store.Store { return repeats{s} }},
	{name: "an update is acknowledged and lost", store: func(s store.Store) store.Store { return forgets{s} }},
	{name: "an update retires nothing", store: func(s store.Store) store.Store { return retiresNothing{s} }},
	{name: "an update revives what has expired", store: func(s store.Store) store.Store { return revives{s} }, mix: &mixOfExpiry},
	{name: "a delete deletes nothing", store: func(s store.Store) store.Store { return deletesNothing{s} }},
	{name: "the end of a subject leaves no mark", store: func(s store.Store) store.Store { return leavesNoMark{s} }},
	{name: "the end of a subject ends one alone", store: func(s store.Store) store.Store { return endsOne{s} }},
	{name: "sessions live too long", config: func(c *coatcheck.Config) { c.Idle, c.Absolute = time.Hour, 3*time.Hour }},
	{name: "sessions die too early", config: func(c *coatcheck.Config) { c.Idle = 20 * time.Minute }},
	{name: "the grace is too short", config: func(c *coatcheck.Config) { c.RotationGrace = 10 * time.Second }, mix: &mixOfRotation},
	{name: "refusals expire the cookie", answer: func(x *exchange) {
		if x.status() == http.StatusConflict {
			x.answer.Header().Add("Set-Cookie", signedInCookie+"=; Path=/; Max-Age=0; Secure; HttpOnly")
		}
	}},
	{name: "pages that are read expire the cookie", answer: func(x *exchange) {
		if len(x.answer.Header()["Set-Cookie"]) == 0 {
			x.answer.Header().Add("Set-Cookie", signedInCookie+"=; Path=/; Max-Age=0; Secure; HttpOnly")
		}
	}},
	{name: "cookies are sent twice", answer: func(x *exchange) {
		lines := x.answer.Header()["Set-Cookie"]
		x.answer.Header()["Set-Cookie"] = append(lines, lines...)
	}},
	{name: "the answer of a sign-in has no cookie", answer: func(x *exchange) {
		if len(x.browser.cookies) == 0 {
			x.answer.Header().Del("Set-Cookie")
		}
	}},
}

type creates struct{ store.Store }

func (s creates) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	err := s.Store.Update(ctx, rec, was, now)
	if errors.Is(err, store.ErrNotFound) {
		if _, exists := s.Create(ctx, rec, store.Terms{}, now); exists == nil {
			return nil
		}
	}
	return err
}

type overwrites struct{ store.Store }

func (s overwrites) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	var present store.Record
	if s.Load(ctx, rec.ID, &present, store.Fresh) == nil {
		was = present.Version
	}
	return s.Store.Update(ctx, rec, was, now)
}

type repeats struct{ store.Store }

func (s repeats) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if err := s.Store.Update(ctx, rec, was, now); err != nil {
		return err
	}
	return store.ErrConflict
}

type forgets struct{ store.Store }

func (forgets) Update(context.Context, store.Record, uint64, time.Time) error { return nil }

type retiresNothing struct{ store.Store }

func (s retiresNothing) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if rec.Retired {
		return nil
	}
	return s.Store.Update(ctx, rec, was, now)
}

type revives struct{ store.Store }

func (s revives) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	rec.LastSeen = now
	return s.Store.Update(ctx, rec, was, now.Add(-time.Hour))
}

type deletesNothing struct{ store.Store }

func (deletesNothing) Delete(_ context.Context, ids ...store.ID) ([]store.ID, error) { return ids, nil }

type leavesNoMark struct{ store.Store }

func (s leavesNoMark) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	list, err := s.List(ctx, subject, now)
	if err != nil {
		return nil, err
	}
	var ended []store.ID
	for _, rec := range list {
		if len(keep) == 0 || rec.ID != keep[0] {
			ended = append(ended, rec.ID)
		}
	}
	return s.Delete(ctx, ended...)
}

type endsOne struct{ store.Store }

func (s endsOne) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	list, err := s.List(ctx, subject, now)
	if err == nil && len(list) > 0 {
		keep = append(keep, list[0].ID)
	}
	ended, err := s.Store.DeleteSubject(ctx, subject, now, keep...)
	return ended, err
}
