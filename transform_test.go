package sessions

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A learner writes other sentences and other HTML than our solution has. So the tests of an
// exercise must also pass with pages that are written in another way. Only what the task
// says stays the same.
func TestExercisesPassInOtherWordsAndOtherHTML(t *testing.T) {
	readmes := glob(t, "exercises/[0-9]*/README.md")
	if os.Getenv("EDITS") != "all" {
		readmes = []string{filepath.Join("exercises", "2-remember-me", "README.md")}
	}
	for _, readme := range readmes {
		t.Run(folder(readme), func(t *testing.T) {
			t.Parallel()
			task := strings.Join(strings.Fields(read(t, readme)), " ")
			other := make(overlay)
			for _, file := range glob(t, folder(readme)+"/*.html") {
				other[filepath.ToSlash(file)] = inOtherWords(read(t, file), task)
			}
			output := other.test(t, folder(readme), "Test.*")
			if failed := regexp.MustCompile(`(?ms)^\s*--- FAIL: .*?^(=== |PASS|FAIL)`).FindAllString(output, -1); failed != nil || !strings.Contains(output, "\nok ") {
				t.Errorf("the pages are in other words and other HTML, and some tests fail, want none:\n%s", strings.Join(failed, ""))
			}
		})
	}
}

var (
	// What is no text in a template: comments, styles, tags and actions such as
	// {{if .Remember}}. A tag can have actions in it, and a template can have attributes only.
	noText = regexp.MustCompile(`(?s)\{\{/\*.*?\*/\}\}|<!.*?>|<style.*?</style>|` + tag.String() + `|[\w-]+="(?:\{\{[^}]*\}\}|\{?[^"{])*"|\{\{[^}]*\}\}`)
	tag    = regexp.MustCompile(`(?s)<(/?)([a-z][a-z0-9]*)((?:\{\{[^}]*\}\}|"(?:\{\{[^}]*\}\}|\{?[^"{])*"|[^"<>{])*?)(/?)>`)

	// The sentences of a text, or its parts before a colon.
	sentences = regexp.MustCompile(`[^.:!?]*[.:!?]*`)

	// The parts of a tag: attributes, and actions from {{if}} to {{end}}.
	parts = regexp.MustCompile(`(?s)\{\{(?:if|with|range)[^}]*\}\}.*?\{\{end\}\}|[\w:-]+="(?:\{\{[^}]*\}\}|\{?[^"{])*"|[\w:-]+|\{\{[^}]*\}\}`)
)

// inOtherWords returns a page with other tags, and with other text where the task does not
// have the text.
func inOtherWords(page, task string) string {
	var b strings.Builder
	for page != "" {
		at := noText.FindStringIndex(page)
		if at == nil {
			at = []int{len(page), len(page)}
		}
		text, next := page[:at[0]], page[at[0]:at[1]]
		for _, sentence := range sentences.FindAllString(text, -1) {
			if !strings.Contains(task, strings.Join(strings.Fields(sentence), " ")) {
				sentence = strings.Map(rot13, sentence)
			}
			b.WriteString(sentence)
		}
		b.WriteString(otherTag(next))
		page = page[at[1]:]
	}
	return b.String()
}

// otherTag turns the order of a tag's attributes around, adds one, and replaces elements
// that mean nothing by others.
func otherTag(old string) string {
	found := tag.FindStringSubmatch(old)
	if found == nil || found[0] != old {
		return old
	}
	slash, name, attributes, end := found[1], found[2], found[3], found[4]
	if other, ok := map[string]string{"p": "div", "b": "strong"}[name]; ok {
		name = other
	}
	if slash == "/" {
		return "</" + name + ">"
	}
	reversed := parts.FindAllString(attributes, -1)
	slices.Reverse(reversed)
	return "<" + strings.Join(append([]string{name, `data-other="yes"`}, reversed...), " ") + end + ">"
}

// rot13 replaces a letter by another one.
func rot13(r rune) rune {
	switch {
	case r > unicode.MaxASCII || !unicode.IsLetter(r):
		return r
	case unicode.ToLower(r) < 'n':
		return r + 13
	}
	return r - 13
}
