package sessions

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/sessions/internal/course"
)

// overlay is what some files are replaced by, for one run of the go command.
type overlay map[string]string

// apply makes the edits in the file of the folder, or of internal/session, that has the
// text to replace.
func (o overlay) apply(t *testing.T, folder string, diffs ...string) {
	t.Helper()
	for _, diff := range diffs {
		if _, _, err := course.Overlay(o).Apply(".", folder, course.ParseEdit(diff)); err != nil {
			t.Fatalf("%s: %v\n%s", folder, err, diff)
		}
	}
}

// test runs one test of the folder with the replaced files. It returns the test's output.
func (o overlay) test(t *testing.T, folder, name string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	config, err := course.Overlay(o).Write(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay="+config, "-v", "-run=^"+name+"$", "./"+folder).CombinedOutput()
	if err != nil && !strings.Contains(string(output), "FAIL") {
		t.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

// edited returns the READMEs whose edits are tried. Each edit takes a second or two, so a
// plain run tries those of one lesson. With EDITS=all it tries all.
func edited(t *testing.T) []string {
	t.Helper()
	if os.Getenv("EDITS") == "all" {
		return programs(t)
	}
	return []string{filepath.Join("lessons", "01-counter", "README.md")}
}

// The paragraph before each diff names the test that the edit makes fail.
func TestEditsMakeTheNamedTestFail(t *testing.T) {
	name := regexp.MustCompile("`(Test\\w+)`")
	for _, page := range edited(t) {
		t.Run(folder(page), func(t *testing.T) {
			parts := strings.Split(read(t, page), "\n```diff\n")
			for i, part := range parts[1:] {
				paragraphs := strings.Split(strings.TrimSpace(parts[i]), "\n\n")
				match := name.FindStringSubmatch(paragraphs[len(paragraphs)-1])
				diff, _, _ := strings.Cut(part, "```\n")
				if match == nil {
					t.Errorf("the paragraph before this diff names no test, want one:\n%s", diff)
					continue
				}
				t.Run(match[1], func(t *testing.T) {
					t.Parallel()
					edits := make(overlay)
					edits.apply(t, folder(page), diff)
					// A test of many requests at the same time can pass by luck.
					output := ""
					for run := 0; run < 5 && !strings.Contains(output, "--- FAIL: "+match[1]+" "); run++ {
						output = edits.test(t, folder(page), match[1])
					}
					if !strings.Contains(output, "--- FAIL: "+match[1]+" ") {
						t.Errorf("with this edit the test does not fail, want that it does:\n%s\n%s", diff, output)
					}
				})
			}
		})
	}
}

// A README gives a test, in a block that begins with "go given", and folds its solution, in
// blocks that begin with "diff solution".
func TestGivenTestsFailFirstAndPassWithTheSolution(t *testing.T) {
	for _, page := range edited(t) {
		text := read(t, page)
		given, solution := blocks(text, "go given"), blocks(text, "diff solution")
		if len(given) == 0 && len(solution) == 0 {
			continue
		}
		t.Run(folder(page), func(t *testing.T) {
			t.Parallel()
			if len(given) != 1 || len(solution) == 0 {
				t.Fatalf("there are %d given tests and %d parts of a solution, want 1 and at least 1", len(given), len(solution))
			}
			name := regexp.MustCompile(`func (Test\w+)\(`).FindStringSubmatch(given[0])[1]
			tests := folder(page) + "/main_test.go"
			without := overlay{tests: read(t, tests) + "\n" + given[0]}
			if output := without.test(t, folder(page), name); !strings.Contains(output, "--- FAIL: "+name+" ") {
				t.Errorf("without the solution the given test does not fail, want that it does:\n%s", output)
			}
			with := overlay{tests: read(t, tests) + "\n" + given[0]}
			with.apply(t, folder(page), solution...)
			if output := with.test(t, folder(page), name); !strings.Contains(output, "--- PASS: "+name+" ") {
				t.Errorf("with the solution the given test does not pass, want that it does:\n%s", output)
			}
		})
	}
}

// A starter compiles, and its tests fail by failures, so that a reader goes from one to the
// next. It has nothing of the solution, so few tests pass.
func TestStartersFailWithoutAPanic(t *testing.T) {
	for _, starter := range glob(t, "exercises/*/start/main.go") {
		dir := folder(starter)
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			tests := make(overlay)
			for _, file := range glob(t, filepath.Dir(dir)+"/*_test.go") {
				tests[dir+"/"+filepath.Base(file)] = read(t, file)
			}
			output := tests.test(t, dir, "Test.*")
			passed, failed := strings.Count(output, "\n--- PASS: "), strings.Count(output, "\n--- FAIL: ")
			if strings.Contains(output, "panic: ") || failed == 0 || passed > 6 {
				t.Errorf("%d tests pass and %d fail, want at most 6 to pass, some to fail, and no panic\n%s", passed, failed, output)
			}
		})
	}
}
