//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// TestMain runs the tests, or plays a role if child started this process.
func TestMain(m *testing.M) {
	role, file := os.Getenv("REGISTRATION_CHILD"), os.Getenv("REGISTRATION_FILE")
	if role == "" {
		os.Exit(m.Run())
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the process that started this one has ended
	}()
	switch role {
	case "main":
		os.Args = []string{"1-registration", "-addr", "127.0.0.1:0", "-accounts", file}
		main()
	case "register":
		registerThree(file)
	}
}

// child returns a process that plays a role with a file of accounts. The caller starts
// it.
func child(t *testing.T, role, file string) *exec.Cmd {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name)
	cmd.Env = append(os.Environ(), "REGISTRATION_CHILD="+role, "REGISTRATION_FILE="+file)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// This test kills the program while it writes. From outside, the test can see only one
// sign of that: another file appears beside the accounts.
func TestKilledProgramForgetsNoOne(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	names := []string{"Ada"}
	for range 2 {
		names = append(names, registerAndDie(t, file)...)
	}
	if len(names) < 3 {
		t.Fatalf("got the names %v, want at least 3", names)
	}
	browser := webtest.NewBrowser(t, start(t, file)) // start fails if the file is damaged
	for _, name := range names {
		browser.Post("/register", credentials(name, goodPassword)).MustBe(http.StatusConflict, "is taken")
	}
	browser.Post("/register", credentials("Grace", goodPassword)).MustBeAt("/dashboard")
}

// registerAndDie lets a child register names, and kills it. It returns the names that
// the child reported as registered.
func registerAndDie(t *testing.T, file string) (names []string) {
	t.Helper()
	cmd := child(t, "register", file)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		names = append(names, lines.Text())
		switch len(names) {
		case 1:
			go killWhenItWrites(cmd, filepath.Dir(file))
		case 3:
			cmd.Process.Kill() // the child writes no file that this test can see
		}
	}
	cmd.Wait()
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGKILL {
		t.Errorf("the child: got %v, want the signal %v", cmd.ProcessState, syscall.SIGKILL)
	}
	return names
}

// killWhenItWrites kills the process as soon as there is another file in dir.
func killWhenItWrites(cmd *exec.Cmd, dir string) {
	before, _ := os.ReadDir(dir)
	for {
		now, err := os.ReadDir(dir)
		if err != nil || len(now) > len(before) || cmd.Process.Signal(syscall.Signal(0)) != nil {
			cmd.Process.Kill()
			return
		}
	}
}

// registerThree registers three new names. It prints each name after it was registered,
// and then waits until the test kills this process.
func registerThree(file string) {
	sessions, err := session.New(secret, options())
	if err != nil {
		panic(err)
	}
	handler, err := newHandler(sessions, file, 100)
	if err != nil {
		panic(err)
	}
	for i := range 3 {
		name := fmt.Sprintf("user-%d-%d", os.Getpid(), i)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newPost("/register", strings.NewReader(credentials(name, goodPassword).Encode())))
		if w.Code != http.StatusSeeOther {
			panic(w.Body.String())
		}
		fmt.Println(name)
	}
	select {}
}

func TestSecondProgramWithTheSameFileIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "accounts.json")
	listens, refuses := "listening on", "cannot lock "+file+", perhaps because another process uses it"
	if line := says(t, child(t, "main", file), listens, refuses); !strings.Contains(line, listens) {
		t.Fatalf("the first program: got the line %q, want %q in it", line, listens)
	}
	if line := says(t, child(t, "main", file), listens, refuses); !strings.Contains(line, refuses) {
		t.Errorf("the second program: got the line %q, want %q in it", line, refuses)
	}
}

// says starts a process and returns the first line of its log that has one of the
// words. The process runs until the test ends.
func says(t *testing.T, cmd *exec.Cmd, words ...string) string {
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

// A login's work is the hash. This test measures it as processor time, which does not
// depend on how busy the machine is. No other test may run at the same time, because its
// work would count too.
func TestUnknownUserTakesTheSameWorkAsAWrongPassword(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	wrong := work(t, browser, "Ada")
	unknown := work(t, browser, "stranger")
	if unknown < wrong/2 {
		t.Errorf("an unknown user: got %v of work, want at least half of the %v for a wrong password", unknown, wrong)
	}
	if unknown > 2*wrong {
		t.Errorf("an unknown user: got %v of work, want at most twice the %v for a wrong password", unknown, wrong)
	}
}

// work returns the processor time of a failed login.
func work(t *testing.T, browser *webtest.Browser, name string) time.Duration {
	t.Helper()
	before := processorTime(t)
	browser.Post("/login", credentials(name, "a wrong password")).MustBe(http.StatusForbidden, "Invalid credentials")
	return processorTime(t) - before
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
