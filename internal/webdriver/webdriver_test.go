package webdriver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// TestBrowser visits a site whose pages show their address and have a script.
func TestBrowser(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/one" {
			http.SetCookie(w, &http.Cookie{Name: "closes", Value: "1", HttpOnly: true})
			http.SetCookie(w, &http.Cookie{Name: "stays", Value: "1", MaxAge: 1000})
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title></title><link rel="icon" href="data:,"><script>document.title = "ran"</script>
			<form><input name="q" value="old"><button type="button">x</button></form><p>%s</p><iframe srcdoc="<p>inside</p>"></iframe>`, r.URL)
	}))
	defer site.Close()
	Each(t, func(t *testing.T, engine Engine) {
		for _, noScript := range []bool{false, true} {
			visit(t, site.URL, Options{Engine: engine, NoScript: noScript})
		}
	})
}

// visit uses everything that a browser can do.
func visit(t *testing.T, site string, options Options) {
	t.Helper()
	b := Open(t, options)
	b.Go(site + "/one")
	b.Type("//input", "new")
	b.Click("//button")
	var typed string
	b.Script(&typed, "return document.querySelector('input').value + document.activeElement.innerText")
	if typed != "newx" {
		t.Errorf("typed and clicked: %q, want %q", typed, "newx")
	}
	var corner struct{ Left, Top float64 }
	b.Script(&corner, "document.querySelector('input').blur(); return document.querySelector('input').getBoundingClientRect()")
	b.ClickAt(corner.Left+5, corner.Top+5)
	var focus string
	b.Script(&focus, "return document.activeElement.name ?? ''")
	if focus != "q" {
		t.Errorf("a click at the field gives the focus to %q, want %q", focus, "q")
	}
	b.Go(site + "/two")
	back := b.NewWindow()
	b.Go(site + "/three")
	mustSay(t, b, "/three")
	back()
	mustSay(t, b, "/two")
	b.Back()
	mustSay(t, b, "/one")
	b.Forward()
	b.Reload()
	mustSay(t, b, "/two")

	b.InFrame("//iframe", func() { mustSay(t, b, "inside") })
	mustSay(t, b, "/two")

	b.Tab()
	var focused, title string
	b.Script(&focused, "return document.activeElement.name")
	b.Script(&title, "return document.title")
	if focused != "q" {
		t.Errorf("Tab gets to %q, want %q", focused, "q")
	}
	if ran := title == "ran"; ran == options.NoScript {
		t.Errorf("NoScript is %v: the script ran: %v, want %v", options.NoScript, ran, !options.NoScript)
	}
	before := b.Cookies()
	b.Restart()
	b.Go(site + "/four")
	after := b.Cookies()
	if len(before) != 2 {
		t.Fatalf("cookies before the restart: %+v, want 2", before)
	}
	if before[0].HTTPOnly == before[1].HTTPOnly {
		t.Errorf("cookies before the restart: %+v, want HTTPOnly in one of them", before)
	}
	if len(after) != 1 {
		t.Fatalf("cookies after the restart: %+v, want 1", after)
	}
	if after[0].Name != "stays" {
		t.Errorf("cookie %s after the restart, want stays", after[0].Name)
	}
	if after[0].Expiry == 0 {
		t.Error("a cookie with Max-Age has no Expiry, want one")
	}
	if options.Engine != Chromium {
		return // only Chromium has Log
	}
	b.Script(nil, "console.error('a line')")
	lines := b.Log()
	if len(lines) != 1 {
		t.Fatalf("the console says %+v, want one line", lines)
	}
	if !strings.Contains(lines[0].Message, "a line") {
		t.Errorf("the console says %q, want \"a line\" in it", lines[0].Message)
	}
	if lines[0].Level != "SEVERE" {
		t.Errorf("the level is %s, want SEVERE", lines[0].Level)
	}
}

func TestACommandEndsWithItsTest(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	var line string
	t.Run("start", func(t *testing.T) { line = Start(t, "ready", "sh", "-c", "echo ready $$; exec sleep 600") })
	_, pid, _ := strings.Cut(line, "ready ")
	if err := exec.Command("kill", "-0", pid).Run(); err == nil {
		t.Errorf("process %s still runs, want that it ended with its test", pid)
	}
}

// mustSay fails the test unless the page shows this address.
func mustSay(t *testing.T, b *Browser, want string) {
	t.Helper()
	var got string
	b.Script(&got, "return document.querySelector('p').innerText")
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
