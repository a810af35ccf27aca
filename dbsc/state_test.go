package dbsc_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// states are states and how they are stored, put together by hand from the
// drawing in the comment of dbsc.State.
var states = []struct {
	name   string
	state  dbsc.State
	stored string
}{
	{"none", dbsc.State{}, ""},
	{
		"offered",
		dbsc.State{Offered: &dbsc.Offered{Challenge: filled(0xc1), Until: time.UnixMicro(0x0102030405060708).UTC()}},
		"0101" + strings.Repeat("c1", 32) + "0102030405060708",
	},
	{
		"bound by ES256",
		dbsc.State{Bound: &dbsc.Bound{
			Since: time.UnixMicro(0x1112131415161718).UTC(), Challenge: filled(0xc2),
			Current: dbsc.Ticket{Hash: filled(0xc3), Until: time.UnixMicro(0x2122232425262728).UTC()},
			Key:     dbsc.Key{Algorithm: dbsc.ES256, Public: bytes.Repeat([]byte{4}, 65)},
		}},
		"0102" + "1112131415161718" + strings.Repeat("c2", 32) +
			strings.Repeat("c3", 32) + "2122232425262728" + strings.Repeat("00", 40) +
			"01" + strings.Repeat("04", 65),
	},
	{
		"bound by RS256, with a cookie before",
		dbsc.State{Bound: &dbsc.Bound{
			Since: time.UnixMicro(0x1112131415161718).UTC(), Challenge: filled(0xc2),
			Current:  dbsc.Ticket{Hash: filled(0xc3), Until: time.UnixMicro(0x2122232425262728).UTC()},
			Previous: dbsc.Ticket{Hash: filled(0xc4), Until: time.UnixMicro(0x3132333435363738).UTC()},
			Key:      dbsc.Key{Algorithm: dbsc.RS256, Public: []byte{0, 1, 0, 1, 0xee}},
		}},
		"0102" + "1112131415161718" + strings.Repeat("c2", 32) +
			strings.Repeat("c3", 32) + "2122232425262728" + strings.Repeat("c4", 32) + "3132333435363738" +
			"02" + "00010001ee",
	},
}

func filled(b byte) (array [32]byte) {
	for i := range array {
		array[i] = b
	}
	return array
}

func TestStatesAreStoredAsDrawn(t *testing.T) {
	for _, c := range states {
		t.Run(c.name, func(t *testing.T) {
			if got := hex.EncodeToString(c.state.Append([]byte{0xab})); got != "ab"+c.stored {
				t.Errorf("stored as\n%s, want\n%s", got[2:], c.stored)
			}
			stored, err := hex.DecodeString(c.stored)
			if err != nil {
				t.Fatal(err)
			}
			got, err := dbsc.Parse(stored)
			if err != nil || !reflect.DeepEqual(got, c.state) {
				t.Fatalf("read as %+v, %v; want %+v", got, err, c.state)
			}
			clear(stored)
			if !reflect.DeepEqual(got, c.state) {
				t.Error("what was read is lent from what was stored")
			}
		})
	}
}

func TestWhatIsNoStateIsRefused(t *testing.T) {
	for _, c := range states {
		stored, err := hex.DecodeString(c.stored)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < len(stored); n++ {
			if n > 123 && c.state.Bound != nil {
				break // what follows is the key, of any length
			}
			if _, err := dbsc.Parse(stored[:n]); !errors.Is(err, dbsc.ErrState) {
				t.Errorf("%s: %d of %d bytes are taken for one: %v", c.name, n, len(stored), err)
			}
		}
		for at, values := range map[int][]byte{0: {0, 2, 255}, 1: {0, 3, 255}, 122: {0, 3, 255}} {
			for _, value := range values {
				if at >= len(stored) {
					continue
				}
				changed := bytes.Clone(stored)
				changed[at] = value
				if _, err := dbsc.Parse(changed); !errors.Is(err, dbsc.ErrState) {
					t.Errorf("%s with byte %d as %d: %v, want ErrState", c.name, at, value, err)
				}
			}
		}
	}
}

func TestTheLargestStateFitsWhereItIsKept(t *testing.T) {
	s := states[3].state
	bound := *s.Bound
	bound.Key.Public = make([]byte, 4+4096/8)
	if n := len(dbsc.State{Bound: &bound}.Append(nil)); n > 1024 {
		t.Errorf("a session bound by the largest key takes %d bytes of its head, want at most 1024", n)
	}
}

func TestSecretsPrintNothingOfThemselves(t *testing.T) {
	var c dbsc.Config
	c.SetDefaults()
	_, challenge := c.Offer("name", noon)
	text := challenge.Reveal()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "challenge", challenge)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "challenge", challenge)
	encoded, err := json.Marshal(challenge)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(challenge), fmt.Sprintf("%s %q %v %+v %#v %x %d", challenge, challenge, challenge, challenge, challenge, challenge, challenge),
		fmt.Sprintf("%+v", struct{ C dbsc.Secret }{challenge}), log.String(), string(encoded),
	} {
		if strings.Contains(printed, text[10:]) || strings.Contains(printed, fmt.Sprintf("%x", text[10:])) {
			t.Errorf("the secret is in %s", printed)
		}
		if !strings.Contains(printed, "[secret]") {
			t.Errorf("%s does not say that it is one", printed)
		}
	}
}
