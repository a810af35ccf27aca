// Scale tells what a site asks of its session store: how many round trips a
// request costs with local copies and without, and what that comes to on each
// server. Put in your own numbers:
//
//	cd bench && GOWORK=off go run ./scale -nodes 20 -sessions 1000000 -rate 20000
//
// It replays a mix of requests, drawn from a seed, against a model of the copies
// of store/redisstore (model.go, mix.go). scale_test.go replays the same mix
// against a real Cluster of six servers and compares.
//
// With -measure STORE it measures in place of that, on this machine: it signs
// in so many users through a manager and reads what it stored (measure.go).
// docs/scaling.md has the figures, and what follows from them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	m := typical
	flag.IntVar(&m.Nodes, "nodes", m.Nodes, "application servers")
	flag.IntVar(&m.Sessions, "sessions", m.Sessions, "live sessions")
	flag.Float64Var(&m.Rate, "rate", m.Rate, "requests a second that ask for a session, on all nodes")
	flag.Float64Var(&m.Skew, "skew", m.Skew, "exponent of Zipf's law, above 1: how much busier the busy sessions are")
	flag.Float64Var(&m.Flat, "flat", m.Flat, "so many of the busiest sessions are about equally busy")
	flag.Float64Var(&m.Sticky, "sticky", m.Sticky, "share of requests that reach the same node as the session's others, from 0 to 1")
	flag.Float64Var(&m.Writes, "writes", m.Writes, "share of requests that change the session")
	flag.Float64Var(&m.Ends, "ends", m.Ends, "share of requests that end the session and begin another")
	flag.Int64Var(&m.CacheBytes, "cache", m.CacheBytes, "bytes for copies on each node")
	flag.IntVar(&m.RecordBytes, "record", m.RecordBytes, "bytes of a record, as stored")
	flag.DurationVar(&m.Throttle, "throttle", m.Throttle, "how often activity is recorded: a sixteenth of Idle, at most a minute")
	flag.Uint64Var(&m.Seed, "seed", m.Seed, "draw the mix from this")
	requests := flag.Int("requests", 2_000_000, "how many requests to replay, the first half only to warm up")
	primaries := flag.Int("primaries", 3, "primaries of the Cluster")
	where := flag.String("measure", "", "fill this store and measure it: sqlite:FILE, redis://..., redis-cluster://... or postgres://...")
	clients := flag.Int("clients", 64, "with -measure: how many ask at once")
	flag.Parse()
	if *where != "" {
		return measure(context.Background(), *where, m.Sessions, *clients)
	}
	if err := m.check(); err != nil {
		return err
	}
	with := m.replay(*requests, newModel(m))
	none := m
	none.CacheBytes = 0
	without := none.replay(*requests, newModel(none))
	report(m, with, without, *primaries)
	return nil
}

func report(m mix, with, without tally, primaries int) {
	fmt.Printf("%d sessions on %d nodes, %.0f requests/s, %.3g of them writes, skew %.3g, %d MiB of copies on each node\n\n",
		m.Sessions, m.Nodes, m.Rate, m.Writes, m.Skew, m.CacheBytes>>20)
	fmt.Println("                                     with copies     without")
	line := func(what, format string, a, b float64) {
		fmt.Printf("%-34s  "+format+"  "+format+"\n", what, a, b)
	}
	line("reads answered by a copy, %", "%12.1f", with.share(with.Hits)*100, without.share(without.Hits)*100)
	line("round trips a request", "%12.3f", with.share(with.trips()), without.share(without.trips()))
	line("  to read", "%12.3f", with.share(with.Loads), without.share(without.Loads))
	line("  to record activity", "%12.3f", with.share(with.Touches), without.share(without.Touches))
	line("  to change, begin and end", "%12.3f", with.share(with.Changes), without.share(without.Changes))
	line("told to other nodes, a request", "%12.3f", with.share(with.News), without.share(without.News))
	line("operations/s, all servers", "%12.0f", with.share(with.trips())*m.Rate, without.share(without.trips())*m.Rate)
	line("operations/s, each primary", "%12.0f", with.share(with.trips())*m.Rate/float64(primaries), without.share(without.trips())*m.Rate/float64(primaries))
}
