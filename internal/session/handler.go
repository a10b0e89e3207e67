package session

import (
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"time"
)

// Handler loads the session of each request before next runs, and saves it before
// the first byte of the response, in whichever way the response begins.
//
// A cookie that is not valid never leads to an error page: the visitor gets a new
// session, and the log gets the reason. A session that cannot be loaded or saved
// always leads to one: the response of next is dropped, and [Options.ErrorHandler]
// answers. A change after the response began comes too late, and is an error in the
// log.
//
// Mount what needs no session, such as static files, outside Handler. Mount
// middleware that may answer in place of a handler outside, too, such as
// [http.TimeoutHandler] or one that recovers panics. Inside, Handler takes the time-out
// page for a normal response, and saves the session. If a handler goes on after its
// response was dropped, it must call Header again: the map that it got before now
// belongs to the error page.
//
// If a request passes the Handler of one Manager twice, the inner Handler does
// nothing, and the outer one saves the changes of both. That needs a writer with
// Unwrap from all middleware in between, as [http.ResponseController] does. Handlers
// of different Managers are independent: see [Manager.From].
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := m.enclosing(w, r); s != nil {
			m.pass(next, w, r, s)
			return
		}
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
		m.serve(next, w, r, s)
	})
}

// serve runs a handler with the session s.
func (m *Manager) serve(next http.Handler, w http.ResponseWriter, r *http.Request, s *Session) {
	rw := &responseWriter{ResponseWriter: w, manager: m, session: s, before: w.Header().Clone()}
	r = withSession(r, s) // a copy, whose body may be replaced
	if r.Body != nil && r.Body != http.NoBody {
		rw.body = &body{ReadCloser: r.Body}
		r.Body = rw.body
	}
	rw.request = r
	defer removeUploads(r, r.MultipartForm) // the form as it is now, before next runs
	defer rw.absorbAbort()
	next.ServeHTTP(rw, r) // if it panics, nothing is saved
	rw.end()
}

// enclosing returns the session of a Handler of m that the request has passed already,
// nil if there is none.
func (m *Manager) enclosing(w http.ResponseWriter, r *http.Request) *Session {
	for w := range writers(w) {
		if outer, ok := w.(*responseWriter); ok && outer.manager == m {
			return outer.session
		}
	}
	// ErrorHandler may pass a writer without Unwrap. Then the session in the context
	// shows that this is an error page. Any other request with such a writer, for
	// example a recorder, is a visit of its own.
	if s := m.find(r); s != nil && s.failure != nil {
		return s
	}
	return nil
}

// pass runs a handler inside another Handler of m, whose session is s.
func (m *Manager) pass(next http.Handler, w http.ResponseWriter, r *http.Request, s *Session) {
	if s.failure != nil { // ErrorHandler has called the site again
		serverError(w, r, s.failure)
		return
	}
	r = withSession(r, s)
	defer removeUploads(r, r.MultipartForm)
	next.ServeHTTP(w, r)
}

// removeUploads deletes the temporary files of a form that was parsed after outer was.
// The server deletes those of the request that it made, but withSession has made
// another one.
func removeUploads(r *http.Request, outer *multipart.Form) {
	if r.MultipartForm != nil && r.MultipartForm != outer {
		r.MultipartForm.RemoveAll()
	}
}

// contextKey is the key of the scope in a request's context.
type contextKey struct{}

// scope is a session in a request's context, and the one around it of another
// Manager.
type scope struct {
	session *Session
	outer   *scope
}

func withSession(r *http.Request, s *Session) *http.Request {
	outer, _ := r.Context().Value(contextKey{}).(*scope)
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, &scope{s, outer}))
}

// From returns the session of a request that came through [Manager.Handler], of the
// innermost one if it came through those of several Managers. For any other request
// it panics, because that is a mistake in the program.
//
// Use the session before the first byte of the response. A change that comes later is
// lost, and a value that is read later may end up in a cache that other visitors
// share. Both are errors in the log.
func From(r *http.Request) *Session {
	sc, ok := r.Context().Value(contextKey{}).(*scope)
	if !ok {
		panic("session: From needs a request that came through Manager.Handler")
	}
	return sc.session
}

// From is the function [From] for a request that came through the Handlers of several
// Managers: it returns the session of m. It panics if the request did not come
// through the Handler of m.
func (m *Manager) From(r *http.Request) *Session {
	s := m.find(r)
	if s == nil {
		panic("session: Manager.From needs a request that came through the Handler of this Manager")
	}
	return s
}

// find returns the session of m in the request's context, nil if there is none.
func (m *Manager) find(r *http.Request) *Session {
	sc, _ := r.Context().Value(contextKey{}).(*scope)
	for ; sc != nil; sc = sc.outer {
		if sc.session.manager == m {
			return sc.session
		}
	}
	return nil
}

// answerError answers in place of a handler whose response is dropped.
func (m *Manager) answerError(w http.ResponseWriter, r *http.Request, message string, err error) {
	if !errors.Is(err, context.Canceled) { // the client hung up during the load
		m.opts.Logger.ErrorContext(r.Context(), message, "error", err)
	}
	for w := range writers(w) {
		if outer, ok := w.(*responseWriter); ok {
			outer.abandon()
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	s := m.newSession(time.Now(), false)
	s.failure = err
	page := &responseWriter{ResponseWriter: w, manager: m, request: r, session: s}
	m.opts.ErrorHandler(page, withSession(r, s), err)
	if !page.begun { // to send nothing would be a 200
		serverError(page, r, err)
	}
}

// serverError is the default response when a session could not be loaded or saved.
func serverError(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ErrStore) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, http.StatusText(status), status)
}
