package coatcheck

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
)

// responder is a Session as the response writer of its request. It stores what
// was gathered, and adds the cookie, right before the final header goes out,
// whichever way the handler starts the response. The abilities that not every
// writer has are in abilities.go.
type responder Session

func (w *responder) session() *Session { return (*Session)(w) }

// Format prints a name under every verb: what it writes to holds the token.
func (w *responder) Format(f fmt.State, _ rune) { io.WriteString(f, "coatcheck response writer") }

// LogValue logs a name.
func (w *responder) LogValue() slog.Value { return slog.StringValue("coatcheck response writer") }

// Format prints a name under every verb, without the request's header.
func (c *requestContext) Format(f fmt.State, _ rune) { io.WriteString(f, "coatcheck request context") }

// LogValue logs a name.
func (c *requestContext) LogValue() slog.Value { return slog.StringValue("coatcheck request context") }

// Header returns that of the server's writer. The session's cookie is not in
// it until the response starts.
func (w *responder) Header() http.Header { return w.writer.Header() }

// Unwrap returns the server's writer, for http.ResponseController.
func (w *responder) Unwrap() http.ResponseWriter { return w.writer }

// WriteHeader starts the response, unless status is informational: those go
// out as they are, and the cookie never with them.
func (w *responder) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.writer.WriteHeader(status)
		return
	}
	if w.start() == nil {
		w.writer.WriteHeader(status)
	}
}

// Write starts the response if it has not been. If the session could not be
// stored the client gets an error in place of what is written here, and Write
// returns that error.
func (w *responder) Write(p []byte) (int, error) {
	if err := w.start(); err != nil {
		return 0, err
	}
	return w.writer.Write(p)
}

// FlushError starts the response and flushes it.
func (w *responder) FlushError() error {
	if err := w.start(); err != nil {
		return err
	}
	return http.NewResponseController(w.writer).Flush()
}

// ofThePage are the fields that describe the page, which the client does not
// get if the session could not be stored.
var ofThePage = [...]string{
	"Location", "Refresh", "Etag", "Last-Modified", "Cache-Control", "Expires",
	"Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "Content-Disposition",
}

// start makes the session ready for the response, once, and answers with an
// error page if that fails.
func (w *responder) start() error {
	s := w.session()
	if w.headerOut {
		return w.failure
	}
	w.headerOut = true
	h := w.writer.Header()
	err := s.conclude((*requestContext)(s), h)
	if err == nil {
		return nil
	}
	w.failure = err
	for _, name := range ofThePage {
		delete(h, name)
	}
	if len(h["Set-Cookie"]) > 0 { // what the page said of caches is gone
		h.Set("Cache-Control", "no-store")
	}
	s.manager.Error(w.writer, w.request, err)
	return err
}

// readFrom is io.ReaderFrom of writers that have it: the server can then copy
// a file to the connection without reading it.
func (w *responder) readFrom(from io.Reader) (int64, error) {
	if err := w.start(); err != nil {
		return 0, err
	}
	return w.writer.(io.ReaderFrom).ReadFrom(from)
}

func (w *responder) writeString(text string) (int, error) {
	if err := w.start(); err != nil {
		return 0, err
	}
	return w.writer.(io.StringWriter).WriteString(text)
}

func (w *responder) flush() { _ = w.FlushError() } // Flush has no way to tell

// hijack stores what was gathered before the handler takes the connection
// over. The handler writes the response itself: the cookie is in Header().
func (w *responder) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.start(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.writer).Hijack()
}

func (w *responder) push(target string, opts *http.PushOptions) error {
	return w.writer.(http.Pusher).Push(target, opts)
}

// complete ends the request after its handler has returned.
func (s *Session) complete() {
	if !s.headerOut {
		// The server sends the header, and an error page is sent by this.
		_ = (*responder)(s).start()
	}
	s.close()
}

// abandon ends a request whose handler panicked. What it gathered is dropped;
// a cookie whose session was stored already must reach the browser with
// whatever error page comes, if one can still come.
func (s *Session) abandon() {
	if !s.headerOut {
		s.headerOut = true
		s.mu.Lock()
		if s.held != nil {
			s.writeHeader(s.writer.Header())
		}
		s.mu.Unlock()
	}
	s.close()
}

// close ends what waits for the session, and empties it.
func (s *Session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.started = true, true
	if s.done != nil {
		s.done.cancel(nil)
	}
	s.release()
}
