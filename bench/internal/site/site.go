// Package site holds the contenders: one small site for each session library,
// set up as its documentation says, all with the same handlers. Begin with
// [All]; floor.go is what everything is measured against, and [Ladders] lead
// from there to what Coatcheck does, a duty at a time.
package site

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Work is what a request asks of its session.
type Work string

// The kinds of work.
const (
	NoCookie    Work = "no cookie"     // reads one value; the visitor has no session
	Untouched   Work = "untouched"     // a valid cookie, and a handler that does not ask for the session
	ReadOne     Work = "read one key"  //
	WriteOne    Work = "write one key" // a number, a new one each time
	SignIn      Work = "sign in"       // of a visitor with a session, which is replaced; the new cookie is used next
	FirstSignIn Work = "first sign-in" // of a visitor without a session
	fill        Work = "fill"          // writes the payload into a new session
)

// Works are those that are measured.
var Works = []Work{NoCookie, Untouched, ReadOne, WriteOne, SignIn, FirstSignIn}

// Payload is what a session holds: a name, a number, and texts.
type Payload struct {
	Label string
	Texts []string
}

// The names of the values, and the one that is read.
const (
	nameKey   = "user.name"
	visitsKey = "user.visits"
	name      = "Alice Example"
)

func textKey(i int) string { return fmt.Sprintf("text.%02d", i) }

// The payloads: three keys of about 100 bytes together, and 20 keys of about
// 2 KiB.
var (
	Small = Payload{"3 keys", []string{strings.Repeat("settings ", 6)}}
	Large = Payload{"2 KiB", texts(18, 108)}
)

func texts(count, size int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = strings.Repeat(string(rune('a'+i)), size)
	}
	return all
}

// Site is a running contender.
type Site interface {
	// Visitor returns one who has a session with the payload, if the work asks
	// for that, and makes one request of the kind each time.
	Visitor(Work) (Visitor, error)
	// Close frees what the site holds.
	Close()
}

// Visitor makes requests, one after the other.
type Visitor interface {
	// Visit makes one request. Its answer is checked by Answer alone, so that
	// no check is measured.
	Visit()
	// Answer is the body of the last answer, and an error if it was none.
	Answer() (string, error)
}

// Check reports whether the last of many visits was answered as the work asks,
// so that who fails, which is fast, is not taken for fast.
func Check(v Visitor, w Work) error {
	answer, err := v.Answer()
	if err != nil {
		return err
	}
	want := map[Work][]string{NoCookie: {""}, ReadOne: {name}, WriteOne: {"even", "odd"}}[w]
	if want == nil {
		want = []string{string(okayBody)}
	}
	if !slices.Contains(want, answer) {
		return fmt.Errorf("%s: answered %q", w, answer)
	}
	return nil
}

// ErrTooLarge says that the library cannot hold the payload.
var ErrTooLarge = errors.New("the payload is too large")

// Contender can be built.
type Contender struct {
	Name string
	// Offers are the kinds of work that the library has; all if nil.
	Offers []Work
	New    func(Payload) (Site, error)
}

// Can reports whether the library offers the work.
func (c Contender) Can(w Work) bool {
	if c.Offers == nil {
		return true
	}
	return slices.Contains(c.Offers, w)
}

// All are the contenders, the floor first, this project's next.
var All = []Contender{
	{Name: "floor", New: newFloor},
	{Name: "floor with duties", New: withDuties(allDuties)}, // the last rungs of Ladders
	{Name: "floor with duties sealed", New: withDuties(allDutiesSealed)},
	{Name: "coatcheck", New: newCoatcheck},
	{Name: "coatcheck sealed", New: newCoatcheckSealed},
	{Name: "coatcheck sealed cold", Offers: []Work{ReadOne, WriteOne}, New: newCoatcheckSealedCold},
	{Name: "scs", New: newSCS},
	{Name: "scs idle", New: newSCSIdle},
	// What fiber's Regenerate leaves of the data is not what the others keep.
	{Name: "fiber", Offers: []Work{NoCookie, Untouched, ReadOne, WriteOne, FirstSignIn}, New: newFiber},
	{Name: "gin memstore", Offers: []Work{NoCookie, Untouched, ReadOne, WriteOne}, New: newGin},
	{Name: "gorilla cookie", Offers: []Work{NoCookie, Untouched, ReadOne, WriteOne}, New: newGorillaCookie},
	{Name: "gorilla files", Offers: []Work{NoCookie, Untouched, ReadOne, WriteOne}, New: newGorillaFiles},
}

// Named returns the contender of that name.
func Named(name string) (Contender, error) {
	for _, c := range All {
		if c.Name == name {
			return c, nil
		}
	}
	return Contender{}, fmt.Errorf("there is no contender %q", name)
}

// Handlers are a site's handlers by the work that they do.
type Handlers map[Work]http.Handler

// okay answers without a look at the session.
func okay(w http.ResponseWriter, _ *http.Request) { w.Write(okayBody) }

var okayBody = []byte("ok")

// counted is what a handler answers that has written a number: it shows, at no
// cost, whether the write before was kept.
func counted(n int) []byte { return countedBodies[n&1] }

var countedBodies = [2][]byte{[]byte("even"), []byte("odd")}

// userHeader names who signs in.
const userHeader = "X-User"

func user(r *http.Request) string { return r.Header[userHeader][0] }
