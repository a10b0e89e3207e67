// Package torture runs the lessons and exercises as processes, and treats them as the
// world treats a server: it kills them, loads them, sends half of a request, and hangs
// up. Each test is short unless a variable in the environment makes it long. .ci/torture
// runs the long ones.
package torture

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bin is the directory of the programs.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "torture"); err == nil {
		defer os.RemoveAll(bin)
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	m.Run()
}

// build builds all programs, with the race detector if this test has it. It runs go build,
// because this test does not link the programs.
func build() error {
	args := []string{"build", "-ldflags=-s -w", "-o", bin + string(filepath.Separator)}
	if raceDetector() {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./lessons/...", "./exercises/...")...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// raceDetector reports whether this test was built with -race.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// size returns how large a test is: the variable's number, or the short one if the
// variable is not set.
func size(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number from 1", variable, text)
	}
	return n
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

// program is a lesson or an exercise.
type program struct {
	folder string
	flag   string // the flag for the place of its files, "" if it has none
	args   []string
	https  bool
}

var (
	security = program{folder: "lessons/07-security", https: true}
	database = program{folder: "lessons/08-database", flag: "-dir"}
)

// process is a program that runs.
type process struct {
	program
	addr   string
	cmd    *exec.Cmd
	log    string        // the name of the file with its standard error
	exited chan struct{} // closed when it has ended for any reason
}

const secret = "the tests' secret, of more than 32 bytes"

// start runs a program, which stores its files in dir, and waits until it accepts
// connections. The process ends with the test. The test fails if there is a complaint in
// its log.
func start(t *testing.T, p program, dir string) *process {
	t.Helper()
	for range 10 {
		if run := tryStart(t, p, dir); run != nil {
			return run
		}
	}
	t.Fatalf("%s found its address in use ten times, want a free one", p.folder)
	return nil
}

// tryStart is start, but it returns nil if another program took the address first.
func tryStart(t *testing.T, p program, dir string) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := &process{program: p, addr: freeAddress(t), log: log.Name(), exited: make(chan struct{})}
	run.cmd = exec.Command(filepath.Join(bin, path.Base(p.folder)), append(p.args, "-addr", run.addr)...)
	if p.flag != "" {
		run.cmd.Args = append(run.cmd.Args, p.flag, filepath.Join(dir, "files"))
	}
	if p.https {
		run.cmd.Args = append(run.cmd.Args, "-attacker", freeAddress(t))
	}
	run.cmd.Env = append(os.Environ(), "SESSION_SECRET="+secret, "GOTRACEBACK=all")
	run.cmd.Stderr = log
	if err := run.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		run.cmd.Wait()
		close(run.exited)
	}()
	t.Cleanup(run.kill)
	eventually(t, p.folder+" accepts connections or ends", func() bool { return run.accepts() || run.ended() })
	if run.ended() {
		if strings.Contains(run.said(t), "address already in use") {
			return nil
		}
		t.Fatalf("%s ended: %s", p.folder, run.said(t))
	}
	t.Cleanup(func() { run.mustNotComplain(t) })
	return run
}

// freeAddress returns an address that no one listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// accepts reports whether the process accepts connections.
func (p *process) accepts() bool {
	conn, err := p.dial()
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// dial connects to the process, over TLS if the program uses it. It does not check the
// certificate, because the program has signed it itself.
func (p *process) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if p.https {
		return (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", p.addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
}

func (p *process) url() string {
	if p.https {
		return "https://" + p.addr
	}
	return "http://" + p.addr
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// said returns all that the process wrote to its standard error.
func (p *process) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// complaints are the words in a log that no visitor must be able to cause.
var complaints = []string{" ERROR ", " WARN ", "panic", "DATA RACE", "fatal error", "superfluous"}

// tooSlow marks a line about the disk, which may be too slow, and not about the program.
// A client that stayed reports the 503 itself.
const tooSlow = "context deadline exceeded"

// mustNotComplain fails the test if the log of the process has a complaint.
func (p *process) mustNotComplain(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(p.said(t)) {
		if strings.HasPrefix(line, "SIGQUIT") {
			return // goroutines asked for what follows
		}
		complains := slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(line, c) })
		if complains && !strings.Contains(line, tooSlow) {
			t.Errorf("%s says %s, want no such line", p.folder, strings.TrimSpace(line))
		}
	}
}
