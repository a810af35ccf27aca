package site_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// BenchmarkSite/CONTENDER/WORK is one kind of work of one contender, for
// profiles; for comparisons there is script/bench. In bench:
//
//	go test ./internal/site -run '^$' -bench 'Site/^coatcheck$/^read_one_key$' -benchmem -cpuprofile /tmp/cpu.out
//	go tool pprof -top site.test /tmp/cpu.out
func BenchmarkSite(b *testing.B) {
	for _, contender := range site.All {
		for _, work := range site.Works {
			if contender.Can(work) {
				b.Run(contender.Name+"/"+string(work), func(b *testing.B) { benchmark(b, contender, work) })
			}
		}
	}
}

// BenchmarkLadder/WORK/RUNG is one rung of a ladder.
func BenchmarkLadder(b *testing.B) {
	for _, ladder := range site.Ladders {
		for _, rung := range ladder.Rungs {
			b.Run(strings.ReplaceAll(ladder.Title(), ",", "")+"/"+rung.Name, func(b *testing.B) { benchmark(b, rung.Contender, ladder.Work) })
		}
	}
}

func benchmark(b *testing.B, contender site.Contender, work site.Work) {
	heap := make([]byte, 64<<20) // as script/bench holds, so that the collector runs as often
	defer runtime.KeepAlive(heap)
	s, err := contender.New(site.Small)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	v, err := s.Visitor(work)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	used := measure.ProcessorTime()
	for b.Loop() {
		v.Visit()
	}
	b.ReportMetric(float64(measure.ProcessorTime()-used)/float64(b.N), "cpu-ns/op")
	if err := site.Check(v, work); err != nil {
		b.Fatal(err)
	}
}
