package browsertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/sessions/internal/webdriver"
)

// classroom is a visitor of the classroom, with a copy of the repository that the test may
// change.
type classroom struct {
	visitor
	root string // of the copy
	addr string // of the lesson
}

// openClassroom starts the classroom in a copy of the repository.
func openClassroom(t *testing.T) classroom {
	t.Helper()
	root, binary := t.TempDir(), filepath.Join(t.TempDir(), "classroom")
	for _, dir := range []string{"docs", "lessons", "exercises", "internal", "cmd"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join("..", "..", dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "README.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "example.com/sessions/cmd/classroom")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	addr, site := freeAddr(t), freeAddr(t)
	browser := webdriver.Open(t, webdriver.Options{})
	webdriver.Start(t, "The classroom is at", "env", "-C", root, "GOCACHE="+strings.TrimSpace(string(cache)), binary, "-addr", addr, "-site", site)
	return classroom{visitor{Browser: browser, t: t, program: "classroom", site: "http://" + addr}, root, site}
}

// inSite runs do in the frame that has the lesson.
func (c classroom) inSite(do func(visitor)) {
	c.t.Helper()
	c.InFrame("//iframe", func() { do(c.visitor) })
}

// shows waits until an element of the page has the text.
func (c classroom) shows(id string, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		var got string
		defer func() {
			if c.t.Failed() {
				c.t.Logf("#%s says %.1000q", id, got)
			}
		}()
		c.until(fmt.Sprintf("#%s shows %q", id, text), func() bool {
			c.Script(&got, fmt.Sprintf("return document.getElementById(%q)?.innerText ?? ''", id))
			return strings.Contains(got, text)
		})
	}
}

func TestClassroomShowsTheCookieOfEachClick(t *testing.T) {
	t.Parallel()
	c := openClassroom(t)
	c.Go("/lessons/05-cart")
	c.shows("state", "The program is running.")
	c.shows("wire", "GET /products")
	c.inSite(func(v visitor) { v.Click("Add to Cart: Laptop") })
	c.shows("wire", "POST /add_to_cart/1 → 303", `{"cart":{"1":1}}`, "added", "HttpOnly")

	// The bench: a changed cookie is refused, and a copy is accepted.
	c.ClickHere("Take a copy")
	c.shows("verdict", "Copied")
	c.Browser.Type("//textarea", `{"cart":{"1":10}}`)
	c.ClickHere("Edit the values, keep the signature")
	c.shows("verdict", "Refused", "signature does not match", "only someone who has the secret")
	c.ClickHere("Put the copy back")
	c.shows("verdict", "Accepted", "the server does not remember which cookies it has seen")
	c.inSite(func(v visitor) { v.sees("View Cart (1)") })
	c.looks("bench")
}
