package coatcheck_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// handler is what HandlerFunc serves.
type handler func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error

// page is a site of one handler.
func page(h handler) func(*coatcheck.Manager) http.Handler {
	return func(sessions *coatcheck.Manager) http.Handler { return sessions.HandlerFunc(h) }
}

// pages is a site of several, by their patterns.
func pages(routes map[string]handler) func(*coatcheck.Manager) http.Handler {
	return func(sessions *coatcheck.Manager) http.Handler {
		mux := http.NewServeMux()
		for pattern, h := range routes {
			mux.Handle(pattern, sessions.HandlerFunc(h))
		}
		return sessions.Handler(mux)
	}
}

// look does nothing: HandlerFunc has asked for the session.
func look(http.ResponseWriter, *http.Request, *coatcheck.Session) error { return nil }

// whoami writes who is signed in.
func whoami(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
	_, err := io.WriteString(w, s.Subject())
	return err
}

// counted is a store in memory that counts its calls and fails on demand.
func counted() (store.Store, *storetest.Faults) { return storetest.Faulty(memstore.New(nil)) }

// writes returns how many calls have begun that change the store.
func writes(f *storetest.Faults) (n int) {
	for _, m := range []storetest.Method{
		storetest.Create, storetest.Update, storetest.Touch, storetest.Delete, storetest.DeleteSubject, storetest.DeleteAll,
	} {
		n += f.Calls(m)
	}
	return n
}

// silent is for tests that make the Manager complain.
var silent = slog.New(slog.DiscardHandler)

// cookieOf returns the value of a visitor's cookie, "" if there is none.
func cookieOf(v *coatchecktest.Visitor, name string) string {
	for _, c := range v.Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// noCookie fails the test if the response sets or expires one.
func noCookie(t *testing.T, res *coatchecktest.Response) {
	t.Helper()
	if lines := res.Header["Set-Cookie"]; len(lines) > 0 {
		t.Errorf("the response says Set-Cookie: %s", strings.Join(lines, ", "))
	}
}
