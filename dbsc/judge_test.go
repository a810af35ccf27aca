package dbsc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
)

const name = "00112233445566778899aabbccddeeff"

func defaults() *dbsc.Config {
	c := &dbsc.Config{Mode: dbsc.Prefer}
	c.SetDefaults()
	return c
}

// bound is a session whose device has just registered.
func bound(t *testing.T, c *dbsc.Config, d *device) (dbsc.State, dbsc.Secret) {
	t.Helper()
	offered, challenge := c.Offer(name, noon)
	s, cookie, err := c.Register(offered, d.proof(t, challenge.Reveal(), true), noon)
	if err != nil {
		t.Fatal(err)
	}
	return s, cookie
}

func TestARegistrationBeginsWithAChallengeOfItsOwn(t *testing.T) {
	c := defaults()
	offered, challenge := c.Offer(name, noon)
	_, other := c.Offer(name, noon)
	if challenge == other || len(challenge.Reveal()) < 43 {
		t.Errorf("challenges are %d characters, and two of them equal: %t", len(challenge.Reveal()), challenge == other)
	}
	if want := noon.Add(time.Minute); !offered.Offered.Until.Equal(want) {
		t.Errorf("it is open until %v, want %v", offered.Offered.Until, want)
	}
	if strings.Contains(string(offered.Append(nil)), challenge.Reveal()[len(name)+1:]) {
		t.Error("what is stored holds the challenge")
	}
	want := fmt.Sprintf(`(ES256 RS256);path="/device-bound-session/register";challenge="%s"`, challenge.Reveal())
	if got := c.RegistrationHeader(challenge); got != want {
		t.Errorf("offered by\n%s, want\n%s", got, want)
	}
	c.Algorithms = []dbsc.Algorithm{dbsc.RS256}
	if got := c.RegistrationHeader(challenge); !strings.HasPrefix(got, "(RS256);") {
		t.Errorf("RS256 alone is offered by %s", got)
	}
}

func TestARegistrationSaysWhoseItIs(t *testing.T) {
	d := newDevice(t, dbsc.ES256)
	_, challenge := defaults().Offer(name, noon)
	for _, value := range []string{d.proof(t, challenge.Reveal(), true), `"` + d.proof(t, challenge.Reveal(), true) + `"`} {
		if got, err := dbsc.Named(value); got != name || err != nil {
			t.Errorf("named %q, %v; want %s", got, err, name)
		}
	}
	for _, value := range []string{"", "x", d.proof(t, "no colon", true)} {
		if got, err := dbsc.Named(value); !errors.Is(err, dbsc.ErrProof) {
			t.Errorf("%q named %q, %v; want ErrProof", value, got, err)
		}
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	for _, algorithm := range []dbsc.Algorithm{dbsc.ES256, dbsc.RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			c, d := defaults(), newDevice(t, algorithm)
			first, _ := bound(t, c, d)
			proof := d.proof(t, first.Bound.OpenChallenge(), false)
			second, _, err := c.Refresh(first, proof, noon.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Refresh(second, proof, noon.Add(time.Minute)); !errors.Is(err, dbsc.ErrChallenge) {
				t.Errorf("replayed it is answered by %v, want ErrChallenge", err)
			}
			if _, _, err := c.Refresh(second, d.proof(t, second.Bound.OpenChallenge(), false), noon.Add(time.Minute)); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

func TestARenewalLeavesTheCookieBeforeToItsEnd(t *testing.T) {
	c, d := defaults(), newDevice(t, dbsc.ES256)
	s, first := bound(t, c, d)
	before := s.Append(nil)
	renewed, second, err := c.Refresh(s, d.proof(t, s.Bound.OpenChallenge(), false), noon.Add(8*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if string(s.Append(nil)) != string(before) {
		t.Error("the renewal changed the state that it was given")
	}
	if !renewed.Bound.Since.Equal(noon) {
		t.Error("the renewal moved the time of the registration")
	}
	third, _, err := c.Refresh(renewed, d.proof(t, renewed.Bound.OpenChallenge(), false), noon.Add(9*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, ask := range []struct {
		what   string
		state  dbsc.State
		cookie dbsc.Secret
		after  time.Duration
		want   bool
	}{
		{"the first", s, first, 10*time.Minute - 1, true},
		{"the first at its end", s, first, 10 * time.Minute, false},
		{"the first after a renewal", renewed, first, 10*time.Minute - 1, true},
		{"the first at its end after a renewal", renewed, first, 10 * time.Minute, false},
		{"the second", renewed, second, 18*time.Minute - 1, true},
		{"the second at its end", renewed, second, 18 * time.Minute, false},
		{"the first after two renewals", third, first, 9 * time.Minute, false},
		{"the second after two renewals", third, second, 9 * time.Minute, true},
		{"a cookie of another session", s, second, time.Minute, false},
		{"none in the leeway", s, "", 30*time.Second - 1, true},
		{"none after it", s, "", 30 * time.Second, false},
	} {
		if got := ask.state.Proves(ask.cookie.Reveal(), noon.Add(ask.after)); got != ask.want {
			t.Errorf("%s: %t, want %t", ask.what, got, ask.want)
		}
	}
}

func TestInstructionsAreWhatBrowsersAskFor(t *testing.T) {
	for what, c := range map[string]struct{ got, want string }{
		"bind": {
			string(defaults().Instructions(name, "__Host-id-bound", "Path=/; Secure")),
			`{"session_identifier":"` + name + `","refresh_url":"/device-bound-session/refresh","scope":{"include_site":false},
			  "credentials":[{"type":"cookie","name":"__Host-id-bound","attributes":"Path=/; Secure"}]}`,
		},
		"stop": {string(dbsc.StopInstructions(name)), `{"session_identifier":"` + name + `","continue":false}`},
	} {
		var got, want any
		if err := errors.Join(json.Unmarshal([]byte(c.got), &got), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, want %s", what, c.got, c.want)
		}
	}
}

func TestHeadersAreReadBareAndQuoted(t *testing.T) {
	for given, want := range map[string]string{
		"s-1": "s-1", `"s-1"`: "s-1", ` "s-1" `: "s-1", `"s-1`: `"s-1`, `"`: `"`, "": "", `""`: "",
	} {
		if got := dbsc.SessionName(given); got != want {
			t.Errorf("%s is read as %q, want %q", given, got, want)
		}
	}
	b := dbsc.Bound{Challenge: filled(0xff)}
	if got, want := b.ChallengeHeader("s-1"), `"__________________________________________8";id="s-1"`; got != want {
		t.Errorf("the challenge is sent as %s, want %s", got, want)
	}
}

func TestADamagedKeyIsAnErrorAndNoPanic(t *testing.T) {
	c, d := defaults(), newDevice(t, dbsc.ES256)
	s, _ := bound(t, c, d)
	for _, key := range []dbsc.Key{
		{}, {Algorithm: dbsc.ES256}, {Algorithm: dbsc.ES256, Public: bytes.Repeat([]byte{4}, 65)}, {Algorithm: dbsc.RS256}, {Algorithm: dbsc.RS256, Public: bytes.Repeat([]byte{1}, 65)},
	} {
		s.Bound.Key = key
		d.algorithm = key.Algorithm
		if _, _, err := c.Refresh(s, d.proof(t, s.Bound.OpenChallenge(), false), noon); !errors.Is(err, dbsc.ErrProof) {
			t.Errorf("the key %v: %v, want ErrProof", key, err)
		}
	}
}
