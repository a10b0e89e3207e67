package session_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// Handler copies the request, and net/http does not remove the temporary files of a copy.
func TestUploadsAreRemoved(t *testing.T) {
	uploadTo(t, newManager(t, session.Options{}).Handler)
}

func TestErrorHandlerWritesTheErrorPage(t *testing.T) {
	w, _ := serve(t, session.Options{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("the error is %v, want ErrTooLarge", err)
		}
		http.Error(w, "too much to remember", http.StatusInsufficientStorage)
	}}, request(), tooLarge)
	if w.Code != 507 {
		t.Errorf("status %d, want 507", w.Code)
	}
	if got, want := w.Body.String(), "too much to remember\n"; got != want {
		t.Errorf("body %q, want %q", got, want)
	}
	if got := sent(t, w.Header()); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
}

func TestErrorHandlerThatWritesNothingIsA500(t *testing.T) {
	silent := func(http.ResponseWriter, *http.Request, error) {}
	w, _ := serve(t, session.Options{ErrorHandler: silent}, request(), tooLarge)
	if w.Code != 500 {
		t.Errorf("status %d, want 500", w.Code)
	}
}

func TestRefusedCookieIsOneInfoLine(t *testing.T) {
	valid := signedIn(t, newManager(t, session.Options{}))
	for _, test := range []struct{ name, cookie, reason string }{
		{"forged", valid + "x", "signature does not match"},
		{"no cookie of ours", "session=no-dots", "malformed"},
		{"empty", "session=", ""},
		{"none", "", ""},
		{"valid", valid, ""},
		{"no session", "session=" + mint("5", time.Now()), "not a JSON object"},
		{"old", "session=" + mint("{}", time.Unix(1_000_000_000, 0)), "expired"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, log := serve(t, session.Options{}, request(test.cookie), func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "page")
			})
			if w.Code != 200 {
				t.Errorf("status %d, want 200", w.Code)
			}
			if got := w.Body.String(); got != "page" {
				t.Errorf("body %q, want page", got)
			}
			if h := w.Result().Header; len(h) != 1 {
				t.Errorf("header %v, want a Content-Type and nothing else", h)
			}
			if test.reason == "" {
				checkLog(t, log, 0)
			} else {
				checkLog(t, log, 1, "level=INFO", test.reason)
			}
			if _, value, _ := strings.Cut(test.cookie, "="); value != "" && strings.Contains(log, value) {
				t.Errorf("the log contains the cookie: %s", log)
			}
		})
	}
}

func TestPanicSavesNothingAndGoesOn(t *testing.T) {
	for _, reason := range []any{"a mistake", http.ErrAbortHandler} {
		t.Run(fmt.Sprint(reason), func(t *testing.T) {
			w := httptest.NewRecorder()
			h := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				set(r)
				panic(reason)
			}))
			if got := recovered(func() { h.ServeHTTP(w, request()) }); got != reason {
				t.Errorf("recovered %v, want %v", got, reason)
			}
			if len(w.Header()) > 0 {
				t.Errorf("header after a panic: %v, want none", w.Header())
			}
		})
	}
}

// One Handler is inside the other, and each has a session of its own name.
func TestHandlersOfTwoNamesBothSetTheirCookie(t *testing.T) {
	inner := newManager(t, session.Options{Name: "inner"}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
	}))
	w, _ := serve(t, session.Options{Name: "outer"}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		inner.ServeHTTP(w, r)
	})
	if lines := w.Result().Header["Set-Cookie"]; len(lines) != 2 {
		t.Errorf("Set-Cookie %q, want two lines", lines)
	}
}

func TestFromOutsideHandlerNamesHandler(t *testing.T) {
	got := recovered(func() { session.From(request()) })
	if text, _ := got.(string); !strings.Contains(text, "Handler") {
		t.Errorf("recovered %v, want a message that names Handler", got)
	}
}
