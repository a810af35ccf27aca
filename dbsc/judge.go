package dbsc

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The headers of the protocol.
const (
	HeaderRegistration = "Secure-Session-Registration" // answer: offers a registration
	HeaderResponse     = "Secure-Session-Response"     // request: a proof
	HeaderChallenge    = "Secure-Session-Challenge"    // answer: what to sign next
	HeaderSession      = "Sec-Secure-Session-Id"       // request: whose refresh it is
)

const (
	// LeewayBare is how long after the registration the session cookie alone
	// is still good: for requests that were sent before the browser had the
	// other one.
	LeewayBare = 30 * time.Second
	// LeewayExpiry is how much longer a cookie is accepted than the browser
	// was told to keep it, for requests that were on their way.
	LeewayExpiry = time.Minute
)

// ErrChallenge says that a proof is good but answers another challenge than
// the open one. The browser is to be given that, and will sign again.
var ErrChallenge = errors.New("dbsc: the proof answers another challenge")

// ErrNotOffered says that no registration is open: none was offered, it was
// used or it is too late.
var ErrNotOffered = errors.New("dbsc: no registration of this session is open")

// ErrNotBound says that the session has no device.
var ErrNotBound = errors.New("dbsc: the session is not bound")

// Offer returns the state of a session that may be bound, and the challenge
// that authorizes whoever knows it to do so, once, within the window. name
// finds the session again: see Named.
func (c *Config) Offer(name string, now time.Time) (State, Secret) {
	challenge := Secret(name + ":" + string(newSecret()))
	return State{Offered: &Offered{hash(challenge.Reveal()), now.Add(c.RegistrationWindow)}}, challenge
}

// RegistrationHeader is the value of HeaderRegistration that offers it.
func (c *Config) RegistrationHeader(challenge Secret) string {
	names := make([]string, len(c.Algorithms))
	for i, a := range c.Algorithms {
		names[i] = string(a)
	}
	return fmt.Sprintf(`(%s);path=%q;challenge=%q`, strings.Join(names, " "), c.RegisterPath(), challenge.Reveal())
}

// Named returns the name in the challenge that a registration answers. It is
// not believed yet: it says which session to load.
func Named(response string) (string, error) {
	p, err := parseProof(response)
	if err != nil {
		return "", err
	}
	name, _, found := strings.Cut(p.challenge, ":")
	if !found {
		return "", fmt.Errorf("%w: jti is no challenge of a registration", ErrProof)
	}
	return name, nil
}

// Register judges the value of HeaderResponse of a registration against the
// state of the session that it names. It returns the state to store and the
// cookie to set. Errors: ErrProof, ErrNotOffered.
func (c *Config) Register(s State, response string, now time.Time) (State, Secret, error) {
	p, err := parseProof(response)
	if err != nil {
		return s, "", err
	}
	if s.Offered == nil || !now.Before(s.Offered.Until) || !equal(hash(p.challenge), s.Offered.Challenge) {
		return s, "", ErrNotOffered
	}
	if !slices.Contains(c.Algorithms, p.header.Algorithm) {
		return s, "", fmt.Errorf("%w: alg %.40q was not offered", ErrProof, p.header.Algorithm)
	}
	key, err := p.key()
	if err != nil {
		return s, "", err
	}
	if err := p.verify(key); err != nil {
		return s, "", err
	}
	b := &Bound{Since: now, Key: key}
	cookie := c.renew(b, now)
	return State{Bound: b}, cookie, nil
}

// Refresh judges the value of HeaderResponse of a refresh. It returns the
// state to store and the cookie to set. Without a value, or if it answers
// another challenge, ErrChallenge: nothing changes, and the answer holds the
// open one. Errors: ErrProof, ErrNotBound too.
func (c *Config) Refresh(s State, response string, now time.Time) (State, Secret, error) {
	if s.Bound == nil {
		return s, "", ErrNotBound
	}
	if response == "" {
		return s, "", ErrChallenge
	}
	p, err := parseProof(response)
	if err != nil {
		return s, "", err
	}
	if err := p.verify(s.Bound.Key); err != nil {
		return s, "", err
	}
	if p.challenge != s.Bound.OpenChallenge() {
		return s, "", ErrChallenge
	}
	b := *s.Bound
	cookie := c.renew(&b, now)
	return State{Bound: &b}, cookie, nil
}

// renew draws the next cookie and the next challenge.
func (c *Config) renew(b *Bound, now time.Time) Secret {
	cookie := newSecret()
	b.Previous = b.Current
	b.Current = Ticket{hash(cookie.Reveal()), now.Add(c.Lifetime + LeewayExpiry)}
	rand.Read(b.Challenge[:])
	return cookie
}

// OpenChallenge is what the next proof must answer: the same, however often it
// is asked for, until a good proof replaces it.
func (b *Bound) OpenChallenge() string {
	return base64.RawURLEncoding.EncodeToString(b.Challenge[:])
}

// ChallengeHeader is the value of HeaderChallenge for the session of that name.
func (b *Bound) ChallengeHeader(name string) string {
	return fmt.Sprintf(`%q;id=%q`, b.OpenChallenge(), name)
}

// Proves reports whether a request with this short-lived cookie, "" for none,
// came from the session's device as far as can be asked at this time. A
// session that is not bound asks for nothing.
func (s State) Proves(cookie string, now time.Time) bool {
	b := s.Bound
	if b == nil || now.Before(b.Since.Add(LeewayBare)) {
		return true
	}
	given := hash(cookie)
	for _, t := range [...]Ticket{b.Current, b.Previous} {
		if equal(given, t.Hash) && now.Before(t.Until) {
			return true
		}
	}
	return false
}

// instructions tell the browser what to keep and when to come again.
type instructions struct {
	Session     string       `json:"session_identifier"`
	RefreshURL  string       `json:"refresh_url,omitempty"`
	Continue    *bool        `json:"continue,omitempty"`
	Scope       *scope       `json:"scope,omitempty"`
	Credentials []credential `json:"credentials,omitempty"`
}

type scope struct {
	IncludeSite bool `json:"include_site"` // Chromium requires it to be said
}

type credential struct {
	Type       string `json:"type"`
	Name       string `json:"name"`
	Attributes string `json:"attributes"`
}

// Instructions is the JSON body of an answer that binds or renews: the cookie
// of that name and these attributes, which must be exactly those of its
// Set-Cookie line without Max-Age.
func (c *Config) Instructions(session, cookie, attributes string) []byte {
	return mustJSON(instructions{
		Session: session, RefreshURL: c.RefreshPath(), Scope: &scope{},
		Credentials: []credential{{"cookie", cookie, attributes}},
	})
}

// StopInstructions is the body that makes the browser forget the binding.
func StopInstructions(session string) []byte {
	stop := false
	return mustJSON(instructions{Session: session, Continue: &stop})
}

func mustJSON(v instructions) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("dbsc: strings and bools did not encode: " + err.Error())
	}
	return b
}

// SessionName reads the value of HeaderSession, bare or quoted.
func SessionName(value string) string { return unquote(value) }
