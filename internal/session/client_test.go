package session_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestPayloadHoldsNoBookkeepingThatIsNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands at the beginning of 2000
		for want, opts := range map[string]session.Options{
			`{"_permanent":true,"visits":1}`:                      {},
			`{"_created":946684800,"_permanent":true,"visits":1}`: {AbsoluteTimeout: time.Hour},
		} {
			m := newManager(t, opts)
			s := load(t, m)
			visits.Set(s, 1)
			s.SetPermanent(true)
			parts, err := session.Inspect(strings.TrimPrefix(sent(t, save(t, m, s)), "session="))
			if got := string(parts.Payload); err != nil || got != want {
				t.Errorf("payload %s, %v, want %s", got, err, want)
			}
		}
	})
}

func TestTooLargeSaysWhichKeysAreBig(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	name.Set(s, strings.Repeat("secret", 600))
	visits.Set(s, 7)
	err := m.Save(httptest.NewRecorder(), request(), s)
	if !errors.Is(err, session.ErrTooLarge) {
		t.Fatalf("%v, want ErrTooLarge", err)
	}
	text := err.Error()
	if !strings.Contains(text, `"name"=3602`) || !strings.Contains(text, `"visits"=1`) || !strings.Contains(text, "Store") {
		t.Errorf("the error does not say how many bytes each key takes: %s", text)
	}
	if strings.Contains(text, "secretsecret") {
		t.Errorf("the error holds a value: %s", text)
	}
}

// Every size from under the limit to over it: what is saved comes back, and a
// byte more is refused.
func TestFourThousandAndNinetySixBytesAreTheLimit(t *testing.T) {
	m := newManager(t, session.Options{})
	largest := 0
	for size := 2900; size < 3100; size++ {
		s := load(t, m)
		name.Set(s, strings.Repeat("x", size))
		w := httptest.NewRecorder()
		if err := m.Save(w, request(), s); err != nil {
			if !errors.Is(err, session.ErrTooLarge) || len(w.Header()) > 0 {
				t.Errorf("%d: %v, %v", size, err, w.Header())
			}
			continue
		}
		cookie := sent(t, w.Header())
		largest = len(cookie) - len("=")
		if got := name.Get(load(t, m, cookie)); len(got) != size {
			t.Errorf("of %d bytes %d came back", size, len(got))
		}
	}
	if largest < 4095 || largest > 4096 {
		t.Errorf("the largest cookie has %d bytes of name and value", largest)
	}
}

// What holds but is no session is a new session too.
func TestSignedRubbishIsANewSession(t *testing.T) {
	m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
	for _, payload := range []string{"[1,2]", "5", "null", "{oops", "", "{}{}", "\xff"} {
		_, err := m.Load(request("session=" + mint(payload, time.Now())))
		if !errors.Is(err, session.ErrMalformed) {
			t.Errorf("%q: %v, want ErrMalformed", payload, err)
		}
	}
	for _, payload := range []string{
		`{"_permanent":"yes","a":1}`, `{"_created":"x","a":1}`, `{"_created":-9223372036854775808,"a":1}`,
		`{"_created":9223372036854775807,"a":1}`, `{"_created":1e99,"a":1}`, `{"_created":null,"_permanent":null,"a":1}`,
	} {
		s := load(t, m, "session="+mint(payload, time.Now()))
		if s.IsNew() || s.Permanent() || session.Key[int]("a").Get(s) != 1 || s.Expires().After(time.Now().Add(time.Hour+time.Second)) {
			t.Errorf("%s: new %v, permanent %v, ends %v", payload, s.IsNew(), s.Permanent(), s.Expires())
		}
	}
}

// What a client-side session cannot do, as the package comment says.

func TestCopiedCookieReplaysAfterLogout(t *testing.T) {
	m := newManager(t, session.Options{})
	copied := signedIn(t, m)
	visit(t, m, copied, (*session.Session).Clear)
	if got := visits.Get(load(t, m, copied)); got != 1 {
		t.Errorf("visits = %d: the copy does not replay, so the package comment is wrong", got)
	}
}

func TestOlderCookieRollsBack(t *testing.T) {
	m := newManager(t, session.Options{})
	older := signedIn(t, m)
	visit(t, m, older, write)
	if got := visits.Get(load(t, m, older)); got != 1 {
		t.Errorf("visits = %d: the older cookie does not hold, so the package comment is wrong", got)
	}
}

func TestOfTwoTabsTheLastAnswerWins(t *testing.T) {
	m := newManager(t, session.Options{})
	cookie := signedIn(t, m)
	one, two := load(t, m, cookie), load(t, m, cookie)
	name.Set(one, "ada")
	tags.Set(two, []string{"a"})
	save(t, m, one)
	last := load(t, m, sent(t, save(t, m, two)))
	if _, ok := name.Lookup(last); ok || len(tags.Get(last)) != 1 {
		t.Error("the first tab's change is there: the package comment is wrong")
	}
}

func TestAnswerUnderWayBringsTheSessionBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{IdleTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(30 * time.Minute)
		slow := load(t, m, cookie)
		read(slow)
		visit(t, m, cookie, (*session.Session).Clear)
		if sent(t, save(t, m, slow)) == "" {
			t.Error("the slow answer sets no cookie: the package comment is wrong")
		}
	})
}
