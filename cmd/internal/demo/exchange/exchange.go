// Package exchange watches what a browser and the site say to each other, and
// what the site asks its store meanwhile, so that a page can draw it.
//
// Start at [Recorder]: its Handler goes outside the session handler and sees
// the request as it came and the answer as it left; [Recorder.Trace] wraps the
// store. [Serves] tells it whose session a request was served by, and
// [Recorder.Of] returns what was recorded for that session, and nothing that
// was recorded for another. [Draw] lays an exchange out as a diagram.
//
// A cookie's secret is never kept: of a token only the first four characters,
// which belong to the session's public id, get further than the function that
// reads the header. What is kept is little, for few, and in memory.
package exchange

import (
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// Exchange is one request of a browser and the answer to it.
type Exchange struct {
	Number  uint64 // counts up from 1 and is never used twice
	Began   time.Time
	Took    time.Duration
	Secure  bool // over TLS
	Local   bool // from this machine to itself
	Method  string
	Path    string // without the query, which may hold anything
	Proto   string
	Request []Field  // the headers that matter to a session
	Brought []Cookie // came with the request

	Subject string // who was signed in when the answer left; empty: nobody
	Steps   []Step // what the store was asked, in order

	Status   int
	Response []Field
	Set      []Cookie // left with the answer
}

// Field is one header line.
type Field struct{ Name, Value string }

// Cookie is a cookie as it may be shown.
type Cookie struct {
	Name       string
	Shown      string   // the first characters of the value, the rest as dots
	Attributes []string // as they stand in a Set-Cookie line
	Session    bool     // one of the session manager's
	Gone       bool     // this line tells the browser to forget it
}

// Step is one thing that the store was asked to do.
type Step struct {
	Verb   string
	ID     string
	Answer string
}

// Line is the cookie as a header line says it.
func (c Cookie) Line() string {
	return strings.Join(append([]string{c.Name + "=" + c.Shown}, c.Attributes...), "; ")
}

// SetsSession reports whether the answer gave the browser a new session cookie.
func (e Exchange) SetsSession() bool {
	for _, cookie := range e.Set {
		if cookie.Session && !cookie.Gone {
			return true
		}
	}
	return false
}

// EndsSession reports whether the answer made the browser forget its session
// cookie and gave it no other.
func (e Exchange) EndsSession() bool {
	for _, cookie := range e.Set {
		if cookie.Session && cookie.Gone && cookie.isSignedIn() {
			return !e.SetsSession()
		}
	}
	return false
}

// SessionCookie is the session cookie that this exchange was about: the one it
// set, else the one it brought.
func (e Exchange) SessionCookie() (Cookie, bool) {
	for _, cookies := range [][]Cookie{e.Set, e.Brought} {
		for _, live := range []bool{true, false} {
			for _, cookie := range cookies {
				if cookie.Session && cookie.Gone != live {
					return cookie, true
				}
			}
		}
	}
	return Cookie{}, false
}

func (c Cookie) isSignedIn() bool { return !strings.HasSuffix(c.Name, "-visit") }

// Short is an id as the house prints it on its tickets: the last eight digits,
// which are random in every session.
func Short(id store.ID) string {
	digits := strings.ToUpper(id.String())
	return digits[24:28] + " " + digits[28:]
}
