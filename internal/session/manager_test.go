package session_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestCookieHasTheAttributesOfTheOptions(t *testing.T) {
	for _, test := range []struct {
		name       string
		opts       session.Options
		maxAge     string // of a permanent session; "" if it is none
		attributes string // of the cookie, and of the one that deletes it
	}{
		{"the defaults", session.Options{}, "", "; Path=/; HttpOnly; SameSite=Lax"},
		{"permanent", session.Options{}, "; Max-Age=2678400", "; Path=/; HttpOnly; SameSite=Lax"},
		{"a lifetime", session.Options{Lifetime: time.Hour}, "; Max-Age=3600", "; Path=/; HttpOnly; SameSite=Lax"},
		{"__Host-", session.Options{Name: "__Host-session", Secure: true, SameSite: http.SameSiteStrictMode}, "",
			"; Path=/; HttpOnly; Secure; SameSite=Strict"},
		{"all of them", session.Options{Path: "/a", Domain: "example.com", Secure: true, SameSite: http.SameSiteNoneMode, Partitioned: true}, "",
			"; Path=/a; Domain=example.com; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newManager(t, test.opts)
			s := load(t, m)
			visits.Set(s, 1)
			s.SetPermanent(test.maxAge != "")
			line := save(t, m, s).Get("Set-Cookie")
			cookie, _, _ := strings.Cut(line, ";")
			before, after, _ := strings.Cut(test.attributes, "; HttpOnly")
			if want := cookie + before + test.maxAge + "; HttpOnly" + after; line != want {
				t.Errorf("Set-Cookie: %s, want %s", line, want)
			}
			s = load(t, m, cookie)
			s.Clear()
			name, _, _ := strings.Cut(cookie, "=")
			want := name + "=" + before + "; Max-Age=0; HttpOnly" + after
			if got := save(t, m, s).Get("Set-Cookie"); got != want {
				t.Errorf("deleted by %s, want %s", got, want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	m := newManager(t, session.Options{})
	v := signedIn(t, m)
	s := load(t, m)
	visits.Set(s, 2)
	w := sent(t, save(t, m, s))
	value := strings.TrimPrefix(v, "session=")
	other := signedIn(t, newManager(t, session.Options{Name: "other"}))

	for _, test := range []struct {
		name    string
		cookies []string
		want    error
	}{
		{"forged", []string{v + "x"}, session.ErrSignature},
		{"no signature", []string{v[:strings.LastIndex(v, ".")]}, session.ErrSignature},
		{"quoted", []string{`session="` + value + `"`}, session.ErrMalformed},
		{"another cookie's value", []string{strings.Replace(other, "other=", "session=", 1)}, session.ErrSignature},
		{"4097 bytes", []string{"session=" + strings.Repeat("A", 4090)}, session.ErrTooLarge},
		{"4096 bytes", []string{"session=" + strings.Repeat("A", 4088) + "."}, session.ErrSignature},
		{"a megabyte", []string{"session=" + strings.Repeat("A", 1<<20)}, session.ErrTooLarge},
		{"two that are valid", []string{v + "; " + w}, session.ErrDuplicate},
		{"two that are valid, the other way round", []string{w, v}, session.ErrDuplicate},
		{"five of them", []string{v, v, v, v, v}, session.ErrDuplicate},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := m.Load(request(test.cookies...))
			if !errors.Is(err, test.want) {
				t.Fatalf("Load: %v, want %v", err, test.want)
			}
			if strings.Contains(err.Error(), value[:16]) {
				t.Errorf("the error contains the cookie: %v", err)
			}
			if !s.IsNew() {
				t.Error("the session is not new")
			}
			if got := visits.Get(s); got != 0 {
				t.Errorf("visits = %d, want 0", got)
			}
			visits.Set(s, 1)
			if got := sent(t, save(t, m, s)); got == "" {
				t.Error("no Set-Cookie for the new session, want one")
			}
		})
	}
}

// A visitor whose cookie is refused can log out all the same.
func TestClearDeletesARefusedCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	first, second := visit(t, m, "", write), visit(t, m, "", func(s *session.Session) { visits.Set(s, 2) })
	for name, cookies := range map[string]string{
		"forged":               first + "x",
		"signed in the future": "session=" + mint(`{"visits":1}`, time.Now().Add(time.Hour)),
		"empty":                "session=",
		"two that are valid":   first + "; " + second,
		"five of them":         strings.Repeat(first+"; ", 5),
		"valid and not valid":  first + "; session=bad",
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := m.Load(request(cookies)) // TestLoadRefuses checks the error
			s.Clear()
			if got := sent(t, save(t, m, s)); got != "session=" {
				t.Errorf("Set-Cookie: %q, want one that deletes", got)
			}
		})
	}
}

func TestLoadFindsTheValidCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	v := signedIn(t, m)
	for _, test := range []struct {
		name    string
		cookies []string
	}{
		{"alone", []string{v}},
		{"after one that is not valid", []string{"session=bad; " + v}},
		{"before one that is not valid", []string{v + "; session=bad"}},
		{"in another line", []string{"session=bad", v}},
		{"twice", []string{v + "; " + v}},
		{"four times", []string{v, v, v, v}},
		{"after an empty one", []string{"session=; " + v}},
		{"between other names", []string{"a=b; " + v + "; c=d"}},
		{"after a quoted one", []string{`session="quoted"; ` + v}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := load(t, m, test.cookies...)
			if s.IsNew() {
				t.Error("the session is new")
			}
			if got := visits.Get(s); got != 1 {
				t.Errorf("visits = %d, want 1", got)
			}
		})
	}
}

// If a release changes Path, Domain or Partitioned, the browser keeps the new cookie
// beside the old one. That is why the comments say to change Name too.
func TestReleaseWithAnotherPathNeedsAnotherName(t *testing.T) {
	release1 := session.Options{Secure: true, SameSite: http.SameSiteNoneMode}
	for what, change := range map[string]func(*session.Options){
		"Partitioned": func(o *session.Options) { o.Partitioned = true },
		"Path":        func(o *session.Options) { o.Path = "/app" },
		"Domain":      func(o *session.Options) { o.Domain = "example.com" },
	} {
		t.Run(what, func(t *testing.T) {
			release2 := release1
			change(&release2)
			old, m := newManager(t, release1), newManager(t, release2)
			before := visit(t, old, "", write)
			after := visit(t, m, "", func(s *session.Session) { visits.Set(s, 7) })
			if _, err := m.Load(request(before + "; " + after)); !errors.Is(err, session.ErrDuplicate) {
				t.Errorf("both cookies: %v, want ErrDuplicate", err)
			}
			release2.Name = "session2"
			m = newManager(t, release2)
			after = visit(t, m, "", func(s *session.Session) { visits.Set(s, 7) })
			if got := visits.Get(load(t, m, before+"; "+after)); got != 7 {
				t.Errorf("with another Name: visits = %d, want 7", got)
			}
		})
	}
}

func TestLoadIgnoresOtherNames(t *testing.T) {
	m := newManager(t, session.Options{})
	value := strings.TrimPrefix(signedIn(t, m), "session=")
	for name, cookie := range map[string]string{
		"none":              "",
		"an empty value":    "session=",
		"upper case":        "Session=" + value,
		"an equals sign":    "=session=" + value,
		"an encoded one":    "session%3D" + value,
		"a letter before":   "xsession=" + value,
		"in another cookie": "a=session=" + value,
	} {
		t.Run(name, func(t *testing.T) {
			if s := load(t, m, cookie); !s.IsNew() {
				t.Error("the session is not new")
			}
		})
	}
}

func TestLoadReadsCookiesOnly(t *testing.T) {
	m := newManager(t, session.Options{})
	value := strings.TrimPrefix(signedIn(t, m), "session=")
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/?session="+value, nil),
		httptest.NewRequest("POST", "/", strings.NewReader("session="+value)),
	} {
		t.Run(r.Method, func(t *testing.T) {
			r.Header.Set("Session", value)
			r.Header.Set("X-Session", value)
			s, err := m.Load(r)
			if err != nil {
				t.Fatalf("Load: %v, want nil", err)
			}
			if !s.IsNew() {
				t.Error("the session is not new")
			}
		})
	}
}

// If a request has more than 3000 cookies, net/http gives a handler none of them.
func TestMoreThan3000CookiesAreNoCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	v := signedIn(t, m)
	if s := load(t, m, strings.Repeat("a=b; ", 2999)+v); s.IsNew() {
		t.Error("of 3000 cookies: the session is new")
	}
	if s := load(t, m, strings.Repeat("a=b; ", 3000)+v); !s.IsNew() {
		t.Error("of 3001 cookies: the session is not new")
	}
}

func TestClockMayStepBackAMinute(t *testing.T) {
	m := newManager(t, session.Options{})
	ahead := func(d time.Duration) string { return "session=" + mint(`{"a":1}`, time.Now().Add(d)) }
	if s := load(t, m, ahead(30*time.Second)); s.IsNew() {
		t.Error("signed half a minute ahead: the session is new")
	}
	refused(t, m, ahead(time.Hour), session.ErrExpired)
}

// A cookie is re-signed when a tenth of its time has passed, and not before.
func TestCookieIsReSignedAfterATenthOfItsTime(t *testing.T) {
	idle := session.Options{IdleTimeout: 100 * time.Minute}
	lifetime := session.Options{Lifetime: 100 * time.Minute}
	keep := session.Options{Lifetime: 100 * time.Minute, KeepExpiry: true}
	const permanent, browser = true, false
	nothing := func(*session.Session) {}
	for _, test := range []struct {
		name      string
		opts      session.Options
		permanent bool
		use       func(*session.Session)
		after     time.Duration
		want      bool
	}{
		{"idle, before a tenth", idle, browser, read, 10*time.Minute - time.Second, false},
		{"idle, after a tenth", idle, browser, read, 10 * time.Minute, true},
		{"idle, not used", idle, browser, nothing, 50 * time.Minute, false},
		{"idle, asked whether it is new", idle, browser, func(s *session.Session) { s.IsNew() }, 50 * time.Minute, true},
		{"permanent, before a tenth", lifetime, permanent, read, 10*time.Minute - time.Second, false},
		{"permanent, after a tenth", lifetime, permanent, read, 10 * time.Minute, true},
		{"permanent, not used", lifetime, permanent, nothing, 50 * time.Minute, false},
		{"permanent, kept expiry", keep, permanent, read, 50 * time.Minute, false},
		{"permanent, kept expiry, written", keep, permanent, write, 50 * time.Minute, true},
		{"not permanent", lifetime, browser, read, 50 * time.Minute, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, test.opts)
				cookie := visit(t, m, "", func(s *session.Session) { visits.Set(s, 1); s.SetPermanent(test.permanent) })
				time.Sleep(test.after)
				after := visit(t, m, cookie, test.use)
				if got := after != cookie; got != test.want {
					t.Errorf("re-signed: %t, want %t", got, test.want)
				}
				if got := load(t, m, after).Permanent(); got != test.permanent {
					t.Errorf("permanent: %t, want %t", got, test.permanent)
				}
			})
		})
	}
}

func TestSessionOfAnOldSecretIsReSignedInUse(t *testing.T) {
	old, m := withOldSecret(t)
	cookie := signedIn(t, old)
	if got := visit(t, m, cookie, func(*session.Session) {}); got != cookie {
		t.Error("re-signed, and it was not used")
	}
	reSigned := visit(t, m, cookie, read)
	if reSigned == cookie {
		t.Fatal("not re-signed, and it was used")
	}
	later := newManager(t, session.Options{}) // has dropped the old secret
	if got := visits.Get(load(t, later, reSigned)); got != 1 {
		t.Errorf("visits = %d under the new secret, want 1", got)
	}
	refused(t, later, cookie, session.ErrSignature)
}

// Flask compresses, and this package does not. So a session of Flask's can be too large
// to sign again. Its cookie stays as it is until a request changes the session.
func TestRefreshThatDoesNotFitIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1731000000, 0)))
		m := newManager(t, session.Options{IdleTimeout: time.Hour})
		cookie := "session=" + mintEncoded(compressed(`{"note":"`+strings.Repeat("x", 10_000)+`"}`), time.Now())
		time.Sleep(30 * time.Minute)
		note := session.Key[string]("note")
		if got := visit(t, m, cookie, func(s *session.Session) { note.Get(s) }); got != cookie {
			t.Errorf("Set-Cookie: %s after a read, want none", got)
		}
		s := load(t, m, cookie)
		write(s)
		saveFails(t, m, s, session.ErrTooLarge)
	})
}

// A program that calls Save inside Handler, which calls it too, sends one cookie.
func TestSavingTwiceSetsOneCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	w := httptest.NewRecorder()
	w.Header().Add("Set-Cookie", "another=1")
	for i := range 3 {
		visits.Set(s, i)
		for range 2 {
			if err := m.Save(w, request(), s); err != nil {
				t.Fatalf("Save: %v, want nil", err)
			}
		}
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 2 {
		t.Fatalf("cookies %v, want two", cookies)
	}
	if got := cookies[0].Name; got != "another" {
		t.Errorf("the first cookie is %s, want another", got)
	}
	if got := visits.Get(load(t, m, "session="+cookies[1].Value)); got != 2 {
		t.Errorf("visits = %d, want 2", got)
	}
}

func TestSavedSessionIsNotSavedAgain(t *testing.T) {
	old, m := withOldSecret(t)
	s := load(t, m, signedIn(t, old))
	read(s)
	if got := sent(t, save(t, m, s)); got == "" {
		t.Error("no Set-Cookie for an old secret, want one")
	}
	if got := sent(t, save(t, m, s)); got != "" {
		t.Errorf("re-signed twice: %s", got)
	}
	s.Clear()
	if got := sent(t, save(t, m, s)); got != "session=" {
		t.Errorf("Set-Cookie: %s, want one that deletes", got)
	}
	s.Clear()
	if got := sent(t, save(t, m, s)); got != "" {
		t.Errorf("deleted twice: %s", got)
	}
}

// withOldSecret returns a manager with an old secret, and one for which that secret is
// the old one.
func withOldSecret(t *testing.T) (before, after *session.Manager) {
	t.Helper()
	old := bytes.Repeat([]byte("o"), 32)
	before, err := session.New(old, nil)
	if err != nil {
		t.Fatal(err)
	}
	return before, newManager(t, session.Options{OldSecrets: [][]byte{old}})
}

// compressed returns a payload as Flask encodes it when it is long.
func compressed(payload string) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	w.Write([]byte(payload))
	w.Close()
	return "." + base64.RawURLEncoding.EncodeToString(buf.Bytes())
}
