package site

import "slices"

// A ladder leads from the floor to the least code that keeps all the rules, one
// duty at a time, so that each duty's price can be read off. Its last rung is
// the "floor with duties": what a library costs above that is its own.
//
// All rungs are one implementation with switches, which cost a branch each:
// ladder_site.go has the handlers, ladder_request.go what a request is given,
// ladder_token.go, ladder_table.go and ladder_data.go the formats, and
// ladder_read.go, ladder_write.go, ladder_signin.go and ladder_seal.go the work.
// It owes nothing to the library but the rules. Left out, because a bit in a
// byte or an empty map would be all to see of it here: secrets that have been
// rotated away, device binding, anonymous sessions being started, marks left by
// ended subjects, events that nobody hears; and what serves more than one
// store or request: the store's interface and time limit, the sweep, the queue
// of commits that meet, and in which cookie a token came. Without a sweep the
// table fills up after some seven million sign-ins, a round has a hundred
// thousand; then they fail, and the run with them, by Check.
type Ladder struct {
	Work   Work
	Sealed bool
	Rungs  []Rung // the floor first
	Bound  string // the last rung's name among All
	Own    string // the contender for which it is the bound
}

// Rung is the floor with some duties.
type Rung struct {
	Contender        // its Name says which duty it adds
	Keeps     string // what asks for it: a heading of docs/design.md, or a threat of docs/threat-model.md
	owes      duties // all that it keeps
	adds      duties // what the rung before it does not keep
}

// Title names the ladder.
func (l Ladder) Title() string {
	if l.Sealed {
		return string(l.Work) + ", sealed"
	}
	return string(l.Work)
}

// duties are what a rung does beyond the floor.
type duties uint32

const (
	// ownRequest: handlers get a request whose context knows the session, and
	// a writer that notices when the answer starts and can do what the
	// server's can: whatever is stored is stored before the first byte.
	ownRequest duties = 1 << iota
	// twoClocks: one reading when the request begins and one when its answer
	// starts. The second is of the monotonic clock alone, which is half of it.
	twoClocks
	// idAndVerifier: the token is an id, which may be shown, and a secret, of
	// which only a hash is kept that is bound to its use, and compared in
	// constant time.
	idAndVerifier
	// allCookies: a name that is there twice is refused, and so are more
	// cookies than browsers send; a sign-in goes before a visit, whatever
	// their order; requests of other sites that could change something are
	// refused.
	allCookies
	// toTheEnd: several goroutines of a request may use its session, some of
	// them after the handler has returned, so it has a lock and an end; a
	// panic must not lose a cookie whose session is stored.
	toTheEnd
	// ownCopy: records are bytes, of which each request has a copy. So nothing
	// of a session is shared between requests, and values are found and
	// decoded in them.
	ownCopy
	// usedAgain is a saving and no duty: what a request holds is wiped, every
	// byte of it, and used again by another. It needs the lock and the end.
	usedAgain
	// limits: idle and absolute, both by what is recorded; whether the session
	// was superseded; whether a wrong secret is a retired one. Activity is
	// recorded when the answer starts, at most once a minute.
	limits
	// cacheHeaders: an answer that read a session says so to caches, unless
	// the handler has.
	cacheHeaders

	// gathered: changes are done to the request's own copy and stored in one
	// operation before the first byte; the client gets an error if that fails.
	gathered
	// compareAndSwap: a commit replaces only the version that it has seen.
	// After a conflict what was changed is done again to what is there now.
	compareAndSwap
	// conditional: what the request has read, and then changed, must not have
	// been changed by another meanwhile; and no session grows beyond a bound.
	conditional
	// finalEnd: a write never brings back what has ended or was superseded,
	// and keeps the later of both last-seen times.
	finalEnd

	// cookieLast: the cookie is kept out of the header until the final one goes
	// out, and is the only one of its name.
	cookieLast
	// secureTransport: a session starts only where the browser will send its
	// cookie back.
	secureTransport
	// familyAndPlace: a second verifier, to tell a retired token from a forged
	// one, and an id that begins with two bytes of the subject's hash.
	familyAndPlace
	// description: lists show browser, system and network.
	description
	// subjectIndex: a subject's sessions are found without scanning, and are
	// no more than the limit.
	subjectIndex
	// retirement: the session before is kept for 30 seconds, marked, so that
	// late requests are told; what was written to it meanwhile is merged.
	retirement

	// wrappedKey: data has a key of its own, wrapped under one derived from the
	// secret.
	wrappedKey
	// ownCipher: AES-256-GCM is set up for that key.
	ownCipher
	// sealedData: data is sealed in the table, under a nonce drawn for each
	// write, together with the id.
	sealedData
	// keptCiphers is a saving and no duty: ciphers of sessions used lately are
	// kept, for who has the secret.
	keptCiphers
)

// has reports whether a duty is among them.
func (d duties) has(one duties) bool { return d&one != 0 }

// step is one duty with the name of its rung and what asks for it.
type step struct {
	duty        duties
	name, keeps string
}

var readSteps = []step{
	{ownRequest, "request, context, writer of its own", "Committed before the first byte"},
	{twoClocks, "clock read twice", "Two clocks, both the server's"},
	{idAndVerifier, "id and verifier", "A token is an id and a secret"},
	{allCookies, "all cookies, other sites", "Cookie tossing"},
	{toTheEnd, "lock, end, panic", "What a request holds is used again, wiped"},
	{ownCopy, "own copy of a packed record", "A commit is a compare-and-swap per key"},
	{usedAgain, "memory used again", "What a request holds is used again, wiped"},
	{limits, "limits, standing, activity", "Two clocks, both the server's"},
	{cacheHeaders, "Vary and Cache-Control", "Private pages in caches"},
}

var writeSteps = []step{
	{gathered, "gathered until the first byte", "Committed before the first byte"},
	{compareAndSwap, "compare-and-swap", "A commit is a compare-and-swap per key"},
	{conditional, "conditional on what was read", "A commit is a compare-and-swap per key"},
	{finalEnd, "nothing comes back", "Logout is final"},
}

var signInSteps = []step{
	{cookieLast, "cookie with the first byte", "Committed before the first byte"},
	{secureTransport, "secure transport", "Cookies sent without TLS"},
	{familyAndPlace, "family and placement", "Rotation has a grace and an alarm"},
	{description, "device and network", "Tracking within a session"},
	{subjectIndex, "index and limit by subject", "Too many sessions"},
	{retirement, "old session retired", "Sign-in makes a new session, then retires the old"},
}

var sealedSteps = []step{
	{wrappedKey, "data key, wrapped", "What leaves the process is sealed, without a key to configure"},
	{ownCipher, "cipher for the key", "What leaves the process is sealed, without a key to configure"},
	{sealedData, "data sealed", "What leaves the process is sealed, without a key to configure"},
	{keptCiphers, "ciphers kept", "What leaves the process is sealed, without a key to configure"},
}

// all are the duties of some steps.
func all(groups ...[]step) (d duties) {
	for _, s := range slices.Concat(groups...) {
		d |= s.duty
	}
	return d
}

// Ladders are those of the kinds of work with a target, unsealed and sealed.
var Ladders = []Ladder{
	newLadder(ReadOne, readSteps),
	newLadder(WriteOne, writeSteps, readSteps),
	newLadder(SignIn, signInSteps, readSteps),
	sealedLadder(ReadOne, readSteps),
	sealedLadder(WriteOne, readSteps, writeSteps),
	sealedLadder(SignIn, readSteps, signInSteps),
}

// The last rungs, for the comparison with others.
var (
	allDuties       = all(readSteps, writeSteps, signInSteps)
	allDutiesSealed = allDuties | all(sealedSteps)
)

func sealedLadder(work Work, unsealed ...[]step) Ladder {
	l := newLadder(work, sealedSteps, unsealed...)
	l.Sealed, l.Bound, l.Own = true, "floor with duties sealed", "coatcheck sealed"
	return l
}

// newLadder has the floor, a rung with all that is owed before the first of the
// steps, if there is anything, and a rung for each step.
func newLadder(work Work, steps []step, before ...[]step) Ladder {
	l := Ladder{Work: work, Bound: "floor with duties", Own: "coatcheck"}
	owes := all(before...)
	l.Rungs = append(l.Rungs, Rung{Contender: Contender{Name: "floor", Offers: []Work{work}, New: newFloor}})
	if work != SignIn {
		owes |= all(signInSteps) // records are as large as a full sign-in makes them
	}
	add := func(s step) {
		owes |= s.duty
		c := Contender{Name: s.name, Offers: []Work{work}, New: withDuties(owes)}
		l.Rungs = append(l.Rungs, Rung{Contender: c, Keeps: s.keeps, owes: owes, adds: s.duty})
	}
	switch len(before) {
	case 1:
		add(step{name: "all duties of a read"})
	case 2:
		add(step{name: "all duties unsealed"})
	}
	for _, s := range steps {
		add(s)
	}
	return l
}
