package session_test

import (
	"net/http"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
)

// One test for each way to touch a session: all of them make the answer private.
func TestUsedSessionMakesTheAnswerPrivate(t *testing.T) {
	for what, use := range map[string]func(*session.Session){
		"Get": func(s *session.Session) { visits.Get(s) }, "Lookup": func(s *session.Session) { visits.Lookup(s) },
		"Set": func(s *session.Session) { visits.Set(s, 1) }, "Pop": func(s *session.Session) { visits.Pop(s) },
		"Delete": func(s *session.Session) { visits.Delete(s) },
		"Update": func(s *session.Session) { visits.Update(s, func(n int) int { return n }) },
		"Clear":  (*session.Session).Clear, "Renew": (*session.Session).Renew,
		"SetPermanent": func(s *session.Session) { s.SetPermanent(false) },
		"Permanent":    func(s *session.Session) { s.Permanent() }, "IsNew": func(s *session.Session) { s.IsNew() },
		"Expires": func(s *session.Session) { s.Expires() },
	} {
		for _, status := range []int{200, 304, 404} {
			w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				use(session.From(r))
				w.WriteHeader(status)
			})
			if h := w.Result().Header; h.Get("Vary") != "Cookie" || h.Get("Cache-Control") != "private" {
				t.Errorf("%s, %d: %v", what, status, h)
			}
		}
	}
	cookie := signedIn(t, newManager(t, session.Options{}))
	w, _ := serve(t, session.Options{}, request(cookie), func(w http.ResponseWriter, r *http.Request) {
		session.From(r)
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	if h := w.Result().Header; h.Get("Vary") != "" || h.Get("Cache-Control") != "public, max-age=60" || h["Set-Cookie"] != nil {
		t.Errorf("a session that was not used: %v", h)
	}
}

func TestCacheControlAndVary(t *testing.T) {
	for _, test := range []struct{ name, set, want string }{
		{"Cache-Control", "", "private"},
		{"Cache-Control", "no-store", "no-store"},
		{"Cache-Control", "max-age=60, No-Store", "max-age=60, No-Store"},
		{"Cache-Control", "private, max-age=60", "private, max-age=60"},
		{"Cache-Control", "PUBLIC, max-age=60", "max-age=60, private"},
		{"Cache-Control", "max-age=60,s-maxage=600 , public", "max-age=60, private"},
		{"Cache-Control", "no-cache", "no-cache, private"},
		{"Cache-Control", ", max-age=60,, public ,", "max-age=60, private"},
		{"Cache-Control", `private="X-Field"`, `private="X-Field", private`},
		{"Cache-Control", `private="X-A, X-B", max-age=60`, `private="X-A, X-B", max-age=60, private`},
		{"Cache-Control", `foo="private", max-age=60`, `foo="private", max-age=60, private`},
		{"Cache-Control", `foo="a, private", max-age=60`, `foo="a, private", max-age=60, private`},
		{"Cache-Control", `foo="a, no-store, b", public`, `foo="a, no-store, b", private`},
		{"Cache-Control", `foo="a, no-store`, "private"},
		{"Cache-Control", `foo="\", no-store, \""`, "private"},
		{"Cache-Control", "must-understand, no-store", "must-understand, no-store, private"},
		{"Cache-Control", "no-store, private, must-understand", "no-store, private, must-understand"},
		{"Cdn-Cache-Control", "", ""},
		{"Cdn-Cache-Control", "public, max-age=600", "max-age=600, private"},
		{"CDN-Cache-Control", "no-store", "no-store"},
		{"Cloudflare-CDN-Cache-Control", "s-maxage=600", "private"},
		{"Surrogate-Control", "max-age=600", "no-store"},
		{"Vary", "", "Cookie"},
		{"Vary", "cookie", "cookie"},
		{"Vary", "Accept", "Accept, Cookie"},
		{"Vary", "Accept, Cookie", "Accept, Cookie"},
		{"Vary", "*", "*"},
	} {
		w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
			if test.set != "" {
				w.Header().Set(test.name, test.set)
			}
			visits.Get(session.From(r))
		})
		if got := strings.Join(w.Result().Header.Values(test.name), ", "); got != test.want {
			t.Errorf("%s: %s became %s, want %s", test.name, test.set, got, test.want)
		}
	}
}
