package coatcheck_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
)

// plainWriter has the abilities of every response writer, and notes its calls.
type plainWriter struct {
	header http.Header
	calls  *[]string
}

func (w *plainWriter) note(call string)            { *w.calls = append(*w.calls, call) }
func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) WriteHeader(int)             { w.note("WriteHeader") }
func (w *plainWriter) Write(p []byte) (int, error) { w.note("Write"); return len(p), nil }

// Each of these is one ability more.
type (
	canFlush     struct{ calls *[]string }
	canHijack    struct{ calls *[]string }
	canReadFrom  struct{ calls *[]string }
	canWriteText struct{ calls *[]string }
	canPush      struct{ calls *[]string }
)

func (c canFlush) Flush() { *c.calls = append(*c.calls, "Flush") }
func (c canHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	*c.calls = append(*c.calls, "Hijack")
	return nil, nil, nil
}
func (c canReadFrom) ReadFrom(r io.Reader) (int64, error) {
	*c.calls = append(*c.calls, "ReadFrom")
	return io.Copy(io.Discard, r)
}
func (c canWriteText) WriteString(text string) (int, error) {
	*c.calls = append(*c.calls, "WriteString")
	return len(text), nil
}
func (c canPush) Push(string, *http.PushOptions) error {
	*c.calls = append(*c.calls, "Push")
	return nil
}

// unwrapping is a middleware's writer, which hides what the inner one can.
type unwrapping struct {
	http.ResponseWriter
	inner http.ResponseWriter
}

func (w unwrapping) Unwrap() http.ResponseWriter { return w.inner }

// writersOfAllAbilities are 32 writers: bit 0 flushes, 1 hijacks, 2 reads from,
// 3 writes strings, 4 pushes.
func writersOfAllAbilities(calls *[]string) [32]http.ResponseWriter {
	type W = *plainWriter
	type F = canFlush
	type H = canHijack
	type R = canReadFrom
	type S = canWriteText
	type P = canPush
	w, f, h, r, s, p := &plainWriter{http.Header{}, calls}, F{calls}, H{calls}, R{calls}, S{calls}, P{calls}
	return [32]http.ResponseWriter{
		struct{ W }{w},
		struct {
			W
			F
		}{w, f},
		struct {
			W
			H
		}{w, h},
		struct {
			W
			F
			H
		}{w, f, h},
		struct {
			W
			R
		}{w, r},
		struct {
			W
			F
			R
		}{w, f, r},
		struct {
			W
			H
			R
		}{w, h, r},
		struct {
			W
			F
			H
			R
		}{w, f, h, r},
		struct {
			W
			S
		}{w, s},
		struct {
			W
			F
			S
		}{w, f, s},
		struct {
			W
			H
			S
		}{w, h, s},
		struct {
			W
			F
			H
			S
		}{w, f, h, s},
		struct {
			W
			R
			S
		}{w, r, s},
		struct {
			W
			F
			R
			S
		}{w, f, r, s},
		struct {
			W
			H
			R
			S
		}{w, h, r, s},
		struct {
			W
			F
			H
			R
			S
		}{w, f, h, r, s},
		struct {
			W
			P
		}{w, p},
		struct {
			W
			F
			P
		}{w, f, p},
		struct {
			W
			H
			P
		}{w, h, p},
		struct {
			W
			F
			H
			P
		}{w, f, h, p},
		struct {
			W
			R
			P
		}{w, r, p},
		struct {
			W
			F
			R
			P
		}{w, f, r, p},
		struct {
			W
			H
			R
			P
		}{w, h, r, p},
		struct {
			W
			F
			H
			R
			P
		}{w, f, h, r, p},
		struct {
			W
			S
			P
		}{w, s, p},
		struct {
			W
			F
			S
			P
		}{w, f, s, p},
		struct {
			W
			H
			S
			P
		}{w, h, s, p},
		struct {
			W
			F
			H
			S
			P
		}{w, f, h, s, p},
		struct {
			W
			R
			S
			P
		}{w, r, s, p},
		struct {
			W
			F
			R
			S
			P
		}{w, f, r, s, p},
		struct {
			W
			H
			R
			S
			P
		}{w, h, r, s, p},
		struct {
			W
			F
			H
			R
			S
			P
		}{w, f, h, r, s, p},
	}
}

// TestRule7TheWriterHasExactlyTheAbilitiesOfTheServers, each of which reaches
// the server's once, after what was gathered is stored.
func TestRule7TheWriterHasExactlyTheAbilitiesOfTheServers(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for bits := range 32 {
		for ability, use := range map[string]func(http.ResponseWriter) bool{
			"Flush": func(w http.ResponseWriter) bool {
				f, ok := w.(http.Flusher)
				if ok {
					f.Flush()
				}
				return ok
			},
			"Hijack": func(w http.ResponseWriter) bool {
				h, ok := w.(http.Hijacker)
				if ok {
					h.Hijack()
				}
				return ok
			},
			"ReadFrom": func(w http.ResponseWriter) bool {
				r, ok := w.(io.ReaderFrom)
				if ok {
					r.ReadFrom(strings.NewReader("text"))
				}
				return ok
			},
			"WriteString": func(w http.ResponseWriter) bool {
				s, ok := w.(io.StringWriter)
				if ok {
					s.WriteString("text")
				}
				return ok
			},
			"Push": func(w http.ResponseWriter) bool {
				p, ok := w.(http.Pusher)
				if ok {
					p.Push("/style.css", nil)
				}
				return ok
			},
		} {
			var calls []string
			server := writersOfAllAbilities(&calls)[bits]
			want := bits>>slices.Index([]string{"Flush", "Hijack", "ReadFrom", "WriteString", "Push"}, ability)&1 == 1
			sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
				if err := textKey.Set(s, "hello"); err != nil {
					t.Error(err)
				}
				if got := use(w); got != want {
					t.Errorf("writer %05b: %s: %t, want %t", bits, ability, got, want)
				}
				if want && (len(calls) != 1 || calls[0] != ability) {
					t.Errorf("writer %05b: %s reaches the server's as %q", bits, ability, calls)
				}
				if started := ability != "Push" && want; (len(server.Header()["Set-Cookie"]) == 1) != started {
					t.Errorf("writer %05b: after %s the header has the cookies %q", bits, ability, server.Header()["Set-Cookie"])
				}
				if unwrapped := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap(); unwrapped != server {
					t.Errorf("writer %05b unwraps to %T", bits, unwrapped)
				}
				return nil
			}).ServeHTTP(server, httptest.NewRequest("GET", "https://example.com/", nil))
		}
	}
}

func TestRule7FlushErrorIsAlwaysThere(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for bits, want := range map[int]error{0: http.ErrNotSupported, 1: nil} {
		var calls []string
		server := writersOfAllAbilities(&calls)[bits]
		sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			if err := textKey.Set(s, "hello"); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, want) {
				t.Errorf("writer %05b: ResponseController.Flush: %v, want %v", bits, err, want)
			}
			if len(server.Header()["Set-Cookie"]) != 1 {
				t.Errorf("writer %05b: the cookie is not in the header", bits)
			}
			return nil
		}).ServeHTTP(server, httptest.NewRequest("GET", "https://example.com/", nil))
	}
}

func TestRule7HijackIsFoundDownTheUnwrapChain(t *testing.T) {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	all := writersOfAllAbilities(&calls)
	for bits, want := range map[int]bool{0: false, 2: true} {
		server := unwrapping{all[0], unwrapping{all[0], all[bits]}}
		sessions.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
			h, ok := w.(http.Hijacker)
			if ok != want {
				t.Errorf("over writer %05b: hijacks: %t, want %t", bits, ok, want)
			}
			if ok {
				if _, _, err := h.Hijack(); err != nil || !slices.Contains(calls, "Hijack") {
					t.Errorf("Hijack: %v; calls: %q", err, calls)
				}
			}
			return nil
		}).ServeHTTP(server, httptest.NewRequest("GET", "https://example.com/", nil))
	}
}
