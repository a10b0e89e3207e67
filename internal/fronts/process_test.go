// Package fronts has only tests. They put the servers of docs/deployment.md in front of
// programs that use sessions: nginx with its cache, and HAProxy with two processes.
package fronts

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain runs the tests. In a process that start has made, it runs a command instead.
func TestMain(m *testing.M) {
	if os.Getenv("FRONTS_COMMAND") != "" {
		runUntilInputEnds(os.Args[1:])
		return
	}
	m.Run()
}

// runUntilInputEnds runs a command, and kills it when standard input ends. The input is a
// pipe from the test, so it also ends if the test is killed.
func runUntilInputEnds(command []string) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cmd.Process.Kill()
	}()
	cmd.Wait()
}

// process is a command that runs until the test ends.
type process struct {
	input  io.Closer     // closing it kills the command
	ended  chan struct{} // closed when the command has ended for any reason
	output output
}

// output is what a process has printed.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// start runs a command until the test ends. It returns when the command is ready, or when
// it has ended.
func start(t *testing.T, ready func(p *process) bool, env []string, command ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ended: make(chan struct{})}
	cmd := exec.Command(self, command...)
	cmd.Env = append(append(os.Environ(), "FRONTS_COMMAND=yes"), env...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if p.input, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(command[0]), &p.output)
		}
	})
	eventually(t, filepath.Base(command[0])+" is ready or ends", func() bool { return p.hasEnded() || ready(p) })
	return p
}

// end kills the command, and waits until it has ended.
func (p *process) end() {
	p.input.Close()
	<-p.ended
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// says returns a condition for start: the command has printed a text.
func says(text string) func(p *process) bool {
	return func(p *process) bool { return strings.Contains(p.output.String(), text) }
}

// accepts returns a condition for start: a Unix socket accepts connections.
func accepts(socket string) func(p *process) bool {
	return func(p *process) bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
}

// startAt starts a server on a free port of the loopback, and returns its address. The
// command gets the port. Another program can take the port first, so startAt tries ten.
func startAt(t *testing.T, ready func(p *process) bool, env []string, command func(port string) []string) (string, *process) {
	t.Helper()
	for range 10 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		address := listener.Addr().String()
		_, port, _ := net.SplitHostPort(address)
		p := start(t, ready, env, command(port)...)
		if !p.hasEnded() {
			return address, p
		}
		if !strings.Contains(strings.ToLower(p.output.String()), "address already in use") {
			t.Fatalf("%s ended: %s", command(port)[0], &p.output)
		}
	}
	t.Fatal("ten ports were in use, want a free one")
	return "", nil
}

// eventually waits until the condition is true. It waits as long as a machine may take
// that has much else to do.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("a minute later, still not: %s", what)
		}
	}
}

// find returns where a program is, which is in the Debian package of this name. Debian has
// some in /usr/sbin, which is in the PATH of root only.
func find(t *testing.T, program, debian string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	missing := "there is no " + program + ": install the Debian package " + debian
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// tempDir returns a directory with a short path, because the path of a Unix socket has a
// maximum of about 100 bytes.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "front")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configuration returns docs/deployment.md's block in a language.
func configuration(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "\n```"+language+"\n")
	block, _, closed := strings.Cut(after, "```\n")
	if !found || !closed {
		t.Fatalf("docs/deployment.md has no block of %s, want one", language)
	}
	return block
}

// edit replaces texts in a configuration, in pairs of old and new. Each old text must be
// there once.
func edit(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("the configuration has %q %d times, want it once:\n%s", pairs[i], n, text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// write writes a file into a directory and returns its name.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
