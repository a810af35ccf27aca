package house

import (
	"errors"
	"sync"
	"time"
)

// The reasons for which [Ledger.Move] refuses.
var (
	ErrNoSuchWallet = errors.New("there is no wallet of that name")
	ErrSameWallet   = errors.New("choose somebody else's wallet")
	ErrNotEnough    = errors.New("there is not enough in the wallet")
)

// Till is the house's own wallet: where orders are paid to.
const Till = "the house"

// Entry is one line of a wallet's statement: positive came in, negative went
// out.
type Entry struct {
	At      time.Time
	Other   string
	Note    string
	Amount  Money
	Balance Money
}

const (
	maxEntries = 100
	maxMoves   = 4096
)

// Ledger holds the wallets. Make one with [NewLedger]. Safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	wallets map[string][]Entry
	moves   map[string]bool
	recent  []string // the keys of moves, oldest first, so that they stay few
}

// NewLedger opens a ledger with a wallet for each name and the same sum in it.
func NewLedger(sum Money, at time.Time, names ...string) *Ledger {
	l := &Ledger{wallets: map[string][]Entry{Till: nil}, moves: map[string]bool{}}
	for _, name := range names {
		l.post(name, Entry{At: at, Other: Till, Note: "A welcome from the house", Amount: sum})
	}
	return l
}

// Move carries an amount from one wallet to another. The id is the caller's
// own for this move: of several calls with one id, the first that is not
// refused moves the money and the others report success and do nothing.
// [ErrNoSuchWallet], [ErrSameWallet], [ErrNotEnough], [ErrAmount].
func (l *Ledger) Move(id, from, to string, amount Money, note string, at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moves[id] {
		return nil
	}
	if _, known := l.wallets[to]; !known {
		return ErrNoSuchWallet
	}
	if _, known := l.wallets[from]; !known {
		return ErrNoSuchWallet
	}
	switch {
	case from == to:
		return ErrSameWallet
	case amount <= 0:
		return ErrAmount
	case l.balance(from) < amount:
		return ErrNotEnough
	}
	l.moves[id] = true
	l.recent = append(l.recent, id)
	if len(l.recent) > maxMoves {
		delete(l.moves, l.recent[0])
		l.recent = l.recent[1:]
	}
	l.post(from, Entry{At: at, Other: to, Note: note, Amount: -amount})
	l.post(to, Entry{At: at, Other: from, Note: note, Amount: amount})
	return nil
}

// Balance is what a wallet holds.
func (l *Ledger) Balance(name string) Money {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.balance(name)
}

// Statement returns the latest entries of a wallet, the newest first.
func (l *Ledger) Statement(name string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.wallets[name]...)
}

func (l *Ledger) balance(name string) Money {
	if entries := l.wallets[name]; len(entries) > 0 {
		return entries[0].Balance
	}
	return 0
}

func (l *Ledger) post(name string, entry Entry) {
	entry.Balance = l.balance(name) + entry.Amount
	entries := append([]Entry{entry}, l.wallets[name]...)
	l.wallets[name] = entries[:min(len(entries), maxEntries)]
}
