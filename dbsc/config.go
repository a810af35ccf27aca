package dbsc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mode says what becomes of sessions of browsers that do not bind them.
type Mode uint8

const (
	// Off offers nothing: sessions are not bound.
	Off Mode = iota
	// Prefer binds the sessions of browsers that can, and leaves those of
	// others as they are.
	Prefer
	// Require ends a session that is not bound when the registration window
	// has passed.
	Require
)

// Algorithm is a signature algorithm, as JWS names it (RFC 7518, 3.1).
type Algorithm string

// The algorithms that browsers and this package have.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
)

// Config says how sessions are bound. The zero Config binds none.
type Config struct {
	// Mode is Off by default.
	Mode Mode
	// Lifetime is how long a copied cookie jar works at most: the Max-Age of
	// the short-lived cookie. Default: 9 minutes. Chromium signs at most six
	// times in nine minutes for a site, and renews a cookie two minutes before
	// its end: with less than 5 minutes active users lose their session.
	Lifetime time.Duration
	// Algorithms are accepted, the preferred first. Default: ES256, RS256.
	Algorithms []Algorithm
	// RegistrationWindow is how long after a sign-in the browser may bind the
	// session. Default: 1 minute.
	RegistrationWindow time.Duration
	// Path is where the manager serves the registration and the refresh, as
	// Path+"register" and Path+"refresh". Default: "/device-bound-session/".
	Path string
}

// SetDefaults fills what is zero.
func (c *Config) SetDefaults() {
	if c.Lifetime == 0 {
		c.Lifetime = 9 * time.Minute
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []Algorithm{ES256, RS256}
	}
	if c.RegistrationWindow == 0 {
		c.RegistrationWindow = time.Minute
	}
	if c.Path == "" {
		c.Path = "/device-bound-session/"
	}
}

// Validate returns every contradiction with its remedy. Call SetDefaults first.
func (c *Config) Validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Mode > Require, "Mode %d is none of Off, Prefer, Require", c.Mode)
	refuse(c.Lifetime < time.Second, "Lifetime is %v: give at least a second, and in production 5 minutes", c.Lifetime)
	refuse(c.Lifetime > 24*time.Hour, "Lifetime is %v: a copied cookie would work as long; give at most a day", c.Lifetime)
	refuse(c.RegistrationWindow < time.Second || c.RegistrationWindow > time.Hour,
		"RegistrationWindow is %v: give a second to an hour", c.RegistrationWindow)
	refuse(!strings.HasPrefix(c.Path, "/") || !strings.HasSuffix(c.Path, "/") || strings.ContainsAny(c.Path, "\"\\?#{} "),
		"Path %q: begin and end it with a slash", c.Path)
	for i, a := range c.Algorithms {
		refuse(a != ES256 && a != RS256, "Algorithms: %q is neither ES256 nor RS256", a)
		refuse(slices.Contains(c.Algorithms[:i], a), "Algorithms: %s is there twice", a)
	}
	return errors.Join(errs...)
}

// Warning says why a valid configuration may hurt, or "".
func (c *Config) Warning() string {
	if c.Mode != Off && c.Lifetime < 5*time.Minute {
		return fmt.Sprintf("dbsc: Lifetime %v: browsers sign at most six times in nine minutes, and renew two minutes early; under 5 minutes active users lose their session", c.Lifetime)
	}
	return ""
}

// RegisterPath is where the browser posts its registration.
func (c *Config) RegisterPath() string { return c.Path + "register" }

// RefreshPath is where the browser posts its proofs.
func (c *Config) RefreshPath() string { return c.Path + "refresh" }
