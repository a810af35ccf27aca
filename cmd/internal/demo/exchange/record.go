package exchange

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// The headers that matter to a session; no others are looked at.
var (
	requestHeaders  = []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Content-Type"}
	responseHeaders = []string{"Location", "Retry-After", "Cache-Control", "Vary", "Content-Type"}
)

// Recorder keeps the last exchanges of each session. Make it with
// [NewRecorder]. Safe for concurrent use.
type Recorder struct {
	cookie string
	now    func() time.Time

	mu       sync.Mutex
	number   uint64
	logs     map[store.ID]*log
	order    []store.ID // the keys of logs, the least recently used first
	receipts []receipt
}

// NewRecorder makes a recorder for a manager whose signed-in cookie has that
// name, with that clock.
func NewRecorder(cookie string, now func() time.Time) *Recorder {
	return &Recorder{cookie: cookie, now: now, logs: map[store.ID]*log{}}
}

// trace gathers, during one request, what the layers inside have to say of it.
type trace struct {
	mu           sync.Mutex
	steps        []Step
	first, last  served
	wasServed    bool
	receipt      string
	notToBeFiled bool
}

type served struct {
	id      store.ID
	subject string
}

type traceKey struct{}

func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

// Serves says that a request is served by a session of that id and subject:
// once before its handler runs and once after, since a sign-in changes both.
func Serves(ctx context.Context, id store.ID, subject string) {
	t := traceOf(ctx)
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.wasServed {
		t.first, t.wasServed = served{id, subject}, true
	}
	t.last = served{id, subject}
}

// Aside says that a request is not to be recorded: one that only looks.
func Aside(ctx context.Context) {
	if t := traceOf(ctx); t != nil {
		t.mu.Lock()
		t.notToBeFiled = true
		t.mu.Unlock()
	}
}

// Receipt has the exchange kept under a name that only its own browser is
// told, for [Recorder.Receipt]: after a sign-out there is no session left that
// it could be found by.
func Receipt(ctx context.Context, name string) {
	if t := traceOf(ctx); t != nil {
		t.mu.Lock()
		t.receipt = name
		t.mu.Unlock()
	}
}

// Handler records what passes through it. It belongs outside the session
// handler.
func (r *Recorder) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		t := &trace{}
		watched := &watchedWriter{ResponseWriter: w}
		began := r.now()
		next.ServeHTTP(watched, req.WithContext(context.WithValue(req.Context(), traceKey{}, t)))

		t.mu.Lock()
		defer t.mu.Unlock()
		if t.notToBeFiled {
			return
		}
		exchange, claims := r.asked(req)
		exchange.Began, exchange.Took = began, r.now().Sub(began)
		exchange.Status = watched.status()
		exchange.Response = fields(watched.header(), responseHeaders)
		exchange.Subject, exchange.Steps = t.last.subject, t.steps
		set, given := r.set(watched.header())
		exchange.Set = set
		r.file(exchange, t, claims, given)
	})
}

// Present is the exchange that a request is part of, as far as it has gone.
func (r *Recorder) Present(req *http.Request) Exchange {
	exchange, _ := r.asked(req)
	exchange.Began = r.now()
	if t := traceOf(req.Context()); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		exchange.Steps = slices.Clone(t.steps)
	}
	return exchange
}

func (r *Recorder) asked(req *http.Request) (Exchange, []store.ID) {
	cookies, claims := r.brought(req.Header)
	return Exchange{
		Secure:  req.TLS != nil,
		Local:   isLoopback(req.RemoteAddr),
		Method:  clipped(req.Method, 20),
		Path:    clipped(req.URL.Path, 120),
		Proto:   req.Proto,
		Request: append([]Field{{"Host", clipped(req.Host, 100)}}, fields(req.Header, requestHeaders)...),
		Brought: cookies,
	}, claims
}

func fields(header http.Header, names []string) []Field {
	var found []Field
	for _, name := range names {
		if value := header.Get(name); value != "" {
			if name == "Location" { // its query is the site's own business
				value, _, _ = strings.Cut(value, "?")
			}
			found = append(found, Field{name, clipped(value, maxText)})
		}
	}
	return found
}

func isLoopback(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// watchedWriter remembers the header as it was when it went out.
type watchedWriter struct {
	http.ResponseWriter
	code int
	sent http.Header
}

// Unwrap lets http.ResponseController reach what the original can do.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the final header.
func (w *watchedWriter) WriteHeader(code int) {
	w.note(code)
	w.ResponseWriter.WriteHeader(code)
}

// Write notes the header that goes out with the first byte.
func (w *watchedWriter) Write(body []byte) (int, error) {
	w.note(http.StatusOK)
	return w.ResponseWriter.Write(body)
}

func (w *watchedWriter) note(code int) {
	if w.code == 0 && code >= 200 {
		w.code, w.sent = code, w.ResponseWriter.Header().Clone()
	}
}

func (w *watchedWriter) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

func (w *watchedWriter) header() http.Header {
	if w.code == 0 {
		return w.ResponseWriter.Header()
	}
	return w.sent
}
