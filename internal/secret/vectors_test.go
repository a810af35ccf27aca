package secret_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// The vectors freeze the formats: what a release has stored, every later one
// must read. They were computed from the drawings in the package comments, by
// another program. A change of any is a change of format, and needs a label or
// version of its own.
var vectors = []struct {
	scope     secret.Scope
	verifier  string
	family    string
	wrapped   string
	csrf      string
	placement string // of a record of subject "alice"
}{
	{
		scope:     "id",
		verifier:  "74879c5eaa5ff14caf06a06cedbfc56dbb14a3a55d804c98c5c29e3843f909ba",
		family:    "971070480e89adef148ca34a58c85866",
		wrapped:   "38f2ce93f5ef462bd325228408323138314addb64e2a730ce452385a58d39fae",
		csrf:      "1510c804bdda40707b2bbaa1103e836fc294daaaa88168fbd6c550a4706e3bb4",
		placement: "2bd8",
	},
	{
		scope:     "shop_2-x",
		verifier:  "bd7a82670958fbf7796fcd793d6c037b964557e0146bfabf397d1846ec5b4fee",
		family:    "ab29f75d1a46e7a4b32b125877a04ee2",
		wrapped:   "f71be611b89f9148e2c49b0d3ee3a45e200a1f6feeea93d7828640ef27a9c6ab",
		csrf:      "d1e57775c04b8045a61c05cb33b9715f702302622a6a5279f76d5c14e1631992",
		placement: "2bd8",
	},
}

const (
	tokenVector  = "oKGio6SlpqeoqaqrrK2urwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	sealedVector = "01f0f1f2f3f4f5f6f7f8f9fafba75513229c3db08cc6e07997767f54bab8407fe82624af53" // "the coat", scope "id"
)

// rising fills b with a, a+1, a+2 and so on.
func rising(b []byte, a byte) {
	for i := range b {
		b[i] = a + byte(i)
	}
}

func vectorInputs() (s secret.Secret, id store.ID, key secret.DataKey) {
	rising(s[:], 0x00)
	rising(id[:], 0xa0)
	rising(key[:], 0x40)
	return s, id, key
}

func TestVectorsOfWhatIsDerived(t *testing.T) {
	s, id, key := vectorInputs()
	for _, v := range vectors {
		verifier, family, wrapped := v.scope.Verifier(s), v.scope.Family(s), v.scope.Wrap(key, s)
		csrf, place := v.scope.CSRFKey(id, s), secret.NewToken("alice").ID.Placement()
		for _, c := range []struct {
			name string
			got  []byte
			want string
		}{
			{"verifier", verifier[:], v.verifier},
			{"family", family[:], v.family},
			{"wrapped data key", wrapped[:], v.wrapped},
			{"CSRF key", csrf[:], v.csrf},
			{"placement", place[:], v.placement},
		} {
			if hex.EncodeToString(c.got) != c.want {
				t.Errorf("scope %q: %s is %x, was %s", v.scope, c.name, c.got, c.want)
			}
		}
		if v.scope.Unwrap(wrapped, s) != key {
			t.Errorf("scope %q: what was wrapped does not unwrap", v.scope)
		}
	}
}

func TestVectorOfTheToken(t *testing.T) {
	s, id, _ := vectorInputs()
	if got := (secret.Token{ID: id, Secret: s}).AppendReveal(nil); string(got) != tokenVector {
		t.Errorf("the token is written %s, was %s", got, tokenVector)
	}
	if got, ok := parse(tokenVector); !ok || got.ID != id || got.Secret != s {
		t.Errorf("the token is read as id %x, secret %x, %t", got.ID[:], got.Secret[:], ok)
	}
}

func TestVectorOfSealedData(t *testing.T) {
	_, id, key := vectorInputs()
	sealed, err := hex.DecodeString(sealedVector)
	if err != nil {
		t.Fatal(err)
	}
	data, err := secret.Scope("id").Open(nil, box(key), id, sealed)
	if err != nil || !bytes.Equal(data, []byte("the coat")) {
		t.Errorf("sealed data opens to %q, %v", data, err)
	}
}
