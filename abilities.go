package coatcheck

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A handler finds out by assertion what its response writer can do, so the one
// it gets must have exactly the abilities of the server's: a Flush that does
// nothing would break streaming, a missing ReadFrom would slow down every file.
// Each of the types below is a pointer to the responder, so that choosing one
// allocates nothing, and adds one ability to a type with fewer.

const (
	canFlush = 1 << iota
	canHijack
	canReadFrom
	canWriteString
	canPush
)

// responseWriter returns the writer for the handler. It always has FlushError,
// and Hijack whenever anything down the Unwrap chain has it.
func (s *Session) responseWriter() http.ResponseWriter {
	can := 0
	if _, ok := s.writer.(http.Flusher); ok {
		can |= canFlush
	}
	if hijackable(s.writer) {
		can |= canHijack
	}
	if _, ok := s.writer.(io.ReaderFrom); ok {
		can |= canReadFrom
	}
	if _, ok := s.writer.(io.StringWriter); ok {
		can |= canWriteString
	}
	if _, ok := s.writer.(http.Pusher); ok {
		can |= canPush
	}
	return withAbilities[can]((*responder)(s))
}

func hijackable(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}

// The letters stand for Flusher, Hijacker, ReaderFrom, StringWriter, Pusher.
type (
	writer      struct{ *responder }
	writerF     struct{ writer }
	writerH     struct{ writer }
	writerFH    struct{ writerF }
	writerR     struct{ writer }
	writerFR    struct{ writerF }
	writerHR    struct{ writerH }
	writerFHR   struct{ writerFH }
	writerS     struct{ writer }
	writerFS    struct{ writerF }
	writerHS    struct{ writerH }
	writerFHS   struct{ writerFH }
	writerRS    struct{ writerR }
	writerFRS   struct{ writerFR }
	writerHRS   struct{ writerHR }
	writerFHRS  struct{ writerFHR }
	writerP     struct{ writer }
	writerFP    struct{ writerF }
	writerHP    struct{ writerH }
	writerFHP   struct{ writerFH }
	writerRP    struct{ writerR }
	writerFRP   struct{ writerFR }
	writerHRP   struct{ writerHR }
	writerFHRP  struct{ writerFHR }
	writerSP    struct{ writerS }
	writerFSP   struct{ writerFS }
	writerHSP   struct{ writerHS }
	writerFHSP  struct{ writerFHS }
	writerRSP   struct{ writerRS }
	writerFRSP  struct{ writerFRS }
	writerHRSP  struct{ writerHRS }
	writerFHRSP struct{ writerFHRS }
)

func (w writerF) Flush()                                        { w.responder.flush() }
func (w writerH) Hijack() (net.Conn, *bufio.ReadWriter, error)  { return w.responder.hijack() }
func (w writerFH) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.responder.hijack() }
func (w writerR) ReadFrom(r io.Reader) (int64, error)           { return w.responder.readFrom(r) }
func (w writerFR) ReadFrom(r io.Reader) (int64, error)          { return w.responder.readFrom(r) }
func (w writerHR) ReadFrom(r io.Reader) (int64, error)          { return w.responder.readFrom(r) }
func (w writerFHR) ReadFrom(r io.Reader) (int64, error)         { return w.responder.readFrom(r) }
func (w writerS) WriteString(t string) (int, error)             { return w.responder.writeString(t) }
func (w writerFS) WriteString(t string) (int, error)            { return w.responder.writeString(t) }
func (w writerHS) WriteString(t string) (int, error)            { return w.responder.writeString(t) }
func (w writerFHS) WriteString(t string) (int, error)           { return w.responder.writeString(t) }
func (w writerRS) WriteString(t string) (int, error)            { return w.responder.writeString(t) }
func (w writerFRS) WriteString(t string) (int, error)           { return w.responder.writeString(t) }
func (w writerHRS) WriteString(t string) (int, error)           { return w.responder.writeString(t) }
func (w writerFHRS) WriteString(t string) (int, error)          { return w.responder.writeString(t) }
func (w writerP) Push(t string, o *http.PushOptions) error      { return w.responder.push(t, o) }
func (w writerFP) Push(t string, o *http.PushOptions) error     { return w.responder.push(t, o) }
func (w writerHP) Push(t string, o *http.PushOptions) error     { return w.responder.push(t, o) }
func (w writerFHP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerRP) Push(t string, o *http.PushOptions) error     { return w.responder.push(t, o) }
func (w writerFRP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerHRP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerFHRP) Push(t string, o *http.PushOptions) error   { return w.responder.push(t, o) }
func (w writerSP) Push(t string, o *http.PushOptions) error     { return w.responder.push(t, o) }
func (w writerFSP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerHSP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerFHSP) Push(t string, o *http.PushOptions) error   { return w.responder.push(t, o) }
func (w writerRSP) Push(t string, o *http.PushOptions) error    { return w.responder.push(t, o) }
func (w writerFRSP) Push(t string, o *http.PushOptions) error   { return w.responder.push(t, o) }
func (w writerHRSP) Push(t string, o *http.PushOptions) error   { return w.responder.push(t, o) }
func (w writerFHRSP) Push(t string, o *http.PushOptions) error  { return w.responder.push(t, o) }

var withAbilities = [...]func(*responder) http.ResponseWriter{
	func(r *responder) http.ResponseWriter { return writer{r} },
	func(r *responder) http.ResponseWriter { return writerF{writer{r}} },
	func(r *responder) http.ResponseWriter { return writerH{writer{r}} },
	func(r *responder) http.ResponseWriter { return writerFH{writerF{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerR{writer{r}} },
	func(r *responder) http.ResponseWriter { return writerFR{writerF{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerHR{writerH{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFHR{writerFH{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerS{writer{r}} },
	func(r *responder) http.ResponseWriter { return writerFS{writerF{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerHS{writerH{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFHS{writerFH{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerRS{writerR{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFRS{writerFR{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerHRS{writerHR{writerH{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerFHRS{writerFHR{writerFH{writerF{writer{r}}}}} },
	func(r *responder) http.ResponseWriter { return writerP{writer{r}} },
	func(r *responder) http.ResponseWriter { return writerFP{writerF{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerHP{writerH{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFHP{writerFH{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerRP{writerR{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFRP{writerFR{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerHRP{writerHR{writerH{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerFHRP{writerFHR{writerFH{writerF{writer{r}}}}} },
	func(r *responder) http.ResponseWriter { return writerSP{writerS{writer{r}}} },
	func(r *responder) http.ResponseWriter { return writerFSP{writerFS{writerF{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerHSP{writerHS{writerH{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerFHSP{writerFHS{writerFH{writerF{writer{r}}}}} },
	func(r *responder) http.ResponseWriter { return writerRSP{writerRS{writerR{writer{r}}}} },
	func(r *responder) http.ResponseWriter { return writerFRSP{writerFRS{writerFR{writerF{writer{r}}}}} },
	func(r *responder) http.ResponseWriter { return writerHRSP{writerHRS{writerHR{writerH{writer{r}}}}} },
	func(r *responder) http.ResponseWriter {
		return writerFHRSP{writerFHRS{writerFHR{writerFH{writerF{writer{r}}}}}}
	},
}
