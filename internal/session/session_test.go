package session_test

import (
	"encoding/json"
	"errors"
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
	in := profile{math.MaxInt64, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), map[string]string{"a": `"<é>`}}
	key.Set(s, in)
	visits.Set(s, 0)

	s = load(t, m, sent(t, save(t, m, s)))
	out := key.Get(s)
	if out.ID != in.ID || !out.Since.Equal(in.Since) || out.Names["a"] != in.Names["a"] {
		t.Errorf("got %+v, want %+v", out, in)
	}
	if v, ok := visits.Lookup(s); v != 0 || !ok {
		t.Errorf("Lookup of a stored zero = %d, %v", v, ok)
	}
}

func TestMissingValuesAreZero(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	if v, ok := visits.Lookup(s); v != 0 || ok {
		t.Errorf("Lookup = %d, %v, want 0, false", v, ok)
	}
	if visits.Get(s) != 0 || name.Pop(s) != "" || tags.Get(s) != nil {
		t.Error("a missing value is not zero")
	}
}

func TestValueOfAnotherShapeCountsAsAbsent(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	session.Key[map[string]any]("visits").Set(s, map[string]any{"count": 3})
	if v, ok := visits.Lookup(s); v != 0 || ok {
		t.Errorf("Lookup = %d, %v, want 0, false", v, ok)
	}
	type half struct{ A, B int }
	session.Key[map[string]any]("half").Set(s, map[string]any{"A": 1, "B": "no number"})
	if v := session.Key[half]("half").Get(s); v != (half{}) {
		t.Errorf("Get = %+v, want nothing half read", v)
	}
}

func TestChangingACopyChangesNothing(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	list := []string{"a", "b"}
	tags.Set(s, list)
	list[0] = "changed after Set"
	tags.Get(s)[1] = "changed after Get"
	if got := strings.Join(tags.Get(s), ","); got != "a,b" {
		t.Errorf("got %s, want a,b", got)
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
	if _, ok := visits.Lookup(s); ok || name.Get(s) != "y" {
		t.Error("Pop removed nothing, or too much")
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
		t.Errorf("1000 updates made %d", got)
	}
}

func TestUpdateRunsAgainWhenTheValueMovedOn(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	runs := 0
	got := visits.Update(s, func(n int) int {
		if runs++; runs == 1 {
			visits.Set(s, 10) // as another goroutine would, just then
		}
		return n + 1
	})
	if got != 11 || visits.Get(s) != 11 || runs != 2 {
		t.Errorf("Update = %d in %d runs, visits %d, want 11 in 2", got, runs, visits.Get(s))
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
	if _, ok := name.Lookup(s); ok || visits.Get(s) != 1 {
		t.Error("the deletion was not saved")
	}
}

func TestUpdateMayUseTheSession(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	visits.Set(s, 1)
	got := visits.Update(s, func(n int) int {
		name.Set(s, "set inside")
		return n + visits.Get(s)
	})
	if got != 2 || name.Get(s) != "set inside" {
		t.Errorf("Update = %d, name %q", got, name.Get(s))
	}
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

// panics is a value whose encoding panics.
type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no JSON today") }

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

func TestClearForgetsEverythingAndDeletesTheCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	visits.Set(s, 1)
	s.SetPermanent(true)
	s = load(t, m, sent(t, save(t, m, s)))
	s.Clear()
	if s.Permanent() || visits.Get(s) != 0 {
		t.Error("something is left after Clear")
	}
	const want = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
	if got := save(t, m, s).Get("Set-Cookie"); got != want {
		t.Errorf("Set-Cookie: %s, want %s", got, want)
	}
}

func TestClearOfASessionThatIsOnlyPermanent(t *testing.T) {
	s := load(t, newManager(t, session.Options{}))
	s.SetPermanent(true)
	s.Clear()
	if s.Permanent() {
		t.Error("still permanent after Clear")
	}
}

func TestSetPermanentIsAChange(t *testing.T) {
	m := newManager(t, session.Options{})
	cookie := signedIn(t, m)
	for _, permanent := range []bool{true, false} {
		s := load(t, m, cookie)
		s.SetPermanent(permanent)
		h := save(t, m, s)
		if cookie = sent(t, h); cookie == "" || strings.Contains(h.Get("Set-Cookie"), "Max-Age=2678400") != permanent {
			t.Fatalf("SetPermanent(%v): Set-Cookie %q", permanent, h.Get("Set-Cookie"))
		}
		if s := load(t, m, cookie); s.Permanent() != permanent || visits.Get(s) != 1 {
			t.Errorf("SetPermanent(%v): permanent %v, visits %d", permanent, s.Permanent(), visits.Get(s))
		}
	}
}

func TestSetAfterClearIsASessionThatBeginsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(50 * time.Minute)
		s := load(t, m, cookie)
		s.Clear()
		name.Set(s, "ada")
		cookie = sent(t, save(t, m, s))
		time.Sleep(50 * time.Minute)
		s = load(t, m, cookie)
		if _, ok := visits.Lookup(s); ok || name.Get(s) != "ada" {
			t.Error("what was there before Clear is there after it")
		}
	})
}

func TestNothingChangedIsNoCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	for what, use := range map[string]func(*session.Session){
		"nothing":                    func(*session.Session) {},
		"reading":                    func(s *session.Session) { visits.Get(s); s.Permanent(); s.IsNew(); s.Expires() },
		"deleting what is not there": func(s *session.Session) { name.Delete(s); name.Pop(s) },
	} {
		if got := sent(t, save(t, m, used(load(t, m, signedIn(t, m)), use))); got != "" {
			t.Errorf("%s set the cookie %s", what, got)
		}
	}
	for what, use := range map[string]func(*session.Session){
		"clearing nothing":            (*session.Session).Clear,
		"permanent and nothing else":  func(s *session.Session) { s.SetPermanent(true) },
		"setting and deleting":        func(s *session.Session) { visits.Set(s, 1); visits.Delete(s) },
		"renewing a session of none":  (*session.Session).Renew,
		"clearing what was just made": func(s *session.Session) { visits.Set(s, 1); s.Clear() },
	} {
		if got := sent(t, save(t, m, used(load(t, m), use))); got != "" {
			t.Errorf("%s in a new session set the cookie %s", what, got)
		}
	}
}

// used returns s after use.
func used(s *session.Session, use func(*session.Session)) *session.Session {
	use(s)
	return s
}

func TestSetOfAnEqualValueIsAChange(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m, signedIn(t, m))
	visits.Set(s, visits.Get(s))
	if sent(t, save(t, m, s)) == "" {
		t.Error("no cookie")
	}
}

// pointers has methods with a pointer receiver, as big.Int has.
type pointers struct{ text string }

func (p *pointers) MarshalText() ([]byte, error) { return []byte(p.text), nil }

func (p *pointers) UnmarshalText(text []byte) error { p.text = string(text); return nil }

func TestPointerReceivers(t *testing.T) {
	m := newManager(t, session.Options{})
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
	s := load(t, m)
	number.Set(s, *big.NewInt(5))
	number.Update(s, func(n big.Int) big.Int { return *new(big.Int).Add(&n, big.NewInt(1)) })
	text.Set(s, pointers{"ada"})
	list.Set(s, []price{{*big.NewInt(7), pointers{"tea"}}})
	handle.Set(s, big.NewInt(8))
	for what, s := range map[string]*session.Session{"in the same request": s, "in the next one": load(t, m, sent(t, save(t, m, s)))} {
		if got := number.Get(s); got.Int64() != 6 {
			t.Errorf("%s: a big.Int is %v, want 6", what, &got)
		}
		if got := text.Get(s); got.text != "ada" {
			t.Errorf("%s: a text is %q, want ada", what, got.text)
		}
		if got := list.Get(s); len(got) != 1 || got[0].Amount.Int64() != 7 || got[0].Name.text != "tea" {
			t.Errorf("%s: a list is %v, want 7 and tea", what, got)
		}
		if got := handle.Get(s); got == nil || got.Int64() != 8 {
			t.Errorf("%s: a pointer is %v, want 8", what, got)
		}
	}
}

// A value that could not be read back would take the whole session with it.
func TestValueThatIsTooDeep(t *testing.T) {
	const deep = session.Key[json.RawMessage]("deep")
	nested := func(depth int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
	}
	m, _ := newStored(t, session.Options{})
	cookie := signedIn(t, m)
	s := load(t, m, cookie)
	deep.Set(s, nested(9999))
	save(t, m, s)
	if got := len(deep.Get(load(t, m, cookie))); got != 2*9999 {
		t.Errorf("a value of depth 9999 came back with %d bytes, want %d", got, 2*9999)
	}
	for _, depth := range []int{10000, 10001, 100000} {
		s := load(t, m, cookie)
		deep.Set(s, nested(depth))
		if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrValue) {
			t.Errorf("depth %d: %v, want ErrValue", depth, err)
		}
		if got := visits.Get(load(t, m, cookie)); got != 1 {
			t.Errorf("depth %d: the session that was has %d visits, want 1", depth, got)
		}
	}
}

func TestValueThatCannotBeSaved(t *testing.T) {
	m := newManager(t, session.Options{})
	for what, set := range map[string]func(*session.Session){
		`"chan"`:       func(s *session.Session) { session.Key[chan int]("chan").Set(s, make(chan int)) },
		`"nan"`:        func(s *session.Session) { session.Key[float64]("nan").Set(s, math.NaN()) },
		`"_permanent"`: func(s *session.Session) { session.Key[bool]("_permanent").Set(s, true) },
		`"_created"`:   func(s *session.Session) { session.Key[int]("_created").Set(s, 1) },
	} {
		s := load(t, m, signedIn(t, m))
		set(s)
		w := httptest.NewRecorder()
		err := m.Save(w, request(), s)
		if !errors.Is(err, session.ErrValue) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want ErrValue that names it", what, err)
		}
		if len(w.Header()) > 0 {
			t.Errorf("%s: a failed Save left %v", what, w.Header())
		}
	}
	s := load(t, m)
	session.Key[float64]("n").Set(s, math.Inf(1))
	session.Key[float64]("n").Set(s, 1)
	session.Key[float64]("m").Set(s, math.Inf(1))
	session.Key[float64]("m").Delete(s)
	save(t, m, s) // both were mended
}

func TestFromOutsideHandlerNamesHandler(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "Handler") {
			t.Errorf("panic: %q, want one that names Handler", text)
		}
	}()
	session.From(request())
}
