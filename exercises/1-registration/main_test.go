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
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// The tests are in the order of the task, and the easy ones come first: those of this file,
// then file_test.go, then further_test.go. The tests of this file pass without a file: each
// registers its accounts with the program that it then visits.
//
// Tests that register or log in run in parallel, because a hash is made to be slow. In a
// bubble of synctest, 12 hours pass at once.

// Two pages.

func TestRegisterPageTellsTheRules(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t, testFile(t))).Get("/register")
	page.MustShow("3 to 32 characters: letters from a to z, digits, - and _, beginning with a letter")
	page.MustShow("8 to 256 characters of any kind")
	for _, name := range []string{"username", "password"} {
		if testField(page, name) == "" {
			t.Errorf("/register: want an input whose name is %s, and the page has none", name)
		}
	}
}

func TestDashboardWithoutALoginGoesToLogin(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for _, path := range []string{"/dashboard", "/"} {
		page := browser.Get(path)
		page.MustBeAt("/login")
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("%s: got Set-Cookie: %s, want none", path, got)
		}
	}
}

// Registering.

func TestRegistrationLogsIn(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	page := browser.Send(testPost("/register", strings.NewReader(testForm("Ada", testPassword).Encode())))
	if got, want := page.Status, http.StatusSeeOther; got != want {
		t.Errorf("got status %d, want %d", got, want)
	}
	if got, want := page.Header.Get("Location"), "/dashboard"; got != want {
		t.Errorf("got Location: %s, want %s", got, want)
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
}

func TestNamesThatBreakTheRuleAreRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for _, name := range []string{
		"", "al", strings.Repeat("a", 33), "1ada", "-ada", "_ada", "ada lovelace", " ada", "ada\n", "ada\x00", "ada\xff",
		"\u0430da",  // a Cyrillic letter that looks like a
		"\u212Aate", // the Kelvin sign, whose lower case is k
		"adá", "<script>", "../ada", strings.Repeat("a", 1000),
	} {
		t.Run(fmt.Sprintf("%.40q", name), func(t *testing.T) {
			page := browser.Post("/register", testForm(name, testPassword))
			page.MustBe(http.StatusBadRequest, "This is not a username that you can register.")
		})
	}
	if browser.Cookie("/", "registration") != "" {
		t.Error("a refused name made a session, want no cookie")
	}
}

func TestPasswordHas8To256Characters(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for password, want := range map[string]string{
		"":                       "The password is too short: it has 0 characters.",
		"7 chars":                "The password is too short: it has 7 characters.",
		"ÄÖÜäöüß":                "The password is too short: it has 7 characters.", // of two bytes each
		strings.Repeat("ß", 257): "The password is too long: it has 257 characters.",
	} {
		browser.Post("/register", testForm("Ada", password)).MustBe(http.StatusBadRequest, want)
	}
	browser.Post("/register", testForm("Ada", strings.Repeat("😀", 256))).MustBeAt("/dashboard")
}

// HMAC pads a short key with zero bytes. With "a" and seven zero bytes, a visitor would
// have a password of eight characters, and "a" would log in.
func TestPasswordWithZeroBytesIsRefused(t *testing.T) {
	page := webtest.NewBrowser(t, testSite(t, testFile(t))).Post("/register", testForm("Bob", "a\x00\x00\x00\x00\x00\x00\x00"))
	if page.Status != http.StatusBadRequest {
		t.Errorf("got status %d, want 400", page.Status)
	}
}

func TestRefusedFormHasTheNameAndNotThePassword(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for _, form := range []url.Values{
		testForm("no name", "secret-one"), // breaks the rule
		testForm("Grace", "secret"),       // too short
	} {
		page := browser.Post("/register", form)
		page.MustBe(http.StatusBadRequest, "")
		mustHaveName(t, page, form.Get("username"))
		page.MustNotShow("secret")
	}
}

func TestTakenNameSaysSoInAnyCase(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	for _, name := range []string{"Ada", "ada", "ADA", "aDa"} {
		page := browser.Post("/register", testForm(name, "secret-one"))
		page.MustBe(http.StatusConflict, "The username "+name+" is taken.")
		mustHaveName(t, page, name)
		page.MustNotShow("secret")
	}
}

// The tests start the program with a limit of one account.
func TestRegistrationsEndAtTheLimit(t *testing.T) {
	t.Parallel()
	handler, err := newHandler(testManager(t), testFile(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	browser := webtest.NewBrowser(t, handler)
	browser.Post("/register", testForm("Ada", testPassword)).MustBeAt("/dashboard")
	page := browser.Post("/register", testForm("Grace", testPassword))
	page.MustBe(http.StatusServiceUnavailable, "This site takes no more accounts.")
}

// Logging in.

func TestLoginFindsTheNameInAnyCase(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testAda(t).Handler) // without Ada's cookie
	for _, name := range []string{"Ada", "aDA"} {
		page := browser.Post("/login", testForm(name, testPassword))
		page.MustBeAt("/dashboard")
		page.MustShow("Welcome to your dashboard, Ada!")
	}
}

func TestMissingFieldIsNamed(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for body, want := range map[string]string{
		"":                         "The username is missing.",
		"password=x":               "The username is missing.",
		"username=&password=x":     "The username is missing.",
		"username=ada&password=":   "The password is missing.",
		"user%6eame=admin&other=x": "The password is missing.",
		"username=%zz":             "The form is damaged.",
	} {
		t.Run(fmt.Sprintf("%q", body), func(t *testing.T) {
			browser.Send(testPost("/login", strings.NewReader(body))).MustBe(http.StatusBadRequest, want)
		})
	}
}

// A password in the address would be in logs and in the browser's history.
func TestFieldsInTheAddressAreNotRead(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	address := "?" + testForm("Ada", testPassword).Encode()
	browser.Post("/login"+address, nil).MustBe(http.StatusBadRequest, "The username is missing.")
	browser.Post("/register"+address, nil).MustBe(http.StatusBadRequest, "This is not a username that you can register.")
}

func TestWrongPasswordAndUnknownUserGetTheSameResponse(t *testing.T) {
	t.Parallel()
	handler := testAda(t).Handler
	wrong := webtest.NewBrowser(t, handler).Post("/login", testForm("Ada", "secret-one"))
	unknown := webtest.NewBrowser(t, handler).Post("/login", testForm("Bob", "secret-one"))
	wrong.MustBe(http.StatusForbidden, "Invalid credentials")
	mustHaveName(t, wrong, "Ada")
	wrong.MustNotShow("secret")
	mustBeSame(t, wrong, "Ada", unknown, "Bob")
}

// If the response to an unknown name came sooner, it would tell that there is no such
// account.
func TestUnknownUserTakesTheSameWorkAsAWrongPassword(t *testing.T) {
	// The test measures processor time, which does not depend on how busy the machine is.
	// No other test may run at the same time, because its work would count too.
	if testProcessorTime == nil {
		t.Skip("this system has no getrusage")
	}
	browser := testAda(t)
	work := func(name string) time.Duration {
		before := testProcessorTime(t)
		browser.Post("/login", testForm(name, "a wrong password")).MustBe(http.StatusForbidden, "Invalid credentials")
		return testProcessorTime(t) - before
	}
	wrong, unknown := work("Ada"), work("stranger")
	if unknown < wrong/2 {
		t.Errorf("an unknown user: got %v of work, want at least half of the %v for a wrong password", unknown, wrong)
	}
	if unknown > 2*wrong {
		t.Errorf("an unknown user: got %v of work, want at most twice the %v for a wrong password", unknown, wrong)
	}
}

func TestLastCharacterOfAPasswordCounts(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	longest := strings.Repeat("😀", 256)
	browser.Post("/register", testForm("Ada", longest)).MustBeAt("/dashboard")
	browser.Post("/login", testForm("Ada", longest[:len(longest)-len("😀")])).MustBe(http.StatusForbidden, "Invalid credentials")
}

func TestZeroBytesAreNoPadding(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	browser.Post("/register", testForm("Ada", "correct horse")).MustBeAt("/dashboard")
	browser.Post("/login", testForm("Ada", "correct horse\x00")).MustBe(http.StatusForbidden, "Invalid credentials")
	browser.Post("/register", testForm("Bob", "a\x00\x00\x00\x00\x00\x00\x00"))
	browser.Post("/login", testForm("Bob", "a")).MustBe(http.StatusForbidden, "Invalid credentials")
}

// Being logged in.

func TestLogoutDeletesTheCookie(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
	browser.Post("/logout", nil).MustBeAt("/login")
	if value := browser.Cookie("/", "registration"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestLoginLastsTwelveHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testAda(t)
		time.Sleep(6 * time.Hour)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(6 * time.Hour) // a look does not make it longer
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Second)
		browser.Get("/dashboard").MustBeAt("/login")
	})
}

// An attacker or an earlier visitor may have left values in the session (session fixation).
func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	for _, path := range []string{"/register", "/login"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			handler, name := testAda(t).Handler, "Ada"
			if path == "/register" {
				name = "Grace"
			}
			browser := webtest.NewBrowser(t, handler)
			browser.SetCookie("registration", testSigned(t, func(s *session.Session) {
				session.Key[string]("deliver_to").Set(s, "1 Planted Street")
				s.SetPermanent(true)
			}))
			browser.Post(path, testForm(name, testPassword)).MustBeAt("/dashboard")
			values := testPayload(t, browser)
			for _, planted := range []string{"deliver_to", "_permanent"} {
				if value, there := values[planted]; there {
					t.Errorf("after it the session has %s = %v, want none", planted, value)
				}
			}
		})
	}
}

// Ada's cookie is still valid, but the program was started with a file that has no Ada.
func TestRemovedAccountIsLoggedOut(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	browser.Handler = testSite(t, testFile(t))
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestRemovedNameRegisteredAgainIsAnotherAccount(t *testing.T) {
	t.Parallel()
	former, later := testAda(t), testAda(t) // of two programs with two files
	later.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
	former.Handler = later.Handler
	former.Get("/dashboard").MustBeAt("/login")
}

// An older release may have signed other values under the same names.
func TestSignedRubbishLogsNoOneIn(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	for key := range testPayload(t, browser) {
		for _, value := range []any{nil, 5, "Ada", true, []any{1}, map[string]any{"name": 5}, map[string]any{"name": "Ada"}, map[string]any{}} {
			t.Run(fmt.Sprintf("%s=%v", key, value), func(t *testing.T) {
				browser := webtest.NewBrowser(t, browser.Handler)
				browser.SetCookie("registration", testSigned(t, func(s *session.Session) { session.Key[any](key).Set(s, value) }))
				browser.Get("/dashboard").MustBeAt("/login")
			})
		}
	}
}

func TestForgedSessionLogsNoOneIn(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	value := browser.Cookie("/", "registration")
	browser.SetCookie("registration", value[:strings.LastIndexByte(value, '.')]+".XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestNoCacheStoresThePages(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	for _, path := range []string{"/dashboard", "/login", "/register"} {
		page := browser.Get(path)
		page.MustBeAt(path)
		if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
			t.Errorf("%s: got Cache-Control: %q, want %q", path, got, want)
		}
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	if link := testTag(browser.Get("/login"), "link", "href", "/forget.css"); link == "" {
		t.Error("/login: want an element link whose href is /forget.css, and the page has none")
	}
	if got, want := browser.Get("/forget.css").Header.Get("Clear-Site-Data"), `"cache"`; got != want {
		t.Errorf("got Clear-Site-Data: %s, want %s", got, want)
	}
}

// Requests that the site refuses.

func TestHugeFormIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path, testForm(strings.Repeat("x", 1<<20), testPassword))
		page.MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 4096 bytes.")
		if n := len(page.Body); n > 10_000 {
			t.Errorf("%s: got a response of %d bytes, want at most 10,000", path, n)
		}
	}
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	typed := `"><script>alert(1)</script>`
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path, testForm(typed, ""))
		page.MustBe(http.StatusBadRequest, "")
		mustHaveName(t, page, typed)
		page.MustNotShow("<script>alert")
	}
}

func TestChangesTakeAPost(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	if page := browser.Get("/logout"); page.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET /logout: got status %d, want 405", page.Status)
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
}

// If another site could log its visitors in here to the attacker's account, the attacker
// could later read what they left in that account (login CSRF).
func TestOtherSitesCannotRegisterLogInOrLogOut(t *testing.T) {
	t.Parallel()
	browser := testAda(t)
	for _, path := range []string{"/register", "/login", "/logout"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			t.Run(path+" with "+name, func(t *testing.T) {
				r := testPost(path, strings.NewReader(testForm("Mallory", testPassword).Encode()))
				r.Header.Set(name, value)
				page := browser.Send(r)
				if page.Status != http.StatusForbidden {
					t.Errorf("got status %d, want 403", page.Status)
				}
				if got := page.Header.Get("Set-Cookie"); got != "" {
					t.Errorf("got Set-Cookie: %s, want none", got)
				}
			})
		}
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
}

const testPassword = "correct horse battery"

var testSecret = bytes.Repeat([]byte("s"), 32)

func testManager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(testSecret, options())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// testSite returns the handler of a program that was started with a file of accounts.
func testSite(t *testing.T, file string) http.Handler {
	t.Helper()
	handler, err := newHandler(testManager(t), file, 100)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// testFile returns the name of a file that is not there yet.
func testFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "accounts.json")
}

// testAda returns the browser of Ada, who has just registered. No one else has an account.
func testAda(t *testing.T) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, testSite(t, testFile(t)))
	page := browser.Send(testPost("/register", strings.NewReader(testForm("Ada", testPassword).Encode())))
	if page.Status != http.StatusSeeOther {
		t.Fatalf("Ada cannot register: got status %d, want 303", page.Status)
	}
	return browser
}

// testForm returns the fields of both forms.
func testForm(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// testPost returns a POST of a body, which can be something other than a form.
func testPost(path string, body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// testSigned returns a cookie that has the site's signature and the values that fill sets.
func testSigned(t *testing.T, fill func(*session.Session)) string {
	t.Helper()
	sessions := testManager(t)
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

// testPayload returns the values in the browser's cookie.
func testPayload(t *testing.T, browser *webtest.Browser) map[string]any {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "registration"))
	var values map[string]any
	if err == nil {
		err = json.Unmarshal(parts.Payload, &values)
	}
	if err != nil {
		t.Fatalf("want a cookie registration with a session in it: %v", err)
	}
	if len(values) == 0 {
		t.Fatal("the cookie has no values, want at least one")
	}
	return values
}

// testTag returns the first tag of an element that has an attribute with this value, or "".
func testTag(page webtest.Page, element, attribute, value string) string {
	for _, tag := range regexp.MustCompile(`<`+element+`\b[^>]*>`).FindAllString(page.Body, -1) {
		if testAttribute(tag, attribute) == value {
			return tag
		}
	}
	return ""
}

// testAttribute returns the value of an attribute of a tag, or "".
func testAttribute(tag, name string) string {
	found := regexp.MustCompile(`\s` + name + `\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`).FindStringSubmatch(tag)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1] + found[2] + found[3])
}

// testField returns the tag of the page's field with this name, or "".
func testField(page webtest.Page, name string) string {
	return testTag(page, "input", "name", name)
}

// mustHaveName wants this value in the field username.
func mustHaveName(t *testing.T, page webtest.Page, want string) {
	t.Helper()
	if got := testAttribute(testField(page, "username"), "value"); got != want {
		t.Errorf("%s: got %q in the field username, want %q", page.Path, got, want)
	}
}

// mustBeSame wants two responses that differ only in the name that was typed.
func mustBeSame(t *testing.T, a webtest.Page, nameA string, b webtest.Page, nameB string) {
	t.Helper()
	if a.Status != b.Status {
		t.Errorf("%s and %s: got the statuses %d and %d, want the same", nameA, nameB, a.Status, b.Status)
	}
	if strings.ReplaceAll(a.Body, nameA, "") != strings.ReplaceAll(b.Body, nameB, "") {
		t.Errorf("%s and %s: got two pages, want the same:\n%.200s\n%.200s", nameA, nameB, a.Text(), b.Text())
	}
	for name := range a.Header {
		if a.Header.Get(name) != b.Header.Get(name) {
			t.Errorf("got %s: %q and %q, want the same", name, a.Header.Get(name), b.Header.Get(name))
		}
	}
	if len(a.Header) != len(b.Header) {
		t.Errorf("got the headers %v and %v, want the same names", a.Header, b.Header)
	}
}
