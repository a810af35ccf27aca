package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMain gives the demos of these tests a cache directory of their own.
func TestMain(m *testing.M) {
	os.Exit(inOwnCache(m.Run))
}

func inOwnCache(run func() int) int {
	dir, err := os.MkdirTemp("", "coatcheck-app")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		if err := os.Setenv(name, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return run()
}

// signIn signs alice in and returns her cookie.
func signIn(t *testing.T, address string) *http.Cookie {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.PostForm(address+"sign-in", url.Values{"account": {"alice"}, "password": {"a coat of many colours"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for _, c := range answer.Cookies() {
		if c.Name == "__Host-id" {
			return c
		}
	}
	t.Fatalf("the sign-in was answered with %s and no session", answer.Status)
	return nil
}

func signedIn(t *testing.T, address string, session *http.Cookie) bool {
	t.Helper()
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.AddCookie(session)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(page), "Sign out")
}

func TestTheDemoKeepsItsSessionsAcrossARestart(t *testing.T) {
	address, stop, out := start(t, "--addr", "127.0.0.1:0")
	alice := signIn(t, address)
	if !signedIn(t, address, alice) {
		t.Fatal("alice is not signed in after signing in")
	}
	if status := stop(); status != 0 {
		t.Fatalf("status %d:\n%s", status, out)
	}
	address, stop, out = start(t, "--addr", "127.0.0.1:0")
	if !signedIn(t, address, alice) {
		t.Errorf("the restart has signed alice out:\n%s", out)
	}
	said := regexp.MustCompile(`coatcheck (sessions list --store sqlite:\S+demo\.db)`).FindStringSubmatch(out.String())
	if said == nil {
		t.Fatalf("it does not say where the sessions are:\n%s", out)
	}
	if status, listed, errs := run(t, "", strings.Fields(said[1])...); status != 0 || !strings.Contains(listed, " alice ") {
		t.Errorf("what it says to run: status %d, %s%s", status, listed, errs)
	}
	if status := stop(); status != 0 {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestASecondDemoKeepsItsSessionsInMemory(t *testing.T) {
	_, stop, _ := start(t, "--addr", "127.0.0.1:0")
	address, stopSecond, out := start(t, "--addr", "127.0.0.1:0")
	if !strings.Contains(out.String(), "Another demo is open") {
		t.Errorf("it does not say why:\n%s", out)
	}
	if !signedIn(t, address, signIn(t, address)) {
		t.Error("nobody can sign in to it")
	}
	if a, b := stop(), stopSecond(); a != 0 || b != 0 {
		t.Errorf("status %d and %d", a, b)
	}
}
