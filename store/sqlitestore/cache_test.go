package sqlitestore

import (
	"testing"

	"github.com/coatcheck/coatcheck/store"
)

// record is a record that lives from 0 to 100 microseconds.
func record(version uint64) *store.Record {
	return &store.Record{ID: store.ID{15: 1}, Version: version, Created: instant(0), LastSeen: instant(0),
		Idle: microseconds(100), Absolute: instant(100)}
}

// What a Load brings from the database is kept only if it is still true, and
// always completed by the touches that the database does not have.
func TestCacheKeepsWhatIsStillTrue(t *testing.T) {
	id := record(1).ID
	tests := []struct {
		name      string
		meanwhile func(c *cache) // between the miss and the return
		kept      bool
		seen      int64 // of the record as returned
	}{
		{"nothing happened", func(c *cache) {}, true, 0},
		{"a transaction has judged it", func(c *cache) { c.claim(id) }, false, 0},
		{"a transaction that is over has judged it", func(c *cache) { c.claim(id); c.release(id) }, true, 0},
		{"a transaction removes everything", func(c *cache) { c.claimAll() }, false, 0},
		{"everything was removed", func(c *cache) { c.claimAll(); c.removedAll(); c.releaseAll() }, false, 0},
		{"it was removed", func(c *cache) { c.changed(id, nil) }, false, 0},
		{"it was touched", func(c *cache) { c.of(id).records.put(record(1)); c.touch(id, 50) }, true, 50},
		{"a touch was written", func(c *cache) { c.written(touch{id, 50}) }, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCache(1 << 20)
			var rec store.Record
			found, missed := c.load(id, &rec)
			if found {
				t.Fatal("an empty cache has a record")
			}
			test.meanwhile(c)
			rec = *record(1)
			c.filled(&rec, missed)
			if seen := rec.LastSeen.UnixMicro(); seen != test.seen {
				t.Errorf("last seen at %d, want %d", seen, test.seen)
			}
			if kept, _ := c.load(id, &rec); kept != test.kept {
				t.Errorf("kept: %v, want %v", kept, test.kept)
			}
		})
	}
}

// A touch of a record that a transaction has judged waits for the end of that.
func TestCacheTouches(t *testing.T) {
	id := record(1).ID
	retired := record(1)
	retired.Retired = true
	tests := []struct {
		name  string
		setup func(c *cache)
		now   int64
		want  touchResult
	}{
		{"not there", func(c *cache) {}, 50, touchUnknown},
		{"alive", func(c *cache) { c.changed(id, record(1)) }, 99, touchDone},
		{"dead", func(c *cache) { c.changed(id, record(1)) }, 100, touchRefused},
		{"retired", func(c *cache) { c.changed(id, retired) }, 50, touchRefused},
		{"claimed", func(c *cache) { c.changed(id, record(1)); c.claim(id) }, 50, touchUnknown},
		{"all claimed", func(c *cache) { c.claimAll(); c.changed(id, record(1)) }, 50, touchUnknown},
		{"released", func(c *cache) { c.changed(id, record(1)); c.claim(id); c.release(id) }, 50, touchDone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCache(1 << 20)
			test.setup(c)
			if got := c.touch(id, test.now); got != test.want {
				t.Errorf("touch: %d, want %d", got, test.want)
			}
			pending := test.want == touchDone
			if got := c.seen(id) == test.now; got != pending || c.pending.Load() == 1 != pending {
				t.Errorf("to be written: %v (%d in all), want %v", got, c.pending.Load(), pending)
			}
		})
	}
}

// An older touch that was written does not take a newer one along.
func TestCacheKeepsTheNewerTouch(t *testing.T) {
	c := newCache(1 << 20)
	id := record(1).ID
	c.changed(id, record(1))
	c.touch(id, 10)
	c.touch(id, 20)
	c.written(touch{id, 10})
	if seen := c.seen(id); seen != 20 {
		t.Errorf("to be written is %d, want 20", seen)
	}
	c.written(touch{id, 20})
	if seen := c.seen(id); seen != never || c.pending.Load() != 0 {
		t.Errorf("to be written is %d (%d in all), want nothing", seen, c.pending.Load())
	}
}
