package coatcheck_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

// TestRule6ATokenIsInItsCookieAlone (ASVS-14.2.1, SMCS-07): whatever else of a
// request holds one opens nothing, so that a link can carry nobody's session.
func TestRule6ATokenIsInItsCookieAlone(t *testing.T) {
	site := coatchecktest.New(t, coatcheck.Config{Logger: silent}, page(whoami))
	token := cookieOf(site.SignedIn("alice"), signedInCookie)
	pair := signedInCookie + "=" + token
	form := httptest.NewRequest("POST", "https://example.com/", strings.NewReader(url.Values{signedInCookie: {token}, "id": {token}}.Encode()))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	user := httptest.NewRequest("GET", "https://example.com/", nil)
	user.SetBasicAuth(signedInCookie, token)
	get := func(target string, header ...string) *http.Request {
		r := httptest.NewRequest("GET", target, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	for name, r := range map[string]*http.Request{
		"query":           get("https://example.com/?" + pair + "&id=" + token + "&sid=" + token),
		"path parameter":  get("https://example.com/;" + pair + "/x;id=" + token),
		"form":            form,
		"Authorization":   get("https://example.com/", "Authorization", "Bearer "+token),
		"password":        user,
		"X-Session-Id":    get("https://example.com/", "X-Session-Id", token, "X-Auth-Token", token),
		"its name's own":  get("https://example.com/", signedInCookie, token),
		"Cookie2":         get("https://example.com/", "Cookie2", pair),
		"Set-Cookie":      get("https://example.com/", "Set-Cookie", pair),
		"X-Forwarded-":    get("https://example.com/", "X-Forwarded-Cookie", pair),
		"referrer":        get("https://example.com/", "Referer", "https://example.com/?"+pair),
		"another cookie":  get("https://example.com/", "Cookie", "id="+token+"; session="+pair),
		"the bound one's": get("https://example.com/", "Cookie", signedInCookie+"-bound="+token),
	} {
		w := httptest.NewRecorder()
		page(whoami)(site.Manager()).ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.String() != "" || len(w.Header()["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %q, cookies %q; want nobody", name, w.Code, w.Body, w.Header()["Set-Cookie"])
		}
	}
}

// TestRule6AFloodOfCookiesLeavesAWayOut (CK-66): a page that does not ask for
// the session is served whatever cookies a script has planted, so that a site
// can tell the browser to drop them.
func TestRule6AFloodOfCookiesLeavesAWayOut(t *testing.T) {
	m, err := coatcheck.New(coatcheck.Config{Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/account", m.HandlerFunc(whoami))
	mux.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Clear-Site-Data", `"cookies"`)
	})
	for path, want := range map[string]int{"/account": http.StatusRequestHeaderFieldsTooLarge, "/reset": http.StatusOK} {
		r := httptest.NewRequest("GET", "https://example.com"+path, nil)
		r.Header.Set("Cookie", strings.Repeat("bomb=1; ", 3001)+signedInCookie+"=a; "+signedInCookie+"=b")
		w := httptest.NewRecorder()
		m.Handler(mux).ServeHTTP(w, r)
		if w.Code != want || len(w.Header()["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d, cookies %q; want %d", path, w.Code, w.Header()["Set-Cookie"], want)
		}
	}
}
