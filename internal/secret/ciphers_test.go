package secret_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// wrapped is a session whose data key is wrapped under its secret.
type wrapped struct {
	token secret.Token
	key   secret.DataKey
	under secret.Wrapped
}

const cipherScope = secret.Scope("id")

func newWrapped() wrapped {
	w := wrapped{token: secret.NewToken("alice"), key: secret.NewDataKey()}
	w.under = cipherScope.Wrap(w.key, w.token.Secret)
	return w
}

// from returns the key of the box that c has for the session.
func (w wrapped) from(c *secret.Ciphers) secret.DataKey {
	box := c.Box(cipherScope, w.token.ID, cipherScope.Verifier(w.token.Secret), w.under, w.token.Secret)
	return box.Key()
}

func TestCiphersAreKeptForWhoHasTheSecret(t *testing.T) {
	var c secret.Ciphers
	w := newWrapped()
	for _, which := range []string{"made", "kept"} {
		if w.from(&c) != w.key {
			t.Fatalf("the key that was %s is not the one that was wrapped", which)
		}
	}
	if n := testing.AllocsPerRun(100, func() { w.from(&c) }); n != 0 {
		t.Errorf("a kept cipher takes %v allocations: it is made anew", n)
	}

	thief := w
	thief.token.Secret = secret.New()
	if thief.from(&c) == w.key {
		t.Error("another secret gets the key")
	}
	rotated := w
	rotated.token.Secret = w.token.Secret.Rotated()
	rotated.under = cipherScope.Wrap(w.key, rotated.token.Secret)
	if rotated.from(&c) != w.key || w.from(&c) != w.key {
		t.Error("after a rotation the current or the previous secret does not get the key")
	}
	renewed := w
	renewed.key = secret.NewDataKey()
	renewed.under = cipherScope.Wrap(renewed.key, w.token.Secret)
	if renewed.from(&c) != renewed.key {
		t.Error("another key, wrapped under the same secret, is taken for the one before")
	}
	moved := w
	moved.token.ID = store.ID(append(bytes.Repeat([]byte{7}, 14), w.token.ID[14:]...))
	if n := testing.AllocsPerRun(100, func() { w.from(&c); moved.from(&c) }); n == 0 {
		t.Error("two sessions of one place do not take turns")
	}
}

func TestCiphersAreForgotten(t *testing.T) {
	var c secret.Ciphers
	w := newWrapped()
	w.from(&c)
	c.Forget()
	if c.Kept() != 1 {
		t.Error("what was used lately was forgotten")
	}
	w.from(&c)
	c.Forget()
	if c.Kept() != 1 {
		t.Error("what was used again was forgotten")
	}
	c.Forget()
	if c.Kept() != 0 {
		t.Error("what was not used between two calls is kept")
	}
}

func TestCiphersAtOnce(t *testing.T) {
	var c secret.Ciphers
	sessions := []wrapped{newWrapped(), newWrapped()}
	sessions[1].token.ID = sessions[0].token.ID // so that they share a place
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			w := sessions[i%2]
			for range 1000 {
				if w.from(&c) != w.key {
					t.Error("a session gets the key of another")
					return
				}
				if i == 0 {
					c.Forget()
				}
			}
		})
	}
	all.Wait()
}

func TestABoxThatWasNeverUsedIsNotKept(t *testing.T) {
	var c secret.Ciphers
	w := newWrapped()
	c.Keep(w.token.ID, cipherScope.Verifier(w.token.Secret), w.under, *box(w.key))
	if c.Kept() != 0 {
		t.Error("it is kept, and prepared anew by every read")
	}
}
