// Package browsertest visits every lesson and exercise with real browsers, as people do:
// with Chromium, WebKit and Firefox. JavaScript is off, except where a lesson has a
// script. In Chromium it checks the look of each page, narrow and wide, light and dark.
//
//	go test ./internal/browsertest                           # lessons 04 and 08 in Chromium
//	BROWSER=full go test ./internal/browsertest              # everything, as with CI=true
//	SCREENSHOTS=screenshots go test ./internal/browsertest   # all in Chromium, with pictures
//	BROWSER=full go test ./internal/browsertest -run /webkit # all in WebKit
package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

// visitor is a visitor with a browser, at a site.
type visitor struct {
	*webdriver.Browser
	t       *testing.T
	program string // the program that the site runs on
	site    string // its origin
}

// another returns another visitor of the same site, with a browser of their own.
func (v visitor) another() visitor {
	v.t.Helper()
	v.Browser = webdriver.Open(v.t, webdriver.Options{Engine: v.Engine(), NoScript: true})
	return v
}

// stop is a site on a tour, and what the visitor does there. The visit leaves a session
// behind.
type stop struct {
	program string
	visit   func(visitor)
}

// tour sends one visitor with each engine from site to site, as a reader runs one program
// after another. The cookies of one site must not change what the next one does. In the
// end the visitor closes the browser.
func tour(t *testing.T, stops []stop) {
	t.Helper()
	t.Parallel()
	if stops = slices.DeleteFunc(stops, func(s stop) bool { return !isWanted(s.program) }); len(stops) == 0 {
		t.Skip("set BROWSER=full to visit these sites")
	}
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		v := visitor{Browser: webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true}), t: t}
		for _, s := range stops {
			v.program, v.site = path.Base(s.program), "http://"+start(t, s.program)
			s.visit(v)
		}
		v.closes()
	})
}

// isWanted reports whether a program is visited. Without BROWSER=full it leaves out most
// of them, because they take too long for each go test. A login with the session in the
// cookie and one with the session on the server stand for the rest.
func isWanted(program string) bool {
	all := webdriver.Full() || os.Getenv("SCREENSHOTS") != ""
	return all || program == "lessons/04-auth" || program == "lessons/08-database"
}

// start runs a program until the test ends. It returns the address that the program
// listens on.
func start(t *testing.T, program string, args ...string) (addr string) {
	t.Helper()
	binary, err := build(program)
	if err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	webdriver.Start(t, "listening on", append([]string{binary, "-addr", addr}, args...)...)
	return addr
}

// freeAddr returns an address that no one listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	return "localhost:" + webdriver.FreePort(t)
}

// Go opens a path of the site, or a full address.
func (v visitor) Go(address string) {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.site + address
	}
	v.savesHTML()
	v.Browser.Go(address)
}

// control finds a link, a button or a label by the name that a screen reader says.
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

// ClickHere clicks a control that does not lead to another page, such as the label of a
// check box.
func (v visitor) ClickHere(name string) {
	v.t.Helper()
	v.Browser.Click(fmt.Sprintf(control, name))
}

// Type types into the field that has this label.
func (v visitor) Type(label, text string) {
	v.t.Helper()
	v.Browser.Type(fmt.Sprintf(field, label), text)
}

// TypeDate types into the date field that has this label. Chromium takes the keys of an
// American, and Firefox takes the date as HTML writes it. WebKit's driver cannot type a
// date, so there a script does.
func (v visitor) TypeDate(label string, date time.Time) {
	v.t.Helper()
	switch v.Engine() {
	case webdriver.WebKit:
		v.Script(nil, fmt.Sprintf("document.querySelector('[type=date]').value = %q", date.Format(time.DateOnly)))
	case webdriver.Firefox:
		v.Type(label, date.Format(time.DateOnly))
	default:
		v.Type(label, date.Format("01022006"))
	}
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

// until waits until the condition is true.
func (v visitor) until(what string, condition func() bool) {
	v.t.Helper()
	again := time.Tick(20 * time.Millisecond)
	for deadline := time.Now().Add(time.Minute); !condition(); <-again {
		if time.Now().After(deadline) {
			v.t.Fatalf("a minute later, still not: %s", what)
		}
	}
}

// text returns the text that a visitor reads, with each run of white space as one space.
func (v visitor) text() (text string) {
	v.t.Helper()
	v.Script(&text, "return document.body?.innerText ?? ''") // there is no body for a moment between two pages
	return strings.Join(strings.Fields(text), " ")
}

// sees ends the test unless the page shows each of the texts.
func (v visitor) sees(texts ...string) {
	v.t.Helper()
	for _, text := range texts {
		if page := v.text(); !strings.Contains(page, text) {
			v.t.Fatalf("the page says %.1000s, want %q", page, text)
		}
	}
}

// seesNot ends the test if the page shows the text.
func (v visitor) seesNot(text string) {
	v.t.Helper()
	if page := v.text(); strings.Contains(page, text) {
		v.t.Fatalf("the page says %.1000s, want no %q", page, text)
	}
}

// isAt ends the test unless the visitor is at this page of the site.
func (v visitor) isAt(path string) {
	v.t.Helper()
	var address string
	v.Script(&address, "return location.href")
	if address != v.site+path {
		v.t.Fatalf("at %s, want %s", address, v.site+path)
	}
}

// refused checks the status of the last response. Chromium's console has a line for each
// response that is an error, and Firefox tells scripts the status. WebKit tells no one, so
// there refused checks nothing.
func (v visitor) refused(status int) {
	v.t.Helper()
	if v.Engine() == webdriver.WebKit {
		return
	}
	if v.Engine() == webdriver.Firefox {
		var got int
		v.Script(&got, "return performance.getEntriesByType('navigation')[0].responseStatus")
		if got != status {
			v.t.Fatalf("the status is %d, want %d", got, status)
		}
		return
	}
	lines := v.complaints()
	if want := fmt.Sprintf("the server responded with a status of %d", status); len(lines) != 1 || !strings.Contains(lines[0], want) {
		v.t.Fatalf("the console says %q, want %q", lines, want)
	}
}

// complaints returns the errors and warnings in Chromium's console, such as those about
// scripts, cookies, and what a Content-Security-Policy stopped.
func (v visitor) complaints() (lines []string) {
	v.t.Helper()
	for _, line := range v.Log() {
		// The browser asks for an icon when a response is plain text, which names none.
		favicon := strings.Contains(line.Message, "/favicon.ico - ")
		if line.Level != "INFO" && line.Level != "DEBUG" && !favicon {
			lines = append(lines, line.Message)
		}
	}
	return lines
}

// hasCookie checks the cookie of this name, and returns it. The cookie must last as long
// as lifetime or, if that is 0, until the browser closes. Scripts and forms of other
// sites must not get it.
func (v visitor) hasCookie(name string, lifetime time.Duration) webdriver.Cookie {
	v.t.Helper()
	all := slices.DeleteFunc(v.Cookies(), func(c webdriver.Cookie) bool { return c.Name != name })
	if len(all) != 1 {
		v.t.Fatalf("there are %d cookies %s, want one", len(all), name)
	}
	c := all[0]
	var scripts string
	v.Script(&scripts, "return document.cookie")
	if !c.HTTPOnly {
		v.t.Errorf("the browser has %+v, want HttpOnly", c)
	}
	if strings.Contains(scripts, name) {
		v.t.Errorf("scripts see %q, want no %s", scripts, name)
	}
	if c.SameSite != "Lax" && c.SameSite != "Strict" {
		v.t.Errorf("the browser has %+v, want SameSite Lax or Strict", c)
	}
	if c.Path != "/" {
		v.t.Errorf("the browser has %+v, want the path /", c)
	}
	if c.Domain != "localhost" {
		v.t.Errorf("the browser has %+v, want the domain localhost", c)
	}
	if (lifetime == 0) != (c.Expiry == 0) {
		v.t.Errorf("the browser has %+v, want a lifetime of %v", c, lifetime)
	}
	deadline := time.Now().Add(lifetime).Unix() + 1 // Firefox rounds up
	if lifetime != 0 && (c.Expiry > deadline || c.Expiry < deadline-600) {
		v.t.Errorf("the cookie expires at %d, want %d or up to 600 seconds before", c.Expiry, deadline)
	}
	return c
}

// cookies returns all cookies of the host, sorted by name. Cookies ignore ports.
func (v visitor) cookies() []webdriver.Cookie {
	v.t.Helper()
	return slices.SortedFunc(slices.Values(v.Cookies()), func(a, b webdriver.Cookie) int { return strings.Compare(a.Name, b.Name) })
}

// hasNoCookie checks that the browser has no cookie of this name.
func (v visitor) hasNoCookie(name string) {
	v.t.Helper()
	if slices.ContainsFunc(v.Cookies(), func(c webdriver.Cookie) bool { return c.Name == name }) {
		v.t.Errorf("the browser has the cookie %s, want none", name)
	}
}

// nowhere is a page that no site has. Any other page could change the cookie.
const nowhere = "/closed"

// closes closes the browser, opens it again, and checks that the browser stored the
// cookies with a lifetime and no others.
func (v visitor) closes() {
	v.t.Helper()
	v.Go(nowhere)
	want := v.cookies()
	v.Restart()
	v.Go(nowhere)
	v.refused(http.StatusNotFound)
	got := v.cookies()
	want = slices.DeleteFunc(want, func(c webdriver.Cookie) bool { return c.Expiry == 0 })
	if !slices.Equal(got, want) {
		v.t.Errorf("after the restart the browser has %+v, want %+v", got, want)
	}
}

// isAttacked presses a button on a page of another port, which posts a form to path. That
// page has another origin and the same site, so the browser sends the cookies.
func (v visitor) isAttacked(path string, form url.Values) {
	v.t.Helper()
	v.isAttackedFrom("localhost", path, form)
}

// isAttackedFrom is isAttacked with a page on this host. 127.0.0.1 is another site than
// localhost.
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
	if v.Engine() == webdriver.WebKit {
		v.Go(nowhere) // WebKit does not list the cookies with SameSite of a page that another site led to
	}
	if after := v.cookies(); !slices.Equal(before, after) {
		v.t.Errorf("after a POST to %s from %s the cookies are %+v, want %+v as before", path, host, after, before)
	}
}
