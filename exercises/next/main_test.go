package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests use a small module of their own, with two exercises.

const starter = `package main

func main() {}

func answer() int { return 0 } // TODO 1
`

const tests = `package main

import "testing"

// Everything begins with a number.
func TestAnswerIsFortyTwo(t *testing.T) {
	t.Run("by itself", func(t *testing.T) {
		if got := answer(); got != 42 {
			t.Errorf("want 42, got %d", got)
		}
	})
}

func TestAnswerIsLessThan100(t *testing.T) {
	if answer() >= 100 {
		t.Error("want less")
	}
}
`

const readme = `# Exercise 1 · Answer

<details><summary>Hint 1</summary>

It is more than 41.

</details>
<details><summary>Hint 2</summary>

It is less than 43.

</details>
<details><summary>Something else</summary>no hint</details>
`

func TestStepsOfAnExercise(t *testing.T) {
	root := module(t)
	run := func(args ...string) string { t.Helper(); return mustRun(t, root, "", args...) }

	mustSay(t, run(), "Exercise 1 · Answer", "not begun   go run ./exercises/next 1", "Exercise 2 · Other", "no starter yet: begin with exercises/2-other/README.md")
	mustSay(t, run("1"), "_mine/1-answer is yours.", "exercises/1-answer/README.md", "_mine/1-answer/main.go", "go run ./exercises/next 1")
	mustSay(t, run("1"),
		"Exercise 1 · Answer   [##########----------] 1 of 2 tests pass",
		"Next: Answer is forty two.", "Everything begins with a number.", "want 42, got 0",
		"go test -run '^TestAnswerIsFortyTwo$' ./_mine/1-answer", "go run ./exercises/next 1 hint")
	mustSay(t, run(), "1 of 2 tests pass")

	write(t, root, "_mine/1-answer/main.go", strings.Replace(starter, "return 0", "return 142", 1))
	mustSay(t, run("1"), "0 of 2", "Next: Answer is forty two.", "want 42, got 142")
	write(t, root, "_mine/1-answer/main.go", strings.Replace(starter, "return 0", "return 42", 1))
	mustSay(t, run("1"), "[####################] 2 of 2", "this exercise is done", "exercises/1-answer/SOLUTION.md", "go run ./exercises/next 2")
}

func TestHintsComeOneAtATime(t *testing.T) {
	root := module(t)
	if _, err := runIn(t.Context(), root, "", "1", "hint"); err == nil {
		t.Error("a hint before the exercise began: got no error, want one")
	}
	mustRun(t, root, "", "1")
	for _, want := range []string{"Hint 1 of 2\n\nIt is more than 41.", "Hint 2 of 2\n\nIt is less than 43.", "There are no more hints.", "There are no more hints."} {
		mustSay(t, mustRun(t, root, "", "1", "hint"), want)
	}
}

func TestCompileErrorIsShownWithFileAndLine(t *testing.T) {
	root := module(t)
	mustRun(t, root, "", "1")
	write(t, root, "_mine/1-answer/main.go", strings.Replace(starter, "return 0", "return forty", 1))
	mustSay(t, mustRun(t, root, "", "1"), "It does not run yet:", "main.go:5:", "undefined: forty")
	write(t, root, "_mine/1-answer/main.go", "package main\n\nfunc main( {\n")
	mustSay(t, mustRun(t, root, "", "1"), "It does not run yet:", "main.go:3:")
}

func TestPanicBeforeTheFirstTestIsShown(t *testing.T) {
	root := module(t)
	mustRun(t, root, "", "1")
	write(t, root, "_mine/1-answer/main.go", starter+`
var page = func() int { panic("template: pages.html:38: unexpected EOF") }()
`)
	mustSay(t, mustRun(t, root, "", "1"), "0 of 2", "It does not run yet:", "panic: template: pages.html:38: unexpected EOF")
}

func TestPanicIsTheNextStep(t *testing.T) {
	root := module(t)
	mustRun(t, root, "", "1")
	write(t, root, "_mine/1-answer/main.go", strings.Replace(starter, "return 0", `panic("not written yet")`, 1))
	mustSay(t, mustRun(t, root, "", "1"), "0 of 2", "Next: Answer is forty two.", "panic: not written yet")
}

func TestResetAsksFirst(t *testing.T) {
	root := module(t)
	mustRun(t, root, "", "1")
	write(t, root, "_mine/1-answer/main.go", "mine")
	for _, answer := range []string{"", "no\n", "y\n"} {
		mustSay(t, mustRun(t, root, answer, "1", "reset"), "Nothing was deleted.")
		if got := read(t, root, "_mine/1-answer/main.go"); got != "mine" {
			t.Errorf("after the answer %q the file is %q, want the learner's", answer, got)
		}
	}
	mustSay(t, mustRun(t, root, "yes\n", "1", "reset"), "_mine/1-answer is yours.")
	if got := read(t, root, "_mine/1-answer/main.go"); got != starter {
		t.Errorf("after yes the file is %q, want the starter", got)
	}
}

func TestWrongCallsAreRefused(t *testing.T) {
	root := module(t)
	for _, args := range [][]string{{"0"}, {"3"}, {"two"}, {"1", "help"}, {"1", "hint", "2"}, {"-1"}, {"../1"}, {""}} {
		if out, err := runIn(t.Context(), root, "", args...); err == nil {
			t.Errorf("next %q: got no error and %q, want an error", args, out)
		}
	}
	if _, err := runIn(t.Context(), root, "", "2"); err == nil || !strings.Contains(err.Error(), "exercises/2-other has no starter") {
		t.Errorf("an exercise without a starter: got %v, want an error that says so", err)
	}
	if _, err := os.Stat(filepath.Join(root, "_mine")); err == nil {
		t.Error("wrong calls have made a folder, want none")
	}
}

// The go command gets an interrupt, as from Ctrl-C, and its tests end with it.
func TestInterruptStopsTestsThatHang(t *testing.T) {
	root := module(t)
	mustRun(t, root, "", "1")
	write(t, root, "_mine/1-answer/main.go", `package main

import "os"

func main() {}

func answer() int {
	os.WriteFile("hangs", nil, 0o644)
	select {}
}
`)
	ctx, interrupt := context.WithCancel(t.Context())
	results := make(chan error, 1)
	go func() {
		_, err := runIn(ctx, root, "", "1")
		results <- err
	}()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if _, err := os.Stat(filepath.Join(root, "_mine/1-answer/hangs")); err == nil || len(results) > 0 {
			break
		}
	}
	interrupt()
	if err := <-results; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v, want an error that says it was stopped", err)
	}
}

// module returns the root of a module with two exercises. The second has no starter.
func module(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "go.mod", "module example.com/small\n\ngo 1.26\n")
	write(t, root, "exercises/1-answer/README.md", readme)
	write(t, root, "exercises/1-answer/start/main.go", starter)
	write(t, root, "exercises/1-answer/main_test.go", tests)
	write(t, root, "exercises/2-other/README.md", "# Exercise 2 · Other\n")
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runIn runs the command in a repository, with the answers to its questions.
func runIn(ctx context.Context, root, answers string, args ...string) (string, error) {
	var out strings.Builder
	err := run(ctx, root, args, strings.NewReader(answers), &out)
	return out.String(), err
}

func mustRun(t *testing.T, root, answers string, args ...string) string {
	t.Helper()
	out, err := runIn(t.Context(), root, answers, args...)
	if err != nil {
		t.Fatalf("next %q: %v", args, err)
	}
	return out
}

func mustSay(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}
