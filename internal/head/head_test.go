package head_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/store"
)

// fill puts a, a+1, a+2 and so on into b.
func fill(b []byte, a byte) {
	for i := range b {
		b[i] = a + byte(i)
	}
}

func at(us int64) time.Time { return time.UnixMicro(us).UTC() }

// least is a head with nothing that can be left out.
func least() (h head.Head) {
	h.Drawn = at(0x0102030405060708)
	fill(h.Family[:], 0x10)
	fill(h.Current[:], 0x20)
	return h
}

// most is a head with all that can be there.
func most() head.Head {
	h := least()
	h.SignedIn, h.Remembered, h.Sealed, h.Level = true, true, true, 2
	h.Authenticated, h.Lifetime = at(2), 3*time.Microsecond
	fill(h.Wrap[:], 0x40)
	h.HasPrevious, h.Seen = true, at(4)
	fill(h.Previous[:], 0x60)
	fill(h.PreviousWrap[:], 0x80)
	h.HasReplaced, h.ReplacedUntil = true, at(5)
	fill(h.Replaced[:], 0xa0)
	h.Name, h.Device, h.Network, h.Bound = []byte("id"), []byte("Firefox"), []byte("192.0.2.0/24"), []byte("key")
	return h
}

const (
	leastVector = "010000" +
		"101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f" +
		"0102030405060708" + "00" + "00" + "00"
	mostVector = "013f02" +
		"101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f" +
		"0102030405060708" +
		"0000000000000002" +
		"0000000000000003" +
		"404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" +
		"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f" +
		"0000000000000004" +
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" +
		"a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf" +
		"0000000000000005" +
		"026964" + "0746697265666f78" + "0c3139322e302e322e302f3234" + "6b6579"
)

// TestVectors freezes the format: they are the drawing in the package comment
// by hand. What a release has stored, every later one must read.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name, vector string
		head         head.Head
	}{{"least", leastVector, least()}, {"most", mostVector, most()}} {
		t.Run(c.name, func(t *testing.T) {
			if got := hex.EncodeToString(c.head.Append(nil)); got != c.vector {
				t.Errorf("written as\n%s, was\n%s", got, c.vector)
			}
			raw, err := hex.DecodeString(c.vector)
			if err != nil {
				t.Fatal(err)
			}
			got := most() // Parse leaves nothing of what was there
			if err := got.Parse(raw); err != nil {
				t.Fatal(err)
			}
			same(t, got, c.head)
		})
	}
}

// same compares two heads; strings that are empty are equal to none.
func same(t *testing.T, got, want head.Head) {
	t.Helper()
	for _, h := range []*head.Head{&got, &want} {
		for _, text := range []*[]byte{&h.Name, &h.Device, &h.Network, &h.Bound} {
			*text = append([]byte{}, *text...)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read as\n%+v, want\n%+v", got, want)
	}
}

func TestEveryFlagReadsWhatItWrites(t *testing.T) {
	for flags := range 64 {
		h := most()
		h.SignedIn, h.Remembered, h.Sealed = flags&1 != 0, flags&2 != 0, flags&4 != 0
		h.HasPrevious, h.HasReplaced = flags&8 != 0, flags&16 != 0
		if flags&32 == 0 {
			h.Bound = nil
		}
		raw := h.Append([]byte("kept"))[4:]
		if raw[1] != byte(flags) {
			t.Errorf("flags are %#x, want %#x", raw[1], flags)
		}
		var got head.Head
		if err := got.Parse(raw); err != nil {
			t.Errorf("flags %#x: %v", flags, err)
		}
		if again := got.Append(nil); !bytes.Equal(again, raw) {
			t.Errorf("flags %#x: written again as\n%x, was\n%x", flags, again, raw)
		}
	}
}

func TestWhatIsNoHeadIsRefused(t *testing.T) {
	whole := func(h head.Head) []byte { return h.Append(nil) }
	good := whole(most())
	with := func(place int, b byte) []byte {
		changed := bytes.Clone(good)
		changed[place] = b
		return changed
	}
	lifetime := func(us uint64) []byte {
		raw := append([]byte{1, 2, 0}, make([]byte, 16+32+8)...)
		return append(binary.BigEndian.AppendUint64(raw, us), 0, 0, 0)
	}
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"empty", nil},
		{"version 0", with(0, 0)},
		{"version 2", with(0, 2)},
		{"an unknown flag", with(1, 0x40|good[1])},
		{"a flag without its field", append([]byte{1, 16}, whole(least())[2:]...)},
		{"bound without anything", append(whole(least())[:1:1], append([]byte{32}, whole(least())[2:]...)...)},
		{"a byte too many", append(whole(least()), 0)},
		{"a lifetime before it began", lifetime(1<<64 - 1)},
		{"a lifetime beyond all time", lifetime(1<<64/1000 + 1)},
		{"a name longer than names are", append(whole(least())[:59:59], append(append([]byte{65}, make([]byte, 65)...), 0, 0)...)},
		{"too much that binds", append(bytes.Clone(good), make([]byte, head.MaxBound)...)},
	} {
		var h head.Head
		if err := h.Parse(c.raw); !errors.Is(err, head.ErrUnknown) {
			t.Errorf("%s: %v, want ErrUnknown", c.name, err)
		}
	}
	for i := range len(good) - len("key") {
		var h head.Head
		if err := h.Parse(good[:i]); !errors.Is(err, head.ErrUnknown) {
			t.Errorf("cut after %d bytes: %v, want ErrUnknown", i, err)
		}
	}
	var h head.Head
	if err := h.Parse(with(0, 9)); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("another version: %v, which does not name it", err)
	}
}

func TestTheLongestHeadFitsARecord(t *testing.T) {
	h := most()
	for _, text := range []*[]byte{&h.Name, &h.Device, &h.Network} {
		*text = bytes.Repeat([]byte{'x'}, 1000)
	}
	h.Bound = bytes.Repeat([]byte{'x'}, head.MaxBound)
	raw := h.Append(nil)
	if len(raw) > store.MaxHead {
		t.Errorf("it has %d bytes, a store keeps %d", len(raw), store.MaxHead)
	}
	var got head.Head
	if err := got.Parse(raw); err != nil {
		t.Fatal(err)
	}
	if len(got.Name) != head.MaxName || len(got.Device) != head.MaxDevice || len(got.Network) != head.MaxNetwork {
		t.Errorf("strings are cut to %d, %d and %d bytes", len(got.Name), len(got.Device), len(got.Network))
	}
}

// FuzzParse: no byte string makes Parse panic, and what it reads is written
// again as it was.
func FuzzParse(f *testing.F) {
	for _, h := range []head.Head{least(), most()} {
		f.Add(h.Append(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h head.Head
		if err := h.Parse(raw); err != nil {
			if !errors.Is(err, head.ErrUnknown) {
				t.Fatalf("%x: %v", raw, err)
			}
			return
		}
		again := h.Append(nil)
		if !bytes.Equal(again, raw) && !yearOne(&h) {
			t.Fatalf("written again as\n%x, was\n%x", again, raw)
		}
	})
}

// yearOne reports whether the head holds the one instant that is taken for no
// time at all.
func yearOne(h *head.Head) bool {
	for _, when := range []time.Time{h.Drawn, h.Authenticated, h.Seen, h.ReplacedUntil} {
		if when.IsZero() {
			return true
		}
	}
	return false
}
