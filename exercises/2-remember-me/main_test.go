package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/webtest"
)

// The tests are in the order of the task: the easy ones come first.
//
// In a bubble of synctest, the clock starts at midnight UTC on Saturday, 1 January 2000,
// and a month passes at once. Tests that log in run in parallel, because a hash is made
// to be slow.

const oneDay = 24 * time.Hour

// Any login.

func TestDashboardWithoutSessionGoesToLogin(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	for _, path := range []string{"/dashboard", "/"} {
		page := browser.Get(path)
		page.MustBeAt("/login")
		page.MustNotShow(wantIdle)
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("%s: got Set-Cookie: %s, want none", path, got)
		}
	}
	if page := browser.Get("/login"); !strings.Contains(page.Text(), "admin") {
		t.Errorf("the login page must name the demo account, admin, got %q", page.Text())
	}
}

func TestBadFormGetsAClearResponse(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	for body, want := range map[string]string{
		"":                          "The username is missing.",
		"password=x&remember=yes":   "The username is missing.",
		"username=&password=x":      "The username is missing.",
		"username=admin":            "The password is missing.",
		"username=%00%ff&password=": "The password is missing.",
		"username=%zz":              "The form is damaged.",
	} {
		t.Run(fmt.Sprintf("%.40q", body), func(t *testing.T) {
			page := postBody(browser, "/login", strings.NewReader(body))
			if page.MustBe(http.StatusBadRequest, want); t.Failed() {
				t.Logf("the form was %q", body)
			}
			if n := len(page.Body); n > 10_000 {
				t.Errorf("got a response of %d bytes, want at most 10,000", n)
			}
		})
	}
	large := postBody(browser, "/login", strings.NewReader("username="+strings.Repeat("x", 1<<20)))
	large.MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 4096 bytes.")
	if n := len(large.Body); n > 10_000 {
		t.Errorf("a form that is too large got a response of %d bytes, want at most 10,000", n)
	}
	page := browser.Post("/login?username=admin&password=password&remember=yes", nil)
	page.MustBe(http.StatusBadRequest, "The username is missing.")
}

// A hash takes many milliseconds. A response without one takes microseconds.
func TestUnknownUserGetsTheSameResponseForTheSameWork(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	start := time.Now()
	page := browser.Post("/login", url.Values{"username": {"stranger"}, "password": {"password"}})
	if took := time.Since(start); took < 5*time.Millisecond {
		t.Errorf("got a response after %v, want at least 5ms, because a hash takes longer", took)
	}
	page.MustBe(http.StatusForbidden, "Invalid credentials")
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t, memstore.New())).Post("/login", loginFields("password\x00", ""))
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}

func TestWrongLoginKeepsTheNameAndTheTick(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	page := browser.Post("/login", loginFields("letmein", "yes"))
	page.MustBe(http.StatusForbidden, "Invalid credentials")
	if got := testField(page, "username"); !strings.Contains(got, `value="admin"`) {
		t.Errorf("want the name admin in the field username, got %s", got)
	}
	if got := testField(page, "remember"); !strings.Contains(got, " checked") {
		t.Errorf("want a tick in the box, got %s", got)
	}
	page.MustNotShow("letmein")
	if got := page.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("got Set-Cookie: %s, want none", got)
	}
	for _, page := range []webtest.Page{browser.Post("/login", loginFields("", "")), browser.Get("/login")} {
		if got := testField(page, "remember"); strings.Contains(got, " checked") {
			t.Errorf("want no tick in the box, got %s", got)
		}
	}
}

// The box is not ticked.

func TestUntickedLoginAsksTheBrowserForNoTime(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	page := postBody(browser, "/login", strings.NewReader(untickedForm.Encode()))
	mustSet(t, page, "Path=/; HttpOnly; SameSite=Lax")
}

func TestUntickedSessionEndsWithTheBrowser(t *testing.T) {
	t.Parallel()
	browser := testLogin(t, memstore.New(), untickedForm)
	browser.Get("/dashboard").MustShow("You are not remembered.")
	browser.Restart()
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestAnyOtherValueThanYesIsNoTick(t *testing.T) {
	t.Parallel()
	form := loginFields("password", "no")
	form.Add("remember", "yes") // the server reads only the first value
	testLogin(t, memstore.New(), form).Get("/dashboard").MustShow("You are not remembered.")
}

// The box is ticked.

func TestTickedLoginAsksTheBrowserForThirtyDays(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	page := postBody(browser, "/login", strings.NewReader(tickedForm.Encode()))
	mustSet(t, page, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
	if page.Status != http.StatusSeeOther {
		t.Errorf("got status %d, want 303", page.Status)
	}
	if got, want := page.Header.Get("Location"), "/dashboard"; got != want {
		t.Errorf("got Location: %s, want %s", got, want)
	}
}

func TestTickedSessionOutlivesTheBrowser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), tickedForm)
		browser.Restart()
		browser.Get("/dashboard").MustShow("You are remembered.")
		time.Sleep(29 * oneDay)
		browser.Restart()
		browser.Get("/dashboard").MustShow("Welcome to your dashboard, admin!")
	})
}

func TestTickedSessionSlidesWithUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), tickedForm)
		for range 13 { // a year
			time.Sleep(29 * oneDay)
			browser.Restart()
			browser.Get("/dashboard").MustShow("You are remembered.")
		}
	})
}

func TestTickedSessionEndsAfterThirtyUnusedDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), tickedForm)
		kept := browser.Cookie("/", "remember")
		time.Sleep(30*oneDay + time.Second)
		if value := browser.Cookie("/", "remember"); value != "" {
			t.Errorf("after Max-Age: got the cookie %s, want none", value)
		}
		browser.SetCookie("remember", kept) // a browser could ignore Max-Age
		browser.Get("/dashboard").MustBeAt("/login")
	})
}

func TestTickedSessionOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sessions")
	browser := testLogin(t, testStoreIn(t, dir), tickedForm)
	browser.Handler = testSite(t, testStoreIn(t, dir))
	browser.Get("/dashboard").MustShow("You are remembered.")
}

func TestPageSaysUntilWhenATickedSessionLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), tickedForm)
		page := browser.Get("/dashboard")
		page.MustShow("31 January 2000, 00:00:00 UTC")
		mustEnd(t, page, "2000-01-31T00:00:00Z")
		time.Sleep(2 * oneDay) // less than a tenth of the 30 days
		mustEnd(t, browser.Get("/dashboard"), "2000-01-31T00:00:00Z")
		time.Sleep(1 * oneDay)
		mustEnd(t, browser.Get("/dashboard"), "2000-02-03T00:00:00Z")
	})
}

// Thirty idle minutes.

func TestUntickedSessionEndsAfterThirtyIdleMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), untickedForm)
		time.Sleep(30*time.Minute - time.Second)
		browser.Get("/dashboard").MustShow("You are not remembered.")
		time.Sleep(30 * time.Minute)
		browser.Get("/dashboard").MustShow(wantIdle)
		if value := browser.Cookie("/", "remember"); value != "" {
			t.Error("after 30 idle minutes the browser still has its cookie, want none: the session must end")
		}
		page := browser.Get("/dashboard")
		page.MustBeAt("/login")
		page.MustNotShow(wantIdle) // the next look begins without a session
	})
}

// Some browsers restore their tabs when they start. They also restore the cookies that
// should have ended when the browser was closed.
func TestUntickedSessionEndsInABrowserThatRestoresSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), untickedForm)
		restore := func() {
			kept := browser.Cookie("/", "remember")
			browser.Restart()
			browser.SetCookie("remember", kept)
		}
		time.Sleep(29 * time.Minute)
		restore()
		browser.Get("/dashboard").MustShow("You are not remembered.")
		kept := browser.Cookie("/", "remember")
		time.Sleep(30 * time.Minute)
		restore()
		browser.Get("/dashboard").MustShow(wantIdle)
		browser.SetCookie("remember", kept) // once more, because the server must have ended the session too
		browser.Get("/dashboard").MustBeAt("/login")
	})
}

func TestUseKeepsAnUntickedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), untickedForm)
		for range 50 { // a day
			time.Sleep(29 * time.Minute)
			browser.Get("/dashboard").MustShow("You are not remembered.")
		}
	})
}

func TestLookingAgainSavesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		form  url.Values
		every time.Duration
	}{
		"ticked":   {tickedForm, 3 * oneDay},
		"unticked": {untickedForm, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &countingStore{Store: memstore.New()}
				browser := testLogin(t, store, test.form)
				store.saves = 0
				time.Sleep(test.every - time.Second)
				browser.Get("/dashboard")
				if store.saves != 0 {
					t.Errorf("after %v: got %d saves, want none", test.every-time.Second, store.saves)
				}
				time.Sleep(time.Second)
				browser.Get("/dashboard")
				if store.saves != 1 {
					t.Errorf("after %v: got %d saves, want 1", test.every, store.saves)
				}
			})
		})
	}
}

func TestPageSaysUntilWhenAnUntickedSessionLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testLogin(t, memstore.New(), untickedForm)
		page := browser.Get("/dashboard")
		page.MustShow("1 January 2000, 00:30:00 UTC")
		mustEnd(t, page, "2000-01-01T00:30:00Z")
		time.Sleep(59 * time.Second) // less than a minute
		mustEnd(t, browser.Get("/dashboard"), "2000-01-01T00:30:00Z")
		time.Sleep(time.Second)
		mustEnd(t, browser.Get("/dashboard"), "2000-01-01T00:31:00Z")
	})
}

// One request begins at 00:10 and is saved at 00:25. Another begins and is saved at
// 00:24. They run in two processes, because within one process the saves of a session
// wait for each other.
func TestSlowRequestDoesNotPutLastSeenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		browser := testLogin(t, store, untickedForm)
		time.Sleep(10 * time.Minute)
		slow := webtest.NewBrowser(t, testSite(t, &slowStore{store, 15 * time.Minute}))
		slow.SetCookie("remember", browser.Cookie("/", "remember"))
		go slow.Get("/dashboard")
		time.Sleep(14 * time.Minute)
		mustEnd(t, browser.Get("/dashboard"), "2000-01-01T00:54:00Z")
		time.Sleep(29 * time.Minute)
		browser.Get("/dashboard").MustShow("You are not remembered.")
	})
}

// Logging out, and logging in again.

func TestNothingIsShownAfterLogout(t *testing.T) {
	t.Parallel()
	browser := testLogin(t, memstore.New(), untickedForm)
	if got, want := browser.Get("/dashboard").Header.Get("Cache-Control"), "no-store"; got != want {
		t.Errorf("got Cache-Control: %q, want %q", got, want)
	}
	browser.Post("/logout", nil).MustShow("/forget.css")
	if value := browser.Cookie("/", "remember"); value != "" {
		t.Errorf("after logout: got the cookie %s, want none", value)
	}
	if got, want := browser.Get("/forget.css").Header.Get("Clear-Site-Data"), `"cache"`; got != want {
		t.Errorf("got Clear-Site-Data: %s, want %s", got, want)
	}
}

func TestCopyOfTheCookieIsDeadAfterLogout(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	browser := testLogin(t, store, tickedForm)
	thief := webtest.NewBrowser(t, testSite(t, store))
	thief.SetCookie("remember", browser.Cookie("/", "remember"))
	thief.Get("/dashboard").MustShow("You are remembered.")

	browser.Post("/logout", nil).MustBeAt("/login")
	if value := browser.Cookie("/", "remember"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
	thief.Get("/dashboard").MustBeAt("/login")
}

func TestUntickingAtTheNextLoginMakesItABrowserSession(t *testing.T) {
	t.Parallel()
	browser := testLogin(t, memstore.New(), tickedForm)
	kept := browser.Cookie("/", "remember")
	browser.Post("/login", untickedForm).MustShow("You are not remembered.")
	browser.Restart()
	browser.Get("/dashboard").MustBeAt("/login")
	browser.SetCookie("remember", kept) // the cookie of the remembered session
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestTickOfAStrangersSessionDoesNotCarryOver(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	browser := testStranger(t, store, func(s *session.Session) {
		session.Key[string]("cart").Set(s, "planted")
		s.SetPermanent(true)
	})
	planted := browser.Cookie("/", "remember")
	browser.Post("/login", untickedForm).MustShow("You are not remembered.")
	browser.Restart()
	browser.Get("/dashboard").MustBeAt("/login")

	attacker := webtest.NewBrowser(t, testSite(t, store))
	attacker.SetCookie("remember", planted)
	attacker.Get("/dashboard").MustBeAt("/login")
}

// Attackers, old cookies, and many visitors at the same time.

func TestChangesTakeAPostFromThisSite(t *testing.T) {
	t.Parallel()
	browser := testLogin(t, memstore.New(), untickedForm)
	browser.Get("/logout").MustBe(http.StatusMethodNotAllowed, "")
	for _, path := range []string{"/login", "/logout"} {
		r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(tickedForm.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		page := browser.Send(r)
		if page.Status != http.StatusForbidden {
			t.Errorf("%s from another site: got status %d, want 403", path, page.Status)
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("%s from another site: got Set-Cookie: %s, want none", path, got)
		}
	}
	browser.Get("/dashboard").MustShow("You are not remembered.")
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	script := `"><script>alert(1)</script>`
	for _, page := range []webtest.Page{
		browser.Post("/login", url.Values{"username": {script}, "remember": {script}}),
		browser.Get("/login?idle=" + url.QueryEscape(script)),
	} {
		page.MustNotShow("<script>alert")
	}
}

func TestForgedCookieSignsNoOneIn(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, memstore.New()))
	for _, value := range []string{
		"eyJ1c2VybmFtZSI6ImFkbWluIn0.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w",
		"UEVDTFRZNk1ZTjJJQjQzNzJFWVdNUDZUSzY.awNt4A.", "../../etc/passwd", "..", strings.Repeat("x", 5000),
	} {
		browser.SetCookie("remember", value)
		browser.Get("/dashboard").MustBeAt("/login")
	}
}

// An older release may have stored values of other types under the same names.
func TestSessionOfAnotherShapeSignsNoOneIn(t *testing.T) {
	for name, old := range map[string]struct {
		username, lastSeen any
		permanent          bool
	}{
		"username is a list":       {[]string{"admin"}, nil, true},
		"no tick and no last_seen": {"admin", nil, false},
		"last_seen is a text":      {"admin", "yesterday", false},
		"last_seen is a number":    {"admin", int64(1 << 62), false},
		"last_seen is an object":   {"admin", map[string]any{"time": nil}, false},
	} {
		t.Run(name, func(t *testing.T) {
			mustNotBeLoggedIn(t, old.username, old.lastSeen, old.permanent)
		})
	}
}

func TestUserWhoWasRemovedIsLoggedOut(t *testing.T) {
	mustNotBeLoggedIn(t, "left-us", time.Now(), true)
}

// mustNotBeLoggedIn wants that a session with these values opens no dashboard.
func mustNotBeLoggedIn(t *testing.T, name, seen any, permanent bool) {
	t.Helper()
	username, lastSeen := session.Key[any]("username"), session.Key[any]("last_seen")
	page := testStranger(t, memstore.New(), func(s *session.Session) {
		username.Set(s, name)
		lastSeen.Set(s, seen)
		s.SetPermanent(permanent)
	}).Get("/dashboard")
	if path, _, _ := strings.Cut(page.Path, "?"); path != "/login" {
		t.Errorf("a session with username %v, last_seen %v, permanent %v: the browser is at %s, want /login", name, seen, permanent, page.Path)
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
		page := webtest.NewBrowser(t, testManager(t, memstore.New()).Handler(mux)).Post("/login", loginFields("password", ""))
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

// Any number of clients can leave their response unread. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, release := testSite(t, memstore.New()), make(chan struct{})
		defer close(release)
		form := loginFields("wrong", "")
		for range 2 {
			r := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			go handler.ServeHTTP(unreadResponse{httptest.NewRecorder(), release}, r)
		}
		synctest.Wait()
		webtest.NewBrowser(t, handler).Post("/login", form).MustBe(http.StatusForbidden, "Invalid credentials")
	})
}

const wantIdle = "You were logged out, because your session was not used for 30 minutes."

var (
	testSecret   = bytes.Repeat([]byte("s"), 32)
	tickedForm   = loginFields("password", "yes")
	untickedForm = loginFields("password", "")
)

// loginFields returns the login form as a browser sends it. A browser sends nothing for
// a box that is not ticked.
func loginFields(password, remember string) url.Values {
	form := url.Values{"username": {"admin"}, "password": {password}}
	if remember != "" {
		form.Set("remember", remember)
	}
	return form
}

// testManager returns the session manager of one process. Its StoreTimeout is long, so that
// on a slow machine the store does not seem to be down.
func testManager(t *testing.T, store session.Store) *session.Manager {
	t.Helper()
	opts := options(store)
	opts.StoreTimeout = time.Hour
	sessions, err := session.New(testSecret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func testSite(t *testing.T, store session.Store) http.Handler {
	t.Helper()
	return newHandler(testManager(t, store))
}

// testStoreIn returns a store of files, as one process opens it.
func testStoreIn(t *testing.T, dir string) session.Store {
	t.Helper()
	store, err := filestore.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// testLogin returns the browser of a visitor who logged in with this form.
func testLogin(t *testing.T, store session.Store, form url.Values) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, testSite(t, store))
	page := browser.Post("/login", form)
	page.MustBeAt("/dashboard")
	page.MustShow("Welcome to your dashboard, admin!")
	return browser
}

// testStranger returns a browser with a session that no login made.
func testStranger(t *testing.T, store session.Store, fill func(*session.Session)) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, testManager(t, store).Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fill(session.From(r)) })))
	browser.Get("/")
	browser.Handler = testSite(t, store)
	return browser
}

// postBody sends a body, which can be something other than a form. It follows no redirect.
func postBody(browser *webtest.Browser, path string, body io.Reader) webtest.Page {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return browser.Send(r)
}

// countingStore counts how often it saves.
type countingStore struct {
	session.Store
	saves int
}

func (s *countingStore) Save(ctx context.Context, id string, rec session.Record) error {
	s.saves++
	return s.Store.Save(ctx, id, rec)
}

// slowStore delays the first save.
type slowStore struct {
	session.Store
	delay time.Duration
}

func (s *slowStore) Save(ctx context.Context, id string, rec session.Record) error {
	time.Sleep(s.delay)
	s.delay = 0
	return s.Store.Save(ctx, id, rec)
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

// testField returns the tag of the page's field with this name.
func testField(page webtest.Page, name string) string {
	return regexp.MustCompile(`<input[^>]* name="` + name + `"[^>]*>`).FindString(page.Body)
}

// mustEnd wants a time element on the page, with this time in its attribute datetime.
func mustEnd(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	for _, tag := range regexp.MustCompile(`<time\b[^>]*>`).FindAllString(page.Body, -1) {
		if strings.Contains(tag, `datetime="`+want+`"`) {
			return
		}
	}
	t.Errorf("%s: want an element time with datetime %s, and the page has none. It says: %.300s", page.Path, want, page.Text())
}

// mustSet wants these attributes in the page's Set-Cookie.
func mustSet(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	_, attributes, _ := strings.Cut(page.Header.Get("Set-Cookie"), "; ")
	if attributes != want {
		t.Errorf("%s: got the attributes %q, want %q", page.Path, attributes, want)
	}
}
