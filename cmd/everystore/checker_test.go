package everystore_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// The rules that the checker holds the site to.
const (
	noLostUpdate   = "an acknowledged change is kept"
	noResurrection = "what has ended stays ended"
	noLoss         = "a session ends for a reason only"
	noOthers       = "nobody sees the session of another"
	inStep         = "values changed together are seen together"
	exactLimit     = "nobody has more sessions than are allowed, nor fewer"
	noTrouble      = "a store that works gives no errors"
)

// clockFace is how times are shown.
const clockFace = "05.000000"

// violation is an answer that breaks a rule.
type violation struct{ rule, what string }

// moment is when a node acknowledged something, by the machine's clock.
type moment struct {
	node int // elsewhere: what the node found done already, by another perhaps
	at   time.Time
}

const elsewhere = -1

// life is what the visitors know of a session. What they cannot know exactly,
// since requests overlap, they know from both sides.
type life struct {
	id     store.ID
	owner  *browser
	name   string // of the person signed in; empty: anonymous
	parent *life  // the anonymous session that it took over

	begun time.Time // its sign-in had begun by then, by the site's clock
	born  time.Time // and not before then, by the machine's

	seen    time.Time // recorded activity is not older, but for the throttle
	used    time.Time // and not newer, unless requests are open
	created time.Time // the absolute limit counts from here at the earliest
	renewed time.Time // and from here at the latest
	open    int       // requests that present it

	items     map[string]moment // acknowledged
	inherited map[string]string // those that a successor must have too, with how they came
	threats   int               // what may have ended it, or replaced its secret
	successor int               // sign-ins that may have taken it over
	ended     *moment
}

// purge is a call that ends all sessions of a person that began before it.
type purge struct {
	name   string
	from   time.Time // by the site's clock
	spares *browser  // who asked, if a visitor did
	done   *moment
}

// checker knows what must be true of every answer.
type checker struct {
	stale time.Duration

	mu       sync.Mutex
	lives    map[store.ID]*life
	replaced map[string]moment // tokens that were replaced without grace
	purges   []*purge
	evicted  map[store.ID]moment
	suspects map[*life]string // sessions that were gone for no known reason
	broken   []violation
	counts   map[string]int // of what has happened, for the log
}

func newChecker(stale time.Duration) *checker {
	return &checker{
		stale: stale, lives: map[store.ID]*life{}, replaced: map[string]moment{},
		evicted: map[store.ID]moment{}, suspects: map[*life]string{}, counts: map[string]int{},
	}
}

// violates notes a broken rule.
func (c *checker) violates(rule, format string, args ...any) {
	c.broken = append(c.broken, violation{rule, fmt.Sprintf(format, args...)})
}

// breaks is violates for who does not hold the lock.
func (c *checker) breaks(rule, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violates(rule, format, args...)
}

// found returns what was broken so far.
func (c *checker) found() []violation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.broken)
}

// known reports whether a request that starts at that time on that node must
// know of what was acknowledged before.
func (c *checker) known(m moment, on int, start time.Time) bool {
	if m.node != on {
		m.at = m.at.Add(c.stale)
	}
	return m.at.Before(start)
}

// mayHaveExpired reports whether the session may be past a deadline.
func (l *life) mayHaveExpired(now time.Time) bool {
	return !now.Before(l.seen.Add(idle-throttle)) || !now.Before(l.created.Add(absolute))
}

// purged reports whether a purge that has begun may have ended the session.
func (c *checker) purged(l *life) bool {
	return slices.ContainsFunc(c.purges, func(p *purge) bool {
		return p.name == l.name && (p.done == nil || p.done.at.After(l.born))
	})
}

// checkServed judges an answer that was given to the session.
func (c *checker) checkServed(v *visit, l *life, a *answer) {
	for _, item := range a.List {
		if !strings.HasPrefix(item, v.browser.name+" ") {
			c.violates(noOthers, "%s is shown %q", v, item)
			return
		}
	}
	if a.Subject != l.name || l.owner != v.browser {
		c.violates(noOthers, "%s is served as %q by session %s of %q, begun by %s", v, a.Subject, l.id, l.name, l.owner.name)
	}
	list := slices.Sorted(slices.Values(a.List))
	if n := len(slices.Compact(list)); a.Count != len(a.List) || n != len(a.List) {
		c.violates(inStep, "%s is shown %d items, %d different, with the count %d", v, len(a.List), n, a.Count)
	}
	for item, acknowledged := range l.items {
		if c.known(acknowledged, v.node.number, v.start) && !slices.Contains(a.List, item) {
			c.violates(noLostUpdate, "%s is not shown %q, acknowledged by node %d %v before", v, item, acknowledged.node, v.start.Sub(acknowledged.at))
		}
	}
	for before := l.parent; before != nil; before = before.parent {
		for item, how := range before.inherited {
			if !slices.Contains(a.List, item) {
				c.violates(noLostUpdate, "%s is not shown %q, which session %s had from %s before the sign-in of %s, begun by %v and acknowledged at %v",
					v, item, before.id, how, l.id, l.begun.Format(clockFace), before.ended.at.Format(clockFace))
			}
		}
	}
}

// checkAlive judges whether the session may serve that request at all.
func (c *checker) checkAlive(v *visit, l *life) {
	if l.ended != nil && c.known(*l.ended, v.node.number, v.start) {
		c.violates(noResurrection, "%s is served by session %s, which node %d ended %v before", v, l.id, l.ended.node, v.start.Sub(l.ended.at))
	}
	for _, p := range c.purges {
		if p.done != nil && p.name == l.name && p.spares != l.owner && l.begun.Before(p.from) && c.known(*p.done, v.node.number, v.start) {
			c.violates(noResurrection, "%s is served by session %s, although all of %s were ended %v before", v, l.id, l.name, v.start.Sub(p.done.at))
		}
	}
	for _, token := range v.tokens {
		if at, is := c.replaced[token]; is && idOf(token) == l.id && c.known(at, v.node.number, v.start) {
			c.violates(noResurrection, "%s is served with a secret that was replaced %v before", v, v.start.Sub(at.at))
		}
	}
	if idleSince, alone := v.alone[l]; alone && v.began.After(idleSince.Add(idle)) {
		c.violates(noResurrection, "%s is served by session %s, not used for %v", v, l.id, v.began.Sub(idleSince))
	}
	if v.began.After(l.renewed.Add(absolute)) {
		c.violates(noResurrection, "%s is served by session %s, which is %v old", v, l.id, v.began.Sub(l.renewed))
	}
}

// checkGone judges that a session was presented and did not serve.
func (c *checker) checkGone(v *visit, l *life, now time.Time) {
	if l.threats == 0 && l.successor == 0 && l.ended == nil && !l.mayHaveExpired(now) && !c.purged(l) {
		c.suspects[l] = v.String()
	}
}

// event takes in what a manager tells: who was evicted.
func (c *checker) event(on int, e coatcheck.Event) {
	if e.Kind != coatcheck.KindEnded {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts["ended: "+string(e.Reason)]++
	if e.Reason != coatcheck.ReasonEvicted {
		return
	}
	at := moment{on, time.Now()}
	c.evicted[e.ID] = at
	if l := c.lives[e.ID]; l != nil {
		l.end(at)
	}
}

// end notes that the session was ended at the latest at that moment.
func (l *life) end(at moment) {
	if l.ended == nil {
		l.ended = &at
	}
}

// endsAll is told before all sessions of a person are ended; the returned
// function after it.
func (c *checker) endsAll(name string, now time.Time, spares *browser) (done func(happened bool)) {
	p := &purge{name: name, from: now, spares: spares}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purges = append(c.purges, p)
	return func(happened bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if happened {
			p.done = &moment{elsewhere, time.Now()} // some may have been ended before, by others
		} else {
			c.purges = slices.DeleteFunc(c.purges, func(other *purge) bool { return other == p })
		}
	}
}

// threaten is told before a session may be ended; the returned function after
// it.
func (c *checker) threaten(id store.ID) (done func(on int, ended bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lives[id]
	if l == nil {
		return func(int, bool) {}
	}
	l.threats++
	return func(on int, ended bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if ended {
			l.end(moment{on, time.Now()})
		}
	}
}

// settle judges what could not be judged before all was known.
func (c *checker) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l, visit := range c.suspects {
		if _, evicted := c.evicted[l.id]; !evicted {
			c.violates(noLoss, "%s is not served by its session %s, which nobody had ended", visit, l.id)
		}
	}
	clear(c.suspects)
}

// endedAll notes that every session there was has ended.
func (c *checker) endedAll(on int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lives {
		l.end(moment{on, time.Now()})
	}
}
