package house

import (
	"sync"
	"time"
)

// How often a password may be tried: so many times within so long.
const (
	MaxAttempts    = 5
	AttemptsWithin = 5 * time.Minute
	maxGuessers    = 10_000
)

type guesser struct{ account, address string }

// Attempts limits how often passwords are tried for one account from one
// address. Whoever guesses from one place so never locks out the owner, who is
// at another. The zero value is ready. Safe for concurrent use.
type Attempts struct {
	mu    sync.Mutex
	tries map[guesser][]time.Time
}

// Begin counts an attempt before the password is looked at, so that attempts
// in parallel count too. If there were too many it does not count and says how
// long to wait.
func (a *Attempts) Begin(account, address string, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tries == nil {
		a.tries = map[guesser][]time.Time{}
	}
	who := guesser{account, address}
	recent := after(a.tries[who], now.Add(-AttemptsWithin))
	if len(recent) >= MaxAttempts {
		return recent[0].Add(AttemptsWithin).Sub(now)
	}
	if len(a.tries) >= maxGuessers {
		a.forgetOld(now)
	}
	a.tries[who] = append(recent, now)
	return 0
}

// Succeeded forgets the attempts of somebody who knew the password.
func (a *Attempts) Succeeded(account, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.tries, guesser{account, address})
}

// forgetOld makes room: first what no longer counts, then, if all of it still
// counts, anything.
func (a *Attempts) forgetOld(now time.Time) {
	for who, tries := range a.tries {
		if len(after(tries, now.Add(-AttemptsWithin))) == 0 {
			delete(a.tries, who)
		}
	}
	for who := range a.tries {
		if len(a.tries) < maxGuessers {
			return
		}
		delete(a.tries, who)
	}
}

func after(times []time.Time, limit time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(limit) {
		times = times[1:]
	}
	return times
}
