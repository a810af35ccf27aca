package coatcheck_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// dumped is a store outside the process, as far as a manager can see, that
// keeps a copy of everything it was ever given.
type dumped struct {
	store.Store
	mu      sync.Mutex
	records []store.Record
}

func (d *dumped) Create(ctx context.Context, r store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	d.keep(r)
	return d.Store.Create(ctx, r, terms, now)
}

func (d *dumped) Update(ctx context.Context, r store.Record, was uint64, now time.Time) error {
	d.keep(r)
	return d.Store.Update(ctx, r, was, now)
}

func (d *dumped) keep(r store.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Head, r.Data = bytes.Clone(r.Head), bytes.Clone(r.Data)
	d.records = append(d.records, r)
}

// last is the newest version of a session's record.
func (d *dumped) last(id store.ID) (last store.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.records {
		if r.ID == id {
			last = r
		}
	}
	return last
}

// clearText is a value that a visitor stores, in forms that errors might quote.
const clearText = "MARK-of-clear-data"

// fullRun does all that a visitor can do and goes wrong in all that can go
// wrong, and returns the tokens that were issued and everything that was said.
func fullRun(t *testing.T, st store.Store) (issued []string, said string) {
	t.Helper()
	var mu sync.Mutex
	var everything strings.Builder
	say := func(values ...any) {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				fmt.Fprintf(&everything, verb+"\n", v)
			}
			encoded, err := json.Marshal(v)
			fmt.Fprintln(&everything, string(encoded), err)
			slog.New(slog.NewTextHandler(&everything, nil)).Info("said", "value", v)
			slog.New(slog.NewJSONHandler(&everything, nil)).Info("said", "value", v)
		}
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewMultiHandler(slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)))
	failing, faults := storetest.Faulty(st)
	config := coatcheck.Config{Store: failing, Logger: logger, OnEvent: func(e coatcheck.Event) { say(e) }, MaxBytes: 500, RotationGrace: time.Second}
	site := coatchecktest.New(t, config, func(sessions *coatcheck.Manager) http.Handler {
		return sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
			say(s, w, r.Context(), context.WithValue(r.Context(), leaveKey{}, 1))
			act := deeds9[strings.TrimPrefix(r.URL.Path, "/")]
			err := act(s)
			say(err, s, s.Info(), w, r.Context())
			return err
		})
	})
	visit := func(v *coatchecktest.Visitor, path string) {
		res := v.Post("/"+path, nil)
		for _, line := range res.Header["Set-Cookie"] {
			_, rest, _ := strings.Cut(line, "=")
			if value, _, _ := strings.Cut(rest, ";"); value != "" {
				issued = append(issued, value)
			}
		}
		res.Header.Del("Set-Cookie")
		say(res)
	}
	alice, thief := site.Visitor(), site.Visitor()
	for path := range strings.FieldsSeq("write sign-in write update misfit misfit-update too-large rotate") {
		visit(alice, path)
		if path == "sign-in" {
			thief.SetCookie(signedInCookie + "=" + cookieOf(alice, signedInCookie) + "; Path=/; Secure")
		}
		site.Advance(2 * time.Second)
	}
	for _, method := range []storetest.Method{storetest.Load, storetest.Update, storetest.Create} {
		faults.Fail(method, 1, errors.New("disk on fire"))
		visit(alice, "write")
		visit(site.Visitor(), "write")
		faults.Heal()
	}
	visit(alice, "write")
	for path := range strings.FieldsSeq("rotate write reauthenticate write") {
		visit(alice, path)
		site.Advance(2 * time.Second)
	}
	visit(thief, "write")
	forger := site.Visitor()
	forger.SetCookie(signedInCookie + "=" + cookieOf(alice, signedInCookie)[:22] + strings.Repeat("x", 42) + "; Path=/; Secure")
	visit(forger, "write")
	forger.SetCookie(signedInCookie + "=nonsense; Path=/; Secure")
	visit(forger, "write")
	say(alice.PostFrom("https://evil.example", "/write", url.Values{"a": {"b"}}))
	list, err := site.Manager().List(t.Context(), "alice")
	say(list, err, alice.Info())
	visit(alice, "end")
	visit(alice, "write")
	say(site.Events(), site.Manager())
	everything.Write(log.Bytes())
	return issued, everything.String()
}

// timeInText reads a text as a time; what is wrong with it quotes it.
var timeInText = coatcheck.NewKey[time.Time]("test.text")

// deeds9 are what the visitors of fullRun do.
var deeds9 = map[string]func(s *coatcheck.Session) error{
	"write": func(s *coatcheck.Session) error { return textKey.Set(s, clearText) },
	"update": func(s *coatcheck.Session) error {
		return s.Update(ctx, func() error { return listKey.Set(s, []string{clearText}) })
	},
	"misfit": func(s *coatcheck.Session) error { _, _, err := timeInText.Pop(s); timeInText.Get(s); return err },
	"misfit-update": func(s *coatcheck.Session) error {
		return timeInText.Update(s, func(at time.Time) (time.Time, error) { return at, nil })
	},
	"too-large":      func(s *coatcheck.Session) error { return otherKey.Set(s, strings.Repeat(clearText, 100)) },
	"sign-in":        func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") },
	"rotate":         func(s *coatcheck.Session) error { return s.Rotate(ctx) },
	"reauthenticate": func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) },
	"end":            func(s *coatcheck.Session) error { return s.End(ctx) },
}

// formsOf are the ways in which a token, or the secret in it, could be written.
func formsOf(t *testing.T, token string) map[string]string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 48 {
		t.Fatalf("%q is no token", token)
	}
	fresh, family := raw[24:], raw[16:24]
	return map[string]string{
		"the token":                   token,
		"its secret":                  token[22:],
		"its secret, as bytes":        string(fresh),
		"its family, as bytes":        string(family),
		"its secret in hex":           hex.EncodeToString(fresh),
		"its family in hex":           hex.EncodeToString(family),
		"its secret in standard form": base64.RawStdEncoding.EncodeToString(fresh),
		"its secret, as numbers":      strings.Trim(fmt.Sprint(fresh[:8]), "[]"),
		"its family, as numbers":      strings.Trim(fmt.Sprint(family), "[]"),
		"its secret, as Go writes it": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", fresh[:8]), "[]byte{"), "}"),
	}
}

// TestRule9NothingUsableIsSaid (F-36, ASVS 16.2.5) in any log, error, event or
// page, nor printed of anything that handlers hold, by a run that goes through
// all that can happen.
func TestRule9NothingUsableIsSaid(t *testing.T) {
	for name, st := range map[string]store.Store{"in memory": memstore.New(nil), "outside": storetest.Opaque(memstore.New(nil))} {
		issued, said := fullRun(t, st)
		if len(issued) < 6 || len(said) < 100_000 || !strings.Contains(said, "alice") {
			t.Fatalf("%s: the run has issued %d tokens and said %d bytes", name, len(issued), len(said))
		}
		for _, token := range issued {
			for form, text := range formsOf(t, token) {
				if at := strings.Index(said, text); at >= 0 {
					t.Errorf("%s: %s is in %q", name, form, said[max(0, at-100):at+len(text)])
				}
			}
		}
		if at := strings.Index(said, clearText); at >= 0 {
			t.Errorf("%s: clear data is in %q", name, said[max(0, at-200):at+len(clearText)])
		}
	}
}

// TestRule9NothingUsableIsInADump (F-35, NIST-5.1.1-7) of a store outside the
// process; one in memory holds the data as it is, which shows that the search
// finds what is there.
func TestRule9NothingUsableIsInADump(t *testing.T) {
	outside := &dumped{Store: memstore.New(nil)}
	issued, _ := fullRun(t, outside)
	var dump bytes.Buffer
	withData := 0
	for _, r := range outside.records {
		dump.WriteString(r.Subject)
		dump.Write(r.Head)
		dump.Write(r.Data)
		withData += min(1, len(r.Data))
	}
	if !strings.Contains(dump.String(), "alice") || withData < 5 {
		t.Fatalf("the dump of %d records, %d with data, is not of that run", len(outside.records), withData)
	}
	for _, token := range issued {
		for form, text := range formsOf(t, token) {
			if strings.Contains(dump.String(), text) {
				t.Errorf("the dump has %s", form)
			}
		}
	}
	for _, text := range []string{clearText, "test.text", "test.list"} {
		if strings.Contains(dump.String(), text) {
			t.Errorf("the dump has %q", text)
		}
	}

	inside := struct {
		*dumped
		keptInside
	}{dumped: &dumped{Store: memstore.New(nil)}}
	fullRun(t, inside)
	if last := inside.records[0]; !bytes.Contains(last.Data, []byte(clearText)) {
		t.Errorf("what stays in the process is sealed: %q", last.Data)
	}
}

type keptInside struct{}

func (keptInside) InProcess() {}

// TestRule9AVerifierOpensNothing: what is stored of a secret is worth nothing in
// its place.
func TestRule9AVerifierOpensNothing(t *testing.T) {
	st := &dumped{Store: memstore.New(nil)}
	site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, page(whoami))
	id := site.SignedIn("alice").Info().ID
	head := st.last(id).Head
	for at := 0; at+32 <= len(head); at++ {
		v := site.Visitor()
		v.SetCookie(signedInCookie + "=" + base64.RawURLEncoding.EncodeToString(append(id[:], head[at:at+32]...)) + "; Path=/; Secure")
		if res := v.Get("/"); res.Body != "" || res.Status != http.StatusOK {
			t.Errorf("bytes %d to %d of the head sign in as %q, %d", at, at+32, res.Body, res.Status)
		}
	}
}

// TestRule9RotationWrapsTheKeyAnewAndReauthenticationSealsAnew.
func TestRule9RotationWrapsTheKeyAnewAndReauthenticationSealsAnew(t *testing.T) {
	st := &dumped{Store: memstore.New(nil)}
	site := coatchecktest.New(t, coatcheck.Config{Store: st}, page(look))
	alice := site.SignedIn("alice")
	coatchecktest.Put(alice, textKey, clearText)
	id := alice.Info().ID
	before := st.last(id)
	site.Advance(2 * time.Minute)

	alice.Session(func(s *coatcheck.Session) error { return s.Rotate(ctx) })
	rotated := st.last(id)
	if !bytes.Equal(rotated.Data, before.Data) || bytes.Equal(rotated.Head, before.Head) {
		t.Errorf("rotation: data sealed anew: %t, head changed: %t", !bytes.Equal(rotated.Data, before.Data), !bytes.Equal(rotated.Head, before.Head))
	}
	alice.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
	if renewed := st.last(id); bytes.Equal(renewed.Data, before.Data) {
		t.Error("re-authentication has kept the data as it was sealed")
	}
	if text, _ := coatchecktest.Value(alice, textKey); text != clearText {
		t.Errorf("the data is now %q", text)
	}
}

// TestRule9DataThatDoesNotOpenIsTrouble (F-38, F-80): damaged, moved from
// another session or of a newer release, it is neither believed nor forgotten,
// and keeps nobody from signing in.
func TestRule9DataThatDoesNotOpenIsTrouble(t *testing.T) {
	for name, damage := range map[string]func(data, other []byte) []byte{
		"cut":                func(data, _ []byte) []byte { return data[:len(data)-1] },
		"a bit changed":      func(data, _ []byte) []byte { return append(data[:len(data)-1:len(data)-1], data[len(data)-1]^1) },
		"moved from another": func(_, other []byte) []byte { return other },
		"of another version": func(data, _ []byte) []byte { return append([]byte{9}, data[1:]...) },
		"not sealed at all":  func(_, _ []byte) []byte { return []byte("\x01\x04test\x73\x03yes") },
	} {
		st := &dumped{Store: memstore.New(nil)}
		site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, pages(map[string]handler{
			"/read": func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
				return textKey.Set(s, "over it")
			},
			"/sign-in": func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
				return s.SignIn(r.Context(), "alice")
			},
		}))
		alice, bob := site.SignedIn("alice"), site.SignedIn("bob")
		coatchecktest.Put(alice, textKey, clearText)
		coatchecktest.Put(bob, textKey, clearText)
		r := st.last(alice.Info().ID)
		was := r.Version
		r.Data, r.Version = damage(r.Data, st.last(bob.Info().ID).Data), was+1
		if err := st.Store.Update(ctx, r, was, site.Now()); err != nil {
			t.Fatal(err)
		}
		res := alice.Get("/read")
		noCookie(t, res)
		if res.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", name, res.Status, res.Body)
		}
		if raised := site.Events(coatcheck.KindUndecodable); len(raised) == 0 || raised[0].Subject != "alice" {
			t.Errorf("%s: events: %v", name, raised)
		}
		if res := alice.Get("/sign-in"); res.Status != http.StatusOK || alice.Info().Subject != "alice" {
			t.Errorf("%s: signing in again: %d %s", name, res.Status, res.Body)
		}
		if text, found := coatchecktest.Value(alice, textKey); found {
			t.Errorf("%s: the new session holds %q", name, text)
		}
	}
}

// TestRule9AHeadOfANewerReleaseIsTrouble, and never a visitor who is nobody.
func TestRule9AHeadOfANewerReleaseIsTrouble(t *testing.T) {
	st := &dumped{Store: memstore.New(nil)}
	site := coatchecktest.New(t, coatcheck.Config{Store: st, Logger: silent}, page(whoami))
	alice := site.SignedIn("alice")
	r := st.last(alice.Info().ID)
	was := r.Version
	r.Head, r.Version = append([]byte{2}, r.Head[1:]...), was+1
	if err := st.Store.Update(ctx, r, was, site.Now()); err != nil {
		t.Fatal(err)
	}
	res := alice.Get("/")
	noCookie(t, res)
	if res.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", res.Status, res.Body)
	}
	if _, err := site.Manager().Lookup(ctx, r.ID); !errors.Is(err, coatcheck.ErrStore) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("Lookup: %v", err)
	}
}
