package payload_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/internal/payload"
)

func value(tag byte, text string) payload.Value { return payload.Value{Tag: tag, Bytes: []byte(text)} }

// TestVector freezes the format: it is the drawing in the package comment by
// hand. What a release has stored, every later one must read.
func TestVector(t *testing.T) {
	long := strings.Repeat("n", 200)
	p := payload.Put(nil, nil, "a", value('s', "1"))
	p = payload.Put(nil, p, long, value('j', ""))
	drawn := "01" + "0161" + "73" + "0131" + "c801" + hex.EncodeToString([]byte(long)) + "6a" + "00"
	if got := hex.EncodeToString(p); got != drawn {
		t.Errorf("written as\n%s, was\n%s", got, drawn)
	}
	if v, found := payload.Find(p, "a"); !found || !v.Equal(value('s', "1")) {
		t.Errorf("a is %v, %t", v, found)
	}
}

func TestPutAndRemoveLeaveTheRestAlone(t *testing.T) {
	var p []byte
	for _, name := range []string{"a", "b", "c"} {
		p = payload.Put([]byte("kept"), p, name, value('s', name+"1"))[4:]
	}
	before := bytes.Clone(p)
	changed := payload.Put(nil, p, "b", value('j', "longer than before"))
	removed := payload.Remove([]byte("kept"), changed, "a")
	if !bytes.HasPrefix(removed, []byte("kept")) {
		t.Errorf("Remove does not append: %q", removed)
	}
	removed = removed[4:]
	if !bytes.Equal(p, before) {
		t.Error("the payload itself has changed")
	}
	if names := slices.Collect(payload.Names(changed)); !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("a value that is set again moves: %q", names)
	}
	if names := slices.Collect(payload.Names(removed)); !slices.Equal(names, []string{"b", "c"}) {
		t.Errorf("after the removal: %q", names)
	}
	if v, _ := payload.Find(removed, "c"); !v.Equal(value('s', "c1")) {
		t.Errorf("c is %v", v)
	}
	if same := payload.Remove(nil, p, "d"); !bytes.Equal(same, p) {
		t.Errorf("removing what is not there changes %x to %x", p, same)
	}
	last := payload.Remove(nil, payload.Put(nil, nil, "a", value('s', "")), "a")
	if len(last) != 0 {
		t.Errorf("without its last value it is %x", last)
	}
}

func TestValuesAreEqualWithTheirTags(t *testing.T) {
	if value('s', "1").Equal(value('j', "1")) || value('s', "1").Equal(value('s', "2")) {
		t.Error("different values are equal")
	}
	if !value('s', "").Equal(payload.Value{Tag: 's'}) {
		t.Error("an empty value is not equal to none of that tag")
	}
}

func TestWhatIsNoPayloadIsRefused(t *testing.T) {
	good := payload.Put(nil, payload.Put(nil, nil, "a", value('s', "1")), "b", value('j', "2"))
	if err := payload.Check(good); err != nil {
		t.Fatal(err)
	}
	if err := payload.Check(nil); err != nil {
		t.Errorf("the payload without values: %v", err)
	}
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"version 0", append([]byte{0}, good[1:]...)},
		{"version 2", append([]byte{2}, good[1:]...)},
		{"no values", []byte{1}},
		{"a name longer than the rest", []byte{1, 9, 'a'}},
		{"a value longer than the rest", []byte{1, 1, 'a', 's', 9, '1'}},
		{"no tag", []byte{1, 1, 'a'}},
		{"no value", []byte{1, 1, 'a', 's'}},
		{"a length that never ends", append([]byte{1}, bytes.Repeat([]byte{0xff}, 20)...)},
		{"a length of 64 bits", []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'}},
		{"a length written longer than needed", []byte{1, 0x81, 0, 'a', 's', 1, '1'}},
	} {
		if err := payload.Check(c.p); !errors.Is(err, payload.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", c.name, err)
		}
	}
	for i := 1; i < len(good); i++ {
		if err := payload.Check(good[:i]); (err == nil) != (i == 6) { // 6: after the first value
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
}

// FuzzModel plays the input as a script of changes, on a payload and on a slice
// of names and values.
func FuzzModel(f *testing.F) {
	f.Add([]byte("pa1pb2ra pa33pc rb rc"))
	f.Fuzz(func(t *testing.T, script []byte) {
		type entry struct {
			name  string
			value payload.Value
		}
		var p []byte
		var model []entry
		size := func() (n int) {
			for _, e := range model {
				n += payload.Size(e.name, e.value)
			}
			return n + min(1, len(model))
		}
		for len(script) >= 3 {
			name := strings.Repeat(string(script[1:2]), int(script[1]%3)*70)
			v := payload.Value{Tag: script[2], Bytes: bytes.Repeat(script[2:3], int(script[2])*2)}
			at := slices.IndexFunc(model, func(e entry) bool { return e.name == name })
			switch remove := script[0]%4 == 2; {
			case remove && at >= 0:
				model = slices.Delete(model, at, at+1)
				fallthrough
			case remove:
				p = payload.Remove(nil, p, name)
			case at >= 0:
				model[at].value = v
				p = payload.Put(nil, p, name, v)
			default:
				model = append(model, entry{name, v})
				p = payload.Put(nil, p, name, v)
			}
			script = script[3:]

			if err := payload.Check(p); err != nil {
				t.Fatal(err)
			}
			if len(p) != size() {
				t.Fatalf("it has %d bytes, by Size %d", len(p), size())
			}
			var names []string
			for _, e := range model {
				names = append(names, e.name)
				if v, found := payload.Find(p, e.name); !found || !v.Equal(e.value) {
					t.Fatalf("%q is %v, %t; want %v", e.name, v, found, e.value)
				}
			}
			if got := slices.Collect(payload.Names(p)); !slices.Equal(got, names) {
				t.Fatalf("names are %q, want %q", got, names)
			}
			if v, found := payload.Find(p, "no such name"); found {
				t.Fatalf("what was never set is %v", v)
			}
		}
	})
}

// FuzzCheck: no byte string makes anything panic, and what Check accepts is
// read whole.
func FuzzCheck(f *testing.F) {
	f.Add(payload.Put(nil, payload.Put(nil, nil, "a", value('s', "1")), "b", value('j', "2")))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, p []byte) {
		v, found := payload.Find(p, "a")
		put := payload.Put(nil, p, "a", value('s', "new"))
		payload.Remove(nil, p, "a")
		names := slices.Collect(payload.Names(p))
		if now, _ := payload.Find(put, "a"); !now.Equal(value('s', "new")) {
			t.Fatalf("what was put is found as %v", now)
		}
		if payload.Check(p) != nil {
			return
		}
		if found != slices.Contains(names, "a") {
			t.Fatalf("a is found: %t, %v; names are %q", found, v, names)
		}
		var again []byte
		for _, name := range names {
			v, found := payload.Find(p, name)
			if !found {
				t.Fatalf("%q is named and not found", name)
			}
			again = payload.Put(nil, again, name, v)
		}
		unique := len(slices.Compact(slices.Sorted(slices.Values(names)))) == len(names)
		if unique && !bytes.Equal(again, p) { // nothing here writes a name twice
			t.Fatalf("built again from its values it is\n%x, was\n%x", again, p)
		}
	})
}

func TestFindingAllocatesNothing(t *testing.T) {
	var p []byte
	for i := range 5 {
		p = payload.Put(nil, p, fmt.Sprintf("key%d", i), value('s', "v"))
	}
	if n := testing.AllocsPerRun(100, func() { payload.Find(p, "key4") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
