package secret_test

import (
	"sync"
	"testing"

	"github.com/coatcheck/coatcheck/internal/secret"
)

// Of many tokens no two are alike, and no place favours a character (ASVS-7.2.3,
// SMCS-03), however many draw at once (ASVS-11.5.2).
func TestTokensAreUniqueAndOfNoPattern(t *testing.T) {
	const workers, each = 8, 4096
	tokens := make([][each]string, workers)
	var drawing sync.WaitGroup
	for i := range workers {
		drawing.Go(func() {
			for n := range each {
				tokens[i][n] = string(secret.NewToken("").AppendReveal(nil))
			}
		})
	}
	drawing.Wait()
	seen := map[string]bool{}
	var counts [secret.TokenLen][256]int
	for i := range tokens {
		for _, token := range tokens[i] {
			if len(token) != secret.TokenLen || seen[token] || seen[token[:22]] || seen[token[22:]] {
				t.Fatalf("%q is there twice, or in part", token)
			}
			seen[token], seen[token[:22]], seen[token[22:]] = true, true, true
			for at := range token {
				counts[at][token[at]]++
			}
		}
	}
	// 64 characters at each of 64 places: for each count the mean is 512 and the
	// deviation 22.5, so one of 4096 strays by 180 once in 10^11 runs.
	for at := range counts {
		characters := 0
		for c, n := range counts[at] {
			if n == 0 {
				continue
			}
			if characters++; n < 512-180 || n > 512+180 {
				t.Errorf("character %d at place %d: %d times, want about 512", c, at, n)
			}
		}
		if characters != 64 {
			t.Errorf("%d characters at place %d, want 64", characters, at)
		}
	}
}
