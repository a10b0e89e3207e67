package webdriver

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Start runs a command until the test ends, and returns the first line of its output
// that contains the text ready.
//
// The command runs under a shell that kills it when the shell's own input ends. So it
// also ends when this process is killed. Its HOME is a directory that is removed with
// the test.
func Start(t testing.TB, ready string, command ...string) (line string) {
	t.Helper()
	// The path is short, because browsers make sockets in this directory, and the path of a
	// socket has a maximum of about 100 bytes. That of t.TempDir has the name of the test.
	home, err := os.MkdirTemp("", "home-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	shell := exec.Command("sh", append([]string{"-c", `"$@" 2>&1 & read end; kill -KILL $!; wait $!`, "sh"}, command...)...)
	shell.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "TMPDIR="+home, "LANGUAGE=en_US")
	input, _ := shell.StdinPipe() // neither pipe fails before the start
	output, _ := shell.StdoutPipe()
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	lines, ended := bufio.NewScanner(output), make(chan bool)
	t.Cleanup(func() {
		input.Close()
		<-ended
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
		close(ended)
	}()
	if !found {
		t.Fatalf("%s did not start: %s", command[0], line)
	}
	return line
}
