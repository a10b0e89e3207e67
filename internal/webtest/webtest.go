// Package webtest is a browser for tests: a cookie jar and a handler, and no
// network between them. It keeps cookies, follows redirects and posts forms, so
// that a test reads as a visit:
//
//	browser := webtest.NewBrowser(t, handler)
//	browser.Get("/")
//	page := browser.Get("/")
//
// It works inside a testing/synctest bubble, where cookies and sessions grow old
// while no one waits.
package webtest

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Origin is where a [Browser] finds its handler.
const Origin = "https://example.com"

// Browser is one visitor. Two browsers are two visitors.
type Browser struct {
	// Handler serves the pages. A test may replace it, as a restart replaces a server.
	Handler http.Handler

	t    testing.TB
	jar  *cookiejar.Jar
	kept map[string]permanent
}

// permanent is a cookie that outlives the browser.
type permanent struct {
	cookie  *http.Cookie
	expires time.Time
}

// NewBrowser returns a browser that has no cookies.
func NewBrowser(t testing.TB, handler http.Handler) *Browser {
	b := &Browser{Handler: handler, t: t, kept: make(map[string]permanent)}
	b.Restart()
	return b
}

// Page is a response. Its methods report an error if it is not what the test wants.
type Page struct {
	Path   string      // with the query; after redirects it is the last path
	Status int         // such as 200
	Header http.Header // with the cookies
	Body   string      // all of it

	t testing.TB
}

// MustShow wants status 200, and want in the body or in the [Page.Text].
func (p Page) MustShow(want string) {
	p.t.Helper()
	p.MustBe(http.StatusOK, want)
}

// MustBe wants a status, and want in the body or in the [Page.Text]. So a test can ask for
// a sentence, whatever markup is in it.
func (p Page) MustBe(status int, want string) {
	p.t.Helper()
	if p.Status != status {
		p.t.Errorf("%s: got status %d, want %d\n%s", p.Path, p.Status, status, p.excerpt())
	}
	if !strings.Contains(p.Body, want) && !strings.Contains(p.Text(), want) {
		p.t.Errorf("%s: want %.200q, and the page has no such text\n%s", p.Path, want, p.excerpt())
	}
}

// MustNotShow wants a body without unwanted.
func (p Page) MustNotShow(unwanted string) {
	p.t.Helper()
	if strings.Contains(p.Body, unwanted) {
		p.t.Errorf("%s: the page has %.200q, and must not\n%s", p.Path, unwanted, p.excerpt())
	}
}

// MustBeAt wants status 200, and this path.
func (p Page) MustBeAt(path string) {
	p.t.Helper()
	if p.Status != http.StatusOK {
		p.t.Errorf("%s: got status %d, want 200\n%s", p.Path, p.Status, p.excerpt())
	}
	if p.Path != path {
		p.t.Errorf("the browser is at %s, want %s", p.Path, path)
	}
}

var (
	invisible = regexp.MustCompile(`(?s)<(style|script|title)\b.*?</(style|script|title)>|<!--.*?-->`)
	inline    = regexp.MustCompile(`</?(a|abbr|b|code|em|i|mark|q|s|small|span|strong|time)\b[^>]*>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
)

// Text returns what a visitor reads on the page: the body without markup, styles and
// scripts, and with one space where there was white space or a tag. An element such as b,
// which stands inside a word or a sentence, makes no space.
func (p Page) Text() string {
	body := inline.ReplaceAllString(invisible.ReplaceAllString(p.Body, " "), "")
	body = tag.ReplaceAllString(body, " ")
	return strings.Join(strings.Fields(html.UnescapeString(body)), " ")
}

// excerpt returns the beginning of the page's text, for the log of a test.
func (p Page) excerpt() string {
	const limit = 600
	text := p.Text()
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " …"
	}
	return "the page says: " + text
}

// Get opens a page, as if its address had been typed in.
func (b *Browser) Get(path string) Page {
	b.t.Helper()
	return b.follow(b.Send(httptest.NewRequest(http.MethodGet, Origin+path, nil)))
}

// Post sends a form, as a button on a page of the same site does.
func (b *Browser) Post(path string, form url.Values) Page {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, Origin+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", Origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.follow(b.Send(r))
}

// Send sends one request with the browser's cookies, stores the cookies of the
// response, and follows no redirect. The request must be one that
// httptest.NewRequest made, for a URL that begins with [Origin].
func (b *Browser) Send(r *http.Request) Page {
	b.t.Helper()
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	path := r.URL.RequestURI()
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	response := w.Result()
	b.keep(r.URL, response.Cookies())
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{path, response.StatusCode, response.Header, string(body), b.t}
}

// follow opens the page that a redirect leads to, with GET, as after a 303.
func (b *Browser) follow(page Page) Page {
	b.t.Helper()
	for range 10 {
		location := page.Header.Get("Location")
		if page.Status < 300 || page.Status > 399 || location == "" {
			return page
		}
		base, _ := url.Parse(Origin + page.Path)
		target, err := base.Parse(location)
		if err != nil || target.Scheme+"://"+target.Host != Origin {
			b.t.Fatalf("%s redirects to %q", page.Path, location)
		}
		page = b.Send(httptest.NewRequest(http.MethodGet, target.String(), nil))
	}
	b.t.Fatalf("%s is the tenth redirect in a row", page.Path)
	return page
}

// Cookie returns the value of the cookie that the browser would send to path,
// "" if it has none of that name.
func (b *Browser) Cookie(path, name string) string {
	for _, c := range b.jar.Cookies(address(path)) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie gives the browser a cookie for the whole site, such as a copy or a
// forgery. It replaces one of that name and path /.
func (b *Browser) SetCookie(name, value string) {
	b.keep(address("/"), []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// Restart closes the browser and opens it again: only permanent cookies, those
// with a Max-Age or an Expires, are still there.
func (b *Browser) Restart() {
	b.jar, _ = cookiejar.New(nil) // the error is always nil
	for _, p := range b.kept {
		c := *p.cookie
		c.MaxAge, c.Expires = 0, p.expires
		b.jar.SetCookies(address(c.Path), []*http.Cookie{&c})
	}
}

// keep stores cookies, and remembers which are permanent.
func (b *Browser) keep(from *url.URL, cookies []*http.Cookie) {
	b.jar.SetCookies(from, cookies)
	for _, c := range cookies {
		expires := c.Expires
		if c.MaxAge > 0 {
			expires = time.Now().Add(time.Duration(c.MaxAge) * time.Second)
		}
		if expires.IsZero() || c.MaxAge < 0 {
			delete(b.kept, c.Name)
		} else {
			b.kept[c.Name] = permanent{c, expires}
		}
	}
}

func address(path string) *url.URL {
	u, _ := url.Parse(Origin + path)
	return u
}
