package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/sessions/internal/session"
)

// BenchmarkCounter measures one request through the whole package. A cookie with six
// values comes in, the handler increments one of them, and the changed session goes out.
func BenchmarkCounter(b *testing.B) {
	const visits = session.Key[int]("visits")
	sessions, err := session.New(secret, nil)
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /seed", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		visits.Set(s, 0)
		session.Key[string]("username").Set(s, "john_doe")
		session.Key[int]("user_id").Set(s, 123)
		session.Key[bool]("authenticated").Set(s, true)
		session.Key[map[string]any]("preferences").Set(s, map[string]any{"theme": "dark", "notifications": true})
		session.Key[[]string]("cart_items").Set(s, []string{"item1", "item2"})
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		n := visits.Get(s) + 1
		visits.Set(s, n)
		fmt.Fprintf(w, "You have visited this page %d times.", n)
	})
	handler := sessions.Handler(mux)

	seed := httptest.NewRecorder()
	handler.ServeHTTP(seed, httptest.NewRequest("GET", "/seed", nil))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(seed.Result().Cookies()[0])
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		handler.ServeHTTP(w, r)
	}
	if len(w.header["Set-Cookie"]) != 1 {
		b.Fatalf("Set-Cookie %q, want one line", w.header["Set-Cookie"])
	}
}
