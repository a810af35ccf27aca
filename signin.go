package coatcheck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coatcheck/coatcheck/internal/payload"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// staleFor is how long a superseded token is known to be late, and not dead.
const staleFor = 30 * time.Second

// SignInOption changes one sign-in or re-authentication.
type SignInOption func(*signIn)

type signIn struct {
	remember      time.Duration
	level         int
	authenticated time.Time // if dated, else now
	dated         bool
	device        string
	dropData      bool
	now           time.Time
}

// Remember keeps the session for d, also when the browser is closed: the
// cookie gets a Max-Age, the absolute limit is d and the idle limit the
// smaller of d and Config.RememberIdle. At most 400 days, which is as long as
// browsers keep a cookie, or as the Profile allows.
func Remember(d time.Duration) SignInOption { return func(o *signIn) { o.remember = d } }

// AtLevel says how strong the proof of identity was: 1 for one factor, 2 for
// two, and so on as the application defines it, up to 255. Default: 1.
func AtLevel(n int) SignInOption { return func(o *signIn) { o.level = n } }

// AuthenticatedAt says when the user proved who they are, if not now: the
// auth_time of an identity provider. Fresh counts from it. The zero time is an
// error: a provider that does not say when must not count as just now.
func AuthenticatedAt(t time.Time) SignInOption {
	return func(o *signIn) { o.authenticated, o.dated = t, true }
}

// Device labels the session in lists. Default: browser and system as the
// User-Agent names them.
func Device(label string) SignInOption { return func(o *signIn) { o.device = label } }

// DropData begins the session without the data of the one it replaces.
func DropData() SignInOption { return func(o *signIn) { o.dropData = true } }

func (m *Manager) signInOptions(options []SignInOption) (signIn, error) {
	now := m.now()
	o := signIn{level: 1, now: now}
	if len(options) > 0 {
		chosen := o // on the heap, as o need not be
		for _, option := range options {
			option(&chosen)
		}
		o = chosen
	}
	switch {
	case o.level < 1 || o.level > 255:
		return o, fmt.Errorf("coatcheck: AtLevel(%d): a level is 1 to 255", o.level)
	case o.remember < 0 || o.remember > 0 && o.remember > m.config.longest():
		return o, fmt.Errorf("coatcheck: Remember(%v): give at most %v", o.remember, m.config.longest())
	case o.dated && o.authenticated.IsZero():
		return o, fmt.Errorf("coatcheck: AuthenticatedAt: the time is zero: give the one that the identity provider says, or leave the option out if the user has proved who they are just now")
	case o.authenticated.After(now.Add(store.ClockTolerance)):
		return o, fmt.Errorf("coatcheck: AuthenticatedAt: %v lies ahead of now", o.authenticated)
	case !o.dated || o.authenticated.After(now):
		o.authenticated = now
	}
	o.authenticated = store.Instant(o.authenticated)
	return o, nil
}

// limits are the idle and absolute lifetimes of a signed-in session.
func (m *Manager) limits(remember time.Duration) (idle, absolute time.Duration) {
	if remember > 0 {
		return min(remember, m.config.RememberIdle), remember
	}
	return m.config.Idle, m.config.Absolute
}

// SignIn binds the visitor to a user, and has happened when it returns: there
// is a new session with a new id and secret, and the one before, which an
// attacker may have planted, is retired. Data is carried over from an
// anonymous session or one of the same subject, never from another user's.
//
// A visitor who has gone before it is called cannot get the cookie: then
// nothing happens, and the error wraps ctx's. So a second click on "sign in",
// which makes browsers drop the first request, finds everything as it was.
//
// Errors: ErrCommitted and ErrInsecureTransport (the cookie could not be sent),
// ErrStale (another request of this visitor signed in meanwhile),
// ErrTooManySessions, ErrEnded (the user's sessions were ended while this
// sign-in was under way), ErrCrossSite, ErrConflict, ErrStore.
func (s *Session) SignIn(ctx context.Context, subject string, options ...SignInOption) error {
	m := s.manager
	if subject == "" {
		return fmt.Errorf("coatcheck: SignIn: the subject is empty: give the user's identifier")
	}
	if limit := store.MaxSubject - len(m.prefix); len(subject) > limit {
		return fmt.Errorf("coatcheck: SignIn: the subject is longer than %d bytes", limit)
	}
	o, err := m.signInOptions(options)
	if err != nil {
		return err
	}
	if err := gone(ctx); err != nil {
		return err
	}
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.mayChangeCookie(); err != nil {
			return err
		}
		return s.signIn(ctx, subject, o)
	})
}

// gone returns an error if nobody waits for the answer any more.
func gone(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("coatcheck: the visitor has gone and cannot get a cookie: %w", err)
	}
	return nil
}

// mayChangeCookie returns why the request can get no new cookie, or nil.
func (s *Session) mayChangeCookie() error {
	switch {
	case s.started:
		return ErrCommitted
	case s.is == stale, s.is == foreign:
		return s.refusal()
	case !s.manager.secureTransport(s.request):
		s.tell(KindInsecureTransport, Event{Detail: s.request.Host})
		return ErrInsecureTransport
	}
	return nil
}

func (s *Session) signIn(ctx context.Context, subject string, o signIn) error {
	m := s.manager
	idle, absolute := m.limits(o.remember)
	n := s.next
	m.newSession(n, subject, idle, absolute, o.now)
	n.head.Level = uint8(o.level)
	n.head.Authenticated = o.authenticated
	n.head.Remembered, n.head.Lifetime = o.remember > 0, o.remember
	n.head.Device = deviceLabel(s.request, o.device)
	n.head.Network = m.network(s.memory.network.take(maxNetwork), s.request)
	offer := m.offerBinding(n)

	carries := !o.dropData && (!s.signedIn() || s.subject() == subject)
	if s.unseal() != nil {
		// What cannot be read cannot be carried, and must keep nobody out.
		carries, s.unsealed = false, false
	}
	was := s.gathered
	if !carries {
		s.gathered = gathered{}
	}
	if err := s.replace(ctx, n, carries); err != nil {
		s.restore(was) // the visitor keeps the session that there was
		return err
	}
	s.offer = offer
	s.tell(KindSignedIn, Event{ID: n.record.ID, Subject: subject})
	return nil
}

// replace stores n, with the data that it carries, and retires the session
// that it takes the place of.
func (s *Session) replace(ctx context.Context, n *successor, carries bool) error {
	m, subject := s.manager, s.manager.subjectOf(&n.record)
	terms := store.Terms{Began: store.Instant(s.began), Max: m.config.MaxPerSubject, Refuse: m.config.AtLimit == RefuseSignIn}
	if s.subject() == subject {
		terms.Replaces = s.record.ID
	}
	evicted, err := s.create(ctx, n, terms)
	if err != nil {
		return err
	}
	for _, id := range evicted {
		s.tell(KindEnded, Event{ID: id, Subject: subject, Reason: ReasonEvicted})
	}
	if s.is == holds {
		if err := s.retire(ctx, n, carries); err != nil {
			s.withdraw(ctx, n.record.ID)
			return err
		}
	}
	visited := s.is == holds && !s.head.SignedIn
	s.install(n)
	s.unsealed = true
	s.setCookie(cookieSignedIn)
	if visited {
		s.expireCookie(cookieVisit)
	}
	if s.ticket != "" {
		s.expireCookie(cookieBound) // of the session before
	}
	return nil
}

// retire takes the session that n replaces out of use, by compare-and-swap:
// what another request wrote into it meanwhile, and was told is stored, is
// merged into n first.
func (s *Session) retire(ctx context.Context, n *successor, carries bool) error {
	m := s.manager
	now := n.record.Created // a moment ago
	for range maxAttempts {
		old := s.record
		old.Retired, old.Data = true, nil
		old.Absolute, old.Version = now.Add(staleFor), newVersion()
		err := m.config.Store.Update(ctx, old, s.record.Version, now)
		refused := errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound)
		if err != nil && !refused {
			s.memory.lose()
		}
		if err == nil || !refused && m.landed(ctx, old) {
			s.tell(KindEnded, Event{ID: old.ID, Subject: s.subject(), Reason: ReasonReplaced})
			return nil
		}
		if !refused {
			return storeError("retire", err)
		}
		switch err := s.reopen(ctx); {
		case errors.Is(err, ErrEnded):
			s.is = nobody // signed out or expired meanwhile: nothing to retire
			return nil
		case err != nil:
			return err
		}
		now = m.now()
		if !carries {
			s.ops, s.working = nil, nil
			continue
		}
		if err := s.merge(ctx, n); err != nil {
			return err
		}
	}
	return ErrConflict
}

// merge stores the newer data of the old session, with what this request
// gathered done to it, in the new session, which nobody else has the token of.
func (s *Session) merge(ctx context.Context, n *successor) error {
	m := s.manager
	was := n.record.Version
	n.record.Data = m.seal(n, s.working)
	n.record.Version = newVersion()
	err := m.config.Store.Update(ctx, n.record, was, m.now())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return ErrEnded // the user's sessions were all ended
	case m.landed(ctx, n.record):
		return nil
	}
	return storeError("merge", err)
}

// withdraw removes a new session whose token nobody will get. A failure leaves
// one that nobody can open and that expires.
func (s *Session) withdraw(ctx context.Context, id ID) {
	ctx, call := s.manager.writeContext(ctx) // what failed may have used up its time
	defer call.end()
	if _, err := s.manager.config.Store.Delete(ctx, id); err != nil {
		s.tell(KindStoreError, Event{ID: id, Detail: "delete: " + err.Error()})
	}
}

// Reauthenticate records that the user has just proved again who they are. The
// session keeps its id; its secret and data key are new, so that a copied
// cookie is dead, and both its clocks start again. With AtLevel a stronger
// proof raises the level; a weaker one leaves level and freshness as they are,
// and the absolute limit too, and so does one that is no newer than the last
// (AuthenticatedAt). Remember and Device stay as they were at sign-in.
//
// As with SignIn nothing happens if the visitor has gone before. Errors:
// ErrNotSignedIn, and those of SignIn. ErrStale also if the request
// came with a secret that has been rotated away.
func (s *Session) Reauthenticate(ctx context.Context, options ...SignInOption) error {
	m := s.manager
	o, err := m.signInOptions(options)
	if err != nil {
		return err
	}
	if err := gone(ctx); err != nil {
		return err
	}
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.unseal(); err != nil {
			return err
		}
		was := s.gathered
		if o.dropData && s.signedIn() {
			if err := s.dropAll(); err != nil {
				s.restore(was)
				return err
			}
		}
		err := s.replaceSecret(ctx, func(n *successor, now time.Time) {
			if level := int(n.head.Level); o.level < level || o.level == level && !o.authenticated.After(n.head.Authenticated) {
				return
			}
			n.head.Level = uint8(o.level)
			n.head.Authenticated = o.authenticated
			_, absolute := m.limits(n.head.Lifetime)
			n.record.Absolute = now.Add(absolute)
		})
		if err != nil {
			s.restore(was)
			return err
		}
		s.tell(KindReauthenticated, Event{ID: s.record.ID, Subject: s.subject()})
		return nil
	})
}

// restore takes back what was gathered before something failed. A newer record
// may have been loaded since.
func (s *Session) restore(was gathered) {
	s.gathered = was
	s.behind = s.unsealed && s.is == holds
}

// dropAll gathers the removal of every value.
func (s *Session) dropAll() error {
	if err := s.writable(); err != nil {
		return err
	}
	s.drop()
	for key := range payload.Names(s.working) {
		if err := s.gather(operation{key: key, kind: remove}); err != nil {
			return err
		}
	}
	return nil
}

// CredentialsChanged is what a change of password or of another factor must
// call: this session gets a new secret, and every other session of the user is
// ended, those included that are being started with the old credentials.
// Errors are those of Reauthenticate; with ErrStore the other sessions may
// still live, and it is to be called again.
func (s *Session) CredentialsChanged(ctx context.Context) error {
	return s.act(ctx, func(ctx context.Context) error {
		if err := s.replaceSecret(ctx, func(*successor, time.Time) {}); err != nil {
			return err
		}
		s.tell(KindReauthenticated, Event{ID: s.record.ID, Subject: s.subject(), Reason: ReasonCredentials})
		_, err := s.endOthers(ctx)
		return err
	})
}

// replaceSecret gives the session a secret of a new family and a new data key.
// The secret before is known to be late for a while and is dead then.
func (s *Session) replaceSecret(ctx context.Context, edit func(n *successor, now time.Time)) error {
	if err := s.mayChangeCookie(); err != nil {
		return err
	}
	if !s.signedIn() {
		return ErrNotSignedIn
	}
	m := s.manager
	err := s.swap(ctx, attempt{edit: func(n *successor) error {
		if n.earlier {
			return ErrStale
		}
		now := m.now()
		switch { // the secret that the browser has
		case !s.drew:
			n.head.HasReplaced, n.head.Replaced = true, n.head.Current
		case n.head.HasPrevious:
			n.head.HasReplaced, n.head.Replaced = true, n.head.Previous
		}
		n.head.ReplacedUntil = now.Add(staleFor)
		n.head.HasPrevious = false
		n.token.Secret = secret.New()
		n.record.LastSeen = now
		m.draw(n, now)
		edit(n, now)
		return nil
	}})
	if err != nil {
		return err
	}
	s.setCookie(cookieSignedIn)
	return nil
}
