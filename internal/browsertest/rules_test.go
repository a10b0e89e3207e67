package browsertest

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"example.com/sessions/internal/webdriver"
)

// This file checks pages by rules that others wrote. axe-core has rules for accessibility,
// and runs in the page. The Nu Html Checker has rules for HTML and CSS, and reads files.
// Both are npm packages, and the second one needs Java:
//
//	npm install --prefix /tmp/rules axe-core vnu-jar
//	export AXE=/tmp/rules/node_modules/axe-core/axe.min.js PAGES=/tmp/pages
//	BROWSER=full go test ./internal/browsertest
//	rm /tmp/pages/bad-*
//	java -jar /tmp/rules/node_modules/vnu-jar/build/dist/vnu.jar --Werror /tmp/pages

// axeScript runs axe-core in a page that has it.
//
//go:embed axe.js
var axeScript string

// axeSource returns axe-core, as a script. Without AXE in the environment it returns "".
//
// A page without JavaScript runs promises and no timers. axe-core uses timers of 0 ms to
// go on, and longer ones to stop waiting for a frame. So here a timer of 0 ms is a promise,
// and a longer one does nothing.
var axeSource = sync.OnceValues(func() (string, error) {
	file := os.Getenv("AXE")
	if file == "" {
		return "", nil
	}
	source, err := os.ReadFile(file)
	return fmt.Sprintf("{ const setTimeout = (run, ms) => { if (!ms) Promise.resolve().then(run); };\n%s\n}", source), err
})

// violations returns what in the page breaks a rule of axe-core, as it looks now. Without
// AXE it returns nothing, or fails the test if CI=true.
func (v visitor) violations() (found []string) {
	v.t.Helper()
	source, err := axeSource()
	if err != nil {
		v.t.Fatal(err)
	}
	if source == "" && os.Getenv("CI") == "true" {
		v.t.Fatal("set AXE to the file axe.min.js of the npm package axe-core")
	}
	if source == "" {
		return nil
	}
	var loaded bool
	if v.Script(&loaded, "return 'axe' in window"); !loaded {
		v.Script(nil, source)
	}
	v.Script(&found, axeScript)
	return found
}

func TestAxeFindsWhatIsWrong(t *testing.T) {
	if os.Getenv("AXE") == "" && os.Getenv("CI") != "true" {
		t.Skip("to use axe-core, install the npm package axe-core, and set AXE to its file axe.min.js")
	}
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "script-src 'none'")
		fmt.Fprint(w, bad)
	}))
	defer site.Close()
	v := visitor{webdriver.Open(t, webdriver.Options{NoScript: true}), t, "bad", site.URL}
	v.Go("/")
	for _, scheme := range []string{"light", "dark"} {
		v.resize(360, 800, scheme)
		found := strings.Join(v.violations(), "\n")
		for _, want := range []string{
			"html-has-lang: <html>",
			"document-title: <html>",
			"heading-order: <h4>Four</h4>",
			"button-name: <button></button>",
			`color-contrast: <p class="bright">`,
		} {
			if !strings.Contains(found, want) {
				t.Errorf("%s: axe-core did not find %q, want it", scheme, want)
			}
		}
		if t.Failed() {
			t.Log(found)
		}
	}
}

// savesHTML makes the browser keep the HTML of the next pages for saveHTML.
func (v visitor) savesHTML() {
	v.t.Helper()
	if os.Getenv("PAGES") != "" && v.Engine() == webdriver.Chromium {
		v.DevTools(nil, "Network.enable", map[string]any{})
	}
}

// saveHTML saves the page's HTML as the server sent it, and as it is now if the page has a
// script. With PAGES=dir in the environment it saves files in dir, whose names contain
// name.
func (v visitor) saveHTML(name string) {
	v.t.Helper()
	dir := os.Getenv("PAGES")
	if dir == "" {
		return
	}
	var tree struct {
		FrameTree struct{ Frame struct{ LoaderID string } }
	}
	v.DevTools(&tree, "Page.getFrameTree", map[string]any{})
	var sent struct{ Body string }
	// The request for a page has the ID of the page's loader.
	v.DevTools(&sent, "Network.getResponseBody", map[string]any{"requestId": tree.FrameTree.Frame.LoaderID})
	write(v.t, dir, v.program+"-"+name+".html", []byte(sent.Body))
	var now string // without an attribute that chromedriver gives to frames
	v.Script(&now, `return document.scripts.length > 0 ? document.documentElement.outerHTML.replace(/ cd_frame_id_="\w*"/g, "") : ""`)
	if now != "" {
		write(v.t, dir, v.program+"-"+name+"-now.html", []byte("<!doctype html>\n"+now))
	}
}
