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

func TestSetCookieAttributes(t *testing.T) {
	for _, test := range []struct {
		name      string
		opts      session.Options
		permanent bool
		want      string
	}{
		{"the defaults", session.Options{}, false, "; Path=/; HttpOnly; SameSite=Lax"},
		{"permanent", session.Options{}, true, "; Path=/; Max-Age=2678400; HttpOnly; SameSite=Lax"},
		{"a lifetime", session.Options{Lifetime: time.Hour}, true, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"},
		{"__Host-", session.Options{Name: "__Host-session", Secure: true, SameSite: http.SameSiteStrictMode}, false,
			"; Path=/; HttpOnly; Secure; SameSite=Strict"},
		{"all of them", session.Options{Path: "/a", Domain: "example.com", Secure: true, SameSite: http.SameSiteNoneMode, Partitioned: true}, false,
			"; Path=/a; Domain=example.com; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newManager(t, test.opts)
			s := load(t, m)
			visits.Set(s, 1)
			s.SetPermanent(test.permanent)
			h := save(t, m, s)
			cookie := sent(t, h)
			if got := strings.TrimPrefix(h.Get("Set-Cookie"), cookie); got != test.want {
				t.Errorf("attributes %q, want %q", got, test.want)
			}
			s = load(t, m, cookie)
			s.Clear()
			deleted := save(t, m, s).Get("Set-Cookie")
			name, _, _ := strings.Cut(cookie, "=")
			withoutMaxAge := strings.Replace(deleted, "; Max-Age=0", "", 1)
			want := name + "=" + strings.Replace(strings.Replace(test.want, "; Max-Age=2678400", "", 1), "; Max-Age=3600", "", 1)
			if withoutMaxAge != want || withoutMaxAge == deleted {
				t.Errorf("deleted by %q, want the attributes of %q and Max-Age=0", deleted, want)
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
		{"two that hold", []string{v + "; " + w}, session.ErrDuplicate},
		{"two that hold, the other way round", []string{w, v}, session.ErrDuplicate},
		{"five of them", []string{v, v, v, v, v}, session.ErrDuplicate},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := m.Load(request(test.cookies...))
			if !errors.Is(err, test.want) {
				t.Fatalf("Load: %v, want %v", err, test.want)
			}
			if strings.Contains(err.Error(), value[:16]) {
				t.Errorf("the error holds the cookie: %v", err)
			}
			if !s.IsNew() || visits.Get(s) != 0 {
				t.Error("the session is not new")
			}
			visits.Set(s, 1)
			if sent(t, save(t, m, s)) == "" {
				t.Error("the new session cannot be saved")
			}
		})
	}
}

func TestLoadFindsTheCookieThatHolds(t *testing.T) {
	m := newManager(t, session.Options{})
	v := signedIn(t, m)
	for _, cookies := range [][]string{
		{v}, {"session=bad; " + v}, {v + "; session=bad"}, {"session=bad", v}, {v + "; " + v}, {v, v, v, v},
		{"session=; " + v}, {"a=b; " + v + "; c=d"}, {`session="quoted"; ` + v},
	} {
		if s := load(t, m, cookies...); s.IsNew() || visits.Get(s) != 1 {
			t.Errorf("%q: not found", cookies)
		}
	}
}

// A browser keeps a cookie that has another Path, Domain or Partitioned beside the one
// that it has. The comments say to change Name too; this is why.
func TestSecondCookieOfALaterRelease(t *testing.T) {
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
	for _, cookie := range []string{
		"", "session=", "Session=" + value, "=session=" + value, "session%3D" + value, "xsession=" + value,
	} {
		if s, err := m.Load(request(cookie)); err != nil || !s.IsNew() {
			t.Errorf("%.20q: %v, new %v, want a new session and no error", cookie, err, s.IsNew())
		}
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/?session="+value, nil),
		httptest.NewRequest("POST", "/", strings.NewReader("session="+value)),
	} {
		r.Header.Set("Session", value)
		r.Header.Set("X-Session", value)
		if s, err := m.Load(r); err != nil || !s.IsNew() {
			t.Errorf("%s: a session from somewhere else than a cookie", r.URL)
		}
	}
}

// net/http gives a handler no cookie at all when a request has more than 3000.
func TestMoreThan3000CookiesAreNoCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	v := signedIn(t, m)
	if s := load(t, m, strings.Repeat("a=b; ", 2999)+v); s.IsNew() {
		t.Error("not found among 3000 cookies")
	}
	if s := load(t, m, strings.Repeat("a=b; ", 3000)+v); !s.IsNew() {
		t.Error("found among 3001 cookies")
	}
}

func TestClockThatStepsBack(t *testing.T) {
	m := newManager(t, session.Options{})
	if s, err := m.Load(request("session=" + mint(`{"a":1}`, time.Now().Add(30*time.Second)))); err != nil || s.IsNew() {
		t.Errorf("half a minute ahead: %v", err)
	}
	if _, err := m.Load(request("session=" + mint(`{"a":1}`, time.Now().Add(time.Hour)))); !errors.Is(err, session.ErrExpired) {
		t.Errorf("an hour ahead: %v, want ErrExpired", err)
	}
}

// A cookie is signed anew when a tenth of its time has passed, and not before.
func TestRefresh(t *testing.T) {
	idle := session.Options{IdleTimeout: 100 * time.Minute}
	lifetime := session.Options{Lifetime: 100 * time.Minute}
	keep := session.Options{Lifetime: 100 * time.Minute, KeepExpiry: true}
	permanent := func(s *session.Session) { s.SetPermanent(true) }
	nothing := func(*session.Session) {}
	for _, test := range []struct {
		name       string
		opts       session.Options
		first, use func(*session.Session)
		after      time.Duration
		want       bool
	}{
		{"idle, before a tenth", idle, nothing, read, 10*time.Minute - time.Second, false},
		{"idle, after a tenth", idle, nothing, read, 10 * time.Minute, true},
		{"idle, not used", idle, nothing, nothing, 50 * time.Minute, false},
		{"idle, asked whether it is new", idle, nothing, func(s *session.Session) { s.IsNew() }, 50 * time.Minute, true},
		{"permanent, before a tenth", lifetime, permanent, read, 10*time.Minute - time.Second, false},
		{"permanent, after a tenth", lifetime, permanent, read, 10 * time.Minute, true},
		{"permanent, not used", lifetime, permanent, nothing, 50 * time.Minute, false},
		{"permanent, kept expiry", keep, permanent, read, 50 * time.Minute, false},
		{"permanent, kept expiry, written", keep, permanent, write, 50 * time.Minute, true},
		{"not permanent", lifetime, nothing, read, 50 * time.Minute, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, test.opts)
				s := load(t, m)
				visits.Set(s, 1)
				test.first(s)
				cookie := sent(t, save(t, m, s))
				time.Sleep(test.after)
				fresh := visit(t, m, cookie, test.use)
				if got := fresh != cookie; got != test.want {
					t.Errorf("signed anew: %v, want %v", got, test.want)
				}
				s = load(t, m, fresh)
				if s.Permanent() != (test.opts.Lifetime > 0 && test.name != "not permanent") {
					t.Errorf("permanent: %v", s.Permanent())
				}
			})
		})
	}
}

func TestSessionOfAnOldSecretIsSignedAnewInUse(t *testing.T) {
	old := bytes.Repeat([]byte("o"), 32)
	before, err := session.New(old, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t, session.Options{OldSecrets: [][]byte{old}})
	cookie := signedIn(t, before)
	if fresh := visit(t, m, cookie, func(*session.Session) {}); fresh != cookie {
		t.Error("signed anew though it was not used")
	}
	fresh := visit(t, m, cookie, read)
	if fresh == cookie {
		t.Fatal("not signed anew")
	}
	if got := visits.Get(load(t, newManager(t, session.Options{}), fresh)); got != 1 {
		t.Errorf("visits = %d under the new secret, want 1", got)
	}
	if _, err := newManager(t, session.Options{}).Load(request(cookie)); !errors.Is(err, session.ErrSignature) {
		t.Errorf("a secret that was dropped: %v, want ErrSignature", err)
	}
}

// compressed returns a payload as Flask encodes it when it is long.
func compressed(payload string) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	w.Write([]byte(payload))
	w.Close()
	return "." + base64.RawURLEncoding.EncodeToString(buf.Bytes())
}

// Flask compresses, and this package does not: a session that is too large for
// it stays as it is, until something is to be changed.
func TestRefreshThatDoesNotFitIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1731000000, 0)))
		m := newManager(t, session.Options{IdleTimeout: time.Hour})
		cookie := "session=" + mintEncoded(compressed(`{"note":"`+strings.Repeat("x", 10_000)+`"}`), time.Now())
		time.Sleep(30 * time.Minute)
		note := session.Key[string]("note")
		if fresh := visit(t, m, cookie, func(s *session.Session) { note.Get(s) }); fresh != cookie {
			t.Error("it was signed anew")
		}
		s := load(t, m, cookie)
		write(s)
		if err := m.Save(httptest.NewRecorder(), request(), s); !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("a change: %v, want ErrTooLarge", err)
		}
	})
}

// Somebody who calls Save, and then has Handler call it too, sends one cookie.
func TestSavingTwiceSetsOneCookie(t *testing.T) {
	m := newManager(t, session.Options{})
	s := load(t, m)
	w := httptest.NewRecorder()
	w.Header().Add("Set-Cookie", "another=1")
	for i := range 3 {
		visits.Set(s, i)
		if err := m.Save(w, request(), s); err != nil {
			t.Fatal(err)
		}
		if err := m.Save(w, request(), s); err != nil {
			t.Fatal(err)
		}
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 2 || cookies[0].Name != "another" {
		t.Fatalf("cookies: %v", cookies)
	}
	if got := visits.Get(load(t, m, "session="+cookies[1].Value)); got != 2 {
		t.Errorf("visits = %d, want 2", got)
	}
}

func TestSavedSessionIsUpToDate(t *testing.T) {
	old := bytes.Repeat([]byte("o"), 32)
	before, err := session.New(old, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t, session.Options{OldSecrets: [][]byte{old}})
	s := load(t, m, signedIn(t, before))
	read(s)
	if sent(t, save(t, m, s)) == "" || sent(t, save(t, m, s)) != "" {
		t.Error("signed anew other than once")
	}
	s.Clear()
	if sent(t, save(t, m, s)) == "" {
		t.Error("not deleted")
	}
	s.Clear()
	if got := sent(t, save(t, m, s)); got != "" {
		t.Errorf("deleted twice: %s", got)
	}
}
