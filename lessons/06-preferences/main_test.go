package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestDefaultsAreLightAndMedium(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	mustSelect(t, browser.Get("/"), "light", "medium")
	mustLook(t, browser.Get("/styled_page"), "light", "medium")
}

func TestChoicesChangeThePage(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Post("/preferences", choose("dark", "large"))
	page.MustBeAt("/styled_page")
	page.MustShow("This page is displayed with your chosen theme (dark) and font size (large).")
	mustLook(t, page, "dark", "large")
}

func TestTheFormShowsWhatWasChosen(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Post("/preferences", choose("dark", "small"))
	mustSelect(t, browser.Get("/preferences"), "dark", "small")
}

func TestEveryOptionCanBeChosenAndHasAClass(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, theme := range themes {
		for _, size := range fontSizes {
			mustLook(t, browser.Post("/preferences", choose(theme.Value, size.Value)), theme.Value, size.Value)
		}
	}
	for _, o := range append(append([]option(nil), themes...), fontSizes...) {
		browser.Get("/styled_page").MustShow("." + o.Value + " {")
	}
}

func TestColoursAndSizesAreTheTutorials(t *testing.T) {
	page := webtest.NewBrowser(t, site(t, secret)).Get("/styled_page")
	page.MustShow("color: var(--text)")
	page.MustShow("background: var(--card)")
	for _, rule := range []string{
		".light { color-scheme: only light; --card: #ffffff; --text: #333333 }",
		".dark { color-scheme: dark; --card: #333333; --text: #ffffff }",
		".small { font-size: 14px }",
		".medium { font-size: 18px }",
		".large { font-size: 22px }",
	} {
		page.MustShow(rule)
	}
}

// A Content-Security-Policy can then name this stylesheet and forbid any other.
func TestTheStylesheetIsTheSameForEveryChoice(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	style := func(page webtest.Page) string {
		return strings.Join(regexp.MustCompile(`(?s)<style>.*?</style>`).FindAllString(page.Body, -1), "\n")
	}
	want := style(browser.Get("/styled_page"))
	got := style(browser.Post("/preferences", choose("dark", "large")))
	if want == "" {
		t.Fatal("the page has no stylesheet, want one")
	}
	if got != want {
		t.Errorf("dark and large: got the stylesheet %q, want %q", got, want)
	}
}

// The rules for color-scheme are in TestColoursAndSizesAreTheTutorials. A <meta> element
// could allow both schemes.
func TestTheSystemsDarkModeDoesNotOverrideTheChoice(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, theme := range []string{"light", "dark"} {
		browser.Post("/preferences", choose(theme, "large"))
		for _, path := range []string{"/styled_page", "/preferences"} {
			page := browser.Get(path)
			page.MustShow(`<html lang="en" class="` + theme + ` large">`)
			page.MustNotShow(`name="color-scheme"`)
		}
	}
}

func TestTheFormHasTheChosenLookToo(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/preferences").MustShow(`<html lang="en" class="light medium">`)
	browser.Post("/preferences", choose("dark", "large"))
	browser.Get("/preferences").MustShow(`<html lang="en" class="dark large">`)

	// A form that is refused changes nothing, so it does not change its own look either.
	browser.Post("/preferences", choose("light", "huge")).MustBe(http.StatusBadRequest, `<html lang="en" class="dark large">`)
}

func TestPostIsAnsweredBySeeOther(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Send(post("/preferences", "theme=dark&font_size=large"))
	page.MustBe(http.StatusSeeOther, "")
	if got, want := page.Header.Get("Location"), "/styled_page"; got != want {
		t.Errorf("got Location %q, want %q", got, want)
	}
}

// The visitor chose dark and small before. If a value is refused, the form shows the
// earlier one and must say why. A value that is listed stays as it was sent.
func TestWhatIsNotOfferedIsRefusedAndNotStored(t *testing.T) {
	const script = "<script>alert(1)</script>"
	for _, test := range []struct {
		name        string
		form        url.Values
		theme, size string
	}{
		{"an unknown theme", choose("purple", "large"), "dark", "large"},
		{"an unknown size", choose("light", "999px"), "light", "small"},
		{"a script as theme", choose(script, "large"), "dark", "large"},
		{"a script as size", choose("light", script), "light", "small"},
		{"other letters", choose("Light", "LARGE"), "dark", "small"},
		{"a space after it", choose("light", "large "), "light", "small"},
		{"a size for a theme", choose("large", "large"), "dark", "large"},
		{"empty values", choose("", ""), "dark", "small"},
		{"no theme", url.Values{"font_size": {"large"}}, "dark", "large"},
		{"no size", url.Values{"theme": {"light"}}, "light", "small"},
		{"nothing", nil, "dark", "small"},
		{"an unknown theme, then a known one", url.Values{"theme": {"purple", "light"}, "font_size": {"large"}}, "dark", "large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			browser := webtest.NewBrowser(t, site(t, secret))
			browser.Post("/preferences", choose("dark", "small"))

			page := browser.Post("/preferences", test.form)
			mustRefuse(t, page, http.StatusBadRequest)
			mustSelect(t, page, test.theme, test.size)
			const themeProblem = "Theme must be one of: Light, Dark."
			if got, want := strings.Contains(page.Body, themeProblem), test.theme == "dark"; got != want {
				t.Errorf("the page says %q: got %v, want %v", themeProblem, got, want)
			}
			const sizeProblem = "Font Size must be one of: Small, Medium, Large."
			if got, want := strings.Contains(page.Body, sizeProblem), test.size == "small"; got != want {
				t.Errorf("the page says %q: got %v, want %v", sizeProblem, got, want)
			}
			for _, sent := range []string{"purple", "999px", "<script", "LARGE"} {
				page.MustNotShow(sent)
			}
			mustLook(t, browser.Get("/styled_page"), "dark", "small")
		})
	}
}

func TestValuesInTheAddressAreNotTheForms(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	mustRefuse(t, browser.Post("/preferences?theme=dark&font_size=large", nil), http.StatusBadRequest)
}

func TestOfARepeatedFieldTheFirstValueIsUsed(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, second := range []string{"light", "purple"} {
		page := browser.Post("/preferences", url.Values{"theme": {"dark", second}, "font_size": {"large"}})
		mustLook(t, page, "dark", "large")
	}
}

func TestAFormThatCannotBeReadIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	const tooLarge, damaged = "The form is too large: more than 1024 bytes.\n", "The form is damaged.\n"
	for _, test := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"a long theme", "font_size=large&theme=" + strings.Repeat("x", 1<<20), http.StatusRequestEntityTooLarge, tooLarge},
		{"a long field", "theme=dark&font_size=large&more=" + strings.Repeat("x", 1<<20), http.StatusRequestEntityTooLarge, tooLarge},
		{"no hexadecimal digits", "theme=dark&font_size=large&more=%zz", http.StatusBadRequest, damaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			page := browser.Send(post("/preferences", test.body))
			mustRefuse(t, page, test.status)
			if page.Body != test.want {
				t.Errorf("got the page %q, want %q", page.Body, test.want)
			}
		})
	}
}

func TestReadingSetsNoCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, path := range []string{"/", "/preferences?theme=dark&font_size=large", "/styled_page?theme=dark"} {
		if line := browser.Get(path).Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s: got Set-Cookie: %s, want none", path, line)
		}
	}
	mustLook(t, browser.Get("/styled_page"), "light", "medium")
}

func TestPreferencesOutliveTheBrowser(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Post("/preferences", choose("dark", "large"))
	browser.Restart()
	mustLook(t, browser.Get("/styled_page"), "dark", "large")
	mustSelect(t, browser.Get("/preferences"), "dark", "large")
}

func TestSetCookieHasTheSafeAttributesAndAMaxAge(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Send(post("/preferences", "theme=dark&font_size=large"))
	_, attributes, _ := strings.Cut(page.Header.Get("Set-Cookie"), "; ")
	if want := "Path=/; Max-Age=2678400; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
}

func TestAnyoneCanReadTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Post("/preferences", choose("dark", "large"))
	parts, err := session.Inspect(browser.Cookie("/", "preferences"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_permanent":true,"preferences":{"theme":"dark","font_size":"large"}}`
	if got := string(parts.Payload); got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
}

func TestACookieThatIsNotOursGivesTheDefaults(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, session.NewSecret()))
	browser.Post("/preferences", choose("dark", "large"))
	browser.Handler = site(t, secret)
	mustLook(t, browser.Get("/styled_page"), "light", "medium")
}

func TestAnotherShapeOfPreferencesGivesTheDefaults(t *testing.T) {
	for _, stored := range []string{
		`"dark"`, `["dark","large"]`, `3`, `true`, `null`, `{}`, `[]`,
		`{"theme":1,"font_size":22}`,
		`{"theme":["dark"],"font_size":{"px":22}}`,
		`{"colour":"dark","size":"large"}`,
	} {
		browser := olderRelease(t, stored)
		mustLook(t, browser.Get("/styled_page"), "light", "medium")
		mustSelect(t, browser.Get("/preferences"), "light", "medium")
		mustLook(t, browser.Post("/preferences", choose("dark", "large")), "dark", "large")
	}
}

// Lesson 02 stores these preferences. Their theme is one of ours, and they have no font
// size.
func TestWhatAnOlderCookieLacksIsTheDefault(t *testing.T) {
	browser := olderRelease(t, `{"theme":"dark","notifications":true}`)
	mustLook(t, browser.Get("/styled_page"), "dark", "medium")
}

func TestAStoredValueThatIsNotListedGivesTheDefaultAndIsNotShown(t *testing.T) {
	honest := webtest.NewBrowser(t, site(t, secret)).Post("/preferences", choose("light", "large"))
	mustLook(t, honest, "light", "large")
	for _, text := range []string{
		"purple", "Dark", "dark large", "#000000", "999px", "__proto__",
		"<script>alert(1)</script>", `" onload="alert(1)`, "</style><script>", "{{.}}",
		"light } body { display: none", "x;background:url(https://evil.test/)", strings.Repeat("dark", 500),
	} {
		stored, err := json.Marshal(Preferences{Theme: text, FontSize: "large"})
		if err != nil {
			t.Fatal(err)
		}
		browser := olderRelease(t, string(stored))
		page := browser.Get("/styled_page")
		mustSelect(t, browser.Get("/preferences"), "light", "large")
		if got, want := beforeCookie(t, page), beforeCookie(t, honest); got != want {
			t.Errorf("stored %q: got the page %q, want the page of light and large: %q", text, got, want)
		}
		page.MustNotShow("<script") // not at the end of the page either, where it shows the cookie
	}
}

// Text that is not listed never reaches the template. This test calls the template with
// such text, because it must be safe by itself too.
func TestTheTemplateEscapes(t *testing.T) {
	hostile := Preferences{Theme: "<script>alert(1)</script>", FontSize: `" onload="alert(1)`}
	handler := manager(t, secret).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		show(w, r, http.StatusOK, "styled_page", page{"Title", hostile, nil})
	}))
	body := webtest.NewBrowser(t, handler).Get("/styled_page").Body
	for _, unwanted := range []string{"<script", `" onload`} {
		if strings.Contains(body, unwanted) {
			t.Errorf("the page has %q, want it escaped", unwanted)
		}
	}
	if want := "&lt;script&gt;"; !strings.Contains(body, want) {
		t.Errorf("the page has no %q, want the theme there", want)
	}
}

func TestAnotherSiteCannotChoose(t *testing.T) {
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
		t.Run(name, func(t *testing.T) {
			browser := webtest.NewBrowser(t, site(t, secret))
			r := post("/preferences", "theme=dark&font_size=large")
			r.Header.Set(name, value)
			page := browser.Send(r)
			page.MustBe(http.StatusForbidden, "")
			if line := page.Header.Get("Set-Cookie"); line != "" {
				t.Errorf("got Set-Cookie: %s, want none", line)
			}
			mustLook(t, browser.Get("/styled_page"), "light", "medium")
		})
	}
}

var secret = bytes.Repeat([]byte("s"), 32)

// site returns the lesson's handler, as a process with this secret has it.
func site(t *testing.T, secret []byte) http.Handler {
	t.Helper()
	return newHandler(manager(t, secret))
}

func manager(t *testing.T, secret []byte) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "preferences"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// olderRelease returns a browser whose session has this JSON as its preferences. The
// cookie is valid, as an older release could have sent it.
func olderRelease(t *testing.T, preferences string) *webtest.Browser {
	t.Helper()
	older := func(w http.ResponseWriter, r *http.Request) {
		session.Key[json.RawMessage]("preferences").Set(session.From(r), json.RawMessage(preferences))
	}
	browser := webtest.NewBrowser(t, manager(t, secret).Handler(http.HandlerFunc(older)))
	browser.Get("/")
	if browser.Cookie("/", "preferences") == "" {
		t.Fatalf("the older release set no cookie, want one with %s", preferences)
	}
	browser.Handler = site(t, secret)
	return browser
}

func choose(theme, size string) url.Values {
	return url.Values{"theme": {theme}, "font_size": {size}}
}

// post returns the request of a form without an Origin header. Programs that are not
// browsers send such requests.
func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// mustRefuse wants this status, and that nothing is stored.
func mustRefuse(t *testing.T, page webtest.Page, status int) {
	t.Helper()
	page.MustBe(status, "")
	if line := page.Header.Get("Set-Cookie"); line != "" {
		t.Errorf("got Set-Cookie: %s, want none", line)
	}
}

// beforeCookie returns the page without its end, where "Your cookie" shows what is stored.
func beforeCookie(t *testing.T, page webtest.Page) string {
	t.Helper()
	before, _, found := strings.Cut(page.Body, `<aside class="card" aria-labelledby="your-cookie">`)
	if !found {
		t.Fatalf("%s: the page does not end with the cookie, want that it does", page.Path)
	}
	return before
}

// mustSelect wants these two options of the form, and no other, to be selected.
func mustSelect(t *testing.T, page webtest.Page, theme, size string) {
	t.Helper()
	for _, value := range []string{theme, size} {
		if want := `<option value="` + value + `" selected>`; !strings.Contains(page.Body, want) {
			t.Errorf("%s, status %d: the page has no %s", page.Path, page.Status, want)
		}
	}
	if got := strings.Count(page.Body, " selected>"); got != 2 {
		t.Errorf("got %d selected options, want 2", got)
	}
}

// mustLook wants the styled page to have this theme and size in its class, and to name
// them in its text.
func mustLook(t *testing.T, page webtest.Page, theme, size string) {
	t.Helper()
	page.MustShow(`<html lang="en" class="` + theme + ` ` + size + `">`)
	page.MustShow("your chosen theme (" + theme + ") and font size (" + size + ").")
}
