package coatcheck

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/internal/cookie"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// Config says how a Manager works. The zero Config is the safe default; every
// field that makes it less safe is named Insecure.
type Config struct {
	// Name begins the names of the cookies: __Host-NAME for a signed-in
	// session, __Host-NAME-visit for an anonymous one, __Host-NAME-bound for
	// device binding. Two managers on one store need different names; their
	// sessions are then apart. Letters, digits, '-' and '_', at most 64.
	// Default: "id".
	Name string

	// Store keeps the sessions. The Manager does not close it. Default: a new
	// memory store, which forgets them when the process ends.
	Store store.Store

	// Profile makes New refuse settings that are looser than a published
	// policy, and tightens the defaults to it. Default: none.
	Profile Profile

	// Idle is how long a session lives without a request. Default: 30 minutes.
	Idle time.Duration
	// Absolute is how long a session lives at most, counted from sign-in or
	// re-authentication. Default: 12 hours.
	Absolute time.Duration
	// RememberIdle replaces Idle for sessions with the option Remember, unless
	// they live shorter. Default: 14 days.
	RememberIdle time.Duration

	// RotateEvery gives signed-in sessions a new secret at the first request
	// after this time. Default: never.
	RotateEvery time.Duration
	// RotationGrace is how long requests with the previous secret are served
	// after the new one was first seen. Default: 1 minute.
	RotationGrace time.Duration

	// MaxBytes bounds the data of one session, as it is written. Default: 64 KiB.
	MaxBytes int
	// MaxPerSubject bounds the live sessions of one user. Default: 100.
	MaxPerSubject int
	// AtLimit says what a sign-in does when there are MaxPerSubject already.
	// Default: EvictOldest.
	AtLimit AtLimit

	// AdmitAnonymous is asked before an anonymous session is stored for the
	// first time; an error refuses it, and is what the write returns. It is
	// the place for a rate limit. Default: all are admitted.
	AdmitAnonymous func(*http.Request) error

	// SignInPath is where Error sends navigations that need a sign-in, with
	// the way back in the query (see NextPath). Default: none; they get 401.
	SignInPath string
	// ErrorHandler answers errors in place of the plain page. It is called
	// with every error that Error answers but those which redirect to
	// SignInPath. Default: a short text with the status.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// TrustedOrigins are other origins (scheme://host or scheme://host:port)
	// whose pages may send requests as if they were this site's.
	TrustedOrigins []string
	// CrossSite are patterns as for http.ServeMux of routes to which other
	// sites may post, such as an identity provider's form_post callback. Such
	// a request has no session: it can neither read nor start one.
	CrossSite []string
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is
	// believed. It decides what events and lists show, nothing else.
	TrustedProxies []netip.Prefix
	// RequireCSRFToken makes Handler refuse unsafe requests without a token of
	// Session.CSRFToken. Requests of other sites are refused in any case; this
	// is for those who must have a token in the body (NIST SP 800-63B-4, 5.1).
	RequireCSRFToken bool
	// StrictSameSite writes SameSite=Strict: a link from another site then
	// arrives without the session.
	StrictSameSite bool

	// DeviceBound binds sessions to the device that signed in, for browsers
	// that can: see package dbsc. Handler then serves two paths below
	// dbsc.Config.Path itself. Default: off.
	DeviceBound dbsc.Config

	// StoreTimeout bounds each call of the store. Default: 5 seconds.
	StoreTimeout time.Duration
	// OnEvent is told of everything that happens to sessions, on the goroutine
	// of the request: it must be quick and safe for concurrent use.
	OnEvent func(Event)
	// Logger gets the events that an operator must see. Default: slog.Default().
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// InsecureDomain shares the cookies with every host of this domain, each
	// of which can then read and replace them. The names begin with __Secure-.
	InsecureDomain string
	// InsecureHTTP serves sessions over plain HTTP, where everybody on the way
	// can take them. The names have no prefix.
	InsecureHTTP bool
	// InsecureCrossSite writes SameSite=None and Partitioned, for a site that
	// others show in a frame.
	InsecureCrossSite bool
}

// AtLimit says what happens when a user has as many sessions as are allowed.
type AtLimit uint8

const (
	// EvictOldest ends the least recently seen.
	EvictOldest AtLimit = iota
	// RefuseSignIn makes SignIn return ErrTooManySessions.
	RefuseSignIn
)

// Profile names a published policy for session limits.
type Profile uint8

// Profiles of NIST SP 800-63B-4, sections 2.1.3, 2.2.3 and 2.3.3: at most 30
// days; 24 hours and one hour idle; 12 hours and 15 minutes idle. Each also
// requires CSRF tokens (5.1) and refuses every Insecure setting.
const (
	NoProfile Profile = iota
	NISTAAL1
	NISTAAL2
	NISTAAL3
)

type profileLimits struct {
	name           string
	idle, absolute time.Duration
}

const day = 24 * time.Hour

var profiles = map[Profile]profileLimits{
	NISTAAL1: {"NISTAAL1", 30 * day, 30 * day},
	NISTAAL2: {"NISTAAL2", time.Hour, day},
	NISTAAL3: {"NISTAAL3", 15 * time.Minute, 12 * time.Hour},
}

// maxLifetime is the longest for which browsers keep a cookie (RFC 6265bis,
// 5.5).
const maxLifetime = 400 * day

// setDefaults fills what is zero.
func (c *Config) setDefaults() {
	if c.Name == "" {
		c.Name = "id"
	}
	if c.Store == nil {
		c.Store = memstore.New(nil)
	}
	limit := maxLifetime
	idleLimit := maxLifetime
	if p, ok := profiles[c.Profile]; ok {
		idleLimit, limit = p.idle, p.absolute
		c.RequireCSRFToken = true
	}
	defaultTo(&c.Absolute, min(12*time.Hour, limit))
	defaultTo(&c.Idle, min(30*time.Minute, idleLimit, c.Absolute))
	defaultTo(&c.RememberIdle, min(14*day, idleLimit))
	defaultTo(&c.RotationGrace, time.Minute)
	defaultTo(&c.StoreTimeout, 5*time.Second)
	defaultTo(&c.MaxBytes, 64<<10)
	defaultTo(&c.MaxPerSubject, 100)
	c.DeviceBound.SetDefaults()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns every contradiction with its remedy.
func (c *Config) validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("coatcheck: Config: "+format, args...))
		}
	}
	refuse(len(c.Name) > secret.MaxScope || strings.ContainsFunc(c.Name, notNameRune),
		"Name %q: use letters, digits, '-' and '_', at most %d", c.Name, secret.MaxScope)
	refuse(strings.HasSuffix(c.Name, "-visit") || strings.HasSuffix(c.Name, "-bound"),
		"Name %q ends like a cookie of another name: choose one without -visit and -bound", c.Name)
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"Idle", c.Idle}, {"Absolute", c.Absolute}, {"RememberIdle", c.RememberIdle},
		{"RotationGrace", c.RotationGrace}, {"StoreTimeout", c.StoreTimeout},
	} {
		refuse(d.value < time.Millisecond, "%s is %v: give at least a millisecond, or leave it out for the default", d.field, d.value)
	}
	refuse(c.RotateEvery < 0, "RotateEvery is negative: leave it out to rotate never")
	refuse(c.RotateEvery > 0 && c.RotateEvery < c.RotationGrace,
		"RotateEvery %v is shorter than RotationGrace %v: a secret is rotated at most once per grace", c.RotateEvery, c.RotationGrace)
	refuse(c.Idle > c.Absolute, "Idle %v is longer than Absolute %v and would never end a session: shorten it", c.Idle, c.Absolute)
	refuse(c.Absolute > maxLifetime, "Absolute %v is longer than browsers keep a cookie: at most 400 days", c.Absolute)
	refuse(c.MaxBytes < 0 || c.MaxBytes > 16<<20, "MaxBytes is %d: give 1 to 16 MiB", c.MaxBytes)
	refuse(c.MaxPerSubject < 0, "MaxPerSubject is negative: give at least 1")
	refuse(c.AtLimit > RefuseSignIn, "AtLimit %d is neither EvictOldest nor RefuseSignIn", c.AtLimit)
	refuse(c.SignInPath != "" && (!localPath(c.SignInPath) || strings.ContainsAny(c.SignInPath, "?#")),
		"SignInPath %q is not a path of this site: begin it with one slash, and leave out query and fragment", c.SignInPath)
	refuse(c.InsecureHTTP && c.InsecureDomain != "", "InsecureHTTP and InsecureDomain exclude each other: a shared cookie needs TLS")
	refuse(c.InsecureHTTP && c.InsecureCrossSite, "InsecureHTTP and InsecureCrossSite exclude each other: browsers refuse SameSite=None without TLS")
	refuse(c.StrictSameSite && c.InsecureCrossSite, "StrictSameSite and InsecureCrossSite exclude each other")
	refuse(c.InsecureDomain != "" && !domainName(c.InsecureDomain), "InsecureDomain %q is not a domain name", c.InsecureDomain)
	if err := c.DeviceBound.Validate(); err != nil {
		refuse(true, "DeviceBound: %v", err)
	}
	refuse(c.DeviceBound.Mode != dbsc.Off && c.InsecureHTTP, "DeviceBound needs TLS: leave out InsecureHTTP")
	// A binding that browsers do not keep would sign everybody out when the
	// short-lived cookie ends.
	refuse(c.DeviceBound.Mode != dbsc.Off && c.InsecureCrossSite, "DeviceBound: browsers renew no Partitioned cookie: leave out InsecureCrossSite")
	refuse(c.DeviceBound.Mode != dbsc.Off && c.InsecureDomain != "", "DeviceBound: browsers renew the cookie for one host alone: leave out InsecureDomain")
	c.validateProfile(refuse)
	for _, name := range c.cookieNames() {
		if err := c.cookieAttributes().Check(name); err != nil && len(errs) == 0 {
			refuse(true, "%v", err)
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateProfile(refuse func(bool, string, ...any)) {
	if c.Profile == NoProfile {
		return
	}
	p, ok := profiles[c.Profile]
	if !ok {
		refuse(true, "Profile %d is unknown", c.Profile)
		return
	}
	refuse(c.Idle > p.idle, "Profile %s allows Idle of at most %v, not %v", p.name, p.idle, c.Idle)
	refuse(c.RememberIdle > p.idle, "Profile %s allows RememberIdle of at most %v, not %v", p.name, p.idle, c.RememberIdle)
	refuse(c.Absolute > p.absolute, "Profile %s allows Absolute of at most %v, not %v", p.name, p.absolute, c.Absolute)
	refuse(c.InsecureHTTP || c.InsecureDomain != "" || c.InsecureCrossSite,
		"Profile %s allows no Insecure setting: leave them out", p.name)
}

// longest is the longest lifetime that a session may be given.
func (c *Config) longest() time.Duration {
	if p, ok := profiles[c.Profile]; ok {
		return p.absolute
	}
	return maxLifetime
}

// The places of the cookies in cookieNames.
const (
	cookieSignedIn = iota
	cookieVisit
	cookieBound
	cookieCount
)

func (c *Config) cookieNames() [cookieCount]string {
	prefix := "__Host-"
	switch {
	case c.InsecureHTTP:
		prefix = ""
	case c.InsecureDomain != "":
		prefix = "__Secure-"
	}
	name := prefix + c.Name
	return [cookieCount]string{name, name + "-visit", name + "-bound"}
}

func (c *Config) cookieAttributes() cookie.Attributes {
	a := cookie.Attributes{Domain: c.InsecureDomain, Insecure: c.InsecureHTTP, SameSite: "Lax"}
	switch {
	case c.StrictSameSite:
		a.SameSite = "Strict"
	case c.InsecureCrossSite:
		a.SameSite, a.Partitioned = "None", true
	}
	return a
}

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func domainName(s string) bool {
	for _, part := range strings.Split(s, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return r == '_' || notNameRune(r) }) {
			return false
		}
	}
	return strings.Contains(s, ".") && len(s) < 254
}
