package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestDashboardWithoutSessionGoesToLogin(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, path := range []string{"/dashboard", "/"} {
		if page := browser.Get(path); page.Path != "/login" {
			t.Errorf("%s leads to %s, want /login", path, page.Path)
		}
	}
	page := browser.Send(httptest.NewRequest("GET", webtest.Origin+"/dashboard", nil))
	page.MustBe(http.StatusSeeOther, "")
}

func TestLoginPageAnnouncesTheDemoAccount(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/login")
	page.MustShow("The demo account is <b>admin</b>, its password is <b>password</b>.")
}

// Tests that hash a password run in parallel, because hashing is made to be slow.
func TestLoginLeadsToTheDashboard(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	page := browser.Post("/login", credentials("admin", "password"))
	page.MustShow("Welcome to your dashboard, admin!")
	page.MustBeAt("/dashboard")
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")
	mustHavePayload(t, browser, `{"username":"admin"}`)
}

func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", signed(t, func(s *session.Session) {
		username.Set(s, "mallory")
		session.Key[string]("deliver_to").Set(s, "Mallory, 1 Planted Street")
		s.SetPermanent(true)
	}))
	browser.Post("/login", credentials("admin", "password"))
	mustHavePayload(t, browser, `{"username":"admin"}`)
}

func TestWrongLoginShowsTheFormAgain(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	page := browser.Post("/login", credentials("admin", "letmein"))
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	page.MustBe(http.StatusForbidden, `value="admin"`)
	page.MustNotShow("letmein")
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("got Set-Cookie: %s, want none", line)
	}
}

// A hash takes many milliseconds. Without one, the response takes microseconds.
func TestUnknownUserGetsTheSameResponseForTheSameWork(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	start := time.Now()
	page := browser.Post("/login", credentials("stranger", "password"))
	if took := time.Since(start); took < 5*time.Millisecond {
		t.Errorf("got the response after %v, want at least 5ms, because %d rounds take longer", took, rounds)
	}
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	page.MustBe(http.StatusForbidden, `value="stranger"`)
}

func TestMissingFieldIsNamed(t *testing.T) {
	for body, want := range map[string]string{
		"password=x":               "The username is missing.",
		"username=&password=x":     "The username is missing.",
		"username=admin":           "The password is missing.",
		"username=ada&password=":   "The password is missing.",
		"user%6eame=admin&other=x": "The password is missing.",
		"":                         "The username is missing.",
		"username=%zz":             "The form is damaged.",
	} {
		t.Run("body "+body, func(t *testing.T) {
			browser := webtest.NewBrowser(t, site(t))
			post(browser, "/login", strings.NewReader(body)).MustBe(http.StatusBadRequest, want)
		})
	}
}

func TestPasswordInTheAddressIsIgnored(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login?username=admin&password=password", nil)
	page.MustBe(http.StatusBadRequest, "The username is missing.")
}

func TestHugeFormIsRefused(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", credentials(strings.Repeat("x", 1<<20), "password"))
	page.MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 4096 bytes.")
	if got := len(page.Body); got > 10_000 {
		t.Errorf("got a response of %d bytes, want at most 10000", got)
	}
}

func TestTypedHTMLStaysText(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", url.Values{"username": {`"><script>alert(1)</script>`}})
	page.MustNotShow("<script")
}

func TestDashboardIsNeverStored(t *testing.T) {
	page := loggedIn(t).Get("/dashboard")
	page.MustShow("Welcome")
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("got Cache-Control %q, want no-store", got)
	}
}

func TestRemovedUserIsLoggedOut(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", signed(t, func(s *session.Session) { username.Set(s, "left-us") }))
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestForgedCookieIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", "eyJ1c2VybmFtZSI6ImFkbWluIn0.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestLogoutDeletesTheCookie(t *testing.T) {
	browser := loggedIn(t)
	browser.Post("/logout", nil).MustBeAt("/login")
	if value := browser.Cookie("/", "auth"); value != "" {
		t.Errorf("after logout the browser has the cookie %s, want none", value)
	}
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("got Clear-Site-Data %s, want %q", got, "cache")
	}
}

func TestLogoutTakesAPost(t *testing.T) {
	browser := loggedIn(t)
	browser.Get("/logout").MustBe(http.StatusMethodNotAllowed, "")
	browser.Get("/dashboard").MustShow("Welcome")
}

// No client-side session can prevent this. The server remembers nothing, so it cannot
// know that the visitor has logged out.
func TestCopiedCookieStillWorksAfterLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stolen := browser.Cookie("/", "auth")
		browser.Post("/logout", nil)

		thief := webtest.NewBrowser(t, site(t))
		thief.SetCookie("auth", stolen)
		thief.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")

		time.Sleep(31*24*time.Hour + time.Second)
		thief.Get("/dashboard").MustBeAt("/login")
	})
}

func TestOtherSitesCannotLogInOrOut(t *testing.T) {
	for _, path := range []string{"/login", "/logout"} {
		for name, value := range map[string]string{
			"Sec-Fetch-Site": "cross-site",
			"Origin":         "https://evil.example",
		} {
			t.Run(path+" with "+name, func(t *testing.T) {
				browser := loggedIn(t)
				body := strings.NewReader(credentials("admin", "password").Encode())
				r := httptest.NewRequest("POST", webtest.Origin+path, body)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set(name, value)
				page := browser.Send(r)
				page.MustBe(http.StatusForbidden, "")
				if line := page.Header.Get("Set-Cookie"); line != "" {
					t.Errorf("got Set-Cookie: %s, want none", line)
				}
				browser.Get("/dashboard").MustShow("Welcome")
			})
		}
	}
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", url.Values{"username": {"admin"}, "password": {"password\x00"}})
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}

// go run ./lessons/04-auth -hash makes the entry of a new user.
func TestPrintedEntryHasThePassword(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	if err := printEntry(&printed, strings.NewReader("correct horse\nnot read\n")); err != nil {
		t.Fatal(err)
	}
	var made password
	if _, err := fmt.Sscanf(printed.String(), "{Salt: %q, Hash: %q},\n", &made.Salt, &made.Hash); err != nil {
		t.Fatalf("got %q: %v, want an entry", printed.String(), err)
	}
	if !made.matches("correct horse") {
		t.Errorf("the entry %q does not match the password, want that it does", printed.String())
	}
	if made.matches("correct horse\n") {
		t.Error("the entry has the line's end in its password, want it without")
	}
}

// A visitor with the right password must not wait behind any number of wrong logins.
func TestTooManyLoginsAre503AtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing {
			logins.hashing <- struct{}{}
		}
		for range maxWaiting {
			logins.waiting <- struct{}{}
		}
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
		page := webtest.NewBrowser(t, manager(t).Handler(mux)).Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("got status %d, want 503", page.Status)
		}
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response has no Retry-After, want one")
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("got Set-Cookie: %s, want none", got)
		}
	})
}

func TestLoginWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing { // other passwords are being hashed
			logins.hashing <- struct{}{}
		}
		ctx, leave := context.WithCancel(t.Context())
		results := make(chan bool, 1)
		go func() {
			right := false
			logins.do(ctx, func() { right = check("admin", "password") })
			results <- right
		}()
		synctest.Wait()
		if len(results) > 0 {
			t.Error("the check returned before it had a turn, want it to wait")
		}
		leave()
		if <-results {
			t.Error("a visitor who left was logged in, want no login")
		}
		for range maxHashing {
			<-logins.hashing
		}
		for range 2 * maxHashing { // each check gives its turn back
			right := false
			if err := logins.do(t.Context(), func() { right = check("admin", "password") }); !right {
				t.Errorf("the right password with a turn: got %v and error %v, want true", right, err)
			}
		}
	})
}

// Any number of clients can leave their response unread. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, release := site(t), make(chan struct{})
		defer close(release)
		for range maxHashing {
			r := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader(credentials("admin", "wrong").Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			go handler.ServeHTTP(unread{httptest.NewRecorder(), release}, r)
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", credentials("admin", "wrong"))
		page.MustBe(http.StatusForbidden, "Invalid credentials")
	})
}

func TestSlowFormsDelayNoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := site(t)
		for range maxHashing {
			body, sender := io.Pipe()
			defer sender.Close()
			go post(webtest.NewBrowser(t, handler), "/login", body)
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", nil)
		page.MustBe(http.StatusBadRequest, "The username is missing.")
	})
}

var secret = bytes.Repeat([]byte("s"), 32)

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "auth"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// site returns the lesson's handler.
func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(manager(t))
}

// signed returns a cookie that has the site's signature, as an older release could
// have sent it. fill sets the values of its session.
func signed(t *testing.T, fill func(*session.Session)) string {
	t.Helper()
	sessions := manager(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	s, err := sessions.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	fill(s)
	if err := sessions.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

// loggedIn returns a browser with the session of the user admin. It uses no password,
// because hashing one is slow.
func loggedIn(t *testing.T) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", signed(t, func(s *session.Session) { username.Set(s, "admin") }))
	return browser
}

func credentials(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// post sends a body, which need not be a form that can be read.
func post(browser *webtest.Browser, path string, body io.Reader) webtest.Page {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return browser.Send(r)
}

// unread is a response whose client reads nothing until release is closed.
type unread struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w unread) Write(p []byte) (int, error) {
	<-w.release
	return len(p), nil
}

// mustHavePayload wants this payload in the browser's cookie.
func mustHavePayload(t *testing.T, browser *webtest.Browser, want string) {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "auth"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(parts.Payload); got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
}
