package site

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// newDuties is the floor with the duties of a read that nobody can leave out
// who keeps the rules: the clock is read when the request begins and when its
// answer starts, the session is locked both times, its data is copied out of
// the store, the writer notices when the answer starts, and the answer says
// that it depends on cookies and is not to be kept. It has one piece of memory
// for all that. What Coatcheck costs above it is Coatcheck's own.
func newDuties(p Payload) (Site, error) {
	f := &floor{sessions: map[[32]byte]*floorSession{}}
	handle := func(h http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d := &dutiful{ResponseWriter: w, Context: r.Context(), began: time.Now()}
			d.request = *r.WithContext(d)
			d.data = dataPool.Get().(*[]byte)
			*d.data = (*d.data)[:0]
			if hash, ok := floorToken(r); ok {
				f.mu.RLock()
				d.load(f.sessions[hash])
				f.mu.RUnlock()
			}
			h(d, &d.request)
			d.start()
			dataPool.Put(d.data)
		})
	}
	return &httpSite{handlers: Handlers{
		Untouched: handle(okay),
		ReadOne: handle(func(w http.ResponseWriter, r *http.Request) {
			if d, ok := r.Context().Value(floorKey{}).(*dutiful); ok {
				io.WriteString(w, d.name())
			}
		}),
		fill: &floorFill{f, p},
	}}, nil
}

var dataPool = sync.Pool{New: func() any { return new([]byte) }}

// dutiful is context, writer and session of one request.
type dutiful struct {
	http.ResponseWriter
	context.Context
	request http.Request
	began   time.Time
	mu      sync.Mutex
	seen    time.Time
	found   bool
	data    *[]byte
	started bool
	lent    [2]string
}

// Value implements context.Context.
func (d *dutiful) Value(key any) any {
	if key == (floorKey{}) {
		return d
	}
	return d.Context.Value(key)
}

func (d *dutiful) load(s *floorSession) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s == nil {
		return
	}
	d.found = true
	s.mu.Lock()
	text, _ := s.values[nameKey].(string)
	*d.data = append(*d.data, text...)
	s.mu.Unlock()
}

func (d *dutiful) name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(*d.data)
}

// WriteString implements io.StringWriter.
func (d *dutiful) WriteString(text string) (int, error) {
	d.start()
	return io.WriteString(d.ResponseWriter, text)
}

// Write implements io.Writer.
func (d *dutiful) Write(b []byte) (int, error) {
	d.start()
	return d.ResponseWriter.Write(b)
}

func (d *dutiful) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.started = true
	if !d.found || time.Since(d.seen) < 0 {
		return
	}
	h := d.ResponseWriter.Header()
	d.lent = [2]string{"Cookie", "no-store"}
	h["Vary"], h["Cache-Control"] = d.lent[0:1:1], d.lent[1:2:2]
}
