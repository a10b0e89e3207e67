// Command next helps you do the exercises. It gives you a folder of your own, runs the
// tests on it, and says which one is next.
//
//	go run ./exercises/next            how far you are in each exercise
//	go run ./exercises/next 2          begin exercise 2, or see what is next in it
//	go run ./exercises/next 2 hint     one more hint
//	go run ./exercises/next 2 reset    begin exercise 2 again; it asks first
//
// Your folder for exercise 2 is _mine/2-remember-me. Git ignores it. It is no part of
// go test ./..., because its name begins with an underscore. Run the command in any
// folder of the repository.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"example.com/sessions/internal/course"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := course.Root()
	if err == nil {
		err = run(ctx, root, os.Args[1:], os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "next:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: go run ./exercises/next [1 to 5] [hint or reset]")

// run does what the arguments say. Answers to its questions come from in.
func run(ctx context.Context, root string, args []string, in io.Reader, out io.Writer) error {
	all, err := findExercises(root)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return list(ctx, all, out)
	}
	i, err := strconv.Atoi(args[0])
	if err != nil || i < 1 || i > len(all) || len(args) > 2 {
		return errUsage
	}
	e := all[i-1]
	what := ""
	if len(args) == 2 {
		what = args[1]
	}
	switch {
	case what == "hint":
		return e.hint(out)
	case what == "reset":
		return e.reset(in, out)
	case what != "":
		return errUsage
	case !e.begun():
		return e.begin(out)
	}
	return e.next(ctx, out)
}

// exercise is one of the exercises.
type exercise struct {
	root   string
	number int
	title  string // Exercise 2 · Remember me
	folder string // exercises/2-remember-me
	mine   string // _mine/2-remember-me
}

func findExercises(root string) ([]exercise, error) {
	var all []exercise
	for number := 1; ; number++ {
		found, err := filepath.Glob(filepath.Join(root, "exercises", strconv.Itoa(number)+"-*"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return all, nil
		}
		name := filepath.Base(found[0])
		readme, err := os.ReadFile(filepath.Join(found[0], "README.md"))
		if err != nil {
			return nil, err
		}
		title, _, _ := strings.Cut(string(readme), "\n")
		all = append(all, exercise{root, number, strings.TrimPrefix(title, "# "), "exercises/" + name, "_mine/" + name})
	}
}

// path returns the place of a file on the disk, from its place in the repository.
func (e exercise) path(names ...string) string {
	return filepath.Join(append([]string{e.root}, names...)...)
}

func (e exercise) begun() bool { return course.Begun(e.root, e.folder) }

// list shows how far the learner is in each exercise.
func list(ctx context.Context, all []exercise, out io.Writer) error {
	for _, e := range all {
		if !course.HasStarter(e.root, e.folder) {
			fmt.Fprintf(out, "%-32s no starter yet: begin with %s/README.md\n", e.title, e.folder)
			continue
		}
		if !e.begun() {
			fmt.Fprintf(out, "%-32s not begun   go run ./exercises/next %d\n", e.title, e.number)
			continue
		}
		tests, _, err := e.test(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-32s %s\n", e.title, progress(tests))
	}
	return nil
}

// begin copies the starter and the tests into the learner's folder.
func (e exercise) begin(out io.Writer) error {
	if err := course.Begin(e.root, e.folder); err != nil {
		return err
	}
	fmt.Fprintf(out, `%s

%s is yours. It has a program to begin with, and the tests.

  1. Read the task: %s/README.md
  2. Open %s/main.go. The comments that begin with TODO say where to write.
  3. See what is next: go run ./exercises/next %d
`, e.title, e.mine, e.folder, e.mine, e.number)
	return nil
}

// reset begins again, if the answer is yes.
func (e exercise) reset(in io.Reader, out io.Writer) error {
	if !e.begun() {
		return e.begin(out)
	}
	fmt.Fprintf(out, "This deletes everything in %s. Type yes to go on: ", e.mine)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		fmt.Fprintln(out, "\nNothing was deleted.")
		return nil
	}
	if err := os.RemoveAll(e.path(e.mine)); err != nil {
		return err
	}
	return e.begin(out)
}

// hints matches the folded parts of a README.
var hints = regexp.MustCompile(`(?s)<details>\s*<summary>(Hint[^<]*)</summary>(.*?)</details>`)

// hint shows the next hint of the README. The file .hints in the learner's folder has a
// byte for each hint that was shown.
func (e exercise) hint(out io.Writer) error {
	readme, err := os.ReadFile(e.path(e.folder, "README.md"))
	if err != nil {
		return err
	}
	if !e.begun() {
		return fmt.Errorf("you have not begun: go run ./exercises/next %d", e.number)
	}
	shown, err := os.ReadFile(e.path(e.mine, ".hints"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all := hints.FindAllStringSubmatch(string(readme), -1)
	if len(shown) >= len(all) {
		fmt.Fprintf(out, "There are no more hints. They are all in %s/README.md. A solution is in %[1]s/SOLUTION.md.\n", e.folder)
		return nil
	}
	h := all[len(shown)]
	fmt.Fprintf(out, "%s of %d\n\n%s\n", h[1], len(all), strings.TrimSpace(h[2]))
	return os.WriteFile(e.path(e.mine, ".hints"), append(shown, '.'), 0o644)
}

// test runs the tests on the learner's folder. It returns them, and why the program does
// not compile.
func (e exercise) test(ctx context.Context) (tests []*course.Test, broken []string, err error) {
	tests, err = course.ReadTests(e.path(e.mine))
	if err != nil {
		return nil, nil, err
	}
	broken, err = course.Run(ctx, e.root, e.mine, tests, func(t *course.Test, now course.Test) { *t = now })
	return tests, broken, err
}

// progress returns a bar and two numbers.
func progress(tests []*course.Test) string {
	passed := 0
	for _, t := range tests {
		if t.Passed {
			passed++
		}
	}
	const width = 20
	full := passed * width / len(tests)
	return fmt.Sprintf("[%s%s] %d of %d tests pass", strings.Repeat("#", full), strings.Repeat("-", width-full), passed, len(tests))
}

// next runs the tests, and shows the first one that does not pass.
func (e exercise) next(ctx context.Context, out io.Writer) error {
	tests, broken, err := e.test(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s   %s\n\n", e.title, progress(tests))
	if len(broken) > 0 {
		fmt.Fprintln(out, "It does not run yet:")
		for _, line := range broken[:min(5, len(broken))] {
			fmt.Fprintln(out, " ", line)
		}
		return nil
	}
	t := course.First(tests)
	if t == nil {
		fmt.Fprintf(out, "All tests pass: this exercise is done. Compare your program with %s/SOLUTION.md.\n", e.folder)
		if following, err := filepath.Glob(e.path("exercises", strconv.Itoa(e.number+1)+"-*")); err == nil && len(following) > 0 {
			fmt.Fprintf(out, "The next exercise: go run ./exercises/next %d\n", e.number+1)
		}
		return nil
	}
	fmt.Fprintf(out, "Next: %s.\n", t.Claim())
	if t.Why != "" {
		fmt.Fprintln(out, " ", t.Why)
	}
	for _, line := range t.Failure() {
		fmt.Fprintln(out, "   ", line)
	}
	fmt.Fprintf(out, "\nThis test alone:  go test -run '^%s$' ./%s\nA hint:           go run ./exercises/next %d hint\n", t.Name, e.mine, e.number)
	return nil
}
