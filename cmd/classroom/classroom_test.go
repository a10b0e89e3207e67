package main

import (
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/course"
)

// The test binary stands for the classroom, which starts itself for each program.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		os.Exit(runUntilInputEnds(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// open returns a classroom of this repository, and its site.
func open(t *testing.T) (*classroom, http.Handler) {
	t.Helper()
	root, err := course.Root()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClassroom(t.Context(), root, freeForTest(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c, c.handler()
}

// get returns the response to a GET for a path, from a browser at localhost.
func get(site http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8000"+path, nil))
	return w
}

// post returns the response to a form, and sends these headers with it.
func post(site http.Handler, path, form string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost:8000"+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	return w
}

// addresses returns what a page leads to.
func addresses(page string) (found []string) {
	for _, attribute := range []string{` href="`, ` src="`} {
		for _, rest := range strings.Split(page, attribute)[1:] {
			address, _, _ := strings.Cut(rest, `"`)
			found = append(found, html.UnescapeString(address))
		}
	}
	return found
}

// Each link of each page leads to a page, and each part of a page is there.
func TestEveryLinkLeadsToAPage(t *testing.T) {
	_, site := open(t)
	seen, bodies := map[string]bool{"/": true}, make(map[string]string)
	for paths := []string{"/"}; len(paths) > 0; paths = paths[1:] {
		page, fragment, _ := strings.Cut(paths[0], "#")
		if bodies[page] == "" {
			w := get(site, page)
			if w.Code != http.StatusOK {
				t.Errorf("%s: got status %d, want 200", page, w.Code)
			}
			bodies[page] = w.Body.String()
		}
		if fragment != "" && !strings.Contains(bodies[page], `id="`+fragment+`"`) {
			t.Errorf("%s has no part %s, want one", page, fragment)
		}
		for _, address := range addresses(bodies[page]) {
			if strings.HasPrefix(address, "#") {
				address = page + address
			}
			if !seen[address] && strings.HasPrefix(address, "/") {
				seen[address] = true
				paths = append(paths, address)
			}
		}
	}
	if len(bodies) < 100 {
		t.Errorf("found %d pages, want at least 100", len(bodies))
	}
}

func TestOnlyThisMachineUsesTheClassroom(t *testing.T) {
	for _, addr := range []string{":8000", "0.0.0.0:8000", "192.168.1.2:8000", "example.com:8000", "localhost.example.com:8000"} {
		for _, name := range []string{"-addr", "-site"} {
			if err := run(t.Context(), []string{name, addr}, io.Discard); err == nil || !strings.Contains(err.Error(), "of this machine") {
				t.Errorf("%s %s: got %v, want an error", name, addr, err)
			}
		}
	}
	_, site := open(t)
	for _, host := range []string{"evil.example", "evil.example:8000", "localhost.evil.example:8000", "127.0.0.1.evil.example", ""} {
		r := httptest.NewRequest("GET", "http://localhost:8000/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if site.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("the host %q: got status %d, want 403", host, w.Code)
		}
	}
	r := httptest.NewRequest("GET", "http://127.0.0.1:8000/lessons/05-cart", nil)
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	if got := w.Header().Get("Location"); got != "http://localhost:8000/lessons/05-cart" {
		t.Errorf("at 127.0.0.1: got Location %q, want the page at localhost, whose cookies the bench changes", got)
	}
}

// The page of a lesson is of the same site as the classroom, but of another origin.
func TestNoOtherOriginMayPost(t *testing.T) {
	c, site := open(t)
	for _, path := range []string{"/run", "/restart", "/claims", "/all", "/try", "/begin", "/bench"} {
		for _, from := range [][]string{
			{"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site"},
			{"Origin", "http://localhost:8080"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			if w := post(site, path, "folder=lessons/05-cart", from...); w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: got status %d, want 403", path, from, w.Code)
			}
		}
	}
	if c.now() != nil {
		t.Error("a program runs, want none")
	}
}

func TestNoPathLeavesTheCourse(t *testing.T) {
	c, site := open(t)
	outside := filepath.Join(t.TempDir(), "secret.go")
	if err := os.WriteFile(outside, []byte("package secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/source/../../etc/passwd", "/source/%2e%2e/%2e%2e/etc/passwd", "/source/.git/config", "/source/go.mod/",
		"/source/lessons/..%2f..%2f..%2fetc%2fpasswd", "/source/" + url.PathEscape(outside), "/source/lessons/05-cart/%2e%2e/%2e%2e/.git/HEAD",
		"/read/..%2fshared.md", "/read/.ci/run", "/files/lessons/05-cart/main.go", "/source/lessons/05-cart/x.secret",
		"/lessons/none", "/exercises/next", "/lessons/05-cart/main.go", "/source/lessons%5c..%5cgo.mod", "/source/", "/read/", "/files/",
	} {
		w := get(site, path)
		for w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect {
			w = get(site, w.Header().Get("Location"))
		}
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: got status %d, want 404", path, w.Code)
		}
	}
	for _, path := range []string{"/run", "/restart", "/claims", "/try", "/begin"} {
		for _, folder := range []string{"", "cmd/classroom", "../main", "lessons/05-cart/../../cmd/cookie", "/etc"} {
			if w := post(site, path, url.Values{"folder": {folder}}.Encode()); w.Code != http.StatusNotFound {
				t.Errorf("%s of %q: got status %d, want 404", path, folder, w.Code)
			}
		}
	}
	if c.now() != nil {
		t.Error("a program runs, want none")
	}
}

func TestPagesAllowNoScriptButTheirOwn(t *testing.T) {
	_, site := open(t)
	for _, path := range []string{"/", "/lessons/05-cart", "/source/lessons/05-cart/main.go", "/nothing"} {
		w := get(site, path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "script-src 'self';", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: got %s: %q, want %q in it", path, name, got, want)
			}
		}
		if strings.Contains(w.Body.String(), "<style") || regexp.MustCompile(`<script(?: [^>]*)?>[^<]|\son\w+="`).MatchString(w.Body.String()) {
			t.Errorf("%s has a style or a script in the page, want none", path)
		}
	}
	if got := get(site, "/files/lessons/05-cart/race.svg").Header().Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") {
		t.Errorf("a drawing: got the policy %q, want a sandbox", got)
	}
}

// The program's input is a pipe from the classroom. The system closes it when the classroom
// ends, even if it is killed.
func TestProgramEndsWhenItsInputEnds(t *testing.T) {
	binary, addr := filepath.Join(t.TempDir(), "counter.exe"), freeForTest(t)
	if output, err := exec.Command("go", "build", "-o", binary, "example.com/sessions/lessons/01-counter").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	child := exec.Command(os.Args[0], "child", binary, "-addr", addr)
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if !listens(nil, addr) {
		t.Fatal("the program does not listen")
	}
	input.Close()
	child.Wait()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the program still listens, want that it has ended")
	}
}

func TestStrangeFlagsDoNotHangTheClassroom(t *testing.T) {
	c, site := open(t)
	if w := post(site, "/run", "folder=lessons/01-counter"); w.Code != http.StatusSeeOther {
		t.Fatalf("to run a lesson: got status %d, want 303", w.Code)
	}
	waits(t, c, running)
	for _, flags := range []string{"lifetime 20s", "hello", "\"unclosed", "-addr :1", "--addr=:1"} {
		if w := post(site, "/restart", url.Values{"folder": {"lessons/01-counter"}, "flags": {flags}}.Encode()); w.Code != http.StatusBadRequest {
			t.Errorf("the flags %q: got status %d, want 400", flags, w.Code)
		}
	}
	for flags, want := range map[string]string{"-nonsense": "The program has ended.", "--help": "The program has ended.", "-- x": running, "": running} {
		post(site, "/restart", url.Values{"folder": {"lessons/01-counter"}, "flags": {flags}}.Encode())
		if waits(t, c, want); t.Failed() {
			t.Fatalf("with the flags %q", flags)
		}
	}
}

// waits waits until the state of the program begins with this text.
func waits(t *testing.T, c *classroom, want string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !strings.HasPrefix(c.now().State(), want); <-tick.C {
		if time.Now().After(deadline) {
			t.Errorf("a minute later, the state is %q, want %q", c.now().State(), want)
			return
		}
	}
}

// freeForTest returns an address that no one listens on.
func freeForTest(t *testing.T) string {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// A page can be opened while the tests run. With -race this finds an unlocked write.
func TestClaimsAreShownWhileTheyRun(t *testing.T) {
	c, _ := open(t)
	u, _ := c.unit("lessons/01-counter")
	all := c.claimsOf(u)
	done := make(chan struct{})
	go func() {
		all.run(t.Context(), false)
		close(done)
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		all.view()
		select {
		case <-done:
			running = false
		case <-tick.C:
		}
	}
	if v := all.view(); !v.Done() {
		t.Errorf("%d of %d claims are proven, want all", v.Passed, len(v.Claims))
	}
}
