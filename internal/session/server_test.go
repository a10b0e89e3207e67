package session_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
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
	if err != nil {
		t.Fatalf("Inspect: %v, want nil", err)
	}
	payload := string(parts.Payload)
	if len(payload) < 26 {
		t.Errorf("payload %q, want at least 26 bytes", payload)
	}
	if strings.Contains(payload, "visits") {
		t.Errorf("payload %q, want no values", payload)
	}
	s := load(t, m, cookie)
	if got := visits.Get(s); got != 1 {
		t.Errorf("visits = %d, want 1", got)
	}
	if s.IsNew() {
		t.Error("the session is new")
	}
	records := sessionsOf(t, m, "ada")
	if got, want := idsOf(records), []string{s.ID()}; !slices.Equal(got, want) {
		t.Errorf("the store has %q, want %q", got, want)
	}
	if strings.Contains(fmt.Sprintf("%+v", records), payload) {
		t.Error("the store knows the session ID, want only its hash")
	}
}

func TestServerSideSessionCanBeLargerThanACookie(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := visit(t, m, "", func(s *session.Session) { name.Set(s, strings.Repeat("x", 200_000)) })
	if got := len(name.Get(load(t, m, cookie))); got != 200_000 {
		t.Errorf("%d bytes came back, want 200000", got)
	}
}

func TestClientSideAndServerSideCookiesDoNotMix(t *testing.T) {
	client := newManager(t, session.Options{})
	server, store := newStored(t, session.Options{})
	refused(t, server, signedIn(t, client), session.ErrSignature)
	refused(t, client, signedIn(t, server), session.ErrSignature)
	if store.Loads != 0 {
		t.Errorf("%d loads, want 0", store.Loads)
	}
}

func TestClientSideSessionHasNoID(t *testing.T) {
	m := newManager(t, session.Options{})
	if got := load(t, m, signedIn(t, m)).ID(); got != "" {
		t.Errorf("ID = %q, want none", got)
	}
}

// The store is not asked for a payload that is signed and is no session ID.
func TestOnlySessionIDsReachTheStore(t *testing.T) {
	m, store := newStored(t, session.Options{Salt: "cookie-session"})
	for _, id := range []string{
		"", "A", strings.Repeat("A", 25), strings.Repeat("A", 65), strings.Repeat("a", 26), "../../etc/passwd/../../etc/passwd",
		strings.Repeat("A", 25) + "\n", strings.Repeat("A", 25) + "1", strings.Repeat("A", 25) + "8",
		strings.Repeat("A", 25) + "@", strings.Repeat("A", 25) + "[", strings.Repeat("*", 30), `{"visits":1}` + strings.Repeat(" ", 20),
	} {
		refused(t, m, "session="+mint(id, time.Now()), session.ErrMalformed)
	}
	if store.Loads != 0 {
		t.Errorf("%d loads, want 0", store.Loads)
	}
	for _, id := range []string{strings.Repeat("A2", 13), strings.Repeat("Z7", 32)} {
		refused(t, m, "session="+mint(id, time.Now()), session.ErrNotFound)
	}
}

func TestUnknownIDsLeaveNothingInTheStore(t *testing.T) {
	m, store := newStored(t, session.Options{Salt: "cookie-session"})
	letters := strings.NewReplacer("0", "A", "1", "B", "8", "C", "9", "D")
	for i := range 1000 {
		id := letters.Replace(fmt.Sprintf("%026d", i))
		s := refused(t, m, "session="+mint(id, time.Now()), session.ErrNotFound)
		visits.Get(s)
		s.Clear()
		s.SetPermanent(true)
		s.SetOwner("ada")
		s.Renew()
		if got := sent(t, save(t, m, s)); got != "session=" {
			t.Fatalf("Set-Cookie: %s, want one that deletes, because of Clear", got)
		}
	}
	if store.Saves != 0 {
		t.Errorf("%d saves, want 0", store.Saves)
	}
	if got := sessionsOf(t, m, "ada"); len(got) != 0 {
		t.Errorf("Sessions = %v, want none", got)
	}
}

func TestStoreIsNotAskedWithoutAValidCookie(t *testing.T) {
	m, store := newStored(t, session.Options{})
	load(t, m)
	refused(t, m, signedIn(t, m)+"x", session.ErrSignature)
	if store.Loads != 0 {
		t.Errorf("%d loads, want 0", store.Loads)
	}
}

func TestOfSeveralIDsLoadFindsTheLiveSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	ended, live, other := owned(t, m, "ada"), signedIn(t, m), signedIn(t, m)
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Fatalf("Revoke: %v, want nil", err)
	}
	old := signedIn(t, m)
	visit(t, m, old, (*session.Session).Renew)
	for name, cookies := range map[string]string{
		"after one that ended":  ended + "; " + live,
		"before one that ended": live + "; " + ended,
		"after one that moved":  old + "; " + live,
		"before one that moved": live + "; " + old,
	} {
		t.Run(name, func(t *testing.T) {
			if got := visits.Get(load(t, m, cookies)); got != 1 {
				t.Errorf("visits = %d, want 1", got)
			}
		})
	}
	t.Run("of two that are live none", func(t *testing.T) {
		refused(t, m, live+"; "+other, session.ErrDuplicate)
	})
}

// The browser has the new cookie already, or will have it soon.
func TestOldIDBesideABadCookieSetsNoCookie(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	old := signedIn(t, m)
	visit(t, m, old, (*session.Session).Renew)
	for _, cookies := range []string{"session=x; " + old, old + "; session=x"} {
		late, err := m.Load(request(cookies))
		if err == nil {
			t.Error("Load: nil, want an error")
		}
		visits.Set(late, 1)
		if got := sent(t, save(t, m, late)); got != "" {
			t.Errorf("Set-Cookie: %s, want none", got)
		}
	}
}

// All cookies of a request share one StoreTimeout.
func TestOneDeadlineForAllCookiesOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{Salt: "cookie-session", StoreTimeout: time.Second})
		store.OnLoad = func(ctx context.Context) error {
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
		refused(t, m, strings.Join(cookies, "; "), session.ErrStore)
		if took := time.Since(began); took != time.Second {
			t.Errorf("Load took %v, want 1s", took)
		}
	})
}

// The browser's cookie is as good as a new one, unless its ID or its Max-Age must change.
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
		{"it gets another ID", browser, 0, false, (*session.Session).Renew, true},
		{"a login", browser, 0, false, logIn, true},
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
					t.Errorf("Set-Cookie: %s after saving again, want none", again)
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
		if store.Saves != 3 {
			t.Errorf("%d saves in 30 minutes of a timeout of 100, want 3: one that began it and two", store.Saves)
		}
	})
}

func TestLimitsOfServerSideSessionsAreExactToTheSecond(t *testing.T) {
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
				if got := time.Until(sessionsOf(t, m, "ada")[0].Expires); got != test.limit {
					t.Errorf("the record expires in %v, want %v", got, test.limit)
				}
				time.Sleep(test.limit - time.Second)
				load(t, m, cookie)
				time.Sleep(2 * time.Second)
				refused(t, m, cookie, session.ErrNotFound)
			})
		})
	}
}

// A limit that a new release makes shorter applies to sessions that were saved before.
func TestShorterLimitAppliesToOlderRecords(t *testing.T) {
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

// The record decides when the session expires. The cookie may be much older, because a
// save sets no new one.
func TestAgeOfAServerSideCookieIsNotChecked(t *testing.T) {
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
func TestSessionCanBeSavedSeveralTimes(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	for range 3 {
		visits.Update(s, func(n int) int { return n + 1 })
		save(t, m, s)
	}
	if store.Saves != 3 {
		t.Errorf("%d saves, want 3", store.Saves)
	}
	if store.Loads != 0 {
		t.Errorf("%d loads, want 0: no other request saved it", store.Loads)
	}
	before := s.ID()
	s.Clear()
	save(t, m, s)
	visits.Set(s, 7)
	s = load(t, m, sent(t, save(t, m, s)))
	if got := visits.Get(s); got != 7 {
		t.Errorf("visits = %d after Clear, want 7", got)
	}
	if got := s.ID(); got == before {
		t.Errorf("ID = %s as before Clear, want another", got)
	}
}

func TestClearEndsTheRecord(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	s.Clear()
	checkEnds(t, m, s, cookie)
}

func TestRemovingTheLastValueEndsTheSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	visits.Delete(s)
	checkEnds(t, m, s, cookie)
}

// A login that clears first is safe from session fixation.
func TestSetAfterClearIsASessionWithAnotherID(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	planted := owned(t, m, "mallory")
	s := load(t, m, planted)
	before := s.ID()
	s.Clear()
	name.Set(s, "ada")
	s = load(t, m, sent(t, save(t, m, s)))
	if got := s.ID(); got == before {
		t.Errorf("ID = %s as before Clear, want another", got)
	}
	if got := name.Get(s); got != "ada" {
		t.Errorf("name = %q, want ada", got)
	}
	if got := visits.Get(s); got != 0 {
		t.Errorf("visits = %d of the planted session, want 0", got)
	}
	if got := sessionsOf(t, m, "mallory"); len(got) != 0 {
		t.Errorf("mallory has %v, want nothing", got)
	}
}

// A request that was in flight with the old cookie must not replace the new one.
func TestLateRequestAfterALoginSetsNoCookie(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	old := owned(t, m, "mallory")
	login := visit(t, m, old, logIn)
	late := refused(t, m, old, session.ErrEnded)
	if !late.IsNew() {
		t.Error("the session of the old ID is not new")
	}
	visits.Set(late, 99)
	if got := sent(t, save(t, m, late)); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
	if got := visits.Get(load(t, m, login)); got != 1 {
		t.Errorf("visits = %d after the login, want 1", got)
	}
}

func TestClearRemovesTheOwnerOfANewSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	visit(t, m, "", func(s *session.Session) { s.SetOwner("ada"); s.Clear(); visits.Set(s, 1) })
	if got := sessionsOf(t, m, "ada"); len(got) != 0 {
		t.Errorf("ada has %v, want nothing", got)
	}
}

// A double click makes two logins at the same time. Both must succeed, because the
// browser shows the second response, and keeps the cookie that arrives last.
func TestTwoLoginsAtOnceAreBothSignedIn(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	for _, s := range []*session.Session{load(t, m, cookie), load(t, m, cookie)} {
		s.Clear()
		s.SetOwner("ada")
		visits.Set(s, 7)
		if got := visits.Get(load(t, m, sent(t, save(t, m, s)))); got != 7 {
			t.Errorf("visits = %d after the login, want 7", got)
		}
	}
	if got := len(sessionsOf(t, m, "ada")); got != 2 {
		t.Errorf("ada has %d sessions, want 2", got)
	}
	refused(t, m, cookie, session.ErrEnded)
}

func TestClearWinsOverAnotherRequest(t *testing.T) {
	for what, test := range map[string]struct {
		other func(*session.Session)
		want  string // the cookie of the clearing response
		live  int    // sessions afterwards
	}{
		"that saves":               {write, "session=", 0},
		"that renews":              {(*session.Session).Renew, "", 0},
		"that clears":              {(*session.Session).Clear, "", 0},
		"that logs in":             {logIn, "", 1},
		"that deletes every value": {func(s *session.Session) { visits.Delete(s) }, "", 0},
	} {
		t.Run(what, func(t *testing.T) {
			m, _ := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			s, other := load(t, m, cookie), load(t, m, cookie)
			test.other(other)
			save(t, m, other)
			s.Clear()
			if got := sent(t, save(t, m, s)); got != test.want {
				t.Errorf("Set-Cookie: %q, want %q", got, test.want)
			}
			if got := len(sessionsOf(t, m, "ada")); got != test.live {
				t.Errorf("ada has %d sessions, want %d", got, test.live)
			}
		})
	}
}

// A logout with the ID that the session had before a Renew must win, too.
func TestLogoutWithAnOldIDEndsTheSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	old := owned(t, m, "ada")
	renewed := visit(t, m, old, (*session.Session).Renew)
	s := refused(t, m, old, session.ErrEnded)
	s.Clear()
	if got := sent(t, save(t, m, s)); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
	refused(t, m, renewed, session.ErrNotFound)
}

// A late request of the session that was must leave alone the session that a login began.
func TestLateLogoutEndsNothingNewer(t *testing.T) {
	for what, use := range map[string]func(*session.Session){
		"a logout": (*session.Session).Clear,
		"a change": write,
	} {
		t.Run(what, func(t *testing.T) {
			m, _ := newStored(t, session.Options{})
			before := owned(t, m, "ada")
			login := visit(t, m, before, func(s *session.Session) { logIn(s); visits.Set(s, 7) })
			s := refused(t, m, before, session.ErrEnded)
			use(s)
			if got := sent(t, save(t, m, s)); got != "" {
				t.Errorf("Set-Cookie: %s, want none", got)
			}
			if got := visits.Get(load(t, m, login)); got != 7 {
				t.Errorf("visits = %d, want 7", got)
			}
		})
	}
}

func TestSessionThatEndsDuringARequestStaysEnded(t *testing.T) {
	opts, log := logged()
	m, _ := newStored(t, opts)
	cookie := owned(t, m, "ada")
	response := respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write(session.From(r))
		if err := m.Revoke(r.Context(), "ada"); err != nil {
			t.Errorf("Revoke: %v, want nil", err)
		}
		io.WriteString(w, "page")
	})), cookie)
	if response.StatusCode != 200 {
		t.Errorf("status %d, want 200", response.StatusCode)
	}
	if got := readAll(t, response); got != "page" {
		t.Errorf("body %q, want page", got)
	}
	if got := sent(t, response.Header); got != "" {
		t.Errorf("Set-Cookie: %s, want none: one that deletes could delete a newer cookie", got)
	}
	checkLog(t, log.String(), 1, "level=INFO")
	refused(t, m, cookie, session.ErrNotFound)
}

func TestRenewKeepsTheValuesUnderAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{AbsoluteTimeout: time.Hour})
		old := owned(t, m, "ada")
		time.Sleep(50 * time.Minute)
		s := load(t, m, old)
		before := s.ID()
		s.Renew()
		s = load(t, m, sent(t, save(t, m, s)))
		if got := s.ID(); got == before {
			t.Errorf("ID = %s as before Renew, want another", got)
		}
		if got := visits.Get(s); got != 1 {
			t.Errorf("visits = %d, want 1", got)
		}
		if got := time.Until(s.Expires()); got != 10*time.Minute {
			t.Errorf("expires in %v, want 10m", got)
		}
		if got, want := idsOf(sessionsOf(t, m, "ada")), []string{s.ID()}; !slices.Equal(got, want) {
			t.Errorf("ada has %q, want %q", got, want)
		}
	})
}

// One request is in flight during a Renew, and one comes later with the old cookie. Their
// changes are dropped, their responses set no cookie, and the visitor stays logged in.
func TestOldIDAfterRenewChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{})
		old := owned(t, m, "ada")
		inFlight := load(t, m, old)
		visits.Set(inFlight, 99)
		renewed := visit(t, m, old, (*session.Session).Renew)
		if got := sent(t, save(t, m, inFlight)); got != "" {
			t.Errorf("Set-Cookie: %s for the request in flight, want none", got)
		}
		late := refused(t, m, old, session.ErrEnded)
		if got := visits.Get(late); got != 0 {
			t.Errorf("visits = %d under the old ID, want 0", got)
		}
		if !late.IsNew() {
			t.Error("the session of the old ID is not new")
		}
		visits.Set(late, 99)
		if got := sent(t, save(t, m, late)); got != "" {
			t.Errorf("Set-Cookie: %s for the late request, want none", got)
		}
		time.Sleep(time.Minute + time.Second) // as long as the tombstone lives
		refused(t, m, old, session.ErrNotFound)
		if got := visits.Get(load(t, m, renewed)); got != 1 {
			t.Errorf("visits = %d, want 1", got)
		}
	})
}

func TestRenewKeepsWhatAnotherRequestSaved(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	s.Renew()
	name.Set(other, "ada")
	save(t, m, other)
	if got := name.Get(load(t, m, sent(t, save(t, m, s)))); got != "ada" {
		t.Errorf("name = %q, want ada from the other request", got)
	}
}

func TestRenewOfANewSessionIsOneSave(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.Renew()
	cookie := sent(t, save(t, m, s))
	if store.Saves != 1 {
		t.Errorf("%d saves, want 1", store.Saves)
	}
	before := load(t, m, cookie).ID()
	visits.Set(s, 2)
	save(t, m, s)
	if store.Saves != 2 {
		t.Errorf("%d saves after a change, want 2", store.Saves)
	}
	s = load(t, m, cookie)
	if got := s.ID(); got != before {
		t.Errorf("ID = %s after a change, want %s as before", got, before)
	}
	if got := visits.Get(s); got != 2 {
		t.Errorf("visits = %d, want 2", got)
	}
}

// checkEnds saves s, whose session must end with its cookie.
func checkEnds(t *testing.T, m *session.Manager, s *session.Session, cookie string) {
	t.Helper()
	if got := save(t, m, s).Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("Set-Cookie: %s, want one with Max-Age=0", got)
	}
	refused(t, m, cookie, session.ErrNotFound)
	if got := sessionsOf(t, m, "ada"); len(got) != 0 {
		t.Errorf("ada has %v, want nothing", got)
	}
}
