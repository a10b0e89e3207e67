package storetest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

const visits = session.Key[int]("visits")

// managerOf returns a manager on the store, with time enough for a slow machine
// under the race detector.
func managerOf(s session.Store, secret []byte) (*session.Manager, error) {
	return session.New(secret, &session.Options{Store: s, StoreTimeout: 30 * time.Second})
}

func newManager(t *testing.T, s session.Store) *session.Manager {
	t.Helper()
	m, err := managerOf(s, session.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// countVisit adds one, and is replayed where another request was faster.
func countVisit(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }

// visit serves one request that uses its session, and returns the answer.
func visit(m *session.Manager, cookie *http.Cookie, use func(*session.Session)) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { use(session.From(r)) })).ServeHTTP(w, r)
	return w.Result()
}

// begin begins a session of the owner, and returns its cookie.
func begin(t *testing.T, m *session.Manager, owner string) *http.Cookie {
	t.Helper()
	answer := visit(m, nil, func(s *session.Session) {
		visits.Set(s, 0)
		s.SetOwner(owner)
	})
	if answer.StatusCode != 200 || len(answer.Cookies()) != 1 {
		t.Fatalf("a session did not begin: %d, cookies %v", answer.StatusCode, answer.Cookies())
	}
	return answer.Cookies()[0]
}

func requestsLoseNothing(t *testing.T, s session.Store) {
	m := newManager(t, s)
	cookie := begin(t, m, "")
	results := together(32, func(int) error {
		for range 10 {
			answer := visit(m, cookie, countVisit)
			if answer.StatusCode != 200 {
				return http.ErrServerClosed
			}
		}
		return nil
	})
	if n := count(results, nil); n != 32 {
		t.Errorf("%d of 32 visitors were answered 200 each time", n)
	}
	visit(m, cookie, func(s *session.Session) {
		if got := visits.Get(s); got != 320 {
			t.Errorf("320 increments made %d", got)
		}
	})
}

func endedStaysEnded(t *testing.T, s session.Store) {
	m := newManager(t, s)
	owner := newID()
	for what, end := range map[string]func(id string, cookie *http.Cookie) error{
		"Clear": func(_ string, cookie *http.Cookie) error {
			visit(m, cookie, (*session.Session).Clear)
			return nil
		},
		"End":    func(id string, _ *http.Cookie) error { return m.End(t.Context(), owner, id) },
		"Revoke": func(string, *http.Cookie) error { return m.Revoke(t.Context(), owner) },
	} {
		cookie := begin(t, m, owner)
		slow := visit(m, cookie, func(s *session.Session) { // ended while it runs
			visits.Set(s, 1)
			if err := end(s.ID(), cookie); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
		if slow.StatusCode != 200 || len(slow.Cookies()) != 0 {
			t.Errorf("%s: the slow answer is %d with cookies %v, want 200 and none", what, slow.StatusCode, slow.Cookies())
		}
		visit(m, cookie, func(s *session.Session) {
			if _, ok := visits.Lookup(s); ok || !s.IsNew() {
				t.Errorf("%s: a copied cookie opens the session", what)
			}
		})
		mustList(t, s, owner)
	}
}

func renewRace(t *testing.T, store session.Store) {
	m := newManager(t, store)
	owner := newID()
	cookie := begin(t, m, owner)
	cookies := make([]*http.Cookie, 8)
	together(len(cookies), func(i int) error {
		answer := visit(m, cookie, func(s *session.Session) {
			countVisit(s)
			s.Renew()
		})
		if len(answer.Cookies()) > 0 {
			cookies[i] = answer.Cookies()[0]
		}
		return nil
	})
	winners := 0
	for _, renewed := range cookies {
		if renewed == nil {
			continue
		}
		winners++
		visit(m, renewed, func(s *session.Session) {
			if s.IsNew() {
				t.Error("the winner's cookie opens nothing")
			}
			if records, err := m.Sessions(t.Context(), owner); err != nil || len(records) != 1 || records[0].ID != s.ID() {
				t.Errorf("the owner's sessions are %v, %v", records, err)
			}
		})
	}
	if winners != 1 {
		t.Errorf("%d of %d renewed one session", winners, len(cookies))
	}
}

// A store may look at a record after it has looked up which there are, so a session
// that moves in between must not be overlooked.
func revokeRace(t *testing.T, store session.Store) {
	m := newManager(t, store)
	for range 30 {
		owner := newID()
		cookie := begin(t, m, owner)
		results := together(2, func(i int) error {
			if i == 0 {
				return m.Revoke(t.Context(), owner)
			}
			for range 100 {
				answer := visit(m, cookie, func(s *session.Session) {
					if !s.IsNew() {
						s.Renew()
					}
				})
				if len(answer.Cookies()) == 0 {
					break
				}
				cookie = answer.Cookies()[0]
			}
			return nil
		})
		visit(m, cookie, func(s *session.Session) {
			if results[0] != nil || !s.IsNew() {
				t.Errorf("Revoke: %v, and the session lives on: %v", results[0], !s.IsNew())
			}
		})
	}
}
