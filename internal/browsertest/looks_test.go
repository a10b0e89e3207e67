package browsertest

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/sessions/internal/webdriver"
)

// bad is a page with everything that looks must find.
const bad = `<!doctype html>
<html>
<meta name="color-scheme" content="light dark">
<style>
  .faint { color: #777 }
  .bright { color: #ddd; background: #fff }
  b { display: block; width: 2000px }
  :focus { outline: none }
</style>
<h2>Two</h2>
<h4>Four</h4>
<p class="faint">faint</p>
<p class="bright">bright</p>
<b>wide</b>
<p id="twice"></p><p id="twice"></p>
<input placeholder="Name">
<input aria-label="skipped" tabindex="-1">
<button></button>
<script>alert(1)</script>`

func TestLooksFindsWhatIsWrong(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "script-src 'none'")
		fmt.Fprint(w, bad)
	}))
	defer site.Close()
	v := visitor{webdriver.Open(t, webdriver.Options{}), t, "bad", site.URL}
	v.Go("/")
	found := strings.Join(v.problems("bad"), "\n")
	for _, want := range []string{
		"<html> has no lang",
		"the title is empty",
		"there is no icon",
		"360 px, dark: it is laid out",
		"360 px, light: it is laid out",
		"headings are 2,4: the first, and no other, must be h1",
		"headings are 2,4: a level is left out",
		"two elements have the id twice",
		`1280 px, light: <p> "faint": contrast is 4.48`,
		`1280 px, dark: <p> "faint": contrast is 4.`,
		`1280 px, light: <p> "bright": contrast is 1.`,
		"1280 px, dark: it scrolls sideways, 20",
		`<input> "" has no label`,
		"Tab does not get to",
		"focus cannot be seen",
		"a button has no name",
		"Content Security Policy",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("problems did not find %q, want it", want)
		}
	}
	if t.Failed() {
		t.Log(found)
	}
}

// The scripts that check a page. Each is the body of a function, after common.
var (
	//go:embed common.js
	common string
	//go:embed audit.js
	audit string
	//go:embed focus.js
	focus string
)

// looks fails the test if something is wrong with the look of the page. It checks only in
// Chromium, whose DevTools pretend to be a phone, prefer the dark colour scheme and have
// the tree for screen readers. The other drivers have no commands for these.
func (v visitor) looks(name string) {
	v.t.Helper()
	if v.Engine() != webdriver.Chromium {
		return
	}
	for _, problem := range v.problems(name) {
		v.t.Errorf("%s, %s: %s", v.program, name, problem)
	}
}

// problems returns what is wrong with the page. It checks the page wide and narrow, light
// and dark, with the keyboard, and as a screen reader. With SCREENSHOTS=dir in the
// environment it saves pictures in dir, whose names contain name.
func (v visitor) problems(name string) []string {
	v.t.Helper()
	v.saveHTML(name)
	problems := v.unnamed()
	for i, scheme := range []string{"light", "dark", "dark", "light"} {
		width := []int{1280, 1280, 360, 360}[i]
		v.resize(width, 800, scheme)
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			save(v.t, dir, fmt.Sprintf("%s-%s-%d-%s", v.program, name, width, scheme), v.screenshot())
		}
		if i == 0 {
			problems = append(problems, v.unreached()...)
		}
		var found []string
		v.Script(&found, common+strings.ReplaceAll(audit, "WIDTH", fmt.Sprint(width)))
		for _, problem := range append(found, v.violations()...) {
			problems = append(problems, fmt.Sprintf("%d px, %s: %s", width, scheme, problem))
		}
	}
	for _, line := range v.complaints() {
		problems = append(problems, "the console says: "+line)
	}
	return problems
}

// resize sets the size of the window, in CSS pixels, and the preferred colour scheme. A
// narrow window is a phone's. WebKit and Firefox keep their colour scheme.
func (v visitor) resize(width, height int, scheme string) {
	v.t.Helper()
	if v.Engine() != webdriver.Chromium {
		v.Resize(width, height)
		return
	}
	v.DevTools(nil, "Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
	})
	v.DevTools(nil, "Emulation.setEmulatedMedia", map[string]any{
		"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}},
	})
}

// unnamed finds the elements that can be used and have no name in the browser's tree for
// screen readers.
func (v visitor) unnamed() (problems []string) {
	v.t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Role, Name value
			Properties []struct {
				Name  string
				Value value
			}
		}
	}
	v.DevTools(&tree, "Accessibility.getFullAXTree", map[string]any{})
	for _, node := range tree.Nodes {
		for _, property := range node.Properties {
			if property.Name == "focusable" && (node.Name.Value == nil || node.Name.Value == "") {
				problems = append(problems, fmt.Sprintf("a %v has no name", node.Role.Value))
			}
		}
	}
	return problems
}

// unreached finds the elements that can be used and that Tab does not get to, or that do
// not show their focus.
func (v visitor) unreached() (problems []string) {
	v.t.Helper()
	var now struct {
		Usable, Problems []string
		Focused          int // -1 if no element has the focus
	}
	reached := make(map[int]bool)
	for presses := 0; presses <= 2*len(now.Usable)+5 && (presses == 0 || len(reached) < len(now.Usable)); presses++ {
		v.Tab() // after the last element it gets to the first
		v.Script(&now, common+focus)
		problems = append(problems, now.Problems...)
		if now.Focused >= 0 {
			reached[now.Focused] = true
		}
	}
	for i, what := range now.Usable {
		if !reached[i] {
			problems = append(problems, "Tab does not get to "+what)
		}
	}
	return problems
}

// screenshot returns a picture of the window, as a PNG.
func (v visitor) screenshot() []byte {
	v.t.Helper()
	var shot struct{ Data []byte }
	v.DevTools(&shot, "Page.captureScreenshot", map[string]any{})
	return shot.Data
}

// save writes a picture.
func save(t *testing.T, dir, name string, png []byte) {
	t.Helper()
	write(t, dir, name+".png", png)
}

// write writes a file. A relative directory is relative to the repository's root.
func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}
