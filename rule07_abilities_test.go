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

// The letters stand for the writer, Flusher, Hijacker, ReaderFrom, StringWriter
// and Pusher.
type (
	W = *plainWriter
	F = canFlush
	H = canHijack
	R = canReadFrom
	S = canWriteText
	P = canPush
)

// abilities are all that a writer may have.
type abilities struct {
	W
	F
	H
	R
	S
	P
}

// writerWith returns a writer with some of them: bit 0 flushes, 1 hijacks, 2
// reads from, 3 writes strings, 4 pushes.
func writerWith(bits int, calls *[]string) http.ResponseWriter {
	return writersOfAllAbilities[bits](abilities{&plainWriter{http.Header{}, calls}, F{calls}, H{calls}, R{calls}, S{calls}, P{calls}})
}

var writersOfAllAbilities = [32]func(abilities) http.ResponseWriter{
	func(w abilities) http.ResponseWriter {
		return struct{ W }{w.W}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
		}{w.W, w.F}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
		}{w.W, w.H}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
		}{w.W, w.F, w.H}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			R
		}{w.W, w.R}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			R
		}{w.W, w.F, w.R}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			R
		}{w.W, w.H, w.R}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			R
		}{w.W, w.F, w.H, w.R}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			S
		}{w.W, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			S
		}{w.W, w.F, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			S
		}{w.W, w.H, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			S
		}{w.W, w.F, w.H, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			R
			S
		}{w.W, w.R, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			R
			S
		}{w.W, w.F, w.R, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			R
			S
		}{w.W, w.H, w.R, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			R
			S
		}{w.W, w.F, w.H, w.R, w.S}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			P
		}{w.W, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			P
		}{w.W, w.F, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			P
		}{w.W, w.H, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			P
		}{w.W, w.F, w.H, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			R
			P
		}{w.W, w.R, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			R
			P
		}{w.W, w.F, w.R, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			R
			P
		}{w.W, w.H, w.R, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			R
			P
		}{w.W, w.F, w.H, w.R, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			S
			P
		}{w.W, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			S
			P
		}{w.W, w.F, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			S
			P
		}{w.W, w.H, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			S
			P
		}{w.W, w.F, w.H, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			R
			S
			P
		}{w.W, w.R, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			R
			S
			P
		}{w.W, w.F, w.R, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			H
			R
			S
			P
		}{w.W, w.H, w.R, w.S, w.P}
	},
	func(w abilities) http.ResponseWriter {
		return struct {
			W
			F
			H
			R
			S
			P
		}{w.W, w.F, w.H, w.R, w.S, w.P}
	},
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
			server := writerWith(bits, &calls)
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
		server := writerWith(bits, &calls)
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
	for bits, want := range map[int]bool{0: false, 2: true} {
		server := unwrapping{writerWith(0, &calls), unwrapping{writerWith(0, &calls), writerWith(bits, &calls)}}
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
