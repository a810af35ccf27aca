package main

import (
	"errors"
	"math/rand/v2"
	"time"
)

// mix says which requests come.
type mix struct {
	Nodes, Sessions      int
	Rate                 float64
	Skew, Flat           float64
	Sticky, Writes, Ends float64
	CacheBytes           int64
	RecordBytes          int
	Throttle             time.Duration
	Seed                 uint64
}

// typical is a shop with members: 10 nodes behind a balancer that knows no
// sessions.
var typical = mix{
	Nodes: 10, Sessions: 1_000_000, Rate: 10_000, Skew: 1.2, Flat: 10_000, Writes: 0.05, Ends: 0.002,
	CacheBytes: 64 << 20, RecordBytes: 620, Throttle: time.Minute, Seed: 1,
}

func (m mix) check() error {
	switch {
	case m.Nodes < 1 || m.Sessions < 1 || m.Rate <= 0 || m.RecordBytes < 1:
		return errors.New("give at least one node and one session, a rate and a size above 0")
	case m.Skew <= 1 || m.Flat < 1:
		return errors.New("give a skew above 1 and at least 1 for flat")
	case m.Sticky < 0 || m.Writes < 0 || m.Ends < 0 || m.Sticky > 1 || m.Writes+m.Ends > 1:
		return errors.New("shares are from 0 to 1, those of writes and ends together at most 1")
	}
	return nil
}

// store is what a mix is replayed against: the model, or a real one.
type store interface {
	// read asks for the session at a node.
	read(node, session int)
	// touch records its activity, change writes to it.
	touch(node, session int)
	change(node, session int)
	// replace ends it at a node, and begins another in its place.
	replace(node, session int)
	// counted is what there was to count so far.
	counted() tally
}

// tally counts requests and what they cost.
type tally struct {
	Requests, Hits          int
	Loads, Touches, Changes int // round trips
	News                    int // of a change, to other nodes that had a copy
}

func (t tally) trips() int { return t.Loads + t.Touches + t.Changes }

func (t tally) share(n int) float64 { return float64(n) / float64(max(t.Requests, 1)) }

func (t tally) minus(u tally) tally {
	return tally{t.Requests - u.Requests, t.Hits - u.Hits, t.Loads - u.Loads, t.Touches - u.Touches, t.Changes - u.Changes, t.News - u.News}
}

// replay sends n requests and returns what the second half cost. A request is
// made as the manager makes it: it reads; a change records activity as well;
// else activity is recorded if that was not done for a while.
func (m mix) replay(n int, s store) tally {
	draw := rand.New(rand.NewPCG(m.Seed, 0))
	which := rand.NewZipf(draw, m.Skew, m.Flat, uint64(m.Sessions-1))
	recorded := make([]time.Duration, m.Sessions)
	for i := range recorded { // as if they had come before, at any time
		recorded[i] = -time.Duration(draw.Float64() * float64(m.Throttle))
	}
	var warm tally
	for i := range n {
		if i == n/2 {
			warm = s.counted()
			warm.Requests = i
		}
		now := time.Duration(float64(i) / m.Rate * float64(time.Second))
		session := int(which.Uint64())
		node := draw.IntN(m.Nodes)
		if draw.Float64() < m.Sticky {
			node = session % m.Nodes
		}
		s.read(node, session)
		switch kind := draw.Float64(); {
		case kind < m.Ends:
			s.replace(node, session)
			recorded[session] = now
		case kind < m.Ends+m.Writes:
			s.change(node, session)
			recorded[session] = max(recorded[session], now)
		case now-recorded[session] >= m.Throttle:
			s.touch(node, session)
			recorded[session] = now
		}
	}
	all := s.counted()
	all.Requests = n
	return all.minus(warm)
}
