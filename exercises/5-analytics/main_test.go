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
		report.must(t, page, want...)
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
		t.Errorf("the list begins with %s", got)
	}
}

func TestReportListsTenStepsAtTheMost(t *testing.T) {
	handler := newSite(t)
	walk(t, handler, "/", "/tea", "/coffee", "/cocoa", "/brewing", "/about",
		"/brewing", "/cocoa", "/coffee", "/tea", "/", "/", "/coffee", "/", "/coffee")
	report := readReport(t, handler)
	if n := len(regexp.MustCompile(`\w+ → \w+`).FindAllString(report.page, -1)); n != 10 {
		t.Errorf("%d steps are listed, want 10", n)
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
		time.Sleep(time.Hour) // being idle adds nothing

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
			t.Errorf("no %s in the chart", want)
		}
	}
	widths := regexp.MustCompile(`<rect [^>]*width="(\d+)"`).FindAllStringSubmatch(page, -1)
	if len(widths) != 6 || widths[1][1] != "200" || widths[5][1] != "50" || widths[0][1] != "0" {
		t.Errorf("the bars are %v wide, want 0 for none, 200 for four views, and 50 for one", widths)
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
	for range 20 { // a report that is read meanwhile balances too
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
		for range 3 { // longer than 30 minutes, but never idle for so long
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
			t.Error("a step leads from one session to the next")
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
	if got := strings.Join(path(page), " "); got != "Home Tea Home" {
		t.Errorf("the path is %s", got)
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
	if got := path(page); len(got) != 50 || got[0] != "Cocoa" || got[49] != "Tea" {
		t.Errorf("the path is %v", got)
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
	if err != nil || !regexp.MustCompile(`^{"visitor":"[A-Z2-7]{26,64}"}$`).Match(parts.Payload) {
		t.Errorf("payload %s, %v", parts.Payload, err)
	}
	for range 300 {
		if line := browser.Get("/tea").Header.Get("Set-Cookie"); line != "" {
			t.Fatalf("a later page sets %s", line)
		}
	}
}

func TestCookieHasTheSafeAttributes(t *testing.T) {
	line := webtest.NewBrowser(t, newSite(t)).Get("/").Header.Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, "; ")
	if want := "Path=/; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("attributes %q, want %q", attributes, want)
	}
}

// Each request is one from a visitor who has been counted, and one from nobody.
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
					t.Errorf("it sets %s", line)
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
		regular.Get("/about") // is used, so it is not the one that goes
	}
	report := readReport(t, handler)
	report.must(t, "Still open", "3")
	report.must(t, "Ended early", "2")
	report.must(t, "Page views", "7")
	report.must(t, "Sessions", "5")
	if !strings.Contains(report.page, "There may be 2 sessions too many here") {
		t.Error("the report does not say that sessions ended early")
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
	report.must(t, "Sessions", "106") // the regular visitor is two of them
	report.must(t, "About", "3", "1", "2")
}

func TestWhoIsForgottenEndsNobodysSession(t *testing.T) {
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
		if page.Path != "/privacy" || browser.Cookie("/", "analytics") != "" {
			t.Errorf("%s, with the cookie %q", page.Path, browser.Cookie("/", "analytics"))
		}
		if after := readReport(t, handler); after.page != before.page {
			t.Errorf("the report differs from that before the visit: %v", after.rows)
		}
		time.Sleep(time.Hour)
		readReport(t, handler).must(t, "Page views", "2")

		browser.Get("/tea")
		readReport(t, handler).must(t, "Tea", "2", "2", "1")
	})
}

// The notice says so.
func TestForgetMeDoesNotReachSessionsThatAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := walk(t, handler, "/tea")
		time.Sleep(30 * time.Minute)
		browser.Get("/about")
		browser.Post("/forget", nil).MustShow("Sessions of yours that are over cannot be taken out of the sums")
		report := readReport(t, handler)
		report.must(t, "Page views", "1")
		report.must(t, "Tea", "1", "1", "1")
	})
}

// A tab that sends its request before the answer to "forget me" arrives sends the
// old cookie. So does a visitor who puts it back.
func TestOlderCookieCountsNothingAfterForgetMeOrOptOut(t *testing.T) {
	for _, button := range []string{"/forget", "/opt-out"} {
		synctest.Test(t, func(t *testing.T) {
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
					t.Errorf("%s: the older tab sets %s, which undoes the choice", button, line)
				}
				tab.Get("/privacy").MustShow("Nothing.")
				tab.Post("/forget", nil)
				tab.SetCookie("analytics", old)
			}
			if after := readReport(t, handler); after.page != before.page {
				t.Errorf("%s: the report has changed: %v", button, after.rows)
			}

			time.Sleep(30 * time.Minute) // from then on it is another session, as after any pause
			tab.Get("/tea")
			readReport(t, handler).must(t, "Tea", "1", "1", "1")
		})
	}
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
	report := readReport(t, handler) // which fails when the books do not balance
	report.must(t, "Page views", "0")
	report.must(t, "Still open", "0")
}

func TestOptOutForgetsAndStoresNothingButTheChoice(t *testing.T) {
	handler := newSite(t)
	browser := walk(t, handler, "/", "/tea")
	browser.Post("/opt-out", nil).MustShow("You are not counted. All that is kept is this choice")
	parts, err := session.Inspect(browser.Cookie("/", "analytics"))
	if err != nil || string(parts.Payload) != `{"_permanent":true,"opted_out":true}` {
		t.Errorf("payload %s, %v", parts.Payload, err)
	}
	browser.Get("/tea")
	browser.Post("/forget", nil) // is no change of mind
	browser.Get("/about")
	readReport(t, handler).must(t, "Page views", "0")
	readReport(t, handler).must(t, "Sessions", "0")
}

func TestOptOutHoldsFor180DaysAndASessionDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newSite(t)
		browser := webtest.NewBrowser(t, handler)
		page := browser.Send(post("/opt-out"))
		if line := page.Header.Get("Set-Cookie"); !strings.Contains(line, "; Max-Age=15552000; ") {
			t.Errorf("Set-Cookie: %s, want 180 days", line)
		}
		for range 3 { // 510 days, in which no visit comes too late
			browser.Restart()
			time.Sleep(170 * 24 * time.Hour)
			browser.Get("/tea")
		}
		readReport(t, handler).must(t, "Page views", "0")

		other := walk(t, handler, "/")
		other.Restart()
		if cookie := other.Cookie("/", "analytics"); cookie != "" {
			t.Errorf("a session outlives the browser: %s", cookie)
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
	if cookie := browser.Cookie("/", "analytics"); cookie == "" || cookie == old {
		t.Errorf("the cookie is %q, want another one than %q", cookie, old)
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
		if regexp.MustCompile(`(src|href|action)="(https?:|//)|<script|url\(|@import`).MatchString(page.Body) {
			t.Errorf("%s loads something from elsewhere", path)
		}
	}
	page := browser.Get("/privacy")
	for _, want := range []string{
		"at most your last 50 pages", "until 30 minutes after the latest", "No third party.",
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
			t.Errorf("GET %s: %d, want 405", path, page.Status)
		}
		r := post(path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if page := browser.Send(r); page.Status != 403 {
			t.Errorf("%s from another site: %d, want 403", path, page.Status)
		}
		if page := browser.Send(post(path)); page.Status != 303 || page.Header.Get("Location") != "/privacy" {
			t.Errorf("%s: %d to %q, want 303 to /privacy", path, page.Status, page.Header.Get("Location"))
		}
	}
	readReport(t, handler).must(t, "Page views", "1") // of the one who pressed opt-in without need
}

func TestPersonalPageIsStoredByNobody(t *testing.T) {
	browser := walk(t, newSite(t), "/tea")
	if got := browser.Get("/privacy").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("/privacy: Cache-Control %q, want no-store", got)
	}
	if got := browser.Get("/tea").Header.Get("Cache-Control"); got != "no-cache, private" {
		t.Errorf("/tea: Cache-Control %q, want no-cache, private", got)
	}
}

func TestCookieThatIsNotOursIsAStrangers(t *testing.T) {
	for name, cookie := range map[string]string{
		"forged":            "eyJ2aXNpdG9yIjoiQUFBQSJ9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w",
		"rubbish":           "..=",
		"a number":          signed(t, func(s *session.Session) { session.Key[int]("visitor").Set(s, 5) }),
		"a list":            signed(t, func(s *session.Session) { session.Key[[]string]("visitor").Set(s, []string{"A"}) }),
		"empty":             signed(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, "") }),
		"3000 bytes":        signed(t, func(s *session.Session) { session.Key[string]("visitor").Set(s, strings.Repeat("A", 2900)) }),
		"a choice in words": signed(t, func(s *session.Session) { session.Key[string]("opted_out").Set(s, "yes") }),
	} {
		handler := newSite(t)
		browser := webtest.NewBrowser(t, handler)
		browser.SetCookie("analytics", cookie)
		browser.Post("/forget", nil).MustShow("Nothing.")
		browser.SetCookie("analytics", cookie)
		browser.Get("/privacy").MustShow("Nothing.")
		browser.Get("/tea").MustShow("All of it is one plant.")
		browser.Get("/cocoa")
		if got := strings.Join(path(browser.Get("/privacy")), " "); got != "Tea Cocoa" {
			t.Errorf("%s: the path is %q", name, got)
		}
		readReport(t, handler).must(t, "Sessions", "1")
	}
}

const secret = "0123456789abcdef0123456789abcdef"

func newSite(t *testing.T) http.Handler {
	t.Helper()
	return newSiteWithRoom(t, 1000)
}

// newSiteWithRoom returns a site that remembers so many open sessions.
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

// signed returns a cookie that the site's secret has signed, and the site has not
// made.
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
			t.Errorf("%s: %d", path, page.Status)
		}
	}
	return browser
}

// post is a button's request from a program, which says nothing of its origin.
func post(path string) *http.Request {
	return httptest.NewRequest("POST", webtest.Origin+path, nil)
}

// path returns the pages that the notice lists as the visitor's.
func path(page webtest.Page) []string {
	var names []string
	for _, item := range regexp.MustCompile(`<li>(.*?)</li>`).FindAllStringSubmatch(page.Body, -1) {
		names = append(names, item[1])
	}
	return names
}

// tally is a report: its tables' rows by their first cell, and the whole page.
type tally struct {
	rows map[string][]string
	page string
}

// readReport also wants the books to balance: each session has an entry, an exit,
// a length and a depth, and each view is an entry or the end of a step.
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
			t.Errorf("the %s add up to %d, want %d", sum.name, got, sum.want)
		}
	}
	if views > sessions && report.number(t, "All steps", 0) != views-sessions {
		t.Errorf("%v steps, want %d", report.rows["All steps"], views-sessions)
	}
	return report
}

// number is a cell of a row, counted without the row's name.
func (report tally) number(t *testing.T, row string, cell int) int {
	t.Helper()
	cells := report.rows[row]
	if cell >= len(cells) {
		t.Errorf("row %q of the report is %q", row, cells)
		return 0
	}
	n, err := strconv.Atoi(cells[cell])
	if err != nil || n < 0 {
		t.Errorf("row %q of the report is %q", row, cells)
	}
	return n
}

func (report tally) must(t *testing.T, row string, want ...string) {
	t.Helper()
	if got := report.rows[row]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v in the report, want %v", row, got, want)
	}
}
