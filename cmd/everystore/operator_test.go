package everystore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/app"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// coatcheckProgram runs `coatcheck` with these arguments to its end.
func coatcheckProgram(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := app.Run(background, args, strings.NewReader(""), &out, &errs); status != 0 || errs.Len() > 0 {
		t.Fatalf("coatcheck %s: status %d\n%s%s", strings.Join(args[:2], " "), status, &out, &errs)
	}
	return out.String()
}

// TestAnOperatorListsAndEndsSessionsBesideAWorkingSite runs every command on
// each store that a second process can open, while visitors are served from it.
func TestAnOperatorListsAndEndsSessionsBesideAWorkingSite(t *testing.T) {
	for _, k := range kinds {
		if k.name == "memory" {
			continue // nobody else can open it
		}
		t.Run(k.name, func(t *testing.T) {
			p := k.open(t)
			c := newChecker(p.stale)
			site := newNode(t, 0, p.handles[0], &fastClock{from: time.Now(), shown: time.Now(), stopped: true}, coatcheck.EvictOldest, c.event)
			alice, bob, carol, nobody := newBrowser("alice"), newBrowser("bob"), newBrowser("carol"), newBrowser("nobody")
			for _, b := range []*browser{alice, bob, carol} {
				c.ask(b, site, "/sign-in", "name", b.name)
			}
			c.ask(nobody, site, "/add", "item", "nobody 1")
			sessions := func(args ...string) string {
				t.Helper()
				return coatcheckProgram(t, append([]string{"sessions", args[0], "--store", p.name}, args[1:]...)...)
			}
			// served is whom the site takes a visitor for.
			served := func(b *browser) string {
				t.Helper()
				time.Sleep(p.stale + time.Millisecond)
				if _, a := c.ask(b, site, "/read"); a != nil {
					return a.Subject
				}
				return "trouble"
			}

			said := sessions("list") + sessions("list", "--json") + sessions("stats")
			for _, want := range []string{"signed in  3, of 3 subjects", "anonymous  1", `"subject":"carol"`} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in\n%s", want, said)
				}
			}
			for _, b := range []*browser{alice, bob, carol, nobody} {
				if id := idOf(b.tokens()[0]).String(); strings.Count(said, id) != 2 {
					t.Errorf("%s's session %s is not in both lists:\n%s", b.name, id, said)
				}
				if strings.Contains(said, b.tokens()[0][22:]) {
					t.Errorf("a secret of %s's is in\n%s", b.name, said)
				}
			}
			var info coatcheck.Info
			if err := json.Unmarshal([]byte(sessions("list", "--json", "--subject", "alice")), &info); err != nil || info.ID != idOf(alice.tokens()[0]) {
				t.Errorf("alice's session is listed as %v (%v)", info, err)
			}

			if got := sessions("end", info.ID.String()); got != "1 ended\n" || served(alice) != "" || served(bob) != "bob" {
				t.Errorf("alice's session by its id: %s", got)
			}
			if got := sessions("end", "--subject", "bob"); got != "1 ended\n" || served(bob) != "" || served(carol) != "carol" {
				t.Errorf("bob's sessions: %s", got)
			}
			if got := sessions("end", "--all", "--yes"); got != "2 ended\n" || served(carol) != "" {
				t.Errorf("everybody's: %s", got)
			}
			if got := sessions("stats"); !strings.Contains(got, "sessions   0\n") {
				t.Errorf("afterwards there are\n%s", got)
			}
		})
	}
}

// said is what a running program has printed.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(text)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// startDemo runs the demo on a store until close is called.
func startDemo(t *testing.T, store string) (address string, closeDemo func()) {
	t.Helper()
	ctx, stop := context.WithCancel(background)
	out, ended := &said{}, make(chan int, 1)
	go func() {
		ended <- app.Run(ctx, []string{"demo", "--addr", "localhost:0", "--store", store}, strings.NewReader(""), out, out)
	}()
	closeDemo = sync.OnceFunc(func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("the demo ends with status %d:\n%s", status, out)
		}
	})
	t.Cleanup(closeDemo)
	eventually(t, "the demo is open", func() bool {
		address = regexp.MustCompile(`http://\S+/`).FindString(out.String())
		return address != ""
	})
	return address, closeDemo
}

// TestTheDemoKeepsItsSessionsOverARestart signs in, restarts the demo, at
// another port even, and finds the visitor signed in.
func TestTheDemoKeepsItsSessionsOverARestart(t *testing.T) {
	kept := "sqlite:" + filepath.Join(t.TempDir(), "sessions.db")
	jar := &jarOfLocalhost{cookies: map[string]*http.Cookie{}}
	client := &http.Client{Jar: jar}
	get := func(answer *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	guest := house.Guests()[0]
	address, closeDemo := startDemo(t, kept)
	if page := get(client.PostForm(address+"sign-in", url.Values{"account": {guest.Name}, "password": {guest.Password}, "next": {"/wallet"}})); !strings.Contains(page, "Your wallet") {
		t.Fatalf("the sign-in leads to %s", page)
	}
	client.CloseIdleConnections()
	closeDemo()
	address, closeDemo = startDemo(t, kept)
	if page := get(client.Get(address + "wallet")); !strings.Contains(page, "Your wallet") {
		t.Errorf("after the restart the wallet shows %s", page)
	}
	jar.cookies = map[string]*http.Cookie{}
	if page := get(client.Get(address + "wallet")); strings.Contains(page, "Your wallet") {
		t.Error("the wallet is shown to nobody in particular")
	}
	client.CloseIdleConnections()
	closeDemo()
}

// jarOfLocalhost keeps the cookies of one site, Secure ones too, which browsers
// send to http://localhost and net/http/cookiejar does not.
type jarOfLocalhost struct {
	mu      sync.Mutex
	cookies map[string]*http.Cookie
}

func (j *jarOfLocalhost) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.cookies, c.Name)
		} else {
			j.cookies[c.Name] = c
		}
	}
}

func (j *jarOfLocalhost) Cookies(*url.URL) (all []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cookies {
		all = append(all, c)
	}
	return all
}

// TestLookingMakesNoSchema: a tool must neither make nor migrate what the sites
// of another release may be using.
func TestLookingMakesNoSchema(t *testing.T) {
	address := startPostgres(t)
	list := []string{"sessions", "list", "--store", address}
	for range 2 { // the first look has left nothing for the second
		var out, errs bytes.Buffer
		if status := app.Run(background, list, strings.NewReader(""), &out, &errs); status == 0 {
			t.Fatalf("sessions are listed from an empty database:\n%s", &out)
		}
	}
}
