package session_test

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
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
			if m != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("New: %v, %v, want an error with %q", m, err, test.want)
			}
			if strings.Contains(err.Error(), string(short)) || !strings.HasPrefix(err.Error(), "session: ") {
				t.Errorf("the error is %q", err)
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
		if _, err := session.New(secret, opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrintedManagerShowsNoSecret(t *testing.T) {
	old := []byte("an-old-secret-of-thirty-two-bytes")
	m := newManager(t, session.Options{OldSecrets: [][]byte{old}})
	if text := fmt.Sprintf("%+v", m); strings.Contains(text, string(old)) || strings.Contains(text, fmt.Sprint(old)) {
		t.Error("a printed Manager shows an old secret")
	}
}

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

// mint makes a cookie's value as the package should, by other means, so that it
// can hold any payload.
func mint(payload string, at time.Time) string {
	return mintEncoded(base64.RawURLEncoding.EncodeToString([]byte(payload)), at)
}

func mintEncoded(payload string, at time.Time) string {
	mac := func(key, message []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(message)
		return h.Sum(nil)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	timestamp := binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))
	value := payload + "." + b64(timestamp)
	return value + "." + b64(mac(mac(secret, []byte("cookie-session")), []byte(value)))
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

// vector is a cookie that Flask made: see testdata/README.md.
type vector struct {
	Secret   string
	Digest   string
	SignedAt int64 `json:"signed_at"`
	Session  json.RawMessage
	Cookie   string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/flask_cookies.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d vectors, want 20", len(all))
	}
	return all
}

// at runs f in a bubble whose clock shows v's second.
func (v vector) at(t *testing.T, f func(t *testing.T, m *session.Manager)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(v.SignedAt, 0)))
		opts := session.Options{Logger: quiet}
		if v.Digest == "sha1" {
			opts.Hash = sha1.New
		}
		m, err := session.New([]byte(v.Secret), &opts)
		if err != nil {
			t.Fatal(err)
		}
		f(t, m)
	})
}

func TestFlaskCookiesOpen(t *testing.T) {
	for _, v := range vectors(t) {
		v.at(t, func(t *testing.T, m *session.Manager) {
			s := load(t, m, "session="+v.Cookie)
			var want map[string]json.RawMessage
			json.Unmarshal(v.Session, &want)
			if got := string(want["_permanent"]) == "true"; s.Permanent() != got {
				t.Errorf("%s: permanent %v, want %v", v.Session, s.Permanent(), got)
			}
			delete(want, "_permanent")
			for name, value := range want {
				if got := session.Key[json.RawMessage](name).Get(s); !equalJSON(got, value) {
					t.Errorf("%s is %s, want %s", name, got, value)
				}
			}
			parts, err := session.Inspect(v.Cookie)
			if err != nil || !equalJSON(parts.Payload, v.Session) || parts.SignedAt.Unix() != v.SignedAt {
				t.Errorf("Inspect: %+v, %v, want %s", parts, err, v.Session)
			}
			if err := m.Verify(v.Cookie); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

// Where Flask's cookie is not compressed, its keys are in order and it is ASCII,
// ours is the same to the letter.
func TestFlaskCookiesAreOurs(t *testing.T) {
	same := 0
	for _, v := range vectors(t) {
		payload, _ := session.Inspect(v.Cookie)
		var values map[string]json.RawMessage
		json.Unmarshal(v.Session, &values)
		sorted, _ := json.Marshal(values)
		if strings.HasPrefix(v.Cookie, ".") || len(values) == 0 || !bytes.Equal(sorted, payload.Payload) {
			continue
		}
		same++
		v.at(t, func(t *testing.T, m *session.Manager) {
			s := load(t, m)
			for name, value := range values {
				session.Key[json.RawMessage](name).Set(s, value)
			}
			if got := sent(t, save(t, m, s)); got != "session="+v.Cookie {
				t.Errorf("%s: %s, Flask writes %s", v.Session, got, v.Cookie)
			}
		})
	}
	if same < 6 {
		t.Errorf("%d cookies compared, want 6 or more", same)
	}
}

func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestVerifyJudgesTheSignatureAndNotTheAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{Lifetime: time.Hour})
		value := strings.TrimPrefix(signedIn(t, m), "session=")
		time.Sleep(1000 * time.Hour)
		for text, want := range map[string]error{
			value: nil, value + "x": session.ErrSignature, "x" + value: session.ErrSignature, "": session.ErrMalformed,
			strings.Repeat("x", 5000): session.ErrTooLarge, mint("{}", time.Unix(1_000_000_000, 0)): nil,
		} {
			if err := m.Verify(text); !errors.Is(err, want) {
				t.Errorf("Verify(%.20q) = %v, want %v", text, err, want)
			}
		}
	})
}

func TestNameSeparatesCookies(t *testing.T) {
	a, b := newManager(t, session.Options{Name: "a"}), newManager(t, session.Options{Name: "b"})
	if err := b.Verify(strings.TrimPrefix(signedIn(t, a), "a=")); !errors.Is(err, session.ErrSignature) {
		t.Errorf("b accepts a's cookie: %v", err)
	}
	flask := newManager(t, session.Options{Name: "a", Salt: "cookie-session"})
	if err := flask.Verify(mint("{}", time.Now())); err != nil {
		t.Errorf("with Flask's salt: %v", err)
	}
}

// Each limit is tried a second before and a second after it.
func TestLimits(t *testing.T) {
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
				end := time.Now().Add(test.limit)
				if got := s.Expires(); !got.Equal(end) {
					t.Errorf("a new session expires %v, want %v", got, end)
				}
				cookie := sent(t, save(t, m, s))
				time.Sleep(test.limit)
				load(t, m, cookie)
				time.Sleep(time.Second)
				s, err := m.Load(request(cookie))
				if !errors.Is(err, session.ErrExpired) || visits.Get(s) != 0 {
					t.Errorf("a second after its limit: %v, want ErrExpired", err)
				}
			})
		})
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

// visit uses the session of a cookie and returns the cookie afterwards.
func visit(t *testing.T, m *session.Manager, cookie string, use func(*session.Session)) string {
	t.Helper()
	s := load(t, m, cookie)
	use(s)
	if fresh := sent(t, save(t, m, s)); fresh != "" {
		return fresh
	}
	return cookie
}

func read(s *session.Session)  { visits.Get(s) }
func write(s *session.Session) { visits.Set(s, visits.Get(s)+1) }

func TestIdleSessionSlidesAndAbsoluteDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{IdleTimeout: 10 * time.Minute, AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		for range 12 { // 60 minutes, in steps that each leave it idle for half its timeout
			time.Sleep(5 * time.Minute)
			cookie = visit(t, m, cookie, read)
		}
		if end := load(t, m, cookie).Expires(); time.Until(end) != 0 {
			t.Errorf("expires in %v, want now", time.Until(end))
		}
		cookie = visit(t, m, cookie, write)
		time.Sleep(time.Second)
		if _, err := m.Load(request(cookie)); !errors.Is(err, session.ErrExpired) {
			t.Errorf("a busy session after its absolute timeout: %v, want ErrExpired", err)
		}
	})
}

// A thief who has a cookie, and no password, must not be able to stay for ever.
func TestRenewLeavesTheAbsoluteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		cookie := signedIn(t, m)
		time.Sleep(50 * time.Minute)
		cookie = visit(t, m, cookie, (*session.Session).Renew)
		if left := time.Until(load(t, m, cookie).Expires()); left != 10*time.Minute {
			t.Errorf("a renewed session expires in %v, want 10m", left)
		}
		time.Sleep(11 * time.Minute)
		if _, err := m.Load(request(cookie)); !errors.Is(err, session.ErrExpired) {
			t.Errorf("a renewed session after its absolute timeout: %v, want ErrExpired", err)
		}
	})
}

func TestCookieWithoutCreatedBeganWhenItWasSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cookie := signedIn(t, newManager(t, session.Options{}))
		m := newManager(t, session.Options{AbsoluteTimeout: time.Hour})
		time.Sleep(50 * time.Minute)
		cookie = visit(t, m, cookie, write)
		time.Sleep(11 * time.Minute)
		if _, err := m.Load(request(cookie)); !errors.Is(err, session.ErrExpired) {
			t.Errorf("%v, want ErrExpired", err)
		}
	})
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

func TestExpiresIsWhatSavingWillMakeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{Lifetime: 100 * time.Minute})
		cookie := signedIn(t, m)
		time.Sleep(5 * time.Minute)
		s := load(t, m, cookie)
		if got := time.Until(s.Expires()); got != 95*time.Minute {
			t.Errorf("a session that is only read ends in %v, want 95m", got)
		}
		write(s)
		if got := time.Until(s.Expires()); got != 100*time.Minute {
			t.Errorf("a changed session ends in %v, want 100m", got)
		}
	})
}

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

func TestDefaultLogger(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	m, err := session.New(secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), request("session=bad"))
	if !strings.Contains(log.String(), "malformed") {
		t.Errorf("log %q", log.String())
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
