// Bench measures Coatcheck beside other session libraries and beside a floor.
// script/bench runs it; docs/performance.md quotes what it writes.
//
// # Method
//
// Ratios are the claims, not times: contenders take turns within a run, in a
// new order each round, and a figure is the median of the rounds' ratios. Every
// contender is set up as its own documentation begins, in the process, and a
// test shows that each does its work. What each does per request is said where
// it is built: internal/site, one file for each, floor.go first. Versions are
// those of go.mod.
//
// # Parts
//
//	requests  one request in process, by kind of work, payload and contender
//	scale     memory, collector and look-ups, from a thousand to five million sessions
//	stores    each store beside those of scs, with 1, 16 and 256 clients
//	servers   whole HTTP servers under load on loopback, in processes of their own
//
// Each part is a file here. The results are Markdown tables (NAME.md), input
// for benchstat (NAME.txt) and charts (SVG).
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
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
		if err := parts[i].run(o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
