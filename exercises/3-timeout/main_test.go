package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// The tests use HTTP only. In a bubble of synctest, only time.Sleep moves the clock, so
// a test can reach a time limit to the nanosecond.

func TestOneNanosecondBeforeFifteenMinutesIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(15*time.Minute - 1)
		browser.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")
	})
}

func TestFifteenMinutesIsOutAndThePageSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(15 * time.Minute)
		page := browser.Get("/dashboard")
		mustBeLogin(t, page)
		page.MustShow(outIdle)
	})
}

func TestOpeningAPageStartsTheFifteenMinutesAgain(t *testing.T) {
	for _, path := range pagesOfAUser {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := loggedIn(t)
				time.Sleep(14*time.Minute + 59*time.Second)
				browser.Get(path).MustBeAt(path)
				time.Sleep(14*time.Minute + 59*time.Second)
				browser.Get("/dashboard").MustBeAt("/dashboard")
				time.Sleep(15 * time.Minute)
				browser.Get(path).MustShow(outIdle)
			})
		})
	}
}

func TestEightHoursIsOutHoweverBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for range 8*6 - 1 {
			time.Sleep(10 * time.Minute)
			browser.Get("/dashboard").MustBeAt("/dashboard")
		}
		time.Sleep(10*time.Minute - 1)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		browser.Get("/dashboard").MustShow(outAbsolute)
	})
}

func TestTheLimitThatCameFirstIsTheReason(t *testing.T) {
	for lastVisit, want := range map[time.Duration]string{
		7*time.Hour + 44*time.Minute + 59*time.Second: outIdle,
		7*time.Hour + 45*time.Minute:                  outAbsolute,
	} {
		t.Run("last visit after "+lastVisit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := loggedIn(t)
				stayBusy(browser, lastVisit)
				time.Sleep(3 * 24 * time.Hour)
				browser.Get("/dashboard").MustShow(want)
			})
		})
	}
}

func TestTheReasonIsStillThereAfterAReloadAndInAnotherTab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(time.Hour)
		for _, path := range []string{"/dashboard", "/login", "/notes", "/countdown", "/"} {
			browser.Get(path).MustShow(outIdle)
		}
	})
}

func TestVisitorWhoNeverLoggedInWasNotLoggedOut(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, path := range []string{"/", "/dashboard", "/notes", "/notes/new", "/login", "/countdown"} {
		page := browser.Get(path)
		mustBeLogin(t, page)
		page.MustNotShow("logged out")
	}
	if value := browser.Cookie("/", "timeout"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

// The test does what browsers do with an open page: it waits as long as the header
// Refresh says, and then opens the address that the header names.
func TestAnOpenPageLogsItselfOut(t *testing.T) {
	for _, path := range []string{"/dashboard", "/notes"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { openPageLogsItselfOut(t, path) })
		})
	}
}

func openPageLogsItselfOut(t *testing.T, path string) {
	browser := loggedIn(t)
	start, page := time.Now(), browser.Get(path)
	cookie := browser.Cookie("/", "timeout")
	for !isLogin(page) {
		page.MustBe(http.StatusOK, "")
		page = waitForRefresh(t, browser, page)
		if browser.Cookie("/", "timeout") != cookie {
			t.Fatalf("after %v: %s changed the cookie, want it to stay", time.Since(start), page.Path)
		}
	}
	if took, want := time.Since(start), 15*time.Minute; took != want {
		t.Errorf("logged out after %v, want %v", took, want)
	}
	page.MustShow(outIdle)
	page.MustShow(hiddenNext(path))
}

func TestCountdownShowsTheTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		start, page := time.Now(), browser.Get("/dashboard")
		shown := 0
		for page = waitForRefresh(t, browser, page); !isLogin(page); page = waitForRefresh(t, browser, page) {
			left := time.Until(start.Add(15 * time.Minute))
			mustRead(t, page, fmt.Sprintf("in %d:%02d minutes", left/time.Minute, left%time.Minute/time.Second))
			shown++
		}
		if shown < 3 {
			t.Errorf("got the countdown %d times, want at least 3", shown)
		}
	})
}

func TestTheLastHalfSecondIsRoundedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(15*time.Minute - time.Second/2)
		page := browser.Get("/countdown")
		mustRead(t, page, "in 0:01 minutes")
		mustBeLogin(t, waitForRefresh(t, browser, page))
	})
}

func TestCountdownIsNoActivityHoweverItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for range 15*60 - 1 {
			time.Sleep(time.Second)
			for _, method := range []string{"GET", "HEAD", "POST"} {
				r := httptest.NewRequest(method, webtest.Origin+"/countdown?next=/dashboard&stay&last_seen=2099-01-01T00:00:00Z", nil)
				r.Header.Set("Sec-Fetch-User", "?1")
				if got := browser.Send(r).Header.Get("Set-Cookie"); got != "" {
					t.Fatalf("%s: got Set-Cookie: %s, want none", method, got)
				}
			}
		}
		time.Sleep(time.Second)
		browser.Get("/countdown").MustShow(outIdle)
	})
}

func TestWorkInOneTabKeepsTheOtherIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		tab := browser.Get("/dashboard")
		time.Sleep(10 * time.Minute)
		browser.Get("/notes")
		time.Sleep(6 * time.Minute)
		tab = browser.Get(refreshAddress(t, tab))
		mustRead(t, tab, "in 9:00 minutes")
	})
}

func TestStayStartsTheFifteenMinutesAgainWhereYouWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		page := waitForRefresh(t, browser, browser.Get("/notes"))
		page.MustShow(`action="/stay"`)
		page.MustShow(hiddenNext("/notes"))
		page = post(browser, "/stay", strings.NewReader("next=/notes")) // follows no redirect, because that would be a visit
		if page.Status != http.StatusSeeOther {
			t.Errorf("got status %d, want 303", page.Status)
		}
		if got, want := page.Header.Get("Location"), "/notes"; got != want {
			t.Errorf("got Location: %s, want %s", got, want)
		}
		time.Sleep(15*time.Minute - 1)
		browser.Get("/dashboard").MustBeAt("/dashboard")
	})
}

func TestStayComesTooLateAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(15 * time.Minute)
		page := browser.Post("/stay", url.Values{"next": {"/notes"}})
		mustBeLogin(t, page)
		page.MustShow(outIdle)
		page.MustShow(hiddenNext("/notes"))
	})
}

func TestStayDoesNotMoveTheEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stayBusy(browser, 7*time.Hour+59*time.Minute)
		page := browser.Get("/countdown?next=/notes")
		mustRead(t, page, "in 1:00 minutes")
		page.MustNotShow(`action="/stay"`) // the button would have no effect
		page.MustShow(`href="/notes"`)
		browser.Post("/stay", nil)
		time.Sleep(time.Minute)
		browser.Get("/dashboard").MustShow(outAbsolute)
	})
}

func TestPageInTheLastMinuteRefreshesOnceAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stayBusy(browser, 7*time.Hour+59*time.Minute)
		page := waitForRefresh(t, browser, browser.Get("/notes"))
		mustBeLogin(t, page)
		page.MustShow(outAbsolute)
	})
}

func TestPageWithAFormNeverRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := loggedIn(t).Get("/notes/new")
		page.MustShow("<textarea")
		if got := page.Header.Get("Refresh"); got != "" {
			t.Errorf("got Refresh: %s, want none, because it would delete what the visitor types", got)
		}
	})
}

func TestNoteIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		page := browser.Post("/notes", note("Tea & <b>biscuits</b>"))
		page.MustBeAt("/notes")
		page.MustShow("Tea &amp; &lt;b&gt;biscuits&lt;/b&gt;")
	})
}

func TestSavingANoteIsActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for _, text := range []string{"Tea", ""} {
			time.Sleep(15*time.Minute - 1)
			post(browser, "/notes", strings.NewReader(note(text).Encode()))
		}
		time.Sleep(15*time.Minute - 1)
		browser.Get("/notes").MustShow("Tea")
	})
}

func TestNoteThatComesTooLateIsSavedByTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		browser.Get("/notes/new")
		time.Sleep(15 * time.Minute)
		page := browser.Post("/notes", note("</textarea>An hour's work"))
		page.MustBe(http.StatusForbidden, outIdle)
		page.MustBe(http.StatusForbidden, "Your note is not saved yet.")
		typed := typedInto(t, page)

		wrong := credentials("admin", "", "/notes")
		wrong.Set("text", typed)
		typed = typedInto(t, browser.Post("/login", wrong))

		right := credentials("admin", "password", "/notes")
		right.Set("text", typed)
		page = browser.Post("/login", right)
		page.MustBeAt("/notes")
		page.MustShow("&lt;/textarea&gt;An hour&#39;s work")
	})
}

func TestNotesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for n := range 30 {
			browser.Post("/notes", note(fmt.Sprintf("note %d.", n)))
		}
		page := browser.Get("/notes")
		page.MustShow("note 29.")
		page.MustShow("note 10.")
		page.MustNotShow("note 9.")
	})
}

func TestNotesOfManyTabsAtOnceAreAllSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		var tabs sync.WaitGroup
		for n := range 20 {
			tab := webtest.NewBrowser(t, browser.Handler)
			tab.SetCookie("timeout", browser.Cookie("/", "timeout"))
			tabs.Go(func() { tab.Post("/notes", note(fmt.Sprintf("note %d.", n))) })
		}
		tabs.Wait()
		page := browser.Get("/notes")
		for n := range 20 {
			page.MustShow(fmt.Sprintf("note %d.", n))
		}
	})
}

func TestNoteThatCannotBeSavedComesBackToTheForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "The note is empty.",
		" \r\n ":                     "The note is empty.",
		strings.Repeat("ä", 1001):    "This one has 1001.",
		strings.Repeat("<x>", 1000):  "This one has 3000.",
		strings.Repeat("\r\n", 1001): "The note is empty.",
	} {
		t.Run(fmt.Sprintf("%d of %.5q", len(text), text), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := loggedIn(t)
				page := browser.Post("/notes", note(text))
				page.MustBe(http.StatusBadRequest, want)
				if got, want := typedInto(t, page), strings.ReplaceAll(text, "\r\n", "\n"); got != want {
					t.Errorf("got %.100q in the form, want %.100q", got, want)
				}
				browser.Get("/notes").MustShow("There are no notes.")
			})
		})
	}
}

func TestLongestNoteIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, text := range []string{strings.Repeat("\U0001F375", 1000), strings.Repeat("x\r\n", 500)} {
			loggedIn(t).Post("/notes", note(text)).MustBeAt("/notes")
		}
	})
}

func TestOddTextIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for _, text := range []string{"\x00", "\xff\xfe", "{{.}}", "\u2028\u202e", "a\r\nSet-Cookie: x=1"} {
			page := browser.Post("/notes", note(text))
			page.MustBeAt("/notes")
		}
	})
}

// These tests log in. They run in parallel, because a hash is made to be slow.

func TestLoginLeadsBackToWhereYouWere(t *testing.T) {
	t.Parallel()
	for _, path := range pagesOfAUser {
		browser := webtest.NewBrowser(t, site(t))
		page := browser.Get(path)
		mustBeLogin(t, page)
		page.MustShow(hiddenNext(path))
		browser.Post("/login", credentials("admin", "password", path)).MustBeAt(path)
	}
}

func TestLoginWithAForeignNextLeadsToTheDashboard(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"//evil.example", "https://evil.example/dashboard"} {
		page := webtest.NewBrowser(t, site(t)).Post("/login", credentials("admin", "password", next))
		page.MustBeAt("/dashboard")
	}
}

// elsewhere has values that next must not have. They are other sites, in every spelling
// that some browser understands, and addresses on this site that a login must not lead to.
var elsewhere = []string{
	"//evil.example", "//evil.example/dashboard", "///evil.example", "////evil.example", "//evil.example//dashboard",
	`/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`, `/dashboard\..\\evil.example`,
	"https:evil.example", "https:/evil.example", "https://evil.example", "HTTPS://evil.example", "http://evil.example/notes",
	"https://example.com.evil.example/dashboard", "https://example.com@evil.example/dashboard", "https://example.com/dashboard",
	"javascript:alert(1)", "data:text/html,x", "ftp://evil.example", ":", "evil.example",
	"/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example", " //evil.example", "\x00//evil.example",
	"/dashboard\r\nSet-Cookie: a=b", "/dashboard\x00", "/dashboard ", " /dashboard", "/dashboard\u2028",
	"%2f%2fevil.example", "/%2fevil.example", "/%2Fevil.example", "%252f%252fevil.example", "/%5cevil.example", "/%09/evil.example",
	"/／evil.example", "／／evil.example", "/dashboard/../../evil.example", "/./evil.example", "/.//evil.example", "/..//evil.example",
	"@evil.example", "/@evil.example", "?next=//evil.example", "#//evil.example", "/dashboard?x=//evil.example", "/dashboard#x",
	"/logout", "/stay", "/login", "/login?next=//evil.example", "/countdown", "/forget.css", "/", "", "dashboard", "/Dashboard", "/dashboard/", "/nowhere",
	strings.Repeat("/", 1000),
}

func TestNextNeverLeadsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stranger := webtest.NewBrowser(t, browser.Handler)
		for _, next := range elsewhere {
			query := "?next=" + url.QueryEscape(next)
			browser.Post("/stay", url.Values{"next": {next}}).MustBeAt("/dashboard")
			browser.Get("/countdown" + query).MustShow(hiddenNext("/dashboard"))
			if got, want := refreshAddress(t, browser.Get("/countdown"+query)), "/countdown?next=%2Fdashboard"; got != want {
				t.Errorf("%.100q: the countdown refreshes to %s, want %s", next, got, want)
			}
			stranger.Get("/login" + query).MustShow(hiddenNext("/dashboard"))
			stranger.Get("/countdown" + query).MustShow(hiddenNext("/dashboard"))
			stranger.Post("/login", credentials("", "", next)).MustBe(http.StatusBadRequest, hiddenNext("/dashboard"))
			stranger.Post("/stay", url.Values{"next": {next}}).MustShow(hiddenNext("/dashboard"))
		}
	})
}

func TestFirstOfRepeatedNextsIsUsed(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Get("/login?next=/notes&next=//evil.example")
	page.MustShow(hiddenNext("/notes"))
	page.MustNotShow("evil")
}

func TestNextInTheAddressOfAPostIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loggedIn(t).Post("/stay?next=/notes", nil).MustBeAt("/dashboard")
	})
}

func TestLogoutDeletesTheCookieAndGivesNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		page := browser.Post("/logout", nil)
		mustBeLogin(t, page)
		page.MustNotShow("logged out")
		if value := browser.Cookie("/", "timeout"); value != "" {
			t.Errorf("got the cookie %s, want none", value)
		}
		mustBeLogin(t, browser.Get("/dashboard"))
	})
}

// The session is only in the cookie. A visitor who puts an older cookie back also puts
// the older time of the last visit back.
func TestOlderCookieEndsSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		older := browser.Cookie("/", "timeout")
		stayBusy(browser, 14*time.Minute)
		time.Sleep(time.Minute)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		browser.SetCookie("timeout", older)
		browser.Get("/dashboard").MustShow(outIdle)
	})
}

// A client-side session cannot prevent that a copy still works after a logout.
func TestCopyOutlivesALogoutByTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stolen := browser.Cookie("/", "timeout")
		browser.Post("/logout", nil)

		thief := webtest.NewBrowser(t, browser.Handler)
		thief.SetCookie("timeout", stolen)
		time.Sleep(15*time.Minute - 1)
		thief.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")
		thief.SetCookie("timeout", stolen)
		time.Sleep(time.Nanosecond)
		thief.Get("/dashboard").MustShow(outIdle)
	})
}

func TestUsedCopyEndsWithTheEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		stayBusy(browser, time.Hour)
		thief := webtest.NewBrowser(t, browser.Handler)
		thief.SetCookie("timeout", browser.Cookie("/", "timeout"))
		browser.Post("/logout", nil)
		stayBusy(thief, 8*time.Hour-time.Hour-1)
		thief.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		thief.Get("/dashboard").MustShow(outAbsolute)
	})
}

func TestTheEightHoursBeginAgainWithALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		time.Sleep(9 * time.Hour)
		browser.Post("/login", credentials("admin", "password", "")).MustBeAt("/dashboard")
		stayBusy(browser, 8*time.Hour-1)
		browser.Get("/dashboard").MustBeAt("/dashboard")
	})
}

func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		browser.SetCookie("timeout", signedWith(t, browser.Cookie("/", "timeout"), "planted", "by a stranger"))
		browser.Post("/login", credentials("admin", "password", ""))
		parts, err := session.Inspect(browser.Cookie("/", "timeout"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(parts.Payload, []byte("planted")) {
			t.Errorf("after the login: got the payload %s, want it without the planted value", parts.Payload)
		}
	})
}

func TestDamagedSessionSignsNoOneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		parts, _ := session.Inspect(browser.Cookie("/", "timeout"))
		var values map[string]any
		if err := json.Unmarshal(parts.Payload, &values); err != nil {
			t.Fatal(err)
		}
		if len(values) == 0 {
			t.Fatalf("got the payload %s, want values in it", parts.Payload)
		}
		for name := range values {
			for _, bad := range []any{nil, "", "x", -1, 1e300, true, []int{1}, map[string]int{"a": 1}, "0001-01-01T00:00:00Z", "-1"} {
				forger := webtest.NewBrowser(t, browser.Handler)
				forger.SetCookie("timeout", signedWith(t, browser.Cookie("/", "timeout"), name, bad))
				for _, path := range []string{"/dashboard", "/countdown", "/login"} {
					mustBeLogin(t, forger.Get(path))
				}
				mustBeLogin(t, forger.Post("/stay", nil))
			}
		}
	})
}

func TestStateChangesTakeAPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		cookie := browser.Cookie("/", "timeout")
		time.Sleep(time.Minute)
		for _, path := range []string{"/logout", "/stay"} {
			browser.Get(path).MustBe(http.StatusMethodNotAllowed, "")
		}
		if browser.Cookie("/", "timeout") != cookie {
			t.Error("a GET changed the cookie, want it to stay")
		}
	})
}

func TestOtherSitesCannotPost(t *testing.T) {
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := loggedIn(t)
				cookie := browser.Cookie("/", "timeout")
				time.Sleep(time.Minute)
				for _, path := range []string{"/login", "/logout", "/stay", "/notes"} {
					r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader("text=x"))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set(name, value)
					browser.Send(r).MustBe(http.StatusForbidden, "")
				}
				if browser.Cookie("/", "timeout") != cookie {
					t.Error("a POST from another site changed the cookie, want it to stay")
				}
			})
		})
	}
}

func TestNoCacheStoresThePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := loggedIn(t)
		for _, path := range []string{"/dashboard", "/notes", "/notes/new", "/countdown", "/login"} {
			page := browser.Get(path)
			page.MustBeAt(path)
			if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
				t.Errorf("%s: got Cache-Control: %q, want %q", path, got, want)
			}
		}
		browser.Get("/login").MustShow(`href="/forget.css"`)
		if got, want := browser.Get("/forget.css").Header.Get("Clear-Site-Data"), `"cache"`; got != want {
			t.Errorf("got Clear-Site-Data: %s, want %s", got, want)
		}
	})
}

// Any number of clients can leave their response unread. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler, release := site(t), make(chan struct{})
		defer close(release)
		form := credentials("admin", "letmein", "/notes")
		for range 2 {
			r := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			go handler.ServeHTTP(unread{httptest.NewRecorder(), release}, r)
		}
		synctest.Wait()
		webtest.NewBrowser(t, handler).Post("/login", form).MustBe(http.StatusForbidden, "Invalid credentials")
	})
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

func TestBadLoginShowsTheFormAgain(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, site(t))
	for body, want := range map[string]string{
		"password=x&next=/notes":                          "The username is missing.",
		"username=%22><script>&next=/notes":               "The password is missing.",
		"username=x&password=s3cret&text=%20&next=/notes": "The note is empty.",
	} {
		t.Run(want, func(t *testing.T) {
			page := post(browser, "/login", strings.NewReader(body))
			page.MustBe(http.StatusBadRequest, want)
			page.MustBe(http.StatusBadRequest, hiddenNext("/notes"))
			page.MustNotShow("<script")
			page.MustNotShow("s3cret")
		})
	}
	page := browser.Post("/login", credentials("admin", "letmein", "/notes"))
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	page.MustBe(http.StatusForbidden, hiddenNext("/notes"))
}

func TestHugeOrDamagedFormIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t))
	for _, path := range []string{"/login", "/notes", "/stay"} {
		huge := browser.Post(path, url.Values{"text": {strings.Repeat("x", 1<<20)}, "next": {"/notes"}})
		huge.MustBe(http.StatusRequestEntityTooLarge, "The form is too large")
		post(browser, path, strings.NewReader("next=%zz")).MustBe(http.StatusBadRequest, "The form is damaged.")
	}
}

func TestAnotherIdleTimeoutIsUsedAndNamed(t *testing.T) {
	for idle, words := range map[time.Duration]string{
		10 * time.Second: "10 seconds", 90 * time.Second: "90 seconds", time.Minute: "1 minute",
		time.Hour: "1 hour", 90 * time.Minute: "90 minutes",
	} {
		t.Run(words, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := loggedIn(t)
				browser.Handler = siteWith(t, idle)
				start, page := time.Now(), browser.Get("/dashboard")
				for !isLogin(page) {
					page = waitForRefresh(t, browser, page)
				}
				if took := time.Since(start); took != idle {
					t.Errorf("logged out after %v, want %v", took, idle)
				}
				page.MustShow("You were logged out after " + words + " without activity.")
			})
		})
	}
}

func TestIdleTimeoutThatMakesNoSenseIsRefused(t *testing.T) {
	for idle, ok := range map[time.Duration]bool{
		-time.Minute: false, 0: false, 1: false, 9 * time.Second: false, 10 * time.Second: true,
		10*time.Second + 1: false, 1500 * time.Millisecond: false,
		8 * time.Hour: true, 8*time.Hour + time.Second: false, 1<<63 - 1: false, -1 << 63: false,
	} {
		t.Run(idle.String(), func(t *testing.T) {
			_, err := newHandler(manager(t), idle)
			if ok && err != nil {
				t.Errorf("got the error %v, want none", err)
			}
			if !ok && err == nil {
				t.Error("got no error, want one")
			}
		})
	}
}

const (
	outIdle     = "You were logged out after 15 minutes without activity."
	outAbsolute = "You were logged out after 8 hours."
)

var pagesOfAUser = []string{"/dashboard", "/notes", "/notes/new"}

var secret = bytes.Repeat([]byte("s"), 32)

// bubbleStart is the time at which the clock of every bubble starts.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "timeout"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func site(t *testing.T) http.Handler {
	t.Helper()
	return siteWith(t, 15*time.Minute)
}

func siteWith(t *testing.T, idle time.Duration) http.Handler {
	t.Helper()
	handler, err := newHandler(manager(t), idle)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// loggedIn returns the browser of an admin who logged in when the bubble began. All
// bubbles share the cookie of one login, because a login takes a hash. They can share
// it, because their clocks start at the same time.
func loggedIn(t *testing.T) *webtest.Browser {
	t.Helper()
	if !time.Now().Equal(bubbleStart) {
		t.Fatalf("loggedIn was called at %v, want %v", time.Now(), bubbleStart)
	}
	browser := webtest.NewBrowser(t, site(t))
	oneLogin.Do(func() {
		browser.Post("/login", credentials("admin", "password", "")).MustBeAt("/dashboard")
		loginCookie = browser.Cookie("/", "timeout")
	})
	browser.SetCookie("timeout", loginCookie)
	return browser
}

var (
	oneLogin    sync.Once
	loginCookie string
)

// signedWith returns the cookie with a value added or replaced, signed by the site.
func signedWith(t *testing.T, cookie, name string, value any) string {
	t.Helper()
	sessions, r, w := manager(t), httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	r.AddCookie(&http.Cookie{Name: "timeout", Value: cookie})
	s, err := sessions.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	session.Key[any](name).Set(s, value)
	if err := sessions.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

// stayBusy opens a page at least every ten minutes for the time d. It opens the last one
// at the end of that time.
func stayBusy(browser *webtest.Browser, d time.Duration) {
	for d > 0 {
		step := min(d, 10*time.Minute)
		time.Sleep(step)
		browser.Get("/dashboard")
		d -= step
	}
}

// waitForRefresh does what a browser does with an open page: it waits, and then opens the
// address in the header Refresh.
func waitForRefresh(t *testing.T, browser *webtest.Browser, page webtest.Page) webtest.Page {
	t.Helper()
	after, _, _ := strings.Cut(page.Header.Get("Refresh"), ";")
	seconds, err := strconv.Atoi(after)
	if err != nil || seconds < 1 {
		t.Fatalf("%s: got Refresh: %q, want at least 1 second", page.Path, page.Header.Get("Refresh"))
	}
	time.Sleep(time.Duration(seconds) * time.Second)
	return browser.Get(refreshAddress(t, page))
}

// refreshAddress returns the address that the page refreshes to.
func refreshAddress(t *testing.T, page webtest.Page) string {
	t.Helper()
	_, address, ok := strings.Cut(page.Header.Get("Refresh"), "; url=")
	if !ok {
		t.Fatalf("%s: got Refresh: %q, want an address in it", page.Path, page.Header.Get("Refresh"))
	}
	return address
}

// typedInto returns the text in the form's textarea.
func typedInto(t *testing.T, page webtest.Page) string {
	t.Helper()
	_, rest, ok := strings.Cut(page.Body, "<textarea")
	_, rest, _ = strings.Cut(rest, ">\n")
	text, _, closed := strings.Cut(rest, "</textarea>")
	if !ok || !closed {
		t.Fatalf("%s has no textarea, want one: %.600s", page.Path, page.Text())
	}
	return html.UnescapeString(text)
}

func credentials(username, password, next string) url.Values {
	return url.Values{"username": {username}, "password": {password}, "next": {next}}
}

func note(text string) url.Values {
	return url.Values{"text": {text}}
}

// post sends a body, which can be something other than a form. It follows no redirect.
func post(browser *webtest.Browser, path string, body io.Reader) webtest.Page {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return browser.Send(r)
}

func hiddenNext(path string) string {
	return fmt.Sprintf(`<input type="hidden" name="next" value="%s">`, path)
}

func isLogin(page webtest.Page) bool {
	path, _, _ := strings.Cut(page.Path, "?")
	return path == "/login"
}

func mustBeLogin(t *testing.T, page webtest.Page) {
	t.Helper()
	page.MustShow(`action="/login"`)
	if !isLogin(page) {
		t.Errorf("the login form is at %s, want /login", page.Path)
	}
}

// mustRead wants this text on the page, without its tags.
func mustRead(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	if got := page.Text(); !strings.Contains(got, want) {
		t.Errorf("%s: got %.600s, want %q in it", page.Path, got, want)
	}
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t)).Post("/login", credentials("admin", "password\x00", ""))
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}
