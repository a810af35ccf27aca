package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

func TestRotationKeepsTheFamilyAndNothingElse(t *testing.T) {
	const scope = secret.Scope("id")
	first := secret.New()
	second := first.Rotated()
	if !scope.Family(first).Equal(scope.Family(second)) {
		t.Error("rotation has changed the family")
	}
	if scope.Verifier(first).Equal(scope.Verifier(second)) {
		t.Error("rotation has kept the verifier")
	}
	if scope.CSRFKey(store.ID{}, first) != scope.CSRFKey(store.ID{}, second) {
		t.Error("rotation has changed the CSRF key")
	}
	for i := 8; i < len(first); i++ { // a byte that stays in 64 rotations is not drawn
		changed := false
		for range 64 {
			changed = changed || first.Rotated()[i] != first[i]
		}
		if !changed {
			t.Errorf("byte %d of the secret is never drawn anew", i)
		}
	}
	if other := secret.New(); scope.Family(first).Equal(scope.Family(other)) {
		t.Error("two sign-ins are of one family")
	}
}

// TestEveryByteCounts: each derived value depends on every byte of what it is
// derived from, on the scope and on its use.
func TestEveryByteCounts(t *testing.T) {
	const scope = secret.Scope("id")
	s, id := secret.New(), secret.NewToken("").ID
	for i := range s {
		changed := s
		changed[i] ^= 1
		if scope.Verifier(s).Equal(scope.Verifier(changed)) {
			t.Errorf("byte %d of the secret does not count for the verifier", i)
		}
		if got, want := scope.Family(s).Equal(scope.Family(changed)), i >= 8; got != want {
			t.Errorf("byte %d of the secret: same family: %t, want %t", i, got, want)
		}
		if got, want := scope.CSRFKey(id, s) == scope.CSRFKey(id, changed), i >= 8; got != want {
			t.Errorf("byte %d of the secret: same CSRF key: %t, want %t", i, got, want)
		}
		if scope.Wrap(secret.DataKey{}, s) == scope.Wrap(secret.DataKey{}, changed) {
			t.Errorf("byte %d of the secret does not count for the wrapping", i)
		}
	}
	for i := range id {
		other := id
		other[i] ^= 1
		if scope.CSRFKey(id, s) == scope.CSRFKey(other, s) {
			t.Errorf("byte %d of the id does not count for the CSRF key", i)
		}
	}
	if scope.Verifier(s).Equal(secret.Scope("ie").Verifier(s)) {
		t.Error("the scope does not count")
	}
	wrapOfNothing := scope.Wrap(secret.DataKey{}, s)
	if secret.Verifier(wrapOfNothing).Equal(scope.Verifier(s)) {
		t.Error("a stored verifier unwraps the data key")
	}
}

func TestSubjectsShareTheirPlacementAndNothingElse(t *testing.T) {
	one, two := secret.NewToken("alice").ID, secret.NewToken("alice").ID
	if one.Placement() != two.Placement() || one == two {
		t.Errorf("two ids of one subject: %s, %s", one, two)
	}
	if long := secret.NewToken(strings.Repeat("a", 511)).ID; long.Placement() == one.Placement() {
		t.Error("another subject, of 511 bytes, has the same placement")
	}
	places := map[[2]byte]bool{}
	for range 20 {
		places[secret.NewToken("").ID.Placement()] = true
	}
	if len(places) < 10 {
		t.Errorf("20 anonymous sessions have %d placements", len(places))
	}
}

func TestSealedDataOpensOnlyAsItWasSealed(t *testing.T) {
	const scope = secret.Scope("id")
	key, id := secret.NewDataKey(), secret.NewToken("alice").ID
	sealed := scope.Seal([]byte("kept"), box(key), id, []byte("the coat"))
	if !bytes.HasPrefix(sealed, []byte("kept")) || len(sealed) != 4+8+secret.Overhead {
		t.Errorf("sealed into %q", sealed)
	}
	sealed = sealed[4:]
	if data, err := scope.Open([]byte("kept"), box(key), id, sealed); err != nil || string(data) != "keptthe coat" {
		t.Errorf("opened into %q, %v", data, err)
	}
	if again := scope.Seal(nil, box(key), id, []byte("the coat")); bytes.Equal(again, sealed) {
		t.Error("the same data is sealed the same twice: the nonce is not drawn")
	}
	refused := func(what string, scope secret.Scope, key secret.DataKey, id store.ID, sealed []byte) {
		t.Helper()
		if data, err := scope.Open(nil, box(key), id, sealed); !errors.Is(err, secret.ErrSealed) || len(data) > 0 {
			t.Errorf("%s: %q, %v; want ErrSealed", what, data, err)
		}
	}
	for i := range sealed {
		damaged := slices.Clone(sealed)
		damaged[i] ^= 0x80
		refused(fmt.Sprintf("byte %d changed", i), scope, key, id, damaged)
		refused(fmt.Sprintf("cut after %d bytes", i), scope, key, id, sealed[:max(i, 1)])
	}
	refused("a byte more", scope, key, id, append(slices.Clone(sealed), 0))
	refused("another scope", "ie", key, id, sealed)
	refused("another key", scope, secret.NewDataKey(), id, sealed)
	refused("another session", scope, key, secret.NewToken("alice").ID, sealed)
}

func TestNothingIsSealedAsNothing(t *testing.T) {
	if sealed := secret.Scope("id").Seal(nil, new(secret.Box), store.ID{}, nil); len(sealed) != 0 {
		t.Errorf("sealed: %x", sealed)
	}
	if data, err := secret.Scope("id").Open(nil, new(secret.Box), store.ID{}, nil); err != nil || len(data) != 0 {
		t.Errorf("opened: %x, %v", data, err)
	}
}

// TestSecretsPrintNothingOfThemselves under any verb, in logs and in JSON, also
// within other values.
func TestSecretsPrintNothingOfThemselves(t *testing.T) {
	s, _, key := vectorInputs()
	token := secret.Token{Secret: s}
	for _, v := range []any{
		s, &s, key, &key, token, &token,
		struct{ S secret.Secret }{s}, []secret.DataKey{key}, *box(key), box(key), kept(s, key), map[string]secret.Token{"t": token}, []any{&token},
	} {
		for _, printed := range everyWayToPrint(v) {
			if reveals(printed, s[:]) || reveals(printed, key[:]) {
				t.Errorf("%T is printed as %s", v, printed)
			}
		}
	}
}

// everyWayToPrint prints a value in the ways that programs print values. %p is
// not among them: fmt asks no method of a value for it, and vet refuses it.
func everyWayToPrint(v any) (printed []string) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		printed = append(printed, fmt.Sprintf(verb, v))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
	encoded, err := json.Marshal(v)
	return append(printed, log.String(), string(encoded), fmt.Sprint(err))
}

// reveals reports whether a text holds a secret, in a form that programs write
// bytes in. Eight bytes of it are enough.
func reveals(text string, bytes []byte) bool {
	decimals := strings.Trim(fmt.Sprint(bytes[8:16]), "[]")
	for _, form := range []string{
		hex.EncodeToString(bytes[8:16]), string(bytes[8:16]), decimals, strings.ReplaceAll(decimals, " ", ","),
		base64.RawURLEncoding.EncodeToString(bytes)[12:20], base64.RawURLEncoding.EncodeToString(append(make([]byte, 16), bytes...))[33:41],
		"0x8, 0x9, 0xa", "0x48, 0x49, 0x4a",
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

// kept has the cipher of a key that is wrapped under a secret.
func kept(s secret.Secret, k secret.DataKey) *secret.Ciphers {
	c := new(secret.Ciphers)
	c.Box("id", store.ID{}, secret.Scope("id").Verifier(s), secret.Scope("id").Wrap(k, s), s)
	return c
}

// box returns a new box of a key.
func box(k secret.DataKey) *secret.Box {
	b := new(secret.Box)
	b.Use(k)
	return b
}

func TestBoxOfAnotherKeyForgetsTheFirst(t *testing.T) {
	scope, id := secret.Scope("id"), secret.NewToken("alice").ID
	first, second := secret.NewDataKey(), secret.NewDataKey()
	b := box(first)
	underFirst := scope.Seal(nil, b, id, []byte("the coat"))
	b.Use(second)
	if b.Key() != second {
		t.Error("it has the first key still")
	}
	if _, err := scope.Open(nil, b, id, underFirst); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("what the first key sealed opens: %v", err)
	}
	if data, err := scope.Open(nil, box(second), id, scope.Seal(nil, b, id, []byte("the coat"))); err != nil || string(data) != "the coat" {
		t.Errorf("what it seals opens under the second key to %q, %v", data, err)
	}
}

func TestABoxFollowsItsSession(t *testing.T) {
	shared := box(secret.NewDataKey())
	for _, c := range []struct {
		scope secret.Scope
		id    store.ID
	}{{"a", store.ID{1}}, {"a", store.ID{2}}, {"b", store.ID{2}}} {
		sealed := c.scope.Seal(nil, shared, c.id, []byte("the coat"))
		if _, err := c.scope.Open(nil, box(shared.Key()), c.id, sealed); err != nil {
			t.Errorf("scope %s, session %v: %v", c.scope, c.id, err)
		}
	}
}
