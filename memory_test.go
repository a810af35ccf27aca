package coatcheck

// This test is inside the package because what lies beyond the end of a slice
// shows nowhere else.

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// What a request held is wiped, all of it, before another may use its memory.
func TestMemoryIsWiped(t *testing.T) {
	text := NewKey[string]("text")
	for name, st := range map[string]store.Store{"in this process": memstore.New(nil), "outside": struct{ store.Store }{memstore.New(nil)}} {
		m, err := New(Config{Store: st})
		if err != nil {
			t.Fatal(err)
		}
		cookie := ""
		for step, serve := range []func(*http.Request, *Session) error{
			func(r *http.Request, s *Session) error { return s.SignIn(r.Context(), "alice") },
			func(_ *http.Request, s *Session) error { return text.Set(s, strings.Repeat("secret ", 20)) },
			func(_ *http.Request, s *Session) error { return text.Set(s, "short") },
			func(r *http.Request, s *Session) error { return s.Reauthenticate(r.Context()) },
		} {
			var h *held
			r, w := httptest.NewRequest("GET", "https://localhost/", nil), httptest.NewRecorder()
			r.Header.Set("Cookie", cookie)
			m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *Session) error {
				h = s.held
				return serve(r, s)
			}).ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Fatal(w.Body)
			}
			if line := w.Header().Get("Set-Cookie"); line != "" {
				cookie, _, _ = strings.Cut(line, ";")
			}
			for i, b := range [][]byte{h.memory.head, h.memory.data, h.memory.newHead.space, h.memory.newData.space, h.memory.opened.space, h.memory.network.space} {
				if whole := b[:cap(b)]; len(b) != 0 || strings.Trim(string(whole), "\x00") != "" {
					t.Errorf("%s, step %d: piece %d holds %q still", name, step, i, whole)
				}
			}
			for _, room := range []room{h.memory.newHead, h.memory.newData, h.memory.opened, h.memory.network} {
				if room.taken {
					t.Errorf("%s, step %d: a room is taken for ever", name, step)
				}
			}
			if h.record.Subject != "" || h.token != nothingHeld.token || h.box.Key() != nothingHeld.box.Key() || h.working != nil {
				t.Errorf("%s, step %d: the session is there still", name, step)
			}
		}
	}
}
