package store_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/store"
)

const written = "00112233445566778899aabbccddeeff"

var known = store.ID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}

func TestAnIDIsReadAsItIsWritten(t *testing.T) {
	if got := known.String(); got != written {
		t.Errorf("String is %s, want %s", got, written)
	}
	got, err := store.ParseID(written)
	if err != nil || got != known {
		t.Errorf("ParseID(%s) = %v, %v", written, got, err)
	}
	text, err := json.Marshal(map[store.ID]store.ID{known: known})
	if want := `{"` + written + `":"` + written + `"}`; err != nil || string(text) != want {
		t.Errorf("as JSON: %s, %v; want %s", text, err, want)
	}
	var back map[store.ID]store.ID
	if err := json.Unmarshal(text, &back); err != nil || back[known] != known {
		t.Errorf("from JSON: %v, %v", back, err)
	}
}

func TestAnIDHasOneForm(t *testing.T) {
	for _, text := range []string{
		"", "0", written[1:], written + "0", strings.ToUpper(written), " " + written[1:],
		"g" + written[1:], "0x" + written[2:], written[:31] + "\x00", "é" + written[2:],
	} {
		if id, err := store.ParseID(text); err == nil || !id.IsZero() {
			t.Errorf("ParseID(%q) = %v, %v; want an error and the zero ID", text, id, err)
		}
		id := known
		if err := id.UnmarshalText([]byte(text)); err == nil || id != known {
			t.Errorf("UnmarshalText(%q) left %v, %v; want an error and no change", text, id, err)
		}
	}
}

func TestPartsOfAnID(t *testing.T) {
	if got := known.Placement(); got != [2]byte{0x00, 0x11} {
		t.Errorf("Placement is %x", got)
	}
	if known.IsZero() || !(store.ID{}).IsZero() {
		t.Error("IsZero mistakes an id for none, or none for an id")
	}
}
