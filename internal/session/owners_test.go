package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

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

// The sessions of strangers have no owner in common, whatever a store says.
func TestNobodyHasNoSessions(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.onList = func() ([]session.Record, error) { return []session.Record{{ID: "a stranger's"}}, nil }
	if records := sessionsOf(t, m, ""); len(records) != 0 {
		t.Errorf("nobody's sessions: %v", records)
	}
}

// A record whose bytes another session shares would show in its sessions.
func TestSessionsHaveNoData(t *testing.T) {
	m, store := newStored(t, session.Options{})
	owned(t, m, "ada")
	store.onList = func() ([]session.Record, error) {
		records, err := store.Store.List(t.Context(), "ada")
		for i := range records {
			records[i].Data = []byte("of an older store")
		}
		return records, err
	}
	records := sessionsOf(t, m, "ada")
	if slices.ContainsFunc(records, func(rec session.Record) bool { return rec.Data != nil }) {
		t.Errorf("records %v, want none with data", fmt.Sprint(records))
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

func TestOwnerThatIsNotUTF8(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.SetOwner("a\xff")
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrValue) {
		t.Errorf("%v, want ErrValue", err)
	}
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

func TestEndRefusesWhatIsNoID(t *testing.T) {
	m, store := newStored(t, session.Options{})
	for _, id := range []string{"", "x", "../../etc/passwd", strings.Repeat("z", 64), strings.Repeat("a", 62)} {
		if err := m.End(t.Context(), "ada", id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("End(%q): %v, want ErrNotFound", id, err)
		}
	}
	if store.loads != 0 {
		t.Errorf("the store was asked %d times, want 0", store.loads)
	}
}

// A session that got another owner is that owner's: no one else ends it.
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
		t.Error(err)
	}
	load(t, m, bobs)
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

// A thief who renews before each step of Revoke gets away ten times, and no more than
// that: then Revoke is faster once.
func TestRevokeCatchesAThiefWhoRenewsAllTheTime(t *testing.T) {
	for name, end := range map[string]func(m *session.Manager, id string) error{
		"Revoke": func(m *session.Manager, _ string) error { return m.Revoke(t.Context(), "ada") },
		"End":    func(m *session.Manager, id string) error { return m.End(t.Context(), "ada", id) },
		"Clear":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			store := &hooked{Store: memstore.New()}
			m := newManager(t, session.Options{Store: store})
			th := &thief{t: t, m: m, cookie: owned(t, m, "ada")}
			s := load(t, m, th.cookie)
			store.before = func() {
				if th.renews < 10 {
					th.renew()
				}
			}
			if end == nil {
				s.Clear()
				if got := sent(t, save(t, m, s)); got != "" {
					t.Errorf("Set-Cookie: %s, want none: the browser may have a newer cookie", got)
				}
			} else if err := end(m, s.ID()); err != nil {
				t.Fatal(err)
			}
			if th.renews != 10 {
				t.Errorf("the thief renewed %d times, want 10", th.renews)
			}
			if _, err := m.Load(request(th.cookie)); err == nil {
				t.Error("the thief's cookie opens the session")
			}
		})
	}
}

// Revoke must come to an end even if every list meets a new tombstone.
func TestRevokeAndSessionsEndBesideAnEndlessThief(t *testing.T) {
	store := &twoStep{Store: memstore.New()}
	m := newManager(t, session.Options{Store: store})
	th := &thief{t: t, m: m, cookie: owned(t, m, "ada")}
	store.between = th.renew
	records, err := m.Sessions(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 || records[0].ID != load(t, m, th.cookie).ID() {
		t.Errorf("Sessions = %+v, want the session under its newest ID", records)
	}
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Load(request(th.cookie)); err == nil {
		t.Error("the thief's cookie opens the session")
	}
}

func TestRevokeKeeps(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	var cookies []string
	for range 4 {
		cookies = append(cookies, owned(t, m, "ada"))
	}
	moved := load(t, m, cookies[3])
	before := moved.ID()
	moved.Renew()
	cookies[3] = sent(t, save(t, m, moved))
	err := m.Revoke(t.Context(), "ada", load(t, m, cookies[0]).ID(), load(t, m, cookies[1]).ID(), before, "no such session")
	if err != nil {
		t.Fatal(err)
	}
	load(t, m, cookies[0])
	load(t, m, cookies[1])
	refused(t, m, cookies[2], session.ErrNotFound)
	refused(t, m, cookies[3], session.ErrNotFound) // the comment says so
}

func TestRevokeGoesInBatches(t *testing.T) {
	store := &partial{Store: memstore.New()}
	m := newManager(t, session.Options{Store: store})
	var cookies []string
	for range 1000 {
		cookies = append(cookies, owned(t, m, "ada"))
	}
	if _, err := m.Sessions(t.Context(), "ada"); !errors.Is(err, session.ErrStore) {
		t.Errorf("Sessions: %v, want ErrStore: a part of the list is not the list", err)
	}
	if err := m.Revoke(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	for _, cookie := range cookies {
		refused(t, m, cookie, session.ErrNotFound)
	}
	if store.lists > 15 {
		t.Errorf("%d lists for 10 batches", store.lists)
	}
}

// A batch that has only sessions to keep brings Revoke no further.
func TestRevokeThatComesNoFurtherIsAnError(t *testing.T) {
	store := &partial{Store: memstore.New()}
	m := newManager(t, session.Options{Store: store})
	var keep []string
	for range 101 {
		keep = append(keep, load(t, m, owned(t, m, "ada")).ID())
	}
	if err := m.Revoke(t.Context(), "ada", keep...); !errors.Is(err, session.ErrStore) {
		t.Errorf("Revoke: %v, want ErrStore", err)
	}
}

// Ending the others must not list the sessions once for each of them.
func TestRevokeOfManyIsLinear(t *testing.T) {
	m, store := newStored(t, session.Options{})
	keep := load(t, m, owned(t, m, "ada")).ID()
	for range 2000 {
		owned(t, m, "ada")
	}
	lists := 0
	store.onList = func() ([]session.Record, error) {
		lists++
		return store.Store.List(t.Context(), "ada")
	}
	began := time.Now()
	if err := m.Revoke(t.Context(), "ada", keep); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("2,000 sessions took %v", took)
	}
	if lists > 3 {
		t.Errorf("%d lists, want at most 3", lists)
	}
	if got := sessionsOf(t, m, "ada"); len(got) != 1 || got[0].ID != keep {
		t.Errorf("%d sessions are left, want the kept one", len(got))
	}
}

// A store that is full must not keep a session from being ended.
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
			s := load(t, m, cookie)
			visits.Delete(s)
			save(t, m, s)
		},
		"End": func(t *testing.T, m *session.Manager, cookie string) {
			if err := m.End(t.Context(), "ada", load(t, m, cookie).ID()); err != nil {
				t.Error(err)
			}
		},
		"Revoke": func(t *testing.T, m *session.Manager, cookie string) {
			if err := m.Revoke(t.Context(), "ada"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, store := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			late := load(t, m, cookie)
			store.onSave = func(context.Context) error { return errors.New("no space left") }
			end(t, m, cookie)
			refused(t, m, cookie, session.ErrNotFound)

			store.onSave = nil // a request that was in flight
			write(late)
			if got := sent(t, save(t, m, late)); got != "" {
				t.Errorf("a late request sets %s", got)
			}
		})
	}
}

// thief renews the session of a cookie, as long as that works.
type thief struct {
	t      *testing.T
	m      *session.Manager
	cookie string
	renews int
}

func (th *thief) renew() {
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
