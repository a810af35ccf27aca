package demo_test

import (
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
	"github.com/coatcheck/coatcheck/store"
)

// clock is the site's: it moves when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// opened is the demo, served over TLS.
type opened struct {
	t     *testing.T
	site  *demo.Site
	clock *clock
	url   string
	tls   *http.Client
	log   *strings.Builder
}

func openSite(t *testing.T) *opened { return openSiteOver(t, nil) }

func openSiteOver(t *testing.T, kept store.Store) *opened {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 2, 19, 30, 0, 0, time.UTC)}
	log := &strings.Builder{}
	site, err := demo.New(demo.Options{Store: kept, Now: c.Now, Logger: slog.New(slog.NewTextHandler(&locked{w: log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(site)
	t.Cleanup(server.Close)
	t.Cleanup(site.Close)
	return &opened{t, site, c, server.URL, server.Client(), log}
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(text)
}

// browser is somebody's, with its cookies.
type browser struct {
	t      *testing.T
	site   *opened
	client *http.Client
	seen   []page // all that was answered, redirects included
}

type page struct {
	status int
	path   string // where the redirects led
	header http.Header
	body   string
}

func (o *opened) browser() *browser {
	o.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return &browser{t: o.t, site: o, client: &http.Client{
		Transport:     o.tls.Transport,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) get(path string) page { b.t.Helper(); return b.follow(b.once("GET", path, nil)) }

func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	return b.follow(b.once("POST", path, form))
}

// once sends one request as a navigation of this site and follows nothing.
func (b *browser) once(method, path string, form url.Values) page {
	b.t.Helper()
	answer, err := b.try(method, path, form, "same-origin")
	if err != nil {
		b.t.Fatal(err)
	}
	b.seen = append(b.seen, answer)
	return answer
}

func (b *browser) try(method, path string, form url.Values, site string) (page, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), method, b.site.url+path, body)
	if err != nil {
		return page{}, err
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	r.Header.Set("Sec-Fetch-Site", site)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := b.client.Do(r)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return page{}, err
	}
	return page{answer.StatusCode, r.URL.RequestURI(), answer.Header, string(text)}, nil
}

func (b *browser) follow(p page) page {
	b.t.Helper()
	for range 8 {
		if p.status != http.StatusSeeOther {
			return p
		}
		p = b.once("GET", p.header.Get("Location"), nil)
	}
	b.t.Fatalf("too many redirects, the last to %s", p.header.Get("Location"))
	return p
}

// cookies are the browser's own, by name.
func (b *browser) cookies() map[string]string {
	at, err := url.Parse(b.site.url)
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]string{}
	for _, cookie := range b.client.Jar.Cookies(at) {
		found[cookie.Name] = cookie.Value
	}
	return found
}

func (b *browser) signIn(name string) page {
	b.t.Helper()
	p := b.post("/sign-in", url.Values{"account": {name}, "password": {passwordOf(name)}})
	if b.cookies()["__Host-id"] == "" {
		b.t.Fatalf("%s is not signed in: %d %s", name, p.status, p.path)
	}
	return p
}

func passwordOf(name string) string {
	for _, guest := range house.Guests() {
		if guest.Name == name {
			return guest.Password
		}
	}
	return ""
}

func (p page) has(text string) bool {
	return strings.Contains(html.UnescapeString(p.body), text) || strings.Contains(html.UnescapeString(p.main()), text)
}

func (p page) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Fatalf("%s: status %d, want %d\n%s", p.path, p.status, status, p.main())
	}
	for _, text := range texts {
		if !p.has(text) {
			t.Fatalf("%s lacks %q:\n%s", p.path, text, p.main())
		}
	}
}

// main is the page without its frame, for messages.
func (p page) main() string {
	_, rest, _ := strings.Cut(p.body, "<main")
	inside, _, _ := strings.Cut(rest, "</main>")
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString("<"+inside, " ")), " ")
}

// field reads the value of a form's input.
func (p page) field(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("%s has no field %q:\n%s", p.path, name, p.main())
	}
	return html.UnescapeString(found[1])
}
