package coatcheck_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
)

// A model of browsers, server and store runs beside the real ones. A chooser
// decides what happens next: which browser sends what, which request is served
// on, which answer arrives or is lost, how time passes. After every step the
// model says what must be true; what it says is in this file:
//
//   - what has ended never lives again, and nothing else dies;
//   - no write that was answered with success is lost, none that was refused is
//     there, none is done twice, and nobody is told of a success that was not;
//   - who signed in last in a browser stays signed in there, unless they signed
//     out, ran out of time or were ended from elsewhere;
//   - reuse is detected only where a token was copied;
//   - only an answer that signs in, renews or ends a sign-in changes its cookie,
//     and no answer has two lines for one cookie.
//
// model_requests_test.go has what requests do and what their answers mean,
// model_random_test.go and model_exhaustive_test.go choose, and
// model_mutants_test.go shows that each property can fail.

// A world is the model and what it is compared with.
type world struct {
	t        *modelTB
	choose   chooser
	mix      mix
	srv      *server
	browsers []*modelBrowser
	thief    *modelBrowser // nil before the first theft
	requests []*modelRequest
	sessions map[coatcheck.ID]*modelSession
	marks    map[string]time.Time // when all sessions of a subject were ended
	commits  int
	writes   int
	heard    int  // events that were looked at
	rotates  bool // by age
	trace    []string

	tamper func(*exchange) // spoils answers: see mutant
}

// modelTB collects what is broken, so that a run can fail without its test.
type modelTB struct {
	testing.TB
	broken []string
}

func (t *modelTB) Helper() {}
func (t *modelTB) Errorf(format string, args ...any) {
	t.broken = append(t.broken, fmt.Sprintf(format, args...))
}
func (t *modelTB) Fatal(args ...any)                 { t.Errorf("%s", fmt.Sprint(args...)) }
func (t *modelTB) Fatalf(format string, args ...any) { t.Errorf(format, args...) }

// modelSession is what the model knows of a session.
type modelSession struct {
	name    string // in traces
	id      coatcheck.ID
	subject string
	over    string // why it has ended, "" if it lives
	overAt  time.Time

	items  map[string]bool // written and acknowledged
	unsure map[string]bool // may be there or not

	proven   time.Time // when its absolute limit began
	seen     time.Time // its last activity, at the earliest
	seenLast time.Time // and at the latest

	current, previous string    // tokens
	met               time.Time // when a request first came with the current one
	dead              []string  // tokens that must open nothing any more
	copied            bool      // a thief has a token that may be good
}

// Why a session is over: replaced by a sign-in, whose late requests are told so
// for a while. Any other reason is that it ended.
const (
	superseded = "superseded"
	staleFor   = 30 * time.Second
)

// modelBrowser is a browser, and what its user expects.
type modelBrowser struct {
	*browser
	name   string
	wanted *modelSession // the session that the last change of the cookie was about
	jarAge int           // the commit that made the browser's present cookie
	void   bool          // an answer was lost or overtaken that no server can make good
}

const (
	modelIdle     = 30 * time.Minute
	modelThrottle = time.Minute
	modelAbsolute = 2 * time.Hour
	modelLimit    = 4
)

func (w *world) now() time.Time { return w.srv.clock.Now() }

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// fail says that a property is broken.
func (w *world) fail(format string, args ...any) { w.t.Errorf(format, args...) }

// failed returns what is broken and how it came to that, "" if nothing is.
func (w *world) failed() string {
	if len(w.t.broken) == 0 {
		return ""
	}
	return strings.Join(w.t.broken, "\n") + "\nafter:\n  " + strings.Join(w.trace, "\n  ")
}

// tokenID returns the id of the session that a cookie names.
func tokenID(token string) (id coatcheck.ID) {
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	copy(id[:], raw)
	return id
}

// admit takes up a session that has just been created.
func (w *world) admit(token, subject string) *modelSession {
	s := &modelSession{
		name: fmt.Sprintf("%s#%d", subject, len(w.sessions)+1), id: tokenID(token), subject: subject,
		items: map[string]bool{}, unsure: map[string]bool{}, proven: w.now(), current: token,
	}
	s.active(w.now())
	w.sessions[s.id] = s
	return s
}

func (s *modelSession) active(now time.Time) { s.seen, s.seenLast = now, now }

// replaceTokens is re-authentication: what there was opens nothing any more.
func (s *modelSession) replaceTokens(token string) {
	s.dead = append(s.dead, s.current)
	if s.previous != "" {
		s.dead = append(s.dead, s.previous)
	}
	s.current, s.previous, s.met, s.copied = token, "", time.Time{}, false
}

// rotated is rotation by a request that came with the token presented.
func (s *modelSession) rotated(token, presented string) {
	if presented == s.current {
		s.previous = s.current
	}
	s.current, s.met = token, time.Time{}
}

// isGood reports whether a token must open the session at that time. If it is
// not, the token may be outside of its grace, or nothing is promised.
func (s *modelSession) isGood(token string, now time.Time) bool {
	return token == s.current ||
		token == s.previous && (s.met.IsZero() || now.Before(s.met.Add(grace)))
}

// check compares everything after a step.
func (w *world) check() {
	w.listen()
	for _, s := range w.sessions {
		if _, err := w.srv.Lookup(ctx, s.id); (err == nil) != (s.over == "") {
			w.fail("session %s is over %q, and its lookup says %v", s.name, s.over, err)
		}
	}
	for _, b := range w.browsers {
		w.checkBrowser(b)
	}
	if w.thief != nil {
		w.checkData(w.thief)
	}
	w.listen()
}

// checkBrowser compares who is signed in.
func (w *world) checkBrowser(b *modelBrowser) {
	user := w.checkData(b)
	if b.void || slices.ContainsFunc(w.requests, func(r *modelRequest) bool {
		return r.browser == b && r.served() && r.x.sets(signedInCookie)
	}) {
		return
	}
	want := ""
	if b.wanted != nil && b.wanted.over == "" {
		if b.wanted.copied {
			return // a thief may have got ahead of the user, which ends the session
		}
		want = b.wanted.subject
	}
	if user != want {
		w.fail("in browser %s is signed in %q, want %q", b.name, user, want)
	}
}

// checkData compares what the session of a browser holds, and returns its user.
func (w *world) checkData(b *modelBrowser) string {
	if len(b.cookies) == 0 {
		return ""
	}
	seen := b.look()
	id := seen.ID()
	if id.IsZero() {
		return ""
	}
	s := w.sessions[id]
	if s == nil {
		w.fail("browser %s has session %s that was never acknowledged", b.name, id)
		return seen.Subject()
	}
	for _, token := range s.dead {
		if b.cookies[signedInCookie] == token {
			w.fail("a token that was replaced opens session %s", s.name)
		}
	}
	list, _ := listKey.Get(seen)
	found := map[string]bool{}
	for _, item := range list {
		if found[item] {
			w.fail("write %s was done twice in session %s", item, s.name)
		}
		if found[item] = true; !s.items[item] && !s.unsure[item] {
			w.fail("session %s has %s, which was refused, dropped or is another's", s.name, item)
		}
	}
	for item := range s.items {
		if !found[item] {
			w.fail("session %s has lost %s, which was acknowledged", s.name, item)
		}
	}
	return seen.Subject()
}

// listen takes up what events say that no answer does: who was evicted, and
// where a copied token was detected.
func (w *world) listen() {
	log := w.srv.events
	log.mu.Lock()
	events := log.events[w.heard:]
	w.heard = len(log.events)
	log.mu.Unlock()
	for _, e := range events {
		s := w.sessions[e.ID]
		switch {
		case s == nil:
		case e.Kind == coatcheck.KindRetiredToken && !s.copied:
			w.fail("reuse of session %s was detected, whose tokens nobody has copied", s.name)
		case e.Kind == coatcheck.KindRetiredToken:
			s.over = "reuse"
		case e.Kind == coatcheck.KindEnded && e.Reason == coatcheck.ReasonEvicted:
			s.over = "evicted"
		}
	}
}

// What is promised about rotation is promised for an answer, and the request
// that is sent without it, which together take less than the grace.
const (
	slowestRequest = grace / 3
	slowestAnswer  = grace - slowestRequest
)

// pass lets time pass. What would arrive too late by then is lost before.
func (w *world) pass(d time.Duration) {
	then := w.now().Add(d)
	for _, r := range slices.Clone(w.requests) {
		if !r.arrived() && then.After(r.sent.Add(slowestRequest)) ||
			r.served() && r.x.sets(signedInCookie) && !then.Before(r.committed.Add(slowestAnswer)) {
			w.lose(r)
		}
	}
	w.note("%v pass", d)
	w.srv.clock.advance(d)
	for _, s := range w.sessions {
		if s.over != "" {
			continue
		}
		_, err := w.srv.Lookup(ctx, s.id)
		may := !w.now().Before(s.seen.Add(modelIdle-modelThrottle)) || !w.now().Before(s.proven.Add(modelAbsolute))
		must := !w.now().Before(s.seenLast.Add(modelIdle)) || !w.now().Before(s.proven.Add(modelAbsolute))
		switch {
		case err != nil && may:
			s.over = "expired"
		case err == nil && must:
			w.fail("session %s should have expired", s.name)
		}
	}
	w.check()
}
