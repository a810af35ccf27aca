package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coatcheck/coatcheck"
)

const (
	heartbeat    = 20 * time.Second
	streamWrites = 10 * time.Second // a reader that takes longer is gone
)

// live is the stream that an open page listens to: it says when there is a new
// exchange to look at, and when the session has ended. Listening is no
// activity, so that an open page keeps no session alive.
func (s *Site) live(w http.ResponseWriter, r *http.Request) {
	session, err := s.sessions.Peek(r)
	if err != nil {
		s.sessions.Error(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	stream := &stream{w: w, controller: http.NewResponseController(w)}
	if session.ID().IsZero() { // the page asks because it had one
		stream.send("event: ended\ndata:\n\n")
		return
	}
	news, stop := s.recorder.Watch(session.ID())
	defer stop()
	ctx, cancel := context.WithCancel(session.Context(r.Context()))
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()

	stream.send("event: hello\ndata: %s\n\n", session.ID())
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for stream.err == nil {
		select {
		case <-news:
			stream.send("event: news\ndata:\n\n")
		case <-beat.C:
			stream.send(": still here\n\n")
		case <-ctx.Done():
			var ended *coatcheck.EndedError
			if errors.As(context.Cause(ctx), &ended) {
				stream.send("event: ended\ndata: %s\n\n", ended.Reason)
			}
			return
		}
	}
}

// stream writes events until one fails.
type stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	err        error
}

func (s *stream) send(format string, values ...any) {
	// The server's own limit is for pages: each event has its own. A writer
	// without deadlines has no limit to lift.
	err := s.controller.SetWriteDeadline(time.Now().Add(streamWrites))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.err = err
		return
	}
	if _, s.err = fmt.Fprintf(s.w, format, values...); s.err == nil {
		s.err = s.controller.Flush()
	}
}
