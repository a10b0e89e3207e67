package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// The tests are in the order of the task: the easy ones come first.
//
// In a bubble of synctest, the clock starts at midnight UTC on Saturday, 1 January 2000, and
// only time.Sleep moves it. So a test can reach a time limit to the nanosecond.

// The login.

func TestPagesWithoutALoginLeadToTheLoginForm(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t))
	for _, path := range slices.Concat([]string{"/login", "/"}, testPages) {
		page := browser.Get(path)
		mustBeLogin(t, page)
		page.MustNotShow("logged out")
	}
	if value := browser.Cookie("/", "timeout"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
}

func TestLoginLeadsToTheDashboard(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t))
	page := browser.Post("/login", loginFields("admin", "password", ""))
	page.MustBeAt("/dashboard")
	mustRead(t, page, http.StatusOK, "Welcome to your dashboard, admin!")
	if browser.Cookie("/", "timeout") == "" {
		t.Error("got no cookie named timeout, want one")
	}
}

func TestBadLoginShowsTheFormAgain(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t))
	for body, want := range map[string]string{
		"password=x":            "The username is missing.",
		"username=%22><script>": "The password is missing.",
	} {
		t.Run(want, func(t *testing.T) {
			page := postBody(browser, "/login", strings.NewReader(body))
			mustRead(t, page, http.StatusBadRequest, want)
			page.MustNotShow("<script")
		})
	}
	page := browser.Post("/login", loginFields("admin", "letmein", ""))
	mustRead(t, page, http.StatusForbidden, "Invalid credentials")
	mustField(t, page, "username", "admin")
	page.MustNotShow("letmein")
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t)).Post("/login", loginFields("admin", "password\x00", ""))
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}

func TestLogoutDeletesTheCookieAndGivesNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		page := browser.Post("/logout", nil)
		mustBeLogin(t, page)
		page.MustNotShow("logged out")
		if value := browser.Cookie("/", "timeout"); value != "" {
			t.Errorf("got the cookie %s, want none", value)
		}
		mustBeLogin(t, browser.Get("/dashboard"))
	})
}

// Fifteen minutes without activity.

func TestOneNanosecondBeforeFifteenMinutesIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15*time.Minute - 1)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, "Welcome to your dashboard, admin!")
	})
}

func TestFifteenMinutesIsOutAndThePageSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		page := browser.Get("/dashboard")
		mustBeLogin(t, page)
		mustRead(t, page, http.StatusOK, wantIdle)
	})
}

func TestOpeningAPageStartsTheFifteenMinutesAgain(t *testing.T) {
	for _, path := range testPages {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				time.Sleep(14*time.Minute + 59*time.Second)
				browser.Get(path).MustBeAt(path)
				time.Sleep(14*time.Minute + 59*time.Second)
				browser.Get("/dashboard").MustBeAt("/dashboard")
				time.Sleep(15 * time.Minute)
				mustRead(t, browser.Get(path), http.StatusOK, wantIdle)
			})
		})
	}
}

// A time of whole seconds ends the login up to a second too early or too late.
func TestFractionOfASecondCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(300 * time.Millisecond)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		tab := webtest.NewBrowser(t, browser.Handler)
		tab.SetCookie("timeout", browser.Cookie("/", "timeout"))
		time.Sleep(15*time.Minute - 1)
		tab.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, wantIdle)
	})
}

// A visitor who reloads the login page, or who has two tabs, must also read the reason.
func TestReasonIsStillThereAfterAReloadAndInAnotherTab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(time.Hour)
		for _, path := range []string{"/dashboard", "/login", "/notes", "/"} {
			mustRead(t, browser.Get(path), http.StatusOK, wantIdle)
		}
	})
}

// Eight hours in any case.

func TestEightHoursIsOutHoweverBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		for range 8*6 - 1 {
			time.Sleep(10 * time.Minute)
			browser.Get("/dashboard").MustBeAt("/dashboard")
		}
		time.Sleep(10*time.Minute - 1)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, wantAbsolute)
	})
}

// If both limits come at the same time, the reason is the 8 hours.
func TestLimitThatCameFirstIsTheReason(t *testing.T) {
	for lastVisit, want := range map[time.Duration]string{
		7*time.Hour + 44*time.Minute + 59*time.Second: wantIdle,
		7*time.Hour + 45*time.Minute:                  wantAbsolute,
	} {
		t.Run("last visit after "+lastVisit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				testBusy(browser, lastVisit)
				time.Sleep(3 * 24 * time.Hour)
				mustRead(t, browser.Get("/dashboard"), http.StatusOK, want)
			})
		})
	}
}

func TestEightHoursBeginAgainWithALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(9*time.Hour + 300*time.Millisecond)
		browser.Post("/login", loginFields("admin", "password", "")).MustBeAt("/dashboard")
		testBusy(browser, 8*time.Hour-1)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, wantAbsolute)
	})
}

func TestPagesSayWhenTheLoginEnds(t *testing.T) {
	for _, path := range testPages {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				mustEnd(t, browser.Get(path), "2000-01-01T00:15:00Z")
				testBusy(browser, 7*time.Hour+50*time.Minute)
				mustEnd(t, browser.Get(path), "2000-01-01T08:00:00Z")
			})
		})
	}
}

// The countdown.

func TestCountdownShowsTheTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		for left := 15 * time.Minute; left > 0; left -= 33 * time.Second {
			page := browser.Get("/countdown?next=/notes")
			mustRead(t, page, http.StatusOK, fmt.Sprintf("You will be logged out in %d:%02d minutes", left/time.Minute, left%time.Minute/time.Second))
			time.Sleep(33 * time.Second)
		}
	})
}

func TestCountdownAfterTheEndLeadsToTheLoginForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		stranger := webtest.NewBrowser(t, browser.Handler).Get("/countdown")
		mustBeLogin(t, stranger)
		stranger.MustNotShow("logged out")
		time.Sleep(15 * time.Minute)
		for range 2 {
			page := browser.Get("/countdown")
			mustBeLogin(t, page)
			mustRead(t, page, http.StatusOK, wantIdle)
		}
	})
}

// A page that reloads itself must not keep its own session alive.
func TestCountdownIsNoActivityHoweverItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
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
		mustRead(t, browser.Get("/countdown"), http.StatusOK, wantIdle)
	})
}

func TestPageOpensTheCountdownTwoMinutesBeforeTheEnd(t *testing.T) {
	for _, path := range []string{"/dashboard", "/notes"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				mustRefresh(t, browser.Get(path), 13*time.Minute, path)
				testBusy(browser, 7*time.Hour+50*time.Minute)
				mustRefresh(t, browser.Get(path), 8*time.Minute, path)
			})
		})
	}
}

// The test does what browsers do with an open page: it waits as long as the header
// Refresh says, and then opens the address that the header names.
func TestOpenPageLogsItselfOut(t *testing.T) {
	for _, path := range []string{"/dashboard", "/notes"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				start, page := time.Now(), browser.Get(path)
				cookie, shown := browser.Cookie("/", "timeout"), 0
				for !testAtLogin(page) {
					page = testRefresh(t, browser, page)
					if browser.Cookie("/", "timeout") != cookie {
						t.Fatalf("after %v: %s changed the cookie, want it to stay", time.Since(start), page.Path)
					}
					if path, _, _ := strings.Cut(page.Path, "?"); path == "/countdown" {
						shown++
					}
				}
				if took, want := time.Since(start), 15*time.Minute; took != want {
					t.Errorf("logged out after %v, want %v", took, want)
				}
				if shown < 3 {
					t.Errorf("got the countdown %d times, want at least 3", shown)
				}
				mustRead(t, page, http.StatusOK, wantIdle)
			})
		})
	}
}

func TestLastHalfSecondIsRoundedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15*time.Minute - time.Second/2)
		page := browser.Get("/countdown")
		mustRead(t, page, http.StatusOK, "in 0:01 minutes")
		mustBeLogin(t, testRefresh(t, browser, page))
	})
}

// It is too late for a warning, so the page waits until the end.
func TestPageInTheLastTwoMinutesRefreshesOnceAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		testBusy(browser, 7*time.Hour+58*time.Minute)
		mustRefresh(t, browser.Get("/notes"), 2*time.Minute, "/notes")
		testBusy(browser, time.Minute)
		page := testRefresh(t, browser, browser.Get("/notes"))
		mustBeLogin(t, page)
		mustRead(t, page, http.StatusOK, wantAbsolute)
	})
}

// A refresh would delete what the visitor is typing.
func TestPageWithAFormNeverRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := testLogin(t).Get("/notes/new")
		page.MustShow("<textarea")
		mustNotRefresh(t, page)
	})
}

func TestWorkInOneTabKeepsTheOtherIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		_, address := testRefreshOf(t, browser.Get("/dashboard"))
		time.Sleep(10 * time.Minute)
		browser.Get("/notes")
		time.Sleep(6 * time.Minute)
		mustRead(t, browser.Get(address), http.StatusOK, "in 9:00 minutes")
	})
}

// A countdown that reloads every ten seconds all day, beside a tab in which the visitor
// works, is of no use.
func TestCountdownWithMuchTimeLeftWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		page := browser.Get("/countdown?next=/notes")
		mustRefresh(t, page, 13*time.Minute, "/notes")
		time.Sleep(10 * time.Minute)
		page = browser.Get("/countdown?next=/notes")
		mustRefresh(t, page, 3*time.Minute, "/notes")
		page = testRefresh(t, browser, page)
		mustRefresh(t, page, 10*time.Second, "/notes")
	})
}

// Stay logged in.

func TestStayStartsTheFifteenMinutesAgainWhereYouWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		page := testRefresh(t, browser, browser.Get("/notes"))
		if testTag(page, "form", "action", "/stay") == "" {
			t.Error("want a form on the countdown whose action is /stay")
		}
		mustField(t, page, "next", "/notes")
		page = postBody(browser, "/stay", strings.NewReader("next=/notes")) // follows no redirect, because that would be a visit
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
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		page := browser.Post("/stay", url.Values{"next": {"/notes"}})
		mustBeLogin(t, page)
		mustRead(t, page, http.StatusOK, wantIdle)
	})
}

// In the last minutes of the 8 hours the button would have no effect.
func TestStayDoesNotMoveTheEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		testBusy(browser, 7*time.Hour+59*time.Minute)
		page := browser.Get("/countdown?next=/notes")
		mustRead(t, page, http.StatusOK, "in 1:00 minutes")
		if testTag(page, "form", "action", "/stay") != "" {
			t.Error("want no form on the countdown whose action is /stay")
		}
		if testTag(page, "a", "href", "/notes") == "" {
			t.Error("want a link to /notes on the countdown")
		}
		browser.Post("/stay", nil)
		time.Sleep(time.Minute)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, wantAbsolute)
	})
}

// The way back.

func TestLoginLeadsBackToWhereYouWere(t *testing.T) {
	t.Parallel()
	for _, path := range testPages {
		browser := webtest.NewBrowser(t, testSite(t))
		page := browser.Get(path)
		mustBeLogin(t, page)
		mustField(t, page, "next", path)
		mustField(t, browser.Post("/login", loginFields("admin", "", path)), "next", path)
		browser.Post("/login", loginFields("admin", "password", path)).MustBeAt(path)
	}
}

func TestCountdownAndStayLeadBackToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		mustField(t, browser.Get("/countdown?next=/notes"), "next", "/notes")
		mustField(t, browser.Get("/countdown?next=%2Fnotes%2Fnew"), "next", "/notes/new")
		mustField(t, browser.Post("/stay", url.Values{"next": {"/notes"}}), "next", "/notes")
	})
}

func TestLoginWithAForeignNextLeadsToTheDashboard(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"//evil.example", "https://evil.example/dashboard"} {
		page := webtest.NewBrowser(t, testSite(t)).Post("/login", loginFields("admin", "password", next))
		page.MustBeAt("/dashboard")
	}
}

// testElsewhere has values that next must not have. They are other sites, in every
// spelling that some browser understands, and addresses on this site that a login must not
// lead to.
var testElsewhere = []string{
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
		browser := testLogin(t)
		stranger := webtest.NewBrowser(t, browser.Handler)
		for _, next := range testElsewhere {
			query := "?next=" + url.QueryEscape(next)
			if page := browser.Post("/stay", url.Values{"next": {next}}); page.Path != "/dashboard" {
				t.Fatalf("/stay with next=%.100q: the browser is at %s, want /dashboard", next, page.Path)
			}
			page := browser.Get("/countdown" + query)
			mustField(t, page, "next", "/dashboard")
			mustRefresh(t, page, 13*time.Minute, "/dashboard")
			mustField(t, stranger.Get("/login"+query), "next", "/dashboard")
			mustField(t, stranger.Get("/countdown"+query), "next", "/dashboard")
			mustField(t, stranger.Post("/login", loginFields("", "", next)), "next", "/dashboard")
			mustField(t, stranger.Post("/stay", url.Values{"next": {next}}), "next", "/dashboard")
			if t.Failed() {
				t.Fatalf("next was %.100q", next) // one of them is enough to read
			}
		}
	})
}

func TestFirstOfRepeatedNextsIsUsed(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t)).Get("/login?next=/notes&next=//evil.example")
	mustField(t, page, "next", "/notes")
	page.MustNotShow("evil")
}

func TestNextInTheAddressOfAPostIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		testLogin(t).Post("/stay?next=/notes", nil).MustBeAt("/dashboard")
	})
}

// Notes.

func TestNoteIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		page := browser.Post("/notes", noteFields("Tea & <b>biscuits</b>"))
		page.MustBeAt("/notes")
		mustRead(t, page, http.StatusOK, "Tea & <b>biscuits</b>")
	})
}

func TestSavingANoteIsActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		for _, text := range []string{"Tea", ""} {
			time.Sleep(15*time.Minute - 1)
			postBody(browser, "/notes", strings.NewReader(noteFields(text).Encode()))
		}
		time.Sleep(15*time.Minute - 1)
		mustRead(t, browser.Get("/notes"), http.StatusOK, "Tea")
	})
}

func TestNotesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		for n := range 30 {
			browser.Post("/notes", noteFields(fmt.Sprintf("note %d.", n)))
		}
		page := browser.Get("/notes")
		mustRead(t, page, http.StatusOK, "note 29.")
		mustRead(t, page, http.StatusOK, "note 10.")
		page.MustNotShow("note 9.")
	})
}

func TestNotesOfManyTabsAtOnceAreAllSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		var tabs sync.WaitGroup
		for n := range 20 {
			tab := webtest.NewBrowser(t, browser.Handler)
			tab.SetCookie("timeout", browser.Cookie("/", "timeout"))
			tabs.Go(func() { tab.Post("/notes", noteFields(fmt.Sprintf("note %d.", n))) })
		}
		tabs.Wait()
		page := browser.Get("/notes")
		for n := range 20 {
			mustRead(t, page, http.StatusOK, fmt.Sprintf("note %d.", n))
		}
	})
}

func TestNoteThatCannotBeSavedComesBackToTheForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "The note is empty.",
		" \r\n ":                           "The note is empty.",
		strings.Repeat("\r\n", 1001):       "The note is empty.",
		strings.Repeat("ä", 1001):          "This one has 1001.",
		strings.Repeat("<x>", 1000):        "This one has 3000.",
		"\r\n" + strings.Repeat("ä", 1000): "This one has 1001.",
		"\xff\xfe":                         "The note is not text in UTF-8.",
	} {
		t.Run(fmt.Sprintf("%d bytes of %.5q", len(text), text), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				page := browser.Post("/notes", noteFields(text))
				mustRead(t, page, http.StatusBadRequest, want)
				mustNotRefresh(t, page)
				if got, typed := testTyped(t, page), strings.ReplaceAll(text, "\r\n", "\n"); strings.HasPrefix(want, "This") && got != typed {
					t.Errorf("got %.100q in the form, want %.100q", got, typed)
				}
				mustRead(t, browser.Get("/notes"), http.StatusOK, "There are no notes.")
			})
		})
	}
}

func TestLongestNoteIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, text := range []string{strings.Repeat("\U0001F375", 1000), strings.Repeat("x\r\n", 500)} {
			testLogin(t).Post("/notes", noteFields(text)).MustBeAt("/notes")
		}
	})
}

func TestOddTextIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		for _, text := range []string{"\x00", "{{.}}", "\u2028\u202e", "a\r\nSet-Cookie: x=1"} {
			page := browser.Post("/notes", noteFields(text))
			page.MustBeAt("/notes")
		}
	})
}

// A browser sends a note twice if the visitor presses the button twice.
func TestNoteThatIsSentTwiceIsSavedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		id := testField(t, browser.Get("/notes/new"), "id")
		if other := testField(t, browser.Get("/notes/new"), "id"); id == "" || other == id {
			t.Errorf("two forms have the IDs %q and %q, want two different ones", id, other)
		}
		form := noteFields("water the tree")
		form.Set("id", id)
		browser.Post("/notes", form).MustBeAt("/notes")
		browser.Post("/notes", form).MustBeAt("/notes")
		page := browser.Post("/notes", noteFields("water the tree")) // of another form
		if got, want := strings.Count(page.Text(), "water the tree"), 2; got != want {
			t.Errorf("one form was sent twice and another one once: the notes have the text %d times, want %d", got, want)
		}
	})
}

// A visitor can go back to an old form, and type another note there.
func TestOldFormWithAnotherTextIsAnotherNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		form := noteFields("water the tree")
		browser.Post("/notes", form)
		form.Set("text", "feed the cat")
		page := browser.Post("/notes", form)
		mustRead(t, page, http.StatusOK, "water the tree")
		mustRead(t, page, http.StatusOK, "feed the cat")
	})
}

// A note that comes too late.

func TestNoteThatComesTooLateIsInTheLoginForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		for _, text := range []string{"</textarea>An hour's work", "\nIt begins with an empty line", strings.Repeat("x", 1001)} {
			form := noteFields(strings.ReplaceAll(text, "\n", "\r\n"))
			page := browser.Post("/notes", form)
			mustRead(t, page, http.StatusForbidden, "Your note is not saved yet.")
			mustRead(t, page, http.StatusForbidden, wantIdle)
			mustNotRefresh(t, page)
			mustField(t, page, "next", "/notes")
			mustField(t, page, "id", form.Get("id"))
			if testTag(page, "form", "action", "/login") == "" {
				t.Error("want a form whose action is /login")
			}
			if got := testTyped(t, page); got != text {
				t.Errorf("got %.100q in the form, want %.100q", got, text)
			}
		}
	})
}

func TestEmptyNoteThatComesTooLateGetsTheLoginForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		page := browser.Post("/notes", noteFields(" \r\n "))
		mustRead(t, page, http.StatusForbidden, wantIdle)
		mustField(t, page, "next", "/notes")
	})
}

func TestNoteThatComesTooLateIsSavedByTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		time.Sleep(15 * time.Minute)
		page := browser.Post("/notes", noteFields("</textarea>An hour's work"))
		page = browser.Post("/login", testLateLogin(t, page, "letmein"))
		mustRead(t, page, http.StatusForbidden, "Invalid credentials")
		page = browser.Post("/login", testLateLogin(t, page, "password"))
		page.MustBeAt("/notes")
		mustRead(t, page, http.StatusOK, "</textarea>An hour's work")
	})
}

// The login form was the response to a POST. After the login, Back leads to it, and a reload
// sends the note again.
func TestNoteThatComesTooLateIsSavedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		form := noteFields("An hour's work,\r\nand more")
		form.Set("id", testField(t, browser.Get("/notes/new"), "id"))
		time.Sleep(15 * time.Minute)
		page := browser.Post("/notes", form)
		page = browser.Post("/login", testLateLogin(t, page, ""))
		browser.Post("/login", testLateLogin(t, page, "password")).MustBeAt("/notes")
		page = browser.Post("/notes", form)
		page.MustBeAt("/notes")
		saved := regexp.MustCompile(`An hour's work,(?:\s|<br[ /]*>)*and more`).FindAllString(html.UnescapeString(page.Body), -1)
		if len(saved) != 1 {
			t.Errorf("got %d notes, %q, want one, %q", len(saved), saved, "An hour's work,\nand more")
		}
	})
}

func TestLoginWithAnEmptyNoteSavesNone(t *testing.T) {
	t.Parallel()
	form := loginFields("admin", "password", "/notes")
	form.Set("text", " \r\n ")
	page := webtest.NewBrowser(t, testSite(t)).Post("/login", form)
	page.MustBeAt("/notes")
	mustRead(t, page, http.StatusOK, "There are no notes.")
}

func TestLoginWithANoteThatIsTooLongKeepsTheForm(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t))
	form, text := loginFields("admin", "password", "/notes"), "\n"+strings.Repeat("x", 1000)
	form.Set("text", strings.ReplaceAll(text, "\n", "\r\n"))
	form.Set("id", "the form's own")
	page := browser.Post("/login", form)
	mustRead(t, page, http.StatusBadRequest, "This one has 1001.")
	mustField(t, page, "next", "/notes")
	mustField(t, page, "id", "the form's own")
	if got := testTyped(t, page); got != text {
		t.Errorf("got %.50q, %d bytes, in the form, want %.50q, %d bytes", got, len(got), text, len(text))
	}
	mustBeLogin(t, browser.Get("/notes"))
}

// Other idle timeouts.

func TestAnotherIdleTimeoutIsUsedAndNamed(t *testing.T) {
	for idle, words := range map[time.Duration]string{
		10 * time.Second: "10 seconds", 90 * time.Second: "90 seconds", time.Minute: "1 minute",
		time.Hour: "1 hour", 90 * time.Minute: "90 minutes",
	} {
		t.Run(words, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
				browser.Handler = testSiteWith(t, idle)
				start, page := time.Now(), browser.Get("/dashboard")
				warning := min(2*time.Minute, idle/2)
				mustRefresh(t, page, idle-warning, "/dashboard")
				mustRefresh(t, browser.Get("/countdown?next=/notes"), idle-warning, "/notes")
				time.Sleep(idle - warning)
				page = browser.Get("/countdown?next=/notes")
				mustRefresh(t, page, min(10*time.Second, warning), "/notes")
				for !testAtLogin(page) && time.Since(start) <= idle {
					page = testRefresh(t, browser, page)
				}
				if took := time.Since(start); took != idle {
					t.Errorf("logged out after %v, want %v", took, idle)
				}
				mustRead(t, page, http.StatusOK, "You were logged out after "+words+" without activity.")
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
			_, err := newHandler(testManager(t), idle)
			if ok && err != nil {
				t.Errorf("idle timeout %v: got the error %v, want none", idle, err)
			}
			if !ok && err == nil {
				t.Errorf("idle timeout %v: got no error, want one", idle)
			}
		})
	}
}

// Copies of the cookie, and forgeries.

// The session is only in the cookie. A visitor who puts an older cookie back also puts
// the older time of the last visit back.
func TestOlderCookieEndsSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		older := browser.Cookie("/", "timeout")
		testBusy(browser, 14*time.Minute)
		time.Sleep(time.Minute)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		browser.SetCookie("timeout", older)
		mustRead(t, browser.Get("/dashboard"), http.StatusOK, wantIdle)
	})
}

// A client-side session cannot prevent that a copy still works after a logout.
func TestCopyOutlivesALogoutByTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		stolen := browser.Cookie("/", "timeout")
		browser.Post("/logout", nil)

		thief := webtest.NewBrowser(t, browser.Handler)
		thief.SetCookie("timeout", stolen)
		time.Sleep(15*time.Minute - 1)
		mustRead(t, thief.Get("/dashboard"), http.StatusOK, "Welcome to your dashboard, admin!")
		thief.SetCookie("timeout", stolen)
		time.Sleep(time.Nanosecond)
		mustRead(t, thief.Get("/dashboard"), http.StatusOK, wantIdle)
	})
}

func TestUsedCopyEndsWithTheEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		testBusy(browser, time.Hour)
		thief := webtest.NewBrowser(t, browser.Handler)
		thief.SetCookie("timeout", browser.Cookie("/", "timeout"))
		browser.Post("/logout", nil)
		testBusy(thief, 8*time.Hour-time.Hour-1)
		thief.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Nanosecond)
		mustRead(t, thief.Get("/dashboard"), http.StatusOK, wantAbsolute)
	})
}

func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		browser.SetCookie("timeout", testSigned(t, browser.Cookie("/", "timeout"), "planted", "by a stranger"))
		browser.Post("/login", loginFields("admin", "password", ""))
		parts, err := session.Inspect(browser.Cookie("/", "timeout"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(parts.Payload, []byte("planted")) {
			t.Errorf("after the login: got the payload %s, want it without the planted value", parts.Payload)
		}
	})
}

// An older release may have stored other values under the same names.
func TestDamagedSessionSignsNoOneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		parts, err := session.Inspect(browser.Cookie("/", "timeout"))
		if err != nil {
			t.Fatal(err)
		}
		var values map[string]any
		if err := json.Unmarshal(parts.Payload, &values); err != nil {
			t.Fatal(err)
		}
		if len(values) == 0 {
			t.Fatalf("got the payload %s, want values in it", parts.Payload)
		}
		for name := range values {
			if strings.HasPrefix(name, "_") {
				continue // a value of the session package, such as _permanent
			}
			for _, bad := range []any{nil, "", "x", -1, 1e300, true, []int{1}, map[string]int{"a": 1}, "0001-01-01T00:00:00Z", "-1"} {
				forger := webtest.NewBrowser(t, browser.Handler)
				forger.SetCookie("timeout", testSigned(t, browser.Cookie("/", "timeout"), name, bad))
				for _, page := range []webtest.Page{
					forger.Get("/dashboard"), forger.Get("/countdown"), forger.Get("/login"), forger.Post("/stay", nil),
				} {
					if page.Status != http.StatusOK || !testAtLogin(page) {
						t.Fatalf("%s in the session is %#v: the browser is at %s, with status %d, want /login with 200", name, bad, page.Path, page.Status)
					}
				}
			}
		}
	})
}

// Other sites, caches, and forms that cannot be read.

func TestStateChangesTakeAPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t)
		cookie := browser.Cookie("/", "timeout")
		time.Sleep(time.Minute)
		for _, path := range []string{"/logout", "/stay"} {
			browser.Get(path).MustBe(http.StatusMethodNotAllowed, "")
		}
		browser.Get("/login") // is no page of a user, so it is not activity
		if browser.Cookie("/", "timeout") != cookie {
			t.Error("a GET changed the cookie, want it to stay")
		}
	})
}

func TestOtherSitesCannotPost(t *testing.T) {
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				browser := testLogin(t)
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
		browser := testLogin(t)
		for _, path := range []string{"/dashboard", "/notes", "/notes/new", "/countdown", "/login"} {
			page := browser.Get(path)
			page.MustBeAt(path)
			if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
				t.Errorf("%s: got Cache-Control: %q, want %q", path, got, want)
			}
		}
		if testTag(browser.Get("/login"), "link", "href", "/forget.css") == "" {
			t.Error("/login: want a link element whose href is /forget.css")
		}
		if got, want := browser.Get("/forget.css").Header.Get("Clear-Site-Data"), `"cache"`; got != want {
			t.Errorf("got Clear-Site-Data: %s, want %s", got, want)
		}
	})
}

func TestHugeOrDamagedFormIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t))
	for _, path := range []string{"/login", "/notes", "/stay"} {
		huge := browser.Post(path, url.Values{"text": {strings.Repeat("x", 1<<20)}, "next": {"/notes"}})
		mustRead(t, huge, http.StatusRequestEntityTooLarge, "The form is too large: more than ")
		mustRead(t, postBody(browser, path, strings.NewReader("next=%zz")), http.StatusBadRequest, "The form is damaged.")
	}
}

// Any number of clients can leave their response unread. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler, release := testSite(t), make(chan struct{})
		defer close(release)
		form := loginFields("admin", "letmein", "/notes")
		for range 2 {
			r := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			go handler.ServeHTTP(unreadResponse{httptest.NewRecorder(), release}, r)
		}
		synctest.Wait()
		mustRead(t, webtest.NewBrowser(t, handler).Post("/login", form), http.StatusForbidden, "Invalid credentials")
	})
}

const (
	wantIdle     = "You were logged out after 15 minutes without activity."
	wantAbsolute = "You were logged out after 8 hours."
)

var (
	testPages  = []string{"/dashboard", "/notes", "/notes/new"}
	testSecret = bytes.Repeat([]byte("s"), 32)
)

func testManager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(testSecret, &session.Options{Name: "timeout"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func testSite(t *testing.T) http.Handler {
	t.Helper()
	return testSiteWith(t, 15*time.Minute)
}

func testSiteWith(t *testing.T, idle time.Duration) http.Handler {
	t.Helper()
	handler, err := newHandler(testManager(t), idle)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// testLogin returns the browser of an admin who logged in when the bubble began. All
// bubbles share the cookie of one login, because a login takes a hash. They can share
// it, because their clocks start at the same time.
func testLogin(t *testing.T) *webtest.Browser {
	t.Helper()
	if start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); !time.Now().Equal(start) {
		t.Fatalf("testLogin was called at %v, want %v", time.Now(), start)
	}
	browser := webtest.NewBrowser(t, testSite(t))
	testLoginOnce.Do(func() {
		postBody(browser, "/login", strings.NewReader(loginFields("admin", "password", "").Encode()))
		testLoginCookie = browser.Cookie("/", "timeout")
	})
	if testLoginCookie == "" {
		t.Fatal("this test needs a login: POST /login with the right password must set the cookie timeout")
	}
	browser.SetCookie("timeout", testLoginCookie)
	return browser
}

var (
	testLoginOnce   sync.Once
	testLoginCookie string
)

// testSigned returns the cookie with a value added or replaced, signed by the site.
func testSigned(t *testing.T, cookie, name string, value any) string {
	t.Helper()
	sessions, r, w := testManager(t), httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
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

// testBusy opens a page at least every ten minutes for the time d. It opens the last one
// at the end of that time.
func testBusy(browser *webtest.Browser, d time.Duration) {
	for d > 0 {
		step := min(d, 10*time.Minute)
		time.Sleep(step)
		browser.Get("/dashboard")
		d -= step
	}
}

// testRefresh does what a browser does with an open page: it waits, and then opens the
// address in the header Refresh.
func testRefresh(t *testing.T, browser *webtest.Browser, page webtest.Page) webtest.Page {
	t.Helper()
	wait, address := testRefreshOf(t, page)
	time.Sleep(wait)
	return browser.Get(address)
}

// testRefreshOf returns the parts of the header Refresh: how long the browser waits, and
// the address that it then opens.
func testRefreshOf(t *testing.T, page webtest.Page) (wait time.Duration, address string) {
	t.Helper()
	header := page.Header.Get("Refresh")
	parts := regexp.MustCompile(`(?i)^(\d+) *[;,] *url *= *["']?(/[^"']*)["']?$`).FindStringSubmatch(header)
	if parts == nil {
		t.Fatalf("%s: got Refresh: %q, want seconds and an address of this site, as in 10; url=/countdown", page.Path, header)
	}
	seconds, err := strconv.Atoi(parts[1])
	if err != nil || seconds < 1 {
		t.Fatalf("%s: got Refresh: %q, want at least 1 second", page.Path, header)
	}
	return time.Duration(seconds) * time.Second, parts[2]
}

// mustRefresh wants a page that opens the countdown after some time. The countdown must
// lead back to next.
func mustRefresh(t *testing.T, page webtest.Page, want time.Duration, next string) {
	t.Helper()
	wait, address := testRefreshOf(t, page)
	if wait != want {
		t.Errorf("%s: got a refresh after %v, want %v", page.Path, wait, want)
	}
	path, query, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(query)
	if path != "/countdown" || err != nil || values.Get("next") != next {
		t.Errorf("%s: got a refresh to %s, want /countdown with next=%s", page.Path, address, next)
	}
}

func mustNotRefresh(t *testing.T, page webtest.Page) {
	t.Helper()
	if got := page.Header.Get("Refresh"); got != "" {
		t.Errorf("%s, with status %d: got Refresh: %s, want none", page.Path, page.Status, got)
	}
}

func loginFields(username, password, next string) url.Values {
	return url.Values{"username": {username}, "password": {password}, "next": {next}}
}

// noteFields returns the form of a note. Each call is another form, with an ID of its own.
func noteFields(text string) url.Values {
	return url.Values{"id": {rand.Text()}, "text": {text}}
}

// testLateLogin returns the form of a login page that has a note, filled in.
func testLateLogin(t *testing.T, page webtest.Page, password string) url.Values {
	t.Helper()
	form := loginFields("admin", password, testField(t, page, "next"))
	form.Set("text", strings.ReplaceAll(testTyped(t, page), "\n", "\r\n")) // as browsers send it
	form.Set("id", testField(t, page, "id"))
	return form
}

// postBody sends a body, which can be something other than a form. It follows no redirect.
func postBody(browser *webtest.Browser, path string, body io.Reader) webtest.Page {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return browser.Send(r)
}

// unreadResponse is a response whose client reads nothing until release is closed.
type unreadResponse struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w unreadResponse) Write(p []byte) (int, error) {
	<-w.release
	return len(p), nil
}

var (
	testTags       = regexp.MustCompile(`(?s)<[a-zA-Z](?:"[^"]*"|'[^']*'|[^"'>])*>`)
	testAttributes = regexp.MustCompile(`(?s)\s([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`)
)

// testAttribute returns the value of a tag's attribute, "" if it has none of that name.
func testAttribute(tag, name string) string {
	for _, match := range testAttributes.FindAllStringSubmatch(tag, -1) {
		if strings.EqualFold(match[1], name) {
			return html.UnescapeString(match[2] + match[3] + match[4])
		}
	}
	return ""
}

// testTag returns the page's first tag of this element whose attribute has this value, ""
// if there is none.
func testTag(page webtest.Page, element, attribute, value string) string {
	for _, tag := range testTags.FindAllString(page.Body, -1) {
		name := regexp.MustCompile(`^\w+`).FindString(tag[1:])
		if strings.EqualFold(name, element) && testAttribute(tag, attribute) == value {
			return tag
		}
	}
	return ""
}

// testField returns the value of the page's input field with this name.
func testField(t *testing.T, page webtest.Page, name string) string {
	t.Helper()
	tag := testTag(page, "input", "name", name)
	if tag == "" {
		t.Fatalf("%s: want an input field with the name %s, and the page has none. It says: %.300s", page.Path, name, page.Text())
	}
	return testAttribute(tag, "value")
}

// testTyped returns the text in the textarea with the name text. The first newline after
// its tag is no part of the text.
func testTyped(t *testing.T, page webtest.Page) string {
	t.Helper()
	tag := testTag(page, "textarea", "name", "text")
	if tag == "" {
		t.Fatalf("%s: want a textarea with the name text, and the page has none. It says: %.300s", page.Path, page.Text())
	}
	_, rest, _ := strings.Cut(page.Body, tag)
	text, _, _ := strings.Cut(rest, "</textarea>")
	text = strings.ReplaceAll(text, "\r\n", "\n") // as browsers read it
	return html.UnescapeString(strings.TrimPrefix(text, "\n"))
}

// mustField wants an input field with this name and value.
func mustField(t *testing.T, page webtest.Page, name, want string) {
	t.Helper()
	if got := testField(t, page, name); got != want {
		t.Errorf("%s: the field %s has the value %q, want %q", page.Path, name, got, want)
	}
}

// mustEnd wants a time element on the page, with this time in its attribute datetime.
func mustEnd(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	if testTag(page, "time", "datetime", want) == "" {
		t.Errorf("%s: want an element time with datetime %s, and the page has none. It says: %.300s", page.Path, want, page.Text())
	}
}

func testAtLogin(page webtest.Page) bool {
	path, _, _ := strings.Cut(page.Path, "?")
	return path == "/login"
}

// mustBeLogin wants the login form, at /login.
func mustBeLogin(t *testing.T, page webtest.Page) {
	t.Helper()
	if page.Status != http.StatusOK || !testAtLogin(page) {
		t.Errorf("the browser is at %s, with status %d, want /login with 200", page.Path, page.Status)
	}
	if testTag(page, "form", "action", "/login") == "" || testTag(page, "input", "name", "password") == "" {
		t.Errorf("%s: want a form whose action is /login, with the field password. The page says: %.300s", page.Path, page.Text())
	}
}

// mustRead wants a status, and this text on the page, as a visitor reads it. A tag that was
// typed must not become a tag of the page.
//
// Text has a space for each tag, so "<b>admin</b>!" is "admin !" there.
func mustRead(t *testing.T, page webtest.Page, status int, want string) {
	t.Helper()
	got := regexp.MustCompile(` ([.,!?])`).ReplaceAllString(strings.ToValidUTF8(page.Text(), "\uFFFD"), "$1")
	if page.Status != status {
		t.Errorf("%s: got status %d, want %d, and the page says: %.300s", page.Path, page.Status, status, got)
	}
	if !strings.Contains(got, want) {
		t.Errorf("%s: want %q, and the page says: %.300s", page.Path, want, got)
	}
}
