package coatcheck_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// A chooser takes each decision of a run: one of n.
type chooser interface{ pick(n int) int }

type randomly struct{ *rand.Rand }

func (r randomly) pick(n int) int { return r.IntN(n) }

// newWorld returns a world with two browsers.
func newWorld(t testing.TB, choose chooser, st store.Store, edit ...func(*coatcheck.Config)) *world {
	w := &world{t: &modelTB{TB: t}, choose: choose}
	limits := func(c *coatcheck.Config) { c.Idle, c.Absolute, c.MaxPerSubject = modelIdle, modelAbsolute, modelLimit }
	w.srv = newServer(w.t, st, append([]func(*coatcheck.Config){limits}, edit...)...)
	w.beginAnew()
	return w
}

// beginAnew empties the world: it is as if the server had just been started.
func (w *world) beginAnew() {
	w.sessions, w.marks = map[coatcheck.ID]*modelSession{}, map[string]time.Time{}
	w.requests, w.trace, w.browsers = nil, nil, nil
	for _, name := range []string{"A", "B"} {
		w.browsers = append(w.browsers, &modelBrowser{browser: w.srv.browser(), name: name})
	}
}

// finish lets the handlers return that still wait, so that none is left behind.
func (w *world) finish() {
	for _, r := range w.requests {
		for r.arrived() && !r.x.finished() {
			r.x.run()
		}
	}
}

// A mix is what a run is mostly about. Each deed and each time comes as often as
// it is listed.
type mix struct {
	deeds []modelDeed
	times []time.Duration
	most  int // requests under way
}

var (
	mixOfEverything = mix{
		[]modelDeed{
			deedRead, deedRead, deedWrite, deedWrite, deedWrite, deedWriteAtOnce, deedWriteAtOnce,
			deedSignIn, deedSignIn, deedSignIn, deedSignInOther, deedWriteSignIn, deedRotate, deedRotate, deedRotate,
			deedReauth, deedReauth, deedCredentials, deedSignOut, deedWriteSignOut, deedEndOthers,
		},
		[]time.Duration{
			time.Second, time.Second, 20 * time.Second, 31 * time.Second, grace + time.Second, grace + time.Second,
			2 * time.Minute, 5 * time.Minute, 16 * time.Minute, modelIdle - modelThrottle, modelIdle,
		},
		6,
	}
	mixOfRotation = mix{
		[]modelDeed{deedRead, deedRead, deedRead, deedWrite, deedWrite, deedWrite, deedRotate, deedRotate, deedRotate, deedSignIn},
		[]time.Duration{slowestRequest, slowestAnswer - time.Second, slowestAnswer - time.Second, grace},
		3,
	}
	mixOfExpiry = mix{
		[]modelDeed{deedRead, deedRead, deedWrite, deedWrite, deedWriteAtOnce, deedSignIn, deedSignIn, deedReauth},
		[]time.Duration{time.Second, modelIdle - modelThrottle, modelIdle},
		4,
	}
	mixes = []mix{mixOfEverything, mixOfRotation, mixOfExpiry}
)

var thiefDeeds = []modelDeed{deedRead, deedWrite, deedRotate}

// step does something that is possible.
func (w *world) step() {
	if n := len(w.requests); n > 0 && (n == w.mix.most || w.choose.pick(8) > 2) {
		r := w.requests[w.choose.pick(n)]
		switch {
		case !r.arrived():
			w.arrive(r)
		case !r.served():
			w.serve(r)
		case w.choose.pick(8) == 0:
			w.lose(r)
		default:
			w.deliver(r)
		}
		return
	}
	switch what := w.choose.pick(40); {
	case what < 10:
		w.pass(w.mix.times[w.choose.pick(len(w.mix.times))])
	case what == 10 && w.choose.pick(3) == 0:
		w.steal(w.browsers[w.choose.pick(len(w.browsers))])
	case what < 16 && w.thief != nil:
		w.send(w.thief, thiefDeeds[w.choose.pick(len(thiefDeeds))])
	case what == 16 && w.choose.pick(3) == 0:
		w.operate()
	default:
		b, deed := w.browsers[w.choose.pick(len(w.browsers))], w.mix.deeds[w.choose.pick(len(w.mix.deeds))]
		if len(b.cookies) == 0 && w.choose.pick(2) == 0 {
			deed = deedSignIn
		}
		w.send(b, deed)
	}
}

// operate ends all sessions of alice from outside.
func (w *world) operate() {
	w.note("an operator ends alice's sessions")
	if _, err := w.srv.EndSubject(ctx, "alice"); err != nil {
		w.fail("EndSubject: %v", err)
	}
	w.end("alice", nil)
	w.check()
}

// randomSteps is how long a run is.
const randomSteps = 150

// randomRun is one run, the same for the same seed. It returns what is broken.
func randomRun(t testing.TB, seed uint64, st store.Store, m mutant) string {
	choose := randomly{rand.New(rand.NewPCG(seed, 0))}
	every := time.Duration(choose.pick(4)) * time.Minute
	w := newWorld(t, choose, st, func(c *coatcheck.Config) { c.RotateEvery = every }, m.settings())
	w.rotates, w.tamper, w.mix = every > 0, m.answer, mixes[choose.pick(len(mixes))]
	if m.mix != nil {
		w.mix = *m.mix
	}
	defer w.finish()
	for range randomSteps {
		if w.step(); w.failed() != "" {
			break
		}
	}
	return w.failed()
}

// The environment variables that run one seed alone, and that say how many
// runs there are.
const (
	modelSeed = "COATCHECK_MODEL_SEED"
	modelRuns = "COATCHECK_MODEL_RUNS"
)

func fromEnvironment(t *testing.T, name string) (n uint64, found bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// Whatever browsers, users, thieves and time do, in any order, model and
// library agree. A seed that fails is printed; it fails again alone with
// COATCHECK_MODEL_SEED set to it. COATCHECK_MODEL_RUNS=10000 looks further.
func TestModelRandomly(t *testing.T) {
	t.Parallel()
	runs, found := fromEnvironment(t, modelRuns)
	if !found {
		runs = 60
	}
	seed, alone := fromEnvironment(t, modelSeed)
	everyStore(t, func(t *testing.T, open func() store.Store) {
		for range runs {
			if !alone {
				seed = rand.Uint64()
			}
			if broken := randomRun(t, seed, open(), mutant{}); broken != "" {
				t.Fatalf("%s=%d\n%s", modelSeed, seed, broken)
			}
			if alone {
				return
			}
		}
	})
}
