package everystore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store"
)

// What visitors have in their sessions and want nobody to read.
const (
	cartItem = "a scarf of vicuna wool"
	whisper  = "the cellar door is open"
)

var (
	cartKey  = coatcheck.NewKey[[]string]("dump.cart")
	textKey  = coatcheck.NewKey[string]("dump.text")
	bytesKey = coatcheck.NewKey[[]byte]("dump.bytes")
)

// unsealed is a store that claims to keep its records in this process, so that the
// manager seals nothing.
type unsealed struct{ store.Store }

func (unsealed) InProcess() {}

// TestADumpHoldsNoSecretAndNoData takes a dump of each store by its tools after
// visitors have come, signed in, changed secrets and stored what is private.
func TestADumpHoldsNoSecretAndNoData(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := k.open(t)
			if p.dump == nil {
				t.Logf("%s has no dump of its own kind", k.name)
				return
			}
			secrets := someVisits(t, p.handles[0])
			dump := p.dump(t)
			if !bytes.Contains(dump, []byte("alice")) && !bytes.Contains(dump, []byte(hex.EncodeToString([]byte("alice")))) {
				t.Fatal("the dump does not hold the sessions: not even a subject, which is in clear")
			}
			for name, form := range leaks(dump, secrets) {
				t.Errorf("the dump holds %s as %s", name, form)
			}
		})
	}
}

// TestADumpOfClearDataIsFound proves the test above: what a manager stores
// unsealed is found in the dump of every store, tokens included.
func TestADumpOfClearDataIsFound(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := k.open(t)
			if p.dump == nil {
				return
			}
			secrets := someVisits(t, unsealed{p.handles[0]})
			found := leaks(p.dump(t), secrets)
			for _, name := range []string{"the cart", "the text", "the bytes", "the token of a visit", "the secret in the token of a visit"} {
				if found[name] == "" {
					t.Errorf("%s is in the dump and was not found", name)
				}
			}
		})
	}
}

// someVisits is a site's day in short. It returns what must stay secret, by
// name.
func someVisits(t *testing.T, st store.Store) (secrets map[string][]byte) {
	t.Helper()
	m, err := coatcheck.New(coatcheck.Config{Store: st, RotationGrace: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser("alice")
	secrets = map[string][]byte{"the cart": []byte(cartItem), "the text": []byte(whisper), "the bytes": []byte(strings.ToUpper(whisper))}
	tokenSeen := func(name string) {
		for _, token := range b.tokens() {
			raw, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil || len(raw) != 48 {
				t.Fatalf("the token is of %d bytes: %v", len(raw), err)
			}
			secrets[name] = []byte(token)
			secrets["the secret in "+name] = raw[16:]
			secrets["the family in "+name] = raw[16:24]
		}
	}
	visit := func(does func(*http.Request, *coatcheck.Session) error) {
		t.Helper()
		r := httptest.NewRequest("POST", "https://shop.example/", nil)
		for _, name := range []string{signedInCookie, visitCookie} {
			if token, has := b.cookies[name]; has {
				r.AddCookie(&http.Cookie{Name: name, Value: token})
			}
		}
		w := httptest.NewRecorder()
		m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error { return does(r, s) }).ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("a visit is answered %d: %s", w.Code, w.Body)
		}
		b.keep(w.Result().Cookies())
	}

	visit(func(_ *http.Request, s *coatcheck.Session) error { return cartKey.Set(s, []string{cartItem}) })
	tokenSeen("the token of a visit")
	own := b.tokens()[0]
	visit(func(_ *http.Request, s *coatcheck.Session) error {
		token, err := s.CSRFToken()
		secrets["a CSRF token"] = []byte(token)
		return errors.Join(err, textKey.Set(s, whisper+" "+own))
	})
	visit(func(r *http.Request, s *coatcheck.Session) error { return s.SignIn(r.Context(), "alice") })
	tokenSeen("the token of a sign-in")
	visit(func(r *http.Request, s *coatcheck.Session) error { return s.CredentialsChanged(r.Context()) })
	tokenSeen("the token after a change of password")
	visit(func(_ *http.Request, s *coatcheck.Session) error {
		raw, _ := base64.RawURLEncoding.DecodeString(own)
		return bytesKey.Set(s, append([]byte(strings.ToUpper(whisper)), raw...))
	})
	visit(func(r *http.Request, s *coatcheck.Session) error { return s.Rotate(r.Context()) })
	tokenSeen("the token after a rotation")
	return secrets
}

// leaks returns which secrets are in the dump, and in which form.
func leaks(dump []byte, secrets map[string][]byte) map[string]string {
	found := map[string]string{}
	lower := bytes.ToLower(dump)
	for name, secret := range secrets {
		for form, pattern := range map[string][]byte{
			"it is": secret,
			"hex":   []byte(hex.EncodeToString(secret)),
		} {
			if bytes.Contains(dump, pattern) || form == "hex" && bytes.Contains(lower, pattern) {
				found[name] = form
			}
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for before := range 3 {
				// What stands around a secret decides its first and last digits.
				text := encoding.EncodeToString(append(make([]byte, before), secret...))
				text = text[(before*8+5)/6 : len(text)-1]
				if bytes.Contains(dump, []byte(text)) || bytes.Contains(lower, []byte(hex.EncodeToString([]byte(text)))) {
					found[name] = "base64"
				}
			}
		}
	}
	return found
}

// dumpSQLite returns the files as they are, and what sqlite3 makes of them where
// it is installed.
func dumpSQLite(t testing.TB, file string) (dump []byte) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		part, err := os.ReadFile(file + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		dump = append(dump, part...)
	}
	tool, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Log("sqlite3 is not installed: the files alone are searched")
		return dump
	}
	out, err := exec.Command(tool, file, ".dump").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("CREATE TABLE")) {
		t.Fatalf("sqlite3 .dump: %v: %s", err, out)
	}
	return append(dump, out...)
}

// dumpRedis returns a snapshot, and every key with its value.
func dumpRedis(t testing.TB, s redisServer) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump.rdb")
	s.cli(t, "--rdb", file)
	dump, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys := bytes.Fields(s.cli(t, "--scan"))
	if len(keys) < 2 {
		t.Fatalf("there are only %d keys", len(keys))
	}
	for _, key := range keys {
		dump = append(append(dump, key...), s.cli(t, "dump", string(key))...)
	}
	return dump
}

func dumpPostgres(t testing.TB, address string) []byte {
	t.Helper()
	out, err := exec.Command(postgresProgram(t, "pg_dump"), "--inserts", "--dbname", address).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
	return out
}
