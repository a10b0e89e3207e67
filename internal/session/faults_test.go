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

// A Store that fails, conflicts, waits or is full.

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

func TestValueThatCannotBeSavedReachesNoStore(t *testing.T) {
	m, store := newStored(t, session.Options{})
	s := load(t, m)
	session.Key[float64]("ratio").Set(s, math.NaN())
	if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrValue) || store.saves != 0 {
		t.Errorf("%v after %d saves, want ErrValue and none", err, store.saves)
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
