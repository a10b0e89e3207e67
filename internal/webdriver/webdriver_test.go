package webdriver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// A visit to a page that says what it was asked, and has a script.
func TestBrowser(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/one" {
			http.SetCookie(w, &http.Cookie{Name: "closes", Value: "1", HttpOnly: true})
			http.SetCookie(w, &http.Cookie{Name: "stays", Value: "1", MaxAge: 1000})
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title></title><link rel="icon" href="data:,"><script>document.title = "ran"</script>
			<form><input name="q" value="old"><button type="button">x</button></form><p>%s</p>`, r.URL)
	}))
	defer site.Close()
	for _, noScript := range []bool{false, true} {
		b := Open(t, Options{NoScript: noScript})
		b.Go(site.URL + "/one")
		b.Type("//input", "new")
		b.Click("//button")
		var typed string
		b.Script(&typed, "return document.querySelector('input').value + document.activeElement.innerText")
		if typed != "newx" {
			t.Errorf("typed and clicked: %q", typed)
		}
		b.Go(site.URL + "/two")
		back := b.NewWindow()
		b.Go(site.URL + "/three")
		mustSay(t, b, "/three")
		back()
		mustSay(t, b, "/two")
		b.Back()
		mustSay(t, b, "/one")
		b.Forward()
		b.Reload()
		mustSay(t, b, "/two")

		b.Tab()
		var focused, title string
		b.Script(&focused, "return document.activeElement.name")
		b.Script(&title, "return document.title")
		if focused != "q" || (title == "ran") == noScript {
			t.Errorf("NoScript is %v, the title is %q, Tab gets to %q", noScript, title, focused)
		}
		before := b.Cookies()
		b.Restart()
		b.Go(site.URL + "/four")
		after := b.Cookies()
		if len(before) != 2 || before[0].HTTPOnly == before[1].HTTPOnly || len(after) != 1 || after[0].Name != "stays" || after[0].Expiry == 0 {
			t.Errorf("cookies before closing the browser: %+v, and after: %+v", before, after)
		}
		b.Script(nil, "console.error('a line')")
		if lines := b.Log(); len(lines) != 1 || !strings.Contains(lines[0].Message, "a line") || lines[0].Level != "SEVERE" {
			t.Errorf("the console says %+v", lines)
		}
	}
}

func TestWhatIsStartedEndsWithTheTest(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	var line string
	t.Run("start", func(t *testing.T) { line = Start(t, "ready", "sh", "-c", "echo ready $$; exec sleep 600") })
	_, pid, _ := strings.Cut(line, "ready ")
	if err := exec.Command("kill", "-0", pid).Run(); err == nil {
		t.Errorf("process %s still runs", pid)
	}
}

func mustSay(t *testing.T, b *Browser, want string) {
	t.Helper()
	var got string
	b.Script(&got, "return document.querySelector('p').innerText")
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
