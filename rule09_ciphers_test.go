package coatcheck_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
)

// Whether a cipher was kept shows in what a read allocates: making one takes
// about a kilobyte more.
const cipherBytes = 500

// readingAllocates is how many bytes a read of the browser's session takes.
func readingAllocates(s *server, b *browser) int64 {
	b.t.Helper()
	request := b.request(ctx)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	session, err := s.Open(request)
	if err != nil {
		b.t.Fatal(err)
	}
	textKey.Get(session)
	s.Commit(ctx, session)
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

const ciphersRounds = 20 // other goroutines allocate too

// The first read after a new secret finds the cipher that stored the data.
func TestRule9CiphersAreKeptWithANewSecret(t *testing.T) {
	for name, act := range map[string]serve{"sign-in": signIn("alice"), "rotation": rotate, "re-authentication": reauthenticate} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, sealed())
			alice := s.signedIn("alice")
			alice.must(write("text"))
			readingAllocates(s, alice)
			var kept, made int64
			for range ciphersRounds {
				s.clock.advance(10 * time.Minute)
				alice.must(act)
				kept += readingAllocates(s, alice)
				made += readingAllocates(s.another(), alice) // which has none
			}
			if made-kept < ciphersRounds*cipherBytes {
				t.Errorf("a read takes %d bytes, and %d where no cipher can be kept", kept/ciphersRounds, made/ciphersRounds)
			}
		})
	}
}

// Two sweeps after the last read its cipher is gone.
func TestRule9CiphersAreForgottenBySweeps(t *testing.T) {
	s := newServer(t, sealed(), func(c *coatcheck.Config) { c.Absolute, c.Idle = 48*time.Hour, 48*time.Hour })
	alice := s.signedIn("alice")
	alice.must(write("text"))
	reads := func(step time.Duration) (all int64) {
		for range ciphersRounds {
			for range 3 {
				s.clock.advance(step)
				s.browser().must(read) // by others
			}
			all += readingAllocates(s, alice)
		}
		return all
	}
	reads(0)
	if kept, made := reads(0), reads(time.Minute); made-kept < ciphersRounds*cipherBytes {
		t.Errorf("a read takes %d bytes, and %d when nobody has read for two sweeps: the cipher is still kept", kept/ciphersRounds, made/ciphersRounds)
	}
}
