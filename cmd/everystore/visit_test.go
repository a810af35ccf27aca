package everystore_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// The cookies of the site.
const (
	signedInCookie = "__Host-id"
	visitCookie    = "__Host-id-visit"
)

// browser is one visitor's.
type browser struct {
	name    string // unlike any other browser's
	mu      sync.Mutex
	cookies map[string]string
}

func newBrowser(name string) *browser {
	return &browser{name: name, cookies: map[string]string{}}
}

// tokens returns what the browser would send: first the cookie that decides.
func (b *browser) tokens() (tokens []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range []string{signedInCookie, visitCookie} {
		if token, has := b.cookies[name]; has {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// idOf returns the id of the session that a token names.
func idOf(token string) (id store.ID) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		copy(id[:], raw)
	}
	return id
}

// visit is one request.
type visit struct {
	browser *browser
	node    *node
	path    string
	tokens  []string
	lives   []*life // of the tokens
	start   time.Time
	began   time.Time // the same by the site's clock
	// alone are those lives that nobody else was using, with when they were
	// used last.
	alone   map[*life]time.Time
	problem string
}

func (v *visit) String() string {
	return fmt.Sprintf("%s of %s at node %d", v.path, v.browser.name, v.node.number)
}

// ask sends a request and judges the answer, which is nil if there was a
// problem.
func (c *checker) ask(b *browser, n *node, path string, form ...string) (*visit, *answer) {
	fields := url.Values{}
	for i := 0; i < len(form); i += 2 {
		fields.Set(form[i], form[i+1])
	}
	r := httptest.NewRequest("POST", "https://shop.example"+path+"?"+fields.Encode(), nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	b.mu.Lock()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	v := &visit{browser: b, node: n, path: path, alone: map[*life]time.Time{}}
	for _, name := range []string{signedInCookie, visitCookie} {
		if cookie, err := r.Cookie(name); err == nil {
			v.tokens = append(v.tokens, cookie.Value)
		}
	}
	c.begin(v)
	w := httptest.NewRecorder()
	n.pages.ServeHTTP(w, r)
	v.problem = w.Header().Get("Problem")
	var a *answer
	if w.Code == http.StatusOK {
		a = &answer{}
		if err := json.Unmarshal(w.Body.Bytes(), a); err != nil {
			c.breaks(noTrouble, "%s is answered %q", v, w.Body)
		}
	}
	c.finish(v, a, w.Result().Cookies(), fields.Get("item"), fields.Get("name"))
	return v, a
}

// begin notes that a request starts.
func (c *checker) begin(v *visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, token := range v.tokens {
		l := c.lives[idOf(token)]
		if l == nil {
			continue
		}
		if l.open == 0 {
			v.alone[l] = l.used
		}
		l.open++
		switch v.path {
		case "/sign-out", "/password":
			l.threats++
		case "/sign-in":
			l.successor++
		}
		v.lives = append(v.lives, l)
	}
	v.start, v.began = time.Now(), v.node.clock.Now()
}

// finish judges the answer, notes what it says and gives the browser its
// cookies. Who asks anew starts after all that.
func (c *checker) finish(v *visit, a *answer, cookies []*http.Cookie, item, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end, now := moment{v.node.number, time.Now()}, v.node.clock.Now()
	for _, l := range v.lives {
		l.open--
		l.used = now
		switch v.path + ": " + v.problem { // after which nothing has happened
		case "/password: not signed in":
			l.threats--
		case "/sign-in: too many":
			l.successor--
		}
	}
	outcome := v.problem
	if a != nil {
		outcome = "ok"
	}
	c.counts[v.path[1:]+": "+outcome]++
	if _, expected := problems[v.problem]; a == nil && !expected {
		c.violates(noTrouble, "%s meets %s", v, v.problem)
	}
	c.judge(v, a, now)
	if a != nil {
		c.learn(v, a, cookies, end, now, item, name)
	}
	v.browser.keep(cookies)
}

// judge checks who was served.
func (c *checker) judge(v *visit, a *answer, now time.Time) {
	if a == nil {
		// A sign-in that is told so is itself what was ended.
		if v.problem == "stale" || v.problem == "ended" && v.path != "/sign-in" {
			c.gone(v, nil, now)
		}
		return
	}
	served := c.lives[a.Was]
	if served != nil && !slices.Contains(v.lives, served) {
		c.violates(noOthers, "%s is served by session %s, which it did not name", v, a.Was)
	}
	c.gone(v, served, now)
	if served == nil {
		return
	}
	c.checkAlive(v, served)
	if served.id == a.ID { // it goes on
		c.checkServed(v, served, a)
		if v.began.After(served.seen) {
			served.seen = v.began
		}
	}
}

// gone judges the sessions that come before the one that served.
func (c *checker) gone(v *visit, served *life, now time.Time) {
	for _, l := range v.lives {
		if l == served {
			return
		}
		c.checkGone(v, l, now)
		if v.problem != "" {
			return // the first decided
		}
	}
}

// learn notes what an answer says to have happened.
func (c *checker) learn(v *visit, a *answer, cookies []*http.Cookie, end moment, now time.Time, item, name string) {
	served := c.lives[a.Was]
	over := moment{elsewhere, end.at}
	if slices.ContainsFunc(cookies, func(cookie *http.Cookie) bool { return cookie.MaxAge < 0 }) {
		over = end // who expires a cookie has ended the session itself
	}
	switch v.path {
	case "/sign-out":
		if served != nil {
			served.end(over)
		}
	case "/password":
		if served != nil {
			c.replaced[v.tokens[0]], served.renewed = end, now
		}
	}
	for _, cookie := range cookies {
		id := idOf(cookie.Value)
		if cookie.MaxAge < 0 || c.lives[id] != nil {
			continue
		}
		l := &life{
			id: id, owner: v.browser, name: name, begun: a.Handled, born: v.start, seen: v.began, used: now, created: v.began, renewed: now,
			items: map[string]moment{}, inherited: map[string]string{},
		}
		if v.path == "/sign-in" && served != nil {
			served.end(over)
			// What expires or is ended while somebody signs in leaves behind
			// what the sign-in had read of it by then.
			if served.name == "" && served.threats == 0 && !served.mayHaveExpired(now) {
				l.parent = served
			}
		}
		if at, evicted := c.evicted[id]; evicted {
			l.end(at)
		}
		c.lives[id] = l
		served = l
	}
	if item == "" || served == nil {
		return
	}
	served.items[item] = end
	// A change that comes while its session is being ended is dropped. A
	// sign-in does not end it but takes it over with the change, or has the
	// visitor told that the change comes too late, for as long as it is known
	// that there was a sign-in.
	if served.name == "" && served.threats == 0 && !served.mayHaveExpired(now) && now.Sub(v.began) < knownRetired {
		served.inherited[item] = fmt.Sprintf("%s, from %s to %s (%s to %s by the site's clock)", v,
			v.start.Format(clockFace), end.at.Format(clockFace), v.began.Format(clockFace), now.Format(clockFace))
	}
}

// keep obeys the answer's Set-Cookie lines.
func (b *browser) keep(cookies []*http.Cookie) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cookie := range cookies {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
}
