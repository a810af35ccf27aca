package exchange_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func newRecorder() *exchange.Recorder {
	return exchange.NewRecorder("__Host-id", func() time.Time { return noon })
}

// token is a cookie's value for a session of that number.
func token(n byte) string {
	return base64.RawURLEncoding.EncodeToString(append(idOf(n).bytes(), []byte("the-secret-of-32-bytes-is-here-!")...))
}

type number store.ID

func idOf(n byte) number { return number{0: n, 15: n} }

func (n number) bytes() []byte { return n[:] }

// serve passes one request through the recorder.
func serve(r *exchange.Recorder, path, cookie string, h func(http.ResponseWriter, *http.Request)) {
	request := httptest.NewRequestWithContext(context.Background(), "GET", "https://house.example"+path, nil)
	request.Header.Set("Authorization", "Bearer not-to-be-kept")
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	r.Handler(http.HandlerFunc(h)).ServeHTTP(httptest.NewRecorder(), request)
}

func servedBy(n byte, subject string) func(http.ResponseWriter, *http.Request) {
	return func(_ http.ResponseWriter, r *http.Request) { exchange.Serves(r.Context(), store.ID(idOf(n)), subject) }
}

func TestASecretIsNeverKept(t *testing.T) {
	r := newRecorder()
	serve(r, "/in?q=secret-query", "__Host-id-visit="+token(1)+"; other=private-value; "+token(9), func(w http.ResponseWriter, req *http.Request) {
		exchange.Serves(req.Context(), store.ID(idOf(1)), "")
		exchange.Receipt(req.Context(), "receipt")
		w.Header().Set("Set-Cookie", "__Host-id="+token(2)+"; Path=/; Secure; HttpOnly; SameSite=Lax")
		w.Header().Set("Location", "/next?q=secret-query")
		exchange.Serves(req.Context(), store.ID(idOf(2)), "alice")
	})
	kept := r.Of(store.ID(idOf(2)))
	byReceipt, found := r.Receipt("receipt")
	if len(kept) != 1 || !found {
		t.Fatalf("%d exchanges, receipt: %v", len(kept), found)
	}
	all := fmt.Sprintf("%+v %+v", kept, byReceipt)
	for _, secret := range []string{token(1)[22:], token(2)[22:], token(9)[22:], "private-value", "secret-query", "not-to-be-kept"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is kept", secret)
		}
	}
	if line := kept[0].Set[0].Line(); line != "__Host-id="+token(2)[:4]+"••••••••; Path=/; Secure; HttpOnly; SameSite=Lax" {
		t.Errorf("the cookie is shown as %q", line)
	}
}

func TestWhoseExchangeItIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		cookie string
		h      func(http.ResponseWriter, *http.Request)
		kept   bool
	}{
		{"its cookie came and it served", "__Host-id=" + token(1), servedBy(1, "alice"), true},
		{"no cookie came", "", servedBy(1, "alice"), false},
		{"its id came and another session served", "__Host-id=" + token(1), servedBy(2, "bob"), false},
		{"its id came and nothing served", "__Host-id=" + token(1), func(http.ResponseWriter, *http.Request) {}, false},
		{"another cookie has its id", "mine=" + token(1), servedBy(2, "bob"), false},
		{"it only looked", "__Host-id=" + token(1), func(w http.ResponseWriter, r *http.Request) {
			exchange.Aside(r.Context())
			servedBy(1, "alice")(w, r)
		}, false},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			r := newRecorder()
			serve(r, "/page", c.cookie, c.h)
			if kept := len(r.Of(store.ID(idOf(1)))) == 1; kept != c.kept {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}

func TestASignInInheritsFromTheVisitorAndNotFromAnotherPerson(t *testing.T) {
	for _, c := range []struct {
		before string
		want   int
	}{{"", 2}, {"alice", 2}, {"bob", 1}} {
		r := newRecorder()
		serve(r, "/before", "__Host-id="+token(1), servedBy(1, c.before))
		serve(r, "/sign-in", "__Host-id="+token(1), func(w http.ResponseWriter, req *http.Request) {
			servedBy(1, c.before)(w, req)
			w.Header().Set("Set-Cookie", "__Host-id="+token(2)+"; Path=/")
			servedBy(2, "alice")(w, req)
		})
		if kept := r.Of(store.ID(idOf(2))); len(kept) != c.want || kept[0].Path != "/sign-in" {
			t.Errorf("from %q alice has %d exchanges", c.before, len(kept))
		}
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	r := newRecorder()
	for range 40 {
		serve(r, "/"+strings.Repeat("long", 500), "__Host-id="+token(1), servedBy(1, ""))
	}
	kept := r.Of(store.ID(idOf(1)))
	if len(kept) != 12 || len(kept[0].Path) > 120 {
		t.Errorf("%d exchanges, a path of %d", len(kept), len(kept[0].Path))
	}
	for n := range 600 {
		id := store.ID{1: byte(n >> 8), 2: byte(n), 3: 1}
		value := base64.RawURLEncoding.EncodeToString(append(id[:], make([]byte, 32)...))
		serve(r, "/", "__Host-id="+value, func(_ http.ResponseWriter, req *http.Request) { exchange.Serves(req.Context(), id, "") })
	}
	if len(r.Of(store.ID(idOf(1)))) != 0 || len(r.Of(store.ID{1: 599 >> 8, 2: 599 & 255, 3: 1})) != 1 {
		t.Error("of 601 sessions the first is still there, or the last is not")
	}
}

func TestForgetting(t *testing.T) {
	r := newRecorder()
	serve(r, "/", "__Host-id="+token(1), servedBy(1, "alice"))
	r.Forget(store.ID(idOf(1)))
	if len(r.Of(store.ID(idOf(1)))) != 0 {
		t.Error("it is still there")
	}
}

func TestTheStoreIsSeenAtWork(t *testing.T) {
	r := newRecorder()
	traced := r.Trace(memstore.New(nil))
	serve(r, "/", "__Host-id="+token(1), func(w http.ResponseWriter, req *http.Request) {
		servedBy(1, "")(w, req)
		record := store.Record{ID: store.ID(idOf(1)), Version: 1, Subject: "id:alice", Created: noon, LastSeen: noon, Idle: time.Hour, Absolute: noon.Add(time.Hour), Data: []byte("data")}
		if _, err := traced.Create(req.Context(), record, store.Terms{}, noon); err != nil {
			t.Error(err)
		}
		if err := traced.Load(req.Context(), store.ID(idOf(2)), &record, store.Fresh); err == nil {
			t.Error("found what is not there")
		}
	})
	steps := r.Of(store.ID(idOf(1)))[0].Steps
	if len(steps) != 2 || steps[0].Verb != "create" || steps[0].Answer != "of alice, 4 bytes" || steps[1].Answer != "not found" {
		t.Errorf("steps are %+v", steps)
	}
}

type watching struct{ store.Store }

func (watching) Watch(store.ID, func()) func() { return func() {} }

type settling struct{ store.Store }

func (settling) Settle(context.Context) error { return nil }

func TestATracedStoreHasTheAbilitiesOfItsStoreAndNoOthers(t *testing.T) {
	plain := struct{ store.Store }{memstore.New(nil)}
	for name, s := range map[string]store.Store{
		"plain": plain, "watcher": watching{plain}, "settler": settling{plain}, "memory": memstore.New(nil),
		"both": struct {
			store.Store
			store.Watcher
			store.Settler
		}{plain, watching{plain}, settling{plain}},
	} {
		traced := newRecorder().Trace(s)
		if abilities(s) != abilities(traced) {
			t.Errorf("%s: %s becomes %s", name, abilities(s), abilities(traced))
		}
	}
}

func abilities(s store.Store) string {
	_, watcher := s.(store.Watcher)
	_, settler := s.(store.Settler)
	_, inside := s.(store.InProcess)
	marks, says := s.(store.ExactMarks)
	return fmt.Sprint("watcher ", watcher, ", settler ", settler, ", in process ", inside, ", exact marks ", says && marks.ExactMarks())
}

func TestEveryAttributeIsExplained(t *testing.T) {
	r := newRecorder()
	serve(r, "/", "", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Set-Cookie", "__Host-id="+token(1)+"; Max-Age=2592000; Path=/; Secure; HttpOnly; SameSite=Lax")
		servedBy(1, "alice")(w, req)
	})
	cookie, _, found := r.Cookie(store.ID(idOf(1)))
	if !found {
		t.Fatal("the cookie is not kept")
	}
	var parts []string
	for _, reason := range cookie.Reasons() {
		if reason.Because == "" || reason.Stops == "" {
			t.Errorf("%s is not explained", reason.Part)
		}
		parts = append(parts, reason.Part)
	}
	if got := strings.Join(parts, " | "); got != "__Host-id | "+cookie.Shown+" | Max-Age=2592000 | Path=/ | Secure | HttpOnly | SameSite=Lax | no Domain" {
		t.Errorf("explained are %s", got)
	}
}

func TestADrawingStaysInItsFrame(t *testing.T) {
	e := exchange.Exchange{
		Method: "POST", Path: "/" + strings.Repeat("x", 119), Proto: "HTTP/1.1", Status: 303, Secure: true,
		Request:  []exchange.Field{{Name: "Host", Value: strings.Repeat("long.", 20)}},
		Brought:  []exchange.Cookie{{Name: "__Host-id", Shown: "AbCd••••••••", Session: true}},
		Steps:    []exchange.Step{{Verb: "load", ID: "AAAA BBBB", Answer: strings.Repeat("y", 60)}},
		Set:      []exchange.Cookie{{Name: "__Host-id", Shown: "", Session: true, Gone: true, Attributes: []string{"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"}}},
		Response: []exchange.Field{{Name: "Location", Value: "/goodbye"}},
	}
	for _, layout := range []struct {
		exchange.Layout
		letter float64
	}{{exchange.Wide, 7.3}, {exchange.Narrow, 6.1}} {
		d := exchange.Draw(e, layout.Layout)
		last := 0
		for _, text := range d.Texts {
			width := int(layout.letter * float64(len([]rune(text.Line))))
			left := text.X
			if text.Anchor == "end" {
				left -= width
			}
			if left < 0 || left+width > d.Width || text.Y > d.Height {
				t.Errorf("%s: %q reaches from %d to %d of %d", d.Name, text.Line, left, left+width, d.Width)
			}
			if text.Y < last {
				t.Errorf("%s: %q is above what was said before", d.Name, text.Line)
			}
			last = text.Y
		}
		if len(d.Arrows) != 4 || len(d.Notes) != 1 || len(d.Lanes) != 4 {
			t.Errorf("%s: %d arrows, %d notes, %d lanes", d.Name, len(d.Arrows), len(d.Notes), len(d.Lanes))
		}
	}
}
