package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.com/sessions/internal/course"
)

// program is a program of the course that runs behind the proxy. When one of its files
// changes, it is built and started again.
type program struct {
	root, folder string // what to build
	dir          string // for the binary, and for what the program stores
	fixed        string // the address of the program; "" for any that is free

	// It is called with each line that the program writes.
	log func(line string)
	// It is called when the state below has changed.
	changed func()

	turn sync.Mutex // held while the program is built or started

	mu     sync.Mutex
	flags  []string
	secret string
	addr   string   // where the program listens; "" if it does not run
	state  string   // in words
	broken []string // why it does not compile, or nil
	starts int      // how often it was started
	stop   func()   // ends the program, and waits for its end
}

// newProgram returns a program that does not run yet.
func newProgram(root, folder, dir, secret, fixed string) *program {
	return &program{root: root, folder: folder, dir: dir, fixed: fixed, secret: secret, stop: func() {}}
}

// newSecret returns a secret that can stand in the environment.
func newSecret() string { return rand.Text() + rand.Text() }

// State says in words how the program is.
func (p *program) State() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Stopped reports whether the program does not run, and will not by itself.
func (p *program) Stopped() bool {
	state := p.State()
	return state != building && state != starting && state != running
}

// Runs reports whether the program answers requests.
func (p *program) Runs() bool { return p.State() == running }

// Broken returns why the program does not compile, or nil.
func (p *program) Broken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken[:min(len(p.broken), 10)]
}

// These are states of a program. The others say why it does not run.
const (
	building = "The program is being built …"
	starting = "The program is starting …"
	running  = "The program is running."
)

// watched is how often the files are looked at.
const watched = 300 * time.Millisecond

// run builds and starts the program, again after each change of a file, until the context
// ends. It calls edited after a build that a change has caused.
func (p *program) run(ctx context.Context, edited func()) {
	defer func() { p.end("Another lesson runs now, so this program was ended.") }()
	seen := p.files()
	p.build(ctx)
	ticks := time.NewTicker(watched)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if now := p.files(); !maps.Equal(seen, now) {
			seen = now
			p.build(ctx)
			edited()
		}
	}
}

// files returns the time of the last change of each file that the program is made of.
func (p *program) files() map[string]time.Time {
	found := make(map[string]time.Time)
	for _, dir := range []string{p.folder, "internal/session"} {
		filepath.WalkDir(filepath.Join(p.root, dir), func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "start") {
				return fs.SkipDir
			}
			if err == nil && !entry.IsDir() {
				if info, err := entry.Info(); err == nil {
					found[name] = info.ModTime()
				}
			}
			return nil
		})
	}
	return found
}

// build builds the program and starts it. If it does not compile, the last one that did
// goes on.
func (p *program) build(ctx context.Context) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.tell(func() { p.state = building })
	binary := filepath.Join(p.dir, filepath.Base(p.folder)+".exe")
	command := exec.CommandContext(ctx, "go", "build", "-o", binary+".new", "./"+p.folder)
	command.Dir = p.root
	output, err := command.CombinedOutput()
	if err != nil {
		p.tell(func() {
			p.broken = course.CompileErrors(string(output))
			p.state = "The program does not compile."
			if p.addr != "" {
				p.state += " The last one that did goes on."
			}
		})
		return
	}
	p.end("")
	if err := os.Rename(binary+".new", binary); err != nil {
		p.tell(func() { p.state = err.Error() })
		return
	}
	p.tell(func() { p.broken = nil })
	p.start(binary)
}

// again starts the program again, after a change of its flags or its secret.
func (p *program) again(change func()) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.end("")
	p.mu.Lock()
	change()
	p.mu.Unlock()
	p.start(filepath.Join(p.dir, filepath.Base(p.folder)+".exe"))
}

// start starts the program, and returns when it listens or has ended.
func (p *program) start(binary string) {
	addr, err := freeAddr()
	self, err2 := os.Executable()
	if err := errors.Join(err, err2); err != nil {
		p.tell(func() { p.state = err.Error() })
		return
	}
	p.mu.Lock()
	if p.fixed != "" {
		addr = p.fixed
	}
	// The address comes first, because the first word that is no flag ends the flags.
	args := append([]string{"child", binary, "-addr", addr}, p.flags...)
	command := exec.Command(self, args...)
	command.Dir = p.dir
	// What a program stores goes to p.dir, and not where the learner's other runs store it.
	command.Env = append(os.Environ(), "SESSION_SECRET="+p.secret,
		"HOME="+p.dir, "XDG_CACHE_HOME="+p.dir, "LocalAppData="+p.dir)
	p.mu.Unlock()

	input, err := command.StdinPipe()
	output, out, err2 := os.Pipe()
	if err := errors.Join(err, err2); err != nil {
		p.tell(func() { p.state = err.Error() })
		return
	}
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		p.tell(func() { p.state = err.Error() })
		return
	}
	out.Close()
	ended := make(chan struct{})
	var number int
	p.tell(func() {
		p.starts++
		number = p.starts
		p.addr, p.state = addr, starting
		p.stop = func() { input.Close(); <-ended }
	})
	go func() {
		p.readLog(output)
		output.Close()
		command.Wait()
		close(ended)
		p.tell(func() {
			if p.addr != "" && p.starts == number {
				p.addr, p.state = "", "The program has ended. If its log does not say why, it was killed."
			}
		})
	}()
	if listens(ended, addr) {
		p.tell(func() { p.state = running })
		return
	}
	select {
	case <-ended:
	default:
		p.end(fmt.Sprintf("The program did not listen within %v, so it was ended.", patience))
	}
}

// patience is how long a program may take until it listens.
const patience = 10 * time.Second

// listens waits until something listens on the address, or until the program has ended.
func listens(ended <-chan struct{}, addr string) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

// end ends the program, if it runs.
func (p *program) end(state string) {
	p.mu.Lock()
	stop := p.stop
	p.addr, p.stop = "", func() {}
	p.mu.Unlock()
	stop()
	if state != "" {
		p.tell(func() { p.state = state })
	}
}

// tell makes a change of the state, and says that there is one.
func (p *program) tell(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	p.changed()
}

// maxLine is how many bytes are shown of a line of the log.
const maxLine = 300

// readLog reads what the program writes. Of a line that is too long it reads the
// beginning.
func (p *program) readLog(output io.Reader) {
	lines := bufio.NewReaderSize(output, maxLine)
	for whole := true; ; {
		line, isPrefix, err := lines.ReadLine()
		if err != nil {
			return
		}
		if whole {
			p.log(strings.ToValidUTF8(string(line), "\uFFFD"))
		}
		whole = !isPrefix
	}
}

// freeAddr returns an address of this machine that no one listens on.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no address is free for the program: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
