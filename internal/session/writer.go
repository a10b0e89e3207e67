package session

import (
	"bufio"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
)

// responseWriter saves the session when the response begins. It is one type, whatever
// the server's own writer can do: [http.NewResponseController] reaches that through
// Unwrap, and what the server's writer lacks is [http.ErrNotSupported].
type responseWriter struct {
	http.ResponseWriter
	manager  *Manager
	request  *http.Request
	session  *Session
	body     *body       // nil if the request has none
	before   http.Header // as it was before the handler added to it
	begun    bool
	err      error // why the session could not be saved
	answered bool  // the error page was sent
}

// begin saves the session, once. If that fails, begin answers in place of the
// handler, and the handler's writes return the error.
func (w *responseWriter) begin() error {
	if w.begun {
		return w.err
	}
	w.begun = true
	w.err = w.manager.Save(w.ResponseWriter, w.request, w.session)
	w.session.begin()
	if w.err != nil {
		h := w.ResponseWriter.Header() // remove what the handler added
		clear(h)
		maps.Copy(h, w.before)
		w.closeAfterPartOfBody()
		w.manager.answerError(w.ResponseWriter, w.request, "session not saved", w.err)
		w.answered = true
		return w.err
	}
	w.closeAfterPartOfBody()
	return nil
}

// closeAfterPartOfBody closes the connection after the response if the handler has
// read only a part of the body, as with [http.MaxBytesReader]. Otherwise the server
// would first wait for the rest. MaxBytesReader tells the server so itself, but only
// if it gets the server's own writer.
func (w *responseWriter) closeAfterPartOfBody() {
	if w.body != nil && w.body.partlyRead() && w.request.ProtoMajor == 1 {
		w.ResponseWriter.Header().Set("Connection", "close")
	}
}

// abandon stops an outer Handler, of another Manager, from saving its session, because an
// error page must set no cookies. Its changes are lost without a line in the log.
func (w *responseWriter) abandon() {
	if w.begun {
		return
	}
	w.begun = true
	w.session.abandon()
}

// absorbAbort recovers from [http.ErrAbortHandler] after the error page was sent.
// Handlers such as httputil.ReverseProxy panic with it when a write fails.
func (w *responseWriter) absorbAbort() {
	if !w.answered {
		return
	}
	if reason := recover(); reason != nil && reason != http.ErrAbortHandler {
		panic(reason)
	}
}

// Header returns the header of the response. After an error page it returns a header
// that goes nowhere, because a writer such as that of [http.TimeoutHandler] sends the
// header as it is at the end.
func (w *responseWriter) Header() http.Header {
	if w.err != nil {
		return make(http.Header)
	}
	return w.ResponseWriter.Header()
}

// end begins the response of a handler that wrote nothing, and reports what the
// handler changed or read too late.
func (w *responseWriter) end() {
	err := w.begin()
	changed, undeclared := w.session.finish()
	switch {
	case err != nil: // the error page was the response
	case len(changed) > 0:
		w.logUnsaved("session changed after the response began", changed)
	case undeclared:
		w.manager.opts.Logger.ErrorContext(w.request.Context(), "session read after the response began, which caches may share")
	}
}

// WriteHeader begins the response, unless the status is informational and another
// one follows it. After 101 none follows.
func (w *responseWriter) WriteHeader(status int) {
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if !informational {
		w.begin()
	}
	if w.err == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets the server copy from a file to the connection by itself (sendfile),
// as it does with its own writer.
func (w *responseWriter) ReadFrom(src io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, src)
}

// FlushError sends the header, so it saves the session first. It is how
// [http.ResponseController.Flush] flushes.
func (w *responseWriter) FlushError() error {
	if !canFlush(w.ResponseWriter) {
		return http.ErrNotSupported // the response has not begun
	}
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is [http.Flusher].
func (w *responseWriter) Flush() {
	w.FlushError()
}

// Hijack hands over the connection. After that no cookie can be sent.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err != nil {
		return nil, nil, w.err
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.begun = true
		w.logUnsaved("session changed and not saved, because the connection was hijacked", w.session.abandon())
	}
	return conn, rw, err
}

// Push is [http.Pusher].
func (w *responseWriter) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := w.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap lets [http.ResponseController] reach the server's own writer.
func (w *responseWriter) Unwrap() http.ResponseWriter {
	return w.ResponseWriter
}

func (w *responseWriter) logUnsaved(message string, keys []string) {
	if len(keys) > 0 {
		w.manager.opts.Logger.ErrorContext(w.request.Context(), message, "keys", keys)
	}
}

// writers returns w and the writers inside it, as Unwrap shows them.
func writers(w http.ResponseWriter) iter.Seq[http.ResponseWriter] {
	return func(yield func(http.ResponseWriter) bool) {
		for yield(w) {
			wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
			if !ok {
				return
			}
			w = wrapper.Unwrap()
		}
	}
}

// canFlush reports whether [http.ResponseController.Flush] finds a writer that
// flushes. A responseWriter flushes only if the writer inside it does.
func canFlush(w http.ResponseWriter) bool {
	for w := range writers(w) {
		switch w.(type) {
		case *responseWriter: // look further inside
		case http.Flusher, interface{ FlushError() error }:
			return true
		}
	}
	return false
}

// body is a request's body that knows how far it was read.
type body struct {
	io.ReadCloser
	begun, ended atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.begun.Store(true)
	}
	if err != nil {
		b.ended.Store(true)
	}
	return n, err
}

// partlyRead reports whether the body was read in part.
func (b *body) partlyRead() bool {
	return b.begun.Load() && !b.ended.Load()
}
