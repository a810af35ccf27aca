package coatchecktest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// jar keeps the cookies of one site by the rules of browsers that concern one
// site (RFC 6265bis, 5.6 to 5.8): prefixes, lifetimes, paths and SameSite. It
// holds no other site's, so that a Domain makes no difference but to __Host-.
type jar struct {
	now func() time.Time

	mu      sync.Mutex
	cookies []kept // oldest first
}

type kept struct {
	name, value, path string
	quoted            bool
	expires           time.Time // zero: with the browser
	sameSite          http.SameSite
}

// maxAge is the longest for which browsers keep a cookie.
const maxAge = 400 * 24 * time.Hour

// set obeys one Set-Cookie line of an answer to a request for that path. The
// error says why a browser refuses it.
func (j *jar) set(line, requestPath string) error {
	c, err := http.ParseSetCookie(line)
	if err != nil {
		return err
	}
	if err := refusal(c); err != nil {
		return err
	}
	k := kept{name: c.Name, value: c.Value, quoted: c.Quoted, path: c.Path, sameSite: c.SameSite}
	if !strings.HasPrefix(k.path, "/") {
		k.path = directory(requestPath)
	}
	now := j.now()
	switch {
	case c.MaxAge < 0:
		k.expires = now
	case c.MaxAge > 0:
		k.expires = now.Add(min(time.Duration(c.MaxAge)*time.Second, maxAge))
	case !c.Expires.IsZero():
		k.expires = c.Expires
		if limit := now.Add(maxAge); k.expires.After(limit) {
			k.expires = limit
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.cookies, func(other kept) bool { return other.name == k.name && other.path == k.path })
	switch {
	case !k.lives(now) && at >= 0:
		j.cookies = slices.Delete(j.cookies, at, at+1)
	case !k.lives(now):
	case at >= 0:
		j.cookies[at] = k
	default:
		j.cookies = append(j.cookies, k)
	}
	return nil
}

// refusal is why browsers do not keep a cookie, or nil.
func refusal(c *http.Cookie) error {
	name := strings.ToLower(c.Name)
	switch {
	case strings.HasPrefix(name, "__host-") && (!c.Secure || c.Domain != "" || c.Path != "/"):
		return fmt.Errorf("browsers refuse %q without Secure and Path=/, or with a Domain", c.Name)
	case strings.HasPrefix(name, "__secure-") && !c.Secure:
		return fmt.Errorf("browsers refuse %q without Secure", c.Name)
	case (c.SameSite == http.SameSiteNoneMode || c.Partitioned) && !c.Secure:
		return errors.New("browsers refuse SameSite=None and Partitioned without Secure")
	case len(c.Name)+len(c.Value) > 4096:
		return errors.New("browsers refuse a cookie of more than 4096 bytes")
	}
	return nil
}

// cookiesFor returns what a browser sends with the request: longer paths first,
// then older cookies.
func (j *jar) cookiesFor(r *http.Request) []*http.Cookie {
	now := j.now()
	foreign := r.Header.Get("Sec-Fetch-Site") == "cross-site"
	follows := r.Header.Get("Sec-Fetch-Mode") == "navigate" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	j.mu.Lock()
	defer j.mu.Unlock()
	var sent []kept
	for _, k := range j.cookies {
		if k.lives(now) && k.covers(r.URL.Path) && (!foreign || k.crosses(follows)) {
			sent = append(sent, k)
		}
	}
	slices.SortStableFunc(sent, func(a, b kept) int { return len(b.path) - len(a.path) })
	cookies := make([]*http.Cookie, len(sent))
	for i, k := range sent {
		cookies[i] = &http.Cookie{Name: k.name, Value: k.value, Quoted: k.quoted}
	}
	return cookies
}

func (j *jar) endOfBrowser() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cookies = slices.DeleteFunc(j.cookies, func(k kept) bool { return k.expires.IsZero() })
}

func (k *kept) lives(now time.Time) bool { return k.expires.IsZero() || now.Before(k.expires) }

// covers reports whether a path is the cookie's or below it.
func (k *kept) covers(path string) bool {
	rest, below := strings.CutPrefix(path, k.path)
	return below && (rest == "" || strings.HasSuffix(k.path, "/") || rest[0] == '/')
}

// crosses reports whether the cookie goes along when another site causes the
// request. Without the attribute browsers take it for Lax.
func (k *kept) crosses(follows bool) bool {
	switch k.sameSite {
	case http.SameSiteNoneMode:
		return true
	case http.SameSiteStrictMode:
		return false
	}
	return follows
}

// directory is the path of a cookie that names none.
func directory(path string) string {
	if last := strings.LastIndexByte(path, '/'); last > 0 {
		return path[:last]
	}
	return "/"
}
