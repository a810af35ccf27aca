package app_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
)

// TestAnOperatorListsAndEndsTheSessionsOfARunningSite signs in at a site whose
// sessions are in a file, and looks at the same file from a second program.
func TestAnOperatorListsAndEndsTheSessionsOfARunningSite(t *testing.T) {
	file := "sqlite:" + filepath.Join(t.TempDir(), "sessions.db")
	address, stop, out := start(t, "--addr", "localhost:0", "--tls", "--store", file)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	guest := house.Guests()[0]
	landed := read(t)(client.PostForm(address+"sign-in", url.Values{"account": {guest.Name}, "password": {guest.Password}, "next": {"/wallet"}}))
	if !strings.Contains(landed, "Your wallet") {
		t.Fatalf("the sign-in leads to %s", landed)
	}

	status, listed, errs := run(t, "", "sessions", "list", "--store", file, "--json")
	var info coatcheck.Info
	if err := json.Unmarshal([]byte(listed), &info); status != 0 || err != nil || info.Subject != guest.Name || info.ID.IsZero() {
		t.Fatalf("status %d: %s%s (%v)", status, listed, errs, err)
	}
	_, table, _ := run(t, "", "sessions", "list", "--store", file, "--subject", guest.Name)
	if lines := strings.Split(strings.TrimSpace(table), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[1], info.ID.String()+"  alice ") {
		t.Errorf("the table is\n%s", table)
	}
	if _, stats, _ := run(t, "", "sessions", "stats", "--store", file); !strings.Contains(stats, "signed in  1, of 1 subject\n") {
		t.Errorf("the counts are\n%s", stats)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range jar.Cookies(at) {
		if secret := cookie.Value[22:]; strings.Contains(listed+table+out.String(), secret) {
			t.Error("a secret was printed")
		}
	}

	if status, ended, errs := run(t, "", "sessions", "end", info.ID.String(), "--store", file); status != 0 || ended != "1 ended\n" {
		t.Fatalf("status %d: %s%s", status, ended, errs)
	}
	if after := read(t)(client.Get(address + "wallet")); strings.Contains(after, "Your wallet") {
		t.Error("the session goes on after its end")
	}
	client.CloseIdleConnections()
	if status := stop(); status != 0 {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func read(t *testing.T) func(*http.Response, error) string {
	return func(answer *http.Response, err error) string {
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
}
