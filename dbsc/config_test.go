package dbsc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
)

func TestTheZeroConfigBindsNothingAndIsValid(t *testing.T) {
	var c dbsc.Config
	c.SetDefaults()
	if err := c.Validate(); err != nil || c.Mode != dbsc.Off || c.Warning() != "" {
		t.Errorf("mode %d, error %v, warning %q", c.Mode, err, c.Warning())
	}
	if c.Lifetime != 9*time.Minute || c.RegistrationWindow != time.Minute {
		t.Errorf("lifetime %v, window %v", c.Lifetime, c.RegistrationWindow)
	}
	if c.RegisterPath() != "/device-bound-session/register" || c.RefreshPath() != "/device-bound-session/refresh" {
		t.Errorf("the paths are %s and %s", c.RegisterPath(), c.RefreshPath())
	}
}

func TestContradictionsAreRefusedWithTheirRemedy(t *testing.T) {
	for says, edit := range map[string]func(*dbsc.Config){
		"Off, Prefer, Require":        func(c *dbsc.Config) { c.Mode = 3 },
		"at least a second":           func(c *dbsc.Config) { c.Lifetime = -time.Second },
		"at most a day":               func(c *dbsc.Config) { c.Lifetime = 25 * time.Hour },
		"a second to an hour":         func(c *dbsc.Config) { c.RegistrationWindow = 2 * time.Hour },
		"give a second":               func(c *dbsc.Config) { c.RegistrationWindow = time.Millisecond },
		"begin and end":               func(c *dbsc.Config) { c.Path = "/here" },
		"end it with a slash":         func(c *dbsc.Config) { c.Path = "here/" },
		"with a slash":                func(c *dbsc.Config) { c.Path = `/a"b/` },
		"neither ES256 nor RS256":     func(c *dbsc.Config) { c.Algorithms = []dbsc.Algorithm{"ES384"} },
		"there twice":                 func(c *dbsc.Config) { c.Algorithms = []dbsc.Algorithm{dbsc.ES256, dbsc.ES256} },
		`"none" is neither ES256 nor`: func(c *dbsc.Config) { c.Algorithms = []dbsc.Algorithm{dbsc.ES256, "none"} },
	} {
		c := defaults()
		edit(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want a text that says %q", c, err, says)
		}
	}
}

func TestALifetimeThatBrowsersCannotKeepUpWithIsWarnedAbout(t *testing.T) {
	for _, c := range []struct {
		mode     dbsc.Mode
		lifetime time.Duration
		want     bool
	}{
		{dbsc.Prefer, 5 * time.Minute, false}, {dbsc.Prefer, 5*time.Minute - 1, true},
		{dbsc.Require, time.Minute, true}, {dbsc.Off, time.Minute, false},
	} {
		config := dbsc.Config{Mode: c.mode, Lifetime: c.lifetime}
		config.SetDefaults()
		if got := config.Warning(); (got != "") != c.want || c.want && !strings.Contains(got, "six times in nine minutes") {
			t.Errorf("mode %d with %v: warning %q", c.mode, c.lifetime, got)
		}
	}
}
