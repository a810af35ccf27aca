package site

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
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

// dutyChecks are how it shows that a site keeps a duty.
var dutyChecks = []struct {
	duty  duties
	keeps func(*dutifulSite) error
}{
	{allCookies, func(s *dutifulSite) error {
		h, c := s.signedIn()
		if w := ask(h[ReadOne], c+"; "+c, nil); w.status != http.StatusBadRequest {
			return fmt.Errorf("a cookie twice: status %d", w.status)
		}
		w := ask(h[ReadOne], c, func(r *http.Request) { r.Method = "POST"; r.Header.Set("Sec-Fetch-Site", "cross-site") })
		return wantStatus(w, http.StatusForbidden)
	}},
	{limits, func(s *dutifulSite) error {
		h, c := s.signedIn()
		s.only().set(24, s.only().uint64(24)-2*60e6)
		ask(h[ReadOne], c, nil)
		if ago := time.Since(time.UnixMicro(s.only().lastSeen())); ago > time.Minute {
			return fmt.Errorf("last seen %v ago", ago)
		}
		s.only().set(24, s.only().uint64(24)-idleFor)
		return wantBody(ask(h[ReadOne], c, nil), "")
	}},
	{cacheHeaders, func(s *dutifulSite) error {
		h, c := s.signedIn()
		got := fmt.Sprint(ask(h[ReadOne], c, nil).header)
		return want(got, "map[Cache-Control:[no-store] Vary:[Cookie]]")
	}},
	{toTheEnd, func(s *dutifulSite) error {
		_, c := s.signedIn()
		var v *visit
		ask(s.handle(func(_ http.ResponseWriter, r *http.Request) { v, _ = sessionOf(r) }), c, nil)
		return want(v.text(nameKey), "")
	}},
	{gathered, func(s *dutifulSite) error {
		_, c := s.signedIn()
		version := s.only().version()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, 7)
			w.Header().Set("Stored", fmt.Sprint(s.only().version() != version))
		}), c, nil)
		return want(w.header.Get("Stored")+fmt.Sprint(s.only().version() != version), "falsetrue")
	}},
	{compareAndSwap, func(s *dutifulSite) error {
		h, c := s.signedIn()
		ask(s.handle(func(_ http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber("another", 7)
			ask(h[WriteOne], c, nil)
		}), c, nil)
		return wantBody(ask(h[WriteOne], c, nil), "odd") // the third, after both were kept
	}},
	{conditional, func(s *dutifulSite) error {
		h, c := s.signedIn()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, v.number(visitsKey)+1)
			ask(h[WriteOne], c, nil)
			io.WriteString(w, "kept")
		}), c, nil)
		return wantStatus(w, http.StatusConflict)
	}},
	{finalEnd, func(s *dutifulSite) error {
		_, c := s.signedIn()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, 7)
			s.only().set(40, 1) // its time is over, at the version that was read
			io.WriteString(w, "answered")
		}), c, nil)
		if err := wantBody(w, "answered"); err != nil {
			return err
		}
		_, value, _ := find(s.only()[s.only().dataAt():], visitsKey)
		return want(fmt.Sprint(value), "[2]")
	}},
	{cookieLast, func(s *dutifulSite) error {
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.signIn("alice")
			w.Header().Set("Early", fmt.Sprint(len(w.Header()["Set-Cookie"])))
		}), "", nil)
		return want(w.header.Get("Early")+fmt.Sprint(len(w.header["Set-Cookie"])), "01")
	}},
	{secureTransport, func(s *dutifulSite) error {
		h := s.handlers(Small)
		return wantStatus(ask(h[SignIn], "", func(r *http.Request) { r.Host = "example.com" }), http.StatusBadRequest)
	}},
	{familyAndPlace, func(s *dutifulSite) error {
		h := s.handlers(Small)
		a, b := ask(h[SignIn], "", nil).cookie(), ask(h[SignIn], "", nil).cookie()
		if a[:len(floorCookie)+3] != b[:len(floorCookie)+3] {
			return fmt.Errorf("%s and %s lie apart", a, b)
		}
		return nil
	}},
	{description, func(s *dutifulSite) error {
		s.signedIn()
		if !bytes.Contains(s.only(), []byte("aliceFirefox on Linux192.0.2.0/24")) {
			return fmt.Errorf("kept as %q", s.only())
		}
		return nil
	}},
	{subjectIndex, func(s *dutifulSite) error {
		h := s.handlers(Small)
		for range mostPerSubject + 5 {
			ask(h[SignIn], "", nil)
		}
		return want(fmt.Sprint(len(s.byID)), fmt.Sprint(mostPerSubject))
	}},
	{retirement, func(s *dutifulSite) error {
		h, c := s.signedIn()
		ask(h[SignIn], c, nil)
		if err := wantStatus(ask(h[WriteOne], c, nil), http.StatusConflict); err != nil {
			return err
		}
		var late *recorder // what another wrote meanwhile is in the new session
		h, c = s.signedIn()
		ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			ask(h[WriteOne], c, nil)
			v.signIn("alice")
			w.WriteHeader(http.StatusOK)
			late = ask(h[WriteOne], cookies(w.Header()["Set-Cookie"]), nil)
		}), c, nil)
		return wantBody(late, "odd")
	}},
}

// Each duty is kept by all, and missed where it is left out: so its rung
// measures what it says.
func TestEveryDutyShows(t *testing.T) {
	for _, check := range dutyChecks {
		for _, sealed := range []duties{0, all(sealedSteps)} {
			name := fmt.Sprintf("duty %#x, sealed %t", check.duty, sealed != 0)
			if check.duty == finalEnd && sealed != 0 {
				continue // its check reads what lies open
			}
			if err := check.keeps(newDutifulSite(allDuties | sealed)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			without := allDuties&^check.duty | sealed
			if check.duty == toTheEnd {
				without &^= usedAgain
			}
			if check.keeps(newDutifulSite(without)) == nil {
				t.Errorf("%s: left out, and nothing shows it", name)
			}
		}
	}
}

func TestSealedDataIsNotInTheTable(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		owes := allDuties
		if sealed {
			owes = allDutiesSealed
		}
		s := newDutifulSite(owes)
		s.signedIn()
		if bytes.Contains(s.only(), []byte(name)) == sealed {
			t.Errorf("sealed %t: kept as %q", sealed, s.only())
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
