package main

import (
	"bytes"
	"context"
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
			t.Errorf("%s leads to %s", path, page.Path)
		}
	}
	page := browser.Send(httptest.NewRequest("GET", webtest.Origin+"/dashboard", nil))
	page.MustBe(http.StatusSeeOther, "")
}

func TestLoginPageAnnouncesTheDemoAccount(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/login")
	page.MustShow("The demo account is <b>admin</b>, its password is <b>password</b>.")
}

// The tests that take a hash run side by side, as a hash is made to be slow.
func TestLoginLeadsToTheDashboard(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	page := browser.Post("/login", credentials("admin", "password"))
	page.MustShow("Welcome to your dashboard, admin!")
	if page.Path != "/dashboard" {
		t.Errorf("login leads to %s", page.Path)
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")
	mustHold(t, browser, `{"username":"admin"}`)
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
	mustHold(t, browser, `{"username":"admin"}`)
}

func TestWrongLoginShowsTheFormAgain(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	page := browser.Post("/login", credentials("admin", "letmein"))
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	page.MustBe(http.StatusForbidden, `value="admin"`)
	if strings.Contains(page.Body, "letmein") {
		t.Error("the password came back")
	}
	if page.Header.Get("Set-Cookie") != "" {
		t.Error("a cookie was set")
	}
}

// A hash takes many milliseconds. Without one, the answer takes microseconds.
func TestUnknownUserGetsTheSameAnswerForTheSameWork(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	start := time.Now()
	page := browser.Post("/login", credentials("nobody", "password"))
	if took := time.Since(start); took < 5*time.Millisecond {
		t.Errorf("answered after %v, which is too soon for %d rounds", took, rounds)
	}
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	page.MustBe(http.StatusForbidden, `value="nobody"`)
}

func TestMissingFieldIsNamed(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for body, want := range map[string]string{
		"password=x":               "The username is missing.",
		"username=&password=x":     "The username is missing.",
		"username=admin":           "The password is missing.",
		"username=ada&password=":   "The password is missing.",
		"user%6eame=admin&other=x": "The password is missing.",
		"":                         "The username is missing.",
		"username=%zz":             "The form is damaged, or too large.",
	} {
		post(browser, "/login", strings.NewReader(body)).MustBe(http.StatusBadRequest, want)
	}
}

func TestPasswordInTheAddressDoesNotCount(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login?username=admin&password=password", nil)
	page.MustBe(http.StatusBadRequest, "The username is missing.")
}

func TestHugeFormIsRefused(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", credentials(strings.Repeat("x", 1<<20), "password"))
	page.MustBe(http.StatusBadRequest, "The form is damaged, or too large.")
	if len(page.Body) > 10_000 {
		t.Errorf("answered with %d bytes", len(page.Body))
	}
}

func TestTypedHTMLStaysText(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", url.Values{"username": {`"><script>alert(1)</script>`}})
	if strings.Contains(page.Body, "<script") {
		t.Errorf("the page has a script: %s", page.Body)
	}
}

func TestDashboardIsStoredByNobody(t *testing.T) {
	page := loggedIn(t).Get("/dashboard")
	page.MustShow("Welcome")
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
}

func TestSessionOfARemovedUserIsNobodys(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", signed(t, func(s *session.Session) { username.Set(s, "left-us") }))
	if page := browser.Get("/dashboard"); page.Path != "/login" {
		t.Errorf("a user that was removed sees %s", page.Path)
	}
}

func TestForgedSessionIsNobodys(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", "eyJ1c2VybmFtZSI6ImFkbWluIn0.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	if page := browser.Get("/dashboard"); page.Path != "/login" {
		t.Errorf("a forger sees %s", page.Path)
	}
}

func TestLogoutDeletesTheCookie(t *testing.T) {
	browser := loggedIn(t)
	if page := browser.Post("/logout", nil); page.Path != "/login" {
		t.Errorf("logout leads to %s", page.Path)
	}
	if value := browser.Cookie("/", "auth"); value != "" {
		t.Errorf("the cookie is still there: %s", value)
	}
	if page := browser.Get("/dashboard"); page.Path != "/login" {
		t.Errorf("after logout, /dashboard leads to %s", page.Path)
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data is %s", got)
	}
}

func TestLogoutTakesAPost(t *testing.T) {
	browser := loggedIn(t)
	browser.Get("/logout").MustBe(http.StatusMethodNotAllowed, "")
	browser.Get("/dashboard").MustShow("Welcome")
}

// What no client-side session can prevent: the server remembers nothing, so it
// cannot know that this cookie was given back.
func TestCopiedCookieStillWorksAfterLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stolen := browser.Cookie("/", "auth")
		browser.Post("/logout", nil)

		thief := webtest.NewBrowser(t, site(t))
		thief.SetCookie("auth", stolen)
		thief.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")

		time.Sleep(31*24*time.Hour + time.Second)
		if page := thief.Get("/dashboard"); page.Path != "/login" {
			t.Errorf("after its lifetime it still opens %s", page.Path)
		}
	})
}

func TestOtherSitesCannotLogInOrOut(t *testing.T) {
	browser := loggedIn(t)
	for _, path := range []string{"/login", "/logout"} {
		for name, value := range map[string]string{
			"Sec-Fetch-Site": "cross-site",
			"Origin":         "https://evil.example",
		} {
			r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(credentials("admin", "password").Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			page := browser.Send(r)
			if page.Status != http.StatusForbidden || page.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %s %s: %d", path, name, value, page.Status)
			}
		}
	}
	browser.Get("/dashboard").MustShow("Welcome")
}

// HMAC pads a short key with zero bytes, so this would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", url.Values{"username": {"admin"}, "password": {"password\x00"}})
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: status %d, want 403", page.Status)
	}
}

// A right login does not wait behind any number of wrong ones.
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
		mux.HandleFunc("POST /login", readForm(logins.login))
		page := webtest.NewBrowser(t, manager(t).Handler(mux)).Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", page.Status)
		}
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response does not say when to try again")
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("Set-Cookie: %s, want none", got)
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
		answers := make(chan bool, 1)
		go func() {
			ok, _ := logins.check(ctx, "admin", "password")
			answers <- ok
		}()
		synctest.Wait()
		if len(answers) > 0 {
			t.Error("the check did not wait")
		}
		leave()
		if <-answers {
			t.Error("a visitor who left was let in")
		}
		for range maxHashing {
			<-logins.hashing
		}
		for range 2 * maxHashing { // each gives its turn back
			if ok, err := logins.check(t.Context(), "admin", "password"); !ok {
				t.Errorf("a login with a turn was not let in: %v", err)
			}
		}
	})
}

// Visitors who get an answer and do not read it are as many as they like.
func TestAnswersThatNobodyReadsHoldNobodyUp(t *testing.T) {
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

func TestSlowFormsHoldNobodyUp(t *testing.T) {
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

func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(manager(t))
}

// signed returns a cookie that the site signed, as an older release of it may
// have done.
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

// loggedIn is the browser of an admin. It takes no password, which would take a
// hash.
func loggedIn(t *testing.T) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, site(t))
	browser.SetCookie("auth", signed(t, func(s *session.Session) { username.Set(s, "admin") }))
	return browser
}

func credentials(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// post sends a body that need not be a form.
func post(browser *webtest.Browser, path string, body io.Reader) webtest.Page {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return browser.Send(r)
}

// unread is an answer that nobody reads until release.
type unread struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w unread) Write(p []byte) (int, error) {
	<-w.release
	return len(p), nil
}

func mustHold(t *testing.T, browser *webtest.Browser, want string) {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "auth"))
	if err != nil || string(parts.Payload) != want {
		t.Errorf("payload %s, %v, want %s", parts.Payload, err, want)
	}
}
