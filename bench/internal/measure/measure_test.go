package measure

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

// Who allocates little pays for its garbage too: no round is without a
// collection, and its time counts.
func TestARoundCollects(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sample := measure([]func(){func() { time.Sleep(time.Millisecond) }}, 5*time.Millisecond)
	runtime.ReadMemStats(&after)
	if cycles := after.NumGC - before.NumGC; cycles < 2 {
		t.Errorf("%d collections, want one before and one at the end", cycles)
	}
	if sample.CPU == 0 || sample.Operations == 0 {
		t.Errorf("measured %+v", sample)
	}
}

// What did not do its work is no result.
func TestCompareEndsWithTheError(t *testing.T) {
	failed := errors.New("failed fast")
	_, err := Compare([]Subject{{Name: "broken", Begin: func(int) ([]func(), func() error, error) {
		return []func(){func() {}}, func() error { return failed }, nil
	}}}, 1, time.Millisecond, 1)
	if !errors.Is(err, failed) {
		t.Errorf("compared with %v", err)
	}
}
