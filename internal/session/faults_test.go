package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/storetest"
)

// A Store that fails, conflicts, waits or is full.

func TestStoreThatFailsIsA503(t *testing.T) {
	blocks := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name           string
		OnLoad, OnSave func(context.Context) error
		want           string
	}{
		{"at load", down, nil, "not loaded"}, {"at save", nil, down, "not saved"},
		{"blocked at load", blocks, nil, "not loaded"}, {"blocked at save", nil, blocks, "not saved"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts, log := logged()
				m, store := newStored(t, opts)
				cookie := signedIn(t, m)
				store.OnLoad, store.OnSave = test.OnLoad, test.OnSave
				handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					write(session.From(r))
					w.Header().Set("X-Success", "yes")
					io.WriteString(w, "success")
				}))
				began := time.Now()
				checkErrorPage(t, respond(handler, cookie), 503)
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v, want at most the StoreTimeout of 1s", took)
				}
				checkLog(t, log.String(), 1, "level=ERROR", test.want)

				store.OnLoad, store.OnSave = nil, nil
				if got := respond(handler, cookie).StatusCode; got != 200 {
					t.Errorf("status %d after the store recovered, want 200", got)
				}
				if got := visits.Get(load(t, m, cookie)); got != 2 {
					t.Errorf("visits = %d after the store recovered, want 2", got)
				}
			})
		})
	}
}

// Another request saved first, and then the store goes down.
func TestStoreThatFailsAfterAConflictIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	write(s)
	visit(t, m, cookie, write)
	store.OnLoad = down
	if err := saveFails(t, m, s, session.ErrStore); errors.Is(err, session.ErrEnded) {
		t.Errorf("Save: %v, want an error that is not ErrEnded", err)
	}
}

func TestStoreThatAlwaysConflictsIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{StoreTimeout: time.Second})
	s := load(t, m, signedIn(t, m))
	write(s)
	store.OnSave = func(context.Context) error { return session.ErrConflict }
	began := time.Now()
	saveFails(t, m, s, session.ErrStore)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("Save took %v, want about 1s", took)
	}
}

// Save watches the time itself, because a store may not look at its context.
func TestStoreThatAlwaysConflictsAndIsDeafIsErrStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{StoreTimeout: time.Second})
		store.Deaf = true
		s := load(t, m, signedIn(t, m))
		write(s)
		store.OnSave = func(context.Context) error {
			time.Sleep(300 * time.Millisecond)
			return session.ErrConflict
		}
		began := time.Now()
		saveFails(t, m, s, session.ErrStore)
		if took := time.Since(began); took != 1200*time.Millisecond {
			t.Errorf("Save took %v, want 1.2s, when the first try after a second ends", took)
		}
	})
}

func TestCorruptRecordIsANewSessionAndAnErrorLine(t *testing.T) {
	for what, corrupt := range map[string]func(*storetest.Faulty, string){
		"to the store": func(f *storetest.Faulty, _ string) {
			f.OnLoad = func(context.Context) error { return fmt.Errorf("bad checksum: %w", session.ErrCorrupt) }
		},
		"no JSON": func(f *storetest.Faulty, id string) {
			rec, _ := f.Store.Load(context.Background(), id)
			rec.Data = []byte("{oops")
			f.Store.Save(context.Background(), id, rec)
		},
	} {
		t.Run(what, func(t *testing.T) {
			opts, log := logged()
			m, store := newStored(t, opts)
			cookie := owned(t, m, "ada")
			corrupt(store, load(t, m, cookie).ID())
			response := respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, visits.Get(session.From(r)))
				store.OnLoad = nil
			})), cookie)
			if response.StatusCode != 200 {
				t.Errorf("status %d, want 200", response.StatusCode)
			}
			if got := readAll(t, response); got != "0" {
				t.Errorf("visits = %s, want 0", got)
			}
			checkLog(t, log.String(), 1, "level=ERROR")
		})
	}
}

func TestValueThatCannotBeSavedReachesNoStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	session.Key[float64]("ratio").Set(s, math.NaN())
	saveFails(t, m, s, session.ErrValue)
	if store.Saves != 0 {
		t.Errorf("%d saves, want 0", store.Saves)
	}
}

// A record that the store can never hold is a fault of the program, and not of the store.
// So the response is a 500, and not a 503.
func TestRecordThatTheStoreHasNoRoomForIsA500(t *testing.T) {
	m, store := newStored(t, session.Options{})
	store.OnSave = func(context.Context) error { return fmt.Errorf("%w: too long", session.ErrValue) }
	response := respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { set(r) })))
	checkErrorPage(t, response, 500)
}

func TestLoginThatFailsKeepsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	s.Clear()
	name.Set(s, "ada")
	store.OnSave = down
	saveFails(t, m, s, session.ErrStore)
	if got := visits.Get(load(t, m, cookie)); got != 1 {
		t.Errorf("visits = %d, want 1 of the session before", got)
	}
}

// A save in two steps whose second step fails must leave no session that no cookie opens.
func TestRenewThatFailsHalfWayLeavesOneSession(t *testing.T) {
	for what, change := range map[string]func(*session.Session){"Renew": (*session.Session).Renew, "a login": logIn} {
		t.Run(what, func(t *testing.T) {
			m, store := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			s := load(t, m, cookie)
			change(s)
			store.OnSave = second(errors.New("down"))
			store.OnDelete = func() error { // of the old record; the new one can be deleted
				store.OnDelete = nil
				return errors.New("down")
			}
			saveFails(t, m, s, session.ErrStore)
			if got, want := idsOf(sessionsOf(t, m, "ada")), []string{load(t, m, cookie).ID()}; !slices.Equal(got, want) {
				t.Errorf("ada has %q, want %q as before", got, want)
			}
		})
	}
}

// Renew saves the new record first. If that fails, the old session has not ended.
func TestRenewThatFailsAtOnceKeepsTheSession(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	s.Renew()
	store.OnSave = func(context.Context) error {
		store.OnSave = nil
		return errors.New("full")
	}
	saveFails(t, m, s, session.ErrStore)
	if got := visits.Get(load(t, m, cookie)); got != 1 {
		t.Errorf("visits = %d, want 1 of the session before", got)
	}
}

// If Renew can neither end the old session nor remove the new one, Save returns an error.
func TestRenewThatCannotCleanUpIsErrStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m, signedIn(t, m))
	s.Renew()
	store.OnSave = second(session.ErrConflict) // another request has just saved the old record
	store.OnDelete = func() error { return errors.New("down") }
	saveFails(t, m, s, session.ErrStore)
}

func TestHangUpStopsALoadAndNotASave(t *testing.T) {
	opts, log := logged()
	m, store := newStored(t, opts)
	cookie := signedIn(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	s := load(t, m, cookie)
	visits.Set(s, 2)
	cancel()
	canceled := func(ctx context.Context) error { return ctx.Err() }
	store.OnLoad, store.OnSave = canceled, canceled

	_, err := m.Load(request(cookie).WithContext(ctx))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v, want Canceled", err)
	}
	if !errors.Is(err, session.ErrStore) {
		t.Errorf("Load: %v, want ErrStore", err)
	}
	if err := m.Save(httptest.NewRecorder(), request().WithContext(ctx), s); err != nil {
		t.Errorf("Save: %v, want nil", err)
	}
	m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), request(cookie).WithContext(ctx))
	checkLog(t, log.String(), 0) // it was the client that stopped the load
}

// A session that could not be saved is in the log even if the client has hung up.
func TestFailedSaveAfterAHangUpIsLogged(t *testing.T) {
	opts, log := logged()
	m, store := newStored(t, opts)
	cookie := signedIn(t, m)
	store.OnSave = down
	ctx, cancel := context.WithCancel(t.Context())
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write(session.From(r))
		cancel()
	})).ServeHTTP(httptest.NewRecorder(), request(cookie).WithContext(ctx))
	checkLog(t, log.String(), 1, "not saved")
}

// A request that stops waiting for its turn does not delay those behind it.
func TestSavesOfOneSessionQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{})
		cookie := signedIn(t, m)
		add := func(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }
		release := make(chan bool)
		store.OnSave = func(context.Context) error { <-release; return nil }
		results := make(chan error, 3)
		for range 3 {
			s := load(t, m, cookie)
			add(s)
			go func() { results <- m.Save(httptest.NewRecorder(), request(), s) }()
		}
		time.Sleep(2 * time.Second) // one waits for the store, and two for that one
		for range 2 {
			err := <-results
			if !errors.Is(err, session.ErrStore) {
				t.Errorf("a save that waited: %v, want ErrStore", err)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a save that waited: %v, want DeadlineExceeded", err)
			}
		}
		close(release)
		if err := <-results; !errors.Is(err, session.ErrStore) {
			t.Errorf("the slow save: %v, want ErrStore", err)
		}
		visit(t, m, cookie, add)
		if got := visits.Get(load(t, m, cookie)); got != 2 {
			t.Errorf("visits = %d, want 2, of the first and the last save", got)
		}
	})
}

func TestNewSessionsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{})
		store.OnSave = func(context.Context) error {
			store.OnSave = nil
			time.Sleep(500 * time.Millisecond)
			return nil
		}
		go signedIn(t, m)
		synctest.Wait()
		began := time.Now()
		signedIn(t, m)
		if took := time.Since(began); took != 0 {
			t.Errorf("a new session waited %v for another, want 0s", took)
		}
		time.Sleep(time.Second)
	})
}

// With a slow store, a logout does not wait for the saves that are in the queue.
func TestLogoutDoesNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newStored(t, session.Options{StoreTimeout: time.Second})
		cookie := owned(t, m, "ada")
		s := load(t, m, cookie)
		var savers []*session.Session
		for range 100 {
			savers = append(savers, load(t, m, cookie))
		}
		store.OnSave = func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil }
		var group sync.WaitGroup
		for _, saver := range savers {
			group.Go(func() {
				write(saver)
				m.Save(discard{make(map[string][]string)}, request(), saver) // most of them wait until their time runs out
			})
		}
		synctest.Wait()
		s.Clear()
		began := time.Now()
		save(t, m, s)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the logout took %v, want at most 500ms", took)
		}
		group.Wait()
		if got := sessionsOf(t, m, "ada"); len(got) != 0 {
			t.Errorf("ada has %v, want nothing", got)
		}
	})
}

// second returns a hook that fails at its second call.
func second(err error) func(context.Context) error {
	calls := 0
	return func(context.Context) error {
		if calls++; calls == 2 {
			return err
		}
		return nil
	}
}

// The store saves, and its response is lost. A program that saves by hand tries again:
// then the login must still end the session before it.
func TestLoginIsSavedAgainAfterALostResponse(t *testing.T) {
	m, store := newStored(t, session.Options{})
	before := owned(t, m, "ada")
	s := load(t, m, before)
	logIn(s)
	store.AfterSave = func() error {
		store.AfterSave = nil
		return errors.New("connection reset")
	}
	saveFails(t, m, s, session.ErrStore)
	load(t, m, before) // the visitor still has the session before
	login := sent(t, save(t, m, s))
	if load(t, m, login).IsNew() {
		t.Error("the login's cookie opens nothing")
	}
	refused(t, m, before, session.ErrEnded)
}

func TestRenewWhoseTombstoneIsSavedAndTheResponseLost(t *testing.T) {
	m, store := newStored(t, session.Options{})
	before := owned(t, m, "ada")
	s := load(t, m, before)
	s.Renew()
	saves := 0
	store.AfterSave = func() error {
		if saves++; saves == 2 {
			return errors.New("connection reset")
		}
		return nil
	}
	renewed := sent(t, save(t, m, s))
	if got := visits.Get(load(t, m, renewed)); got != 1 {
		t.Errorf("visits = %d under the new ID, want 1", got)
	}
	refused(t, m, before, session.ErrEnded)
}

// The tombstone cannot be saved, and another request has moved the session: deleting its
// old record would let it escape.
func TestEndWhoseTombstoneFailsBesideARenew(t *testing.T) {
	m, store := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s := load(t, m, cookie)
	id := s.ID()
	s.Renew()
	var renewed string
	store.OnSave = func(context.Context) error {
		store.OnSave = nil
		renewed = sent(t, save(t, m, s))
		return errors.New("connection reset")
	}
	if err := m.End(t.Context(), "ada", id); err != nil {
		t.Errorf("End: %v, want nil", err)
	}
	refused(t, m, renewed, session.ErrNotFound)
}

// Whatever owner the handler names first, Clear ends the session that was there.
func TestClearAfterSetOwnerBesideAnotherRequest(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	s, other := load(t, m, cookie), load(t, m, cookie)
	write(other)
	save(t, m, other)
	s.SetOwner("bob")
	s.Clear()
	save(t, m, s)
	refused(t, m, cookie, session.ErrNotFound)
}
