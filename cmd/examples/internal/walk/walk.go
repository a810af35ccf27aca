// Package walk is the test that all examples share: a visitor fills a cart,
// signs in, finds it again, and signs out.
package walk

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Serve answers one request, by whatever means a framework has for tests.
type Serve func(*http.Request) (*http.Response, error)

// Handler serves through the net/http interface.
func Handler(h http.Handler) Serve {
	return func(r *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
		return recorder.Result(), nil
	}
}

type visitor struct {
	t     *testing.T
	serve Serve
	jar   http.CookieJar
}

var home = &url.URL{Scheme: "https", Host: "shop.example", Path: "/"}

// Through takes a visitor through the shop. The cart must survive the sign-in,
// the cookie of before must open nothing after the sign-out.
func Through(t *testing.T, serve Serve) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t, serve, jar}
	v.wantCart("")
	if len(jar.Cookies(home)) > 0 {
		t.Error("whoever only looks is given a cookie")
	}
	v.post("/cart", url.Values{"item": {"coat"}})
	v.post("/cart", url.Values{"item": {"hat"}})
	v.wantCart("", "coat", "hat")
	v.post("/login", url.Values{"user": {"alice"}})
	v.wantCart("alice", "coat", "hat")
	kept := jar.Cookies(home)
	if len(kept) != 1 || kept[0].Name != "__Host-id" {
		t.Errorf("the cookies are %v", kept)
	}
	v.post("/logout", nil)
	if len(jar.Cookies(home)) > 0 {
		t.Error("cookies stay after the sign-out")
	}
	jar.SetCookies(home, []*http.Cookie{{Name: "__Host-id", Value: kept[0].Value, Path: "/", Secure: true}})
	v.wantCart("")
}

func (v *visitor) post(path string, form url.Values) {
	v.t.Helper()
	r := httptest.NewRequest(http.MethodPost, home.Scheme+"://"+home.Host+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	v.do(r)
}

func (v *visitor) wantCart(user string, items ...string) {
	v.t.Helper()
	body := v.do(httptest.NewRequest(http.MethodGet, home.Scheme+"://"+home.Host+"/cart", nil))
	var got struct {
		User string
		Cart []string
	}
	if err := json.Unmarshal(body, &got); err != nil || got.User != user || !slices.Equal(got.Cart, items) {
		v.t.Fatalf("the cart is %s (%v), want %s's %v", body, err, user, items)
	}
}

func (v *visitor) do(r *http.Request) []byte {
	v.t.Helper()
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, cookie := range v.jar.Cookies(home) {
		r.AddCookie(cookie)
	}
	answer, err := v.serve(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %s is answered %d: %s (%v)", r.Method, r.URL.Path, answer.StatusCode, body, err)
	}
	v.jar.SetCookies(home, answer.Cookies())
	return body
}
