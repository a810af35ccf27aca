package everystore_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// The visitors of a round.
const (
	people          = 4 // and one who is calm
	browsersOfEach  = 3
	roundTime       = 1200 * time.Millisecond
	longestRest     = 10 * time.Millisecond // of a visitor: who never rests signs out before any session is old
	clockTolerance  = 2 * store.ClockTolerance
	defaultLoadTime = 6 * time.Second
)

// TestWhatVisitorsMayRelyOnUnderLoad holds for every store.
func TestWhatVisitorsMayRelyOnUnderLoad(t *testing.T) {
	length := loadTime(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := k.open(t)
			seed := seedOf(t)
			t.Logf("COATCHECK_SEED=%d", seed)
			broken, counts := underLoad(t, p, seed, length)
			for _, v := range broken {
				t.Errorf("%s: %s", v.rule, v.what)
			}
			for _, what := range slices.Sorted(maps.Keys(counts)) {
				t.Logf("%7d  %s", counts[what], what)
			}
		})
	}
}

func loadTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("COATCHECK_LOAD")
	switch {
	case text != "":
		length, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("COATCHECK_LOAD: %v", err)
		}
		return length
	case testing.Short():
		return roundTime
	}
	return defaultLoadTime
}

func seedOf(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("COATCHECK_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("COATCHECK_SEED: %v", err)
	}
	return seed
}

// underLoad runs rounds until the time is over or a rule is broken, and at least
// one.
func underLoad(t *testing.T, p place, seed uint64, length time.Duration) (broken []violation, counts map[string]int) {
	t.Helper()
	clock, counts := newFastClock(), map[string]int{}
	end := time.Now().Add(length)
	for number := 0; number == 0 || time.Now().Before(end); number++ {
		r := newRound(t, p, clock, seed, number)
		r.run()
		for what, n := range r.counts {
			counts[what] += n
		}
		if broken := r.found(); len(broken) > 0 {
			return broken[:min(len(broken), 10)], counts
		}
	}
	return nil, counts
}

// round is one part of the load: people who come, do this and that on both
// nodes, and are then looked at in peace. The rounds of one store differ in
// people, and in what happens at the limit.
type round struct {
	*checker
	t       *testing.T
	clock   *fastClock
	number  int
	seed    uint64
	atLimit coatcheck.AtLimit
	nodes   [2]*node
	items   atomic.Int64
	over    time.Time
	people  [people + 1]*person
}

// person is somebody with several browsers.
type person struct {
	name     string
	browsers []*browser
	calm     bool // stays signed in, as long as that lasts

	mu       sync.Mutex
	signing  int // sign-ins under way
	signings int // and all that have begun
}

func newRound(t *testing.T, p place, clock *fastClock, seed uint64, number int) *round {
	t.Helper()
	r := &round{
		checker: newChecker(p.stale), t: t, clock: clock, number: number, seed: seed,
		atLimit: []coatcheck.AtLimit{coatcheck.EvictOldest, coatcheck.RefuseSignIn}[number%2],
	}
	for i := range r.nodes {
		r.nodes[i] = newNode(t, i, p.handles[i], clock, r.atLimit, r.event)
	}
	for i := range r.people {
		who := &person{name: fmt.Sprintf("person%d.%d", number, i), calm: i == people}
		for j := range browsersOfEach {
			if who.calm && j == limit {
				break
			}
			who.browsers = append(who.browsers, newBrowser(fmt.Sprintf("%s.%d", who.name, j)))
		}
		r.people[i] = who
	}
	return r
}

func (r *round) run() {
	r.clock.start(clockTolerance) // what ended the last round is over
	r.over = time.Now().Add(roundTime)
	var all sync.WaitGroup
	for i, who := range r.people {
		for j, b := range who.browsers {
			draw := rand.New(rand.NewPCG(r.seed, uint64(r.number*1000+i*100+j)))
			all.Go(func() {
				for time.Now().Before(r.over) && len(r.found()) == 0 {
					r.step(draw, who, b)
					time.Sleep(time.Duration(draw.Int64N(int64(longestRest))))
				}
			})
		}
	}
	all.Wait()
	if len(r.found()) == 0 {
		r.lookInPeace()
	}
}

// step does one thing that visitors do, or two at once.
func (r *round) step(draw *rand.Rand, who *person, b *browser) {
	on := r.nodes[draw.IntN(2)]
	switch n := draw.IntN(100); {
	case n < 65:
		r.act(draw, who, b, on)
	case n < 92: // two tabs
		other := rand.New(rand.NewPCG(draw.Uint64(), draw.Uint64()))
		var both sync.WaitGroup
		both.Go(func() { r.act(draw, who, b, r.nodes[0]) })
		both.Go(func() { r.act(other, who, b, r.nodes[1]) })
		both.Wait()
	case n < 95:
		r.list(who, on)
	case n < 96: // somebody who has been away
		time.Sleep((idle + 2*throttle) / speed)
		r.ask(b, on, "/read")
	case !who.calm:
		r.operate(draw, who, on)
	}
}

// act does one thing that a browser does.
func (r *round) act(draw *rand.Rand, who *person, b *browser, on *node) {
	n := draw.IntN(100)
	if who.calm {
		n %= 75
		if _, a := r.ask(b, on, "/read"); a != nil && a.Subject == "" {
			r.signIn(who, b, on)
			return
		}
	}
	switch {
	case n < 40:
		r.ask(b, on, "/read")
	case n < 60:
		r.ask(b, on, "/add", "item", r.item(b))
	case n < 75:
		r.ask(b, on, "/add-now", "item", r.item(b))
	case n < 88:
		r.signIn(who, b, on)
	case n < 93:
		r.ask(b, on, "/sign-out")
	case n < 96:
		r.purge(who, b, on, "/password")
	case n < 98:
		r.purge(who, b, on, "/end-others")
	default:
		if id, found := r.sessionOf(draw, who); found {
			done := r.threaten(id)
			_, a := r.ask(b, on, "/end-other", "name", id.String())
			done(on.number, a != nil)
		}
	}
}

func (r *round) item(b *browser) string { return fmt.Sprint(b.name, " ", r.items.Add(1)) }

func (r *round) signIn(who *person, b *browser, on *node) (*visit, *answer) {
	who.mu.Lock()
	who.signing++
	who.signings++
	who.mu.Unlock()
	defer func() {
		who.mu.Lock()
		defer who.mu.Unlock()
		who.signing--
	}()
	return r.ask(b, on, "/sign-in", "name", who.name)
}

// purge asks for a page that ends the person's other sessions.
func (r *round) purge(who *person, b *browser, on *node, path string) {
	done := r.endsAll(who.name, r.clock.Now(), b)
	_, a := r.ask(b, on, path)
	done(a != nil)
}

// operate is what operators do.
func (r *round) operate(draw *rand.Rand, who *person, on *node) {
	if draw.IntN(6) == 0 {
		done := r.endsAll(who.name, r.clock.Now(), nil)
		_, err := on.EndSubject(background, who.name)
		r.noError("EndSubject", err)
		done(err == nil)
		return
	}
	if id, found := r.sessionOf(draw, who); found {
		done := r.threaten(id)
		n, err := on.End(background, id)
		r.noError("End", err)
		by := elsewhere
		if n == 1 {
			by = on.number
		}
		done(by, err == nil)
	}
}

func (r *round) noError(doing string, err error) {
	if err != nil {
		r.breaks(noTrouble, "%s: %v", doing, err)
	}
}

// sessionOf draws a session of the person's browsers.
func (r *round) sessionOf(draw *rand.Rand, who *person) (id store.ID, found bool) {
	tokens := who.browsers[draw.IntN(len(who.browsers))].tokens()
	if len(tokens) == 0 {
		return id, false
	}
	return idOf(tokens[0]), true
}

// list checks the limit while people sign in: a session that takes the place of
// another does not count beside it.
func (r *round) list(who *person, on *node) {
	who.mu.Lock()
	open, before := who.signing, who.signings
	who.mu.Unlock()
	infos, err := on.List(background, who.name)
	r.noError("List", err)
	who.mu.Lock()
	open += who.signings - before
	who.mu.Unlock()
	if len(infos) > limit+open {
		r.breaks(exactLimit, "%s has %d sessions while %d sign-ins are under way", who.name, len(infos), open)
	}
	for _, info := range infos {
		if info.Subject != who.name {
			r.breaks(noOthers, "%s is listed a session of %q", who.name, info.Subject)
		}
	}
}

// lookInPeace stops the clock and checks what must hold when nobody acts.
func (r *round) lookInPeace() {
	r.clock.stop(0)
	r.lookAtAll()
	r.clock.stop(clockTolerance) // sign-ins are no longer refused for what was ended
	for _, who := range r.people {
		r.fillUp(who)
	}
	r.settle()
	r.clock.stop(time.Second)
	_, err := r.nodes[r.number%2].EndAll(background)
	r.noError("EndAll", err)
	r.endedAll(r.number % 2)
	r.lookAtAll()
	if n := r.counts["read: ok"]; n == 0 {
		r.breaks(noTrouble, "nobody was answered in this round")
	}
}

// lookAtAll visits both nodes with every browser, after copies have become too
// old to use.
func (r *round) lookAtAll() {
	time.Sleep(r.stale + time.Millisecond)
	for _, who := range r.people {
		for _, b := range who.browsers {
			for _, n := range r.nodes {
				r.ask(b, n, "/read")
			}
		}
	}
}

// fillUp has a person sign in with more new browsers at once than are allowed.
func (r *round) fillUp(who *person) {
	before, err := r.nodes[0].List(background, who.name)
	r.noError("List", err)
	var all sync.WaitGroup
	var in atomic.Int64
	for i := range limit + 2 {
		b := newBrowser(fmt.Sprintf("%s.new%d", who.name, i))
		who.browsers = append(who.browsers, b)
		all.Go(func() {
			if _, a := r.signIn(who, b, r.nodes[i%2]); a != nil {
				in.Add(1)
			}
		})
	}
	all.Wait()
	after, err := r.nodes[1].List(background, who.name)
	r.noError("List", err)
	want := limit + 2
	if r.atLimit == coatcheck.RefuseSignIn {
		want = limit - len(before)
	}
	if int(in.Load()) != want || len(after) != limit || len(before) > limit {
		r.breaks(exactLimit, "%s had %d sessions, signed in %d times of %d, and has %d sessions",
			who.name, len(before), in.Load(), limit+2, len(after))
	}
	time.Sleep(r.stale + time.Millisecond)
	var served int
	for _, b := range who.browsers {
		if _, a := r.ask(b, r.nodes[1], "/read"); a != nil && a.Subject == who.name {
			served++
		}
	}
	if served > limit {
		r.breaks(exactLimit, "%s is served in %d sessions", who.name, served)
	}
}
