package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/app"
	"github.com/coatcheck/coatcheck/cmd/internal/stores"
)

// run runs the program to its end.
func run(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = app.Run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// emptyStore is a file with no sessions, as a site left it.
func emptyStore(t *testing.T) string {
	t.Helper()
	name := "sqlite:" + filepath.Join(t.TempDir(), "sessions.db")
	made, err := stores.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWhatTheProgramSays(t *testing.T) {
	store := emptyStore(t)
	for _, c := range []struct {
		args   string // STORE is the empty store, NOTHING an empty argument
		status int
		out    string
		err    string
	}{
		{"", 2, "", "Commands:"},
		{"help", 0, "coatcheck demo", ""},
		{"--help", 0, "Commands:", ""},
		{"help help", 0, "Commands:", ""},
		{"help demo", 0, "--addr HOST:PORT", ""},
		{"help sessions", 0, "coatcheck sessions end --store STORE --all", ""},
		{"help demo sessions", 2, "", "one command at a time"},
		{"demo -h", 0, "Ctrl-C stops it.", ""},
		{"help nothing", 2, "", `no command "nothing"`},
		{"open", 2, "", `there is no command "open"`},
		{"version", 0, "coatcheck ", ""},
		{"--version", 0, "coatcheck ", ""},
		{"version now", 2, "", "it takes no arguments"},
		{"demo please", 2, "", "it takes flags only"},
		{"demo --colour", 2, "", "not defined: --colour"},
		{"demo --addr", 2, "", "needs an argument: --addr"},
		{"demo --tls=maybe", 2, "", "for --tls"},
		{"demo --addr nowhere", 2, "", "is not HOST:PORT"},
		{"demo --addr localhost:http", 2, "", "the port is a number"},
		{"demo --tls-cert x", 2, "", "both --tls-cert and --tls-key"},
		{"demo --tls --tls-cert x --tls-key y", 2, "", "not both"},
		{"demo --tls-cert none --tls-key none", 1, "", "read the certificate"},
		{"demo --store cloud:", 2, "", "memory:"},
		{"demo --store memory:x", 2, "", "nothing follows it"},
		{"sessions", 2, "", "list, end or stats"},
		{"sessions list", 2, "", "--store"},
		{"sessions list --store cloud:", 2, "", "sqlite:FILE"},
		{"sessions list --store memory:", 2, "", "no other program sees"},
		{"sessions list --store STORE --name a.b", 2, "", "Name"},
		{"sessions list --store STORE", 0, "ID  SUBJECT  DEVICE  CREATED  LAST SEEN  DEADLINE", ""},
		{"sessions list --store STORE --subject NOTHING", 2, "", "--subject is empty"},
		{"sessions list --store STORE --all", 2, "", "list takes no --all"},
		{"sessions --store STORE list --json", 0, "", ""},
		{"sessions stats --store STORE", 0, "sessions   0", ""},
		{"sessions stats --store STORE --json", 2, "", "stats takes no --json"},
		{"sessions end --store STORE", 2, "", "end takes one of these"},
		{"sessions end --store STORE --all --subject alice", 2, "", "end takes one of these"},
		{"sessions end --store STORE --subject NOTHING", 2, "", "--subject is empty"},
		{"sessions end --store STORE --yes --subject alice", 2, "", "--yes goes with --all"},
		{"sessions end --store STORE zzz", 2, "", "is not a session's id"},
		{"sessions end --store STORE 00112233445566778899aabbccddeeff", 0, "0 ended", ""},
		{"sessions end --store STORE --subject alice", 0, "0 ended", ""},
		{"sessions end --store STORE --all --yes", 0, "0 ended", ""},
		{"sessions end --store STORE --all", 1, "", "nothing was ended"},
		{"sessions begin --store STORE", 2, "", "none of list, end and stats"},
	} {
		args := strings.Fields(c.args)
		for i, arg := range args {
			args[i] = strings.NewReplacer("STORE", store, "NOTHING", "").Replace(arg)
		}
		status, out, errs := run(t, "", args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("coatcheck %s: status %d\nout: %s\nerr: %s", c.args, status, out, errs)
		}
		if (status == 0) != (errs == "") {
			t.Errorf("coatcheck %s: status %d with %q", c.args, status, errs)
		}
	}
}

func TestEndingAllAsksFirst(t *testing.T) {
	store := emptyStore(t)
	if status, out, _ := run(t, "yes\n", "sessions", "end", "--all", "--store", store); status != 0 || out != "0 ended\n" {
		t.Errorf("yes: status %d, %q", status, out)
	}
	if status, out, _ := run(t, "y\n", "sessions", "end", "--all", "--store", store); status != 1 || out != "" {
		t.Errorf("y: status %d, %q", status, out)
	}
}

// output is what a running program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the demo until stop, which returns its exit status.
func start(t *testing.T, args ...string) (address string, stop func() int, out *output) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out = &output{}
	ended := make(chan int, 1)
	go func() { ended <- app.Run(ctx, append([]string{"demo"}, args...), strings.NewReader(""), out, out) }()
	t.Cleanup(cancel)
	stop = func() int {
		cancel()
		select {
		case status := <-ended:
			return status
		case <-time.After(time.Minute):
			t.Fatal("the demo does not stop")
			return -1
		}
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := regexp.MustCompile(`https?://\S+/`).FindString(out.String()); found != "" {
			return found, stop, out
		}
	}
	t.Fatalf("the demo does not start:\n%s", out)
	return "", nil, nil
}

func TestTheDemoOpensAndCloses(t *testing.T) {
	address, stop, out := start(t, "--addr", "127.0.0.1:0")
	client := &http.Client{}
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), "Leave your coat") {
		t.Errorf("the site says %s (%v)", body, err)
	}
	if status := stop(); status != 0 {
		t.Errorf("status %d:\n%s", status, out)
	}
	for _, text := range []string{"The Coat Check is open", "alice", "Ctrl-C", "Closing."} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("it does not say %q:\n%s", text, out)
		}
	}
}

func TestTheDemoServesTLS(t *testing.T) {
	address, stop, out := start(t, "--addr", "localhost:0", "--tls")
	if !strings.HasPrefix(address, "https://localhost:") {
		t.Fatalf("it is open at %s", address)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if err := answer.TLS.PeerCertificates[0].VerifyHostname("localhost"); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if status := stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	if !strings.Contains(out.String(), "browsers warn") {
		t.Errorf("it does not say that browsers warn:\n%s", out)
	}
}

func TestATakenPortIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	status, _, errs := run(t, "", "demo", "--addr", taken.Addr().String())
	if status != 1 || !strings.Contains(errs, "is taken by another program") || !strings.Contains(errs, "--addr 127.0.0.1:") {
		t.Errorf("status %d: %s", status, errs)
	}
}
