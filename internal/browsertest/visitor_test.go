// Package browsertest visits every lesson and exercise as people do, with a real
// browser. JavaScript is off, but where a lesson has some. On the way it looks at the
// pages, narrow and wide, light and dark.
//
//	go test ./internal/browsertest                           # lessons 04 and 08
//	BROWSER=full go test ./internal/browsertest              # all of it, as with CI=true
//	SCREENSHOTS=screenshots go test ./internal/browsertest   # all of it, with pictures
package browsertest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

// visitor is somebody with a browser, at a site.
type visitor struct {
	*webdriver.Browser
	t       *testing.T
	program string // what the site runs on
	site    string // its origin
}

// another returns somebody else, at the same site.
func (v visitor) another() visitor {
	v.t.Helper()
	v.Browser = webdriver.Open(v.t, webdriver.Options{NoScript: true})
	return v
}

// stop is a site on a tour, and what the visitor does there. It leaves a session.
type stop struct {
	program string
	visit   func(visitor)
}

// tour sends one visitor from site to site, as a reader runs one program after
// another: their cookies do not get into each other's way. In the end the browser
// is closed.
func tour(t *testing.T, stops []stop) {
	t.Helper()
	t.Parallel()
	if stops = slices.DeleteFunc(stops, func(s stop) bool { return !isWanted(s.program) }); len(stops) == 0 {
		t.Skip("set BROWSER=full to visit these")
	}
	v := visitor{Browser: webdriver.Open(t, webdriver.Options{NoScript: true}), t: t}
	for _, s := range stops {
		v.program, v.site = path.Base(s.program), "http://"+start(t, s.program)
		s.visit(v)
	}
	v.closes()
}

// isWanted leaves out what takes too long for each go test. A login with the session
// in the cookie, and one with the session on the server, stand for the rest then.
func isWanted(program string) bool {
	all := os.Getenv("BROWSER") == "full" || os.Getenv("CI") == "true" || os.Getenv("SCREENSHOTS") != ""
	return all || program == "lessons/04-auth" || program == "lessons/08-database"
}

// start builds a program and runs it until the test ends. It returns the address
// where it listens.
func start(t *testing.T, program string, args ...string) (addr string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(program))
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "example.com/sessions/"+program)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	addr = freeAddr(t)
	webdriver.Start(t, "listening on", append([]string{binary, "-addr", addr}, args...)...)
	return addr
}

// freeAddr returns an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "localhost:" + port
}

// Go opens a page of the site, or of another with a full address.
func (v visitor) Go(address string) {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.site + address
	}
	v.Browser.Go(address)
}

// control finds a link, a button or a label by the name that it is announced by.
const control = `//*[self::a or self::button or self::label][normalize-space()=%[1]q and not(@aria-label) or @aria-label=%[1]q]`

// field finds a field by its label.
const field = `//*[@id=//label[normalize-space()=%q]/@for]`

// Click clicks a link or a button, and waits for the page that it leads to.
func (v visitor) Click(name string) {
	v.t.Helper()
	const document = "return [performance.timeOrigin, document.readyState === 'complete']"
	var before, now [2]any
	v.Script(&before, document)
	v.Browser.Click(fmt.Sprintf(control, name))
	v.until(name+" leads to a page", func() bool {
		v.Script(&now, document)
		return now[0] != before[0] && now[1] == true
	})
}

// ClickHere clicks what leads to no other page, such as the label of a check box.
func (v visitor) ClickHere(name string) {
	v.t.Helper()
	v.Browser.Click(fmt.Sprintf(control, name))
}

// Type types into the field that has this label.
func (v visitor) Type(label, text string) {
	v.t.Helper()
	v.Browser.Type(fmt.Sprintf(field, label), text)
}

// Choose chooses an option of the select box that has this label.
func (v visitor) Choose(label, option string) {
	v.t.Helper()
	v.Browser.Click(fmt.Sprintf(field+"//option[normalize-space()=%q]", label, option))
}

// logsIn fills in a login form as admin, and sends it.
func (v visitor) logsIn(nameLabel, passwordLabel, password string) {
	v.t.Helper()
	v.Type(nameLabel, "admin")
	v.Type(passwordLabel, password)
	v.Click("Login")
}

func (v visitor) until(what string, true func() bool) {
	v.t.Helper()
	again := time.Tick(20 * time.Millisecond)
	for deadline := time.Now().Add(time.Minute); !true(); <-again {
		if time.Now().After(deadline) {
			v.t.Fatalf("in vain: %s", what)
		}
	}
}

// text is what a visitor reads, with each run of white space as one space.
func (v visitor) text() (text string) {
	v.t.Helper()
	v.Script(&text, "return document.body.innerText")
	return strings.Join(strings.Fields(text), " ")
}

func (v visitor) sees(texts ...string) {
	v.t.Helper()
	for _, text := range texts {
		if page := v.text(); !strings.Contains(page, text) {
			v.t.Fatalf("want %q, the page says: %.1000s", text, page)
		}
	}
}

func (v visitor) seesNot(text string) {
	v.t.Helper()
	if page := v.text(); strings.Contains(page, text) {
		v.t.Fatalf("%q is not for everybody, and the page says: %.1000s", text, page)
	}
}

// isAt checks which page of the site this is.
func (v visitor) isAt(path string) {
	v.t.Helper()
	var address string
	v.Script(&address, "return location.href")
	if address != v.site+path {
		v.t.Fatalf("at %s, want %s", address, v.site+path)
	}
}

// refused checks the status that the last page came with. The browser's console
// has a line for each answer that is an error.
func (v visitor) refused(status int) {
	v.t.Helper()
	lines := v.complaints()
	if want := fmt.Sprintf("the server responded with a status of %d", status); len(lines) != 1 || !strings.Contains(lines[0], want) {
		v.t.Fatalf("the console says %q, want %q", lines, want)
	}
}

// complaints are the errors and warnings in the browser's console, such as those
// about scripts, about what a Content-Security-Policy stopped, and about cookies.
func (v visitor) complaints() (lines []string) {
	v.t.Helper()
	for _, line := range v.Log() {
		favicon := strings.Contains(line.Message, "/favicon.ico - ") // of an answer that is no page, but plain text
		if line.Level != "INFO" && line.Level != "DEBUG" && !favicon {
			lines = append(lines, line.Message)
		}
	}
	return lines
}

// hasCookie checks the cookie of this name, and returns it. It has this long to
// live, or, with 0, until the browser closes. No script sees it, and no form of
// another site brings it along.
func (v visitor) hasCookie(name string, lifetime time.Duration) webdriver.Cookie {
	v.t.Helper()
	all := slices.DeleteFunc(v.Cookies(), func(c webdriver.Cookie) bool { return c.Name != name })
	if len(all) != 1 {
		v.t.Fatalf("there are %d cookies %s, want one", len(all), name)
	}
	c := all[0]
	var scripts string
	v.Script(&scripts, "return document.cookie")
	if !c.HTTPOnly || strings.Contains(scripts, name) || c.SameSite != "Lax" && c.SameSite != "Strict" || c.Path != "/" || c.Domain != "localhost" {
		v.t.Errorf("the browser has %+v, and scripts see %q", c, scripts)
	}
	if end := time.Now().Add(lifetime).Unix(); (lifetime == 0) != (c.Expiry == 0) || lifetime != 0 && (c.Expiry > end || c.Expiry < end-600) {
		v.t.Errorf("the browser has %+v, want a lifetime of %v", c, lifetime)
	}
	return c
}

// cookies returns all cookies of the host, by name. The port makes no difference.
func (v visitor) cookies() []webdriver.Cookie {
	v.t.Helper()
	return slices.SortedFunc(slices.Values(v.Cookies()), func(a, b webdriver.Cookie) int { return strings.Compare(a.Name, b.Name) })
}

// hasNoCookie checks that the site has left nothing in the browser.
func (v visitor) hasNoCookie(name string) {
	v.t.Helper()
	if slices.ContainsFunc(v.Cookies(), func(c webdriver.Cookie) bool { return c.Name == name }) {
		v.t.Errorf("the browser still has the cookie %s", name)
	}
}

// closes closes the browser, opens it again, and checks that it has kept the cookies
// that are to outlive it and no others. It stays on a page that there is not: any
// that there is could change its cookie.
func (v visitor) closes() {
	v.t.Helper()
	const nowhere = "/closed"
	v.Go(nowhere)
	want := v.cookies()
	v.Restart()
	v.Go(nowhere)
	v.refused(http.StatusNotFound)
	got := v.cookies()
	want = slices.DeleteFunc(want, func(c webdriver.Cookie) bool { return c.Expiry == 0 })
	if !slices.Equal(got, want) {
		v.t.Errorf("the browser has kept %+v, want %+v", got, want)
	}
}

// isAttacked presses a button on a page of another port, which posts a form to path.
// That is another origin, and the same site: the cookies come along.
func (v visitor) isAttacked(path string, form url.Values) {
	v.t.Helper()
	v.isAttackedFrom("localhost", path, form)
}

// isAttackedFrom has that page on a host. 127.0.0.1 is another site than localhost.
func (v visitor) isAttackedFrom(host, path string, form url.Values) {
	v.t.Helper()
	before := v.cookies()
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><form method="post" action="%s">`, v.site+path)
		for name := range form {
			fmt.Fprintf(w, `<input name="%s" value="%s">`, name, form.Get(name))
		}
		fmt.Fprint(w, `<button>Claim your prize</button></form>`)
	}))
	defer attacker.Close()
	v.Go(strings.Replace(attacker.URL, "127.0.0.1", host, 1))
	v.Click("Claim your prize")
	v.isAt(path)
	v.refused(http.StatusForbidden)
	if after := v.cookies(); !slices.Equal(before, after) {
		v.t.Errorf("a POST to %s from %s made the cookies %+v, they were %+v", path, host, after, before)
	}
}
