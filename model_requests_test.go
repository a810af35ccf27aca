package coatcheck_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/coatcheck/coatcheck"
)

// modelDeed is what a request does once it has found its session.
type modelDeed string

const (
	deedRead         modelDeed = "read"
	deedWrite        modelDeed = "write"
	deedWriteAtOnce  modelDeed = "write at once"
	deedSignIn       modelDeed = "sign in as alice"
	deedSignInOther  modelDeed = "sign in as bob"
	deedRotate       modelDeed = "rotate"
	deedReauth       modelDeed = "re-authenticate"
	deedCredentials  modelDeed = "change the password"
	deedSignOut      modelDeed = "sign out"
	deedEndOthers    modelDeed = "end others"
	deedWriteSignIn  modelDeed = "write, then sign in as alice"
	deedWriteSignOut modelDeed = "write, then sign out"
)

// modelRequest is a request and what was known when it began.
type modelRequest struct {
	name    string
	x       *exchange
	browser *modelBrowser
	deed    modelDeed
	item    string // what it writes
	began   time.Time

	sent    time.Time
	cookies map[string]string // when it was sent

	session *modelSession   // found when it began; nil for nobody
	token   string          // with which
	had     map[string]bool // what was acknowledged by then

	commit    int // 0 before it was served
	committed time.Time
}

// arrived reports whether the server has the request.
func (r *modelRequest) arrived() bool { return r.x != nil }

// served reports whether the answer is there.
func (r *modelRequest) served() bool { return r.commit > 0 }

func (r *modelRequest) serve(x *exchange, s *coatcheck.Session) error {
	id := s.ID()
	x.found = &id
	x.pause()
	write := func() error { return add(s, r.item) }
	switch r.deed {
	case deedRead:
		listKey.Get(s)
		return nil
	case deedWrite:
		return write()
	case deedWriteAtOnce:
		return s.Update(ctx, write)
	case deedSignIn, deedSignInOther:
		return s.SignIn(ctx, r.subject())
	case deedRotate:
		return s.Rotate(ctx)
	case deedReauth:
		return s.Reauthenticate(ctx)
	case deedCredentials:
		return s.CredentialsChanged(ctx)
	case deedSignOut:
		return s.End(ctx)
	case deedEndOthers:
		return endOthers(x, s)
	case deedWriteSignIn:
		if err := write(); err != nil {
			return err
		}
		return s.SignIn(ctx, r.subject())
	case deedWriteSignOut:
		if err := write(); err != nil {
			return err
		}
		return s.End(ctx)
	}
	return fmt.Errorf("nobody knows how to %s", r.deed)
}

// subject is the user whom the request signs in, "" if it does not.
func (r *modelRequest) subject() string {
	switch r.deed {
	case deedSignIn, deedWriteSignIn:
		return "alice"
	case deedSignInOther:
		return "bob"
	}
	return ""
}

func (r *modelRequest) writes() bool {
	return r.deed == deedWrite || r.deed == deedWriteAtOnce || r.deed == deedWriteSignIn
}

// send sends a request with the cookies of now.
func (w *world) send(b *modelBrowser, deed modelDeed) *modelRequest {
	w.writes++
	r := &modelRequest{
		name: fmt.Sprintf("%s%d", b.name, w.writes), browser: b, deed: deed,
		item: fmt.Sprint("item", w.writes), sent: w.now(), cookies: maps.Clone(b.cookies),
	}
	w.requests = append(w.requests, r)
	w.note("%s is sent, to %s", r.name, deed)
	return r
}

// arrive is the arrival of a request: it finds its session and pauses.
func (w *world) arrive(r *modelRequest) {
	r.began = w.now()
	jar := r.browser.cookies
	r.browser.cookies = r.cookies
	r.x = r.browser.begin(r.serve)
	r.browser.cookies = jar
	var id coatcheck.ID
	if r.x.found != nil {
		id = *r.x.found
	}
	r.session = w.sessions[id]
	if r.session == nil && !id.IsZero() {
		w.fail("%s has a session that was never acknowledged", r.name)
	}
	token := r.cookies[signedInCookie]
	if s := w.sessions[tokenID(token)]; s != nil && s != r.session && s.over == "" && !s.copied && s.isGood(token, w.now()) {
		w.fail("%s came with a good token of session %s, and was not let in", r.name, s.name)
	}
	if s := r.session; s != nil {
		if r.token = token; s.subject == "" {
			r.token = r.cookies[visitCookie]
		}
		r.had = maps.Clone(s.items)
		if r.token == s.current && s.met.IsZero() {
			s.met = w.now()
		}
	}
	w.note("%s arrives (%s)", r.name, r.standing(w.now()))
	w.check()
}

// The standing of a request to its session, as the model sees it.
const (
	isNobody     = "nobody"
	isGood       = "good"
	isSuperseded = "superseded"
	isOver       = "over"
	isUnsure     = "unsure"
)

func (r *modelRequest) standing(now time.Time) string {
	s := r.session
	switch {
	case s == nil:
		return isNobody
	case s.over == superseded && now.Before(s.overAt.Add(staleFor)):
		return isSuperseded
	case s.over == superseded:
		return isUnsure // its record may be gone
	case s.over != "" && r.token == s.current:
		return isOver
	case s.over != "":
		return isUnsure // it has ended, and was not this request's any more
	case slices.Contains(s.dead, r.token):
		return isSuperseded
	case s.isGood(r.token, now):
		return isGood
	}
	return isUnsure
}

// serve lets the request do its deed and make its answer.
func (w *world) serve(r *modelRequest) {
	standing := r.standing(w.now())
	r.x.run()
	if w.tamper != nil {
		w.tamper(r.x)
	}
	w.commits++
	r.commit, r.committed = w.commits, w.now()
	status := r.x.status()
	w.note("%s is served (%s): %d", r.name, standing, status)
	w.listen()
	if !r.allows(w, standing, status) {
		w.fail("%s, %s, was answered %d (%v)", r.name, standing, status, r.x.err)
	}
	line, visit := r.x.lines()[signedInCookie], r.x.lines()[visitCookie]
	if line != nil && (standing == isSuperseded || standing != isGood && standing != isUnsure && r.subject() == "") {
		w.fail("%s, %s, changes the cookie of a sign-in", r.name, standing)
	}
	if r.session != nil {
		r.session.seenLast = w.now()
		if standing == isGood && status == http.StatusOK {
			r.session.seen = w.now()
		}
	}
	switch {
	case status == http.StatusOK:
		w.take(r, standing, line, visit)
	case line == nil:
	case line.MaxAge < 0 || tokenID(line.Value) != r.session.id || !w.rotates:
		w.fail("%s was refused with %d, and changes the cookie of a sign-in", r.name, status)
	default: // the rotation that was due came with the page of the refusal
		r.session.rotated(line.Value, r.token)
		r.browser.wanted = r.session
	}
	w.check()
}

// allows reports whether a request of that standing may be answered so.
func (r *modelRequest) allows(w *world, standing string, status int) bool {
	const ok, unauthorized, conflict = http.StatusOK, http.StatusUnauthorized, http.StatusConflict
	if subject := r.subject(); subject != "" && w.marks[subject].After(r.began) {
		return status == unauthorized || status == conflict && standing != isGood
	}
	anonymous := r.session == nil || r.session.subject == ""
	switch r.deed {
	case deedRead:
		return status == ok
	case deedRotate, deedReauth, deedCredentials, deedEndOthers:
		if anonymous {
			return status == unauthorized || standing == isNobody && status == conflict
		}
	}
	switch standing {
	case isNobody: // stale requests among them
		return status == ok || status == conflict && len(r.cookies) > 0
	case isSuperseded:
		return status == conflict || r.deed == deedRotate && status == ok
	case isOver:
		switch r.deed {
		case deedWriteAtOnce, deedReauth, deedCredentials, deedEndOthers:
			return status == unauthorized
		}
		return status == ok || r.deed == deedRotate && status == unauthorized
	case isGood:
		if (r.deed == deedReauth || r.deed == deedCredentials) && r.token != r.session.current {
			return status == conflict
		}
		return status == ok
	}
	return status == ok || status == conflict || status == unauthorized
}

// take is what follows from an answer of success.
func (w *world) take(r *modelRequest, standing string, line, visit *http.Cookie) {
	now, s := w.now(), r.session
	living := s != nil && s.over == ""
	if r.writes() && living {
		s.items[r.item] = true
	}
	if visit != nil && visit.MaxAge >= 0 {
		fresh := w.admit(visit.Value, "")
		if fresh.items[r.item] = true; !r.writes() && r.deed != deedWriteSignOut {
			w.fail("%s started a session", r.name)
		}
	}
	if r.writes() && s == nil && visit == nil && r.subject() == "" {
		w.fail("%s was told that its write is stored, and has no session", r.name)
	}
	if subject := r.subject(); subject != "" {
		w.takeSignIn(r, subject, line)
		return
	}
	switch {
	case line == nil:
	case line.MaxAge < 0:
		r.browser.wanted = nil
	default:
		r.browser.wanted = s
	}
	if (r.deed == deedSignOut || r.deed == deedWriteSignOut) && living {
		s.over = "signed out"
		return
	}
	if !living || s.subject == "" {
		return
	}
	switch r.deed {
	case deedReauth, deedCredentials:
		if line == nil {
			w.fail("%s has no new cookie", r.name)
			return
		}
		s.replaceTokens(line.Value)
		s.active(now)
		if r.deed == deedReauth {
			s.proven = now
		}
	default:
		if line != nil {
			s.rotated(line.Value, r.token)
		}
	}
	if r.deed == deedCredentials || r.deed == deedEndOthers {
		w.end(s.subject, s)
	}
}

// takeSignIn is what follows from a sign-in.
func (w *world) takeSignIn(r *modelRequest, subject string, line *http.Cookie) {
	if line == nil || line.MaxAge < 0 {
		w.fail("%s has signed in without a cookie", r.name)
		return
	}
	s, fresh := r.session, w.admit(line.Value, subject)
	r.browser.wanted = fresh
	if r.writes() && (s == nil || s.subject == "" || s.subject == subject) {
		fresh.items[r.item] = true
	}
	if s == nil {
		return
	}
	if s.subject == "" || s.subject == subject {
		if s.over == "" {
			maps.Copy(fresh.items, s.items)
		} else { // what was written after it began may have been seen or not
			maps.Copy(fresh.items, r.had)
			maps.Copy(fresh.unsure, s.items)
		}
		maps.Copy(fresh.unsure, s.unsure)
	}
	if s.over == "" {
		s.over, s.overAt = superseded, w.now()
	}
}

// end is the end of all sessions of a subject but one, and of sign-ins under
// way.
func (w *world) end(subject string, but *modelSession) {
	w.marks[subject] = w.now()
	for _, s := range w.sessions {
		if s != but && s.subject == subject && s.over == "" {
			s.over = "ended"
		}
	}
}

// deliver gives an answer to its browser.
func (w *world) deliver(r *modelRequest) {
	w.note("%s is answered", r.name)
	w.forget(r)
	b := r.browser
	if r.x.sets(signedInCookie) {
		if overtaken := r.commit < b.jarAge; overtaken {
			b.void = true
		} else {
			b.jarAge, b.void = r.commit, false
		}
	}
	r.x.deliver()
	w.check()
}

// lose loses a request or an answer on its way.
func (w *world) lose(r *modelRequest) {
	w.forget(r)
	if !r.arrived() {
		w.note("%s is lost", r.name)
		return
	}
	w.note("the answer to %s is lost", r.name)
	if line := r.x.lines()[signedInCookie]; line != nil {
		// A browser that goes on with the session that it has must not suffer,
		// unless that was replaced, or it has another.
		b := r.browser
		b.jarAge = max(b.jarAge, r.commit)
		replaces := r.subject() != "" || r.deed == deedReauth || r.deed == deedCredentials
		if replaces || tokenID(b.cookies[signedInCookie]) != r.session.id {
			b.void = true
		}
	}
	w.check()
}

func (w *world) forget(r *modelRequest) {
	w.requests = slices.DeleteFunc(w.requests, func(other *modelRequest) bool { return other == r })
}

// steal copies the cookies of a browser.
func (w *world) steal(b *modelBrowser) {
	w.note("the cookies of %s are stolen", b.name)
	w.thief = &modelBrowser{browser: b.stolen(), name: "thief"}
	for _, token := range w.thief.cookies {
		if s := w.sessions[tokenID(token)]; s != nil && !slices.Contains(s.dead, token) {
			s.copied = true
		}
	}
}
