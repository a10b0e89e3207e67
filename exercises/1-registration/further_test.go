package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/webtest"
)

// The queue.

// Half of the 23 visitors log in, and half register.
func TestTwoHashAtATimeTwentyWaitAndTheNextIsTurnedAway(t *testing.T) {
	// No other test may run at the same time, because this test relies on a hash taking
	// longer than it takes 23 requests to arrive.
	handler := testSite(t, testFile(t))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	statuses := make(chan int, 23)
	for i := range 23 {
		path, form := "/login", testForm("stranger"+string(rune('a'+i)), "a wrong password")
		if i%2 == 1 {
			path = "/register"
		}
		go func() {
			w := &testResponse{ResponseRecorder: httptest.NewRecorder()}
			handler.ServeHTTP(w, testPost(path, strings.NewReader(form.Encode())).WithContext(ctx))
			if w.begun && w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("the response 503 has no Retry-After, want one")
			}
			if w.begun && w.Code == http.StatusServiceUnavailable && !strings.Contains(w.Body.String(), tooMany) {
				t.Errorf("the response 503 has not the text %q, want it", tooMany)
			}
			statuses <- w.status()
		}()
	}
	if first := <-statuses; first != http.StatusServiceUnavailable {
		t.Errorf("23 requests at the same time: want the first response to be 503, for the request that is one too many, got %d", first)
	}
	leave() // the visitors who wait hang up
	hashed := 0
	for range 22 {
		switch <-statuses {
		case http.StatusForbidden, http.StatusSeeOther:
			hashed++
		}
	}
	if hashed == 0 {
		t.Error("no password was hashed, want 1 or 2")
	}
	if hashed > 2 {
		t.Errorf("the visitors who wait have left, so want at most 2 passwords to be hashed, got %d", hashed)
	}
	page := webtest.NewBrowser(t, handler).Post("/login", testForm("stranger", "a wrong password"))
	page.MustBe(http.StatusForbidden, "Invalid credentials") // there is room again
}

// The forms of 22 visitors have not arrived yet. They keep no turn.
func TestSlowFormsDelayNoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t, testFile(t))
		for range 22 {
			body, sender := io.Pipe()
			defer sender.Close()
			go webtest.NewBrowser(t, handler).Send(testPost("/login", body))
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", testForm("Ada", "a wrong password"))
		page.MustBe(http.StatusForbidden, "Invalid credentials")
	})
}

// While a client reads no response, its handler waits in its write. In this test two
// clients never read the response to their login. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler := testSite(t, testFile(t))
		release := make(chan struct{})
		defer close(release)
		for range 2 {
			go handler.ServeHTTP(testUnread{httptest.NewRecorder(), release}, testPost("/login", strings.NewReader("username=Ada&password=x")))
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", testForm("Ada", "a wrong password"))
		page.MustBe(http.StatusForbidden, "Invalid credentials")
	})
}

// The pause after failures.

func TestFiveFailuresInARowAreFollowedByAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		browser := testAda(t)
		fail := func(times int) {
			for i := range times {
				name := []string{"Ada", "ada"}[i%2] // both count as one name
				browser.Post("/login", testForm(name, "a wrong password")).MustBe(http.StatusForbidden, "Invalid credentials")
			}
		}
		wait := func(minutes int, seconds string) {
			t.Helper()
			// The right password is refused too.
			page := browser.Post("/login", testForm("ADA", testPassword))
			page.MustBe(http.StatusTooManyRequests, fmt.Sprintf("Too many failed logins with this username. Try again in %d min.", minutes))
			if got := page.Header.Get("Retry-After"); got != seconds {
				t.Errorf("got Retry-After: %q, want %q", got, seconds)
			}
		}
		fail(4)
		browser.Post("/login", testForm("Ada", testPassword)).MustBeAt("/dashboard") // after four failures
		fail(1)
		time.Sleep(2 * time.Minute)
		fail(4)
		time.Sleep(3 * time.Minute)
		wait(10, "600")
		browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!") // the pause ends no session
		time.Sleep(10*time.Minute - time.Second)                              // the refused login did not make the pause longer
		wait(1, "1")
		time.Sleep(time.Second)
		browser.Post("/login", testForm("Ada", testPassword)).MustBeAt("/dashboard")
	})
}

// If only the names of accounts had a pause, it would tell which names exist. The six
// logins run at the same time, so that each begins before another has failed.
func TestSixLoginsAtTheSameTimeAreFiveFailuresAndAPause(t *testing.T) {
	t.Parallel()
	handler := testSite(t, testFile(t))
	statuses := make(chan int, 6)
	for range 6 {
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, testPost("/login", strings.NewReader(testForm("stranger", "a guess").Encode())))
			statuses <- w.Code
		}()
	}
	got := make(map[int]int)
	for range 6 {
		got[<-statuses]++
	}
	if n := got[http.StatusForbidden]; n != 5 {
		t.Errorf("want the status 403 5 times, got %d: %v", n, got)
	}
	if n := got[http.StatusTooManyRequests]; n != 1 {
		t.Errorf("want the status 429 once, got %d: %v", n, got)
	}
}

// An attacker has as many names as they like, so the table must have a maximum. This test
// calls begin, because 20,000 logins would take 20,000 hashes.
func TestFailuresOf20000NamesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		paused := func(from, to int) (n int) {
			for i := from; i < to; i++ {
				if f.begin(fmt.Sprint("name", i)) != nil {
					n++
				}
			}
			return n
		}
		for range 5 {
			if n := paused(0, 20_000); n != 0 {
				t.Fatalf("%d of 20,000 names have a pause before their sixth login, want none", n)
			}
		}
		if n := paused(0, 20_000); n != 20_000 {
			t.Fatalf("after five logins of 20,000 names: %d have a pause, want all", n)
		}
		for i := 20_000; i < 20_100; i++ {
			for range 5 {
				if err := f.begin(fmt.Sprint("name", i)); err != nil {
					t.Fatalf("the table is full: a new name got %q, want that it may log in", err)
				}
			}
		}
		if n := paused(0, 20_100); n > 20_000 {
			t.Errorf("after five logins of 20,100 names: %d have a pause, want at most 20,000", n)
		}
		time.Sleep(15 * time.Minute)
		if n := paused(0, 20_000); n != 0 {
			t.Errorf("15 minutes later: %d names have a pause, want none", n)
		}
	})
}

// The lock.

func TestSecondProgramWithTheSameFileIsRefused(t *testing.T) {
	testNeedsLocks(t)
	t.Parallel()
	file := testFile(t) // not there yet
	mustStart(t, file)
	mustNotStart(t, file)
}

// The two names must be one lock. Otherwise two programs write two files of accounts.
func TestSecondProgramThroughASymbolicLinkIsRefused(t *testing.T) {
	testNeedsLocks(t)
	t.Run("to the file", func(t *testing.T) {
		t.Parallel()
		file, link := testAdasFile(t), testFile(t)
		testLink(t, file, link)
		mustStart(t, file)
		mustNotStart(t, link)
	})
	t.Run("to the directory", func(t *testing.T) {
		t.Parallel()
		file, link := testFile(t), filepath.Join(t.TempDir(), "link")
		testLink(t, filepath.Dir(file), link)
		mustStart(t, filepath.Join(link, filepath.Base(file))) // not there yet
		mustNotStart(t, file)
	})
}

// A rename onto the link would replace the link.
func TestSymbolicLinkStaysALink(t *testing.T) {
	t.Parallel()
	file, link := testAdasFile(t), testFile(t)
	testLink(t, file, link)
	browser := webtest.NewBrowser(t, testSite(t, link))
	browser.Post("/register", testForm("Grace", testPassword)).MustBeAt("/dashboard")
	info, err := os.Lstat(link)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("after a registration the link must still be a symbolic link, got the mode %v", info.Mode())
	}
	browser.Handler = testSite(t, file)
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Grace!")

	// A link to a file that is not there yet must stay one too, or it is refused.
	missing, link := testFile(t), testFile(t)
	testLink(t, missing, link)
	handler, err := newHandler(testManager(t), link, 100)
	if err != nil {
		return
	}
	webtest.NewBrowser(t, handler).Post("/register", testForm("Ada", testPassword)).MustBeAt("/dashboard")
	if _, err := os.Stat(missing); err != nil {
		t.Errorf("a link to a file that is not there yet: want Ada's account in that file, or an error of newHandler, got %v", err)
	}
}

// testNeedsLocks skips a test where lock_other.go is the lock.
func testNeedsLocks(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("this system has no flock")
	}
}

func testLink(t *testing.T, file, link string) {
	t.Helper()
	if err := os.Symlink(file, link); err != nil {
		t.Skip("this system makes no symbolic links: ", err)
	}
}

const (
	wantListening = "listening on"
	wantRefused   = "cannot lock "
)

func mustStart(t *testing.T, file string) {
	t.Helper()
	if line := testSays(t, testChild(t, "main", file), wantListening, wantRefused); !strings.Contains(line, wantListening) {
		t.Fatalf("the first program must log %q, got %q", wantListening, line)
	}
}

func mustNotStart(t *testing.T, file string) {
	t.Helper()
	line := testSays(t, testChild(t, "main", file), wantListening, wantRefused)
	if !strings.Contains(line, wantRefused) || !strings.Contains(line, file) {
		t.Errorf("the second program must log %q and %s, got %q", wantRefused, file, line)
	}
}

// testSays starts a process and returns the first line of its log that has one of the
// words. The process runs until the test ends.
func testSays(t *testing.T, cmd *exec.Cmd, words ...string) string {
	t.Helper()
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(lines.Text(), word) }) {
			return lines.Text()
		}
	}
	return ""
}

// testResponse is a recorder that also knows whether the handler wrote a response. A
// ResponseRecorder alone has the status 200 in both cases.
type testResponse struct {
	*httptest.ResponseRecorder
	begun bool
}

func (r *testResponse) Write(p []byte) (int, error) {
	r.begun = true
	return r.ResponseRecorder.Write(p)
}

func (r *testResponse) WriteHeader(status int) {
	r.begun = true
	r.ResponseRecorder.WriteHeader(status)
}

// status returns the status of the response, or 0 if there is none.
func (r *testResponse) status() int {
	if !r.begun {
		return 0
	}
	return r.Code
}

// testUnread is a response whose client reads nothing until release is closed.
type testUnread struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w testUnread) WriteHeader(status int) { <-w.release }
