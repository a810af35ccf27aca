package house

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"
)

// The reasons for which [Accounts] refuses.
var (
	ErrWrongPassword = errors.New("that name and password do not belong together")
	ErrShortPassword = fmt.Errorf("use at least %d characters: a short sentence is easy to keep", MinPassword)
	ErrLongPassword  = fmt.Errorf("use at most %d characters", MaxPassword)
)

// How long a password may be, in bytes. The least is what NIST SP 800-63B-4
// asks of a password that is used alone.
const (
	MinPassword = 15
	MaxPassword = 128
)

// argon2id with the memory and passes that OWASP recommends as a minimum: some
// 30 ms of one core, so that guessing offline is dear and signing in is not.
const (
	hashMemory   = 19 * 1024 // KiB
	hashPasses   = 2
	hashLanes    = 1
	hashBytes    = 32
	saltBytes    = 16
	hashesAtOnce = 4 // at a time, so that a flood of sign-ins cannot take all memory
)

// Account is a customer of the house, or its administrator.
type Account struct {
	Name  string // what they sign in with
	Full  string // what the page calls them
	Admin bool
}

// Guest is an account of the demo with its first password, which is no secret:
// the sign-in page shows it.
type Guest struct {
	Account
	Password string
}

// Guests returns the accounts that exist when the house opens.
func Guests() []Guest {
	return []Guest{
		{Account{"alice", "Alice Overton", false}, "a coat of many colours"},
		{Account{"bob", "Bob Raglan", false}, "it is going to rain again"},
		{Account{"admin", "The Attendant", true}, "the keys to the cloakroom"},
	}
}

type secret struct {
	salt [saltBytes]byte
	hash [hashBytes]byte
}

// Accounts holds who may sign in and proves their passwords. Make it with
// [OpenAccounts]. Safe for concurrent use.
type Accounts struct {
	hashing chan struct{}
	nobody  secret // hashed against when the name is unknown, to take as long

	mu      sync.RWMutex
	known   map[string]Account
	secrets map[string]secret
}

// OpenAccounts opens the accounts of all [Guests].
func OpenAccounts() *Accounts {
	a := &Accounts{
		hashing: make(chan struct{}, hashesAtOnce),
		nobody:  firstSecrets()[""],
		known:   map[string]Account{},
		secrets: map[string]secret{},
	}
	for _, guest := range Guests() {
		a.known[guest.Name] = guest.Account
		a.secrets[guest.Name] = firstSecrets()[guest.Name]
	}
	return a
}

// firstSecrets are those that the house opens with, by name, and one of nobody
// under no name. Hashing is slow by intent, so it is done once.
var firstSecrets = sync.OnceValue(func() map[string]secret {
	secrets := map[string]secret{"": newSecret(rand.Text())}
	for _, guest := range Guests() {
		secrets[guest.Name] = newSecret(guest.Password)
	}
	return secrets
})

// Find returns the account of that name.
func (a *Accounts) Find(name string) (Account, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	account, known := a.known[name]
	return account, known
}

// Check returns the account if the password is its password, and
// [ErrWrongPassword] for a wrong one and an unknown name alike, which take
// equally long. It gives up with the context's error if that ends while other
// checks are in line before this one.
func (a *Accounts) Check(ctx context.Context, name, password string) (Account, error) {
	a.mu.RLock()
	account, known := a.known[name]
	kept := a.nobody
	if known {
		kept = a.secrets[name]
	}
	a.mu.RUnlock()

	if len(password) > MaxPassword {
		return Account{}, ErrWrongPassword
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return Account{}, fmt.Errorf("check a password: %w", ctx.Err())
	}
	if !kept.matches(password) || !known {
		return Account{}, ErrWrongPassword
	}
	return account, nil
}

// SetPassword replaces a password. [ErrShortPassword], [ErrLongPassword]. The
// caller has checked the old one.
func (a *Accounts) SetPassword(name, password string) error {
	if len(password) < MinPassword {
		return ErrShortPassword
	}
	if len(password) > MaxPassword {
		return ErrLongPassword
	}
	fresh := newSecret(password)
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.known[name]; !known {
		return ErrWrongPassword
	}
	a.secrets[name] = fresh
	return nil
}

func newSecret(password string) secret {
	var s secret
	rand.Read(s.salt[:]) // never fails
	copy(s.hash[:], s.of(password))
	return s
}

func (s secret) matches(password string) bool {
	return subtle.ConstantTimeCompare(s.hash[:], s.of(password)) == 1
}

func (s secret) of(password string) []byte {
	return argon2.IDKey([]byte(password), s.salt[:], hashPasses, hashMemory, hashLanes, hashBytes)
}
