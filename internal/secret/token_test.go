package secret_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/internal/secret"
)

func TestThereIsOneWayToWriteAToken(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"cut by one", tokenVector[:63]},
		{"cut in half", tokenVector[:32]},
		{"one more", tokenVector + "A"},
		{"padded", tokenVector + "="},
		{"padding for the last", tokenVector[:63] + "="},
		{"standard alphabet", strings.Repeat("+", 64)},
		{"slash", strings.Repeat("/", 64)},
		{"a line end within", tokenVector[:30] + "\n" + tokenVector[31:]},
		{"a line end more", tokenVector + "\n"},
		{"line ends for letters", tokenVector[:60] + "\r\n\r\n"},
		{"a space", " " + tokenVector[1:]},
		{"quoted", `"` + tokenVector[:62] + `"`},
		{"percent", tokenVector[:61] + "%3D"},
		{"a byte of 0", tokenVector[:63] + "\x00"},
		{"not ASCII", tokenVector[:62] + "é"},
		{"hex of the id", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"},
		{"very long", strings.Repeat("A", 1<<20)},
	} {
		if token, ok := parse(c.text); ok || token != (secret.Token{}) {
			t.Errorf("%s: %q is taken for a token", c.name, c.text)
		}
	}
}

func parse(text string) (t secret.Token, ok bool) {
	ok = t.Parse(text)
	return t, ok
}

func FuzzParseToken(f *testing.F) {
	f.Add(tokenVector)
	f.Add(strings.Repeat("-_", 32))
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := parse(text)
		if ok != isToken(text) {
			t.Fatalf("%q: taken for a token: %t", text, ok)
		}
		if ok && string(token.AppendReveal(nil)) != text {
			t.Fatalf("%q is written again as another", text)
		}
	})
}

// isToken says slowly what a token is.
func isToken(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == 48 && base64.RawURLEncoding.EncodeToString(raw) == text
}

func TestParsingATokenAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { parse(tokenVector) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
