package session_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestPayloadHasNoNeedlessBookkeeping(t *testing.T) {
	for want, opts := range map[string]session.Options{
		`{"_permanent":true,"visits":1}`:                      {},
		`{"_created":946684800,"_permanent":true,"visits":1}`: {AbsoluteTimeout: time.Hour},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // its clock starts at the beginning of 2000
				m := newManager(t, opts)
				cookie := visit(t, m, "", func(s *session.Session) { visits.Set(s, 1); s.SetPermanent(true) })
				parts, err := session.Inspect(strings.TrimPrefix(cookie, "session="))
				if err != nil {
					t.Fatalf("Inspect: %v, want nil", err)
				}
				if got := string(parts.Payload); got != want {
					t.Errorf("payload %s, want %s", got, want)
				}
			})
		})
	}
}

// A cookie with a valid signature may have come from another program.
func TestSignedRubbishIsANewSession(t *testing.T) {
	m := newManager(t, session.Options{})
	for _, payload := range []string{"[1,2]", "5", "null", "{oops", "", "{}{}", "\xff"} {
		t.Run(fmt.Sprintf("%q", payload), func(t *testing.T) {
			s := refused(t, m, "session="+mint(payload, time.Now()), session.ErrMalformed)
			if !s.IsNew() {
				t.Error("the session is not new")
			}
		})
	}
}

func TestSignedBookkeepingThatIsRubbishIsIgnored(t *testing.T) {
	m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
	for _, payload := range []string{
		`{"_permanent":"yes","a":1}`, `{"_created":"x","a":1}`, `{"_created":-9223372036854775808,"a":1}`,
		`{"_created":9223372036854775807,"a":1}`, `{"_created":1e99,"a":1}`, `{"_created":null,"_permanent":null,"a":1}`,
	} {
		t.Run(payload, func(t *testing.T) {
			s := load(t, m, "session="+mint(payload, time.Now()))
			if s.IsNew() {
				t.Error("the session is new")
			}
			if s.Permanent() {
				t.Error("the session is permanent")
			}
			if got := session.Key[int]("a").Get(s); got != 1 {
				t.Errorf("a = %d, want 1", got)
			}
			if got, latest := s.Expires(), time.Now().Add(time.Hour+time.Second); got.After(latest) {
				t.Errorf("expires %v, want %v at the latest", got, latest)
			}
		})
	}
}

// What a client-side session cannot do, as the package comment and docs/limits.md say.

func TestCopiedCookieReplaysAfterLogout(t *testing.T) {
	m := newManager(t, session.Options{})
	copied := signedIn(t, m)
	visit(t, m, copied, (*session.Session).Clear)
	if got := visits.Get(load(t, m, copied)); got != 1 {
		t.Errorf("visits = %d from the copy, want 1, or the package comment is wrong", got)
	}
}

func TestOlderCookieRollsBack(t *testing.T) {
	m := newManager(t, session.Options{})
	older := signedIn(t, m)
	visit(t, m, older, write)
	if got := visits.Get(load(t, m, older)); got != 1 {
		t.Errorf("visits = %d from the older cookie, want 1, or the package comment is wrong", got)
	}
}

func TestOfTwoTabsTheLastResponseWins(t *testing.T) {
	m := newManager(t, session.Options{})
	cookie := signedIn(t, m)
	first, second := load(t, m, cookie), load(t, m, cookie)
	name.Set(first, "ada")
	tags.Set(second, []string{"a"})
	save(t, m, first)
	last := load(t, m, sent(t, save(t, m, second)))
	if got, ok := name.Lookup(last); ok {
		t.Errorf("name = %q from the first tab, want none, or the package comment is wrong", got)
	}
	if got := tags.Get(last); len(got) != 1 {
		t.Errorf("tags = %q, want the second tab's", got)
	}
}

func TestResponseInFlightBringsTheSessionBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{IdleTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(30 * time.Minute)
		slow := load(t, m, cookie)
		read(slow)
		visit(t, m, cookie, (*session.Session).Clear)
		if got := sent(t, save(t, m, slow)); got == "" {
			t.Error("no Set-Cookie in the slow response, want one, or the package comment is wrong")
		}
	})
}

// Every size from under the limit to over it: what is saved comes back, and one byte
// more is refused.
func TestFourThousandAndNinetySixBytesAreTheLimit(t *testing.T) {
	m := newManager(t, session.Options{})
	largest := 0
	for size := 2900; size < 3100; size++ {
		s := load(t, m)
		name.Set(s, strings.Repeat("x", size))
		w := httptest.NewRecorder()
		err := m.Save(w, request(), s)
		if err == nil {
			cookie := sent(t, w.Header())
			largest = len(cookie) - len("=")
			if got := len(name.Get(load(t, m, cookie))); got != size {
				t.Errorf("%d bytes came back, want %d", got, size)
			}
			continue
		}
		if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", size, err)
		}
		if len(w.Header()) > 0 {
			t.Errorf("%d bytes: header after a failed Save: %v, want none", size, w.Header())
		}
	}
	if largest < 4095 {
		t.Errorf("the largest cookie has %d bytes of name and value, want at least 4095", largest)
	}
	if largest > 4096 {
		t.Errorf("the largest cookie has %d bytes of name and value, want at most 4096", largest)
	}
}

func TestTooLargeSaysHowManyBytesEachKeyTakes(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	name.Set(s, strings.Repeat("secret", 600))
	visits.Set(s, 7)
	text := fmt.Sprint(saveFails(t, m, s, session.ErrTooLarge))
	for _, want := range []string{`"name"=3602`, `"visits"=1`, "Store"} {
		if !strings.Contains(text, want) {
			t.Errorf("the error does not contain %s: %s", want, text)
		}
	}
	if strings.Contains(text, "secretsecret") {
		t.Errorf("the error contains a value: %s", text)
	}
}
