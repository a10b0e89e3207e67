package webdriver

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An Engine is what makes one family of browsers. The zero value is Chromium.
type Engine int

// The engines.
const (
	Chromium Engine = iota // also Chrome's, Edge's and Opera's
	WebKit                 // Safari's and GNOME Web's
	Firefox                // Firefox's only
)

// Engines has every engine.
var Engines = []Engine{Chromium, WebKit, Firefox}

// String returns the engine's name, in lower case.
func (e Engine) String() string { return []string{"chromium", "webkit", "firefox"}[e] }

// miniBrowser is where Debian's WebKit has its browser. The star is the processor's name.
const miniBrowser = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"

// parts are the programs that each engine needs, and the Debian packages that have them.
var parts = map[Engine][]struct{ program, debian string }{
	Chromium: {{"chromedriver", "chromium-driver"}, {"chromium", "chromium"}},
	WebKit:   {{"WebKitWebDriver", "webkit2gtk-driver"}, {miniBrowser, "webkit2gtk-driver"}, {"Xvfb", "xvfb"}},
	Firefox:  {{"firefox-esr", "firefox-esr"}},
}

// Full reports whether the environment asks for everything that browsers can test, with
// BROWSER=full or CI=true. BROWSER=short takes that back.
func Full() bool {
	wanted := os.Getenv("BROWSER")
	return wanted == "full" || wanted == "" && os.Getenv("CI") == "true"
}

// Each runs a subtest for each engine. Without [Full] it runs only Chromium's, because the
// others take too long for each go test.
func Each(t *testing.T, test func(t *testing.T, engine Engine)) {
	t.Helper()
	for _, engine := range Engines {
		t.Run(engine.String(), func(t *testing.T) {
			if engine != Chromium && !Full() {
				t.Skip("set BROWSER=full to use this browser")
			}
			test(t, engine)
		})
	}
}

// Require skips the test if a part of the engine is not installed, and names its Debian
// package. With CI=true in the environment it fails the test instead.
func (e Engine) Require(t testing.TB) {
	t.Helper()
	var missing []string
	for _, part := range parts[e] {
		if installed(part.program) == "" && !slices.Contains(missing, part.debian) {
			missing = append(missing, part.debian)
		}
	}
	needed := "to use " + e.String() + ", install Debian's " + strings.Join(missing, " and ")
	if len(missing) > 0 && os.Getenv("CI") == "true" {
		t.Fatal(needed)
	} else if len(missing) > 0 {
		t.Skip(needed)
	}
}

// installed returns the path of a program, or "" if it is not installed.
func installed(program string) string {
	if filepath.IsAbs(program) {
		found, _ := filepath.Glob(program) // the pattern is valid
		return strings.Join(found[:min(1, len(found))], "")
	}
	found, _ := exec.LookPath(program)
	return found
}
