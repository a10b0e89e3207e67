package main

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
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// result is what a run of an exercise's tests has shown.
type result struct {
	tests  []*test  // in the order of the task
	broken []string // why the program does not compile; nil if it does
}

// test is one test of an exercise.
type test struct {
	name   string   // TestLogoutDeletesTheCookie
	why    string   // the comment above it
	output []string // what it has printed

	passed, failed bool // both are false if it did not run
}

// readTests returns the tests of a folder, in the order of the task: those of main_test.go
// come first.
func readTests(dir string) ([]*test, error) {
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
	var tests []*test
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				tests = append(tests, &test{name: f.Name.Name, why: strings.Join(strings.Fields(f.Doc.Text()), " ")})
			}
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s has no tests. To begin again, use reset", dir)
	}
	return tests, nil
}

// patience is how long all tests of an exercise may take.
const patience = "90s"

// test runs the tests on the learner's folder.
func (e exercise) test(ctx context.Context) (result, error) {
	tests, err := readTests(e.path(e.mine))
	if err != nil {
		return result{}, err
	}
	command := exec.CommandContext(ctx, "go", "test", "-json", "-timeout="+patience, "./"+e.mine)
	command.Dir = e.root
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	command.Stderr = &errs
	output, err := command.Output()
	if ctx.Err() != nil {
		return result{}, errors.New("stopped, before all tests have run")
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return result{}, fmt.Errorf("cannot run the go command: %w", err)
	}
	r := result{tests: tests}
	r.read(output)
	if len(output) == 0 && errs.Len() > 0 {
		r.broken = strings.Split(strings.TrimSpace(errs.String()), "\n")
	}
	return r, nil
}

// read adds the output of go test -json to the result.
func (r *result) read(output []byte) {
	byName := make(map[string]*test)
	for _, t := range r.tests {
		byName[t.name] = t
	}
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		if text := strings.TrimSpace(event.Output); event.Action == "build-output" && text != "" && text[0] != '#' {
			r.broken = append(r.broken, text)
		}
		name, _, _ := strings.Cut(event.Test, "/")
		t := byName[name]
		switch {
		case t == nil:
		case event.Action == "output":
			t.output = append(t.output, strings.TrimRight(event.Output, "\n"))
		case event.Test == t.name:
			t.passed = t.passed || event.Action == "pass" || event.Action == "skip"
			t.failed = t.failed || event.Action == "fail"
		}
	}
}

// first returns the first test that failed, or nil. If the program panicked, the tests
// after that have not run: then the one that panicked failed, and they did not.
func (r result) first() *test {
	for _, wanted := range []func(*test) bool{
		func(t *test) bool { return t.failed },
		func(t *test) bool { return !t.passed },
	} {
		if i := slices.IndexFunc(r.tests, wanted); i >= 0 {
			return r.tests[i]
		}
	}
	return nil
}

// progress returns a bar and two numbers.
func (r result) progress() string {
	passed := 0
	for _, t := range r.tests {
		if t.passed {
			passed++
		}
	}
	const width = 20
	full := passed * width / len(r.tests)
	return fmt.Sprintf("[%s%s] %d of %d tests pass", strings.Repeat("#", full), strings.Repeat("-", width-full), passed, len(r.tests))
}

// claim returns the name of the test in words.
func (t *test) claim() string {
	runes := []rune(strings.TrimPrefix(t.name, "Test"))
	var words []string
	for i, r := range runes {
		inside := i > 0 && (kind(r) == kind(runes[i-1]) || unicode.IsLower(r) && unicode.IsUpper(runes[i-1]))
		beforeLower := i > 0 && i+1 < len(runes) && unicode.IsUpper(r) && unicode.IsLower(runes[i+1])
		if !inside || beforeLower {
			words = append(words, "")
		}
		words[len(words)-1] += string(r)
	}
	for i, word := range words {
		if i > 0 && (len(word) == 1 || word != strings.ToUpper(word)) {
			words[i] = strings.ToLower(word)
		}
	}
	return strings.Join(words, " ")
}

// kind returns the kind of a letter in a name: a capital, a digit, or another letter.
func kind(r rune) int {
	switch {
	case unicode.IsUpper(r):
		return 0
	case unicode.IsDigit(r):
		return 1
	}
	return 2
}

// failure returns the lines that say what went wrong first, at most six.
func (t *test) failure() []string {
	i := slices.IndexFunc(t.output, func(line string) bool {
		return strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic: ")
	})
	if i < 0 {
		return nil
	}
	var lines []string
	for _, line := range t.output[i:] {
		text := strings.TrimSpace(line)
		if len(lines) == 6 || len(lines) > 0 && (strings.Contains(line, "_test.go:") || strings.HasPrefix(text, "--- ") || text == "" || strings.HasPrefix(text, "goroutine ")) {
			break
		}
		lines = append(lines, text)
	}
	return lines
}
