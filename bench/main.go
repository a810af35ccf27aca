// Bench measures Coatcheck beside other session libraries and beside a floor.
// script/bench runs it; docs/performance.md quotes what it writes.
//
// # Method
//
// Ratios are the claims, not times: contenders take turns within a run, in a
// new order each round, and a figure is the median of the rounds' ratios. Every
// contender is set up as its own documentation begins, in the process; where
// that is not its fastest, or leaves open what it is, the place says so. A test
// shows that each does its work, and no round counts whose last answer is not
// the one that was asked for. Ratios of requests are of processor time, the
// collector's for the garbage of the round included.
//
// # Contenders
//
// What each does for a request that reads one value; internal/site builds them,
// one file for each, floor.go first:
//
//	floor              scans the header, decodes, hashes, looks into one map, makes one context value
//	floor with duties  the least code that keeps the rules too: ladder.go
//	coatcheck          finds the session when the handler asks, copies its record, finds the one value in it
//	coatcheck sealed   the same, and opens the data with the session's own key: as over a store elsewhere
//	scs                loads and decodes (gob) all values for every request, asked for or not
//	scs idle           encodes and stores them too, for an idle limit, which coatcheck always has
//	fiber              loads, decodes (gob), encodes and stores them for every request, and is not net/http
//	gin memstore       checks the cookie's HMAC and copies all values by gob, when the handler asks
//	gorilla cookie     checks the HMAC and decodes (gob) all values from the cookie, when the handler asks
//	gorilla files      the same, from a file
//	express-session    checks the cookie's HMAC and parses all values (JSON) for every request, on Node
//
// Versions are pinned in go.mod and peers/express/package.json, and every
// report says them, with the machine and the day.
//
// # Parts
//
//	requests  one request in process, by kind of work, payload and contender
//	scale     memory, collector and look-ups, from a thousand to five million sessions
//	stores    each store beside those of scs, with 1, 16 and 256 clients
//	servers   whole HTTP servers under load on loopback, in processes of their own
//
// Each part is a file here. The results are Markdown tables (NAME.md), input
// for benchstat (NAME.txt, where there are rounds) and charts (SVG). targets.md
// has the targets of all parts, with what was measured.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// options are the choices of a run.
type options struct {
	out   string
	quick bool
	only  string
}

// parts in the order in which they run.
var parts = []struct {
	name string
	run  func(options) error
}{
	{"requests", measureRequests},
	{"scale", measureScale},
	{"stores", measureStores},
	{"servers", measureServers},
}

func main() {
	run := run
	args := os.Args[1:]
	if len(args) > 1 && args[0] == childArgument {
		run, args = runChild, args[1:]
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	var chosen string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.out, "out", "results", "`directory` for the results")
	flags.BoolVar(&o.quick, "quick", false, "fewer rounds and smaller sizes")
	flags.StringVar(&chosen, "parts", "", "`list` of parts, with commas; all if empty")
	flags.StringVar(&o.only, "only", "", "`list` of contenders, with commas; all if empty (requests)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	wanted := names
	if chosen != "" {
		wanted = strings.Split(chosen, ",")
	}
	for _, name := range wanted {
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("there is no part %q: choose of %s", name, strings.Join(names, ","))
		}
		fmt.Fprintf(os.Stderr, "== %s\n", name)
		start := time.Now()
		if err := parts[i].run(o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "== %s took %v\n", name, time.Since(start).Round(time.Second))
	}
	return sumUp(o.out)
}
