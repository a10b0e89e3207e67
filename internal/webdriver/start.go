package webdriver

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Start runs a command until the test ends, and returns the first line of its output
// that contains the text ready.
//
// The command runs under a shell that kills it when the shell's own input ends. So it
// also ends when this process is killed. Its HOME is a directory that is removed with
// the test.
func Start(t testing.TB, ready string, command ...string) (line string) {
	t.Helper()
	line, _ = start(t, ready, command...)
	return line
}

// start is Start, and also returns a channel that is closed when the command has ended,
// and every process that it has started.
func start(t testing.TB, ready string, command ...string) (line string, ended <-chan bool) {
	t.Helper()
	home := shortDir(t)
	// The shell closes its own output, so that only the command's processes have it open.
	const script = `"$@" 2>&1 & exec >/dev/null 2>&1; read end; kill -KILL $!; wait $!`
	shell := exec.Command("sh", append([]string{"-c", script, "sh"}, command...)...)
	shell.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "TMPDIR="+home, "LANGUAGE=en_US")
	input, _ := shell.StdinPipe() // neither pipe fails before the start
	output, _ := shell.StdoutPipe()
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	lines, closed := bufio.NewScanner(output), make(chan bool)
	t.Cleanup(func() {
		input.Close()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("%s has ended, but not all that it started", command[0])
		}
		shell.Wait()
	})
	found := false
	for !found && lines.Scan() {
		line = lines.Text()
		found = strings.Contains(line, ready)
	}
	go func() { // reads until the last process that can write has ended
		for lines.Scan() {
		}
		close(closed)
	}()
	if !found {
		t.Fatalf("%s did not start: %s", command[0], line)
	}
	return line, closed
}
