// Package sessions has only tests. They check that the READMEs are true and that the
// packages import only what they may.
package sessions

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
)

// readmes returns every page of prose.
func readmes(t *testing.T) []string {
	t.Helper()
	return slices.Concat(glob(t, "*.md"), glob(t, "docs/*.md"), programs(t))
}

// programs returns the README of every lesson and exercise, and the SOLUTION of an
// exercise.
func programs(t *testing.T) []string {
	t.Helper()
	pages := append(glob(t, "lessons/*/README.md"), glob(t, "exercises/[0-9]*/README.md")...)
	return append(pages, glob(t, "exercises/*/SOLUTION.md")...)
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

// sources returns the text in which a page's snippets must be, and the tests that it
// names. A page of docs may show and name what is in a lesson, and what is in internal/fronts.
func sources(t *testing.T, page string) string {
	t.Helper()
	patterns := []string{
		filepath.Join(filepath.Dir(page), "*.go"), filepath.Join(filepath.Dir(page), "*.html"),
		"internal/session/*.go", "internal/session/*store/testdata/*/*.go",
	}
	if folder(page) == "docs" {
		patterns = append(patterns, "lessons/*/*.go", "internal/fronts/*.go", "internal/browsertest/*.go")
	}
	var all strings.Builder
	for _, pattern := range patterns {
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
			target, heading, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			checked++
			file := page // of a link to a heading of the same page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", page, target, err)
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, file)), heading) {
				t.Errorf("%s links to %s, want a heading of %s: %q", page, match[1], file, headings(read(t, file)))
			}
		}
	}
	if checked == 0 {
		t.Error("no link was checked")
	}
}

// headings returns the headings of a page, as links name them: in small letters, with a
// hyphen for each space, and without other punctuation.
func headings(text string) []string {
	var all []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ReplaceAll(strings.ToLower(match[1]), " ", "-")
		all = append(all, regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, ""))
	}
	return all
}

// The package can read each Set-Cookie that a page shows.
func TestCookiesInPagesAreCookies(t *testing.T) {
	checked := 0
	for _, page := range readmes(t) {
		for _, match := range regexp.MustCompile(`Set-Cookie: [\w-]+=([^;'\s]+\.[^;'\s]+)[;']`).FindAllStringSubmatch(read(t, page), -1) {
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

// README.md shows what its command prints, except for the number of days, which grows.
func TestReadmeShowsWhatItsCommandPrints(t *testing.T) {
	readme := read(t, "README.md")
	command := regexp.MustCompile(`(?m)^    (SESSION_SECRET=\w+) go run (\./cmd/cookie) '(.*)'$`).FindStringSubmatch(readme)
	if command == nil {
		t.Fatal("README.md has no command that looks into a cookie, want one")
	}
	run := exec.Command("go", "run", command[2], command[3])
	run.Env = append(os.Environ(), command[1])
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command[0], err, output)
	}
	anyDays := func(text string) string {
		return regexp.MustCompile(`\d+ days ago`).ReplaceAllString(text, "N days ago")
	}
	var want strings.Builder
	for line := range strings.Lines(string(output)) {
		if line != "\n" {
			want.WriteString("    ")
		}
		want.WriteString(line)
	}
	if !strings.Contains(anyDays(readme), anyDays(want.String())) {
		t.Errorf("README.md does not show what its command prints, want:\n%s", want.String())
	}
}

// A reader of the package must find each of its files.
func TestPackagePageNamesEveryFile(t *testing.T) {
	page := read(t, "docs/package.md")
	for _, file := range glob(t, "internal/session/*.go") {
		if file = filepath.ToSlash(file); !strings.HasSuffix(file, "_test.go") && !strings.Contains(page, "](../"+file+")") {
			t.Errorf("docs/package.md has no link to %s, want one", file)
		}
	}
}

// docs/limits.md must name what TestFlaskAgrees lets pass, and nothing else.
func TestLimitsNameEveryDisagreementWithFlask(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "internal/session/opinion_test.go"), "\nvar disagreements = ")
	list, _, _ = strings.Cut(list, "\n}\n")
	_, page, _ := strings.Cut(read(t, "docs/limits.md"), "\n## Where Flask decides otherwise\n")
	page, _, _ = strings.Cut(page, "\n## ")
	tested, named := regexp.MustCompile(`(?m)^\t\{"(.*?)", `), regexp.MustCompile(`(?m)^- \*\*(.*?)\.\*\*`)
	names := func(pattern *regexp.Regexp, text string) (all []string) {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			all = append(all, match[1])
		}
		slices.Sort(all)
		return all
	}
	got, want := names(named, page), names(tested, list)
	if len(want) == 0 {
		t.Fatal("TestFlaskAgrees has no list of disagreements, want one")
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/limits.md names %q, want the list of TestFlaskAgrees, %q", got, want)
	}
}

// The first page must be short, so that a reader soon starts with the first lesson.
func TestRootReadmeIsShort(t *testing.T) {
	if words := len(strings.Fields(read(t, "README.md"))); words > 1000 {
		t.Errorf("README.md has %d words, want a maximum of 1,000", words)
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
		for _, exercise := range glob(t, "exercises/[0-9]*/README.md") {
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

// started returns the copies of a file in the starters of exercises. There may be none.
func started(t *testing.T, file string) []string {
	t.Helper()
	copies, err := filepath.Glob("exercises/*/start/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return copies
}

// The lessons and exercises share some files. Each folder has its own copy, so that a
// reader has a whole program in one folder. The copies are the same, to the letter.
func TestSharedFilesAreTheSameInEveryFolder(t *testing.T) {
	for file, wanted := range map[string]int{"style.css": 13, "cookie.go": 7, "login.go": 6, "report.go": 2} {
		copies := append(glob(t, "*/*/"+file), started(t, file)...)
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

// drawing is what the tests check of an SVG file.
type drawing struct {
	XMLName  xml.Name
	Role     string   `xml:"role,attr"`
	Labels   string   `xml:"aria-labelledby,attr"`
	ViewBox  string   `xml:"viewBox,attr"`
	Title    labelled `xml:"title"`
	Desc     labelled `xml:"desc"`
	Style    string   `xml:"style"`
	elements []xml.StartElement
}

type labelled struct {
	ID   string `xml:"id,attr"`
	Text string `xml:",chardata"`
}

// parseDrawing reads an SVG file. It fails the test if the file is not XML.
func parseDrawing(t *testing.T, file string) drawing {
	t.Helper()
	text := read(t, file)
	var d drawing
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%s: %v, want XML", file, err)
	}
	// Unmarshal stops after the root element. Token reads the whole file.
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return d
		}
		if err != nil {
			t.Fatalf("%s: %v, want XML", file, err)
		}
		if start, ok := token.(xml.StartElement); ok {
			d.elements = append(d.elements, start.Copy())
		}
	}
}

// width returns the width of the drawing's viewBox.
func (d drawing) width() float64 {
	box := strings.Fields(d.ViewBox)
	if len(box) != 4 {
		return 0
	}
	width, _ := strconv.ParseFloat(box[2], 64)
	return width
}

// A drawing must say the same in words, be readable in the dark and on a phone, and load
// nothing from elsewhere.
func TestDrawingsHaveATextAlternative(t *testing.T) {
	for _, file := range append(glob(t, "lessons/*/*.svg"), glob(t, "docs/*.svg")...) {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			d := parseDrawing(t, file)
			if d.XMLName != (xml.Name{Space: "http://www.w3.org/2000/svg", Local: "svg"}) {
				t.Errorf("got the root element %v, want svg", d.XMLName)
			}
			if d.Role != "img" {
				t.Errorf("got role %q, want img", d.Role)
			}
			if strings.TrimSpace(d.Title.Text) == "" {
				t.Error("got no title, want one")
			}
			if strings.TrimSpace(d.Desc.Text) == "" {
				t.Error("got no desc, want one")
			}
			if want := d.Title.ID + " " + d.Desc.ID; d.Labels != want || d.Title.ID == "" || d.Desc.ID == "" {
				t.Errorf("got aria-labelledby %q, want the IDs of title and desc, %q", d.Labels, want)
			}
			if !regexp.MustCompile(`@media \(prefers-color-scheme: dark\) \{\s*[^\s}]`).MatchString(d.Style) {
				t.Error("got no rules for prefers-color-scheme: dark, want some")
			}
			if strings.Contains(d.Style, "@import") || strings.Contains(d.Style, "url(") {
				t.Error("got a style that loads something, want all in the file")
			}
			for _, element := range d.elements {
				if element.Name.Local == "script" {
					t.Error("got a script, want none")
				}
				for _, attr := range element.Attr {
					if attr.Name.Local == "href" && !strings.HasPrefix(attr.Value, "#") {
						t.Errorf("got %s with href %q, want no reference to another file", element.Name.Local, attr.Value)
					}
				}
			}
			widest := 760.0
			if strings.HasPrefix(filepath.ToSlash(file), "lessons/") {
				widest = 420 // readable on a phone, 360 pixels wide
			}
			if width := d.width(); width <= 0 || width > widest {
				t.Errorf("got viewBox %q, want a width of 1 to %g", d.ViewBox, widest)
			}
		})
	}
}

// A colour means the same in each lesson's drawing, so all have one style, to the letter.
func TestDrawingsOfLessonsHaveOneStyle(t *testing.T) {
	files := glob(t, "lessons/*/*.svg")
	want := parseDrawing(t, files[0]).Style
	for _, file := range files[1:] {
		if parseDrawing(t, file).Style != want {
			t.Errorf("%s has another style than %s, want the same", file, files[0])
		}
	}
}
