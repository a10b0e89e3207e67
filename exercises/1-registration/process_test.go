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

// TestMain lets this program be a second process of a test: see child.
func TestMain(m *testing.M) {
	role, file := os.Getenv("REGISTRATION_CHILD"), os.Getenv("REGISTRATION_FILE")
	if role == "" {
		os.Exit(m.Run())
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // whoever started it has gone
	}()
	switch role {
	case "main":
		os.Args = []string{"1-registration", "-addr", "127.0.0.1:0", "-accounts", file}
		main()
	case "register":
		registerThree(file)
	}
}

// child returns a process that plays a role with a file of accounts.
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

// TestKilledProgramForgetsNobody kills the program while it writes, as far as that
// can be seen from outside: when another file shows up beside the accounts.
func TestKilledProgramForgetsNobody(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	names := []string{"Ada"}
	for range 2 {
		names = append(names, registerAndDie(t, file)...)
	}
	if len(names) < 3 {
		t.Fatalf("only %v were registered", names)
	}
	browser := webtest.NewBrowser(t, start(t, file)) // which it would refuse if the file were damaged
	for _, name := range names {
		browser.Post("/register", credentials(name, password)).MustBe(http.StatusConflict, "is taken")
	}
	browser.Post("/register", credentials("Grace", password)).MustBeAt("/dashboard")
}

// registerAndDie has a child register, kills it, and returns the names that the
// child was told are registered.
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
			cmd.Process.Kill() // it writes nowhere that we could see
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the child ended by itself: %v", err)
	}
	return names
}

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

// registerThree registers names that nobody has, says each when it is done, and
// waits to be killed.
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
		handler.ServeHTTP(w, newPost("/register", strings.NewReader(credentials(name, password).Encode())))
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
	listens, refuses := "listening on", file+" cannot be locked, as when another process uses it"
	if line := says(t, child(t, "main", file), listens, refuses); !strings.Contains(line, listens) {
		t.Fatalf("the first says %q", line)
	}
	if line := says(t, child(t, "main", file), listens, refuses); !strings.Contains(line, refuses) {
		t.Errorf("the second says %q", line)
	}
}

// says starts a process, which lives as long as the test, and returns its first
// line with one of the words.
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

// Hashing is all the work there is, and the processor's time counts it, however
// busy the machine is. This test does not run beside others, whose work would
// count as well.
func TestUnknownUserTakesTheSameWorkAsAWrongPassword(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	wrong := work(t, browser, "Ada")
	unknown := work(t, browser, "nobody")
	if unknown < wrong/2 || unknown > 2*wrong {
		t.Errorf("%v of work for an unknown user, %v for a wrong password", unknown, wrong)
	}
}

// work returns the time that the processor takes for a failed login.
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
