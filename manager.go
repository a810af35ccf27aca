package coatcheck

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck/internal/cookie"
	"github.com/coatcheck/coatcheck/internal/secret"
	"github.com/coatcheck/coatcheck/store"
)

// ID names a session: 32 hex digits, no secret.
type ID = store.ID

// ParseID reads an ID as ID.String writes it.
func ParseID(s string) (ID, error) { return store.ParseID(s) }

// Manager issues sessions and serves them to handlers. Use New. All methods
// are safe for concurrent use. A Manager has no goroutine of its own and needs
// no Close.
type Manager struct {
	config     Config
	scope      secret.Scope
	nameBytes  []byte // Config.Name
	prefix     string // of subjects in records: see subjectKey
	names      [cookieCount]string
	attributes cookie.Attributes
	origins    originCheck
	queues     queues
	flood      floodgate
	sealed     bool // the store is outside the process
	exactMarks bool // the store adds nothing to marks
	ciphers    secret.Ciphers
	ownClock   bool         // Config.Now is not time.Now
	swept      atomic.Int64 // when a sweep last began, in Unix seconds
}

// New returns a Manager with this configuration. The error names every
// contradiction in it, and the remedy.
func New(config Config) (*Manager, error) {
	ownClock := config.Now != nil
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	origins, err := newOriginCheck(config.TrustedOrigins, config.CrossSite)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		config:     config,
		scope:      secret.Scope(config.Name),
		nameBytes:  []byte(config.Name),
		prefix:     config.Name + ":",
		names:      config.cookieNames(),
		attributes: config.cookieAttributes(),
		origins:    origins,
		ownClock:   ownClock,
	}
	_, inProcess := config.Store.(store.InProcess)
	m.sealed = !inProcess
	marks, says := config.Store.(store.ExactMarks)
	m.exactMarks = says && marks.ExactMarks()
	m.swept.Store(m.now().Unix())
	if warning := config.DeviceBound.Warning(); warning != "" {
		config.Logger.Warn("coatcheck: " + warning)
	}
	return m, nil
}

func (m *Manager) now() time.Time { return store.Instant(m.config.Now()) }

// contextKey finds the session of one manager in a request's context.
type contextKey struct{ manager *Manager }

// Handler serves h with sessions: h and what it calls get the session of a
// request by Get, FromContext or HandlerFunc. Unsafe requests that another
// site caused are refused before h sees them (see Config.CrossSite).
//
// Nothing is read of a request, nor added to its response, until its session
// is asked for. What was changed is stored when the response starts; if that
// fails, the client gets the error in place of the response.
func (m *Manager) Handler(h http.Handler) http.Handler {
	prompt, _ := h.(*sessionHandler)
	return &handler{m, h, prompt}
}

// HandlerFunc is Handler for a function that gets its session as an argument.
// An error that f returns is answered as by Error, and the data that it
// gathered is dropped; sign-ins and other calls that took a context have
// happened. Within Handler it uses the session of that.
func (m *Manager) HandlerFunc(f func(http.ResponseWriter, *http.Request, *Session) error) http.Handler {
	return m.Handler(&sessionHandler{m, f})
}

// Get returns the session of the request. Visitors without one get an
// anonymous session, which is stored when something is written to it. Errors:
// ErrNoHandler, ErrStore, ErrDuplicateCookie, ErrTooManyCookies.
func (m *Manager) Get(r *http.Request) (*Session, error) {
	return m.FromContext(r.Context())
}

// FromContext is Get for code that has the request's context alone.
func (m *Manager) FromContext(ctx context.Context) (*Session, error) {
	s, ok := ctx.Value(contextKey{m}).(*Session)
	if !ok {
		return nil, ErrNoHandler
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Peek is Get for requests that a page sends by itself, such as polling: the
// whole request does not count as activity and rotates nothing, whoever else
// asks for the session in it.
func (m *Manager) Peek(r *http.Request) (*Session, error) {
	s, ok := r.Context().Value(contextKey{m}).(*Session)
	if !ok {
		return nil, ErrNoHandler
	}
	s.mu.Lock()
	s.peek = true
	s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Open returns the session of a request for frameworks that are not net/http.
// Call Commit before the response is sent, and add the header that it returns
// to it. Errors are those of Get, and ErrCrossSite, ErrCSRFToken.
func (m *Manager) Open(r *http.Request) (*Session, error) {
	s := &Session{manager: m, request: r, parent: r.Context(), began: m.config.Now(), prompt: true}
	if err := m.admit(s, r); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Commit stores what was gathered in a session of Open, and returns the header
// fields that belong to the response, also with an error. After it the session
// is as after the first byte of a response. Errors: ErrConflict, ErrStale,
// ErrTooLarge, ErrStore.
func (m *Manager) Commit(ctx context.Context, s *Session) (http.Header, error) {
	if s.manager != m || s.writer != nil {
		return nil, fmt.Errorf("coatcheck: Commit is for sessions of this Manager's Open: within Handler they are committed by themselves")
	}
	header := http.Header{}
	err := s.conclude(ctx, header)
	s.close()
	return header, err
}

// sweepEvery is how often requests start a sweep, and sweepLimit how much one
// removes.
const (
	sweepEvery = time.Minute
	sweepLimit = 10_000
)

// sweep removes what has expired, at most once a minute, beside the request
// that finds it due. It ends by itself: by its limit or by StoreTimeout.
func (m *Manager) sweep(now time.Time) {
	last := m.swept.Load()
	if now.Unix()-last < int64(sweepEvery/time.Second) || !m.swept.CompareAndSwap(last, now.Unix()) {
		return
	}
	m.ciphers.Forget() // what nobody has used since the last sweep
	now = store.Instant(now)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), m.config.StoreTimeout)
		defer cancel()
		for removed := 0; removed < sweepLimit; {
			n, more, err := m.config.Store.Sweep(ctx, now, 500)
			if err != nil {
				if ctx.Err() == nil { // else it goes on at the next sweep
					m.emit(Event{Kind: KindStoreError, Detail: "sweep: " + err.Error()})
				}
				return
			}
			if removed += n; !more {
				return
			}
		}
	}()
}
