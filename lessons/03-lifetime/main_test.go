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

// In a bubble of synctest it is midnight UTC on Saturday, 1 January 2000.

func TestPageSaysWhichKindItIsAndWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/").MustShow("There is no session")
		for path, kind := range map[string]string{"/login": "a permanent session", "/login?browser": "a browser session"} {
			browser.Get(path)
			browser.Get("/").MustShow(kind)
			browser.Get("/").MustShow("refuses it after Sat, 08 Jan 2000 00:00:00 UTC")
		}
	})
}

func TestServerRefusesACookieKeptPastItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login")
		kept := browser.Cookie("/", "lifetime")

		time.Sleep(week + time.Second)
		if value := browser.Cookie("/", "lifetime"); value != "" {
			t.Errorf("the browser did not honour Max-Age: %s", value)
		}
		browser.SetCookie("lifetime", kept) // as a browser would that does not care
		browser.Get("/").MustShow("There is no session")
	})
}

func TestCookieHoldsToTheLastSecond(t *testing.T) {
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
			t.Error("the browser dropped the cookie by itself")
		}
		browser.Get("/").MustShow("There is no session")
	})
}

func TestNobodyMovesTheEnd(t *testing.T) {
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

func TestUseMovesTheEndOfAPermanentSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, site(t))
		browser.Get("/login")
		for range 4 {
			time.Sleep(5 * 24 * time.Hour)
			browser.Get("/").MustShow("You are logged in")
		}
	})
}

func TestUseLeavesTheEndOfABrowserSession(t *testing.T) {
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
		t.Errorf("looking sets a cookie: %s", line)
	}
}

func TestPopLeavesTheOtherValuesAndTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	browser.Get("/login")
	browser.Get("/logout").MustShow("You have been logged out!")
	mustHold(t, browser, `{"_permanent":true,"logins":1}`)
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
	browser := webtest.NewBrowser(t, keep(t, func(s *session.Session) {
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
			t.Errorf("%s sets a cookie: %s", path, line)
		}
	}
}

func TestAnotherShapeIsNotLoggedIn(t *testing.T) {
	browser := webtest.NewBrowser(t, keep(t, func(s *session.Session) {
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

// site is the lesson's handler.
func site(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(newSessions(t))
}

// keep is another release of the site: it has the same secret, and stores what
// set says.
func keep(t *testing.T, set func(*session.Session)) http.Handler {
	t.Helper()
	return newSessions(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(session.From(r))
	}))
}

// mustSet checks the attributes of the page's Set-Cookie.
func mustSet(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	_, attributes, _ := strings.Cut(page.Header.Get("Set-Cookie"), "; ")
	if attributes != want {
		t.Errorf("%s: attributes %q, want %q", page.Path, attributes, want)
	}
}

// mustHold checks the payload of the browser's cookie.
func mustHold(t *testing.T, browser *webtest.Browser, want string) {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "lifetime"))
	if err != nil || string(parts.Payload) != want {
		t.Errorf("payload %s, %v, want %s", parts.Payload, err, want)
	}
}
