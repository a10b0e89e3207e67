// Package sessions has only tests. They check that the READMEs are true and that the
// packages import only what they may.
package sessions

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
)

// readmes returns every page of prose.
func readmes(t *testing.T) []string {
	t.Helper()
	return append(glob(t, "*.md"), programs(t)...)
}

// programs returns the README of every lesson and exercise.
func programs(t *testing.T) []string {
	t.Helper()
	return append(glob(t, "lessons/*/README.md"), glob(t, "exercises/*/README.md")...)
}

// glob returns the files that match a pattern. It fails the test if there are none,
// because a loop over nothing proves nothing.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: found no files, %v, want some", pattern, err)
	}
	return files
}

// folder returns the folder of a page, as links name it.
func folder(page string) string {
	return filepath.ToSlash(filepath.Dir(page))
}

// read returns the text of a file, with line ends as on Unix.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// sources returns the text in which a page's snippets must be.
func sources(t *testing.T, page string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{
		filepath.Join(filepath.Dir(page), "*.go"), filepath.Join(filepath.Dir(page), "*.html"),
		"internal/session/*.go", "internal/session/*store/testdata/*/*.go",
	} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			all.WriteString(read(t, file) + "\n")
		}
	}
	return all.String()
}

// blocks returns the fenced blocks in a language.
func blocks(text, language string) []string {
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

func TestGoSnippetsAreInTheSource(t *testing.T) {
	checked := 0
	for _, page := range readmes(t) {
		source := sources(t, page)
		for _, block := range blocks(read(t, page), "go") {
			checked++
			if !strings.Contains(source, block) {
				t.Errorf("%s: this snippet is not in the source, want it there:\n%s", page, block)
			}
		}
	}
	if checked == 0 {
		t.Error("no snippet was checked")
	}
}

// The lines that a diff removes or keeps must be in the source.
func TestDiffsApply(t *testing.T) {
	checked := 0
	for _, page := range readmes(t) {
		source := sources(t, page)
		for _, block := range blocks(read(t, page), "diff") {
			checked++
			var before strings.Builder
			for line := range strings.Lines(block) {
				if line[0] != '+' {
					before.WriteString(line[1:])
				}
			}
			if !strings.Contains(source, before.String()) {
				t.Errorf("%s: this diff does not apply, want that it does:\n%s", page, block)
			}
		}
	}
	if checked == 0 {
		t.Error("no diff was checked")
	}
}

func TestNamedTestsExist(t *testing.T) {
	checked := 0
	for _, page := range readmes(t) {
		source := sources(t, page)
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w*)`").FindAllStringSubmatch(read(t, page), -1) {
			checked++
			if !strings.Contains(source, "func "+match[1]+"(") {
				t.Errorf("%s names %s, want the name of a test that exists", page, match[1])
			}
		}
	}
	if checked == 0 {
		t.Error("no name was checked")
	}
}

func TestLinksResolve(t *testing.T) {
	checked := 0
	fenced := regexp.MustCompile("(?ms)^```.*?^```$")
	for _, page := range readmes(t) {
		prose := fenced.ReplaceAllString(read(t, page), "")
		for _, match := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
				t.Errorf("%s links to %s: %v", page, target, err)
			}
		}
	}
	if checked == 0 {
		t.Error("no link was checked")
	}
}

// The package can read each Set-Cookie that a page shows.
func TestCookiesInPagesAreCookies(t *testing.T) {
	checked := 0
	for _, page := range readmes(t) {
		for _, match := range regexp.MustCompile(`Set-Cookie: [\w-]+=([^;\s]+\.[^;\s]+);`).FindAllStringSubmatch(read(t, page), -1) {
			checked++
			if _, err := session.Inspect(match[1]); err != nil {
				t.Errorf("%s: %s: %v", page, match[1], err)
			}
		}
	}
	if checked == 0 {
		t.Error("no cookie was checked")
	}
}

// The steps of lesson 01 must be the comments of unsign, word for word.
func TestLesson01HasTheStepsOfUnsign(t *testing.T) {
	page := read(t, "lessons/01-counter/README.md")
	steps := regexp.MustCompile(`(?m)^\t// (\d\. .*)$`).FindAllStringSubmatch(read(t, "internal/session/sign.go"), -1)
	if len(steps) < 5 {
		t.Fatalf("%d steps in sign.go, want 5 or more", len(steps))
	}
	for _, step := range steps {
		if !strings.Contains(page, step[1]+"\n") {
			t.Errorf("lesson 01 lacks the step %q, want it there", step[1])
		}
	}
}

// A lesson must not take long to read. The folded parts do not count, because a reader
// opens them only to look something up.
func TestLessonsAreShort(t *testing.T) {
	folded := regexp.MustCompile("(?s)<details>.*?</details>")
	for _, page := range programs(t) {
		longest := 1200
		if strings.Contains(page, "07-security") || strings.Contains(page, "08-database") {
			longest = 1800
		}
		text := folded.ReplaceAllString(read(t, page), "")
		if words := len(strings.Fields(text)); words < 450 || words > longest {
			t.Errorf("%s has %d words, want 450 to %d", page, words, longest)
		}
	}
}

// A lesson that prepares an exercise must link to it, and the exercise to the lesson.
func TestLessonsAndExercisesNameEachOther(t *testing.T) {
	checked := 0
	for _, lesson := range glob(t, "lessons/*/README.md") {
		_, prepares, _ := strings.Cut(read(t, lesson), "\nThis prepares ")
		prepares, _, _ = strings.Cut(prepares, "\n\n")
		for _, exercise := range glob(t, "exercises/*/README.md") {
			prepared, _, _ := strings.Cut(read(t, exercise), "## The task")
			there, back := strings.Contains(prepares, folder(exercise)), strings.Contains(prepared, folder(lesson))
			if there != back {
				t.Errorf("%s names %s: %v, and %[2]s names %[1]s: %[4]v, want both or neither", lesson, exercise, there, back)
			}
			if there {
				checked++
			}
		}
	}
	if checked == 0 {
		t.Error("no lesson prepares an exercise, want some to check")
	}
}

func TestRootNamesEveryProgram(t *testing.T) {
	root := read(t, "README.md")
	for _, page := range programs(t) {
		if !strings.Contains(root, "]("+folder(page)) {
			t.Errorf("README.md has no link to %s, want one", page)
		}
	}
}

// The lessons and exercises share some files. Each folder has its own copy, so that a
// reader has a whole program in one folder. The copies are the same, to the letter.
func TestSharedFilesAreTheSameInEveryFolder(t *testing.T) {
	for file, wanted := range map[string]int{"style.css": 7, "cookie.go": 2, "login.go": 4, "turns.go": 2} {
		copies := glob(t, "*/*/"+file)
		if len(copies) < wanted {
			t.Errorf("found %d copies of %s, want %d", len(copies), file, wanted)
		}
		for _, other := range copies[1:] {
			if read(t, other) != read(t, copies[0]) {
				t.Errorf("%s differs from %s, want the same text", other, copies[0])
			}
		}
	}
}
