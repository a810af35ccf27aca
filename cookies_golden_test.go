package coatcheck_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// cookieScenes are requests and what they do to the browser's cookies. Each
// plays on a site of its own and returns the response that counts.
var cookieScenes = []struct {
	name   string
	config coatcheck.Config
	play   func(t *testing.T, site *coatchecktest.Site) *coatchecktest.Response
}{
	{"a new visitor reads", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/read")
	}},
	{"first write", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/write")
	}},
	{"second write", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.Get("/write")
		return v.Get("/write")
	}},
	{"sign-in", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
	{"sign-in after a first write", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.Get("/write")
		return v.Get("/sign-in")
	}},
	{"sign-in and first write in one request", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/everything")
	}},
	{"remembered sign-in", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/remember")
	}},
	{"reading and writing while signed in", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		site.Advance(10 * time.Minute)
		return alice.Get("/write")
	}},
	{"re-authentication", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/reauthenticate")
	}},
	{"credentials changed", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/credentials")
	}},
	{"rotation", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		site.Advance(time.Minute)
		return alice.Get("/rotate")
	}},
	{"rotation that is asked for too early", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/rotate")
	}},
	{"rotation by itself", coatcheck.Config{RotateEvery: time.Hour, Idle: 2 * time.Hour}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		site.Advance(time.Hour)
		return alice.Get("/read")
	}},
	{"rotation of a remembered sign-in, a day later", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice", coatcheck.Remember(30*24*time.Hour))
		site.Advance(24 * time.Hour)
		return alice.Get("/rotate")
	}},
	{"sign-out", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/sign-out")
	}},
	{"sign-out of a remembered sign-in", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice", coatcheck.Remember(time.Hour)).Get("/sign-out")
	}},
	{"sign-out twice", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		alice.Get("/sign-out")
		return alice.Get("/sign-out")
	}},
	{"end of an anonymous session", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.Get("/write")
		return v.Get("/sign-out")
	}},
	{"sign-in and sign-out in one request", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/in-and-out")
	}},
	{"a dead token", coatcheck.Config{}, func(t *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		if _, err := site.Manager().EndSubject(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		return alice.Get("/read")
	}},
	{"an expired token", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		alice := site.SignedIn("alice")
		site.Advance(time.Hour)
		return alice.Get("/read")
	}},
	{"a forged token", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.SetCookie(signedInCookie + "=" + strings.Repeat("A", 64) + "; Path=/; Secure")
		return v.Get("/read")
	}},
	{"a first write with a forged token", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.SetCookie(signedInCookie + "=nonsense; Path=/; Secure")
		return v.Get("/write")
	}},
	{"sign-out with a forged token", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		v := site.Visitor()
		v.SetCookie(signedInCookie + "=nonsense; Path=/; Secure")
		return v.Get("/sign-out")
	}},
	{"a slow request whose session is ended elsewhere", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/ended-elsewhere")
	}},
	{"a slow sign-out whose session is ended elsewhere", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/ended-elsewhere?sign-out")
	}},
	{"ending the other sessions", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		site.SignedIn("alice")
		return site.SignedIn("alice").Get("/end-others")
	}},
	{"a request that another site caused", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").PostFrom("https://evil.example", "/write", nil)
	}},
	{"sign-in, then an error", coatcheck.Config{}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in?fail")
	}},
	{"StrictSameSite", coatcheck.Config{StrictSameSite: true}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
	{"Name", coatcheck.Config{Name: "shop_2"}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
	{"InsecureDomain", coatcheck.Config{InsecureDomain: "example.com"}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
	{"InsecureDomain, sign-out", coatcheck.Config{InsecureDomain: "example.com"}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.SignedIn("alice").Get("/sign-out")
	}},
	{"InsecureHTTP", coatcheck.Config{InsecureHTTP: true}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
	{"InsecureCrossSite", coatcheck.Config{InsecureCrossSite: true}, func(_ *testing.T, site *coatchecktest.Site) *coatchecktest.Response {
		return site.Visitor().Get("/sign-in")
	}},
}

// cookieSite serves what the scenes need.
var cookieSite = pages(map[string]handler{
	"/read": look,
	"/write": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return textKey.Set(s, "hello")
	},
	"/sign-in": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := s.SignIn(r.Context(), "alice"); err != nil || !r.URL.Query().Has("fail") {
			return err
		}
		return errors.New("the page cannot be shown")
	},
	"/everything": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return errors.Join(textKey.Set(s, "hello"), s.SignIn(r.Context(), "alice"), s.Reauthenticate(r.Context()), textKey.Set(s, "again"))
	},
	"/remember": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.SignIn(r.Context(), "alice", coatcheck.Remember(30*24*time.Hour))
	},
	"/reauthenticate": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.Reauthenticate(r.Context())
	},
	"/credentials": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.CredentialsChanged(r.Context())
	},
	"/rotate":   func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error { return s.Rotate(r.Context()) },
	"/sign-out": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error { return s.End(r.Context()) },
	"/in-and-out": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return errors.Join(s.SignIn(r.Context(), "alice"), s.End(r.Context()))
	},
	"/end-others": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		_, err := s.EndOthers(r.Context())
		return err
	},
})

// TestRule6SetCookieLines compares every line with golden text, in which TOKEN
// stands for a token. A change is a change of what browsers are told: look at
// each, then go test -run TestRule6SetCookieLines . -update
func TestRule6SetCookieLines(t *testing.T) {
	const golden = "testdata/set-cookie.txt"
	token := regexp.MustCompile(`=[A-Za-z0-9_-]{64};`)
	var text strings.Builder
	for _, scene := range cookieScenes {
		scene.config.Logger = silent
		site := coatchecktest.New(t, scene.config, func(sessions *coatcheck.Manager) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/", cookieSite(sessions))
			mux.Handle("/ended-elsewhere", sessions.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				if _, err := sessions.EndSubject(r.Context(), "alice"); err != nil {
					return err
				}
				if r.URL.RawQuery == "sign-out" {
					return s.End(r.Context())
				}
				return textKey.Set(s, "too late")
			}))
			return mux
		})
		fmt.Fprintf(&text, "# %s\n", scene.name)
		for _, line := range scene.play(t, site).Header["Set-Cookie"] {
			fmt.Fprintln(&text, token.ReplaceAllString(line, "=TOKEN;"))
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if changes := lineChanges(string(want), text.String()); changes != "" {
		t.Errorf("Set-Cookie lines differ from %s:\n%s", golden, changes)
	}
}

// TestRule6ACommitThatFailsKeepsTheCookie that an earlier step of the request
// has earned: the error page carries it.
func TestRule6ACommitThatFailsKeepsTheCookie(t *testing.T) {
	st, faults := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, page(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := s.SignIn(r.Context(), "alice"); err != nil {
			return err
		}
		faults.Fail(storetest.Update, 1, errors.New("disk on fire"))
		return textKey.Set(s, "hello")
	}))
	alice := site.Visitor()
	if res := alice.Get("/"); res.Status != http.StatusServiceUnavailable || len(res.Header["Set-Cookie"]) != 1 {
		t.Errorf("%d, Set-Cookie: %q; want 503 and the cookie", res.Status, res.Header["Set-Cookie"])
	}
	if alice.Info().Subject != "alice" {
		t.Error("the sign-in that happened is lost")
	}
}
