package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

func TestServerSideCookieCarriesAnIDOnly(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	parts, err := session.Inspect(strings.TrimPrefix(cookie, "session="))
	if err != nil || len(parts.Payload) < 26 || strings.Contains(string(parts.Payload), "visits") {
		t.Errorf("payload %s, %v", parts.Payload, err)
	}
	s := load(t, m, cookie)
	if visits.Get(s) != 1 || s.IsNew() {
		t.Error("the session did not come back")
	}
	records := sessionsOf(t, m, "ada")
	if len(records) != 1 || records[0].ID != s.ID() {
		t.Fatalf("records %+v, want one with ID %s", records, s.ID())
	}
	if strings.Contains(fmt.Sprintf("%+v", records), string(parts.Payload)) {
		t.Error("the store knows the session ID, not only its hash")
	}
}

func TestServerSideSessionHoldsMoreThanACookie(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m)
	name.Set(s, strings.Repeat("x", 200_000))
	if got := name.Get(load(t, m, sent(t, save(t, m, s)))); len(got) != 200_000 {
		t.Errorf("%d bytes came back", len(got))
	}
}

func TestClientSideAndServerSideCookiesDoNotMix(t *testing.T) {
	client := newManager(t, session.Options{})
	server, store := newStored(t, session.Options{})
	refused(t, server, signedIn(t, client), session.ErrSignature)
	refused(t, client, signedIn(t, server), session.ErrSignature)
	if got := load(t, client).ID(); got != "" || store.loads != 0 {
		t.Errorf("ID %q, %d loads", got, store.loads)
	}
}

// Signed, but no session ID: the store is not asked.
func TestOnlySessionIDsReachTheStore(t *testing.T) {
	m, store := newStored(t, session.Options{Salt: "cookie-session"})
	for _, id := range []string{
		"", "A", strings.Repeat("A", 25), strings.Repeat("A", 65), strings.Repeat("a", 26), "../../etc/passwd/../../etc/passwd",
		strings.Repeat("A", 25) + "\n", strings.Repeat("A", 25) + "1", strings.Repeat("A", 25) + "8",
		strings.Repeat("A", 25) + "@", strings.Repeat("A", 25) + "[", strings.Repeat("*", 30), `{"visits":1}` + strings.Repeat(" ", 20),
	} {
		refused(t, m, "session="+mint(id, time.Now()), session.ErrMalformed)
	}
	if store.loads != 0 {
		t.Errorf("the store was asked %d times", store.loads)
	}
	for _, id := range []string{strings.Repeat("A2", 13), strings.Repeat("Z7", 32)} {
		refused(t, m, "session="+mint(id, time.Now()), session.ErrNotFound)
	}
}

func TestStrangersLeaveNothingInTheStore(t *testing.T) {
	m, store := newStored(t, session.Options{Salt: "cookie-session"})
	for i := range 1000 {
		id := fmt.Sprintf("%026d", i)
		s := refused(t, m, "session="+mint(strings.NewReplacer("0", "A", "1", "B", "8", "C", "9", "D").Replace(id), time.Now()), session.ErrNotFound)
		visits.Get(s)
		s.Clear()
		s.SetPermanent(true)
		s.SetOwner("ada")
		s.Renew()
		if got := sent(t, save(t, m, s)); got != "session=" { // Clear deletes the cookie
			t.Fatalf("Set-Cookie: %s, want one that deletes", got)
		}
	}
	if store.saves != 0 || len(sessionsOf(t, m, "ada")) != 0 {
		t.Errorf("%d saves", store.saves)
	}
}

func TestStoreIsNotAskedWithoutACookieThatHolds(t *testing.T) {
	m, store := newStored(t, session.Options{})
	load(t, m)
	refused(t, m, signedIn(t, m)+"x", session.ErrSignature)
	if store.loads != 0 {
		t.Errorf("%d loads", store.loads)
	}
}

func TestOfSeveralIDsTheOneThatLivesCounts(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	dead, live, other := owned(t, m, "ada"), signedIn(t, m), signedIn(t, m)
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	old := signedIn(t, m)
	s := load(t, m, old)
	s.Renew()
	save(t, m, s)
	for _, cookies := range []string{"session=x; " + old, old + "; session=x"} {
		late, _ := m.Load(request(cookies))
		visits.Set(late, 1)
		if h := save(t, m, late); h.Get("Set-Cookie") != "" {
			t.Errorf("a renewed ID beside a bad cookie sets %s", h.Get("Set-Cookie"))
		}
	}
	for _, cookies := range []string{dead + "; " + live, live + "; " + dead, old + "; " + live, live + "; " + old} {
		if s := load(t, m, cookies); visits.Get(s) != 1 {
			t.Error("the session that lives was not found")
		}
	}
	refused(t, m, live+"; "+other, session.ErrDuplicate)
}

// All cookies of a request share one StoreTimeout.
func TestOneDeadlineForAllCookiesOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{Salt: "cookie-session", StoreTimeout: time.Second})
		store.onLoad = func(ctx context.Context) error {
			select {
			case <-time.After(900 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var cookies []string
		for _, letter := range []string{"A", "B", "C", "D"} {
			cookies = append(cookies, "session="+mint(strings.Repeat(letter, 26), time.Now()))
		}
		began := time.Now()
		_, err := m.Load(request(strings.Join(cookies, "; ")))
		if !errors.Is(err, session.ErrStore) {
			t.Errorf("Load: %v, want ErrStore", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Load took %v, want 1s", took)
		}
	})
}

// The browser's cookie is as good as a new one, unless what it says has changed.
func TestStoreSetsNoNeedlessCookie(t *testing.T) {
	const permanent, browser = true, false
	for _, test := range []struct {
		name      string
		permanent bool
		after     time.Duration
		rotated   bool // the secret has changed since
		use       func(*session.Session)
		want      bool
	}{
		{"a change", browser, 0, false, write, false},
		{"a change after days", browser, 4 * 24 * time.Hour, false, write, false},
		{"a change of a permanent session", permanent, 3 * 24 * time.Hour, false, write, false},
		{"a change when a tenth of its Lifetime has passed", permanent, 75 * time.Hour, false, write, true},
		{"a read when a tenth of its Lifetime has passed", permanent, 75 * time.Hour, false, read, true},
		{"it becomes permanent", browser, 0, false, func(s *session.Session) { s.SetPermanent(true) }, true},
		{"it is permanent no more", permanent, 0, false, func(s *session.Session) { s.SetPermanent(false) }, true},
		{"it is permanent as before", permanent, 0, false, func(s *session.Session) { s.SetPermanent(true) }, false},
		{"it moves", browser, 0, false, (*session.Session).Renew, true},
		{"a login", browser, 0, false, func(s *session.Session) { s.Clear(); write(s) }, true},
		{"an old secret", browser, 0, true, read, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := session.Options{Store: memstore.New(), IdleTimeout: 20 * 24 * time.Hour, Logger: quiet}
				m := newManager(t, opts)
				cookie := visit(t, m, "", func(s *session.Session) { write(s); s.SetPermanent(test.permanent) })
				if test.rotated {
					opts.OldSecrets = [][]byte{secret}
					var err error
					if m, err = session.New(session.NewSecret(), &opts); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(test.after)
				s := load(t, m, cookie)
				test.use(s)
				first := sent(t, save(t, m, s))
				if got := first != ""; got != test.want {
					t.Errorf("Set-Cookie: %q, want one: %t", first, test.want)
				}
				write(s)
				if again := sent(t, save(t, m, s)); again != "" {
					t.Errorf("saving again sets %q", again)
				}
			})
		})
	}
}

func TestReadingSavesOnceATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{IdleTimeout: 100 * time.Minute})
		cookie := signedIn(t, m)
		for range 30 {
			visit(t, m, cookie, read)
			time.Sleep(time.Minute)
		}
		if store.saves != 3 {
			t.Errorf("%d saves in 30 minutes of a timeout of 100, want 1 and 2", store.saves)
		}
	})
}

func TestServerSideLimits(t *testing.T) {
	for _, test := range []struct {
		name  string
		opts  session.Options
		limit time.Duration
	}{
		{"lifetime", session.Options{Lifetime: time.Hour}, time.Hour},
		{"idle timeout", session.Options{IdleTimeout: 10 * time.Minute}, 10 * time.Minute},
		{"absolute timeout", session.Options{AbsoluteTimeout: 2 * time.Hour}, 2 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newStored(t, test.opts)
				cookie := owned(t, m, "ada")
				if end := sessionsOf(t, m, "ada")[0].Expires; time.Until(end) != test.limit {
					t.Errorf("expires in %v, want %v", time.Until(end), test.limit)
				}
				time.Sleep(test.limit - time.Second)
				load(t, m, cookie)
				time.Sleep(2 * time.Second)
				refused(t, m, cookie, session.ErrNotFound)
			})
		})
	}
}

// A limit that was made shorter holds for sessions that were saved before.
func TestShorterLimitHoldsForOlderRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{})
		cookie := signedIn(t, m)
		time.Sleep(2 * time.Hour)
		strict := newManager(t, session.Options{Store: store, IdleTimeout: time.Hour})
		refused(t, strict, cookie, session.ErrExpired)
		strict = newManager(t, session.Options{Store: store, AbsoluteTimeout: time.Hour})
		refused(t, strict, cookie, session.ErrExpired)
	})
}

// The record's time counts, not that of the cookie, which a busy session of the
// browser may not have been sent anew for long.
func TestAgeOfTheCookieItselfIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{IdleTimeout: 10 * time.Minute})
		cookie := signedIn(t, m)
		for range 20 {
			time.Sleep(5 * time.Minute)
			visit(t, m, cookie, read)
		}
	})
}

// A program that has no Handler may save a session more than once.
func TestSessionIsSavedAgainAndAgain(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	for range 3 {
		visits.Update(s, func(n int) int { return n + 1 })
		save(t, m, s)
	}
	if store.saves != 3 || store.loads != 0 {
		t.Errorf("%d saves and %d loads, want 3 and none: nobody else was there", store.saves, store.loads)
	}
	id := s.ID()
	s.Clear()
	save(t, m, s)
	visits.Set(s, 7)
	cookie := sent(t, save(t, m, s))
	if got := load(t, m, cookie); visits.Get(got) != 7 || got.ID() == id {
		t.Errorf("after Clear: visits %d, the ID of before: %t", visits.Get(got), got.ID() == id)
	}
}

func TestClearEndsTheRecord(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	s.Clear()
	if got := save(t, m, s).Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", got)
	}
	refused(t, m, cookie, session.ErrNotFound)
	if records := sessionsOf(t, m, "ada"); len(records) != 0 {
		t.Errorf("records %v", records)
	}
}

func TestRemovingTheLastValueEndsTheSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	visits.Delete(s)
	if got := save(t, m, s).Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", got)
	}
	refused(t, m, cookie, session.ErrNotFound)
	if records := sessionsOf(t, m, "ada"); len(records) != 0 {
		t.Errorf("records %v", records)
	}
}

// A login that clears first is safe from fixation.
func TestSetAfterClearIsASessionWithAnotherID(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	planted := owned(t, m, "mallory")
	s := load(t, m, planted)
	before := s.ID()
	s.Clear()
	name.Set(s, "ada")
	cookie := sent(t, save(t, m, s))

	// A request that was on its way with the old cookie must not replace the new.
	late := refused(t, m, planted, session.ErrEnded)
	visits.Set(late, 1)
	if h := save(t, m, late); !late.IsNew() || h.Get("Set-Cookie") != "" {
		t.Errorf("a late request sets %s", h.Get("Set-Cookie"))
	}
	s = load(t, m, cookie)
	if s.ID() == before || name.Get(s) != "ada" || visits.Get(s) != 0 {
		t.Error("something of the planted session is left")
	}
	if records := sessionsOf(t, m, "mallory"); len(records) != 0 {
		t.Errorf("the session after Clear has the owner of the one before: %v", records)
	}
}

func TestClearForgetsTheOwnerOfANewSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m)
	s.SetOwner("ada")
	s.Clear()
	visits.Set(s, 1)
	save(t, m, s)
	if records := sessionsOf(t, m, "ada"); len(records) != 0 {
		t.Errorf("records %v", records)
	}
}

// Two logins at once, as of a double click, must both succeed: the browser shows the
// second response, and keeps the cookie that arrives last.
func TestTwoLoginsAtOnceAreBothSignedIn(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	for _, s := range []*session.Session{load(t, m, cookie), load(t, m, cookie)} {
		s.Clear()
		s.SetOwner("ada")
		visits.Set(s, 7)
		if got := visits.Get(load(t, m, sent(t, save(t, m, s)))); got != 7 {
			t.Errorf("visits = %d after a login, want 7", got)
		}
	}
	if got := len(sessionsOf(t, m, "ada")); got != 2 {
		t.Errorf("%d sessions, want 2", got)
	}
	refused(t, m, cookie, session.ErrEnded)
}

func TestClearBesideAnotherRequest(t *testing.T) {
	for what, test := range map[string]struct {
		other  func(*session.Session)
		cookie bool // that the clearing response deletes
		owned  int  // sessions that live afterwards
	}{
		"that saves":      {write, true, 0},
		"that renews":     {(*session.Session).Renew, false, 0},
		"that clears":     {(*session.Session).Clear, false, 0},
		"that logs in":    {func(s *session.Session) { s.Clear(); s.SetOwner("ada"); visits.Set(s, 1) }, false, 1},
		"that takes away": {func(s *session.Session) { visits.Delete(s) }, false, 0},
	} {
		m, _ := newStored(t, session.Options{})
		cookie := owned(t, m, "ada")
		s, other := load(t, m, cookie), load(t, m, cookie)
		test.other(other)
		save(t, m, other)
		s.Clear()
		if got := save(t, m, s).Get("Set-Cookie"); (got != "") != test.cookie {
			t.Errorf("%s: Set-Cookie %q", what, got)
		}
		if got := len(sessionsOf(t, m, "ada")); got != test.owned {
			t.Errorf("%s: %d sessions live, want %d", what, got, test.owned)
		}
	}
}

// A logout that comes with the ID of before a Renew must win, too.
func TestLogoutWithTheIDOfBefore(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	before := owned(t, m, "ada")
	s := load(t, m, before)
	s.Renew()
	renewed := sent(t, save(t, m, s))

	s = refused(t, m, before, session.ErrEnded)
	s.Clear()
	if got := sent(t, save(t, m, s)); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
	refused(t, m, renewed, session.ErrNotFound)
}

// A late logout must leave alone the session that a login began.
func TestLateLogoutEndsNothingNewer(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	before := owned(t, m, "ada")
	s := load(t, m, before)
	s.Clear()
	s.SetOwner("ada")
	visits.Set(s, 7)
	login := sent(t, save(t, m, s))
	for what, use := range map[string]func(*session.Session){
		"a logout": (*session.Session).Clear,
		"a change": write,
	} {
		s := refused(t, m, before, session.ErrEnded)
		use(s)
		if got := sent(t, save(t, m, s)); got != "" {
			t.Errorf("%s: Set-Cookie: %s, want none", what, got)
		}
		if got := visits.Get(load(t, m, login)); got != 7 {
			t.Errorf("after %s: visits = %d, want 7", what, got)
		}
	}
}

func TestSessionThatEndedWhileTheRequestRan(t *testing.T) {
	opts, log := logged()
	m, _ := newStored(t, opts)
	cookie := owned(t, m, "ada")
	w := httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write(session.From(r))
		if err := m.Revoke(r.Context(), "ada"); err != nil {
			t.Error(err)
		}
		io.WriteString(w, "answer")
	})).ServeHTTP(w, request(cookie))
	if w.Code != 200 || w.Body.String() != "answer" || w.Header()["Set-Cookie"] != nil {
		t.Errorf("%d %q %v, want the answer and no cookie of any kind", w.Code, w.Body, w.Header())
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=INFO") {
		t.Errorf("log %s, want one Info line", log)
	}
	refused(t, m, cookie, session.ErrNotFound)
}

func TestRenewKeepsTheValuesUnderAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{AbsoluteTimeout: time.Hour})
		old := owned(t, m, "ada")
		late := load(t, m, old)
		visits.Set(late, 99)
		time.Sleep(50 * time.Minute)

		s := load(t, m, old)
		before := s.ID()
		s.Renew()
		renewed := sent(t, save(t, m, s))
		s = load(t, m, renewed)
		if s.ID() == before || visits.Get(s) != 1 || time.Until(s.Expires()) != 10*time.Minute {
			t.Errorf("ID %s, %d visits, expires in %v", s.ID(), visits.Get(s), time.Until(s.Expires()))
		}
		if records := sessionsOf(t, m, "ada"); len(records) != 1 || records[0].ID != s.ID() {
			t.Errorf("records %v", records)
		}

		// A request that was on its way, and one that arrives late: their changes
		// and cookies are dropped, and nobody is logged out.
		if h := save(t, m, late); h.Get("Set-Cookie") != "" {
			t.Errorf("the slow answer sets %s", h)
		}
		late = refused(t, m, old, session.ErrEnded)
		if visits.Get(late) != 0 || !late.IsNew() {
			t.Error("the old ID opens something")
		}
		visits.Set(late, 99)
		if h := save(t, m, late); h.Get("Set-Cookie") != "" {
			t.Errorf("the late answer sets %s", h)
		}
		time.Sleep(time.Minute + time.Second)
		refused(t, m, old, session.ErrNotFound)
		if got := visits.Get(load(t, m, renewed)); got != 1 {
			t.Errorf("visits = %d, want 1", got)
		}
	})
}

func TestRenewTakesOverWhatAnotherRequestSaved(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	s.Renew()
	name.Set(other, "ada")
	save(t, m, other)
	if got := name.Get(load(t, m, sent(t, save(t, m, s)))); got != "ada" {
		t.Errorf("name %q, want what the other request saved", got)
	}
}

func TestRenewOfANewSessionIsOneSave(t *testing.T) {
	m, store := newStored(t, session.Options{})
	for range 2 {
		store.saves = 0
		s := load(t, m)
		visits.Set(s, 1)
		s.Renew()
		cookie := sent(t, save(t, m, s))
		id := load(t, m, cookie).ID()
		visits.Set(s, 2)
		save(t, m, s)
		if got := load(t, m, cookie); store.saves != 2 || got.ID() != id || visits.Get(got) != 2 {
			t.Errorf("%d saves, visits %d, ID kept: %t; want 2, 2 and true", store.saves, visits.Get(got), got.ID() == id)
		}
	}
}
