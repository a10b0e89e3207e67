// Package webdriver lets a test use a real browser: Debian's Chromium, WebKit or Firefox.
// It sends the commands of the W3C's WebDriver standard:
//
//	browser := webdriver.Open(t, webdriver.Options{Engine: webdriver.Firefox})
//	browser.Go("http://localhost:8080/login")
//
// A call that fails ends the test. The browser ends with the test, even if the test is
// killed.
package webdriver

import (
	"encoding/json"
	"testing"
	"time"
)

// Options are a browser's settings.
type Options struct {
	Engine   Engine // Chromium if it is not set
	NoScript bool   // JavaScript is off
	Insecure bool   // the browser accepts a certificate that no authority has signed
	Restore  bool   // Chromium and Firefox open their last windows again when they start

	// PageCache lets Back and Forward in WebKit show a page that it has kept. They always
	// may in the other engines. WebKit's driver waits forever if a script runs some pages
	// later.
	PageCache bool
}

// Browser is a browser with a profile of its own. A call uses its current window.
type Browser struct {
	t       testing.TB
	options Options
	profile string    // the directory of its cookies
	driver  string    // the URL of the program that starts it, "" if none runs
	running transport // nil if no browser runs
}

// Open starts a browser with an empty profile. If the engine is not installed, it skips
// the test as [Engine.Require] does.
func Open(t testing.TB, options Options) *Browser {
	t.Helper()
	options.Engine.Require(t)
	b := &Browser{t: t, options: options, profile: shortDir(t)}
	b.open()
	return b
}

// Engine returns the browser's engine.
func (b *Browser) Engine() Engine { return b.options.Engine }

// open starts the browser, until the test ends.
func (b *Browser) open() {
	b.t.Helper()
	running, err := b.launch()
	if err != nil {
		b.t.Fatalf("%v does not start: %v", b.options.Engine, err)
	}
	b.running = running
	b.t.Cleanup(b.close) // before the cleanup that kills what launch has started
}

// close closes the browser, if one runs.
func (b *Browser) close() {
	b.t.Helper()
	if running := b.running; running != nil {
		b.running = nil
		if err := running.close(); err != nil {
			b.t.Fatalf("%v does not close: %v", b.options.Engine, err)
		}
	}
}

// Restart closes the browser with all its windows, and opens it again.
//
// A WebKit that a test drives has no file for its cookies. So Restart itself gives the
// new WebKit the cookies that have a lifetime and belong to the page. It shows how a site
// goes on after a restart, but nothing about what WebKit stores.
func (b *Browser) Restart() {
	b.t.Helper()
	if b.options.Engine != WebKit {
		b.close()
		b.open()
		return
	}
	var address string
	b.Script(&address, "return location.href")
	cookies := b.Cookies()
	b.close()
	b.open()
	for _, c := range cookies {
		if c.Expiry != 0 {
			b.Go(address) // a browser takes cookies only for the host of its page
			c.Domain = "" // that host only
			b.send("AddCookie", object{"cookie": c}, nil)
		}
	}
}

// Go opens an address, as if it had been typed in, and waits for the page.
func (b *Browser) Go(url string) { b.t.Helper(); b.send("Navigate", object{"url": url}, nil) }

// Back presses the browser's Back button.
func (b *Browser) Back() { b.t.Helper(); b.send("Back", object{}, nil) }

// Forward presses the browser's Forward button.
func (b *Browser) Forward() { b.t.Helper(); b.send("Forward", object{}, nil) }

// Reload presses the browser's Reload button.
func (b *Browser) Reload() { b.t.Helper(); b.send("Refresh", object{}, nil) }

// Click clicks the first element that the XPath finds. It does not wait for a page that
// the click leads to.
func (b *Browser) Click(xpath string) {
	b.t.Helper()
	b.send("ElementClick", object{"id": b.find(xpath)}, nil)
}

// ClickAt clicks a point of the window, in CSS pixels. It clicks again after each pause.
func (b *Browser) ClickAt(x, y float64, pauses ...time.Duration) {
	b.t.Helper()
	press := []object{{"type": "pointerMove", "x": int(x), "y": int(y)}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}}
	actions := press
	for _, pause := range pauses {
		actions = append(append(actions, object{"type": "pause", "duration": pause.Milliseconds()}), press[1:]...)
	}
	b.send("PerformActions", object{"actions": []object{{"type": "pointer", "id": "mouse", "actions": actions}}}, nil)
}

// Resize sets the size of the window, in CSS pixels. WebKit's and Firefox's windows are
// not narrower than about 500.
func (b *Browser) Resize(width, height int) {
	b.t.Helper()
	b.send("SetWindowRect", object{"width": width, "height": height}, nil)
}

// Type replaces the text in the field that the XPath finds.
func (b *Browser) Type(xpath, text string) {
	b.t.Helper()
	field := b.find(xpath)
	b.send("ElementClear", object{"id": field}, nil)
	b.send("ElementSendKeys", object{"id": field, "text": text}, nil)
}

// Tab presses the Tab key.
func (b *Browser) Tab() {
	b.t.Helper()
	press := []object{{"type": "keyDown", "value": "\ue004"}, {"type": "keyUp", "value": "\ue004"}}
	b.send("PerformActions", object{"actions": []object{{"type": "key", "id": "keyboard", "actions": press}}}, nil)
}

// InFrame makes the page in the frame that the XPath finds the current one, while do runs.
func (b *Browser) InFrame(xpath string, do func()) {
	b.t.Helper()
	b.send("SwitchToFrame", object{"id": object{element: b.find(xpath)}}, nil)
	do()
	b.send("SwitchToFrame", object{"id": nil}, nil)
}

// NewWindow opens a window and makes it the current one, until back is called.
func (b *Browser) NewWindow() (back func()) {
	b.t.Helper()
	var before string
	var opened object // has the handle that the next command takes
	b.send("GetWindowHandle", object{}, &before)
	b.send("NewWindow", object{"type": "window"}, &opened)
	b.send("SwitchToWindow", opened, nil)
	return func() { b.t.Helper(); b.send("SwitchToWindow", object{"handle": before}, nil) }
}

// Cookie is a cookie as the browser stores it.
type Cookie struct {
	Name     string `json:"name"`             // such as session
	Value    string `json:"value"`            // as it was set
	Path     string `json:"path"`             // such as /
	Domain   string `json:"domain,omitempty"` // a host, with a dot before it if subdomains get the cookie
	SameSite string `json:"sameSite"`         // Strict, Lax or None
	HTTPOnly bool   `json:"httpOnly"`         // scripts do not get the cookie
	Secure   bool   `json:"secure"`           // it is sent over HTTPS only
	Expiry   int64  `json:"expiry,omitempty"` // in Unix seconds, 0 if the cookie ends with the browser
}

// Cookies returns the cookies that belong to the page.
func (b *Browser) Cookies() (all []Cookie) {
	b.t.Helper()
	b.send("GetCookies", object{}, &all)
	return all
}

// Script runs the body of a function in the page, and stores what it returns in result.
// It works with JavaScript off too.
func (b *Browser) Script(result any, body string) {
	b.t.Helper()
	b.send("ExecuteScript", object{"script": body, "args": []any{}}, result)
}

// DevTools sends a command of the Chrome DevTools Protocol, which only Chromium has, and
// stores what it returns in result.
func (b *Browser) DevTools(result any, command string, params map[string]any) {
	b.t.Helper()
	b.send("DevTools", object{"cmd": command, "params": params}, result)
}

// Log returns the console's lines since the last call of Log. The level of an error is
// SEVERE. Only Chromium has Log.
func (b *Browser) Log() (lines []struct{ Level, Message string }) {
	b.t.Helper()
	b.send("Log", object{"type": "browser"}, &lines)
	return lines
}

// find returns the ID of the first element that the XPath finds.
func (b *Browser) find(xpath string) (id string) {
	b.t.Helper()
	var found map[string]string
	b.send("FindElement", object{"using": "xpath", "value": xpath}, &found)
	return found[element]
}

// element is the standard's name for the ID of an element.
const element = "element-6066-11e4-a52e-4f735466cecf"

// send sends a command, and stores its result.
func (b *Browser) send(command string, params object, result any) {
	b.t.Helper()
	value, err := b.running.send(command, params)
	if err == nil && result != nil {
		err = json.Unmarshal(value, result)
	}
	if err != nil {
		b.t.Fatalf("%v: %s %v: %v", b.options.Engine, command, params, err)
	}
}
