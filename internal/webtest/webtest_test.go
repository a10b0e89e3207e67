package webtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

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
