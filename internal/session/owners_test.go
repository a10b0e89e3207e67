package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// hooked is a store that calls before ahead of each Save. Calls that before itself
// makes do not call it again.
type hooked struct {
	session.Store
	before func()
	inside bool
}

func (s *hooked) Save(ctx context.Context, id string, rec session.Record) error {
	if s.before != nil && !s.inside {
		s.inside = true
		s.before()
		s.inside = false
	}
	return s.Store.Save(ctx, id, rec)
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

// partial is a store whose List has time for a hundred records.
type partial struct {
	*memstore.Store
	lists int
}

func (s *partial) List(ctx context.Context, owner string) ([]session.Record, error) {
	s.lists++
	records, err := s.Store.List(ctx, owner)
	if err == nil && len(records) > 100 {
		return records[:100], context.DeadlineExceeded
	}
	return records, err
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

// slowList is a store whose List takes a second for each record that it was ever given.
type slowList struct {
	*memstore.Store
	entries int
}

func (s *slowList) Save(ctx context.Context, id string, rec session.Record) error {
	if rec.Version == 0 {
		s.entries++
	}
	return s.Store.Save(ctx, id, rec)
}

func (s *slowList) List(ctx context.Context, owner string) ([]session.Record, error) {
	records, err := s.Store.List(ctx, owner)
	select {
	case <-time.After(time.Duration(s.entries) * time.Second):
		return records, err
	case <-ctx.Done():
		return records, ctx.Err()
	}
}

// A store may need longer than StoreTimeout to find out that nothing is left.
func TestRevokeGivesALongListMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowList{Store: memstore.New()}
		m := newManager(t, session.Options{Store: store, StoreTimeout: 1500 * time.Millisecond})
		cookie := owned(t, m, "ada")
		owned(t, m, "ada")
		if err := m.Revoke(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		refused(t, m, cookie, session.ErrNotFound)
	})
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

// With a slow store, a logout does not stand in the queue of the saves.
func TestLogoutDoesNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{StoreTimeout: time.Second})
		cookie := owned(t, m, "ada")
		s := load(t, m, cookie)
		var savers []*session.Session
		for range 100 {
			savers = append(savers, load(t, m, cookie))
		}
		store.onSave = func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil }
		var group sync.WaitGroup
		for _, saver := range savers {
			group.Go(func() {
				write(saver)
				m.Save(discard{make(map[string][]string)}, request(), saver) // most of them wait in vain
			})
		}
		synctest.Wait()
		s.Clear()
		began := time.Now()
		save(t, m, s)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the logout took %v", took)
		}
		group.Wait()
		if got := sessionsOf(t, m, "ada"); len(got) != 0 {
			t.Errorf("sessions %v, want none", got)
		}
	})
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

// Two requests at once that say whose session it is: the last one to save is right
// about all of it.
func TestOwnerAndValueOfTwoLoginsStayTogether(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	adas, bobs := load(t, m, cookie), load(t, m, cookie)
	adas.SetOwner("ada") // as it was: a change even so
	name.Set(adas, "ada")
	bobs.SetOwner("bob")
	name.Set(bobs, "bob")
	save(t, m, bobs)
	save(t, m, adas)
	if got := name.Get(load(t, m, cookie)); got != "ada" {
		t.Fatalf("name = %q, want ada", got)
	}
	if got := len(sessionsOf(t, m, "ada")); got != 1 {
		t.Errorf("ada has %d sessions, want 1", got)
	}
	if got := len(sessionsOf(t, m, "bob")); got != 0 {
		t.Errorf("bob has %d sessions, want 0", got)
	}
}

func TestPermanentAsItWasIsReplayed(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s, other := load(t, m, cookie), load(t, m, cookie)
	other.SetPermanent(true)
	save(t, m, other)
	s.SetPermanent(false) // as it was when it was loaded
	save(t, m, s)
	if load(t, m, cookie).Permanent() {
		t.Error("the session is permanent, and the last request said that it is not")
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
