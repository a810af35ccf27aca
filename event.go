package coatcheck

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds of events. Those marked (logged) also go to Config.Logger, at most
// one of a kind each second.
const (
	KindCreated           Kind = "created"            // an anonymous session was stored for the first time
	KindSignedIn          Kind = "signed in"          // a sign-in made a session
	KindReauthenticated   Kind = "re-authenticated"   // also after CredentialsChanged, with that reason
	KindRotated           Kind = "rotated"            // a session got a new secret
	KindEnded             Kind = "ended"              // Reason says why
	KindForgedToken       Kind = "forged token"       // no session has this token: it was made up, or superseded long ago (logged)
	KindRetiredToken      Kind = "retired token"      // reuse detected: its session was ended (logged)
	KindStaleRequest      Kind = "stale request"      // its token was superseded while it was under way
	KindConflictRetried   Kind = "conflict retried"   // Detail says how often
	KindWriteDropped      Kind = "write dropped"      // the session ended while a request was changing it
	KindCrossSite         Kind = "cross-site refused" // another site caused the request (logged)
	KindInsecureTransport Kind = "insecure transport" // no session can start on such a connection (logged)
	KindDuplicateCookie   Kind = "duplicate cookie"   // or too many of them (logged)
	KindUndecodable       Kind = "undecodable value"  // Detail names the key (logged)
	KindStoreError        Kind = "store error"        // the store failed, as Detail says (logged)
	KindClockSkew         Kind = "clock skew"         // a last-seen time lies ahead of this server's clock (logged)
	KindBound             Kind = "bound"              // a browser bound the session to its device
	KindBoundRefused      Kind = "bound refused"      // a request or proof of a bound session was not its device's (logged)
)

// Reason says why a session ended, or why a token is not believed.
type Reason string

// The reasons in events and in EndedError.
const (
	ReasonSignOut     Reason = "sign-out"            // by End
	ReasonReplaced    Reason = "replaced"            // superseded by a sign-in or a re-authentication
	ReasonIdle        Reason = "idle"                // not used for Idle
	ReasonAbsolute    Reason = "absolute"            // older than Absolute
	ReasonByAnother   Reason = "ended by another"    // by EndOther, EndOthers, CredentialsChanged or an operator
	ReasonEvicted     Reason = "evicted"             // MaxPerSubject was reached
	ReasonReuse       Reason = "reuse"               // a retired token was presented
	ReasonMalformed   Reason = "malformed"           // not written as tokens are
	ReasonUnknown     Reason = "unknown session"     // the token's session is not there: forged, or ended long ago
	ReasonWrongSecret Reason = "wrong secret"        // the session is there, and never had this secret
	ReasonCredentials Reason = "credentials changed" // CredentialsChanged drew a new secret
	ReasonNotBound    Reason = "not bound"           // dbsc.Require, and the browser did not bind it in time
)

// Event tells what happened to a session or a request. It never holds a token.
type Event struct {
	Kind    Kind
	Time    time.Time
	ID      ID     // zero if no session is concerned
	Subject string // empty if anonymous or unknown
	Reason  Reason
	Remote  string // the client's address, if a request is concerned
	Detail  string
}

// LogValue logs the fields that are set.
func (e Event) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs, slog.String("kind", string(e.Kind)))
	if !e.ID.IsZero() {
		attrs = append(attrs, slog.String("id", e.ID.String()))
	}
	for _, a := range []slog.Attr{
		slog.String("subject", e.Subject), slog.String("reason", string(e.Reason)),
		slog.String("remote", e.Remote), slog.String("detail", e.Detail),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return slog.GroupValue(attrs...)
}

// logged reports whether an operator must see events of the kind.
func (k Kind) logged() bool {
	switch k {
	case KindForgedToken, KindRetiredToken, KindCrossSite, KindInsecureTransport, KindDuplicateCookie,
		KindUndecodable, KindStoreError, KindClockSkew, KindBoundRefused:
		return true
	}
	return false
}

// ofThePast reports whether the token is most likely one of a session that has
// ended: browsers keep cookies longer than stores keep records. Whether it was
// guessed instead, only their number tells, which OnEvent can count.
func (e *Event) ofThePast() bool {
	return e.Kind == KindForgedToken && (e.Reason == ReasonUnknown || e.Reason == ReasonReplaced)
}

// floodgate lets one event of a kind through each second and counts the rest,
// so that a flood of forged tokens does not become a flood of log lines. The
// zero floodgate is ready.
type floodgate struct {
	mu     sync.Mutex
	last   map[Kind]time.Time
	missed map[Kind]int
}

// pass reports whether the event may be logged, and how many of its kind were
// held back since the last that was.
func (g *floodgate) pass(kind Kind, now time.Time) (missed int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last == nil {
		g.last, g.missed = map[Kind]time.Time{}, map[Kind]int{}
	}
	if last, seen := g.last[kind]; seen && now.Sub(last).Abs() < time.Second { // also where the clock was set back
		g.missed[kind]++
		return 0, false
	}
	missed = g.missed[kind]
	g.last[kind], g.missed[kind] = now, 0
	return missed, true
}

// hears reports whether anybody is told of events of that kind.
func (m *Manager) hears(kind Kind) bool { return m.config.OnEvent != nil || kind.logged() }

// maxDetail bounds Event.Detail, in bytes: a path or a host, which may be as
// long as the server reads, is not to fill the log.
const maxDetail = 500

func brief(detail string) string {
	if len(detail) <= maxDetail {
		return detail
	}
	return strings.ToValidUTF8(detail[:maxDetail], "") + " …"
}

// emit hands an event to whoever listens.
func (m *Manager) emit(e Event) {
	if !m.hears(e.Kind) {
		return
	}
	e.Time, e.Detail = m.now(), brief(e.Detail)
	if m.config.OnEvent != nil {
		m.config.OnEvent(e)
	}
	if !e.Kind.logged() || e.ofThePast() {
		return
	}
	if missed, ok := m.flood.pass(e.Kind, e.Time); ok {
		attrs := []slog.Attr{slog.Any("session", e)}
		if missed > 0 {
			attrs = append(attrs, slog.Int("held_back", missed))
		}
		m.config.Logger.LogAttrs(context.Background(), slog.LevelWarn, "coatcheck: "+string(e.Kind), attrs...)
	}
}
