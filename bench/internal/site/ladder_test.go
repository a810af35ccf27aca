package site

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// ask makes one request with a cookie, on a server's kind of writer.
func ask(h http.Handler, cookie string, change func(*http.Request)) *recorder {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	r.Header.Set(userHeader, "alice")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	if change != nil {
		change(r)
	}
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w
}

func (w *recorder) cookie() string { return cookies(w.header["Set-Cookie"]) }

// What leaves out its work must not pass for a bound.
func TestEveryRungDoesItsWork(t *testing.T) {
	for _, ladder := range Ladders {
		for i, rung := range ladder.Rungs {
			t.Run(ladder.Title()+"/"+rung.Name, func(t *testing.T) {
				built, err := rung.New(Small)
				if err != nil {
					t.Fatal(err)
				}
				h := built.(*httpSite).handlers
				cookie := ask(h[fill], "", nil).cookie()
				reads := func(what, cookie, want string) {
					t.Helper()
					if got := string(ask(h[ReadOne], cookie, nil).body); got != want {
						t.Errorf("%s: read %q, want %q", what, got, want)
					}
				}
				reads("the session", cookie, name)
				reads("no session", "", "")
				reads("a token that was made up", strings.Repeat("A", len(cookie)), "")
				switch ladder.Work {
				case WriteOne:
					for visit := range 300 { // past where the number takes two bytes
						if got, want := string(ask(h[WriteOne], cookie, nil).body), string(counted(visit)); got != want {
							t.Fatalf("write %d: %q, want %q", visit, got, want)
						}
					}
					reads("the session after writes", cookie, name)
				case SignIn:
					next := ask(h[SignIn], cookie, nil).cookie()
					if next == "" || next == cookie {
						t.Errorf("sign-in changed the cookie from %q to %q", cookie, next)
					}
					reads("the new session", next, name)
					reads("the session before", cookie, "")
					if i > 0 && ask(h[WriteOne], cookie, nil).status < 400 {
						t.Error("the session before can be written to")
					}
				}
			})
		}
	}
}

// What asks for a rung is a heading of the design or a threat, where its reason
// is found.
func TestEveryRungIsAskedFor(t *testing.T) {
	design, err := os.ReadFile("../../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	threats, err := os.ReadFile("../../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, ladder := range Ladders {
		for _, rung := range ladder.Rungs {
			if rung.Keeps != "" && !strings.Contains(string(design), "\n## "+rung.Keeps+"\n") && !strings.Contains(string(threats), "\n| **"+rung.Keeps+"**") {
				t.Errorf("%s: %q is neither a heading of docs/design.md nor a threat", rung.Name, rung.Keeps)
			}
		}
		for _, name := range []string{ladder.Bound, ladder.Own} {
			if _, err := Named(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// Each duty is kept by the rung that claims it, as it is measured, and not by
// the rung before it: so the difference is the duty's price. A saving counts
// as a duty here.
func TestEveryRungKeepsItsDuty(t *testing.T) {
	for _, ladder := range Ladders {
		for i, rung := range ladder.Rungs {
			if rung.adds == 0 {
				continue
			}
			t.Run(ladder.Title()+"/"+rung.Name, func(t *testing.T) {
				check := dutyChecks[rung.adds]
				if check == nil {
					t.Fatal("nothing shows whether it is kept")
				}
				if err := check(newDutifulSite(rung.owes)); err != nil {
					t.Error(err)
				}
				before := ladder.Rungs[i-1]
				if before.owes == 0 {
					return // the floor is another implementation: TestFloorOwnsNoRequest
				}
				if before.owes|rung.adds != rung.owes {
					t.Errorf("it owes more than %s and its own", before.Name)
				}
				if check(newDutifulSite(before.owes)) == nil {
					t.Errorf("%s keeps it already", before.Name)
				}
			})
		}
	}
}

// What is compared with others keeps all duties, and with one of them left out
// it shows. Those that other duties need cannot be left out alone.
func TestEveryDutyShows(t *testing.T) {
	needed := ownRequest | twoClocks | idAndVerifier | ownCopy | all(sealedSteps)
	for duty, check := range dutyChecks {
		for _, sealed := range []duties{0, all(sealedSteps)} {
			if sealed != 0 && openOnly.has(duty) || sealed == 0 && all(sealedSteps).has(duty) {
				continue
			}
			name := fmt.Sprintf("duty %#x, sealed %t", duty, sealed != 0)
			if err := check(newDutifulSite(allDuties | sealed)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if needed.has(duty) {
				continue
			}
			without := allDuties&^duty | sealed
			if duty == toTheEnd {
				without &^= usedAgain
			}
			if check(newDutifulSite(without)) == nil {
				t.Errorf("%s: left out, and nothing shows it", name)
			}
		}
	}
}

// The floor hands the server's request and writer on: the first rung's duty is
// none of its own.
func TestFloorOwnsNoRequest(t *testing.T) {
	f := &floor{sessions: map[[32]byte]*floorSession{}}
	if ownsRequest(func(h http.HandlerFunc) http.Handler { return f.handler(h) }) == nil {
		t.Error("the floor keeps it already")
	}
}

// A run that fills the table ends with an error: failures are not measured.
func TestFullTableIsNoResult(t *testing.T) {
	s := newDutifulSite(allDuties)
	built := &httpSite{handlers: s.handlers(Small)}
	for _, work := range []Work{SignIn, FirstSignIn} {
		s.bytes = 0
		v, err := built.Visitor(work)
		if err != nil {
			t.Fatal(err)
		}
		v.Visit()
		if err := Check(v, work); err != nil {
			t.Errorf("%s: %v", work, err)
		}
		s.bytes = mostBytes
		for range 3 { // the next ones have no cookie any more
			v.Visit()
			if Check(v, work) == nil {
				t.Errorf("%s: passes with a full table", work)
			}
		}
	}
}

// A panic must not lose the cookie of a session that was stored, and writers
// can do what the server's can.
func TestWriterOfARung(t *testing.T) {
	s := newDutifulSite(allDuties)
	w := &recorder{header: http.Header{}}
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	func() {
		defer func() { recover() }()
		s.handle(func(w http.ResponseWriter, r *http.Request) {
			for _, able := range []bool{is[http.Flusher](w), is[http.Hijacker](w), is[io.ReaderFrom](w), is[io.StringWriter](w), !is[http.Pusher](w)} {
				if !able {
					t.Errorf("%T has not the abilities of the server's", w)
				}
			}
			r.Pattern = "GET /"
			v, _ := sessionOf(r)
			v.signIn("alice")
			panic("on its way up")
		}).ServeHTTP(w, r)
	}()
	if w.cookie() == "" || r.Pattern != "GET /" {
		t.Errorf("cookie %q, pattern %q", w.cookie(), r.Pattern)
	}
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

// signedIn starts one session with the payload.
func (s *dutifulSite) signedIn() (Handlers, string) {
	h := s.handlers(Small)
	return h, ask(h[fill], "", nil).cookie()
}

// only is the last record that was added.
func (s *dutifulSite) only() record { return s.rows[len(s.rows)-1].record }

func want(got, want string) error {
	if got != want {
		return fmt.Errorf("%q, want %q", got, want)
	}
	return nil
}

func wantStatus(w *recorder, status int) error { return want(fmt.Sprint(w.status), fmt.Sprint(status)) }
func wantBody(w *recorder, body string) error  { return want(string(w.body), body) }
