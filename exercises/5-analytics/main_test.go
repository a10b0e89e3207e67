package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestReportShowsViewsEntriesAndExitsOfEachPage(t *testing.T) {
	handler := newSite(t)
	walk(t, handler, "/", "/tea", "/brewing", "/tea")
	walk(t, handler, "/about", "/")
	walk(t, handler, "/coffee")

	report := readReport(t, handler)
	report.must(t, "Page views", "7")
	report.must(t, "Sessions", "3")
	for page, want := range map[string][]string{ // views, entry, exit
		"Home": {"2", "1", "1"}, "Tea": {"2", "0", "1"}, "Brewing": {"1", "0", "0"},
		"About": {"1", "1", "0"}, "Coffee": {"1", "1", "1"}, "Cocoa": {"0", "0", "0"},
	} {
		t.Run(page, func(t *testing.T) { report.must(t, page, want...) })
	}
}

func TestReportShowsTheCommonestStepsFirst(t *testing.T) {
	handler := newSite(t)
	for range 3 {
		walk(t, handler, "/tea", "/cocoa")
	}
	walk(t, handler, "/", "/tea", "/cocoa", "/tea", "/cocoa", "/about", "/about")
	walk(t, handler, "/", "/tea")

	report := readReport(t, handler)
	report.must(t, "Tea → Cocoa", "5")
	report.must(t, "Home → Tea", "2")
	report.must(t, "Cocoa → Tea", "1")
	report.must(t, "About → About", "1") // a reload
	report.must(t, "All steps", "10")
	first := regexp.MustCompile(`\w+ → \w+`).FindAllString(report.page, 2)
	if got := strings.Join(first, ", "); got != "Tea → Cocoa, Home → Tea" {
		t.Errorf("the list begins with %s, want Tea → Cocoa, Home → Tea", got)
	}
}

func TestReportListsAtMostTenSteps(t *testing.T) {
	handler := newSite(t)
	walk(t, handler, "/", "/tea", "/coffee", "/cocoa", "/brewing", "/about",
		"/brewing", "/cocoa", "/coffee", "/tea", "/", "/", "/coffee", "/", "/coffee")
	report := readReport(t, handler)
	if n := len(regexp.MustCompile(`\w+ → \w+`).FindAllString(report.page, -1)); n != 10 {
		t.Errorf("got %d steps in the list, want 10", n)
	}
	report.must(t, "Home → Coffee", "2")
	report.must(t, "All steps", "14")
}

func TestReportShowsLengthAndDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := webtest.NewBrowser(t, handler)
		browser.Get("/")
		time.Sleep(4 * time.Minute)
		browser.Get("/tea")
		time.Sleep(20 * time.Second)
		browser.Get("/about")
		walk(t, handler, "/cocoa")
		time.Sleep(time.Hour) // idle time does not count

		report := readReport(t, handler)
		report.must(t, "Average length", "2m10s")
		report.must(t, "Average depth", "2.0 pages")
		report.must(t, "1 to 5 minutes", "1")
		report.must(t, "Under 1 minute", "1")
		report.must(t, "2 or 3 pages", "1")
		report.must(t, "1 page", "1")
	})
}

func TestReportHasAChartWithATextBesideIt(t *testing.T) {
	handler := newSite(t)
	walk(t, handler, "/tea", "/tea", "/tea", "/tea", "/about")
	page := readReport(t, handler).page
	for _, want := range []string{
		`role="img"`, "Views per page</title>", "The table below has the same numbers.</desc>", "fill: currentColor",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the chart has no %s, want it", want)
		}
	}
	var widths []string // Home, Tea, Coffee, Cocoa, Brewing, About
	for _, match := range regexp.MustCompile(`<rect [^>]*width="(\d+)"`).FindAllStringSubmatch(page, -1) {
		widths = append(widths, match[1])
	}
	if got, want := strings.Join(widths, " "), "0 200 0 0 0 50"; got != want {
		t.Errorf("got bars of the widths %s, want %s", got, want)
	}
}

func TestReportOfNothingIsAllZeros(t *testing.T) {
	report := readReport(t, newSite(t))
	report.must(t, "Page views", "0")
	report.must(t, "Average length", "0s")
	report.must(t, "All pages", "0", "0", "0")
}

func TestCountsAreExactUnder64ConcurrentVisitors(t *testing.T) {
	handler := newSite(t)
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
	for range 20 { // the report must also balance while visitors open pages
		readReport(t, handler)
	}
	all.Wait()

	report := readReport(t, handler)
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
	handler := newSite(t)
	cookie := walk(t, handler, "/").Cookie("/", "analytics")
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

	report := readReport(t, handler)
	report.must(t, "Page views", "401")
	report.must(t, "Sessions", "1")
	report.must(t, "All steps", "400")
	report.must(t, "Tea", "200", "0", report.rows["Tea"][2])
	report.must(t, "Cocoa", "200", "0", report.rows["Cocoa"][2])
}

func TestSessionEndsAfter30IdleMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := walk(t, handler, "/")
		for range 3 { // more than 30 minutes in all, but never 30 minutes without a view
			time.Sleep(30*time.Minute - time.Second)
			browser.Get("/tea")
		}
		readReport(t, handler).must(t, "Sessions", "1")
		readReport(t, handler).must(t, "Still open", "1")

		time.Sleep(30 * time.Minute)
		browser.Get("/privacy").MustShow("Nothing. The next page that you open begins a session.")
		readReport(t, handler).must(t, "Still open", "0")

		browser.Get("/about")
		report := readReport(t, handler)
		report.must(t, "Sessions", "2")
		report.must(t, "About", "1", "1", "1")
		report.must(t, "Tea", "3", "0", "1")
		if strings.Contains(report.page, "Tea → About") {
			t.Error("got the step Tea → About, want no step from one session to the next")
		}
		time.Sleep(30 * time.Minute)
		readReport(t, handler).must(t, "Still open", "0")
	})
}

func TestVisitorSeesTheirOwnPath(t *testing.T) {
	handler := newSite(t)
	walk(t, handler, "/coffee")
	browser := walk(t, handler, "/", "/tea", "/")
	page := browser.Get("/privacy")
	page.MustShow("Pages in your session: 3.")
	if got, want := strings.Join(path(page), " "), "Home Tea Home"; got != want {
		t.Errorf("got the path %s, want %s", got, want)
	}
}

func TestPathIsTheLast50Pages(t *testing.T) {
	handler := newSite(t)
	browser := walk(t, handler, "/about", "/cocoa")
	for range 49 {
		browser.Get("/tea")
	}
	page := browser.Get("/privacy")
	page.MustShow("Pages in your session: 51.")
	page.MustShow("These are the last 50.")
	if got, want := strings.Join(path(page), " "), "Cocoa"+strings.Repeat(" Tea", 49); got != want {
		t.Errorf("got the path %s, want %s", got, want)
	}
	report := readReport(t, handler) // the report has all of them
	report.must(t, "About", "1", "1", "0")
	report.must(t, "Over 50 pages", "1")
}

func TestCookieHasAnIDAndNoPath(t *testing.T) {
	handler := newSite(t)
	browser := walk(t, handler, "/")
	first := browser.Cookie("/", "analytics")
	parts, err := session.Inspect(first)
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`^{"visitor":"[A-Z2-7]{26,64}"}$`); !want.Match(parts.Payload) {
		t.Errorf("got the payload %s, want %s", parts.Payload, want)
	}
	for range 300 {
		if line := browser.Get("/tea").Header.Get("Set-Cookie"); line != "" {
			t.Fatalf("a later page: got Set-Cookie: %s, want none", line)
		}
	}
}

func TestCookieHasTheSafeAttributes(t *testing.T) {
	line := webtest.NewBrowser(t, newSite(t)).Get("/").Header.Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, "; ")
	if want := "Path=/; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
}

// The test sends each request twice: as a visitor who was counted before, and as a
// stranger.
func TestWhatIsNoViewDoesNotCountAndLeavesNoCookie(t *testing.T) {
	for _, test := range []struct{ name, method, path, header, value string }{
		{"a robot", "GET", "/tea", "User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
		{"a crawler", "GET", "/tea", "User-Agent", "my-CRAWLER/1.0"},
		{"a spider", "GET", "/tea", "User-Agent", "Baiduspider+(+http://www.baidu.com/search/spider.htm)"},
		{"a link preview", "GET", "/tea", "User-Agent", "facebookexternalhit/1.1"},
		{"a prefetch", "GET", "/tea", "Sec-Purpose", "prefetch"},
		{"a prerender", "GET", "/tea", "Sec-Purpose", "prefetch;prerender"},
		{"an old browser's prefetch", "GET", "/tea", "Purpose", "prefetch"},
		{"HEAD", "HEAD", "/tea", "", ""},
		{"Do Not Track", "GET", "/tea", "DNT", "1"},
		{"Global Privacy Control", "GET", "/tea", "Sec-GPC", "1"},
		{"an unknown path", "GET", "/wp-login.php", "", ""},
		{"a page's path with more", "GET", "/tea/", "", ""},
		{"a page's path in capitals", "GET", "/TEA", "", ""},
		{"the icon", "GET", "/favicon.ico", "", ""},
		{"the report", "GET", "/report", "", ""},
		{"the notice", "GET", "/privacy", "", ""},
		{"a POST to a page", "POST", "/tea", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			handler := newSite(t)
			known, stranger := walk(t, handler, "/"), webtest.NewBrowser(t, handler)
			for _, browser := range []*webtest.Browser{known, stranger} {
				r := httptest.NewRequest(test.method, webtest.Origin+test.path, nil)
				if test.header != "" {
					r.Header.Set(test.header, test.value)
				}
				if line := browser.Send(r).Header.Get("Set-Cookie"); line != "" {
					t.Errorf("got Set-Cookie: %s, want none", line)
				}
			}
			report := readReport(t, handler)
			report.must(t, "Page views", "1")
			report.must(t, "Tea", "0", "0", "0")
		})
	}
}

func TestBrowserIsNoRobot(t *testing.T) {
	handler := newSite(t)
	r := httptest.NewRequest("GET", webtest.Origin+"/tea?utm_source=newsletter", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	r.Header.Set("DNT", "0")
	webtest.NewBrowser(t, handler).Send(r)
	readReport(t, handler).must(t, "Tea", "1", "1", "1")
}

func TestVisitorsWithoutCookiesFillNoMemory(t *testing.T) {
	handler := newSiteWithRoom(t, 3)
	regular := walk(t, handler, "/")
	for range 2 {
		walk(t, handler, "/tea")
		walk(t, handler, "/tea")
		regular.Get("/about") // this visit is in use, so another one must end
	}
	report := readReport(t, handler)
	report.must(t, "Still open", "3")
	report.must(t, "Ended early", "2")
	report.must(t, "Page views", "7")
	report.must(t, "Sessions", "5")
	if !strings.Contains(report.page, "This report may have 2 sessions too many") {
		t.Error("the report has no note about sessions that ended early, want one")
	}

	for range 100 {
		walk(t, handler, "/cocoa")
	}
	regular.Get("/privacy").MustShow("Nothing.")
	regular.Get("/about")
	report = readReport(t, handler)
	report.must(t, "Still open", "3")
	report.must(t, "Ended early", "103")
	report.must(t, "Page views", "108")
	report.must(t, "Sessions", "106") // the regular visitor has two sessions
	report.must(t, "About", "3", "1", "2")
}

func TestForgottenVisitorEndsNoOtherSession(t *testing.T) {
	handler := newSiteWithRoom(t, 1)
	regular := walk(t, handler, "/")
	webtest.NewBrowser(t, handler).Post("/forget", nil)
	webtest.NewBrowser(t, handler).Post("/opt-out", nil)
	regular.Get("/privacy").MustShow("Pages in your session: 1.")
	regular.Post("/forget", nil)
	walk(t, handler, "/tea")
	report := readReport(t, handler)
	report.must(t, "Ended early", "0")
	report.must(t, "Sessions", "1")
}

func TestForgetMeTakesThePathAndItsShareOfTheReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		walk(t, handler, "/tea", "/cocoa")
		before := readReport(t, handler)

		browser := walk(t, handler, "/", "/tea", "/cocoa")
		for range 60 {
			browser.Get("/about")
		}
		page := browser.Post("/forget", nil)
		page.MustShow("Nothing. The next page that you open begins a session.")
		page.MustBeAt("/privacy")
		if value := browser.Cookie("/", "analytics"); value != "" {
			t.Errorf("got the cookie %q, want none", value)
		}
		if after := readReport(t, handler); after.page != before.page {
			t.Errorf("got the report %v, want the one from before the visit: %v", after.rows, before.rows)
		}
		time.Sleep(time.Hour)
		readReport(t, handler).must(t, "Page views", "2")

		browser.Get("/tea")
		readReport(t, handler).must(t, "Tea", "2", "2", "1")
	})
}

// The notice also says this.
func TestForgetMeDoesNotReachSessionsThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := walk(t, handler, "/tea")
		time.Sleep(30 * time.Minute)
		browser.Get("/about")
		browser.Post("/forget", nil).MustShow("The site cannot take your ended sessions out of the sums")
		report := readReport(t, handler)
		report.must(t, "Page views", "1")
		report.must(t, "Tea", "1", "1", "1")
	})
}

// A tab sends the old cookie if its request is in flight when the visitor presses "Forget
// me". A visitor can also put the old cookie back.
func TestOlderCookieCountsNothingAfterForgetMeOrOptOut(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		t.Run(button, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { olderCookieCountsNothingAfter(t, button) })
		})
	}
}

func olderCookieCountsNothingAfter(t *testing.T, button string) {
	handler := newSite(t)
	walk(t, handler, "/cocoa")
	before := readReport(t, handler)
	browser := walk(t, handler, "/", "/tea")
	old := browser.Cookie("/", "analytics")
	browser.Post(button, nil)

	tab := webtest.NewBrowser(t, handler)
	tab.SetCookie("analytics", old)
	for range 3 {
		if line := tab.Get("/tea").Header.Get("Set-Cookie"); line != "" {
			t.Errorf("the older tab: got Set-Cookie: %s, want none, because it undoes the choice", line)
		}
		tab.Get("/privacy").MustShow("Nothing.")
		tab.Post("/forget", nil)
		tab.SetCookie("analytics", old)
	}
	if after := readReport(t, handler); after.page != before.page {
		t.Errorf("got the report %v, want the one from before the visit: %v", after.rows, before.rows)
	}

	time.Sleep(30 * time.Minute) // after any pause of 30 minutes, a view begins another session
	tab.Get("/tea")
	readReport(t, handler).must(t, "Tea", "1", "1", "1")
}

func TestForgetMeBesideItsOwnViewsKeepsTheBooksBalanced(t *testing.T) {
	handler := newSite(t)
	cookie := walk(t, handler, "/").Cookie("/", "analytics")
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
	report := readReport(t, handler) // fails if the books do not balance
	report.must(t, "Page views", "0")
	report.must(t, "Still open", "0")
}

func TestOptOutForgetsAndStoresNothingButTheChoice(t *testing.T) {
	handler := newSite(t)
	browser := walk(t, handler, "/", "/tea")
	browser.Post("/opt-out", nil).MustShow("You are not counted. The site keeps only this choice")
	parts, err := session.Inspect(browser.Cookie("/", "analytics"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(parts.Payload), `{"_permanent":true,"opted_out":true}`; got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
	browser.Get("/tea")
	browser.Post("/forget", nil) // does not change the choice
	browser.Get("/about")
	readReport(t, handler).must(t, "Page views", "0")
	readReport(t, handler).must(t, "Sessions", "0")
}

func TestOptOutLasts180DaysAndASessionDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := webtest.NewBrowser(t, handler)
		page := browser.Send(post("/opt-out"))
		if line := page.Header.Get("Set-Cookie"); !strings.Contains(line, "; Max-Age=15552000; ") {
			t.Errorf("got Set-Cookie: %s, want a Max-Age of 180 days", line)
		}
		for range 3 { // 510 days in all, but never 180 days without a visit
			browser.Restart()
			time.Sleep(170 * 24 * time.Hour)
			browser.Get("/tea")
		}
		readReport(t, handler).must(t, "Page views", "0")

		other := walk(t, handler, "/")
		other.Restart()
		if cookie := other.Cookie("/", "analytics"); cookie != "" {
			t.Errorf("after the browser was closed: got the cookie %s, want none", cookie)
		}
	})
}

func TestOptOutOutlivesTheProgram(t *testing.T) {
	browser := walk(t, newSite(t), "/")
	browser.Post("/opt-out", nil)
	browser.Handler = newSite(t)
	browser.Get("/tea")
	readReport(t, browser.Handler).must(t, "Page views", "0")
}

func TestOptInBeginsANewSession(t *testing.T) {
	handler := newSite(t)
	browser := walk(t, handler, "/")
	old := browser.Cookie("/", "analytics")
	browser.Post("/opt-out", nil)
	browser.Post("/opt-in", nil).MustShow("Nothing. The next page that you open begins a session.")
	browser.Get("/tea")
	browser.Post("/opt-in", nil) // changes nothing
	browser.Get("/tea")
	cookie := browser.Cookie("/", "analytics")
	if cookie == "" {
		t.Error("got no cookie, want one")
	}
	if cookie == old {
		t.Errorf("got the old cookie %q, want a new one", cookie)
	}
	report := readReport(t, handler)
	report.must(t, "Sessions", "1")
	report.must(t, "Tea", "2", "1", "1")
}

func TestBrowserThatDeclinesIsTold(t *testing.T) {
	for _, header := range []string{"DNT", "Sec-GPC"} {
		r := httptest.NewRequest("GET", webtest.Origin+"/privacy", nil)
		r.Header.Set(header, "1")
		webtest.NewBrowser(t, newSite(t)).Send(r).MustShow("You are not counted: your browser asks for that")
	}
}

func TestEveryPageLeadsToTheNotice(t *testing.T) {
	browser := webtest.NewBrowser(t, newSite(t))
	for _, path := range []string{"/", "/tea", "/coffee", "/cocoa", "/brewing", "/about", "/report", "/privacy"} {
		page := browser.Get(path)
		page.MustShow("This site remembers which of its pages you open")
		page.MustShow(`<a href="/privacy">`)
		if got := regexp.MustCompile(`(src|href|action)="(https?:|//)|<script|url\(|@import`).FindString(page.Body); got != "" {
			t.Errorf("%s: got %s in the page, want nothing from another site", path, got)
		}
	}
	page := browser.Get("/privacy")
	for _, want := range []string{
		"at most your last 50 pages", "until 30 minutes after the last of them", "No third party.",
		`<form method="post" action="/forget"><button>Forget me</button>`,
		`<form method="post" action="/opt-out"><button>Do not count me</button>`,
	} {
		page.MustShow(want)
	}
}

func TestButtonsTakeAPostFromThisSite(t *testing.T) {
	handler := newSite(t)
	for _, path := range []string{"/forget", "/opt-out", "/opt-in"} {
		browser := walk(t, handler, "/tea")
		if page := browser.Get(path); page.Status != 405 {
			t.Errorf("GET %s: got status %d, want 405", path, page.Status)
		}
		r := post(path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if page := browser.Send(r); page.Status != 403 {
			t.Errorf("%s from another site: got status %d, want 403", path, page.Status)
		}
		page := browser.Send(post(path))
		if page.Status != 303 {
			t.Errorf("%s: got status %d, want 303", path, page.Status)
		}
		if got, want := page.Header.Get("Location"), "/privacy"; got != want {
			t.Errorf("%s: got Location: %s, want %s", path, got, want)
		}
	}
	readReport(t, handler).must(t, "Page views", "1") // the view of the visitor who pressed only opt-in
}

func TestNoCacheStoresThePersonalPage(t *testing.T) {
	browser := walk(t, newSite(t), "/tea")
	if got := browser.Get("/privacy").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("/privacy: got Cache-Control: %q, want no-store", got)
	}
	if got := browser.Get("/tea").Header.Get("Cache-Control"); got != "no-cache, private" {
		t.Errorf("/tea: got Cache-Control: %q, want no-cache, private", got)
	}
}

func TestCookieThatTheSiteDidNotMakeIsAStrangers(t *testing.T) {
	for name, cookie := range map[string]string{
		"forged":            "eyJ2aXNpdG9yIjoiQUFBQSJ9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w",
		"rubbish":           "..=",
		"a number":          signed(t, func(s *session.Session) { session.Key[int]("visitor").Set(s, 5) }),
		"a list":            signed(t, func(s *session.Session) { session.Key[[]string]("visitor").Set(s, []string{"A"}) }),
		"empty":             signed(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, "") }),
		"3000 bytes":        signed(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, strings.Repeat("A", 2900)) }),
		"a choice in words": signed(t, func(s *session.Session) { session.Key[string]("opted_out").Set(s, "yes") }),
	} {
		t.Run(name, func(t *testing.T) {
			handler := newSite(t)
			browser := webtest.NewBrowser(t, handler)
			browser.SetCookie("analytics", cookie)
			browser.Post("/forget", nil).MustShow("Nothing.")
			browser.SetCookie("analytics", cookie)
			browser.Get("/privacy").MustShow("Nothing.")
			browser.Get("/tea").MustShow("All of it is one plant.")
			browser.Get("/cocoa")
			if got, want := strings.Join(path(browser.Get("/privacy")), " "), "Tea Cocoa"; got != want {
				t.Errorf("got the path %q, want %q", got, want)
			}
			readReport(t, handler).must(t, "Sessions", "1")
		})
	}
}

const secret = "0123456789abcdef0123456789abcdef"

func newSite(t *testing.T) http.Handler {
	t.Helper()
	return newSiteWithRoom(t, 1000)
}

// newSiteWithRoom returns a site that remembers at most limit open sessions.
func newSiteWithRoom(t *testing.T, limit int) http.Handler {
	t.Helper()
	return newHandler(manager(t), limit)
}

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New([]byte(secret), options())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// signed returns a cookie that is signed with the site's secret, although the site did not
// make it.
func signed(t *testing.T, change func(*session.Session)) string {
	t.Helper()
	browser := webtest.NewBrowser(t, manager(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change(session.From(r))
	})))
	browser.Get("/")
	return browser.Cookie("/", "analytics")
}

// walk opens pages as a new visitor.
func walk(t *testing.T, handler http.Handler, paths ...string) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, handler)
	for _, path := range paths {
		if page := browser.Get(path); page.Status != 200 {
			t.Errorf("%s: got status %d, want 200", path, page.Status)
		}
	}
	return browser
}

// post returns a POST request without an origin, as a program sends it.
func post(path string) *http.Request {
	return httptest.NewRequest("POST", webtest.Origin+path, nil)
}

// path returns the visitor's path in the list on the page /privacy.
func path(page webtest.Page) []string {
	var names []string
	for _, item := range regexp.MustCompile(`<li>(.*?)</li>`).FindAllStringSubmatch(page.Body, -1) {
		names = append(names, item[1])
	}
	return names
}

// tally is a report as a test reads it.
type tally struct {
	rows map[string][]string // of the tables, by their first cell
	page string              // the HTML of the whole page
}

// readReport returns the report. It also wants the books to balance: each session has an
// entry, an exit, a length and a depth, and each view is an entry or the end of a step.
func readReport(t *testing.T, handler http.Handler) tally {
	t.Helper()
	page := webtest.NewBrowser(t, handler).Get("/report")
	report := tally{make(map[string][]string), page.Body}
	for _, row := range regexp.MustCompile(`(?s)<tr>(.*?)</tr>`).FindAllStringSubmatch(page.Body, -1) {
		var cells []string
		for _, cell := range regexp.MustCompile(`(?s)<t[hd][^>]*>(.*?)</t[hd]>`).FindAllStringSubmatch(row[1], -1) {
			cells = append(cells, cell[1])
		}
		if len(cells) > 0 {
			report.rows[cells[0]] = cells[1:]
		}
	}
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
		{"views", pages, 0, views}, {"entries", pages, 1, sessions}, {"exits", pages, 2, sessions},
		{"lengths", lengths, 0, sessions}, {"depths", depths, 0, sessions},
	} {
		got := 0
		for _, row := range sum.rows {
			got += report.number(t, row, sum.cell)
		}
		if got != sum.want {
			t.Errorf("the sum of the %s: got %d, want %d", sum.name, got, sum.want)
		}
	}
	if views > sessions && report.number(t, "All steps", 0) != views-sessions {
		t.Errorf("got %v steps, want %d", report.rows["All steps"], views-sessions)
	}
	return report
}

// number returns the number in a cell of a row. Cell 0 is the one after the row's name.
func (report tally) number(t *testing.T, row string, cell int) int {
	t.Helper()
	cells := report.rows[row]
	if cell >= len(cells) {
		t.Errorf("row %q of the report: got the cells %q, want at least %d", row, cells, cell+1)
		return 0
	}
	n, err := strconv.Atoi(cells[cell])
	if err != nil || n < 0 {
		t.Errorf("row %q of the report: got the cell %q, want a number from 0", row, cells[cell])
	}
	return n
}

// must wants these cells in a row of the report.
func (report tally) must(t *testing.T, row string, want ...string) {
	t.Helper()
	if got := report.rows[row]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("row %q of the report: got %v, want %v", row, got, want)
	}
}
