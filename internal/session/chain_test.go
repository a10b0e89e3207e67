package session_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/storetest"
)

// A chain of handlers: one Handler inside another, middleware in between, and an error
// page that calls the site again.

func TestSameManagerTwiceSavesOnce(t *testing.T) {
	opts, log := logged()
	m := newManager(t, opts)
	h := twice(m, func(s *session.Session) { visits.Set(s, 7) }, func(s *session.Session) { name.Set(s, "ada") })
	s := load(t, m, sent(t, respond(h).Header))
	if got := visits.Get(s); got != 7 {
		t.Errorf("the middleware's value is %d, want 7", got)
	}
	if got := name.Get(s); got != "ada" {
		t.Errorf("the handler's value is %q, want ada", got)
	}
	checkLog(t, log.String(), 0)
}

// The refresh of the outer Handler must not replace the deletion of the inner one.
func TestClearInsideTheSameManagerTwiceDeletesTheCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{})
		cookie := visit(t, m, "", func(s *session.Session) { write(s); s.SetPermanent(true) })
		time.Sleep(4 * 24 * time.Hour)
		response := respond(twice(m, read, (*session.Session).Clear), cookie)
		if got := sent(t, response.Header); got != "session=" {
			t.Errorf("Set-Cookie: %s, want one that deletes", got)
		}
	})
}

func TestSameManagerTwiceRemovesUploads(t *testing.T) {
	m := newManager(t, session.Options{})
	uploadTo(t, func(h http.Handler) http.Handler { return m.Handler(m.Handler(h)) })
}

// Handler removes only the files of a form that was parsed inside it.
func TestUploadsOfAnOuterHandlerStay(t *testing.T) {
	m := newManager(t, session.Options{})
	uploadTo(t, func(parse http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			parse.ServeHTTP(w, r)
			m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { set(r) })).ServeHTTP(w, r)
			file, _, err := r.FormFile("file")
			if err != nil {
				t.Fatalf("the outer handler's file: %v", err)
			}
			file.Close()
			r.MultipartForm.RemoveAll()
		})
	})
}

// A handler can call the site with a writer of its own. That is another visit.
func TestWriterOfItsOwnIsAnotherVisit(t *testing.T) {
	m := newManager(t, session.Options{})
	app := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { write(session.From(r)) }))
	var inside string
	response := respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), "outside")
		recorder := httptest.NewRecorder()
		app.ServeHTTP(recorder, r)
		inside = sent(t, recorder.Result().Header)
	})))
	inner, outer := load(t, m, inside), load(t, m, sent(t, response.Header))
	if got := visits.Get(inner); got != 1 {
		t.Errorf("the inner visit: visits = %d, want 1", got)
	}
	if got := name.Get(inner); got != "" {
		t.Errorf("the inner visit: name = %q, want none", got)
	}
	if got := visits.Get(outer); got != 0 {
		t.Errorf("the outer visit: visits = %d, want 0", got)
	}
	if got := name.Get(outer); got != "outside" {
		t.Errorf("the outer visit: name = %q, want outside", got)
	}
}

func TestManagerFromFindsItsOwnSession(t *testing.T) {
	a, b := newManager(t, session.Options{Name: "a"}), newManager(t, session.Options{Name: "b"})
	check := func(what string, r *http.Request, innermost *session.Manager) {
		t.Helper()
		if a.From(r) == b.From(r) {
			t.Errorf("%s: two managers have one session", what)
		}
		if session.From(r) != innermost.From(r) {
			t.Errorf("%s: From is not the session of the innermost Handler", what)
		}
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { check("a(b)", r, b) })
	respond(a.Handler(b.Handler(h)))
	h = func(w http.ResponseWriter, r *http.Request) { check("a(b(a))", r, a) }
	respond(a.Handler(b.Handler(a.Handler(h))))
}

func TestManagerFromOutsideItsHandlerPanics(t *testing.T) {
	a, b := newManager(t, session.Options{Name: "a"}), newManager(t, session.Options{Name: "b"})
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "Handler of this Manager") {
			t.Errorf("recovered %q, want a message that names the Handler of this Manager", text)
		}
	}()
	respond(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.From(r) })))
}

func TestErrorPageOfTheInnerManagerHasNoCookieOfTheOuter(t *testing.T) {
	for name, opts := range map[string]session.Options{
		"load": {Name: "inner", Store: &storetest.Faulty{OnLoad: down}, Salt: "cookie-session"},
		"save": {Name: "inner", Salt: "cookie-session"},
	} {
		t.Run(name, func(t *testing.T) {
			outer, inner := newManager(t, session.Options{}), newManager(t, opts)
			response := respond(outer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				set(r)
				inner.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					session.Key[chan int]("x").Set(session.From(r), make(chan int))
				})).ServeHTTP(unwrapping{w}, r)
			})), idCookie("inner"))
			if response.StatusCode < 500 {
				t.Errorf("status %d, want an error", response.StatusCode)
			}
			if lines := response.Header["Set-Cookie"]; len(lines) > 0 {
				t.Errorf("Set-Cookie %q, want none", lines)
			}
		})
	}
}

// Nor does the outer Manager refresh a session that it has read.
func TestErrorPageOfTheInnerManagerRefreshesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := newManager(t, session.Options{}), newManager(t, session.Options{Name: "inner"})
		cookie := visit(t, outer, "", func(s *session.Session) { write(s); s.SetPermanent(true) })
		time.Sleep(4 * 24 * time.Hour)
		response := respond(outer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			visits.Get(session.From(r))
			inner.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				session.Key[chan int]("x").Set(session.From(r), make(chan int))
			})).ServeHTTP(w, r)
		})), cookie)
		if lines := response.Header["Set-Cookie"]; len(lines) > 0 {
			t.Errorf("Set-Cookie %q, want none", lines)
		}
	})
}

// An ErrorHandler may want to look at the page that the site has for the error.
func TestErrorHandlerThatRecordsTheSite(t *testing.T) {
	var site http.Handler
	recorder := httptest.NewRecorder()
	site = newManager(t, session.Options{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		site.ServeHTTP(recorder, r)
		http.Error(w, "recorded", recorder.Code)
	}}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session.Key[chan int]("x").Set(session.From(r), make(chan int))
	}))
	response := respond(site)
	if recorder.Code != http.StatusInternalServerError {
		t.Errorf("the site answers the error page with status %d, want 500", recorder.Code)
	}
	if response.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", response.StatusCode)
	}
}

// An ErrorHandler that shows its page through the site's own Handler is called once.
func TestErrorHandlerMayCallTheSite(t *testing.T) {
	for _, test := range []struct {
		name   string
		opts   session.Options
		writer func(http.ResponseWriter) http.ResponseWriter
		status int
	}{
		{"the store is down", session.Options{Store: &storetest.Faulty{OnLoad: down}, Salt: "cookie-session"}, nil, 503},
		{"the session is too large", session.Options{}, nil, 500},
		{"its writer unwraps", session.Options{Store: &storetest.Faulty{OnLoad: down}, Salt: "cookie-session"}, func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{w} }, 503},
		{"its writer does not", session.Options{Store: &storetest.Faulty{OnLoad: down}, Salt: "cookie-session"}, func(w http.ResponseWriter) http.ResponseWriter { return bare{w} }, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			var site http.Handler
			calls := 0
			test.opts.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				if calls++; calls > 1 {
					t.Fatal("ErrorHandler was called again")
				}
				if test.writer != nil {
					w = test.writer(w)
				}
				site.ServeHTTP(w, r)
			}
			m := newManager(t, test.opts)
			site = m.Handler(http.HandlerFunc(tooLarge))
			response := respond(site, idCookie("session"))
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
			if got := readAll(t, response); strings.Contains(got, "success") {
				t.Errorf("body %q, want nothing of the handler's", got)
			}
		})
	}
}

func TestFromInErrorHandlerIsEmptyAndNeverSaved(t *testing.T) {
	for name, opts := range map[string]session.Options{"load": {Store: &storetest.Faulty{OnLoad: down}, Salt: "cookie-session"}, "save": {}} {
		t.Run(name, func(t *testing.T) {
			var cookies []string
			if opts.Store != nil {
				cookies = []string{idCookie("session")}
			}
			withLog, log := logged()
			opts.Logger = withLog.Logger
			var m *session.Manager
			opts.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				s := session.From(r)
				if got := visits.Get(s); got != 0 {
					t.Errorf("visits = %d, want 0", got)
				}
				if !s.IsNew() {
					t.Error("the session is not new")
				}
				visits.Set(s, 2)
				s.SetPermanent(true)
				if err := m.Save(w, r, s); err != nil {
					t.Errorf("Save: %v, want nil", err)
				}
				http.Error(w, "sorry", http.StatusInsufficientStorage)
			}
			m = newManager(t, opts)
			response := respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				set(r)
				session.Key[chan int]("x").Set(session.From(r), make(chan int))
			})), cookies...)
			if response.StatusCode != 507 {
				t.Errorf("status %d, want 507", response.StatusCode)
			}
			if lines := response.Header["Set-Cookie"]; len(lines) > 0 {
				t.Errorf("Set-Cookie %q, want none", lines)
			}
			checkLog(t, log.String(), 1)
		})
	}
}

// A panic with http.ErrAbortHandler is the way to cut a connection. Handler recovers
// only from that of a handler whose response the error page has replaced.
func TestErrorHandlerMayAbort(t *testing.T) {
	for name, written := range map[string]string{"before the response": "", "inside the response": "half a page"} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, session.Options{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				io.WriteString(w, written)
				panic(http.ErrAbortHandler)
			}})
			server := httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { setTooLarge(r) })))
			defer server.Close()
			response, err := http.Get(server.URL)
			if err == nil {
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			if err == nil {
				t.Errorf("a whole response, status %d, want a connection that was cut", response.StatusCode)
			}
		})
	}
}

// Middleware that may respond in place of a handler belongs outside. Otherwise the
// changes of that handler are saved.
func TestTimeoutHandlerBelongsOutside(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
		<-r.Context().Done()
	})
	m := newManager(t, session.Options{})
	for _, test := range []struct {
		name    string
		handler http.Handler
		saved   bool
	}{
		{"outside", http.TimeoutHandler(m.Handler(slow), time.Second, "too slow"), false},
		{"inside", m.Handler(http.TimeoutHandler(slow, time.Second, "too slow")), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				response := respond(test.handler)
				synctest.Wait()
				if response.StatusCode != 503 {
					t.Errorf("status %d, want 503", response.StatusCode)
				}
				if got := sent(t, response.Header) != ""; got != test.saved {
					t.Errorf("a cookie is sent: %t, want %t, or the comment of Handler is wrong", got, test.saved)
				}
			})
		})
	}
}

func TestRecovererBelongsOutside(t *testing.T) {
	recoverer := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					http.Error(w, "sorry", 500)
				}
			}()
			h.ServeHTTP(w, r)
		})
	}
	panics := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { set(r); panic("a mistake") })
	m := newManager(t, session.Options{})
	if got := sent(t, respond(recoverer(m.Handler(panics))).Header); got != "" {
		t.Errorf("outside: Set-Cookie: %s, want none", got)
	}
	if got := sent(t, respond(m.Handler(recoverer(panics))).Header); got == "" {
		t.Error("inside: no Set-Cookie, want one, or the comment of Handler is wrong")
	}
}

// twice returns a handler inside the Handler of m, inside a middleware that uses the
// session, inside the Handler of m.
func twice(m *session.Manager, middle, handler func(*session.Session)) http.Handler {
	inner := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(session.From(r)) }))
	return m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		middle(session.From(r))
		inner.ServeHTTP(unwrapping{w}, r)
	}))
}
