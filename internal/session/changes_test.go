package session_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// A response that stays open, as one with events does, must not collect its changes.
func TestChangesAreBounded(t *testing.T) {
	stored, _ := newStored(t, session.Options{})
	for what, m := range map[string]*session.Manager{"client-side": newManager(t, session.Options{}), "server-side": stored} {
		t.Run(what, func(t *testing.T) {
			respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := session.From(r)
				write(s)
				io.WriteString(w, "begun")
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				for range 200_000 {
					visits.Update(s, func(n int) int { return n + 1 })
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
					t.Errorf("200,000 updates take %d bytes, want less than a megabyte", grown)
				}
				runtime.KeepAlive(s)
			})))
		})
	}
}

// No key has a name of the package's but the two that the comment of Key names.
func TestNamesOfChangesAreFree(t *testing.T) {
	for _, key := range []session.Key[int]{"(owner)", "(all keys)", "owner", "all keys", "session ID"} {
		m, _ := newStored(t, session.Options{})
		cookie := owned(t, m, "ada")
		s := load(t, m, cookie)
		s.SetOwner("bob")
		key.Set(s, 7)
		save(t, m, s)
		if got := key.Get(load(t, m, cookie)); got != 7 {
			t.Errorf("%s = %d, want 7", key, got)
		}
		if got := len(sessionsOf(t, m, "bob")); got != 1 {
			t.Errorf("after a Set of %s bob has %d sessions, want 1", key, got)
		}
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
