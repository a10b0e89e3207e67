package course

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Test is one test of a folder, and what its last run has shown.
type Test struct {
	Name   string   // TestLogoutDeletesTheCookie
	File   string   // main_test.go
	Line   int      // where it begins in the file
	Why    string   // the comment above it
	Output []string // what it has printed

	Passed, Failed bool // both are false if it did not run
}

// ReadTests returns the tests of a folder, in the order of the task: those of main_test.go
// come first. It returns an error if there are none.
func ReadTests(dir string) ([]*Test, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(files, func(a, b string) int {
		first := func(file string) int {
			if filepath.Base(file) == "main_test.go" {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	var tests []*Test
	for _, name := range files {
		places := token.NewFileSet()
		file, err := parser.ParseFile(places, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				tests = append(tests, &Test{
					Name: f.Name.Name,
					File: filepath.Base(name),
					Line: places.Position(f.Pos()).Line,
					Why:  strings.Join(strings.Fields(f.Doc.Text()), " "),
				})
			}
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s has no tests. To begin again, use reset", dir)
	}
	return tests, nil
}

// patience is how long all tests of a folder may take.
const patience = "90s"

// ErrStopped is what [Run] returns if the context ended before the tests did.
var ErrStopped = errors.New("stopped, before all tests have run")

// Run runs the tests of a folder with go test and these flags. After each test that has
// ended, it calls ended with the test and what it is now. Run itself changes no test, so
// that the caller can lock while it does. It returns why the program does not compile or start, or nil if it
// does.
//
// If the context ends, the go command gets an interrupt, as from Ctrl-C, and its tests end
// with it.
func Run(ctx context.Context, root, folder string, tests []*Test, ended func(t *Test, now Test), flags ...string) (broken []string, err error) {
	args := append([]string{"test", "-json", "-timeout=" + patience}, flags...)
	command := exec.CommandContext(ctx, "go", append(args, "./"+folder)...)
	command.Dir = root
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	command.Stderr = &errs
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot run the go command: %w", err)
	}
	read, broken := readEvents(output, tests, ended)
	err = command.Wait()
	if ctx.Err() != nil {
		return nil, ErrStopped
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return nil, fmt.Errorf("cannot run the go command: %w", err)
	}
	if read == 0 && errs.Len() > 0 {
		broken = CompileErrors(errs.String())
	}
	return broken, nil
}

// CompileErrors returns the lines of the go command's output that say what is wrong. The
// other lines name packages.
func CompileErrors(output string) (lines []string) {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// readEvents reads the output of go test -json. It returns how many lines it
// has read, and the errors of the compiler.
func readEvents(output io.Reader, tests []*Test, ended func(t *Test, now Test)) (read int, broken []string) {
	places, results := make(map[string]*Test), make(map[string]*Test)
	for _, t := range tests {
		now := *t
		places[t.Name], results[t.Name] = t, &now
	}
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 16<<20)
	for ; lines.Scan(); read++ {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		if text := strings.TrimSpace(event.Output); event.Action == "build-output" && text != "" && text[0] != '#' {
			broken = append(broken, text)
		}
		// A program that panics before its first test, for example in a template.
		if event.Test == "" && strings.HasPrefix(event.Output, "panic: ") {
			broken = append(broken, strings.TrimSpace(event.Output))
		}
		name, _, _ := strings.Cut(event.Test, "/")
		t := results[name]
		switch {
		case t == nil:
		case event.Action == "output":
			t.Output = append(t.Output, strings.TrimRight(event.Output, "\n"))
		case event.Test == t.Name && slices.Contains([]string{"pass", "skip", "fail"}, event.Action):
			t.Passed, t.Failed = event.Action != "fail", event.Action == "fail"
			ended(places[name], *t)
		}
	}
	return read, broken
}

// First returns the first test that failed, or nil. If the program panicked, the tests
// after that have not run: then the one that panicked failed, and they did not.
func First(tests []*Test) *Test {
	for _, wanted := range []func(*Test) bool{
		func(t *Test) bool { return t.Failed },
		func(t *Test) bool { return !t.Passed },
	} {
		if i := slices.IndexFunc(tests, wanted); i >= 0 {
			return tests[i]
		}
	}
	return nil
}

var (
	plural  = regexp.MustCompile(`^([A-Z]{2,}s)(?:[A-Z0-9]|$)`) // IDs
	acronym = regexp.MustCompile(`^([A-Z]+)[A-Z][a-z]`)         // HTML in HTMLStays
	word    = regexp.MustCompile(`^([A-Z]{2,}|[A-Z]?[a-z]+|[0-9]+|.)`)
)

// Claim returns the name of the test in words.
func (t *Test) Claim() string {
	var words []string
	for rest := strings.TrimPrefix(t.Name, "Test"); rest != ""; {
		var next string
		for _, kind := range []*regexp.Regexp{plural, acronym, word} {
			if found := kind.FindStringSubmatch(rest); found != nil {
				next = found[1]
				break
			}
		}
		rest = rest[len(next):]
		if len(words) > 0 && (len(next) == 1 || strings.ToUpper(next) != next) && !plural.MatchString(next) {
			next = strings.ToLower(next)
		}
		words = append(words, next)
	}
	return strings.Join(words, " ")
}

// Failure returns the lines that say what went wrong first, at most six.
func (t *Test) Failure() []string {
	i := slices.IndexFunc(t.Output, func(line string) bool {
		return strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
	})
	if i < 0 {
		return nil
	}
	var lines []string
	for _, line := range t.Output[i:] {
		text := strings.TrimSpace(line)
		if len(lines) == 6 || len(lines) > 0 && (strings.Contains(line, "_test.go:") || strings.HasPrefix(text, "--- ") || text == "" || strings.HasPrefix(text, "goroutine ")) {
			break
		}
		lines = append(lines, text)
	}
	return lines
}
