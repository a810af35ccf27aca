package coatchecktest

import (
	"bytes"
	"net/http"
)

// recorder takes the place of the server's response writer. Unlike
// httptest.ResponseRecorder it knows that an informational response is not the
// response.
type recorder struct {
	header http.Header
	early  []http.Header
	final  http.Header // header at the moment when the response began
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	switch {
	case w.status != 0:
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		w.early = append(w.early, w.header.Clone())
	default:
		w.status, w.final = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) WriteString(s string) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.WriteString(s)
}

// Flush begins the response, as the server's does.
func (w *recorder) Flush() { w.WriteHeader(http.StatusOK) }

func (w *recorder) response() *Response {
	w.WriteHeader(http.StatusOK)
	return &Response{Status: w.status, Header: w.final, Body: w.body.String(), Early: w.early}
}
