package webtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"example.com/sessions/internal/webtest"
)

// site sets two cookies, shows what it is sent, and redirects.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /set", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "short", Value: "s", Path: "/", Secure: true})
		http.SetCookie(w, &http.Cookie{Name: "long", Value: "l", Path: "/", MaxAge: 3600})
	})
	mux.HandleFunc("GET /drop", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "long", Path: "/", MaxAge: -1})
	})
	mux.HandleFunc("GET /show", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Cookie"))
	})
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/show?field="+r.FormValue("field"), http.StatusSeeOther)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func TestBrowserKeepsCookiesAndFollowsRedirects(t *testing.T) {
	b := webtest.NewBrowser(t, site())
	b.Get("/set")
	page := b.Post("/form", url.Values{"field": {"x"}})
	if page.Path != "/show?field=x" || page.Status != 200 || page.Body != "short=s; long=l" && page.Body != "long=l; short=s" {
		t.Errorf("got %+v", page)
	}
	if got := b.Cookie("/", "long"); got != "l" {
		t.Errorf("cookie long is %q", got)
	}
	if page := webtest.NewBrowser(t, site()).Get("/show"); page.Body != "" {
		t.Errorf("a new browser sent %q", page.Body)
	}
}

func TestSendFollowsNoRedirect(t *testing.T) {
	b := webtest.NewBrowser(t, site())
	page := b.Send(httptest.NewRequest("POST", webtest.Origin+"/form", nil))
	if page.Status != http.StatusSeeOther {
		t.Errorf("status %d, want 303", page.Status)
	}
}

func TestRestartKeepsPermanentCookiesUntilTheyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := webtest.NewBrowser(t, site())
		b.Get("/set")
		b.SetCookie("set", "by hand")
		time.Sleep(30 * time.Minute)
		b.Restart()
		if page := b.Get("/show"); page.Body != "long=l" {
			t.Errorf("after a restart: %q, want long=l", page.Body)
		}
		time.Sleep(31 * time.Minute)
		if page := b.Get("/show"); page.Body != "" {
			t.Errorf("after its time: %q", page.Body)
		}
		b.Get("/set")
		b.Get("/drop")
		b.Restart()
		if page := b.Get("/show"); page.Body != "" {
			t.Errorf("after it was dropped: %q", page.Body)
		}
	})
}

// failures records what a test would have failed with.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

func TestPageReportsWhatTheTestWants(t *testing.T) {
	const body = `<html><title>T</title><style>p { color: red }</style><p>You have <b>3</b>
		items &amp; <i>more</i>.</p><p>Next</p><!-- hidden --><script>alert(1)</script>`
	for _, test := range []struct {
		name string
		use  func(webtest.Page)
		want []string // in the failure; none if it does not fail
	}{
		{"shown", func(p webtest.Page) { p.MustShow("<b>3</b>") }, nil},
		{"shown, with markup in it", func(p webtest.Page) { p.MustShow("You have 3 items & more. Next") }, nil},
		{"not shown", func(p webtest.Page) { p.MustShow("4 items") }, []string{"4 items", "You have 3 items & more"}},
		{"status", func(p webtest.Page) { p.MustBe(404, "3") }, []string{"got status 200", "want 404"}},
		{"absent", func(p webtest.Page) { p.MustNotShow("4 items") }, nil},
		{"present", func(p webtest.Page) { p.MustNotShow("<b>3</b>") }, []string{"<b>3</b>"}},
		{"here", func(p webtest.Page) { p.MustBeAt("/") }, nil},
		{"elsewhere", func(p webtest.Page) { p.MustBeAt("/x") }, []string{"is at /,", "want /x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &failures{TB: t}
			b := webtest.NewBrowser(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) }))
			test.use(b.Get("/"))
			if failed := len(f.texts) > 0; failed != (test.want != nil) {
				t.Fatalf("failures %q, want one: %t", f.texts, test.want != nil)
			}
			for _, want := range test.want {
				if !strings.Contains(f.texts[0], want) {
					t.Errorf("the failure is %q, want %q in it", f.texts[0], want)
				}
			}
			if failed := len(f.texts) > 0; failed && strings.ContainsAny(strings.Replace(f.texts[0], "<b>3</b>", "", 1), "<>{}") {
				t.Errorf("the failure has markup: %q", f.texts[0])
			}
		})
	}
}

func TestLongPageIsCut(t *testing.T) {
	f := &failures{TB: t}
	b := webtest.NewBrowser(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("<p>ä</p>", 10000))
	}))
	b.Get("/").MustShow("b")
	if len(f.texts) != 1 {
		t.Fatalf("%d failures, want 1", len(f.texts))
	}
	if got := len(f.texts[0]); got > 800 {
		t.Errorf("the failure has %d bytes, want at most 800", got)
	}
	if !utf8.ValidString(f.texts[0]) {
		t.Errorf("the failure is cut within a letter: %q", f.texts[0])
	}
}
