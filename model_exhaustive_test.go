package coatcheck_test

import (
	"fmt"
	"testing"
	"time"
)

// everything takes every decision once: after a run, next moves on to the next
// combination of decisions.
type everything struct {
	taken, of []int
	at        int
}

func (e *everything) pick(n int) int {
	if e.at == len(e.taken) {
		e.taken, e.of = append(e.taken, 0), append(e.of, n)
	}
	e.at++
	return e.taken[e.at-1]
}

// next reports whether there is another combination.
func (e *everything) next() bool {
	e.at = 0
	for last := len(e.taken) - 1; last >= 0; last-- {
		if e.taken[last]++; e.taken[last] < e.of[last] {
			e.taken, e.of = e.taken[:last+1], e.of[:last+1]
			return true
		}
	}
	return false
}

// interleaving is three requests of one browser on their way.
type interleaving struct {
	*world
	deeds    [3]modelDeed
	sent     [3]*modelRequest
	answered [3]bool
	last     int  // the request that went on last
	step     rune // and with what: 'b'egun, 's'erved, 'a'nswered
}

// run goes on with one request after another, as the chooser takes them, until
// all are answered, or until an order is taken that differs from another in
// nothing that could be seen.
func (v *interleaving) run() {
	for v.failed() == "" {
		var possible []int
		for i := range v.deeds {
			if !v.answered[i] && !v.redundant(i) {
				possible = append(possible, i)
			}
		}
		if len(possible) == 0 {
			return
		}
		i := possible[v.choose.pick(len(possible))]
		v.last = i
		switch r := v.sent[i]; {
		case r == nil:
			v.step = 'b'
			v.sent[i] = v.send(v.browsers[0], v.deeds[i])
			v.arrive(v.sent[i])
		case r.served():
			v.step, v.answered[i] = 'a', true
			v.deliver(r)
		default:
			v.step = 's'
			if v.serve(r); len(r.x.lines()) == 0 { // nothing that could arrive
				v.answered[i] = true
				v.deliver(r)
			}
		}
	}
}

// redundant reports whether going on with this request now makes an order that
// another stands for: of equal requests the first begins first; two that begin
// one right after the other could change places; so could a request that is
// served right after another is answered, because the one happens in the server
// and the other in the browser.
func (v *interleaving) redundant(i int) bool {
	if v.sent[i] == nil {
		twin := i > 0 && v.deeds[i] == v.deeds[i-1] && v.sent[i-1] == nil
		return twin || v.step == 'b' && v.last > i
	}
	return !v.sent[i].served() && v.step == 'a'
}

// Three requests of one browser, in every order in which they can begin, be
// served and be answered.
func TestModelExhaustively(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before modelDeed
		deeds  []modelDeed
	}{
		{"first visit", "", []modelDeed{deedWrite, deedSignIn}},
		{"visitor", deedWrite, []modelDeed{deedWrite, deedSignIn, deedWriteSignIn, deedSignOut}},
		{"signed in", deedSignIn, []modelDeed{deedWrite, deedSignIn, deedRotate, deedReauth, deedSignOut}},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			for i, first := range c.deeds {
				for j, second := range c.deeds[i:] {
					for _, third := range c.deeds[i+j:] {
						runs += exhaust(t, c.before, [3]modelDeed{first, second, third})
					}
				}
			}
			t.Logf("%d runs", runs)
		})
	}
}

// exhaust runs every interleaving, and returns how many there are.
func exhaust(t *testing.T, before modelDeed, deeds [3]modelDeed) int {
	choose, runs := &everything{}, 0
	w := newWorld(t, choose, memory())
	for more := true; more; more = choose.next() {
		runs++
		if before != "" {
			r := w.send(w.browsers[0], before)
			w.arrive(r)
			w.serve(r)
			w.deliver(r)
			w.pass(2 * time.Minute)
		}
		v := &interleaving{world: w, deeds: deeds}
		v.run()
		broken := w.failed()
		w.finish()
		if broken != "" {
			t.Fatal(fmt.Sprintf("%q:\n", deeds) + broken)
		}
		if _, err := w.srv.EndAll(ctx); err != nil {
			t.Fatal(err)
		}
		w.srv.clock.advance(time.Second)
		w.beginAnew()
	}
	return runs
}
