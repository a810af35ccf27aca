package coatcheck

import "net/http"

// handler is what Manager.Handler returns.
type handler struct {
	manager *Manager
	inner   http.Handler
	prompt  *sessionHandler // inner, if that asks for the session at once; else nil
}

// visit is all that a request needs from the start, in one piece of memory: its
// session, and the request as handlers see it.
type visit struct {
	Session
	request http.Request
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := h.manager
	if _, nested := r.Context().Value(contextKey{m}).(*Session); nested {
		h.inner.ServeHTTP(w, r)
		return
	}
	began := m.config.Now()
	v := &visit{Session: Session{manager: m, writer: w, parent: r.Context(), began: began, prompt: h.prompt != nil}}
	s, inner := &v.Session, &v.request
	*inner = *r.WithContext((*requestContext)(s))
	s.request = inner
	completed := false
	defer func() {
		if !completed {
			s.abandon() // a panic is on its way up
		}
		r.Pattern = inner.Pattern
		if r.MultipartForm == nil {
			r.MultipartForm = inner.MultipartForm // whose files the server removes, if it knows of them
		}
	}()
	wrapped := s.responseWriter()
	if !m.servesBinding(wrapped, inner, s) {
		h.serve(wrapped, inner, s)
	}
	s.complete()
	m.sweep(began)
	completed = true
}

// serve has the inner handler serve a request that may be served.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, s *Session) {
	if err := h.manager.admit(s, r); err != nil {
		h.manager.Error(w, r, err)
		return
	}
	if h.prompt == nil {
		h.inner.ServeHTTP(w, r)
		return
	}
	err := s.find() // nobody else has the request yet, so it takes no lock
	h.prompt.answer(w, r, s, err)
}

// sessionHandler is what Manager.HandlerFunc serves: it asks for the session
// before it does anything else.
type sessionHandler struct {
	manager *Manager
	serve   func(http.ResponseWriter, *http.Request, *Session) error
}

// ServeHTTP implements http.Handler.
func (h *sessionHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, err := h.manager.Get(r)
	h.answer(w, r, s, err)
}

// answer serves the session that was found, or says why none was.
func (h *sessionHandler) answer(w http.ResponseWriter, r *http.Request, s *Session, err error) {
	if err != nil {
		h.manager.Error(w, r, err)
		return
	}
	if err := h.serve(w, r, s); err != nil {
		s.Discard()
		s.answer(w, r, err)
	}
}

// answer answers with an error, if the response has not started: afterwards
// the client can only be told by a connection that breaks off, which is for
// the handler to decide, and the log is told.
func (s *Session) answer(w http.ResponseWriter, r *http.Request, err error) {
	if !s.headerOut {
		s.manager.Error(w, r, err)
		return
	}
	if s.failure == nil {
		s.manager.logFailure(r, err)
	}
}
