package webdriver

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// launch starts a browser with the profile.
func (b *Browser) launch() (transport, error) {
	b.t.Helper()
	capabilities := object{
		"acceptInsecureCerts": b.options.Insecure,
		"timeouts":            object{"implicit": 10_000, "pageLoad": 60_000}, // in milliseconds
	}
	switch b.options.Engine {
	case WebKit:
		return b.launchWebKit(capabilities)
	case Firefox:
		return b.launchFirefox(capabilities)
	default:
		return b.launchChromium(capabilities)
	}
}

// launchChromium starts chromedriver, unless it runs already, and a Chromium. The pipe
// ends Chromium when chromedriver is killed.
func (b *Browser) launchChromium(capabilities object) (transport, error) {
	b.t.Helper()
	if b.driver == "" {
		line := Start(b.t, "started successfully", "chromedriver", "--port=0")
		_, port, _ := strings.Cut(line, "on port ")
		b.driver = "http://127.0.0.1:" + strings.TrimSuffix(port, ".")
	}
	chrome := object{"args": []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-breakpad", "--remote-debugging-pipe",
		"--app=data:,", "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup", // no toolbar, which would take half of the work
		"--process-per-site", "--in-process-gpu", "--user-data-dir=" + b.profile,
	}}
	settings := object{}
	if b.options.NoScript {
		settings["profile.managed_default_content_settings.javascript"] = 2
	}
	if b.options.Restore {
		settings["session.restore_on_startup"] = 1
	}
	chrome["prefs"] = settings
	capabilities["goog:chromeOptions"] = chrome
	capabilities["goog:loggingPrefs"] = object{"browser": "ALL"}
	return openHTTP(b.driver, capabilities)
}

// launchWebKit starts a screen and WebKitWebDriver, unless they run already, and a
// MiniBrowser on that screen. MiniBrowser ends when the screen does.
func (b *Browser) launchWebKit(capabilities object) (transport, error) {
	b.t.Helper()
	if b.driver == "" {
		display := Start(b.t, "", "sh", "-c", "exec Xvfb -displayfd 1 -screen 0 1366x1024x24 2>/dev/null")
		port := FreePort(b.t)
		Start(b.t, "", "env", "DISPLAY=:"+display, "NO_AT_BRIDGE=1", "DBUS_SESSION_BUS_ADDRESS=disabled:",
			"sh", "-c", "echo starts; exec WebKitWebDriver --port="+port)
		b.driver = "http://127.0.0.1:" + port
		if err := awaitDriver(b.driver); err != nil {
			return nil, err
		}
	}
	args := []string{"--automation"}
	if !b.options.PageCache {
		args = append(args, "--enable-page-cache=false")
	}
	if b.options.NoScript {
		args = append(args, "--enable-javascript=false")
	}
	capabilities["webkitgtk:browserOptions"] = object{"binary": installed(miniBrowser), "args": args}
	return openHTTP(b.driver, capabilities)
}

// awaitDriver waits until the driver at this URL answers.
func awaitDriver(driver string) (err error) {
	for range 1000 {
		var response *http.Response
		if response, err = http.Get(driver + "/status"); err == nil {
			return response.Body.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// launchFirefox starts a Firefox, which needs no driver.
func (b *Browser) launchFirefox(capabilities object) (transport, error) {
	b.t.Helper()
	settings := `user_pref("marionette.port", 0);` // any free port
	if b.options.NoScript {
		settings += `user_pref("javascript.enabled", false);`
	}
	if b.options.Restore {
		settings += `user_pref("browser.startup.page", 3);`
	}
	if err := os.WriteFile(filepath.Join(b.profile, "user.js"), []byte(settings), 0o600); err != nil {
		return nil, err
	}
	line, ended := start(b.t, "Listening on port ", "firefox-esr", "-marionette", "-headless", "-no-remote", "-profile", b.profile)
	_, port, _ := strings.Cut(line, "Listening on port ")
	return openMarionette("127.0.0.1:"+port, capabilities, ended)
}

// shortDir makes a directory that is removed with the test. Its path is shorter than that
// of t.TempDir, because a browser has sockets there, and the path of a socket can have
// only about 100 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
