package everystore_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// wrong is a handle on a store that breaks its contract in one way.
type wrong struct {
	store.Store // the store as it should be
	fault       fault

	mu     sync.Mutex
	copies map[store.ID]copied // of staleCopies
	calls  int
	other  store.Record // of mixedData
}

type fault int

const (
	versionsIgnored fault = iota
	updatesLost
	deletesForgotten
	subjectsForgotten
	limitIgnored
	tooFewAllowed
	staleCopies
	neverIdle
	neverOld
	mixedData
	activityLost
)

type copied struct {
	record store.Record
	at     time.Time
}

func (w *wrong) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	if w.fault == staleCopies && read == store.Cached {
		w.mu.Lock()
		kept, has := w.copies[id]
		w.mu.Unlock()
		if has && time.Since(kept.at) < 300*time.Millisecond {
			*rec = kept.record
			rec.Head, rec.Data = slices.Clone(rec.Head), slices.Clone(rec.Data)
			return nil
		}
	}
	if err := w.Store.Load(ctx, id, rec, read); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.fault {
	case staleCopies:
		kept := *rec
		kept.Head, kept.Data = slices.Clone(rec.Head), slices.Clone(rec.Data)
		w.copies[id] = copied{kept, time.Now()}
	case neverIdle:
		rec.Idle = 24 * time.Hour
	case neverOld:
		rec.Absolute = rec.Absolute.Add(24 * time.Hour)
	case mixedData:
		if w.calls++; w.calls%10 == 0 && len(w.other.Data) > 0 {
			rec.Data = slices.Clone(w.other.Data)
		}
		w.other.Data = append(w.other.Data[:0], rec.Data...)
	}
	return nil
}

func (w *wrong) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	switch w.fault {
	case limitIgnored:
		terms.Max = 0
	case tooFewAllowed:
		terms.Max = max(terms.Max-1, 0)
	}
	return w.Store.Create(ctx, rec, terms, now)
}

func (w *wrong) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	switch w.fault {
	case updatesLost:
		return nil
	case activityLost:
		rec.LastSeen = rec.Created
	case versionsIgnored:
		var present store.Record
		if err := w.Store.Load(ctx, rec.ID, &present, store.Fresh); err != nil {
			return err
		}
		runtime.Gosched()
		err := w.Store.Update(ctx, rec, present.Version, now)
		if errors.Is(err, store.ErrConflict) {
			return w.Update(ctx, rec, was, now)
		}
		return err
	}
	return w.Store.Update(ctx, rec, was, now)
}

func (w *wrong) Touch(ctx context.Context, id store.ID, now time.Time) error {
	if w.fault == activityLost {
		return nil
	}
	return w.Store.Touch(ctx, id, now)
}

func (w *wrong) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	if w.fault == deletesForgotten {
		return ids, nil
	}
	return w.Store.Delete(ctx, ids...)
}

func (w *wrong) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	if w.fault == subjectsForgotten {
		return nil, nil
	}
	return w.Store.DeleteSubject(ctx, subject, now, keep...)
}

// TestTheCheckerNoticesAWrongStore proves each rule of the checker.
func TestTheCheckerNoticesAWrongStore(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault
		rules []string // one of them is broken first
	}{
		{"updates ignore versions", versionsIgnored, []string{noLostUpdate, noResurrection, inStep, noLoss}},
		{"updates are lost", updatesLost, []string{noLostUpdate, noResurrection}},
		{"deletes are forgotten", deletesForgotten, []string{noResurrection}},
		{"ends of a subject are forgotten", subjectsForgotten, []string{noResurrection}},
		{"the limit is ignored", limitIgnored, []string{exactLimit}},
		{"the limit is one less", tooFewAllowed, []string{exactLimit}},
		{"reads are of old copies", staleCopies, []string{noLostUpdate, noResurrection}},
		{"nothing is ever idle", neverIdle, []string{noResurrection}},
		{"nothing is ever too old", neverOld, []string{noResurrection}},
		{"data of several sessions is mixed up", mixedData, []string{noOthers, noLostUpdate}},
		{"activity is lost", activityLost, []string{noLoss}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := memstore.New(nil)
			var p place
			for i := range p.handles {
				p.handles[i] = struct {
					*wrong
					inProcess
				}{&wrong{Store: st, fault: c.fault, copies: map[store.ID]copied{}}, inProcess{}}
			}
			seed := seedOf(t)
			t.Logf("COATCHECK_SEED=%d", seed)
			broken, counts := underLoad(t, p, seed, 2*time.Minute)
			if len(broken) == 0 {
				t.Fatalf("the checker has noticed nothing in %v", counts)
			}
			if !slices.ContainsFunc(broken, func(v violation) bool { return slices.Contains(c.rules, v.rule) }) {
				t.Errorf("the checker has noticed something else: %s: %s", broken[0].rule, broken[0].what)
			}
		})
	}
}

// inProcess has the managers seal nothing.
type inProcess struct{}

func (inProcess) InProcess() {}
