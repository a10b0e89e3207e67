package session_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestNewRefuses(t *testing.T) {
	short := []byte("this-secret-is-short")
	for _, test := range []struct {
		name   string
		secret []byte
		opts   session.Options
		want   string // in the error
	}{
		{"no secret", nil, session.Options{}, "32"},
		{"a short secret", short, session.Options{}, "20 bytes"},
		{"a short old secret", secret, session.Options{OldSecrets: [][]byte{secret, short}}, "old secret 2"},
		{"a secret of zero bytes", make([]byte, 64), session.Options{}, "zero bytes"},
		{"an old secret of zero bytes", secret, session.Options{OldSecrets: [][]byte{make([]byte, 32)}}, "old secret 1"},
		{"a domain with a dot at its end", secret, session.Options{Domain: "example.com."}, "Domain"},
		{"a domain that browsers ignore", secret, session.Options{Domain: strings.Repeat("a.", 520) + "com"}, "Domain"},
		{"a path with a space", secret, session.Options{Path: "/a b"}, "Path"},
		{"a path with a quote", secret, session.Options{Path: `/a"b`}, "Path"},
		{"a path with a query", secret, session.Options{Path: "/a?b"}, "Path"},
		{"a path with a fragment", secret, session.Options{Path: "/a#b"}, "Path"},
		{"a path with an angle bracket", secret, session.Options{Path: "/a<b"}, "Path"},
		{"a path with a brace", secret, session.Options{Path: "/{a}"}, "Path"},
		{"a path with a backquote", secret, session.Options{Path: "/a`"}, "Path"},
		{"a path with a backslash", secret, session.Options{Path: `/a\b`}, "Path"},
		{"a path beyond ASCII", secret, session.Options{Path: "/ä"}, "Path"},
		{"a path with a dot segment", secret, session.Options{Path: "/a/./b"}, "Path"},
		{"a path that goes up", secret, session.Options{Path: "/a/.."}, "Path"},
		{"a path that goes up, encoded", secret, session.Options{Path: "/a/%2E%2e/b"}, "Path"},
		{"a path that browsers ignore", secret, session.Options{Path: "/" + strings.Repeat("a", 1024)}, "Path"},
		{"a name with a space", secret, session.Options{Name: "a b"}, "Name"},
		{"a name with an equals sign", secret, session.Options{Name: "a=b"}, "Name"},
		{"a name with a semicolon", secret, session.Options{Name: "a;b"}, "Name"},
		{"a name with a line end", secret, session.Options{Name: "a\r\nb"}, "Name"},
		{"a name with a NUL", secret, session.Options{Name: "a\x00b"}, "Name"},
		{"a name beyond ASCII", secret, session.Options{Name: "sitzung-ä"}, "Name"},
		{"a name of 257 bytes", secret, session.Options{Name: strings.Repeat("n", 257)}, "Name"},
		{"a path that is not absolute", secret, session.Options{Path: "app"}, "Path"},
		{"a path with a semicolon", secret, session.Options{Path: "/a;b"}, "Path"},
		{"a path with a line end", secret, session.Options{Path: "/a\nb"}, "Path"},
		{"a path with a space after it", secret, session.Options{Path: "/a "}, "Path"},
		{"a domain with a leading dot", secret, session.Options{Domain: ".example.com"}, "Domain"},
		{"a domain with a port", secret, session.Options{Domain: "example.com:80"}, "Domain"},
		{"a domain with a space", secret, session.Options{Domain: "example .com"}, "Domain"},
		{"SameSite left to the browser", secret, session.Options{SameSite: http.SameSiteDefaultMode}, "SameSite"},
		{"an unknown SameSite", secret, session.Options{SameSite: 9}, "SameSite"},
		{"a negative SameSite", secret, session.Options{SameSite: -1}, "SameSite"},
		{"None without Secure", secret, session.Options{SameSite: http.SameSiteNoneMode}, "Secure"},
		{"Partitioned without Secure", secret, session.Options{Partitioned: true}, "Secure"},
		{"__Host- without Secure", secret, session.Options{Name: "__Host-x"}, "Secure"},
		{"__Host- with a path", secret, session.Options{Name: "__Host-x", Secure: true, Path: "/x"}, "Path"},
		{"__Host- with a domain", secret, session.Options{Name: "__Host-x", Secure: true, Domain: "example.com"}, "Domain"},
		{"__hOST- with a domain", secret, session.Options{Name: "__hOST-x", Secure: true, Domain: "example.com"}, "Domain"},
		{"__Secure- without Secure", secret, session.Options{Name: "__Secure-x"}, "Secure"},
		{"__SECURE- without Secure", secret, session.Options{Name: "__SECURE-x"}, "Secure"},
		{"__Http- without Secure", secret, session.Options{Name: "__Http-x"}, "Secure"},
		{"__Host-Http- with a path", secret, session.Options{Name: "__Host-Http-x", Secure: true, Path: "/x"}, "Path"},
		{"a negative lifetime", secret, session.Options{Lifetime: -time.Hour}, "-1h"},
		{"a negative idle timeout", secret, session.Options{IdleTimeout: -time.Hour}, "-1h"},
		{"a negative absolute timeout", secret, session.Options{AbsoluteTimeout: -time.Hour}, "-1h"},
		{"a lifetime under a second", secret, session.Options{Lifetime: time.Millisecond}, "seconds"},
		{"a lifetime over 400 days", secret, session.Options{Lifetime: 400*24*time.Hour + time.Second}, "400 days"},
		{"idle beyond absolute", secret, session.Options{IdleTimeout: time.Hour, AbsoluteTimeout: time.Minute}, "IdleTimeout"},
		{"a hash that is too short", secret, session.Options{Hash: md5.New}, "Hash"},
		{"no hash", secret, session.Options{Hash: func() hash.Hash { return nil }}, "Hash"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := session.New(test.secret, &test.opts)
			if err == nil {
				t.Fatal("New: no error, want one")
			}
			if m != nil {
				t.Errorf("New: a Manager with the error, want nil")
			}
			text := err.Error()
			if !strings.Contains(text, test.want) {
				t.Errorf("New: %s, want an error that contains %q", text, test.want)
			}
			if !strings.HasPrefix(text, "session: ") {
				t.Errorf("New: %s, want an error that begins with %q", text, "session: ")
			}
			if strings.Contains(text, string(short)) {
				t.Errorf("the error contains the secret: %s", text)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	for name, opts := range map[string]*session.Options{
		"nil":                    nil,
		"the zero value":         {},
		"a name of 256 bytes":    {Name: strings.Repeat("n", 256)},
		"a domain":               {Domain: "example.com"},
		"a path":                 {Path: "/app"},
		"a path with an escape":  {Path: "/a%20b/c.d/.../~v'1"},
		"a path of 1024 bytes":   {Path: "/" + strings.Repeat("a", 1023)},
		"a secret with zeros":    {OldSecrets: [][]byte{append(make([]byte, 31), 1)}},
		"the shortest lifetime":  {Lifetime: time.Second},
		"the longest lifetime":   {Lifetime: 400 * 24 * time.Hour},
		"idle equal to absolute": {IdleTimeout: time.Hour, AbsoluteTimeout: time.Hour},
		"None with Secure":       {SameSite: http.SameSiteNoneMode, Secure: true, Partitioned: true},
		"__Host-":                {Name: "__Host-x", Secure: true},
		"__Host-Http-":           {Name: "__Host-Http-x", Secure: true},
		"__Secure- with a path":  {Name: "__Secure-x", Secure: true, Path: "/x", Domain: "example.com"},
		"SHA-1":                  {Hash: sha1.New},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := session.New(secret, opts); err != nil {
				t.Errorf("New: %v, want nil", err)
			}
		})
	}
}

func TestPrintedManagerShowsNoSecret(t *testing.T) {
	old := []byte("an-old-secret-of-thirty-two-bytes")
	m := newManager(t, session.Options{OldSecrets: [][]byte{old}})
	text := fmt.Sprintf("%+v", m)
	if strings.Contains(text, string(old)) {
		t.Error("a printed Manager shows an old secret as text")
	}
	if strings.Contains(text, fmt.Sprint(old)) {
		t.Error("a printed Manager shows an old secret as numbers")
	}
}

func TestDefaultLoggerIsThatOfSlog(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	m, err := session.New(secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	respond(m.Handler(http.NotFoundHandler()), "session=bad")
	checkLog(t, log.String(), 1, "malformed")
}

// Each limit is tried at its last second and one second later.
func TestLimitsAreExactToTheSecond(t *testing.T) {
	for _, test := range []struct {
		name  string
		opts  session.Options
		limit time.Duration
	}{
		{"lifetime", session.Options{Lifetime: time.Hour}, time.Hour},
		{"the default lifetime", session.Options{}, 31 * 24 * time.Hour},
		{"idle timeout", session.Options{IdleTimeout: 10 * time.Minute}, 10 * time.Minute},
		{"absolute timeout", session.Options{AbsoluteTimeout: 2 * time.Hour}, 2 * time.Hour},
		{"all of them", session.Options{Lifetime: 3 * time.Hour, IdleTimeout: time.Hour, AbsoluteTimeout: 2 * time.Hour}, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, test.opts)
				s := load(t, m)
				visits.Set(s, 1)
				if got, want := s.Expires(), time.Now().Add(test.limit); !got.Equal(want) {
					t.Errorf("a new session expires %v, want %v", got, want)
				}
				cookie := sent(t, save(t, m, s))
				time.Sleep(test.limit)
				load(t, m, cookie)
				time.Sleep(time.Second)
				s = refused(t, m, cookie, session.ErrExpired)
				if got := visits.Get(s); got != 0 {
					t.Errorf("visits = %d of an expired session, want 0", got)
				}
			})
		})
	}
}

func TestExpiresIsWhatSavingWillMakeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{Lifetime: 100 * time.Minute})
		cookie := signedIn(t, m)
		time.Sleep(5 * time.Minute)
		s := load(t, m, cookie)
		if got := time.Until(s.Expires()); got != 95*time.Minute {
			t.Errorf("a session that is only read expires in %v, want 95m", got)
		}
		write(s)
		if got := time.Until(s.Expires()); got != 100*time.Minute {
			t.Errorf("a changed session expires in %v, want 100m", got)
		}
	})
}

func TestIdleSessionSlidesAndAbsoluteDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{IdleTimeout: 10 * time.Minute, AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		for range 12 { // 60 minutes, in steps that each leave it idle for half its timeout
			time.Sleep(5 * time.Minute)
			cookie = visit(t, m, cookie, read)
		}
		if got := time.Until(load(t, m, cookie).Expires()); got != 0 {
			t.Errorf("a busy session expires in %v, want 0s", got)
		}
		cookie = visit(t, m, cookie, write)
		time.Sleep(time.Second)
		refused(t, m, cookie, session.ErrExpired)
	})
}

// A thief who has a cookie, and no password, must not be able to stay for ever.
func TestRenewLeavesTheAbsoluteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(50 * time.Minute)
		cookie = visit(t, m, cookie, (*session.Session).Renew)
		if got := time.Until(load(t, m, cookie).Expires()); got != 10*time.Minute {
			t.Errorf("a renewed session expires in %v, want 10m", got)
		}
		time.Sleep(11 * time.Minute)
		refused(t, m, cookie, session.ErrExpired)
	})
}

func TestCookieWithoutCreatedBeganWhenItWasSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cookie := signedIn(t, newManager(t, session.Options{}))
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		time.Sleep(50 * time.Minute)
		cookie = visit(t, m, cookie, write)
		time.Sleep(11 * time.Minute)
		refused(t, m, cookie, session.ErrExpired)
	})
}
