package coatcheck_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

// TestNewRefusesEveryContradictionWithItsRemedy.
func TestNewRefusesEveryContradictionWithItsRemedy(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		config coatcheck.Config
		says   []string // "": accepted
	}{
		{"zero", coatcheck.Config{}, nil},
		{"name with a space", coatcheck.Config{Name: "a b"}, []string{"Name", "letters"}},
		{"name with a colon", coatcheck.Config{Name: "a:b"}, []string{"Name", "letters"}},
		{"name with a line end", coatcheck.Config{Name: "a\r\nb"}, []string{"Name", "letters"}},
		{"name that is not ASCII", coatcheck.Config{Name: "é"}, []string{"Name", "letters"}},
		{"longest name", coatcheck.Config{Name: strings.Repeat("a", 64)}, nil},
		{"longer name", coatcheck.Config{Name: strings.Repeat("a", 65)}, []string{"Name", "at most 64"}},
		{"name of a visit", coatcheck.Config{Name: "id-visit"}, []string{"Name", "choose one without"}},
		{"name of a binding", coatcheck.Config{Name: "id-bound"}, []string{"Name", "choose one without"}},
		{"prefix as a name", coatcheck.Config{Name: "__Host-id", InsecureHTTP: true}, []string{"__Host-id", "browsers refuse"}},
		{"negative Idle", coatcheck.Config{Idle: -1}, []string{"Idle", "millisecond"}},
		{"Idle of a microsecond", coatcheck.Config{Idle: time.Microsecond}, []string{"Idle", "millisecond"}},
		{"negative Absolute", coatcheck.Config{Absolute: -1}, []string{"Absolute", "millisecond"}},
		{"negative RememberIdle", coatcheck.Config{RememberIdle: -1}, []string{"RememberIdle", "millisecond"}},
		{"negative RotationGrace", coatcheck.Config{RotationGrace: -1}, []string{"RotationGrace", "millisecond"}},
		{"negative StoreTimeout", coatcheck.Config{StoreTimeout: -1}, []string{"StoreTimeout", "millisecond"}},
		{"negative RotateEvery", coatcheck.Config{RotateEvery: -1}, []string{"RotateEvery", "leave it out"}},
		{"RotateEvery within the grace", coatcheck.Config{RotateEvery: time.Second}, []string{"RotateEvery", "RotationGrace"}},
		{"RotateEvery with a shorter grace", coatcheck.Config{RotateEvery: time.Second, RotationGrace: time.Second}, nil},
		{"Idle beyond Absolute", coatcheck.Config{Idle: 2 * time.Hour, Absolute: time.Hour}, []string{"Idle", "shorten it"}},
		{"Idle at Absolute", coatcheck.Config{Idle: time.Hour, Absolute: time.Hour}, nil},
		{"Absolute alone, shorter than the default of Idle", coatcheck.Config{Absolute: time.Minute}, nil},
		{"Absolute beyond what browsers keep", coatcheck.Config{Absolute: 400*day + 1}, []string{"Absolute", "400 days"}},
		{"Absolute as long as browsers keep it", coatcheck.Config{Absolute: 400 * day}, nil},
		{"negative MaxBytes", coatcheck.Config{MaxBytes: -1}, []string{"MaxBytes", "16 MiB"}},
		{"MaxBytes of 16 MiB", coatcheck.Config{MaxBytes: 16 << 20}, nil},
		{"MaxBytes of more", coatcheck.Config{MaxBytes: 16<<20 + 1}, []string{"MaxBytes", "16 MiB"}},
		{"negative MaxPerSubject", coatcheck.Config{MaxPerSubject: -1}, []string{"MaxPerSubject", "at least 1"}},
		{"unknown AtLimit", coatcheck.Config{AtLimit: 2}, []string{"AtLimit", "EvictOldest"}},
		{"SignInPath", coatcheck.Config{SignInPath: "/sign-in"}, nil},
		{"SignInPath of another site", coatcheck.Config{SignInPath: "https://evil.example/"}, []string{"SignInPath", "one slash"}},
		{"SignInPath of another host", coatcheck.Config{SignInPath: "//evil.example"}, []string{"SignInPath", "one slash"}},
		{"SignInPath with a backslash", coatcheck.Config{SignInPath: `/\evil.example`}, []string{"SignInPath", "one slash"}},
		{"SignInPath with a query", coatcheck.Config{SignInPath: "/sign-in?a=b"}, []string{"SignInPath", "leave out query"}},
		{"TrustedOrigins with a path", coatcheck.Config{TrustedOrigins: []string{"https://a.example/x"}}, []string{"TrustedOrigins", "scheme://host"}},
		{"TrustedOrigins without a scheme", coatcheck.Config{TrustedOrigins: []string{"a.example"}}, []string{"TrustedOrigins", "scheme://host"}},
		{"CrossSite that is no pattern", coatcheck.Config{CrossSite: []string{"POST callback"}}, []string{"CrossSite", "not a pattern"}},
		{"CrossSite twice the same", coatcheck.Config{CrossSite: []string{"/a", "/a"}}, []string{"CrossSite", "not a pattern"}},
		{"InsecureHTTP and InsecureDomain", coatcheck.Config{InsecureHTTP: true, InsecureDomain: "a.example"}, []string{"InsecureHTTP", "InsecureDomain", "exclude"}},
		{"InsecureHTTP and InsecureCrossSite", coatcheck.Config{InsecureHTTP: true, InsecureCrossSite: true}, []string{"InsecureCrossSite", "exclude"}},
		{"StrictSameSite and InsecureCrossSite", coatcheck.Config{StrictSameSite: true, InsecureCrossSite: true}, []string{"StrictSameSite", "exclude"}},
		{"InsecureDomain", coatcheck.Config{InsecureDomain: "shop.example"}, nil},
		{"InsecureDomain of one label", coatcheck.Config{InsecureDomain: "com"}, []string{"InsecureDomain", "not a domain name"}},
		{"InsecureDomain with a dot before it", coatcheck.Config{InsecureDomain: ".shop.example"}, []string{"InsecureDomain", "not a domain name"}},
		{"InsecureDomain with an attribute", coatcheck.Config{InsecureDomain: "shop.example; Path=/x"}, []string{"InsecureDomain", "not a domain name"}},
		{"unknown Profile", coatcheck.Config{Profile: 9}, []string{"Profile 9", "unknown"}},
		{"NISTAAL1", coatcheck.Config{Profile: coatcheck.NISTAAL1, Absolute: 30 * day, Idle: 30 * day}, nil},
		{"NISTAAL1 for longer", coatcheck.Config{Profile: coatcheck.NISTAAL1, Absolute: 31 * day}, []string{"NISTAAL1", "Absolute", "720h"}},
		{"NISTAAL2", coatcheck.Config{Profile: coatcheck.NISTAAL2, Absolute: day, Idle: time.Hour}, nil},
		{"NISTAAL2 for longer", coatcheck.Config{Profile: coatcheck.NISTAAL2, Absolute: 25 * time.Hour}, []string{"NISTAAL2", "Absolute", "24h"}},
		{"NISTAAL2 at rest for longer", coatcheck.Config{Profile: coatcheck.NISTAAL2, Idle: 2 * time.Hour}, []string{"NISTAAL2", "Idle", "1h"}},
		{"NISTAAL2 remembered for longer", coatcheck.Config{Profile: coatcheck.NISTAAL2, RememberIdle: 2 * time.Hour}, []string{"NISTAAL2", "RememberIdle", "1h"}},
		{"NISTAAL3", coatcheck.Config{Profile: coatcheck.NISTAAL3, Absolute: 12 * time.Hour, Idle: 15 * time.Minute}, nil},
		{"NISTAAL3 at rest for longer", coatcheck.Config{Profile: coatcheck.NISTAAL3, Idle: 16 * time.Minute}, []string{"NISTAAL3", "Idle", "15m"}},
		{"NISTAAL3 for longer", coatcheck.Config{Profile: coatcheck.NISTAAL3, Absolute: 13 * time.Hour}, []string{"NISTAAL3", "Absolute", "12h"}},
		{"a profile over plain HTTP", coatcheck.Config{Profile: coatcheck.NISTAAL1, InsecureHTTP: true}, []string{"NISTAAL1", "Insecure"}},
		{"a profile for a domain", coatcheck.Config{Profile: coatcheck.NISTAAL1, InsecureDomain: "a.example"}, []string{"NISTAAL1", "Insecure"}},
		{"a profile in a frame", coatcheck.Config{Profile: coatcheck.NISTAAL1, InsecureCrossSite: true}, []string{"NISTAAL1", "Insecure"}},
		{"several at once", coatcheck.Config{Name: "é", Idle: -1, MaxBytes: -1}, []string{"Name", "Idle", "MaxBytes"}},
	} {
		sessions, err := coatcheck.New(c.config)
		if (err == nil) != (c.says == nil) || (sessions == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", c.name, sessions, err)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "coatcheck: Config: ") {
				t.Errorf("%s: the error does not say %q: %v", c.name, text, err)
			}
		}
	}
}

// TestProfilesTightenWhatIsLeftOut, and require CSRF tokens.
func TestProfilesTightenWhatIsLeftOut(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		profile          coatcheck.Profile
		idle, absolute   time.Duration
		remembered, rest time.Duration // Absolute and Idle of the longest that can be remembered
		tokens           bool
	}{
		{coatcheck.NoProfile, 30 * time.Minute, 12 * time.Hour, 400 * day, 14 * day, false},
		{coatcheck.NISTAAL1, 30 * time.Minute, 12 * time.Hour, 30 * day, 14 * day, true},
		{coatcheck.NISTAAL2, 30 * time.Minute, 12 * time.Hour, day, time.Hour, true},
		{coatcheck.NISTAAL3, 15 * time.Minute, 12 * time.Hour, 12 * time.Hour, 15 * time.Minute, true},
	} {
		site := coatchecktest.New(t, coatcheck.Config{Profile: c.profile, Logger: silent}, page(look))
		now := site.Now()
		info := site.SignedIn("alice").Info()
		if info.Expires.Sub(now) != c.idle || info.Absolute.Sub(now) != c.absolute {
			t.Errorf("profile %d: expires after %v, at most %v", c.profile, info.Expires.Sub(now), info.Absolute.Sub(now))
		}
		info = site.SignedIn("alice", coatcheck.Remember(c.remembered)).Info()
		if info.Expires.Sub(now) != c.rest || info.Absolute.Sub(now) != c.remembered {
			t.Errorf("profile %d, remembered: expires after %v, at most %v", c.profile, info.Expires.Sub(now), info.Absolute.Sub(now))
		}
		site.Visitor().Session(func(s *coatcheck.Session) error {
			if err := s.SignIn(ctx, "alice", coatcheck.Remember(c.remembered+1)); err == nil {
				t.Errorf("profile %d: remembers for longer than %v", c.profile, c.remembered)
			}
			return nil
		})
		if refused := site.SignedIn("alice").Post("/", nil).Status == 403; refused != c.tokens {
			t.Errorf("profile %d: a form without a token is refused: %t", c.profile, refused)
		}
	}
}

func TestNetworksOfTrustedProxiesDecideWhatListsShow(t *testing.T) {
	for _, c := range []struct{ name, forwarded, trusted, network string }{
		{"no proxy is trusted", "203.0.113.9", "", "192.0.2.0/24"},
		{"a proxy is trusted", "203.0.113.9", "192.0.2.0/24", "203.0.113.0/24"},
		{"the client has made one up", "10.0.0.1, 203.0.113.9", "192.0.2.0/24", "203.0.113.0/24"},
		{"two proxies are trusted", "203.0.113.9, 192.0.2.77", "192.0.2.0/24", "203.0.113.0/24"},
		{"nonsense", "for=me", "192.0.2.0/24", "192.0.2.0/24"},
		{"IPv6", "2001:db8:1:2::3", "192.0.2.0/24", "2001:db8:1::/48"},
	} {
		config := coatcheck.Config{}
		if c.trusted != "" {
			config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
		}
		site := coatchecktest.New(t, config, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			return s.SignIn(r.Context(), "alice")
		}))
		v := site.Visitor()
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("X-Forwarded-For", c.forwarded)
		v.Do(r)
		if got := v.Info().Network; got != c.network {
			t.Errorf("%s: %q, want %q", c.name, got, c.network)
		}
	}
}
