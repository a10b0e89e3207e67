package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestEachOwnerListsAndEndsTheirOwnSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStored(t, session.Options{})
		var cookies, ids []string
		for range 3 {
			cookie := owned(t, m, "ada")
			cookies = append(cookies, cookie)
			ids = append(ids, load(t, m, cookie).ID())
			time.Sleep(time.Minute)
		}
		bobs := owned(t, m, "bob")
		signedIn(t, m)
		if got := idsOf(sessionsOf(t, m, "ada")); !slices.Equal(got, ids) {
			t.Fatalf("Sessions = %q, want %q, in the order in which they began", got, ids)
		}
		if err := m.End(t.Context(), "bob", ids[0]); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("bob ends ada's session: %v, want ErrNotFound", err)
		}
		load(t, m, cookies[0])
		if err := m.End(t.Context(), "ada", ids[0]); err != nil {
			t.Errorf("End: %v, want nil", err)
		}
		refused(t, m, cookies[0], session.ErrNotFound)
		load(t, m, cookies[1])
		if err := m.Revoke(t.Context(), "ada"); err != nil {
			t.Errorf("Revoke: %v, want nil", err)
		}
		refused(t, m, cookies[1], session.ErrNotFound)
		refused(t, m, cookies[2], session.ErrNotFound)
		load(t, m, bobs)
	})
}

func TestNoOwnerHasNoSessions(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	owned(t, m, "ada")
	signedIn(t, m)
	if got := sessionsOf(t, m, ""); len(got) != 0 {
		t.Errorf("Sessions = %v, want none", got)
	}
}

// Strangers have no owner in common, even if a store lists their sessions together.
func TestNoOwnerHasNoSessionsEvenIfTheStoreListsSome(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.OnList = func(context.Context, string) ([]session.Record, error) {
		return []session.Record{{ID: "a stranger's"}}, nil
	}
	if got := sessionsOf(t, m, ""); len(got) != 0 {
		t.Errorf("Sessions = %v, want none", got)
	}
}

// The manager drops what an older store puts into the records of a list.
func TestSessionsHaveNoData(t *testing.T) {
	m, store := newStored(t, session.Options{})
	owned(t, m, "ada")
	store.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
		records, err := store.Store.List(ctx, owner)
		for i := range records {
			records[i].Data = []byte("of an older store")
		}
		return records, err
	}
	for _, rec := range sessionsOf(t, m, "ada") {
		if rec.Data != nil {
			t.Errorf("a record has the data %q, want none", rec.Data)
		}
	}
}

func TestOwnersNeedAStore(t *testing.T) {
	m := newManager(t, session.Options{})
	if _, err := m.Sessions(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Sessions: %v, want ErrStore", err)
	}
	if err := m.Revoke(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
	if err := m.End(t.Context(), "ada", strings.Repeat("a", 64)); !errors.Is(err, session.ErrStore) {
		t.Errorf("End: %v, want ErrStore", err)
	}
}

func TestOwnerThatIsNotUTF8IsRefused(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.SetOwner("a\xff")
	saveFails(t, m, s, session.ErrValue)
}

func TestListThatFailsIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.OnList = func(ctx context.Context, _ string) ([]session.Record, error) { return nil, down(ctx) }
	if _, err := m.Sessions(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Sessions: %v, want ErrStore", err)
	}
	if err := m.Revoke(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
}

func TestEndThatFailsIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	id := load(t, m, cookie).ID()
	store.OnSave = down
	store.OnDelete = func() error { return errors.New("down") }
	if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrStore) {
		t.Errorf("End: %v, want ErrStore", err)
	}
	if err := m.Revoke(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
	load(t, m, cookie)
	store.OnSave = nil
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End that cannot delete its tombstone: %v, want nil", err)
	}
	refused(t, m, cookie, session.ErrEnded)
}

func TestEndRefusesWhatIsNoID(t *testing.T) {
	m, store := newStored(t, session.Options{})
	for _, id := range []string{"", "x", "../../etc/passwd", strings.Repeat("z", 64), strings.Repeat("a", 62)} {
		if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("End(%q): %v, want ErrNotFound", id, err)
		}
	}
	if store.Loads != 0 {
		t.Errorf("%d loads, want 0", store.Loads)
	}
}

// After SetOwner only the new owner can end the session.
func TestEndStopsAtAnotherOwner(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m, owned(t, m, "ada"))
	id := s.ID()
	s.Renew()
	s.SetOwner("bob")
	bobs := sent(t, save(t, m, s))
	if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("End: %v, want ErrNotFound", err)
	}
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Errorf("Revoke: %v, want nil", err)
	}
	load(t, m, bobs)
}

// A session that moves to a new ID while End runs has ended when End returns.
func TestEndBesideRenewEndsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m, owned(t, m, "ada"))
	id := s.ID()
	s.Renew()
	var renewed string
	store.OnSave = func(context.Context) error {
		store.OnSave = nil
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

// A session that moved to a new ID before is found by its old one.
func TestEndAfterRenewEndsTheSession(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m, owned(t, m, "ada"))
	id := s.ID()
	s.Renew()
	renewed := sent(t, save(t, m, s))
	if err := m.End(t.Context(), "bob", id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("bob ends ada's session: %v, want ErrNotFound", err)
	}
	load(t, m, renewed)
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End: %v, want nil", err)
	}
	refused(t, m, renewed, session.ErrNotFound)
}

// A session that changes while End runs has ended when End returns.
func TestEndBesideAChangeEndsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	write(s)
	store.OnSave = func(context.Context) error {
		store.OnSave = nil
		save(t, m, s)
		return nil
	}
	if err := m.End(t.Context(), "ada", s.ID()); err != nil {
		t.Errorf("End: %v, want nil", err)
	}
	refused(t, m, cookie, session.ErrNotFound)
}

// A session that moves to a new ID while a store lists the sessions is listed, and ends.
func TestRevokeAndSessionsFindASessionThatMoves(t *testing.T) {
	for what, move := range map[string]func(*session.Session){"Renew": (*session.Session).Renew, "a login": logIn} {
		t.Run(what, func(t *testing.T) {
			m, store := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			moves := 0
			store.ListInTwoSteps(func() {
				if moves < 3 {
					cookie = visit(t, m, cookie, move)
					moves++
				}
			})
			if got := sessionsOf(t, m, "ada"); len(got) != 1 {
				t.Errorf("Sessions = %v, want one", got)
			}
			moves = 0
			if err := m.Revoke(t.Context(), "ada"); err != nil {
				t.Errorf("Revoke: %v, want nil", err)
			}
			refused(t, m, cookie, session.ErrNotFound)
		})
	}
}

// A thief who renews before each step of a logout escapes that step. When the thief is
// too slow once, here after ten times, the session ends.
func TestLogoutCatchesAThiefWhoRenewsAllTheTime(t *testing.T) {
	for what, end := range map[string]func(*testing.T, *session.Manager, *session.Session){
		"Revoke": func(t *testing.T, m *session.Manager, _ *session.Session) {
			if err := m.Revoke(t.Context(), "ada"); err != nil {
				t.Errorf("Revoke: %v, want nil", err)
			}
		},
		"End": func(t *testing.T, m *session.Manager, s *session.Session) {
			if err := m.End(t.Context(), "ada", s.ID()); err != nil {
				t.Errorf("End: %v, want nil", err)
			}
		},
		"Clear": func(t *testing.T, m *session.Manager, s *session.Session) {
			s.Clear()
			if got := sent(t, save(t, m, s)); got != "" {
				t.Errorf("Set-Cookie: %s, want none: the browser may have a newer cookie", got)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			m, store := newStored(t, session.Options{})
			th := &thief{t: t, m: m, cookie: owned(t, m, "ada")}
			s := load(t, m, th.cookie)
			escape := func() {
				if th.renews < 10 {
					th.renew()
				}
			}
			store.OnSave = func(context.Context) error { escape(); return nil }
			store.ListInTwoSteps(escape) // Revoke only deletes what its first list has
			end(t, m, s)
			if th.renews != 10 {
				t.Errorf("the thief renewed %d times, want 10", th.renews)
			}
			refused(t, m, th.cookie, session.ErrNotFound)
		})
	}
}

// Sessions and Revoke must return even if each list contains a new tombstone.
func TestRevokeAndSessionsReturnBesideAnEndlessThief(t *testing.T) {
	m, store := newStored(t, session.Options{})
	th := &thief{t: t, m: m, cookie: owned(t, m, "ada")}
	store.ListInTwoSteps(th.renew)
	records := sessionsOf(t, m, "ada")
	if got, want := idsOf(records), []string{load(t, m, th.cookie).ID()}; !slices.Equal(got, want) {
		t.Errorf("Sessions = %q, want the newest ID %q", got, want)
	}
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Errorf("Revoke: %v, want nil", err)
	}
	refused(t, m, th.cookie, session.ErrNotFound)
}

func TestRevokeKeepsTheSessionsThatItNames(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	var cookies, ids []string
	for range 4 {
		cookie := owned(t, m, "ada")
		cookies = append(cookies, cookie)
		ids = append(ids, load(t, m, cookie).ID())
	}
	cookies[3] = visit(t, m, cookies[3], (*session.Session).Renew)
	if err := m.Revoke(t.Context(), "ada", ids[0], ids[1], ids[3], "no such session"); err != nil {
		t.Fatalf("Revoke: %v, want nil", err)
	}
	load(t, m, cookies[0])
	load(t, m, cookies[1])
	refused(t, m, cookies[2], session.ErrNotFound)
	refused(t, m, cookies[3], session.ErrNotFound) // it moved: the comment of Revoke says so
}

func TestRevokeTakesAsManyListsAsItNeeds(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.ListPart()
	var cookies []string
	for range 1000 {
		cookies = append(cookies, owned(t, m, "ada"))
	}
	if _, err := m.Sessions(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Sessions of a part of the list: %v, want ErrStore", err)
	}
	store.Lists = 0
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Fatalf("Revoke: %v, want nil", err)
	}
	for _, cookie := range cookies {
		refused(t, m, cookie, session.ErrNotFound)
	}
	if store.Lists > 14 {
		t.Errorf("%d lists for ten parts, want at most 14", store.Lists)
	}
}

// The store lists the sessions, and then needs longer than StoreTimeout to find out that
// nothing is left.
func TestRevokeGivesALongListMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{StoreTimeout: 1500 * time.Millisecond})
		cookie := owned(t, m, "ada")
		store.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
			records, err := store.Store.List(ctx, owner)
			select {
			case <-time.After(2 * time.Second):
				return records, err
			case <-ctx.Done():
				return records, ctx.Err()
			}
		}
		if err := m.Revoke(t.Context(), "ada"); err != nil {
			t.Fatalf("Revoke: %v, want nil", err)
		}
		refused(t, m, cookie, session.ErrNotFound)
	})
}

// If the store lists a part, and Revoke must keep all of it, the next list would be the
// same part.
func TestRevokeThatMakesNoProgressIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.ListPart()
	var keep []string
	for range 101 {
		keep = append(keep, load(t, m, owned(t, m, "ada")).ID())
	}
	if err := m.Revoke(t.Context(), "ada", keep...); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
}

// Revoke must not list the sessions once for each of them.
func TestRevokeOfManyIsLinear(t *testing.T) {
	m, store := newStored(t, session.Options{})
	keep := load(t, m, owned(t, m, "ada")).ID()
	for range 2000 {
		owned(t, m, "ada")
	}
	began := time.Now()
	if err := m.Revoke(t.Context(), "ada", keep); err != nil {
		t.Fatalf("Revoke: %v, want nil", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("2,000 sessions took %v, want at most 5s", took)
	}
	if store.Lists > 3 {
		t.Errorf("%d lists, want at most 3", store.Lists)
	}
	if got, want := idsOf(sessionsOf(t, m, "ada")), []string{keep}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// A session must end even if its store is full.
func TestSessionEndsInAStoreThatIsFull(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, m *session.Manager, cookie string){
		"Clear": func(t *testing.T, m *session.Manager, cookie string) {
			s := load(t, m, cookie)
			s.Clear()
			if got := sent(t, save(t, m, s)); got != "session=" {
				t.Errorf("Set-Cookie: %s, want one that deletes", got)
			}
		},
		"deleting the last value": func(t *testing.T, m *session.Manager, cookie string) {
			visit(t, m, cookie, func(s *session.Session) { visits.Delete(s) })
		},
		"End": func(t *testing.T, m *session.Manager, cookie string) {
			if err := m.End(t.Context(), "ada", load(t, m, cookie).ID()); err != nil {
				t.Errorf("End: %v, want nil", err)
			}
		},
		"Revoke": func(t *testing.T, m *session.Manager, cookie string) {
			if err := m.Revoke(t.Context(), "ada"); err != nil {
				t.Errorf("Revoke: %v, want nil", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, store := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			late := load(t, m, cookie)
			store.OnSave = down
			end(t, m, cookie)
			refused(t, m, cookie, session.ErrNotFound)

			store.OnSave = nil // a request was in flight
			write(late)
			if got := sent(t, save(t, m, late)); got != "" {
				t.Errorf("Set-Cookie: %s for a late request, want none", got)
			}
		})
	}
}

// thief renews the session of a cookie as long as that works.
type thief struct {
	t        *testing.T
	m        *session.Manager
	cookie   string
	renews   int
	renewing bool
}

func (th *thief) renew() {
	if th.renewing { // a save of its own
		return
	}
	th.renewing = true
	defer func() { th.renewing = false }()
	s, err := th.m.Load(request(th.cookie))
	if err != nil {
		return
	}
	s.Renew()
	if cookie := sent(th.t, save(th.t, th.m, s)); cookie != "" {
		th.cookie = cookie
		th.renews++
	}
}
