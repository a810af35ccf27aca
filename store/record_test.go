package store_test

import (
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var noon = time.Date(2026, time.January, 2, 12, 0, 0, 0, time.UTC)

func TestARecordLivesUntilTheEarlierOfBothLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		rec  store.Record
		dies time.Time
	}{
		{"idle first", store.Record{LastSeen: noon, Idle: time.Hour, Absolute: noon.Add(2 * time.Hour)}, noon.Add(time.Hour)},
		{"absolute first", store.Record{LastSeen: noon, Idle: 2 * time.Hour, Absolute: noon.Add(time.Hour)}, noon.Add(time.Hour)},
		{"both at once", store.Record{LastSeen: noon, Idle: time.Hour, Absolute: noon.Add(time.Hour)}, noon.Add(time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.rec.Deadline(); !got.Equal(c.dies) {
				t.Errorf("Deadline is %v, want %v", got, c.dies)
			}
			if !c.rec.Live(c.dies.Add(-time.Microsecond)) {
				t.Error("dead before its deadline")
			}
			if c.rec.Live(c.dies) || c.rec.Live(c.dies.Add(time.Microsecond)) {
				t.Error("alive at its deadline or past it")
			}
			c.rec.Retired = true
			if c.rec.Live(noon) {
				t.Error("alive although retired")
			}
		})
	}
}

func TestAnInstantIsInUTCAndWholeMicroseconds(t *testing.T) {
	at := time.Date(2026, time.January, 2, 15, 0, 0, 1999, time.FixedZone("away", 3*3600))
	got := store.Instant(at)
	if want := noon.Add(time.Microsecond); got != want {
		t.Errorf("Instant(%v) = %v, want %v", at, got, want)
	}
	if now := time.Now(); store.Instant(now) != store.Instant(now.Round(0)) {
		t.Error("Instant keeps a monotonic reading")
	}
}
