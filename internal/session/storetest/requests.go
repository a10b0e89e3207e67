package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
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

// visit serves one request that uses its session, and returns the response.
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
	response := visit(m, nil, func(s *session.Session) {
		visits.Set(s, 0)
		s.SetOwner(owner)
	})
	if response.StatusCode != 200 || len(response.Cookies()) != 1 {
		t.Fatalf("a session did not begin: status %d, cookies %v", response.StatusCode, response.Cookies())
	}
	return response.Cookies()[0]
}

func requestsLoseNothing(t *testing.T, s session.Store) {
	m := newManager(t, s)
	cookie := begin(t, m, "")
	results := together(32, func(int) error {
		for range 10 {
			response := visit(m, cookie, countVisit)
			if response.StatusCode != 200 {
				return http.ErrServerClosed
			}
		}
		return nil
	})
	if n := count(results, nil); n != 32 {
		t.Errorf("%d of 32 visitors got status 200 each time", n)
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
			t.Errorf("%s: the slow response has status %d and cookies %v, want 200 and none", what, slow.StatusCode, slow.Cookies())
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
		response := visit(m, cookie, func(s *session.Session) {
			countVisit(s)
			s.Renew()
		})
		if len(response.Cookies()) > 0 {
			cookies[i] = response.Cookies()[0]
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
			records, err := m.Sessions(t.Context(), owner)
			if err != nil || len(records) != 1 {
				t.Fatalf("the owner's sessions are %v, %v, want one", records, err)
			}
			if records[0].ID != s.ID() {
				t.Errorf("the owner's session is %s, want %s", records[0].ID, s.ID())
			}
		})
	}
	if winners != 1 {
		t.Errorf("%d of %d renewed one session", winners, len(cookies))
	}
}

// A store may read a record after it has looked up which records there are. Revoke must
// not overlook a session that moves to another ID in between.
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
				response := visit(m, cookie, func(s *session.Session) {
					if !s.IsNew() {
						s.Renew()
					}
				})
				if len(response.Cookies()) == 0 {
					break
				}
				cookie = response.Cookies()[0]
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

func renew(s *session.Session) {
	if !s.IsNew() {
		s.Renew()
	}
}

// opens reports whether a cookie opens a session.
func opens(m *session.Manager, cookie *http.Cookie) bool {
	open := false
	visit(m, cookie, func(s *session.Session) { open = !s.IsNew() })
	return open
}

// Each thief has a session of the owner, and renews it as fast as the store can.
// Revoke must return all the same, and no cookie ever sent may open anything then.
func thiefRace(t *testing.T, store session.Store) {
	m := newManager(t, store)
	owner := newID()
	var mu sync.Mutex
	var cookies []*http.Cookie
	var revoked atomic.Bool
	one := begin(t, m, owner)
	starts := []*http.Cookie{one, one, one, begin(t, m, owner)} // three share a session
	running := make(chan struct{}, len(starts))
	results := together(len(starts)+1, func(i int) error {
		if i == len(starts) {
			defer revoked.Store(true)
			for range starts {
				<-running // each thief has renewed once, or has lost its session
			}
			if _, err := m.Sessions(t.Context(), owner); err != nil {
				return err
			}
			return m.Revoke(t.Context(), owner)
		}
		cookie := starts[i]
		for n := 0; !revoked.Load() && n < 100_000; n++ {
			response := visit(m, cookie, renew)
			if set := response.Cookies(); len(set) > 0 {
				cookie = set[0]
				mu.Lock()
				cookies = append(cookies, cookie)
				mu.Unlock()
			}
			if n == 0 {
				running <- struct{}{}
			}
		}
		return nil
	})
	if err := results[len(starts)]; err != nil {
		t.Errorf("beside %d renewals: %v", len(cookies), err)
	}
	for i, cookie := range append(cookies, starts...) {
		if opens(m, cookie) {
			t.Errorf("cookie %d of %d opens a session after Revoke", i, len(cookies))
		}
	}
}

func logoutRace(t *testing.T, store session.Store) {
	m := newManager(t, store)
	for range 30 {
		cookie := begin(t, m, newID())
		cookies := []*http.Cookie{cookie, cookie}
		together(2, func(i int) error {
			use := renew
			if i == 0 {
				use = (*session.Session).Clear
			}
			for _, set := range visit(m, cookie, use).Cookies() {
				cookies[i] = set
			}
			return nil
		})
		for _, cookie := range cookies {
			if opens(m, cookie) {
				t.Error("the session lives on after the logout")
			}
		}
	}
}

func endAfterRenew(t *testing.T, store session.Store) {
	m := newManager(t, store)
	owner := newID()
	cookie, id := begin(t, m, owner), ""
	renewed := visit(m, cookie, func(s *session.Session) { id = s.ID(); s.Renew() }).Cookies()[0]
	mustBe(t, "End of someone else's", m.End(t.Context(), newID(), id), session.ErrNotFound)
	if !opens(m, renewed) {
		t.Error("the session is gone")
	}
	mustBe(t, "End", m.End(t.Context(), owner, id), nil)
	if opens(m, renewed) {
		t.Error("the session lives on after End")
	}
}

// As with a double click on a login button, or when the first response is lost.
func twoLogins(t *testing.T, store session.Store) {
	m := newManager(t, store)
	owner := newID()
	before := begin(t, m, "")
	var logins []*http.Cookie
	for i := range 2 {
		response := visit(m, before, func(s *session.Session) {
			s.Clear()
			s.SetOwner(owner)
			visits.Set(s, 7)
		})
		if len(response.Cookies()) != 1 {
			t.Fatalf("login %d has cookies %v, want one", i+1, response.Cookies())
		}
		logins = append(logins, response.Cookies()[0])
	}
	for what, use := range map[string]func(*session.Session){
		"a late change": countVisit, "a late logout": (*session.Session).Clear,
	} {
		if set := visit(m, before, use).Cookies(); len(set) != 0 {
			t.Errorf("%s sets %v, want nothing", what, set)
		}
		for i, login := range logins {
			if !opens(m, login) {
				t.Errorf("after %s, login %d is gone", what, i+1)
			}
		}
	}
}

// full is a store that has no room for anything new.
type full struct{ session.Store }

func (full) Save(context.Context, string, session.Record) error { return errors.New("no space left") }

func fullStore(t *testing.T, store session.Store) {
	secret := session.NewSecret()
	m, err := managerOf(store, secret)
	if err != nil {
		t.Fatal(err)
	}
	noRoom, err := managerOf(full{store}, secret)
	if err != nil {
		t.Fatal(err)
	}
	owner := newID()
	for what, end := range map[string]func(id string, cookie *http.Cookie) error{
		"Clear": func(_ string, cookie *http.Cookie) error {
			response := visit(noRoom, cookie, (*session.Session).Clear)
			if response.StatusCode != 200 {
				return fmt.Errorf("the logout has status %d", response.StatusCode)
			}
			return nil
		},
		"End":    func(id string, _ *http.Cookie) error { return noRoom.End(t.Context(), owner, id) },
		"Revoke": func(string, *http.Cookie) error { return noRoom.Revoke(t.Context(), owner) },
	} {
		cookie := begin(t, m, owner)
		late := visit(m, cookie, func(s *session.Session) { // in flight while the session ends
			visits.Set(s, 1)
			if err := end(s.ID(), cookie); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
		if set := late.Cookies(); len(set) != 0 {
			t.Errorf("%s: the late request sets %v", what, set)
		}
		if opens(m, cookie) {
			t.Errorf("%s: the session lives on", what)
		}
	}
}

func revokeOthers(t *testing.T, store session.Store) {
	m := newManager(t, store)
	owner := newID()
	kept := begin(t, m, owner)
	var others []*http.Cookie
	for range 100 {
		others = append(others, begin(t, m, owner))
	}
	visit(m, kept, func(s *session.Session) {
		if err := m.Revoke(t.Context(), owner, s.ID()); err != nil {
			t.Error(err)
		}
	})
	for i, other := range others {
		if opens(m, other) {
			t.Errorf("session %d lives on", i)
		}
	}
	if !opens(m, kept) {
		t.Error("the session that was to be kept is gone")
	}
}
