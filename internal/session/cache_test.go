package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
)

// Each way to use a session makes the response private, so that no shared cache gives it
// to another visitor.
func TestUsedSessionMakesTheResponsePrivate(t *testing.T) {
	for what, use := range map[string]func(*session.Session){
		"Get":          func(s *session.Session) { visits.Get(s) },
		"Lookup":       func(s *session.Session) { visits.Lookup(s) },
		"Set":          func(s *session.Session) { visits.Set(s, 1) },
		"Pop":          func(s *session.Session) { visits.Pop(s) },
		"Delete":       func(s *session.Session) { visits.Delete(s) },
		"Update":       func(s *session.Session) { visits.Update(s, func(n int) int { return n }) },
		"Clear":        (*session.Session).Clear,
		"Renew":        (*session.Session).Renew,
		"SetPermanent": func(s *session.Session) { s.SetPermanent(false) },
		"Permanent":    func(s *session.Session) { s.Permanent() },
		"IsNew":        func(s *session.Session) { s.IsNew() },
		"Expires":      func(s *session.Session) { s.Expires() },
	} {
		for _, status := range []int{200, 304, 404} {
			t.Run(fmt.Sprint(what, " ", status), func(t *testing.T) {
				w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
					use(session.From(r))
					w.WriteHeader(status)
				})
				checkHeader(t, w.Result().Header, "Vary", "Cookie")
				checkHeader(t, w.Result().Header, "Cache-Control", "private")
			})
		}
	}
}

func TestUnusedSessionLeavesTheResponseAsItIs(t *testing.T) {
	cookie := signedIn(t, newManager(t, session.Options{}))
	w, _ := serve(t, session.Options{}, request(cookie), func(w http.ResponseWriter, r *http.Request) {
		session.From(r)
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	checkHeader(t, w.Result().Header, "Vary", "")
	checkHeader(t, w.Result().Header, "Cache-Control", "public, max-age=60")
	checkHeader(t, w.Result().Header, "Set-Cookie", "")
}

func TestCacheHeadersKeepWhatIsPrivate(t *testing.T) {
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
		{"X-Accel-Expires", "", ""},
		{"X-Accel-Expires", "600", "0"},
		{"Vary", "", "Cookie"},
		{"Vary", "cookie", "cookie"},
		{"Vary", "Accept", "Accept, Cookie"},
		{"Vary", "Accept, Cookie", "Accept, Cookie"},
		{"Vary", "*", "*"},
	} {
		t.Run(test.name+": "+test.set, func(t *testing.T) {
			w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				if test.set != "" {
					w.Header().Set(test.name, test.set)
				}
				visits.Get(session.From(r))
			})
			checkHeader(t, w.Result().Header, test.name, test.want)
		})
	}
}

// checkHeader checks the lines of a header, which are joined by commas.
func checkHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	if got := strings.Join(h.Values(name), ", "); got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}
