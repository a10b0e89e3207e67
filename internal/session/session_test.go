package session_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestValuesComeBackAsTheyWere(t *testing.T) {
	type profile struct {
		ID    int64             `json:"id"`
		Since time.Time         `json:"since"`
		Names map[string]string `json:"names"`
	}
	const key = session.Key[profile]("profile")
	m := newManager(t, session.Options{})
	s := load(t, m)
	want := profile{math.MaxInt64, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), map[string]string{"a": `"<é>`}}
	key.Set(s, want)
	visits.Set(s, 0)

	s = load(t, m, sent(t, save(t, m, s)))
	got := key.Get(s)
	if got.ID != want.ID {
		t.Errorf("ID = %d, want %d", got.ID, want.ID)
	}
	if !got.Since.Equal(want.Since) {
		t.Errorf("Since = %v, want %v", got.Since, want.Since)
	}
	if got.Names["a"] != want.Names["a"] {
		t.Errorf("Names = %q, want %q", got.Names, want.Names)
	}
	checkLookup(t, s, 0, true)
}

func TestMissingValuesAreZero(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	checkLookup(t, s, 0, false)
	if got := visits.Get(s); got != 0 {
		t.Errorf("Get = %d, want 0", got)
	}
	if got := name.Pop(s); got != "" {
		t.Errorf("Pop = %q, want none", got)
	}
	if got := tags.Get(s); got != nil {
		t.Errorf("Get = %q, want nil", got)
	}
}

func TestValueOfAnotherShapeCountsAsAbsent(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	session.Key[map[string]any]("visits").Set(s, map[string]any{"count": 3})
	checkLookup(t, s, 0, false)
	type half struct{ A, B int }
	session.Key[map[string]any]("half").Set(s, map[string]any{"A": 1, "B": "no number"})
	if got := session.Key[half]("half").Get(s); got != (half{}) {
		t.Errorf("Get = %+v, want the zero value, and no part of what fits", got)
	}
}

func TestChangingACopyChangesNothing(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	list := []string{"a", "b"}
	tags.Set(s, list)
	list[0] = "changed after Set"
	tags.Get(s)[1] = "changed after Get"
	if got := strings.Join(tags.Get(s), ","); got != "a,b" {
		t.Errorf("tags = %s, want a,b", got)
	}
}

func TestPopReturnsAndRemoves(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 3)
	name.Set(s, "x")
	s = load(t, m, sent(t, save(t, m, s)))
	if got := visits.Pop(s); got != 3 {
		t.Errorf("Pop = %d, want 3", got)
	}
	name.Delete(s)
	name.Set(s, "y")
	s = load(t, m, sent(t, save(t, m, s)))
	checkLookup(t, s, 0, false)
	if got := name.Get(s); got != "y" {
		t.Errorf("name = %q, want y", got)
	}
}

func TestUpdateLosesNothingBetweenGoroutines(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				visits.Update(s, func(n int) int { return n + 1 })
			}
		})
	}
	wg.Wait()
	if got := visits.Get(s); got != 1000 {
		t.Errorf("visits = %d after 1000 updates, want 1000", got)
	}
}

func TestUpdateRunsAgainIfTheValueHasChanged(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	runs := 0
	got := visits.Update(s, func(n int) int {
		if runs++; runs == 1 {
			visits.Set(s, 10) // as another goroutine could at this time
		}
		return n + 1
	})
	if got != 11 {
		t.Errorf("Update = %d, want 11", got)
	}
	if got := visits.Get(s); got != 11 {
		t.Errorf("visits = %d, want 11", got)
	}
	if runs != 2 {
		t.Errorf("the function ran %d times, want 2", runs)
	}
}

func TestUpdateMayUseTheSession(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	visits.Set(s, 1)
	got := visits.Update(s, func(n int) int {
		name.Set(s, "set inside")
		return n + visits.Get(s)
	})
	if got != 2 {
		t.Errorf("Update = %d, want 2", got)
	}
	if got := name.Get(s); got != "set inside" {
		t.Errorf("name = %q, want what the function set", got)
	}
}

func TestDeleteByItselfIsAChange(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	name.Set(s, "x")
	s = load(t, m, sent(t, save(t, m, s)))
	name.Delete(s)
	s = load(t, m, sent(t, save(t, m, s)))
	if got, ok := name.Lookup(s); ok {
		t.Errorf("name = %q, want none", got)
	}
	if got := visits.Get(s); got != 1 {
		t.Errorf("visits = %d, want 1", got)
	}
}

func TestSetOfAnEqualValueIsAChange(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m, signedIn(t, m))
	visits.Set(s, visits.Get(s))
	if got := sent(t, save(t, m, s)); got == "" {
		t.Error("no Set-Cookie, want one")
	}
}

func TestSetPermanentIsAChange(t *testing.T) {
	m := newManager(t, session.Options{})
	cookie := signedIn(t, m)
	for _, permanent := range []bool{true, false} {
		s := load(t, m, cookie)
		s.SetPermanent(permanent)
		h := save(t, m, s)
		if cookie = sent(t, h); cookie == "" {
			t.Fatalf("SetPermanent(%t): no Set-Cookie, want one", permanent)
		}
		if line := h.Get("Set-Cookie"); strings.Contains(line, "Max-Age=2678400") != permanent {
			t.Errorf("SetPermanent(%t): Set-Cookie %s, want a Max-Age: %t", permanent, line, permanent)
		}
		s = load(t, m, cookie)
		if got := s.Permanent(); got != permanent {
			t.Errorf("SetPermanent(%t): Permanent = %t", permanent, got)
		}
		if got := visits.Get(s); got != 1 {
			t.Errorf("SetPermanent(%t): visits = %d, want 1", permanent, got)
		}
	}
}

func TestNothingChangedIsNoCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	fresh, saved := "", signedIn(t, m)
	for _, test := range []struct {
		name, cookie string
		use          func(*session.Session)
	}{
		{"nothing", saved, func(*session.Session) {}},
		{"reading", saved, func(s *session.Session) { visits.Get(s); s.Permanent(); s.IsNew(); s.Expires() }},
		{"deleting what is not there", saved, func(s *session.Session) { name.Delete(s); name.Pop(s) }},
		{"clearing a new session", fresh, (*session.Session).Clear},
		{"a new session that is only permanent", fresh, func(s *session.Session) { s.SetPermanent(true) }},
		{"setting and deleting in a new session", fresh, func(s *session.Session) { visits.Set(s, 1); visits.Delete(s) }},
		{"renewing a new session", fresh, (*session.Session).Renew},
		{"setting and clearing in a new session", fresh, func(s *session.Session) { visits.Set(s, 1); s.Clear() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := load(t, m, test.cookie)
			test.use(s)
			if got := sent(t, save(t, m, s)); got != "" {
				t.Errorf("Set-Cookie: %s, want none", got)
			}
		})
	}
}

func TestClearRemovesEverythingAndDeletesTheCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.SetPermanent(true)
	s = load(t, m, sent(t, save(t, m, s)))
	s.Clear()
	if s.Permanent() {
		t.Error("the session is permanent after Clear")
	}
	if got := visits.Get(s); got != 0 {
		t.Errorf("visits = %d after Clear, want 0", got)
	}
	const want = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
	if got := save(t, m, s).Get("Set-Cookie"); got != want {
		t.Errorf("Set-Cookie: %s, want %s", got, want)
	}
}

func TestClearEndsASessionThatIsOnlyPermanent(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	s.SetPermanent(true)
	s.Clear()
	if s.Permanent() {
		t.Error("the session is permanent after Clear")
	}
}

func TestSetAfterClearIsASessionThatBeginsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(50 * time.Minute)
		cookie = visit(t, m, cookie, func(s *session.Session) { s.Clear(); name.Set(s, "ada") })
		time.Sleep(50 * time.Minute)
		s := load(t, m, cookie)
		checkLookup(t, s, 0, false)
		if got := name.Get(s); got != "ada" {
			t.Errorf("name = %q, want ada", got)
		}
	})
}

func TestSessionIsSafeForSeveralGoroutines(t *testing.T) {
	m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
	s := load(t, m, signedIn(t, m))
	var wg sync.WaitGroup
	for _, use := range []func(){
		func() { visits.Set(s, visits.Get(s)+1) }, func() { name.Pop(s) }, s.Clear, s.Renew,
		func() { s.SetPermanent(!s.Permanent()) }, func() { s.IsNew() }, func() { s.Expires() },
		func() { m.Save(httptest.NewRecorder(), request(), s) },
	} {
		wg.Go(func() {
			for range 100 {
				use()
			}
		})
	}
	wg.Wait()
}

func TestPanicInAValueLeavesNoLock(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	func() {
		defer func() { recover() }()
		session.Key[panics]("x").Set(s, panics{})
	}()
	func() {
		defer func() { recover() }()
		visits.Update(s, func(int) int { panic("no number today") })
	}()
	visits.Set(s, 1) // would wait for ever
}

func TestValuesMayHavePointerReceivers(t *testing.T) {
	type price struct {
		Amount big.Int
		Name   pointers
	}
	var (
		number = session.Key[big.Int]("number")
		text   = session.Key[pointers]("text")
		list   = session.Key[[]price]("list")
		handle = session.Key[*big.Int]("handle")
	)
	m := newManager(t, session.Options{})
	s := load(t, m)
	number.Set(s, *big.NewInt(5))
	number.Update(s, func(n big.Int) big.Int { return *new(big.Int).Add(&n, big.NewInt(1)) })
	text.Set(s, pointers{"ada"})
	list.Set(s, []price{{*big.NewInt(7), pointers{"tea"}}})
	handle.Set(s, big.NewInt(8))
	for what, s := range map[string]*session.Session{"in the same request": s, "in the next one": load(t, m, sent(t, save(t, m, s)))} {
		t.Run(what, func(t *testing.T) {
			if got := number.Get(s); got.Int64() != 6 {
				t.Errorf("a big.Int is %v, want 6", &got)
			}
			if got := text.Get(s); got.text != "ada" {
				t.Errorf("a text is %q, want ada", got.text)
			}
			got := list.Get(s)
			if len(got) != 1 {
				t.Fatalf("a list is %v, want one price", got)
			}
			if got[0].Amount.Int64() != 7 {
				t.Errorf("a big.Int in a list is %v, want 7", &got[0].Amount)
			}
			if got[0].Name.text != "tea" {
				t.Errorf("a text in a list is %q, want tea", got[0].Name.text)
			}
			if got := fmt.Sprint(handle.Get(s)); got != "8" {
				t.Errorf("a pointer is to %s, want 8", got)
			}
		})
	}
}

// A value that could not be read back would make the whole session unreadable.
func TestValueThatIsTooDeepIsRefused(t *testing.T) {
	const deep = session.Key[json.RawMessage]("deep")
	nested := func(depth int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
	}
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	visit(t, m, cookie, func(s *session.Session) { deep.Set(s, nested(9999)) })
	if got := len(deep.Get(load(t, m, cookie))); got != 2*9999 {
		t.Errorf("a value of depth 9999 came back with %d bytes, want %d", got, 2*9999)
	}
	for _, depth := range []int{10000, 10001, 100000} {
		s := load(t, m, cookie)
		deep.Set(s, nested(depth))
		saveFails(t, m, s, session.ErrValue)
		if got := visits.Get(load(t, m, cookie)); got != 1 {
			t.Errorf("depth %d: visits = %d in the session as it was, want 1", depth, got)
		}
	}
}

func TestValueThatCannotBeSavedIsNamed(t *testing.T) {
	m := newManager(t, session.Options{})
	for what, set := range map[string]func(*session.Session){
		`"chan"`:       func(s *session.Session) { session.Key[chan int]("chan").Set(s, make(chan int)) },
		`"nan"`:        func(s *session.Session) { session.Key[float64]("nan").Set(s, math.NaN()) },
		`"_permanent"`: func(s *session.Session) { session.Key[bool]("_permanent").Set(s, true) },
		`"_created"`:   func(s *session.Session) { session.Key[int]("_created").Set(s, 1) },
	} {
		t.Run(what, func(t *testing.T) {
			s := load(t, m, signedIn(t, m))
			set(s)
			if err := saveFails(t, m, s, session.ErrValue); !strings.Contains(fmt.Sprint(err), what) {
				t.Errorf("Save: %v, want an error that names %s", err, what)
			}
		})
	}
	t.Run("mended", func(t *testing.T) {
		s := load(t, m)
		session.Key[float64]("n").Set(s, math.Inf(1))
		session.Key[float64]("n").Set(s, 1)
		session.Key[float64]("m").Set(s, math.Inf(1))
		session.Key[float64]("m").Delete(s)
		save(t, m, s)
	})
}

// panics is a value whose encoding panics.
type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no JSON today") }

// pointers has methods with a pointer receiver, as big.Int has.
type pointers struct{ text string }

func (p *pointers) MarshalText() ([]byte, error) { return []byte(p.text), nil }

func (p *pointers) UnmarshalText(text []byte) error { p.text = string(text); return nil }
