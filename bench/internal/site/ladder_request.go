package site

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// visit is all that a request needs from its beginning, in one piece of memory:
// its context, its writer, its session, and itself as the handler sees it.
type visit struct {
	context.Context // of the request as it came
	writer          http.ResponseWriter
	site            *dutifulSite
	now             time.Time // as last read: when the request began, then when its answer started
	mu              sync.Mutex
	opened          bool // the session has been asked for
	started         bool // the final header is about to go out
	returned        bool // the handler has, and did not panic
	standing        standing
	live            *liveSession // on the lowest rungs
	*held                        // on the others, from when the session is asked for until the end
	err             error
	failure         error  // why the answer is that of an error page
	line            string // Set-Cookie, kept until the answer starts
	lent            [2]string
	request         http.Request
}

// held is what a request holds of its session while it lasts.
type held struct {
	token   token
	given   verifier // of the token's secret
	key     dataKey
	cipher  sealer
	record  record // a copy, without its data
	version uint64 // of the record
	base    []byte // the data as it is stored
	working []byte // with what the request has changed
	puts    int
	reads   []string // keys that were read
	changed []string // keys that were changed

	// Memory that the above refers to.
	recordSpace, sealedSpace []byte
	dataSpace                [3][]byte // base, and working by turns
	bound                    [len(sessionID{}) + len(scope)]byte
	readSpace, changedSpace  [2]string
}

// standing is how a request stands to its session.
type standing uint8

const (
	nobody standing = iota
	holds
	stale // superseded a moment ago: sees and changes nothing
)

var (
	errOver     = errors.New("the answer has started, or the request is over")
	errStale    = errors.New("superseded by a sign-in")
	errNobody   = errors.New("no session")
	errConflict = errors.New("changed by another request")
	errTooLarge = errors.New("the session is too large")
	errCookies  = errors.New("a cookie twice, or too many of them")
	errPlain    = errors.New("no cookie is sent back on this way")
	errFull     = errors.New("too many bytes of sessions")
	errOpening  = errors.New("the data does not open under its key")
)

func statusOf(err error) int {
	switch err {
	case errStale, errConflict:
		return http.StatusConflict
	case errCookies, errPlain:
		return http.StatusBadRequest
	case errNobody:
		return http.StatusUnauthorized
	case errTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

type visitKey struct{}

// Value implements context.Context.
func (v *visit) Value(key any) any {
	if key == (visitKey{}) {
		return v
	}
	return v.Context.Value(key)
}

// sessionOf finds the session of a request, for handlers.
func sessionOf(r *http.Request) (*visit, error) {
	v := r.Context().Value(visitKey{}).(*visit)
	v.lock()
	defer v.unlock()
	if !v.opened {
		v.open()
	}
	return v, v.err
}

func (v *visit) lock() {
	if v.site.owes.has(toTheEnd) {
		v.mu.Lock()
	}
}

func (v *visit) unlock() {
	if v.site.owes.has(toTheEnd) {
		v.mu.Unlock()
	}
}

func (s *dutifulSite) handle(h http.HandlerFunc) http.Handler { return &dutifulHandler{s, h} }

// dutifulHandler gives a handler its sessions. It is a type and not a function
// literal because the compiler, where it copies literals, leaves WithContext a
// call, and its request on the heap.
type dutifulHandler struct {
	site  *dutifulSite
	inner http.HandlerFunc
}

// ServeHTTP implements http.Handler.
func (h *dutifulHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.site
	v := &visit{Context: r.Context(), writer: w, site: s}
	if s.owes.has(twoClocks) {
		v.now = time.Now()
	}
	v.request = *r.WithContext(v)
	if s.owes.has(allCookies) && s.refuses(r) {
		http.Error(w, "caused by another site", http.StatusForbidden)
		return
	}
	if !s.owes.has(toTheEnd) {
		h.inner(v.withAbilities(), &v.request)
		_ = v.start()
		r.Pattern = v.request.Pattern
		return
	}
	defer v.end(r)
	h.inner(v.withAbilities(), &v.request)
	_ = v.start()
	v.returned = true
}

// refuses reports whether another site caused a request that could change
// something. A WebSocket handshake is a GET that could.
func (s *dutifulSite) refuses(r *http.Request) bool {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if safe && len(r.Header["Upgrade"]) == 0 {
		return false
	}
	post := *r
	post.Method = http.MethodPost
	return s.other.Check(&post) != nil
}

// end closes the session, whether the handler has returned or panicked, and
// gives back what the request held.
func (v *visit) end(r *http.Request) {
	r.Pattern = v.request.Pattern
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.opened && !v.returned && !v.started {
		v.writeHeader()
	}
	h := v.held
	v.opened, v.started, v.standing, v.live, v.held = true, true, nobody, nil, nil
	if h != nil && v.site.owes.has(usedAgain) {
		h.wipe()
		v.site.held.Put(h)
	}
}

// wipe leaves nothing but empty memory.
func (h *held) wipe() {
	*h = held{recordSpace: wiped(h.recordSpace), sealedSpace: wiped(h.sealedSpace), dataSpace: h.dataSpace}
	for i, space := range h.dataSpace {
		h.dataSpace[i] = wiped(space)
	}
}

// wiped clears what lies behind the end too: of longer data that was there.
func wiped(b []byte) []byte {
	clear(b[:cap(b)])
	return b[:0]
}

// start stores what was gathered, once, before the first byte, and writes the
// header fields of the session.
func (v *visit) start() error {
	v.lock()
	defer v.unlock()
	if v.started {
		return v.failure
	}
	v.started = true
	if v.site.owes.has(twoClocks) {
		v.now = v.now.Add(time.Since(v.now))
	}
	if !v.opened {
		return nil
	}
	err := v.conclude(v.now.UnixMicro())
	v.writeHeader()
	if err == nil {
		return nil
	}
	v.failure = err
	h := v.writer.Header()
	for _, name := range []string{"Location", "Etag", "Last-Modified", "Content-Length", "Content-Encoding"} {
		delete(h, name)
	}
	answerError(v.writer, err)
	return err
}

// writeHeader adds what the answer says of the session.
func (v *visit) writeHeader() {
	h := v.writer.Header()
	if v.line != "" {
		lines := make([]string, 0, 1+len(h["Set-Cookie"]))
		for _, line := range h["Set-Cookie"] {
			if !strings.HasPrefix(line, floorCookie+"=") {
				lines = append(lines, line)
			}
		}
		h["Set-Cookie"] = append(lines, v.line)
	}
	if !v.site.owes.has(cacheHeaders) {
		return
	}
	if vary := h["Vary"]; len(vary) == 0 {
		v.lent[0] = "Cookie"
		h["Vary"] = v.lent[0:1:1]
	} else if !strings.Contains(strings.Join(vary, ","), "Cookie") {
		h["Vary"] = append(vary[:len(vary):len(vary)], "Cookie")
	}
	if v.line != "" || v.standing != nobody && len(h["Cache-Control"]) == 0 {
		v.lent[1] = "no-store"
		h["Cache-Control"] = v.lent[1:2:2]
	}
}

// withAbilities returns the writer for the handler. Two kinds are enough for
// what net/http serves; any other would need a case of its own.
func (v *visit) withAbilities() http.ResponseWriter {
	switch v.writer.(type) {
	case interface {
		http.Flusher
		http.Hijacker
		io.ReaderFrom
		io.StringWriter
	}:
		return overHTTP1{overAny{v}}
	case interface {
		http.Flusher
		http.Pusher
		io.StringWriter
	}:
		return overHTTP2{overAny{v}}
	}
	return overAny{v}
}

// overAny is the request's writer. All of these are pointers, which an
// interface holds without memory of its own.
type overAny struct{ visit *visit }

// Header implements http.ResponseWriter.
func (w overAny) Header() http.Header { return w.visit.writer.Header() }

// Unwrap returns the server's writer.
func (w overAny) Unwrap() http.ResponseWriter { return w.visit.writer }

// WriteHeader implements http.ResponseWriter.
func (w overAny) WriteHeader(status int) {
	informs := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if informs || w.visit.start() == nil {
		w.visit.writer.WriteHeader(status)
	}
}

// Write implements io.Writer.
func (w overAny) Write(p []byte) (int, error) {
	if err := w.visit.start(); err != nil {
		return 0, err
	}
	return w.visit.writer.Write(p)
}

// FlushError flushes for http.ResponseController.
func (w overAny) FlushError() error {
	if err := w.visit.start(); err != nil {
		return err
	}
	return http.NewResponseController(w.visit.writer).Flush()
}

func (w overAny) writeString(text string) (int, error) {
	if err := w.visit.start(); err != nil {
		return 0, err
	}
	return w.visit.writer.(io.StringWriter).WriteString(text)
}

type overHTTP1 struct{ overAny }

// Flush implements http.Flusher.
func (w overHTTP1) Flush() { _ = w.FlushError() }

// WriteString implements io.StringWriter.
func (w overHTTP1) WriteString(text string) (int, error) { return w.writeString(text) }

// ReadFrom implements io.ReaderFrom.
func (w overHTTP1) ReadFrom(from io.Reader) (int64, error) {
	if err := w.visit.start(); err != nil {
		return 0, err
	}
	return w.visit.writer.(io.ReaderFrom).ReadFrom(from)
}

// Hijack implements http.Hijacker.
func (w overHTTP1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.visit.start(); err != nil {
		return nil, nil, err
	}
	return w.visit.writer.(http.Hijacker).Hijack()
}

type overHTTP2 struct{ overAny }

// Flush implements http.Flusher.
func (w overHTTP2) Flush() { _ = w.FlushError() }

// WriteString implements io.StringWriter.
func (w overHTTP2) WriteString(text string) (int, error) { return w.writeString(text) }

// Push implements http.Pusher.
func (w overHTTP2) Push(target string, options *http.PushOptions) error {
	return w.visit.writer.(http.Pusher).Push(target, options)
}
