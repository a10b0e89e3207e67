package browsertest

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

// A question is a row of the table in docs/browsers.md.
type question struct {
	row    string
	answer func(b asked) string
}

// questions has the rows in order. The last one waits until two minutes after the second.
var questions = []question{
	{"`SameSite` of a cookie that sets none", func(b asked) string {
		b.Go(b.http + "/?set=unset%3D1")
		for _, c := range b.Cookies() {
			if c.Name == "unset" {
				return c.SameSite
			}
		}
		return "there is no cookie"
	}},
	{"This cookie, in a POST from another site", func(b asked) string {
		return b.posted()
	}},
	{"A cookie with `Secure`, from `http://localhost`", func(b asked) string {
		return b.keeps(b.http, "secure=1; Secure")
	}},
	{"A cookie with `Domain=localhost`, from `http://localhost`", func(b asked) string {
		return b.keeps(b.http, "domain=1; Domain=localhost")
	}},
	{"A cookie from `http://app.localhost`", func(b asked) string {
		return b.keeps(strings.Replace(b.http, "localhost", "app.localhost", 1), "app=1")
	}},
	{"`__Host-` without `Secure`, from `https://localhost`", func(b asked) string {
		return b.keeps(b.https, "__Host-insecure=1; Path=/")
	}},
	{"`__Host-` with `Domain=localhost`, from `https://localhost`", func(b asked) string {
		return b.keeps(b.https, "__Host-domain=1; Path=/; Secure; Domain=localhost")
	}},
	{"`__Host-` with `Domain=app.localhost`, from `https://app.localhost`", func(b asked) string {
		return b.keeps(strings.Replace(b.https, "localhost", "app.localhost", 1), "__Host-domain=1; Path=/; Secure; Domain=app.localhost")
	}},
	{"The largest cookie, name and value together", func(b asked) string {
		largest := 0
		for _, size := range []int{4095, 4096, 4097, 8192, 65536} {
			if b.keeps(b.http, "s="+strings.Repeat("x", size-1)) == "kept" {
				largest = size
			}
		}
		return fmt.Sprintf("%d bytes", largest)
	}},
	{"A cookie without a lifetime, after a restart", func(b asked) string {
		return b.restarts(false)
	}},
	{"The same, in a browser that opens its last tabs again", func(b asked) string {
		return b.restarts(true)
	}},
	{"Back, after a logout, to a page without `Cache-Control`", func(b asked) string {
		return b.back(b.http, "", "")
	}},
	{"Back to a page with `Cache-Control: no-store`, over HTTP", func(b asked) string {
		return b.back(b.http, "no-store", "")
	}},
	{"Back to a page with `Cache-Control: no-store`, over HTTPS", func(b asked) string {
		return b.back(b.https, "no-store", "")
	}},
	{"Back, after a logout page with `Clear-Site-Data: \"cache\"`", func(b asked) string {
		return b.back(b.http, "", "Clear-Site-Data")
	}},
	{"Back, after a logout page with a stylesheet that has this header", func(b asked) string {
		return b.back(b.http, "", "style")
	}},
	{"A cookie without `SameSite`, in a POST from another site, two minutes later", func(b asked) string {
		time.Sleep(time.Until(b.since.Add(2*time.Minute + 5*time.Second)))
		return b.posted()
	}},
}

// TestBrowsersDifferAsTheTableSays asks each engine every question of docs/browsers.md.
func TestBrowsersDifferAsTheTableSays(t *testing.T) {
	t.Parallel()
	want := readTable(t)
	if !webdriver.Full() {
		t.Skip("set BROWSER=full to compare the table with the browsers")
	}
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		b := ask(t, engine)
		for _, q := range questions {
			if got := q.answer(b); got != want[q.row][engine] {
				t.Errorf("%s: got %q, want %q as the table says", q.row, got, want[q.row][engine])
			}
		}
	})
}

// readTable returns the cells of docs/browsers.md by row and engine. It fails the test
// unless the rows are those of questions.
func readTable(t *testing.T) map[string]map[webdriver.Engine]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/browsers.md")
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string]map[webdriver.Engine]string)
	var rows []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 1+len(webdriver.Engines) {
			continue
		}
		row := strings.TrimSpace(cells[0])
		rows = append(rows, row)
		table[row] = make(map[webdriver.Engine]string)
		for i, engine := range webdriver.Engines {
			table[row][engine] = strings.TrimSpace(cells[1+i])
		}
	}
	want := []string{"", "---"} // the head of the table
	for _, q := range questions {
		want = append(want, q.row)
	}
	if got, want := strings.Join(rows, "\n"), strings.Join(want, "\n"); got != want {
		t.Fatalf("docs/browsers.md has the rows\n%s\nwant\n%s", got, want)
	}
	return table
}

// asked is a browser that is asked, with a site for the questions.
type asked struct {
	*webdriver.Browser
	t           *testing.T
	http, https string    // the origins of the site
	since       time.Time // a little before the browser got its first cookie
}

// ask opens a browser and a site. The site sets the cookie of the parameter set, and
// shows the cookies that came. Other parameters are headers of the response. With the
// parameter style the page has a stylesheet.
func ask(t *testing.T, engine webdriver.Engine) asked {
	t.Helper()
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for _, cookie := range q["set"] {
			w.Header().Add("Set-Cookie", cookie)
		}
		if q.Has("Cache-Control") {
			w.Header().Set("Cache-Control", q.Get("Cache-Control"))
		}
		if q.Has("Clear-Site-Data") {
			w.Header().Set("Clear-Site-Data", `"cache"`)
		}
		style := ""
		if q.Has("style") {
			style = `<link rel="stylesheet" href="/?Clear-Site-Data">`
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Cookies</title><link rel="icon" href="data:,">%s
			<p>%s;</p><form method="post" action="%s"><button>Send</button></form>`, style,
			html.EscapeString(r.Header.Get("Cookie")), html.EscapeString(q.Get("to")))
	})
	plain, secure := httptest.NewServer(site), httptest.NewTLSServer(site)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	local := strings.NewReplacer("127.0.0.1", "localhost")
	return asked{
		webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true, Insecure: true}), t,
		local.Replace(plain.URL), local.Replace(secure.URL), time.Now(),
	}
}

// has reports whether the page shows that the cookie came, such as name=value.
func (b asked) has(cookie string) bool {
	b.t.Helper()
	var came string
	b.Script(&came, "return document.querySelector('p').textContent")
	return strings.Contains("; "+came, "; "+cookie+";")
}

// keeps returns "kept" if the browser sends a cookie back to the origin that set it, and
// "refused" if not. Then it deletes the cookie.
func (b asked) keeps(origin, cookie string) string {
	b.t.Helper()
	pair, _, _ := strings.Cut(cookie, ";")
	b.Go(origin + "/?set=" + url.QueryEscape(cookie))
	b.Go(origin)
	kept := b.has(pair)
	b.Go(origin + "/?set=" + url.QueryEscape(cookie+"; Max-Age=0"))
	if kept {
		return "kept"
	}
	return "refused"
}

// posted returns "sent" if a form of another site sends the first question's cookie.
func (b asked) posted() string {
	b.t.Helper()
	b.Go(strings.Replace(b.http, "localhost", "127.0.0.1", 1) + "/?to=" + url.QueryEscape(b.http))
	v := visitor{Browser: b.Browser, t: b.t}
	v.Click("Send")
	if b.has("unset=1") {
		return "sent"
	}
	return "not sent"
}

// restarts returns what another browser of the engine does with a session's cookie when
// it closes and opens again.
func (b asked) restarts(restore bool) string {
	b.t.Helper()
	if b.Engine() == webdriver.WebKit {
		return "not measured" // because a WebKit that a test drives stores nothing
	}
	b.Browser = webdriver.Open(b.t, webdriver.Options{Engine: b.Engine(), NoScript: true, Restore: restore})
	b.Go(b.http + "/?set=session%3D1")
	b.Restart()
	b.Go(b.http)
	if b.has("session=1") {
		return "kept"
	}
	return "gone"
}

// back returns what Back shows in another browser of the engine, which was logged out
// after it had shown a page: the page that it has kept, or a new one. The address of the
// logout has the parameter atLogout.
func (b asked) back(origin, cacheControl, atLogout string) string {
	b.t.Helper()
	b.Browser = webdriver.Open(b.t, webdriver.Options{Engine: b.Engine(), NoScript: true, Insecure: true, PageCache: true})
	page, logout := "/?page", "/?set=login%3D1%3B+Max-Age%3D0&"+atLogout
	if cacheControl != "" {
		page += "&Cache-Control=" + url.QueryEscape(cacheControl)
	}
	b.Go(origin + "/?set=login%3D1")
	b.Go(origin + page)
	if !b.has("login=1") {
		b.t.Fatal("the browser is not logged in")
	}
	b.Go(origin + logout)
	b.Back()
	if b.has("login=1") {
		return "the old page"
	}
	return "a new page"
}
