package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	if page.Path != "/styled_page" {
		t.Errorf("Save Preferences leads to %s", page.Path)
	}
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
	for _, rule := range []string{
		".light { background-color: #ffffff; color: #333333 }",
		".dark { background-color: #333333; color: #ffffff }",
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
		before, _, _ := strings.Cut(page.Body, "</style>")
		_, css, _ := strings.Cut(before, "<style>")
		return css
	}
	want := style(browser.Get("/styled_page"))
	got := style(browser.Post("/preferences", choose("dark", "large")))
	if got == "" || got != want {
		t.Errorf("dark and large have another stylesheet: %s", got)
	}
}

func TestTheSystemsDarkModeDoesNotOverrideTheChoice(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/styled_page").MustShow(`<meta name="color-scheme" content="only light">`)
	browser.Post("/preferences", choose("dark", "large")).MustShow(`<meta name="color-scheme" content="only dark">`)
	browser.Get("/preferences").MustShow(`<meta name="color-scheme" content="light dark">`)
}

func TestPostIsAnsweredBySeeOther(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Send(post("/preferences", "theme=dark&font_size=large"))
	if page.Status != 303 || page.Header.Get("Location") != "/styled_page" {
		t.Errorf("%d to %q, want 303 to /styled_page", page.Status, page.Header.Get("Location"))
	}
}

// The visitor has chosen dark and small before. Where the form still says so, it
// also has to say why; the choice that was fine is kept.
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
			mustRefuse(t, page)
			mustSelect(t, page, test.theme, test.size)
			if strings.Contains(page.Body, "Theme must be one of: Light, Dark.") != (test.theme == "dark") {
				t.Errorf("the page is wrong about the theme: %s", page.Body)
			}
			if strings.Contains(page.Body, "Font Size must be one of: Small, Medium, Large.") != (test.size == "small") {
				t.Errorf("the page is wrong about the size: %s", page.Body)
			}
			for _, sent := range []string{"purple", "999px", "<script", "LARGE"} {
				if strings.Contains(page.Body, sent) {
					t.Errorf("the page repeats %s: %s", sent, page.Body)
				}
			}
			mustLook(t, browser.Get("/styled_page"), "dark", "small")
		})
	}
}

func TestValuesInTheAddressAreNotTheForms(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	mustRefuse(t, browser.Post("/preferences?theme=dark&font_size=large", nil))
}

func TestOfARepeatedFieldTheFirstValueCounts(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, second := range []string{"light", "purple"} {
		page := browser.Post("/preferences", url.Values{"theme": {"dark", second}, "font_size": {"large"}})
		mustLook(t, page, "dark", "large")
	}
}

func TestAFormThatCannotBeReadIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, body := range []string{
		"font_size=large&theme=" + strings.Repeat("x", 1<<20),
		"theme=dark&font_size=large&more=" + strings.Repeat("x", 1<<20),
		"theme=dark&font_size=large&more=%zz",
	} {
		page := browser.Send(post("/preferences", body))
		mustRefuse(t, page)
		if want := "This form is too long, or cannot be read.\n"; page.Body != want {
			t.Errorf("the page is %q, want %q", page.Body, want)
		}
	}
}

func TestReadingSetsNoCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, path := range []string{"/", "/preferences?theme=dark&font_size=large", "/styled_page?theme=dark"} {
		if line := browser.Get(path).Header.Get("Set-Cookie"); line != "" {
			t.Errorf("GET %s sets %s", path, line)
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
		t.Errorf("attributes %q, want %q", attributes, want)
	}
}

func TestAnybodyReadsTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Post("/preferences", choose("dark", "large"))
	parts, err := session.Inspect(browser.Cookie("/", "preferences"))
	want := `{"_permanent":true,"preferences":{"theme":"dark","font_size":"large"}}`
	if err != nil || string(parts.Payload) != want {
		t.Errorf("payload %s, %v, want %s", parts.Payload, err, want)
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

// Lesson 02 stores these, and its theme is one of ours.
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
		if page.Body != honest.Body {
			t.Errorf("stored %q: the page is not that of light and large: %s", text, page.Body)
		}
	}
}

// The list keeps such text from the template. Here the template is on its own.
func TestTheTemplateEscapes(t *testing.T) {
	w := httptest.NewRecorder()
	show(w, http.StatusOK, "styled_page", Preferences{Theme: "<script>alert(1)</script>", FontSize: `" onload="alert(1)`})
	body := w.Body.String()
	if strings.Contains(body, "<script") || strings.Contains(body, `" onload`) || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("not escaped: %s", body)
	}
}

func TestAnotherSiteCannotChoose(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
		r := post("/preferences", "theme=dark&font_size=large")
		r.Header.Set(name, value)
		page := browser.Send(r)
		if line := page.Header.Get("Set-Cookie"); page.Status != 403 || line != "" {
			t.Errorf("%s: %s: %d, Set-Cookie %q, want 403 and none", name, value, page.Status, line)
		}
	}
	mustLook(t, browser.Get("/styled_page"), "light", "medium")
}

var secret = bytes.Repeat([]byte("s"), 32)

// site is the lesson's handler in a process that has this secret.
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

// olderRelease is a browser whose cookie is validly signed, and holds this JSON
// as the preferences.
func olderRelease(t *testing.T, preferences string) *webtest.Browser {
	t.Helper()
	older := func(w http.ResponseWriter, r *http.Request) {
		session.Key[json.RawMessage]("preferences").Set(session.From(r), json.RawMessage(preferences))
	}
	browser := webtest.NewBrowser(t, manager(t, secret).Handler(http.HandlerFunc(older)))
	browser.Get("/")
	if browser.Cookie("/", "preferences") == "" {
		t.Fatalf("no cookie holds %s", preferences)
	}
	browser.Handler = site(t, secret)
	return browser
}

func choose(theme, size string) url.Values {
	return url.Values{"theme": {theme}, "font_size": {size}}
}

// post is a form as a program sends it, which says nothing of its origin.
func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// mustRefuse wants a 400 that stores nothing.
func mustRefuse(t *testing.T, page webtest.Page) {
	t.Helper()
	if line := page.Header.Get("Set-Cookie"); page.Status != 400 || line != "" {
		t.Errorf("%d, Set-Cookie %q, want 400 and none", page.Status, line)
	}
}

// mustSelect wants these two options of the form, and no other, to be selected.
func mustSelect(t *testing.T, page webtest.Page, theme, size string) {
	t.Helper()
	for _, value := range []string{theme, size} {
		if want := `<option value="` + value + `" selected>`; !strings.Contains(page.Body, want) {
			t.Errorf("%s: %d %s, want %s", page.Path, page.Status, page.Body, want)
		}
	}
	if n := strings.Count(page.Body, " selected>"); n != 2 {
		t.Errorf("%d options are selected, want 2", n)
	}
}

// mustLook wants the styled page in this theme and size, in words and in looks.
func mustLook(t *testing.T, page webtest.Page, theme, size string) {
	t.Helper()
	page.MustShow(`<body class="` + theme + ` ` + size + `">`)
	page.MustShow("your chosen theme (" + theme + ") and font size (" + size + ").")
}
