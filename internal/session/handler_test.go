package session_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// The server does not remove the temporary files of a request that was copied.
func TestUploadsAreRemoved(t *testing.T) {
	uploadTo(t, newManager(t, session.Options{}).Handler)
}

func TestErrorHandlerAnswers(t *testing.T) {
	fail := func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		io.WriteString(w, "success")
	}
	w, _ := serve(t, session.Options{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("%v, want ErrTooLarge", err)
		}
		http.Error(w, "too much to remember", http.StatusInsufficientStorage)
	}}, request(), fail)
	if got := w.Body.String(); w.Code != 507 || got != "too much to remember\n" || w.Header()["Set-Cookie"] != nil {
		t.Errorf("%d %q %v", w.Code, got, w.Header())
	}
	silent := func(http.ResponseWriter, *http.Request, error) {}
	if w, _ := serve(t, session.Options{ErrorHandler: silent}, request(), fail); w.Code != 500 {
		t.Errorf("an ErrorHandler that says nothing: %d, want 500", w.Code)
	}
}

func TestRefusedCookieIsOneInfoLine(t *testing.T) {
	cookie := signedIn(t, newManager(t, session.Options{}))
	for cookie, reason := range map[string]string{
		cookie + "x":                       "signature does not match",
		"session=no-dots":                  "malformed",
		"session=":                         "",
		"":                                 "",
		cookie:                             "",
		"session=" + mint("5", time.Now()): "not a JSON object",
		"session=" + mint("{}", time.Unix(1_000_000_000, 0)): "expired",
	} {
		w, log := serve(t, session.Options{}, request(cookie), func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "page")
		})
		if w.Code != 200 || w.Body.String() != "page" || len(w.Result().Header) != 1 {
			t.Errorf("%q: %d %q %v", cookie, w.Code, w.Body, w.Result().Header)
		}
		lines := min(len(reason), 1)
		if strings.Count(log, "\n") != lines || strings.Count(log, "level=INFO") != lines || !strings.Contains(log, reason) {
			t.Errorf("%q: log %q, want %d lines with %q", cookie, log, lines, reason)
		}
		if _, value, _ := strings.Cut(cookie, "="); value != "" && strings.Contains(log, value) {
			t.Errorf("the log holds the cookie: %s", log)
		}
	}
}

func TestPanicSavesNothingAndGoesOn(t *testing.T) {
	for _, reason := range []any{"a mistake", http.ErrAbortHandler} {
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if got := recover(); got != reason {
					t.Errorf("recovered %v, want %v", got, reason)
				}
			}()
			newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				set(r)
				panic(reason)
			})).ServeHTTP(w, request())
		}()
		if len(w.Header()) > 0 {
			t.Errorf("header after a panic: %v", w.Header())
		}
	}
}

// Two sessions of two names, one Handler inside the other, both leave.
func TestHandlersNest(t *testing.T) {
	inner := newManager(t, session.Options{Name: "inner"}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
	}))
	w, _ := serve(t, session.Options{Name: "outer"}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		inner.ServeHTTP(w, r)
	})
	if lines := w.Result().Header["Set-Cookie"]; len(lines) != 2 {
		t.Errorf("Set-Cookie %q, want two", lines)
	}
}
