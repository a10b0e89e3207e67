package session

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Handler loads the session of each request before next runs, and saves it
// before the first byte of the answer, whichever way that begins. Mount outside
// it what needs no session, such as static files.
//
// A cookie that does not hold is never an error page: the visitor gets a new
// session, and the log the reason. A session that cannot be loaded or saved is
// always one: nothing of what next has to say gets out, and
// [Options.ErrorHandler] answers. A change after the answer began comes too late,
// and is an error in the log.
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Load(r)
		switch {
		case errors.Is(err, ErrStore):
			m.answerError(w, r, "session not loaded", err)
			return
		case errors.Is(err, ErrCorrupt):
			m.opts.Logger.ErrorContext(r.Context(), "session lost", "error", err)
		case err != nil:
			m.opts.Logger.InfoContext(r.Context(), "session refused", "reason", err)
		}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, s))
		defer removeUploads(r)
		sw := &responseWriter{ResponseWriter: w, manager: m, request: r, session: s, before: w.Header().Clone()}
		defer sw.absorbAbort()
		next.ServeHTTP(sw, r) // if it panics, nothing is saved
		sw.end()
	})
}

// removeUploads deletes the temporary files of a form with uploads. The server
// does that for the request it made, and WithContext has made another.
func removeUploads(r *http.Request) {
	if r.MultipartForm != nil {
		r.MultipartForm.RemoveAll()
	}
}

// contextKey is where a request's context keeps its session.
type contextKey struct{}

// From returns the session of a request that came through [Manager.Handler]. It
// panics for any other request, as that is a mistake in the program. Use the
// session before the first byte of the answer: a change that comes later is lost,
// and a value that is read later may stay in a cache that other visitors share.
// Both are errors in the log.
func From(r *http.Request) *Session {
	s, ok := r.Context().Value(contextKey{}).(*Session)
	if !ok {
		panic("session: From needs a request that came through Manager.Handler")
	}
	return s
}

// responseWriter saves the session when the response begins. It is one type
// whatever the server's own writer can do: [http.NewResponseController] and its
// Unwrap reach that, and what is lacking there is [http.ErrNotSupported].
type responseWriter struct {
	http.ResponseWriter
	manager *Manager
	request *http.Request
	session *Session
	before  http.Header // as it was before the handler added to it
	begun   bool
	err     error // why the session could not be saved
}

// begin saves the session, once. When that fails it answers in place of the
// handler, whose writes then return the error.
func (w *responseWriter) begin() error {
	if w.begun {
		return w.err
	}
	w.begun = true
	w.err = w.manager.Save(w.ResponseWriter, w.request, w.session)
	if w.err != nil {
		h := w.ResponseWriter.Header() // rid it of what the handler put there
		clear(h)
		maps.Copy(h, w.before)
		w.manager.answerError(w.ResponseWriter, w.request, "session not saved", w.err)
	}
	return w.err
}

// answerError answers in place of a handler that is not to be heard.
func (m *Manager) answerError(w http.ResponseWriter, r *http.Request, message string, err error) {
	if !errors.Is(err, context.Canceled) { // a client that went away during the load
		m.opts.Logger.ErrorContext(r.Context(), message, "error", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	answer := &responseWriter{ResponseWriter: w, manager: m, request: r, session: m.newSession(time.Now())}
	m.opts.ErrorHandler(answer, r, err)
	if !answer.begun { // silence would be a 200
		serverError(answer, r, err)
	}
}

// absorbAbort ends the panic of a handler such as httputil.ReverseProxy, which
// gives up when its answer cannot be written: the error page is the answer.
func (w *responseWriter) absorbAbort() {
	if w.err == nil {
		return
	}
	if reason := recover(); reason != nil && reason != http.ErrAbortHandler {
		panic(reason)
	}
}

// Header returns the header of the response. When the error page is the answer,
// it returns one that goes nowhere, as a writer such as that of
// [http.TimeoutHandler] sends the header as it is at the end.
func (w *responseWriter) Header() http.Header {
	if w.err != nil {
		return make(http.Header)
	}
	return w.ResponseWriter.Header()
}

// end begins the response of a handler that wrote nothing, and reports what was
// changed or read too late.
func (w *responseWriter) end() {
	if w.begin() != nil {
		return
	}
	w.logUnsaved("session changed after the response began")
	if w.session.usedUnannounced() {
		w.manager.opts.Logger.ErrorContext(w.request.Context(), "session read after the response began, which caches may share")
	}
}

// WriteHeader begins the response, unless the status is informational and
// another one follows it; 101 is the last of its response.
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

// ReadFrom lets the server copy from a file to the connection by itself
// (sendfile), as it does when nothing is wrapped around its writer.
func (w *responseWriter) ReadFrom(src io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, src)
}

// FlushError sends the header too, so the session is saved first. It is how
// [http.ResponseController.Flush] flushes.
func (w *responseWriter) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is [http.Flusher].
func (w *responseWriter) Flush() {
	w.FlushError()
}

// Hijack hands over the connection. From then on no cookie can be sent.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err != nil {
		return nil, nil, w.err
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.begun = true
		w.logUnsaved("session changed before the connection was hijacked")
		w.session.announce() // there is no answer that a cache could share
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

func (w *responseWriter) logUnsaved(message string) {
	if keys := w.session.takeChanges(); len(keys) > 0 {
		w.manager.opts.Logger.ErrorContext(w.request.Context(), message, "keys", keys)
	}
}

// serverError is the answer when a session could not be loaded or saved.
func serverError(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ErrStore) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, http.StatusText(status), status)
}

// addCookie adds a cookie in place of an earlier one of its name: a response is
// not to set one cookie twice (RFC 6265bis, section 4.1.1).
func addCookie(h http.Header, name, value, attributes string) {
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, name+"=")
	})
	h.Add("Set-Cookie", name+"="+value+attributes)
}

// keepPrivate marks a response that depends on the session. Vary makes a cache
// tell visitors apart by their cookies, and private keeps the response out of
// caches that serve several visitors.
func keepPrivate(h http.Header) {
	if vary := directives(h["Vary"]); !has(vary, "cookie") && !has(vary, "*") {
		h.Add("Vary", "Cookie")
	}
	cache := directives(h["Cache-Control"])
	if has(cache, "no-store") || has(cache, "private") {
		return
	}
	cache = slices.DeleteFunc(cache, func(d string) bool {
		return is(d, "public") || is(d, "s-maxage")
	})
	h.Set("Cache-Control", strings.Join(append(cache, "private"), ", "))
}

// directives returns the members of a header field that is a list.
func directives(lines []string) []string {
	var list []string
	for _, line := range lines {
		for d := range strings.SplitSeq(line, ",") {
			if d = strings.TrimSpace(d); d != "" {
				list = append(list, d)
			}
		}
	}
	return list
}

func has(list []string, name string) bool {
	return slices.ContainsFunc(list, func(d string) bool { return is(d, name) })
}

// is reports whether directive d is called name. One with an argument is another
// one, except where it always has one: private="X-Field" is not private.
func is(d, name string) bool {
	if name == "s-maxage" {
		d, _, _ = strings.Cut(d, "=")
	}
	return strings.EqualFold(d, name)
}
