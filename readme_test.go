package coatcheck_test

import (
	"bytes"
	"context"
	"fmt"
	"go/format"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadmeProgramRunsAsPrinted builds the README's program in a module of its
// own, as a reader would, and visits it.
func TestReadmeProgramRunsAsPrinted(t *testing.T) {
	program := readmeProgram(t)
	if lines := strings.Count(program, "\n"); lines > 35 {
		t.Errorf("the program has %d lines, at most 35", lines)
	}
	if formatted, err := format.Source([]byte(program)); err != nil || string(formatted) != program {
		t.Errorf("the program is not as gofmt writes it: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	program = strings.Replace(program, "localhost:8080", address, 1)
	runProgram(t, program)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: onLocalhost{jar}, Timeout: 10 * time.Second}
	page := func() string {
		res, err := client.Get("http://" + address + "/")
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	first := page()
	for end := time.Now().Add(30 * time.Second); first == "" && time.Now().Before(end); first = page() {
		time.Sleep(50 * time.Millisecond)
	}
	if want := "Visit 1, signed in as \"\".\n"; first != want {
		t.Fatalf("the first visit says %q, want %q", first, want)
	}
	res, err := client.Post("http://"+address+"/sign-in", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("signing in: %v, %s", err, res.Status)
	}
	if got, want := page(), "Visit 2, signed in as \"alice\".\n"; got != want {
		t.Errorf("after the sign-in the page says %q, want %q", got, want)
	}
}

func readmeProgram(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(readme)
	if found == nil {
		t.Fatal("README.md has no program")
	}
	return string(found[1])
}

// runProgram builds and starts the program, and stops it after the test.
func runProgram(t *testing.T, program string) {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	module := fmt.Sprintf("module readme\n\ngo 1.26\n\nrequire github.com/coatcheck/coatcheck v0.0.0\n\nreplace github.com/coatcheck/coatcheck => %s\n", root)
	for name, text := range map[string]string{"main.go": program, "go.mod": module} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "readme.exe", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the program does not build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var said bytes.Buffer
	run := exec.CommandContext(ctx, filepath.Join(dir, "readme.exe"))
	run.Stdout, run.Stderr = &said, &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = run.Wait() // it was killed
		if t.Failed() {
			t.Logf("the program said: %s", &said)
		}
	})
}

// onLocalhost keeps Secure cookies of http://localhost, as browsers do and
// net/http/cookiejar does not.
type onLocalhost struct{ http.CookieJar }

func (j onLocalhost) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(overTLS(u), cookies)
}

func (j onLocalhost) Cookies(u *url.URL) []*http.Cookie {
	return j.CookieJar.Cookies(overTLS(u))
}

func overTLS(u *url.URL) *url.URL {
	secure := *u
	secure.Scheme = "https"
	return &secure
}

// TestThreatModelNamesTests keeps the table true: every test that it names is
// somewhere in the tree.
func TestThreatModelNamesTests(t *testing.T) {
	table, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`").FindAllSubmatch(table, -1)
	if len(names) < 30 {
		t.Fatalf("found only %d names of tests", len(names))
	}
	defined := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			defined[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !defined[string(name[1])] {
			t.Errorf("no test is called %s", name[1])
		}
	}
}
