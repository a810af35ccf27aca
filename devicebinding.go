package coatcheck

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/internal/cookie"
	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// The session cookie stays what it is. Once a browser has registered a key, a
// request needs the short-lived cookie beside it, which only a proof by that
// key renews. Package dbsc judges; this file loads, stores and answers.

// offerBinding opens a registration for a session that is about to be stored,
// and returns its challenge: "" if sessions are not bound.
func (m *Manager) offerBinding(n *successor) dbsc.Secret {
	c := &m.config.DeviceBound
	if c.Mode == dbsc.Off {
		return ""
	}
	state, challenge := c.Offer(n.record.ID.String(), m.now())
	n.head.Bound = state.Append(nil)
	return challenge
}

// unboundTooLong reports whether the session had to be bound by now.
func (s *Session) unboundTooLong(now time.Time) bool {
	c := &s.manager.config.DeviceBound
	return c.Mode == dbsc.Require && s.head.SignedIn && s.binding.Bound == nil &&
		!now.Before(s.record.Created.Add(c.RegistrationWindow))
}

// turnAwayForeign tells of a request of a bound session that its device did
// not send. An invalid short-lived cookie is taken away, because a browser
// that has one does not think of renewing it.
func (s *Session) turnAwayForeign(subject string) {
	detail := "no proof"
	if s.ticket != "" {
		detail = "the proof has ended or was never given"
		s.expireCookie(cookieBound)
	}
	s.tell(KindBoundRefused, Event{ID: s.token.ID, Subject: subject, Reason: ReasonNotBound, Detail: detail})
}

// servesBinding answers what belongs to device binding and no handler's: the
// two paths of the protocol, and a navigation before which the browser was not
// allowed to renew its proof.
func (m *Manager) servesBinding(w http.ResponseWriter, r *http.Request, s *Session) bool {
	c := &m.config.DeviceBound
	if c.Mode == dbsc.Off {
		return false
	}
	if rest, ours := strings.CutPrefix(r.URL.Path, c.Path); ours && (rest == "register" || rest == "refresh") {
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", "POST")
			http.Error(w, "the browser posts here by itself", http.StatusMethodNotAllowed)
		case rest == "register":
			m.register(w, r)
		default:
			m.refresh(w, r)
		}
		return true
	}
	return m.bounces(w, r, s)
}

// bouncePage loads itself again, now as a page of this site.
const bouncePage = "<!doctype html><title>One moment</title><p>One moment …</p>\n"

// bounces answers a navigation that another site began and that lacks its
// proof. Browsers do not renew a proof for the sake of other sites; this page
// loads itself again, which they do for this one. A request that comes back
// without a proof is of this site and not bounced again.
func (m *Manager) bounces(w http.ResponseWriter, r *http.Request, s *Session) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" || site == "" || site == "same-origin" {
		return false
	}
	var found [cookieCount]cookie.Found
	cookie.Scan(r.Header["Cookie"], m.names[:], found[:])
	if found[cookieSignedIn].Count == 0 || found[cookieBound].Count > 0 {
		return false
	}
	if s.open() != nil || s.standing() != unproven {
		return false
	}
	h := w.Header()
	h.Set("Refresh", "0")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	w.Write([]byte(bouncePage))
	return true
}

// register binds a session to the key that the request proves to have. It is
// authorized by the challenge alone: after a sign-in at another site browsers
// send this request without the session cookie.
func (m *Manager) register(w http.ResponseWriter, r *http.Request) {
	response := r.Header.Get(dbsc.HeaderResponse)
	name, err := dbsc.Named(response)
	if err != nil {
		m.refuseBinding(w, r, ID{}, err)
		return
	}
	m.renewBinding(w, r, name, "registered", func(s dbsc.State, now time.Time) (dbsc.State, dbsc.Secret, error) {
		return m.config.DeviceBound.Register(s, response, now)
	})
}

// refresh renews the short-lived cookie of a bound session. It is authorized
// by the proof alone, and is no activity.
func (m *Manager) refresh(w http.ResponseWriter, r *http.Request) {
	response := r.Header.Get(dbsc.HeaderResponse)
	name := dbsc.SessionName(r.Header.Get(dbsc.HeaderSession))
	m.renewBinding(w, r, name, "renewed", func(s dbsc.State, now time.Time) (dbsc.State, dbsc.Secret, error) {
		return m.config.DeviceBound.Refresh(s, response, now)
	})
}

// judge decides on the present state of a binding.
type judge func(dbsc.State, time.Time) (dbsc.State, dbsc.Secret, error)

// renewBinding lets judge decide, as often as the session changes meanwhile,
// and answers.
func (m *Manager) renewBinding(w http.ResponseWriter, r *http.Request, name, what string, judge judge) {
	c := &m.config.DeviceBound
	id, err := store.ParseID(name)
	if err != nil {
		m.refuseBinding(w, r, ID{}, dbsc.ErrProof)
		return
	}
	state, ticket, info, err := m.updateBinding(r.Context(), id, func(s dbsc.State, now time.Time) (dbsc.State, dbsc.Secret, error) {
		if !m.cookieIsOf(r, id) {
			return s, "", errForeignCookie
		}
		return judge(s, now)
	})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, dbsc.ErrNotBound):
		answerJSON(w, dbsc.StopInstructions(name))
		return
	case errors.Is(err, dbsc.ErrChallenge):
		w.Header().Set(dbsc.HeaderChallenge, state.Bound.ChallengeHeader(name))
		http.Error(w, "sign this challenge", http.StatusForbidden)
		return
	case errors.Is(err, ErrStore), errors.Is(err, ErrConflict):
		// Any status below 500 would end the session in the browser for good.
		m.emit(Event{Kind: KindStoreError, ID: id, Remote: m.remote(r), Detail: "device binding: " + err.Error()})
		w.Header().Set("Retry-After", "2")
		http.Error(w, "try again soon", http.StatusServiceUnavailable)
		return
	case err != nil:
		m.refuseBinding(w, r, id, err)
		return
	}
	h := w.Header()
	h.Add("Set-Cookie", string(m.attributes.AppendSet(nil, m.names[cookieBound], []byte(ticket.Reveal()), c.Lifetime)))
	h.Set(dbsc.HeaderChallenge, state.Bound.ChallengeHeader(name))
	m.emit(Event{Kind: KindBound, ID: id, Subject: info.Subject, Remote: m.remote(r), Detail: what + ", " + string(state.Bound.Key.Algorithm)})
	answerJSON(w, c.Instructions(name, m.names[cookieBound], m.attributes.String()))
}

// refuseBinding answers what can never become a good proof.
func (m *Manager) refuseBinding(w http.ResponseWriter, r *http.Request, id ID, err error) {
	m.emit(Event{Kind: KindBoundRefused, ID: id, Remote: m.remote(r), Detail: err.Error()})
	http.Error(w, "refused", http.StatusBadRequest)
}

func answerJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// errForeignCookie: a browser that signed in again without its binding still
// knows the one before, which must not set the cookie of the new one.
var errForeignCookie = errors.New("the session cookie is of another session")

// cookieIsOf reports whether the session cookie, if one came, names that
// session: browsers leave it out at times.
func (m *Manager) cookieIsOf(r *http.Request, id ID) bool {
	var found [cookieCount]cookie.Found
	cookie.Scan(r.Header["Cookie"], m.names[:], found[:])
	if found[cookieSignedIn].Count == 0 {
		return true
	}
	var token secret.Token
	return token.Parse(found[cookieSignedIn].Value) && found[cookieSignedIn].Count == 1 && token.ID == id
}

// updateBinding stores what judge makes of the session's binding, by
// compare-and-swap; after a conflict judge decides anew. With an error of
// judge's, the state is the present one. ErrNotFound if the session is over.
func (m *Manager) updateBinding(ctx context.Context, id ID, judge judge) (dbsc.State, dbsc.Secret, Info, error) {
	ctx, call := m.writeContext(ctx)
	defer call.end()
	for tries := range maxAttempts {
		if tries > 0 {
			pause(ctx, tries)
		}
		var r store.Record
		var h head.Head
		if err := m.load(ctx, id, &r, store.Fresh); errors.Is(err, store.ErrNotFound) {
			return dbsc.State{}, "", Info{}, ErrNotFound
		} else if err != nil {
			return dbsc.State{}, "", Info{}, err
		}
		if err := h.Parse(r.Head); err != nil {
			return dbsc.State{}, "", Info{}, storeError("load", err)
		}
		present, err := dbsc.Parse(h.Bound)
		if err != nil {
			return dbsc.State{}, "", Info{}, storeError("load", err)
		}
		now := m.now()
		if !r.Live(now) || string(h.Name) != m.config.Name {
			return present, "", Info{}, ErrNotFound
		}
		next, ticket, err := judge(present, now)
		if err != nil {
			return present, "", Info{}, err
		}
		was := r.Version
		h.Bound = next.Append(nil)
		r.Head, r.Version = h.Append(nil), newVersion()
		switch err := m.config.Store.Update(ctx, r, was, now); {
		case err == nil, !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) && m.landed(ctx, r):
			return next, ticket, m.info(&r, &h), nil
		case errors.Is(err, store.ErrNotFound):
			return present, "", Info{}, ErrNotFound
		case !errors.Is(err, store.ErrConflict):
			return present, "", Info{}, storeError("bind", err)
		}
	}
	return dbsc.State{}, "", Info{}, ErrConflict
}
