package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// faulty is a store that can be told to misbehave, and that counts its calls.
type faulty struct {
	session.Store
	mu             sync.Mutex
	loads, saves   int
	onLoad, onSave func(ctx context.Context) error // instead of the call, unless nil is returned
	onDelete       func() error
	onList         func() ([]session.Record, error) // instead of the call
}

func (f *faulty) Delete(ctx context.Context, id string) error {
	if f.onDelete != nil {
		return f.onDelete()
	}
	return f.Store.Delete(ctx, id)
}

func (f *faulty) List(ctx context.Context, owner string) ([]session.Record, error) {
	if f.onList != nil {
		return f.onList()
	}
	return f.Store.List(ctx, owner)
}

func (f *faulty) Load(ctx context.Context, id string) (session.Record, error) {
	f.mu.Lock()
	f.loads++
	hook := f.onLoad
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return session.Record{}, err
		}
	}
	return f.Store.Load(ctx, id)
}

func (f *faulty) Save(ctx context.Context, id string, rec session.Record) error {
	f.mu.Lock()
	f.saves++
	hook := f.onSave
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	return f.Store.Save(ctx, id, rec)
}

// newStored returns a manager whose sessions are in the store.
func newStored(t testing.TB, opts session.Options) (*session.Manager, *faulty) {
	t.Helper()
	store := &faulty{Store: memstore.New()}
	opts.Store = store
	return newManager(t, opts), store
}

// owned returns the cookie of a session that holds one visit and has an owner.
func owned(t testing.TB, m *session.Manager, owner string) string {
	t.Helper()
	s := load(t, m)
	visits.Set(s, 1)
	s.SetOwner(owner)
	return sent(t, save(t, m, s))
}

// refused returns the session of a cookie that is refused for this reason.
func refused(t testing.TB, m *session.Manager, cookie string, want error) *session.Session {
	t.Helper()
	s, err := m.Load(request(cookie))
	if !errors.Is(err, want) {
		t.Fatalf("Load: %v, want %v", err, want)
	}
	return s
}

func sessionsOf(t testing.TB, m *session.Manager, owner string) []session.Record {
	t.Helper()
	records, err := m.Sessions(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

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

func TestStoreThatFails(t *testing.T) {
	broken := errors.New("disk on fire")
	fails := func(context.Context) error { return broken }
	blocks := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name           string
		onLoad, onSave func(context.Context) error
		want           string
	}{
		{"at load", fails, nil, "not loaded"}, {"at save", nil, fails, "not saved"},
		{"blocked at load", blocks, nil, "not loaded"}, {"blocked at save", nil, blocks, "not saved"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts, log := logged()
				m, store := newStored(t, opts)
				cookie := signedIn(t, m)
				store.onLoad, store.onSave = test.onLoad, test.onSave
				handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					write(session.From(r))
					w.Header().Set("X-Success", "yes")
					io.WriteString(w, "success")
				}))
				begun := time.Now()
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, request(cookie))
				h := w.Result().Header
				if w.Code != 503 || strings.Contains(w.Body.String(), "success") || h.Get("X-Success") != "" || h["Set-Cookie"] != nil || h.Get("Cache-Control") != "no-store" {
					t.Errorf("%d %v %q", w.Code, h, w.Body)
				}
				if took := time.Since(begun); took > time.Second {
					t.Errorf("it took %v, StoreTimeout is a second", took)
				}
				if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), test.want) {
					t.Errorf("log %s, want one Error line with %q", log, test.want)
				}

				store.onLoad, store.onSave = nil, nil
				w = httptest.NewRecorder()
				handler.ServeHTTP(w, request(cookie))
				if w.Code != 200 || visits.Get(load(t, m, cookie)) != 2 {
					t.Errorf("after the store recovered: %d", w.Code)
				}
			})
		})
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

func TestCorruptRecordIsANewSessionAndAnErrorLine(t *testing.T) {
	for what, corrupt := range map[string]func(*faulty, string){
		"says the store": func(f *faulty, _ string) {
			f.onLoad = func(context.Context) error { return fmt.Errorf("bad checksum: %w", session.ErrCorrupt) }
		},
		"no JSON": func(f *faulty, id string) {
			rec, _ := f.Store.Load(context.Background(), id)
			rec.Data = []byte("{oops")
			f.Store.Save(context.Background(), id, rec)
		},
	} {
		opts, log := logged()
		m, store := newStored(t, opts)
		cookie := owned(t, m, "ada")
		corrupt(store, load(t, m, cookie).ID())
		w := httptest.NewRecorder()
		m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, visits.Get(session.From(r)))
			store.onLoad = nil
		})).ServeHTTP(w, request(cookie))
		if w.Code != 200 || w.Body.String() != "0" || strings.Count(log.String(), "level=ERROR") != 1 {
			t.Errorf("%s: %d %q, log %s", what, w.Code, w.Body, log)
		}
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

// A save in two steps whose second fails leaves no session that nobody opens.
func TestRenewThatFailsHalfWayLeavesNothing(t *testing.T) {
	for what, change := range map[string]func(*session.Session){
		"Renew": (*session.Session).Renew, "login": func(s *session.Session) { s.Clear(); s.SetOwner("ada"); visits.Set(s, 1) },
	} {
		m, store := newStored(t, session.Options{})
		cookie := owned(t, m, "ada")
		s := load(t, m, cookie)
		change(s)
		calls := 0
		store.onSave = func(context.Context) error {
			if calls++; calls == 2 {
				return errors.New("down")
			}
			return nil
		}
		store.onDelete = func() error { // of the old record; the new one can be deleted
			store.onDelete = nil
			return errors.New("down")
		}
		w := httptest.NewRecorder()
		if err := m.Save(w, request(), s); !errors.Is(err, session.ErrStore) || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v, %v, want ErrStore and no cookie", what, err, w.Header())
		}
		if records := sessionsOf(t, m, "ada"); len(records) != 1 || records[0].ID != load(t, m, cookie).ID() {
			t.Errorf("%s: records %v, want the one that was", what, records)
		}
	}
}

// The new record comes first. When it cannot be saved, the old one is not buried.
func TestRenewThatFailsAtOnceKeepsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	s.Renew()
	store.onSave = func(context.Context) error {
		store.onSave = nil
		return errors.New("full")
	}
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrStore) {
		t.Errorf("%v, want ErrStore", err)
	}
	if got := visits.Get(load(t, m, cookie)); got != 1 {
		t.Errorf("visits = %d, want what was there", got)
	}
}

// What Renew made and cannot take back is not passed over.
func TestRenewThatCannotCleanUpIsAnError(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m, signedIn(t, m))
	s.Renew()
	calls := 0
	store.onSave = func(context.Context) error {
		if calls++; calls == 2 { // the old record, which another request has just saved
			return session.ErrConflict
		}
		return nil
	}
	store.onDelete = func() error { return errors.New("down") }
	w := httptest.NewRecorder()
	if err := m.Save(w, request(), s); !errors.Is(err, session.ErrStore) || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%v, %v, want ErrStore and no cookie", err, w.Header())
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

func TestValueThatCannotBeSavedReachesNoStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	session.Key[float64]("ratio").Set(s, math.NaN())
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrValue) || store.saves != 0 {
		t.Errorf("%v after %d saves, want ErrValue and none", err, store.saves)
	}
}

// The store goes down between the conflict and the second look.
func TestStoreThatFailsAfterAConflict(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	write(s)
	other := load(t, m, cookie)
	write(other)
	save(t, m, other)
	store.onLoad = func(context.Context) error { return errors.New("down") }
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrStore) || errors.Is(err, session.ErrEnded) {
		t.Errorf("%v, want ErrStore", err)
	}
}

// deaf is a store that does not look at its context.
type deaf struct{ session.Store }

func (d deaf) Load(ctx context.Context, id string) (session.Record, error) {
	return d.Store.Load(context.WithoutCancel(ctx), id)
}

func (d deaf) Save(ctx context.Context, id string, rec session.Record) error {
	return d.Store.Save(context.WithoutCancel(ctx), id, rec)
}

func TestStoreThatConflictsAndIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memstore.New()}
		m := newManager(t, session.Options{Store: deaf{store}, StoreTimeout: time.Second})
		s := load(t, m, signedIn(t, m))
		write(s)
		store.onSave = func(context.Context) error {
			time.Sleep(300 * time.Millisecond)
			return session.ErrConflict
		}
		began := time.Now()
		err := m.Save(httptest.NewRecorder(), request(), s)
		if d := time.Since(began); !errors.Is(err, session.ErrStore) || d != 1200*time.Millisecond {
			t.Errorf("%v after %v, want ErrStore with the first save that ends after a second", err, d)
		}
	})
}

func TestNewSessionsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{})
		store.onSave = func(context.Context) error {
			store.onSave = nil
			time.Sleep(500 * time.Millisecond)
			return nil
		}
		go signedIn(t, m)
		synctest.Wait()
		began := time.Now()
		signedIn(t, m)
		if d := time.Since(began); d != 0 {
			t.Errorf("a new session waited %v for another", d)
		}
		time.Sleep(time.Second)
	})
}

func TestStoreThatAlwaysConflicts(t *testing.T) {
	m, store := newStored(t, session.Options{StoreTimeout: time.Second})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	write(s)
	deadline := time.Now().Add(time.Second)
	store.onSave = func(context.Context) error { return session.ErrConflict }
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrStore) || time.Since(deadline) > 5*time.Second {
		t.Errorf("%v after %v, want ErrStore", err, time.Since(deadline))
	}
}

func TestOwnerThatIsNotUTF8(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.SetOwner("a\xff")
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrValue) {
		t.Errorf("%v, want ErrValue", err)
	}
}

// A record that the store has no room for is the program's fault, and not the
// store's: 500, and not 503.
func TestRecordThatTheStoreHasNoRoomForIsA500(t *testing.T) {
	m, store := newStored(t, session.Options{Logger: slog.New(slog.DiscardHandler)})
	store.onSave = func(context.Context) error { return fmt.Errorf("%w: too long", session.ErrValue) }
	w := httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Set(session.From(r), 1)
	})).ServeHTTP(w, request())
	if w.Code != 500 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("answered %d, Set-Cookie %q, want 500 and none", w.Code, w.Header().Get("Set-Cookie"))
	}
}

func TestClearThatFailsHalfWayKeepsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	s.Clear()
	name.Set(s, "ada")
	store.onSave = func(context.Context) error { return errors.New("full") }
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrStore) {
		t.Errorf("%v, want ErrStore", err)
	}
	if got := visits.Get(load(t, m, cookie)); got != 1 {
		t.Errorf("visits = %d, want the session that was", got)
	}
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

// Each kind of change, made beside a request that changes everything else.
func TestChangesAreMadeAgainOnWhatAnotherRequestSaved(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	for what, test := range map[string]struct {
		change func(*session.Session)
		want   string
	}{
		"Set":          {func(s *session.Session) { visits.Set(s, 7) }, "visits 7 name other tags [t] permanent true owner bob"},
		"Update":       {func(s *session.Session) { visits.Update(s, func(n int) int { return n + 5 }) }, "visits 105 name other tags [t] permanent true owner bob"},
		"Delete":       {func(s *session.Session) { visits.Delete(s) }, "visits 0 name other tags [t] permanent true owner bob"},
		"Pop":          {func(s *session.Session) { visits.Pop(s) }, "visits 0 name other tags [t] permanent true owner bob"},
		"SetPermanent": {func(s *session.Session) { s.SetPermanent(true); s.SetPermanent(false) }, "visits 100 name other tags [t] permanent false owner bob"},
		"SetOwner":     {func(s *session.Session) { s.SetOwner("eve") }, "visits 100 name other tags [t] permanent true owner eve"},
		"all of them": {func(s *session.Session) {
			visits.Set(s, 1)
			visits.Update(s, func(n int) int { return n * 2 })
			visits.Update(s, func(n int) int { return n + 1 })
			tags.Delete(s)
		}, "visits 3 name other tags [] permanent true owner bob"},
	} {
		s := load(t, m)
		visits.Set(s, 1)
		tags.Set(s, []string{"t"})
		s.SetOwner("ada")
		cookie := sent(t, save(t, m, s))

		s, other := load(t, m, cookie), load(t, m, cookie)
		test.change(s)
		visits.Set(other, 100)
		name.Set(other, "other")
		other.SetPermanent(true)
		other.SetOwner("bob")
		save(t, m, other)
		save(t, m, s)

		s = load(t, m, cookie)
		owner := ""
		for _, o := range []string{"ada", "bob", "eve"} {
			for _, rec := range sessionsOf(t, m, o) {
				if rec.ID == s.ID() {
					owner += o
				}
			}
		}
		got := fmt.Sprintf("visits %d name %s tags %v permanent %v owner %s", visits.Get(s), name.Get(s), tags.Get(s), s.Permanent(), owner)
		if got != test.want {
			t.Errorf("%s: %s, want %s", what, got, test.want)
		}
	}
}

// The function of an Update runs again while the session is saved. That it uses
// the session, or panics, must not leave the session locked.
func TestUpdateMayUseTheSessionWhenItRunsAgain(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	name.Set(s, "abc")
	visits.Update(s, func(n int) int { return n + len(name.Get(s)) })
	visits.Set(other, 10)
	save(t, m, other)
	save(t, m, s)
	if got := visits.Get(load(t, m, cookie)); got != 13 {
		t.Errorf("visits = %d, want 13", got)
	}

	s, other = load(t, m, cookie), load(t, m, cookie)
	visits.Update(s, func(n int) int {
		if n == 99 {
			panic("not this one")
		}
		return n
	})
	visits.Set(other, 99)
	save(t, m, other)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		m.Save(httptest.NewRecorder(), request(), s)
	}()
	s.Clear() // would wait for ever
	save(t, m, s)
}

// While changes are made again the session is not locked, and another goroutine of
// the request may change it. Here the function of an Update stands for that one.
func TestChangeMadeWhileOthersAreMadeAgainIsKept(t *testing.T) {
	const other = session.Key[int]("other")
	for what, test := range map[string]struct {
		change func(*session.Session)
		want   string // name, visits and other
	}{
		"another key is set":      {func(s *session.Session) { other.Set(s, 1) }, `"before" 11 1`},
		"a key is set once more":  {func(s *session.Session) { name.Set(s, "meanwhile") }, `"meanwhile" 11 0`},
		"a key is deleted again":  {func(s *session.Session) { name.Delete(s) }, `"" 11 0`},
		"all goes, and one comes": {func(s *session.Session) { s.Clear(); name.Set(s, "new") }, `"new" 0 0`},
	} {
		m, _ := newStored(t, session.Options{})
		cookie := signedIn(t, m)
		s, faster := load(t, m, cookie), load(t, m, cookie)
		again := false
		name.Set(s, "before")
		visits.Update(s, func(n int) int {
			if again {
				test.change(s)
			}
			return n + 1
		})
		again = true
		visits.Set(faster, 10)
		save(t, m, faster)
		if renewed := sent(t, save(t, m, s)); renewed != "" {
			cookie = renewed
		}
		s = load(t, m, cookie)
		if got := fmt.Sprintf("%q %d %d", name.Get(s), visits.Get(s), other.Get(s)); got != test.want {
			t.Errorf("%s: %s, want %s", what, got, test.want)
		}
	}
}

func TestThousandIncrementsMakeAThousand(t *testing.T) {
	m, _ := newStored(t, session.Options{StoreTimeout: 30 * time.Second})
	cookie := signedIn(t, m)
	handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Update(session.From(r), func(n int) int { return n + 1 })
	}))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 1000/64 + min(1, (1000%64)/(i+1)) {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, request(cookie))
				if w.Code != 200 {
					t.Errorf("status %d", w.Code)
				}
			}
		})
	}
	wg.Wait()
	want := 1
	for i := range 64 {
		want += 1000/64 + min(1, (1000%64)/(i+1))
	}
	if got := visits.Get(load(t, m, cookie)); got != want || want < 1001 {
		t.Errorf("visits = %d, want %d", got, want)
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

func TestRemovingTheLastValueBesideAnotherThatWasSet(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	visits.Delete(s)
	name.Set(other, "ada")
	save(t, m, other)
	save(t, m, s)
	s = load(t, m, cookie)
	if _, ok := visits.Lookup(s); ok || name.Get(s) != "ada" {
		t.Error("the other request's change is lost, or the removal is")
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

func TestClientThatHangsUp(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	store.onLoad = func(ctx context.Context) error { return ctx.Err() }
	s, err := m.Load(request(cookie).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	visits.Set(s, 2)
	cancel()
	if _, err := m.Load(request(cookie).WithContext(ctx)); !errors.Is(err, context.Canceled) || !errors.Is(err, session.ErrStore) {
		t.Errorf("a load: %v, want that it stopped", err)
	}
	store.onSave = func(ctx context.Context) error { return ctx.Err() }
	if err := m.Save(httptest.NewRecorder(), request().WithContext(ctx), s); err != nil {
		t.Errorf("a save: %v, want that it was finished", err)
	}
	opts, log := logged()
	opts.Store = store
	m = newManager(t, opts)
	m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), request(cookie).WithContext(ctx))
	if log.Len() > 0 {
		t.Errorf("log %s, want none for a client that went", log)
	}

	// What could not be saved is in the log, whether or not somebody waits for it.
	store.onLoad, store.onSave = nil, func(context.Context) error { return errors.New("full") }
	ctx, cancel = context.WithCancel(t.Context())
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write(session.From(r))
		cancel()
	})).ServeHTTP(httptest.NewRecorder(), request(cookie).WithContext(ctx))
	if !strings.Contains(log.String(), "not saved") {
		t.Errorf("log %q, want that the session was not saved", log)
	}
}

func TestOwnersSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{})
		var cookies []string
		for range 3 {
			cookies = append(cookies, owned(t, m, "ada"))
			time.Sleep(time.Minute)
		}
		bobs := owned(t, m, "bob")
		signedIn(t, m)
		records := sessionsOf(t, m, "ada")
		if len(records) != 3 || !records[0].Created.Before(records[1].Created) || !records[1].Created.Before(records[2].Created) {
			t.Fatalf("records %+v, want three in the order they began", records)
		}
		if records := sessionsOf(t, m, ""); len(records) != 0 {
			t.Errorf("nobody's sessions: %v", records)
		}
		if err := m.End(t.Context(), "bob", records[0].ID); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("bob ends ada's: %v, want ErrNotFound", err)
		}
		load(t, m, cookies[0])
		if err := m.End(t.Context(), "ada", records[0].ID); err != nil {
			t.Error(err)
		}
		refused(t, m, cookies[0], session.ErrNotFound)
		load(t, m, cookies[1])
		if err := m.Revoke(t.Context(), "ada"); err != nil {
			t.Error(err)
		}
		refused(t, m, cookies[1], session.ErrNotFound)
		refused(t, m, cookies[2], session.ErrNotFound)
		load(t, m, bobs)
	})
}

// A session that moves to a new ID at that moment ends all the same.
func TestEndBesideRenew(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	id := s.ID()
	s.Renew()
	var renewed string
	store.onSave = func(context.Context) error {
		store.onSave = nil
		renewed = sent(t, save(t, m, s))
		return nil
	}
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End: %v, want nil", err)
	}
	refused(t, m, renewed, session.ErrNotFound)
	if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("End, once more: %v, want ErrNotFound", err)
	}
}

// And so does one that moved a moment before.
func TestEndAfterRenew(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m, owned(t, m, "ada"))
	id := s.ID()
	s.Renew()
	renewed := sent(t, save(t, m, s))
	if err := m.End(t.Context(), "bob", id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("bob ends ada's: %v, want ErrNotFound", err)
	}
	load(t, m, renewed)
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End: %v, want nil", err)
	}
	refused(t, m, renewed, session.ErrNotFound)
}

// A session that is changed just then ends all the same.
// twoStep lists as Redis and files do: which records there are, and then each.
type twoStep struct {
	session.Store
	between func()
}

func (s twoStep) List(ctx context.Context, owner string) ([]session.Record, error) {
	index, err := s.Store.List(ctx, owner)
	s.between()
	var records []session.Record
	for _, entry := range index {
		if rec, err := s.Store.Load(ctx, entry.ID); err == nil && rec.Owner == owner {
			records = append(records, rec)
		}
	}
	return records, err
}

// A session that gets another ID while the sessions are listed is not looked past.
func TestRevokeBesideRenew(t *testing.T) {
	for what, use := range map[string]func(*session.Session){
		"Renew": (*session.Session).Renew,
		"login": func(s *session.Session) { s.Clear(); visits.Set(s, 1); s.SetOwner("ada") },
	} {
		store := twoStep{Store: memstore.New()}
		var m *session.Manager
		var cookie string
		moves := 3
		store.between = func() {
			if moves--; moves >= 0 {
				s := load(t, m, cookie)
				use(s)
				cookie = sent(t, save(t, m, s))
			}
		}
		m = newManager(t, session.Options{Store: &store})
		cookie = owned(t, m, "ada")
		if n := len(sessionsOf(t, m, "ada")); n != 1 {
			t.Errorf("%s: %d sessions are listed, want 1", what, n)
		}
		moves = 3
		if err := m.Revoke(t.Context(), "ada"); err != nil {
			t.Errorf("%s: Revoke: %v", what, err)
		}
		refused(t, m, cookie, session.ErrNotFound)
	}
}

func TestEndBesideAChange(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	write(s)
	store.onSave = func(context.Context) error {
		store.onSave = nil
		save(t, m, s)
		return nil
	}
	if err := m.End(t.Context(), "ada", s.ID()); err != nil {
		t.Errorf("End: %v", err)
	}
	refused(t, m, cookie, session.ErrNotFound)
}

func TestEndThatFails(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	id := load(t, m, cookie).ID()
	down := errors.New("down")
	store.onSave = func(context.Context) error { return down }
	store.onDelete = func() error { return down }
	if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrStore) {
		t.Errorf("End: %v, want ErrStore", err)
	}
	if err := m.Revoke(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
	load(t, m, cookie)
	store.onSave = nil
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End that leaves its tombstone: %v, want nil", err)
	}
	refused(t, m, cookie, session.ErrEnded)
}

func TestListThatFails(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.onList = func() ([]session.Record, error) { return nil, errors.New("down") }
	_, err := m.Sessions(t.Context(), "ada")
	for what, err := range map[string]error{"Sessions": err, "Revoke": m.Revoke(t.Context(), "ada")} {
		if !errors.Is(err, session.ErrStore) {
			t.Errorf("%s: %v, want ErrStore", what, err)
		}
	}
}

// The sessions of strangers have no owner in common, whatever a store says.
func TestNobodyHasNoSessions(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.onList = func() ([]session.Record, error) { return []session.Record{{ID: "a stranger's"}}, nil }
	if records := sessionsOf(t, m, ""); len(records) != 0 {
		t.Errorf("nobody's sessions: %v", records)
	}
}

func TestOwnersNeedAStore(t *testing.T) {
	m := newManager(t, session.Options{})
	_, err := m.Sessions(t.Context(), "ada")
	for what, err := range map[string]error{"Sessions": err, "Revoke": m.Revoke(t.Context(), "ada")} {
		if !errors.Is(err, session.ErrStore) {
			t.Errorf("%s: %v, want ErrStore", what, err)
		}
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

// Who gives up waiting for a turn does not hold up those behind.
func TestSavesOfOneSessionQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{})
		cookie := signedIn(t, m)
		release := make(chan bool)
		store.onSave = func(context.Context) error { <-release; return nil }
		results := make(chan error, 3)
		for range 3 {
			s := load(t, m, cookie)
			visits.Update(s, func(n int) int { return n + 1 })
			go func() { results <- m.Save(httptest.NewRecorder(), request(), s) }()
		}
		time.Sleep(2 * time.Second) // one saves for ever, two wait for it and give up
		for range 2 {
			if err := <-results; !errors.Is(err, session.ErrStore) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiting: %v, want that it took too long", err)
			}
		}
		close(release)
		if err := <-results; !errors.Is(err, session.ErrStore) {
			t.Errorf("the slow save: %v, want that it took too long", err)
		}
		s := load(t, m, cookie)
		visits.Update(s, func(n int) int { return n + 1 })
		save(t, m, s)
		if got := visits.Get(load(t, m, cookie)); got != 2 {
			t.Errorf("visits = %d, want 2: the first and the last", got)
		}
	})
}
