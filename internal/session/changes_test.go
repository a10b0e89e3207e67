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

// A response that stays open, such as one that sends events, must not collect changes.
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

// The package reserves no names but the two that the comment of Key says.
func TestNamesOfChangesAreFree(t *testing.T) {
	for _, key := range []session.Key[int]{"(owner)", "(all keys)", "owner", "all keys", "session ID"} {
		t.Run(string(key), func(t *testing.T) {
			m, _ := newStored(t, session.Options{})
			cookie := owned(t, m, "ada")
			visit(t, m, cookie, func(s *session.Session) { s.SetOwner("bob"); key.Set(s, 7) })
			if got := key.Get(load(t, m, cookie)); got != 7 {
				t.Errorf("%s = %d, want 7", key, got)
			}
			if got := len(sessionsOf(t, m, "bob")); got != 1 {
				t.Errorf("bob has %d sessions, want 1", got)
			}
		})
	}
}

// Each kind of change is made at the same time as a request that changes everything
// else.
func TestChangesAreReplayedOnWhatAnotherRequestSaved(t *testing.T) {
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
		t.Run(what, func(t *testing.T) {
			m, _ := newStored(t, session.Options{})
			cookie := visit(t, m, "", func(s *session.Session) {
				visits.Set(s, 1)
				tags.Set(s, []string{"t"})
				s.SetOwner("ada")
			})
			s, other := load(t, m, cookie), load(t, m, cookie)
			test.change(s)
			visits.Set(other, 100)
			name.Set(other, "other")
			other.SetPermanent(true)
			other.SetOwner("bob")
			save(t, m, other)
			save(t, m, s)

			s = load(t, m, cookie)
			got := fmt.Sprintf("visits %d name %s tags %v permanent %v owner %s",
				visits.Get(s), name.Get(s), tags.Get(s), s.Permanent(), ownersOf(t, m, s.ID()))
			if got != test.want {
				t.Errorf("got  %s,\nwant %s", got, test.want)
			}
		})
	}
}

func TestPermanentIsReplayedEvenIfItIsAsBefore(t *testing.T) {
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

// If two logins set owner and values at the same time, both are from the one that saves
// last.
func TestOwnerAndValueOfTwoLoginsStayTogether(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := owned(t, m, "ada")
	adas, bobs := load(t, m, cookie), load(t, m, cookie)
	adas.SetOwner("ada") // the same owner as before is a change, too
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

// Save replays the function of an Update. The session must not be locked then, because
// the function may use it.
func TestUpdateMayUseTheSessionInAReplay(t *testing.T) {
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
}

func TestPanicInAReplayLeavesNoLock(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	visits.Update(s, func(n int) int {
		if n == 99 {
			panic("not this one")
		}
		return n
	})
	visits.Set(other, 99)
	save(t, m, other)
	got := recovered(func() { m.Save(httptest.NewRecorder(), request(), s) })
	if got != "not this one" {
		t.Errorf("recovered %v, want the panic of the function", got)
	}
	s.Clear() // would wait for ever
	save(t, m, s)
}

// During a replay another goroutine may change the session. In this test the function
// of an Update does it.
func TestChangeDuringAReplayIsSaved(t *testing.T) {
	const other = session.Key[int]("other")
	for what, test := range map[string]struct {
		change func(*session.Session)
		want   string // name, visits and other
	}{
		"Set of another key":  {func(s *session.Session) { other.Set(s, 1) }, `"before" 11 1`},
		"Set of the same key": {func(s *session.Session) { name.Set(s, "during") }, `"during" 11 0`},
		"Delete":              {func(s *session.Session) { name.Delete(s) }, `"" 11 0`},
		"Clear and Set":       {func(s *session.Session) { s.Clear(); name.Set(s, "new") }, `"new" 0 0`},
	} {
		t.Run(what, func(t *testing.T) {
			m, _ := newStored(t, session.Options{})
			cookie := signedIn(t, m)
			s, faster := load(t, m, cookie), load(t, m, cookie)
			replay := false
			name.Set(s, "before")
			visits.Update(s, func(n int) int {
				if replay {
					test.change(s)
				}
				return n + 1
			})
			replay = true
			visits.Set(faster, 10)
			save(t, m, faster)
			if renewed := sent(t, save(t, m, s)); renewed != "" {
				cookie = renewed
			}
			s = load(t, m, cookie)
			if got := fmt.Sprintf("%q %d %d", name.Get(s), visits.Get(s), other.Get(s)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRemovingTheLastValueLeavesWhatAnotherRequestSet(t *testing.T) {
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s, other := load(t, m, cookie), load(t, m, cookie)
	visits.Delete(s)
	name.Set(other, "ada")
	save(t, m, other)
	save(t, m, s)
	s = load(t, m, cookie)
	checkLookup(t, s, 0, false)
	if got := name.Get(s); got != "ada" {
		t.Errorf("name = %q, want ada", got)
	}
}

func TestThousandIncrementsMakeAThousand(t *testing.T) {
	const requests, each = 64, 16 // 1024 together
	m, _ := newStored(t, session.Options{StoreTimeout: 30 * time.Second})
	cookie := signedIn(t, m)
	handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Update(session.From(r), func(n int) int { return n + 1 })
	}))
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			for range each {
				if got := respond(handler, cookie).StatusCode; got != 200 {
					t.Errorf("status %d, want 200", got)
				}
			}
		})
	}
	wg.Wait()
	if got, want := visits.Get(load(t, m, cookie)), 1+requests*each; got != want {
		t.Errorf("visits = %d, want %d", got, want)
	}
}

// ownersOf returns those of ada, bob and eve whose session has this ID.
func ownersOf(t *testing.T, m *session.Manager, id string) string {
	t.Helper()
	owners := ""
	for _, owner := range []string{"ada", "bob", "eve"} {
		for _, rec := range sessionsOf(t, m, owner) {
			if rec.ID == id {
				owners += owner
			}
		}
	}
	return owners
}
