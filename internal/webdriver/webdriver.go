// Package webdriver lets a test use a real browser, Debian's chromium. It talks to
// chromedriver in the W3C's WebDriver protocol, which is JSON over HTTP:
//
//	browser := webdriver.Open(t, webdriver.Options{})
//	browser.Go("http://localhost:8080/login")
//
// A call that fails ends the test. The browser ends with the test, even if the test is
// killed.
package webdriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Options are a browser's settings.
type Options struct {
	NoScript bool // JavaScript is off
	Insecure bool // the browser accepts a certificate that no authority has signed
}

// Browser is a browser with a profile of its own. A call uses its current window.
type Browser struct {
	t       testing.TB
	options Options
	profile string // the directory of its cookies
	driver  string // chromedriver's URL
	session string // the URL of the browser that runs, "" if none runs
}

// Open starts a browser with an empty profile. If none is installed, it skips the test,
// or fails it if CI=true is in the environment.
func Open(t testing.TB, options Options) *Browser {
	t.Helper()
	_, driver := exec.LookPath("chromedriver")
	_, chrome := exec.LookPath("chromium")
	if missing := errors.Join(driver, chrome); missing != nil && os.Getenv("CI") == "true" {
		t.Fatalf("install Debian's packages chromium-driver and chromium: %v", missing)
	} else if missing != nil {
		t.Skipf("to use a browser, install Debian's packages chromium-driver and chromium: %v", missing)
	}
	b := &Browser{t: t, options: options, profile: t.TempDir()}
	_, port, _ := strings.Cut(Start(t, "started successfully", "chromedriver", "--port=0"), "on port ")
	b.driver = "http://127.0.0.1:" + strings.TrimSuffix(port, ".")
	t.Cleanup(b.close)
	b.open()
	return b
}

// open starts a browser. The pipe ends the browser when chromedriver is killed.
func (b *Browser) open() {
	b.t.Helper()
	chrome := object{"args": []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-breakpad", "--remote-debugging-pipe",
		"--app=data:,", "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup", // no toolbar, which would take half of the work
		"--process-per-site", "--in-process-gpu", "--user-data-dir=" + b.profile,
	}}
	if b.options.NoScript {
		chrome["prefs"] = object{"profile.managed_default_content_settings.javascript": 2}
	}
	var opened struct{ SessionID string }
	b.send("POST", b.driver+"/session", object{"capabilities": object{"alwaysMatch": object{
		"timeouts":            object{"implicit": 10_000, "pageLoad": 60_000}, // in milliseconds
		"acceptInsecureCerts": b.options.Insecure, "goog:chromeOptions": chrome, "goog:loggingPrefs": object{"browser": "ALL"},
	}}}, &opened)
	b.session = b.driver + "/session/" + opened.SessionID
}

// close closes the browser, if one runs.
func (b *Browser) close() {
	b.t.Helper()
	if session := b.session; session != "" {
		b.session = ""
		b.send("DELETE", session, object{}, nil)
	}
}

// Restart closes the browser with all its windows, and opens it again.
func (b *Browser) Restart() { b.t.Helper(); b.close(); b.open() }

// Go opens an address, as if it had been typed in, and waits for the page.
func (b *Browser) Go(url string) { b.t.Helper(); b.post("/url", object{"url": url}, nil) }

// Back presses the browser's Back button.
func (b *Browser) Back() { b.t.Helper(); b.post("/back", object{}, nil) }

// Forward presses the browser's Forward button.
func (b *Browser) Forward() { b.t.Helper(); b.post("/forward", object{}, nil) }

// Reload presses the browser's Reload button.
func (b *Browser) Reload() { b.t.Helper(); b.post("/refresh", object{}, nil) }

// Click clicks the first element that the XPath finds. It does not wait for a page that
// the click leads to.
func (b *Browser) Click(xpath string) { b.t.Helper(); b.post(b.find(xpath)+"/click", object{}, nil) }

// Type replaces the text in the field that the XPath finds.
func (b *Browser) Type(xpath, text string) {
	b.t.Helper()
	field := b.find(xpath)
	b.post(field+"/clear", object{}, nil)
	b.post(field+"/value", object{"text": text}, nil)
}

// Tab presses the Tab key.
func (b *Browser) Tab() {
	b.t.Helper()
	press := []object{{"type": "keyDown", "value": "\ue004"}, {"type": "keyUp", "value": "\ue004"}}
	b.post("/actions", object{"actions": []object{{"type": "key", "id": "keyboard", "actions": press}}}, nil)
}

// InFrame makes the page in the frame that the XPath finds the current one, while do runs.
func (b *Browser) InFrame(xpath string, do func()) {
	b.t.Helper()
	var found map[string]any
	b.post("/element", object{"using": "xpath", "value": xpath}, &found)
	b.post("/frame", object{"id": found}, nil)
	do()
	b.post("/frame", object{"id": nil}, nil)
}

// NewWindow opens a window and makes it the current one, until back is called.
func (b *Browser) NewWindow() (back func()) {
	b.t.Helper()
	var before string
	var opened map[string]any // has the handle that the next command takes
	b.send("GET", b.session+"/window", object{}, &before)
	b.post("/window/new", object{"type": "window"}, &opened)
	b.post("/window", opened, nil)
	return func() { b.t.Helper(); b.post("/window", object{"handle": before}, nil) }
}

// Cookie is a cookie as the browser stores it.
type Cookie struct {
	Name, Value, Path, Domain string // as they were set
	SameSite                  string // Strict, Lax or None
	HTTPOnly, Secure          bool   // whether they were set
	Expiry                    int64  // in Unix seconds, 0 if the cookie ends with the browser
}

// Cookies returns the cookies that belong to the page.
func (b *Browser) Cookies() (all []Cookie) {
	b.t.Helper()
	b.send("GET", b.session+"/cookie", object{}, &all)
	return all
}

// Script runs the body of a function in the page, and stores what it returns in result.
// It works with JavaScript off too.
func (b *Browser) Script(result any, body string) {
	b.t.Helper()
	b.post("/execute/sync", object{"script": body, "args": []any{}}, result)
}

// DevTools sends a command of the Chrome DevTools Protocol, and stores what it returns in
// result.
func (b *Browser) DevTools(result any, command string, params map[string]any) {
	b.t.Helper()
	b.post("/goog/cdp/execute", object{"cmd": command, "params": params}, result)
}

// Log returns the console's lines since the last call of Log. The level of an error is
// SEVERE.
func (b *Browser) Log() (lines []struct{ Level, Message string }) {
	b.t.Helper()
	b.post("/se/log", object{"type": "browser"}, &lines)
	return lines
}

// find returns the path of the first element that the XPath finds.
func (b *Browser) find(xpath string) (path string) {
	b.t.Helper()
	var found map[string]string
	b.post("/element", object{"using": "xpath", "value": xpath}, &found)
	return "/element/" + found["element-6066-11e4-a52e-4f735466cecf"] // the standard's name for it
}

type object = map[string]any

// post sends a command to the browser that runs.
func (b *Browser) post(path string, body object, result any) {
	b.t.Helper()
	b.send("POST", b.session+path, body, result)
}

// send sends a command, and stores its result. The response has the result, or the error,
// under value.
func (b *Browser) send(method, url string, body object, result any) {
	b.t.Helper()
	sent, _ := json.Marshal(body) // no error, because it has only texts and numbers
	request, _ := http.NewRequest(method, url, bytes.NewReader(sent))
	client := http.Client{Timeout: 2 * time.Minute}
	response, err := client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var reply struct{ Value json.RawMessage }
	err = json.NewDecoder(response.Body).Decode(&reply)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%.1000s", reply.Value)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(reply.Value, result)
	}
	if err != nil {
		b.t.Fatalf("%s %s %v: %v", method, url, body, err)
	}
}
