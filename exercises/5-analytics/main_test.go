package main

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
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
// In a bubble of synctest, the clock starts at midnight UTC on Saturday, 1 January 2000,
// and half an hour passes at once.

// The six pages and the cookie.

func TestEachPageIsShown(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t))
	for _, name := range []string{"Home", "Tea", "Coffee", "Cocoa", "Brewing", "About"} {
		path := "/" + strings.ToLower(name)
		if name == "Home" {
			path = "/"
		}
		page := browser.Get(path)
		page.MustShow(name)
		mustLeadToTheNotice(t, page)
	}
	for _, path := range []string{"/tea/", "/TEA", "/wp-login.php"} {
		if page := browser.Get(path); page.Status != http.StatusNotFound {
			t.Errorf("%s: got status %d, want 404", path, page.Status)
		}
	}
}

func TestCookieHasARandomIDAndNothingElse(t *testing.T) {
	handler := testSite(t)
	seen := make(map[string]bool)
	for range 3 {
		payload := testPayload(t, testVisit(t, handler, "/"))
		if want := regexp.MustCompile(`^{"visitor":"[A-Z2-7]{26,64}"}$`); !want.MatchString(payload) {
			t.Errorf("got the payload %s, want %s", payload, want)
		}
		if seen[payload] {
			t.Errorf("two visitors have the payload %s, want an ID for each", payload)
		}
		seen[payload] = true
	}
}

func TestCookieHasTheSafeAttributesAndEndsWithTheBrowser(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t))
	line := browser.Get("/").Header.Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, "; ")
	if want := "Path=/; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
	browser.Restart()
	if cookie := browser.Cookie("/", "analytics"); cookie != "" {
		t.Errorf("after the browser was closed: got the cookie %s, want none", cookie)
	}
}

// Whatever the visitor opens, the cookie stays the same. So two tabs cannot overwrite each
// other's cookie.
func TestLaterPagesSetNoCookie(t *testing.T) {
	browser := testVisit(t, testSite(t), "/")
	if browser.Cookie("/", "analytics") == "" {
		t.Fatal("after the first page: got no cookie, want one with the name analytics")
	}
	for range 300 {
		if line := browser.Get("/tea").Header.Get("Set-Cookie"); line != "" {
			t.Fatalf("a later page: got Set-Cookie: %s, want none", line)
		}
	}
}

// A browser that shows its copy of a page sends no request, so the view is not counted.
func TestBrowserAsksBeforeItShowsItsCopy(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t)).Get("/tea")
	if got, want := page.Header.Get("Cache-Control"), "no-cache, private"; got != want {
		t.Errorf("got Cache-Control: %q, want %q", got, want)
	}
	r := httptest.NewRequest("GET", webtest.Origin+"/tea", nil)
	r.Header.Set("DNT", "1")
	page = webtest.NewBrowser(t, testSite(t)).Send(r)
	if got, want := page.Header.Get("Cache-Control"), "no-cache"; !strings.Contains(got, want) {
		t.Errorf("a page that is not counted: got Cache-Control: %q, want %s in it", got, want)
	}
}

// The report: its template gets the numbers.

func TestReportOfNothingIsAllZeros(t *testing.T) {
	report := testReport(t, testSite(t))
	mustLeadToTheNotice(t, report.page)
	for _, row := range []string{"Page views", "Sessions", "Still open", "Ended early"} {
		report.must(t, row, "0")
	}
	report.must(t, "Average length", "0s")
	report.must(t, "Average depth", "0.0 pages")
	report.must(t, "All pages", "0", "0", "0")
	report.mustBalance(t)
}

func TestReportCountsTheViewsOfEachPage(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/", "/tea", "/brewing", "/tea")
	testVisit(t, handler, "/about", "/")
	testVisit(t, handler, "/coffee?from=newsletter")

	report := testReport(t, handler)
	report.must(t, "Page views", "7")
	for page, views := range map[string]string{"Home": "2", "Tea": "2", "Coffee": "1", "Cocoa": "0", "Brewing": "1", "About": "1"} {
		report.must(t, page, views, testAny, testAny)
	}
}

func TestReportCountsSessionsAndTheirEntryAndExitPages(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/", "/tea", "/brewing", "/tea")
	testVisit(t, handler, "/about", "/")
	testVisit(t, handler, "/coffee")

	report := testReport(t, handler)
	report.must(t, "Sessions", "3")
	report.must(t, "Still open", "3")
	for page, want := range map[string][]string{ // views, entries, exits
		"Home": {"2", "1", "1"}, "Tea": {"2", "0", "1"}, "Brewing": {"1", "0", "0"},
		"About": {"1", "1", "0"}, "Coffee": {"1", "1", "1"}, "Cocoa": {"0", "0", "0"},
	} {
		report.must(t, page, want...)
	}
	report.must(t, "All pages", "7", "3", "3")
}

func TestReportShowsHowManyPagesSessionsHave(t *testing.T) {
	handler := testSite(t)
	for _, views := range []int{1, 2, 3, 4, 6, 7, 12, 13, 50, 51} {
		browser := webtest.NewBrowser(t, handler)
		for range views {
			browser.Get("/tea")
		}
	}
	report := testReport(t, handler)
	report.must(t, "Average depth", "14.9 pages")
	for class, sessions := range map[string]string{
		"1 page": "1", "2 or 3 pages": "2", "4 to 6 pages": "2", "7 to 12 pages": "2", "13 to 50 pages": "2", "Over 50 pages": "1",
	} {
		report.must(t, class, sessions)
	}
}

func TestReloadIsAViewAndAStep(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/about", "/about")
	report := testReport(t, handler)
	report.must(t, "About", "2", "1", "1")
	report.must(t, "About → About", "1")
	report.must(t, "All steps", "1")
}

func TestReportShowsTheMostCommonStepsFirst(t *testing.T) {
	handler := testSite(t)
	for range 3 {
		testVisit(t, handler, "/tea", "/cocoa")
	}
	testVisit(t, handler, "/", "/tea", "/cocoa", "/tea", "/cocoa", "/about", "/about")
	testVisit(t, handler, "/", "/tea")

	report := testReport(t, handler)
	report.must(t, "Tea → Cocoa", "5")
	report.must(t, "Home → Tea", "2")
	report.must(t, "Cocoa → Tea", "1")
	report.must(t, "About → About", "1")
	report.must(t, "All steps", "10")
	if got, want := strings.Join(report.steps[:min(2, len(report.steps))], ", "), "Tea → Cocoa, Home → Tea"; got != want {
		t.Errorf("the list of steps begins with %q, want %q", got, want)
	}
}

func TestReportListsAtMostTenSteps(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/", "/tea", "/coffee", "/cocoa", "/brewing", "/about",
		"/brewing", "/cocoa", "/coffee", "/tea", "/", "/", "/coffee", "/", "/coffee")
	report := testReport(t, handler)
	if n := len(report.steps); n != 10 {
		t.Errorf("got %d steps in the list, want 10", n)
	}
	report.must(t, "Home → Coffee", "2")
	report.must(t, "All steps", "14")
}

func TestLongestBarOfTheChartHas200Units(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/tea", "/tea", "/tea", "/tea", "/about")
	page := testReport(t, handler).page
	bars := make(map[string]string)
	for _, tag := range regexp.MustCompile(`<rect\b[^>]*>`).FindAllString(page.Body, -1) {
		bars[testAttribute(tag, "data-bar")] = testAttribute(tag, "width")
	}
	for name, want := range map[string]string{"Home": "0", "Tea": "200", "Coffee": "0", "Cocoa": "0", "Brewing": "0", "About": "50"} {
		if bars[name] != want {
			t.Errorf("the bar of %s: got the width %q, want %s", name, bars[name], want)
		}
	}
	if svg := regexp.MustCompile(`<svg\b[^>]*>`).FindString(page.Body); testAttribute(svg, "role") != "img" {
		t.Errorf("got the tag %q, want one of an svg with the role img", svg)
	}
	for _, element := range []string{"title", "desc"} {
		if !regexp.MustCompile(`<` + element + `\b[^>]*id=[^>]*>[^<]`).MatchString(page.Body) {
			t.Errorf("the chart has no %s with an id, want one, because a screen reader reads it", element)
		}
	}
}

// Time: a session ends after 30 minutes.

func TestReportShowsHowLongSessionsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/")
		time.Sleep(4 * time.Minute)
		browser.Get("/tea")
		time.Sleep(20 * time.Second)
		browser.Get("/about")
		testVisit(t, handler, "/cocoa")

		report := testReport(t, handler)
		report.must(t, "Average length", "2m10s")
		report.must(t, "1 to 5 minutes", "1")
		report.must(t, "Under 1 minute", "1")
	})
}

// The classes of lengths begin at 0, 60, 300, 900 and 3600 seconds.
func TestEachLengthHasItsClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		for _, seconds := range []int{0, 59, 60, 299, 300, 899, 900, 3599, 3600} {
			browser := testVisit(t, handler, "/")
			for length := time.Duration(seconds) * time.Second; length > 0; {
				pause := min(length, 20*time.Minute)
				time.Sleep(pause)
				browser.Get("/")
				length -= pause
			}
		}
		report := testReport(t, handler)
		for class, sessions := range map[string]string{
			"Under 1 minute": "2", "1 to 5 minutes": "2", "5 to 15 minutes": "2", "15 to 60 minutes": "2", "1 hour and more": "1",
		} {
			report.must(t, class, sessions)
		}
		report.mustBalance(t)
	})
}

func TestSessionLastsWhileItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/")
		for range 3 { // more than 30 minutes in all, but never 30 minutes without a view
			time.Sleep(30*time.Minute - time.Second)
			browser.Get("/tea")
		}
		report := testReport(t, handler)
		report.must(t, "Sessions", "1")
		report.must(t, "Still open", "1")
	})
}

func TestSessionEndsAfter30IdleMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/", "/tea")
		time.Sleep(30 * time.Minute)
		report := testReport(t, handler)
		report.must(t, "Still open", "0")
		report.must(t, "Sessions", "1")
		report.must(t, "Average length", "0s") // the idle time is no part of the session
		report.must(t, "Tea", "1", "0", "1")
		report.mustBalance(t)

		browser.Get("/about")
		report = testReport(t, handler)
		report.must(t, "Sessions", "2")
		report.must(t, "Still open", "1")
		report.must(t, "About", "1", "1", "1")
		report.must(t, "All steps", "1")
		if slices.Contains(report.steps, "Tea → About") {
			t.Error("got the step Tea → About, want no step from one session to the next")
		}
		report.mustBalance(t)
	})
}

// The page /privacy: what visitors see of themselves.

func TestPrivacyPageShowsNothingBeforeTheFirstPage(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t)).Get("/privacy")
	page.MustShow("Nothing.")
	mustLeadToTheNotice(t, page)
	if got := page.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("got Set-Cookie: %s, want none", got)
	}
}

func TestVisitorSeesTheirOwnPath(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/coffee")
	page := testVisit(t, handler, "/", "/tea", "/").Get("/privacy")
	mustHaveViews(t, page, "3")
	page.MustNotShow("These are the last 50.")
	mustHavePath(t, page, "Home Tea Home")
}

func TestPathIsTheLast50Pages(t *testing.T) {
	handler := testSite(t)
	browser := testVisit(t, handler, "/about", "/cocoa")
	for range 49 {
		browser.Get("/tea")
	}
	page := browser.Get("/privacy")
	mustHaveViews(t, page, "51")
	page.MustShow("These are the last 50.")
	mustHavePath(t, page, "Cocoa"+strings.Repeat(" Tea", 49))
	report := testReport(t, handler) // it has all of them
	report.must(t, "About", "1", "1", "0")
	report.must(t, "All steps", "50")
	report.must(t, "Over 50 pages", "1")
}

func TestPathIsGoneAfter30IdleMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := testVisit(t, testSite(t), "/")
		time.Sleep(30*time.Minute - time.Second)
		mustHaveViews(t, browser.Get("/privacy"), "1") // looking at it is not a view
		time.Sleep(time.Second)
		page := browser.Get("/privacy")
		page.MustShow("Nothing.")
		mustHavePath(t, page, "")
	})
}

func TestNoCacheStoresThePersonalPage(t *testing.T) {
	page := testVisit(t, testSite(t), "/tea").Get("/privacy")
	if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
		t.Errorf("got Cache-Control: %q, want %q", got, want)
	}
}

// What is not counted. Each request comes twice: from a visitor who was counted before, and
// from a new one.

func TestOtherRoutesAreNotCounted(t *testing.T) {
	for _, path := range []string{"/report", "/privacy", "/wp-login.php", "/tea/", "/TEA", "/favicon.ico"} {
		mustNotCount(t, "GET", path, "", "")
	}
	mustNotCount(t, "POST", "/tea", "", "")
}

func TestHEADIsNotCounted(t *testing.T) {
	mustNotCount(t, "HEAD", "/tea", "", "")
}

func TestRobotIsNotCounted(t *testing.T) {
	for _, robot := range []string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"my-CRAWLER/1.0",
		"Baiduspider+(+http://www.baidu.com/search/spider.htm)",
		"Mozilla/5.0 (compatible; Yahoo! Slurp)",
		"Bing Preview/1.0",
		"facebookexternalhit/1.1",
		"Mozilla/5.0 (Linux; Android 15; Cubot P80) (compatible; bingbot/2.0)",
	} {
		mustNotCount(t, "GET", "/tea", "User-Agent", robot)
	}
}

func TestBrowserIsNoRobot(t *testing.T) {
	mustCount(t, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
}

// Cubot is a maker of phones. Its name has a robot's word in it.
func TestCubotPhoneIsNoRobot(t *testing.T) {
	mustCount(t, "User-Agent", "Mozilla/5.0 (Linux; Android 15; Cubot P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36")
	mustCount(t, "User-Agent", "Mozilla/5.0 (Linux; Android 9; CUBOT_NOTE_S) AppleWebKit/537.36")
}

// A browser fetches a page before a click that may never come.
func TestPrefetchIsNotCounted(t *testing.T) {
	mustNotCount(t, "GET", "/tea", "Sec-Purpose", "prefetch")
	mustNotCount(t, "GET", "/tea", "Sec-Purpose", "prefetch;prerender")
	mustNotCount(t, "GET", "/tea", "Purpose", "prefetch") // an older browser
}

func TestVisitorWhoseBrowserDeclinesIsNotCounted(t *testing.T) {
	for _, header := range []string{"DNT", "Sec-GPC"} {
		mustNotCount(t, "GET", "/tea", header, "1")
		mustCount(t, header, "0")
	}
}

func TestVisitorWhoseBrowserDeclinesIsToldSo(t *testing.T) {
	for _, header := range []string{"DNT", "Sec-GPC"} {
		r := httptest.NewRequest("GET", webtest.Origin+"/privacy", nil)
		r.Header.Set(header, "1")
		webtest.NewBrowser(t, testSite(t)).Send(r).MustShow("You are not counted: your browser asks for that")

		// Here the browser began to decline during a session, so there is also a path.
		page := testVisit(t, testSite(t), "/tea", "/cocoa").Send(r.Clone(t.Context()))
		page.MustShow("You are not counted: your browser asks for that")
		mustHaveViews(t, page, "2")
	}
}

// The buttons.

func TestPrivacyPageHasButtons(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t)).Get("/privacy")
	mustHaveButton(t, page, "/forget")
	mustHaveButton(t, page, "/opt-out")
}

func TestForgetMeTakesThePathAndItsShareOfTheReport(t *testing.T) {
	handler := testSite(t)
	testVisit(t, handler, "/tea", "/cocoa")
	before := testReport(t, handler)

	browser := testVisit(t, handler, "/", "/tea", "/cocoa")
	for range 60 {
		browser.Get("/about")
	}
	page := browser.Post("/forget", nil)
	page.MustBeAt("/privacy")
	page.MustShow("Nothing.")
	if value := browser.Cookie("/", "analytics"); value != "" {
		t.Errorf("got the cookie %q, want none", value)
	}
	testReport(t, handler).mustEqual(t, before)
}

func TestForgottenSessionIsNotCountedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/", "/tea")
		browser.Post("/forget", nil)
		time.Sleep(time.Hour)
		testReport(t, handler).must(t, "Page views", "0")

		browser.Get("/tea")
		report := testReport(t, handler)
		report.must(t, "Sessions", "1")
		report.must(t, "Tea", "1", "1", "1")
		report.mustBalance(t)
	})
}

// The report has only sums of the sessions that have ended. They do not say whose they are.
func TestForgetMeDoesNotReachSessionsThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/tea")
		time.Sleep(30 * time.Minute)
		browser.Get("/about")
		browser.Post("/forget", nil)
		report := testReport(t, handler)
		report.must(t, "Page views", "1")
		report.must(t, "Tea", "1", "1", "1")
	})
}

func TestOptOutForgetsAndStoresNothingButTheChoice(t *testing.T) {
	handler := testSite(t)
	browser := testVisit(t, handler, "/", "/tea")
	page := browser.Post("/opt-out", nil)
	page.MustBeAt("/privacy")
	page.MustShow("You are not counted.")
	mustHaveButton(t, page, "/opt-in")
	if got, want := testPayload(t, browser), `{"_permanent":true,"opted_out":true}`; got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
	report := testReport(t, handler)
	report.must(t, "Page views", "0")
	report.must(t, "Sessions", "0")
}

func TestVisitorWhoOptedOutIsNotCounted(t *testing.T) {
	handler := testSite(t)
	browser := webtest.NewBrowser(t, handler)
	browser.Post("/opt-out", nil)
	browser.Get("/tea")
	browser.Post("/forget", nil) // does not change the choice
	browser.Get("/about")
	browser.Get("/privacy").MustShow("You are not counted.")
	testReport(t, handler).must(t, "Page views", "0")
}

// A page can be in flight when the visitor presses "Count me again". If its response set
// the cookie again, it would bring the choice back.
func TestPagesOfAVisitorWhoOptedOutSetNoCookie(t *testing.T) {
	handler := testSite(t)
	browser := webtest.NewBrowser(t, handler)
	browser.Post("/opt-out", nil)
	for _, path := range []string{"/", "/tea", "/about", "/privacy", "/report"} {
		if line := browser.Get(path).Header.Get("Set-Cookie"); line != "" {
			t.Errorf("%s, after the opt-out: got Set-Cookie: %s, want none", path, line)
		}
	}
}

// The 180 days begin with the button. Later pages do not move the deadline, because for
// that their responses would need to set the cookie again.
func TestOptOutLasts180Days(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := webtest.NewBrowser(t, handler)
		line := browser.Send(testPost("/opt-out")).Header.Get("Set-Cookie")
		if want := "Max-Age=15552000"; !slices.Contains(strings.Split(line, "; "), want) {
			t.Errorf("got Set-Cookie: %s, want %s in it, which is 180 days", line, want)
		}
		day := 0
		for _, visit := range []struct {
			day   int
			views string // in the report, after this visit
		}{{1, "0"}, {19, "0"}, {100, "0"}, {179, "0"}, {181, "1"}} {
			time.Sleep(time.Duration(visit.day-day) * 24 * time.Hour)
			day = visit.day
			browser.Restart()
			line := browser.Get("/tea").Header.Get("Set-Cookie")
			if visit.views == "0" && line != "" {
				t.Errorf("day %d after the button: got Set-Cookie: %s, want none", day, line)
			}
			if got := testReport(t, handler).cells["Page views"]; !slices.Equal(got, []string{visit.views}) {
				t.Errorf("day %d after the button: got %s page views, want %s", day, got, visit.views)
			}
		}
	})
}

func TestOptOutOutlivesTheProgram(t *testing.T) {
	browser := testVisit(t, testSite(t), "/")
	browser.Post("/opt-out", nil)
	browser.Handler = testSite(t)
	browser.Get("/tea")
	testReport(t, browser.Handler).must(t, "Page views", "0")
}

func TestOptInBeginsANewSession(t *testing.T) {
	handler := testSite(t)
	browser := testVisit(t, handler, "/")
	old := browser.Cookie("/", "analytics")
	browser.Post("/opt-out", nil)
	page := browser.Post("/opt-in", nil)
	page.MustBeAt("/privacy")
	page.MustShow("Nothing.")
	browser.Get("/tea")
	cookie := browser.Cookie("/", "analytics")
	if cookie == "" {
		t.Error("got no cookie, want one")
	}
	if cookie == old {
		t.Errorf("got the old cookie %q, want a new one", cookie)
	}
	report := testReport(t, handler)
	report.must(t, "Sessions", "1")
	report.must(t, "Tea", "1", "1", "1")
}

func TestOptInOfAVisitorWhoIsCountedChangesNothing(t *testing.T) {
	handler := testSite(t)
	browser := testVisit(t, handler, "/tea")
	before := testPayload(t, browser)
	mustHaveViews(t, browser.Post("/opt-in", nil), "1")
	browser.Get("/tea")
	if got := testPayload(t, browser); got != before {
		t.Errorf("got the payload %s, want the one from before, %s", got, before)
	}
	report := testReport(t, handler)
	report.must(t, "Sessions", "1")
	report.must(t, "Tea", "2", "1", "1")
}

func TestButtonsTakeAPostFromThisSite(t *testing.T) {
	handler := testSite(t)
	for _, path := range []string{"/forget", "/opt-out", "/opt-in"} {
		browser := testVisit(t, handler, "/tea")
		if page := browser.Get(path); page.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: got status %d, want 405", path, page.Status)
		}
		r := testPost(path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if page := browser.Send(r); page.Status != http.StatusForbidden {
			t.Errorf("%s from another site: got status %d, want 403", path, page.Status)
		}
		mustHaveViews(t, browser.Get("/privacy"), "1")
		page := browser.Send(testPost(path))
		if page.Status != http.StatusSeeOther {
			t.Errorf("%s: got status %d, want 303", path, page.Status)
		}
		if got, want := page.Header.Get("Location"), "/privacy"; got != want {
			t.Errorf("%s: got Location: %s, want %s", path, got, want)
		}
	}
	testReport(t, handler).must(t, "Page views", "1") // the visitor who pressed only opt-in
}

// Many visitors, many tabs.

// Go stops the whole program with a fatal error if two requests use a map at the same time
// without a lock.
func TestCountsAreExactUnder64ConcurrentVisitors(t *testing.T) {
	handler := testSite(t)
	const visitors, rounds = 64, 10
	var all sync.WaitGroup
	for range visitors {
		all.Go(func() {
			browser := webtest.NewBrowser(t, handler)
			for range rounds {
				browser.Get("/")
				browser.Get("/tea")
				browser.Get("/about")
			}
		})
	}
	defer all.Wait() // also if a report is not what it should be
	for range 20 {   // the report must also balance while visitors open pages
		testReport(t, handler).mustBalance(t)
	}
	all.Wait()

	report := testReport(t, handler)
	report.mustBalance(t)
	report.must(t, "Page views", "1920")
	report.must(t, "Sessions", "64")
	report.must(t, "Home", "640", "64", "0")
	report.must(t, "Tea", "640", "0", "0")
	report.must(t, "About", "640", "0", "64")
	report.must(t, "Home → Tea", "640")
	report.must(t, "Tea → About", "640")
	report.must(t, "About → Home", "576")
	report.must(t, "13 to 50 pages", "64")
}

func TestTabsOfOneVisitorAtOnceLoseNothing(t *testing.T) {
	handler := testSite(t)
	cookie := testVisit(t, handler, "/").Cookie("/", "analytics")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			tab := webtest.NewBrowser(t, handler)
			tab.SetCookie("analytics", cookie)
			for range 25 {
				tab.Get("/tea")
				tab.Get("/cocoa")
			}
		})
	}
	all.Wait()

	report := testReport(t, handler)
	report.mustBalance(t)
	report.must(t, "Page views", "401")
	report.must(t, "Sessions", "1")
	report.must(t, "All steps", "400")
	report.must(t, "Tea", "200", "0", testAny)
	report.must(t, "Cocoa", "200", "0", testAny)
}

func TestOneSessionTooManyEndsTheOneThatIsUnusedForLongest(t *testing.T) {
	handler := testSiteWithRoom(t, 3)
	regular := testVisit(t, handler, "/")
	for range 2 {
		testVisit(t, handler, "/tea")
		testVisit(t, handler, "/tea")
		regular.Get("/about") // this session is in use, so another one must end
	}
	report := testReport(t, handler)
	report.mustBalance(t)
	report.must(t, "Still open", "3")
	report.must(t, "Ended early", "2")
	report.must(t, "Page views", "7")
	report.must(t, "Sessions", "5")
	mustHaveViews(t, regular.Get("/privacy"), "3")
}

func TestVisitorsWithoutCookiesFillNoMemory(t *testing.T) {
	handler := testSiteWithRoom(t, 3)
	regular := testVisit(t, handler, "/", "/about")
	for range 100 {
		testVisit(t, handler, "/cocoa")
	}
	regular.Get("/privacy").MustShow("Nothing.")
	regular.Get("/about") // begins the second session of this visitor
	report := testReport(t, handler)
	report.mustBalance(t)
	report.must(t, "Still open", "3")
	report.must(t, "Ended early", "99")
	report.must(t, "Page views", "103")
	report.must(t, "Sessions", "102")
	report.must(t, "About", "2", "1", "2")
}

// Old cookies, and cookies that the site did not make.

// A request of another tab can be in flight when the visitor presses the button. It has
// the old cookie.
func TestOlderCookieCountsNothingAfterForgetMeOrOptOut(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		t.Run(button, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { mustCountNothingAfter(t, button) })
		})
	}
}

func mustCountNothingAfter(t *testing.T, button string) {
	handler := testSite(t)
	testVisit(t, handler, "/cocoa")
	before := testReport(t, handler)
	browser := testVisit(t, handler, "/", "/tea")
	old := browser.Cookie("/", "analytics")
	browser.Post(button, nil)

	tab := webtest.NewBrowser(t, handler)
	tab.SetCookie("analytics", old)
	for range 3 {
		time.Sleep(10*time.Minute - time.Second)
		if line := tab.Get("/tea").Header.Get("Set-Cookie"); line != "" {
			t.Errorf("a tab with the old cookie: got Set-Cookie: %s, want none, because it undoes the choice", line)
		}
		tab.Get("/privacy").MustShow("Nothing.")
	}
	time.Sleep(3 * time.Second) // 30 minutes after the button
	report := testReport(t, handler)
	report.must(t, "Page views", "1")
	report.must(t, "Tea", "0", "0", "0")
	report.must(t, "Sessions", before.cells["Sessions"]...)

	tab.Get("/tea")
	if got := testReport(t, handler).cells["Tea"]; !slices.Equal(got, []string{"1", "1", "1"}) {
		t.Errorf("30:00 after the button, with the old cookie: got the row Tea %q, want 1 view, 1 entry and 1 exit", got)
	}
}

// The buttons forget the ID also when the session has ended a moment ago.
func TestOlderCookieCountsNothingIfTheSessionEndedBeforeTheButton(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		t.Run(button, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := testSite(t)
				browser := testVisit(t, handler, "/cocoa")
				old := browser.Cookie("/", "analytics")
				time.Sleep(30 * time.Minute)
				browser.Post(button, nil)
				browser.SetCookie("analytics", old)
				browser.Get("/tea")
				report := testReport(t, handler)
				report.must(t, "Page views", "1")
				report.must(t, "Tea", "0", "0", "0")
			})
		})
	}
}

func TestPressingAButtonTwiceChangesNothing(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		handler := testSite(t)
		testVisit(t, handler, "/cocoa")
		before := testReport(t, handler)
		browser := testVisit(t, handler, "/", "/tea")
		old := browser.Cookie("/", "analytics")
		browser.Post(button, nil)
		for range 3 {
			browser.SetCookie("analytics", old)
			browser.Post(button, nil)
		}
		browser.SetCookie("analytics", old)
		browser.Get("/tea")
		testReport(t, handler).mustEqual(t, before)
	}
}

func TestPressingAButtonAgainBeginsThe30MinutesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t)
		browser := testVisit(t, handler, "/")
		old := browser.Cookie("/", "analytics")
		for range 2 {
			browser.SetCookie("analytics", old)
			browser.Post("/forget", nil)
			time.Sleep(20 * time.Minute)
		}
		browser.SetCookie("analytics", old)
		browser.Get("/tea") // 40 minutes after the first press, 20 after the second
		testReport(t, handler).must(t, "Page views", "0")
		time.Sleep(10 * time.Minute)
		browser.Get("/tea")
		testReport(t, handler).must(t, "Page views", "1")
	})
}

func TestOptOutWithAnOlderCookieStoresTheChoice(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		browser := testVisit(t, testSite(t), "/")
		old := browser.Cookie("/", "analytics")
		browser.Post(button, nil)
		browser.SetCookie("analytics", old)
		browser.Post("/opt-out", nil)
		if got, want := testPayload(t, browser), `{"_permanent":true,"opted_out":true}`; got != want {
			t.Errorf("%s, and then /opt-out with the old cookie: got the payload %s, want %s", button, got, want)
		}
	}
}

func TestForgetMeBesideItsOwnViewsKeepsTheBooksBalanced(t *testing.T) {
	handler := testSite(t)
	cookie := testVisit(t, handler, "/").Cookie("/", "analytics")
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			tab := webtest.NewBrowser(t, handler)
			for range 10 {
				tab.SetCookie("analytics", cookie)
				tab.Get("/tea")
				if i%4 == 0 {
					tab.Post("/forget", nil)
				}
			}
		})
	}
	all.Wait()
	report := testReport(t, handler)
	report.mustBalance(t)
	report.must(t, "Page views", "0")
	report.must(t, "Still open", "0")
}

// There is room for only one session.
func TestForgottenVisitorEndsNoOtherSession(t *testing.T) {
	handler := testSiteWithRoom(t, 1)
	regular := testVisit(t, handler, "/")
	webtest.NewBrowser(t, handler).Post("/forget", nil)
	webtest.NewBrowser(t, handler).Post("/opt-out", nil)
	mustHaveViews(t, regular.Get("/privacy"), "1")
	regular.Post("/forget", nil)
	regular = testVisit(t, handler, "/tea")
	mustHaveViews(t, regular.Get("/privacy"), "1")
	report := testReport(t, handler)
	report.must(t, "Ended early", "0")
	report.must(t, "Sessions", "1")
}

// The server also forgets whom it forgot. There is room for three forgotten IDs.
func TestForgottenVisitorsFillNoMemory(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		t.Run(button, func(t *testing.T) {
			handler := testSiteWithRoom(t, 3)
			var old []string
			for range 4 {
				browser := testVisit(t, handler, "/")
				old = append(old, browser.Cookie("/", "analytics"))
				browser.Post(button, nil)
			}
			tab := webtest.NewBrowser(t, handler)
			for _, cookie := range old[1:] {
				tab.SetCookie("analytics", cookie)
				tab.Get("/tea")
			}
			if got := testReport(t, handler).cells["Page views"]; !slices.Equal(got, []string{"0"}) {
				t.Errorf("the old cookies of the last 3 visitors who were forgotten: got %s views, want 0", got)
			}
			tab.SetCookie("analytics", old[0])
			tab.Get("/tea")
			if got := testReport(t, handler).cells["Page views"]; !slices.Equal(got, []string{"1"}) {
				t.Errorf("the old cookie of the visitor who was forgotten before these 3: got %s views, want 1, because only 3 IDs are remembered", got)
			}
		})
	}
}

func TestForgottenIDsTakeNoPlaceOfASession(t *testing.T) {
	handler := testSiteWithRoom(t, 3)
	regular := testVisit(t, handler, "/")
	tab := webtest.NewBrowser(t, handler)
	browser := testVisit(t, handler, "/cocoa")
	tab.SetCookie("analytics", browser.Cookie("/", "analytics"))
	browser.Post("/forget", nil)
	for range 2 {
		testVisit(t, handler, "/tea")
	}
	tab.Get("/cocoa")
	report := testReport(t, handler)
	report.must(t, "Ended early", "0")
	report.must(t, "Still open", "3")
	report.must(t, "Page views", "3")
	mustHaveViews(t, regular.Get("/privacy"), "1")
}

// A visitor can forge nothing, but an older release may have signed values of other types
// under the same names.
func TestCookieThatTheSiteDidNotMakeIsANewVisitors(t *testing.T) {
	for name, cookie := range map[string]string{
		"forged":               "eyJ2aXNpdG9yIjoiQUFBQSJ9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w",
		"rubbish":              "..=",
		"visitor is a number":  testSigned(t, func(s *session.Session) { session.Key[int]("visitor").Set(s, 5) }),
		"visitor is a list":    testSigned(t, func(s *session.Session) { session.Key[[]string]("visitor").Set(s, []string{"A"}) }),
		"visitor is empty":     testSigned(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, "") }),
		"visitor is very long": testSigned(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, strings.Repeat("A", 2900)) }),
		"opted_out is a text":  testSigned(t, func(s *session.Session) { session.Key[string]("opted_out").Set(s, "yes") }),
	} {
		t.Run(name, func(t *testing.T) {
			handler := testSite(t)
			browser := webtest.NewBrowser(t, handler)
			browser.SetCookie("analytics", cookie)
			browser.Post("/forget", nil).MustShow("Nothing.")
			browser.SetCookie("analytics", cookie)
			browser.Get("/privacy").MustShow("Nothing.")
			browser.Get("/tea")
			browser.Get("/cocoa")
			mustHavePath(t, browser.Get("/privacy"), "Tea Cocoa")
			testReport(t, handler).must(t, "Sessions", "1")
			if got, want := testPayload(t, browser), regexp.MustCompile(`"visitor":"[A-Z2-7]{26,64}"`); !want.MatchString(got) {
				t.Errorf("got the payload %.200s, want %s in it", got, want)
			}
		})
	}
}

const testSecret = "0123456789abcdef0123456789abcdef"

// testSite returns the site, with room for more sessions than a test has.
func testSite(t *testing.T) http.Handler {
	t.Helper()
	return testSiteWithRoom(t, 1000)
}

// testSiteWithRoom returns a site that remembers at most limit open sessions.
func testSiteWithRoom(t *testing.T, limit int) http.Handler {
	t.Helper()
	return newHandler(testManager(t), limit)
}

func testManager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New([]byte(testSecret), options())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// testSigned returns a cookie that is signed with the site's secret, although the site did
// not make it.
func testSigned(t *testing.T, change func(*session.Session)) string {
	t.Helper()
	browser := webtest.NewBrowser(t, testManager(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change(session.From(r))
	})))
	browser.Get("/")
	return browser.Cookie("/", "analytics")
}

// testVisit opens pages as a new visitor.
func testVisit(t *testing.T, handler http.Handler, paths ...string) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, handler)
	for _, path := range paths {
		if page := browser.Get(path); page.Status != http.StatusOK {
			t.Fatalf("%s: got status %d, want 200", path, page.Status)
		}
	}
	return browser
}

// testPost returns a POST request without an origin, as a program sends it.
func testPost(path string) *http.Request {
	return httptest.NewRequest("POST", webtest.Origin+path, nil)
}

// testPayload returns the session in the browser's cookie, as JSON.
func testPayload(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	cookie := browser.Cookie("/", "analytics")
	if cookie == "" {
		t.Fatal("got no cookie with the name analytics, want one")
	}
	parts, err := session.Inspect(cookie)
	if err != nil {
		t.Fatal(err)
	}
	return string(parts.Payload)
}

// testAttribute returns the value of a tag's attribute, or "" if it has none.
func testAttribute(tag, name string) string {
	found := regexp.MustCompile(`\s` + name + `\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`).FindStringSubmatch(tag)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1] + found[2] + found[3])
}

// mustLeadToTheNotice wants a link to /privacy on a page, and nothing from another site.
func mustLeadToTheNotice(t *testing.T, page webtest.Page) {
	t.Helper()
	if !slices.ContainsFunc(regexp.MustCompile(`<a\b[^>]*>`).FindAllString(page.Body, -1), func(tag string) bool {
		return testAttribute(tag, "href") == "/privacy"
	}) {
		t.Errorf("%s: the page has no link to /privacy, want one", page.Path)
	}
	if got := regexp.MustCompile(`(src|href|action)=["']?(https?:|//)|<script|url\(|@import`).FindString(page.Body); got != "" {
		t.Errorf("%s: got %s in the page, want nothing from another site and no script", page.Path, got)
	}
}

// mustHaveButton wants a form on the page that sends a POST to path.
func mustHaveButton(t *testing.T, page webtest.Page, path string) {
	t.Helper()
	for _, tag := range regexp.MustCompile(`<form\b[^>]*>`).FindAllString(page.Body, -1) {
		if testAttribute(tag, "action") == path && strings.EqualFold(testAttribute(tag, "method"), "post") {
			return
		}
	}
	t.Errorf("%s: the page has no form with the method post and the action %s, want one", page.Path, path)
}

// mustHaveViews wants the sentence with the number of pages in the visitor's session.
func mustHaveViews(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	found := regexp.MustCompile(`Pages in your session: ?(\d+)`).FindStringSubmatch(page.Text())
	if found == nil {
		t.Errorf("%s: want %q, and the page has no such text", page.Path, "Pages in your session: "+want+".")
		return
	}
	if found[1] != want {
		t.Errorf("%s: got %q, want %s pages", page.Path, found[0], want)
	}
}

// mustHavePath wants these names, in this order, in the attributes data-page of the page.
func mustHavePath(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	var names []string
	for _, tag := range regexp.MustCompile(`<li\b[^>]*>`).FindAllString(page.Body, -1) {
		if name := testAttribute(tag, "data-page"); name != "" {
			names = append(names, name)
		}
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s: got the path %q, want %q", page.Path, got, want)
	}
}

// mustNotCount sends a request as a visitor who was counted before, and as a new one. It
// wants no cookie, and the report as before.
func mustNotCount(t *testing.T, method, path, header, value string) {
	t.Helper()
	handler := testSite(t)
	known, stranger := testVisit(t, handler, "/"), webtest.NewBrowser(t, handler)
	before := testReport(t, handler)
	before.must(t, "Page views", "1")
	for _, browser := range []*webtest.Browser{known, stranger} {
		r := httptest.NewRequest(method, webtest.Origin+path, nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		if line := browser.Send(r).Header.Get("Set-Cookie"); line != "" {
			t.Errorf("%s %s %s %q: got Set-Cookie: %s, want none", method, path, header, value, line)
		}
	}
	if got := testReport(t, handler).cells["Page views"]; !slices.Equal(got, before.cells["Page views"]) {
		t.Errorf("%s %s %s %q: got %s views, want 1, the one before this request", method, path, header, value, got)
	}
}

// mustCount opens /tea with this header. It wants a view and a cookie.
func mustCount(t *testing.T, header, value string) {
	t.Helper()
	handler := testSite(t)
	r := httptest.NewRequest("GET", webtest.Origin+"/tea", nil)
	r.Header.Set(header, value)
	if line := webtest.NewBrowser(t, handler).Send(r).Header.Get("Set-Cookie"); line == "" {
		t.Errorf("%s %q: got no Set-Cookie, want one", header, value)
	}
	if got := testReport(t, handler).cells["Tea"]; !slices.Equal(got, []string{"1", "1", "1"}) {
		t.Errorf("%s %q: got the row Tea %q, want 1 view, 1 entry and 1 exit", header, value, got)
	}
}

// testAny stands for a cell that may have any content.
const testAny = "any"

// testTable is a report as a test reads it.
type testTable struct {
	page  webtest.Page
	cells map[string][]string // the texts of the cells td, by the attribute data-row of their row
	steps []string            // the names of the rows of steps, such as Home → Tea, from top to bottom
}

// testReport reads the report. It stops the test if there is none.
func testReport(t *testing.T, handler http.Handler) testTable {
	t.Helper()
	report := testTable{page: webtest.NewBrowser(t, handler).Get("/report"), cells: make(map[string][]string)}
	if report.page.Status != http.StatusOK {
		t.Fatalf("/report: got status %d, want 200", report.page.Status)
	}
	for _, row := range regexp.MustCompile(`(?s)(<tr\b[^>]*>)(.*?)</tr>`).FindAllStringSubmatch(report.page.Body, -1) {
		name := testAttribute(row[1], "data-row")
		if name == "" {
			continue
		}
		cells := []string{}
		for _, cell := range regexp.MustCompile(`(?s)<td\b[^>]*>(.*?)</td>`).FindAllStringSubmatch(row[2], -1) {
			text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(cell[1], "")
			cells = append(cells, strings.TrimSpace(html.UnescapeString(text)))
		}
		report.cells[name] = cells
		if strings.Contains(name, " → ") {
			report.steps = append(report.steps, name)
		}
	}
	return report
}

// must wants these cells in a row of the report. For a page, they are the views, the
// entries and the exits.
func (report testTable) must(t *testing.T, row string, want ...string) {
	t.Helper()
	got, ok := report.cells[row]
	if !ok {
		t.Errorf("want the row %q in the report, and there is none", row)
		return
	}
	if !slices.EqualFunc(got, want, func(got, want string) bool { return got == want || want == testAny }) {
		t.Errorf("row %q of the report: got %s, want %s", row, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// mustEqual wants the rows of an earlier report.
func (report testTable) mustEqual(t *testing.T, before testTable) {
	t.Helper()
	for _, row := range slices.Sorted(maps.Keys(report.cells)) {
		if _, ok := before.cells[row]; !ok {
			t.Errorf("got the row %q in the report, want none, as before", row)
		}
	}
	for _, row := range slices.Sorted(maps.Keys(before.cells)) {
		report.must(t, row, before.cells[row]...)
	}
}

// mustBalance wants that the report agrees with itself. Each session has an entry, an exit,
// a length and a depth. Each view is an entry or the end of a step.
func (report testTable) mustBalance(t *testing.T) {
	t.Helper()
	views, sessions := report.number(t, "Page views", 0), report.number(t, "Sessions", 0)
	pages := []string{"Home", "Tea", "Coffee", "Cocoa", "Brewing", "About"}
	lengths := []string{"Under 1 minute", "1 to 5 minutes", "5 to 15 minutes", "15 to 60 minutes", "1 hour and more"}
	depths := []string{"1 page", "2 or 3 pages", "4 to 6 pages", "7 to 12 pages", "13 to 50 pages", "Over 50 pages"}
	for _, sum := range []struct {
		name string
		rows []string
		cell int
		want int
	}{
		{"views of the pages", pages, 0, views}, {"entries", pages, 1, sessions}, {"exits", pages, 2, sessions},
		{"sessions by length", lengths, 0, sessions}, {"sessions by depth", depths, 0, sessions},
	} {
		got := 0
		for _, row := range sum.rows {
			got += report.number(t, row, sum.cell)
		}
		if got != sum.want {
			t.Errorf("the report does not balance: the %s add up to %d, want %d", sum.name, got, sum.want)
		}
	}
	if views > sessions {
		report.must(t, "All steps", fmt.Sprint(views-sessions))
	}
}

// number returns the number in a cell of a row. It stops the test if there is none.
func (report testTable) number(t *testing.T, row string, cell int) int {
	t.Helper()
	cells := report.cells[row]
	if cell >= len(cells) {
		t.Fatalf("row %q of the report: got the cells %q, want at least %d", row, cells, cell+1)
	}
	n, err := strconv.Atoi(cells[cell])
	if err != nil || n < 0 {
		t.Fatalf("row %q of the report: got the cell %q, want a number from 0", row, cells[cell])
	}
	return n
}
