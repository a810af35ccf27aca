package secret

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/coatcheck/coatcheck/store"
)

// Ciphers keeps the ciphers of sessions used lately, because unwrapping a data
// key and setting AES-256-GCM up for it takes longer than all else that a read
// does. It is bounded: two sessions with the same place take turns. What it
// holds never leaves the memory of the process, and is dropped by Forget. It is
// safe for concurrent use. The zero Ciphers is ready.
type Ciphers struct {
	places [cipherPlaces]atomic.Pointer[keptCipher]
}

// cipherPlaces is for how many sessions there is room, at about 1.5 kB each.
const cipherPlaces = 1024

// keptCipher is the prepared box of one session, with all that it follows from.
type keptCipher struct {
	id       store.ID
	verifier Verifier // of the secret that unwrapped its key
	wrapped  Wrapped
	box      Box
	used     atomic.Bool // since Forget was last called
}

// Box returns the box of a session's data key, which is wrapped under a secret.
// v is the verifier of that secret, as the caller has computed it from the
// secret itself: who has no secret with that verifier gets no kept box, and who
// has one could unwrap the key.
func (c *Ciphers) Box(n Scope, id store.ID, v Verifier, w Wrapped, s Secret) Box {
	k := c.place(id).Load()
	if k != nil && k.id == id && k.verifier.Equal(v) && k.wrapped == w {
		if !k.used.Load() { // a write for every read would cost the other processors
			k.used.Store(true)
		}
		return k.box
	}
	var box Box
	box.Use(n.Unwrap(w, s))
	box.prepared()
	box.boundTo(n, id)
	c.Keep(id, v, w, box)
	return box
}

// Keep keeps the box of a session, with the verifier of the secret under which
// its key is wrapped, if the box has been used: it opens what comes next.
func (c *Ciphers) Keep(id store.ID, v Verifier, w Wrapped, box Box) {
	if box.aead == nil {
		return
	}
	k := &keptCipher{id: id, verifier: v, wrapped: w, box: box}
	k.used.Store(true)
	c.place(id).Store(k)
}

func (c *Ciphers) place(id store.ID) *atomic.Pointer[keptCipher] {
	return &c.places[binary.LittleEndian.Uint16(id[len(id)-2:])%cipherPlaces] // ids end in random bytes
}

// Forget drops what has not been used since it was last called.
func (c *Ciphers) Forget() {
	for i := range c.places {
		place := &c.places[i]
		if k := place.Load(); k != nil && !k.used.Swap(false) {
			place.CompareAndSwap(k, nil)
		}
	}
}

// Format prints a placeholder under every verb.
func (c *Ciphers) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue logs a placeholder.
func (c *Ciphers) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a placeholder.
func (c *Ciphers) MarshalText() ([]byte, error) { return []byte(redacted), nil }
