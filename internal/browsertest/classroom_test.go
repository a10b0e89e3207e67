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
func openClassroom(t *testing.T, engine webdriver.Engine) classroom {
	t.Helper()
	return openClassroomAt(t, engine, freeAddr(t))
}

// openClassroomAt starts the classroom with this address for the lesson.
func openClassroomAt(t *testing.T, engine webdriver.Engine, site string) classroom {
	t.Helper()
	root := t.TempDir()
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
	binary, err := build("cmd/classroom")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	browser := webdriver.Open(t, webdriver.Options{Engine: engine})
	webdriver.Start(t, "The classroom is at", "env", "-C", root, "GOCACHE="+strings.TrimSpace(string(cache)), binary, "-addr", addr, "-site", site)
	c := classroom{visitor{Browser: browser, t: t, program: "classroom", site: "http://" + addr}, root, site}
	c.resize(1280, 800, "light")
	return c
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
			got = c.element(id)
			return strings.Contains(got, text)
		})
	}
}

// element returns the text of an element, or "".
func (c classroom) element(id string) (text string) {
	c.t.Helper()
	c.Script(&text, fmt.Sprintf("return document.getElementById(%q)?.innerText ?? ''", id))
	return text
}

func TestClassroomShowsTheCookieOfEachClick(t *testing.T) {
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		c := openClassroom(t, engine)
		c.Go("/lessons/05-cart")
		c.shows("state", "The program is running.")
		c.shows("wire", "GET /products")
		c.inSite(func(v visitor) { v.Click("Add to Cart: Laptop") })
		c.shows("wire", "POST /add_to_cart/1 → 303", `{"cart":{"1":1}}`, "added", "HttpOnly")

		// The bench: a changed cookie is refused, and a copy is accepted.
		c.shows("bench-now", "The values in your cookie") // so the buttons have their places
		c.ClickHere("Take a copy")
		c.shows("verdict", "Copied")
		c.Browser.Type("//textarea", `{"cart":{"1":10}}`)
		c.ClickHere("Edit the values, keep the signature")
		c.shows("verdict", "Refused", "signature does not match", "only someone who has the secret")
		c.ClickHere("Put the copy back")
		c.shows("verdict", "Accepted", "the server does not remember which cookies it has seen")
		c.inSite(func(v visitor) { v.sees("View Cart (1)") })
		c.looks("bench")
	})
}

// change replaces a text in a file of the copy.
func (c classroom) change(file, before, after string) {
	c.t.Helper()
	name := filepath.Join(c.root, file)
	text, err := os.ReadFile(name)
	if err != nil {
		c.t.Fatal(err)
	}
	if !strings.Contains(string(text), before) {
		c.t.Fatalf("%s has no text %q", file, before)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), before, after, 1)), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func TestClassroomTellsTwoVisitorsApart(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to visit the classroom twice")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/lessons/01-counter")
	c.shows("wire", "GET / → 200", `{"visits":1}`)
	_, port, _ := strings.Cut(c.addr, ":")
	back := c.NewWindow()
	c.Browser.Go("http://127.0.0.1:" + port)
	c.sees("1")
	back()
	c.shows("wire", "127.0.0.1")
	c.Browser.Click("//button[@id='reload']")
	c.shows("wire", `{"visits":2}`)
	if text := c.element("wire"); strings.Count(text, `{"visits":1}`) < 2 {
		t.Errorf("the wire says %q, want that both visitors began with 1", text)
	}
}

func TestClassroomTriesAnEditAndLeavesTheFilesAlone(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to try an edit in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/lessons/05-cart")
	before, err := os.ReadFile(filepath.Join(c.root, "lessons/05-cart/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	c.Browser.Click("(//button[.='Try'])[1]")
	c.shows("try-0", "with this edit a claim fails: Cart counts multiplies and adds up", "main_test.go:", "lessons/05-cart/main.go, line")
	c.Browser.Click("//button[.='Run this test']")
	c.shows("try-3", "The test fails, because the feature is not there yet.")
	after, err := os.ReadFile(filepath.Join(c.root, "lessons/05-cart/main.go"))
	if err != nil || string(after) != string(before) {
		t.Errorf("main.go has changed, or %v, want it as it was", err)
	}
	c.ClickHere("Run the tests")
	c.shows("count", "claims are proven.")
	c.looks("tried")
}

func TestClassroomStartsAChangedProgramAgain(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to change a program in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/lessons/01-counter")
	c.inSite(func(v visitor) {
		v.until("the page is there", func() bool { return strings.Contains(v.text(), "Visits") || strings.Contains(v.text(), "visit") })
	})
	c.change("lessons/01-counter/main.go", "func main() {", "func main() {\n\tundefined()\n")
	c.shows("state", "does not compile", "main.go:", "undefined: undefined", "goes on")
	c.change("lessons/01-counter/main.go", "\tundefined()\n", "\tlog.Print(\"changed by hand\")\n")
	c.shows("state", "The program is running.")
	c.shows("wire", "changed by hand")
}

func TestClassroomHelpsWithAnExercise(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to begin an exercise in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/exercises/2-remember-me")
	c.Click("Start the exercise")
	c.sees("You work in _mine/2-remember-me")
	c.shows("state", "The program is running.")
	c.ClickHere("Run the tests")
	c.shows("claims", "Next:", "Dashboard without session goes to login")
	c.Log() // has an error, because the starter answers "not written yet" with 501
	c.looks("exercise")
}

// Each lesson and exercise runs in the classroom, one after the other.
func TestClassroomRunsEveryProgram(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to run every program in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/")
	c.looks("course")
	var links []string
	c.Script(&links, "return [...document.querySelectorAll('.cards a')].map(a => a.getAttribute('href'))")
	if len(links) != 13 {
		t.Fatalf("the course has %d programs, want 13", len(links))
	}
	for _, link := range links {
		c.Go(link)
		c.shows("state", "The program is running.")
		if link != "/lessons/07-security" {
			c.shows("wire", "GET ", "200")
		}
		c.Log() // such as 501 of a page that a starter does not have yet
	}
}

func TestClassroomCopyIsDeadAfterLogoutWithAStore(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to log in and out in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/lessons/08-database")
	c.shows("wire", "GET / → 200")
	c.inSite(func(v visitor) { v.Click("Login") })
	c.shows("wire", "GET /login")
	c.inSite(func(v visitor) { v.logsIn("Username", "Password", "password") })
	c.shows("wire", "The cookie has a session ID. The values are on the server")
	c.shows("bench-now", "has a session ID")
	c.ClickHere("Take a copy")
	c.shows("verdict", "Copied")
	c.inSite(func(v visitor) { v.Click("Logout") })
	c.shows("wire", "The program asks the browser to delete the cookie.")
	c.ClickHere("Put the copy back")
	c.shows("verdict", "Refused", "session: ", "a logout ends the record")
	c.looks("store")
}

// The classroom needs no mouse.
func TestClassroomWorksWithTheKeyboard(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to use the classroom with the keyboard")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/lessons/01-counter")
	c.shows("wire", "GET / → 200")
	c.reaches("Change one letter")
	c.Script(nil, "document.activeElement.click()")
	c.shows("verdict", "Refused")
}

// reaches presses Tab until the focus is on the button with this text.
func (c classroom) reaches(button string) {
	c.t.Helper()
	for range 200 {
		c.Tab()
		var text string
		if c.Script(&text, "return document.activeElement?.textContent ?? ''"); text == button {
			return
		}
	}
	c.t.Fatalf("Tab does not get to %q", button)
}

func TestClassroomSourceHasTextBesideTheCode(t *testing.T) {
	if !isWanted("cmd/classroom") {
		t.Skip("set BROWSER=full to read source in the classroom")
	}
	t.Parallel()
	c := openClassroom(t, webdriver.Chromium)
	c.Go("/source/internal/session/sign.go")
	c.sees("sign.go")
	c.looks("source")
	c.Go("/read/docs/package.md")
	c.looks("read")
}
