package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// server is a whole HTTP server in a process of its own.
type server struct {
	name    string
	process int
	address string
	cookie  string
	stop    func()
}

// measureServers loads whole servers over loopback: one processor for the
// server, one for the load, 64 connections that are kept alive.
func measureServers(o options) error {
	rounds, each := 9, time.Second
	if o.quick {
		rounds, each = 5, 400*time.Millisecond
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var servers []server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, name := range []string{site.Plain, "floor", "coatcheck", "coatcheck sealed", "scs", "fiber", "gin memstore", "gorilla cookie", "express-session", "express alone"} {
		s, err := startSite(name)
		if errors.Is(err, errMissing) {
			fmt.Fprintln(os.Stderr, "left out:", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, s)
	}
	perSecond := map[string][]float64{} // requests, of the clock on the wall
	perWork := map[string][]float64{}   // requests, of the server's processor time
	for range rounds {
		for _, i := range rand.Perm(len(servers)) {
			s := servers[i]
			used, start := measure.ProcessorTimeOf(s.process), time.Now()
			n, err := loadServer(s, 64, each)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			share := (measure.ProcessorTimeOf(s.process) - used).Seconds() / time.Since(start).Seconds()
			perSecond[s.name] = append(perSecond[s.name], n)
			perWork[s.name] = append(perWork[s.name], n/share)
		}
	}
	r := report.New(o.out, "servers", "Whole servers")
	r.Say("%s\n\n%s\n", machine(), versions("node"))
	r.Say("Requests that read one key, over loopback, 64 connections kept alive, one processor for each server and one for the load; medians of %d rounds in which the servers take turns, in a new order each, and of the rounds' ratios. The last columns are of requests per second of the server's own processor time, which shows whether a server waited for the load. \"net/http alone\" sends the same headers and body without sessions.\n", rounds)
	chart := report.Chart{Title: "Whole servers, read one key", XName: "requests per second", YName: "requests per second"}
	var rows [][]string
	for _, s := range servers {
		row := []string{s.name, report.Number(measure.Median(perSecond[s.name]))}
		for _, by := range []string{site.Plain, "scs", "express-session"} {
			row = append(row, report.Times(ratio(perSecond, s.name, by)))
		}
		row = append(row, report.Number(1e6/measure.Median(perWork[s.name])))
		for _, by := range []string{site.Plain, "scs", "express-session"} {
			row = append(row, report.Times(ratio(perWork, s.name, by)))
		}
		rows = append(rows, row)
		fmt.Fprintln(os.Stderr, row)
		for _, n := range perSecond[s.name] {
			fmt.Fprintf(&r.Samples, "BenchmarkServer/work=read_one_key/site=%s\t1\t%.1f ns/op\n", strings.NewReplacer(" ", "_", "/", "_").Replace(s.name), 1e9/n)
		}
		chart.Lines = append(chart.Lines, report.Line{Name: s.name, Y: []float64{measure.Median(perSecond[s.name])}})
	}
	r.Table("Read one key", []string{"", "requests/s", "x net/http", "x scs", "x express-session", "processor µs each", "x net/http", "x scs", "x express-session"}, rows)
	var t targets
	for _, aim := range []struct {
		by    string
		limit float64
	}{{site.Plain, 0.9}, {"scs", 3}, {"express-session", 12}} {
		t.atLeast("requests per second, of "+aim.by, ratio(perSecond, "coatcheck", aim.by), aim.limit)
		t.note("requests per second of processor time, of "+aim.by, ratio(perWork, "coatcheck", aim.by))
		if aim.by != site.Plain { // what nobody on net/http can exceed
			t.note("net/http alone: requests per second, of "+aim.by, ratio(perSecond, site.Plain, aim.by))
		}
	}
	t.write(r)
	if err := r.Chart("servers.svg", chart); err != nil {
		return err
	}
	return r.Close()
}

// ratio is the median of the rounds' ratios of what two servers reached, 0 if
// one of them took no part.
func ratio(reached map[string][]float64, name, by string) float64 {
	var ratios []float64
	for round, n := range reached[name] {
		if len(reached[by]) > round {
			ratios = append(ratios, n/reached[by][round])
		}
	}
	return measure.Median(ratios)
}

// serveJob serves a site until the input ends, with as much heap as requests
// have that are measured in process.
func serveJob(args []string) (any, error) {
	heap := make([]byte, heapBytes)
	defer runtime.KeepAlive(heap)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(os.Stdout).Encode(l.Addr().String()); err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- site.Serve(l, args[0]) }()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		failed <- nil
	}()
	return "ended", <-failed
}

// startSite starts the process and has a visitor fill a session.
func startSite(name string) (server, error) {
	c, err := siteCommand(name)
	if err != nil {
		return server{}, err
	}
	in, err := c.StdinPipe()
	if err != nil {
		return server{}, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return server{}, err
	}
	s := server{name: name, process: c.Process.Pid, stop: func() {
		in.Close()
		_ = c.Wait()
	}}
	if err := json.NewDecoder(out).Decode(&s.address); err != nil {
		s.stop()
		return server{}, err
	}
	if name == site.Plain || name == "express alone" {
		s.cookie = "__Host-id=" + strings.Repeat("A", 64)
		return s, nil
	}
	answer, err := one(s, "/fill")
	if err != nil {
		s.stop()
		return server{}, err
	}
	for line := range strings.SplitSeq(answer, "\r\n") {
		if field, value, _ := strings.Cut(line, ": "); strings.EqualFold(field, "Set-Cookie") {
			s.cookie, _, _ = strings.Cut(value, ";")
		}
	}
	if answer, err = one(s, "/"); err == nil && !strings.Contains(answer, "Alice Example") {
		err = fmt.Errorf("the site does not read what it has written: %s", answer)
	}
	if err != nil {
		s.stop()
	}
	return s, err
}

func siteCommand(name string) (*exec.Cmd, error) {
	if !strings.HasPrefix(name, "express") {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c := exec.Command(self, childArgument, "serve", name)
		c.Env = append(os.Environ(), "GOMAXPROCS=1")
		return c, nil
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%s %w", program, errMissing)
		}
	}
	dir := filepath.Join("peers", "express")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express-session")); err != nil {
		install := exec.Command("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm install: %w: %s", err, out)
		}
	}
	args := []string{"server.js"}
	if name == "express alone" {
		args = append(args, "plain")
	}
	c := exec.Command("node", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "NODE_ENV=production")
	return c, nil
}

func requestText(s server, path string) string {
	text := "GET " + path + " HTTP/1.1\r\nHost: " + s.address + "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html\r\nX-User: alice\r\n"
	if s.cookie != "" {
		text += "Cookie: " + s.cookie + "\r\n"
	}
	return text + "\r\n"
}

// one makes one request and returns its answer, header and body.
func one(s server, path string) (string, error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, requestText(s, path)); err != nil {
		return "", err
	}
	var answer strings.Builder
	err = readAnswer(bufio.NewReader(conn), &answer)
	return answer.String(), err
}
