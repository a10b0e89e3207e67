package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestPermanentLoginAsksTheBrowserForSevenDays(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/login")
	page.MustShow("You are now logged in!")
	mustSet(t, page, "Path=/; Max-Age=604800; HttpOnly; SameSite=Lax")
}

func TestBrowserLoginAsksForNoTime(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/login?browser")
	page.MustShow("You are now logged in!")
	mustSet(t, page, "Path=/; HttpOnly; SameSite=Lax")
}

func TestPermanentSessionOutlivesTheBrowser(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	browser.Restart()
	browser.Get("/").MustShow("You are logged in")
}

func TestBrowserSessionEndsWithTheBrowser(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login?browser")
	browser.Get("/").MustShow("You are logged in")
	browser.Restart()
	browser.Get("/").MustShow("There is no session")
}

func TestLaterLoginDecidesTheKind(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	browser.Get("/login?browser")
	browser.Get("/").MustShow("This is a browser session")
	browser.Restart()
	browser.Get("/").MustShow("There is no session")
}

// A synctest bubble begins at midnight UTC on Saturday, 1 January 2000.

func TestPageSaysWhichKindItIsAndWhenItExpires(t *testing.T) {
	for path, kind := range map[string]string{"/login": "a permanent session", "/login?browser": "a browser session"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := webtest.NewBrowser(t, site(t))
				browser.Get("/").MustShow("There is no session")
				browser.Get(path)
				browser.Get("/").MustShow(kind)
				browser.Get("/").MustShow("refuses it after Sat, 08 Jan 2000 00:00:00 UTC")
			})
		})
	}
}

func TestServerRefusesACookieKeptPastItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login")
		kept := browser.Cookie("/", "lifetime")

		time.Sleep(week + time.Second)
		if value := browser.Cookie("/", "lifetime"); value != "" {
			t.Errorf("after Max-Age the browser has the cookie %s, want none", value)
		}
		browser.SetCookie("lifetime", kept) // as a client that ignores Max-Age would send it
		browser.Get("/").MustShow("There is no session")
	})
}

func TestCookieIsValidToTheLastSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login?browser")
		time.Sleep(week)
		browser.Get("/").MustShow("You are logged in")
	})
}

func TestBrowserSessionEndsInABrowserThatNeverCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login?browser")
		time.Sleep(week + time.Second)
		if browser.Cookie("/", "lifetime") == "" {
			t.Error("the browser has deleted the cookie, want it to keep a cookie without Max-Age")
		}
		browser.Get("/").MustShow("There is no session")
	})
}

func TestNoOneCanMoveTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login")
		old := strings.Split(browser.Cookie("/", "lifetime"), ".")

		time.Sleep(week + time.Second)
		browser.Get("/login")
		fresh := strings.Split(browser.Cookie("/", "lifetime"), ".")
		browser.SetCookie("lifetime", old[0]+"."+fresh[1]+"."+old[2]) // today's timestamp
		browser.Get("/").MustShow("There is no session")
	})
}

func TestUseMovesTheDeadlineOfAPermanentSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login")
		for range 4 {
			time.Sleep(5 * 24 * time.Hour)
			browser.Get("/").MustShow("You are logged in")
		}
	})
}

func TestUseLeavesTheDeadlineOfABrowserSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login?browser")
		time.Sleep(5 * 24 * time.Hour)
		browser.Get("/").MustShow("refuses it after Sat, 08 Jan 2000 00:00:00 UTC")
	})
}

func TestLookingChangesNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	if line := browser.Get("/").Header.Get("Set-Cookie"); line != "" {
		t.Errorf("a request that only reads got Set-Cookie: %s, want none", line)
	}
}

func TestPopLeavesTheOtherValuesAndTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	browser.Get("/logout").MustShow("You have been logged out!")
	mustHavePayload(t, browser, `{"_permanent":true,"logins":1}`)
	browser.Get("/").MustShow("You are not logged in")
	browser.Get("/login")
	browser.Get("/").MustShow("Logins: 2")
}

func TestClearLeavesNothing(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	page := browser.Get("/logout?all")
	page.MustShow("You have been logged out!")
	mustSet(t, page, "Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
	browser.Get("/").MustShow("There is no session")
	browser.Get("/login")
	browser.Get("/").MustShow("Logins: 1")
}

func TestPopOfTheLastValueDeletesTheCookieToo(t *testing.T) {
	browser := webtest.NewBrowser(t, anotherRelease(t, func(s *session.Session) {
		s.SetPermanent(true)
		loggedIn.Set(s, true)
		username.Set(s, "user123")
	}))
	browser.Get("/")
	browser.Handler = site(t)
	browser.Get("/").MustShow("You are logged in")
	mustSet(t, browser.Get("/logout"), "Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

func TestLogoutDoesNotEndACopyOfTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	copied := browser.Cookie("/", "lifetime")
	browser.Get("/logout?all")
	browser.SetCookie("lifetime", copied)
	browser.Get("/").MustShow("You are logged in")
}

func TestLogoutWithoutASessionIsHarmless(t *testing.T) {
	for _, path := range []string{"/logout", "/logout?all"} {
		page := webtest.NewBrowser(t, site(t)).Get(path)
		page.MustShow("You have been logged out!")
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("%s: got Set-Cookie: %s, want none", path, line)
		}
	}
}

func TestAnotherShapeIsNotLoggedIn(t *testing.T) {
	browser := webtest.NewBrowser(t, anotherRelease(t, func(s *session.Session) {
		session.Key[string]("logged_in").Set(s, "yes")
		session.Key[int]("username").Set(s, 123)
		session.Key[[]string]("logins").Set(s, []string{"monday"})
	}))
	browser.Get("/")
	browser.Handler = site(t)
	browser.Get("/").MustShow("You are not logged in")
	browser.Get("/login")
	browser.Get("/").MustShow("Logins: 1")
}

var secret = bytes.Repeat([]byte("s"), 32)

func newSessions(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "lifetime", Lifetime: week})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// site returns the lesson's handler.
func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(newSessions(t))
}

// anotherRelease returns a handler that has the site's secret, and changes the session
// with set. It stands for another release of the program.
func anotherRelease(t *testing.T, set func(*session.Session)) http.Handler {
	t.Helper()
	return newSessions(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(session.From(r))
	}))
}

// mustSet wants these attributes in the page's Set-Cookie.
func mustSet(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	_, attributes, _ := strings.Cut(page.Header.Get("Set-Cookie"), "; ")
	if attributes != want {
		t.Errorf("%s: got the attributes %q, want %q", page.Path, attributes, want)
	}
}

// mustHavePayload wants this payload in the browser's cookie.
func mustHavePayload(t *testing.T, browser *webtest.Browser, want string) {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "lifetime"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(parts.Payload); got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
}
