package main

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// Each line of each Go file is on its page: as code with its number, or in the text.
func TestSourcePageHasEveryLine(t *testing.T) {
	checked := 0
	for _, pattern := range []string{"internal/session/*.go", "lessons/*/*.go", "exercises/*/*.go", "cmd/*/*.go"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts, err := annotate(string(data), names{"main": "/source/x.go#L1"}, names{})
			if err != nil {
				t.Fatal(err)
			}
			var page strings.Builder
			for _, p := range parts {
				page.WriteString(string(p.Text) + string(p.Code))
			}
			shown := html.UnescapeString(tags.ReplaceAllString(page.String(), ""))
			for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
				if line == "" || strings.HasPrefix(line, "//") {
					continue // a comment is text, whose lines are broken elsewhere
				}
				checked++
				if !strings.Contains(shown, "   "+line+"\n") {
					t.Errorf("%s:%d is not on the page: %s", file, i+1, line)
				}
			}
		}
	}
	if checked < 5000 {
		t.Errorf("checked %d lines, want at least 5000", checked)
	}
}

func TestNamesLeadToTheirDefinition(t *testing.T) {
	const source = `// Package x counts.
package x

// Count is one of [Counts].
type Count struct{ n int }

// Counts are several.
type Counts []Count

func (c Count) Add(n int) { use(n) }

func use(count int) {
	Add := count
	session.New(Add, Count{n: 1})
	Count{}.Add(use)
}
`
	own := readNames(map[string]string{"x/x.go": source})
	imported := readNames(map[string]string{"session/s.go": "package session\n\nfunc New() {}\n"})
	parts, err := annotate(source, own, imported)
	if err != nil {
		t.Fatal(err)
	}
	var text, code string
	for _, p := range parts {
		text += string(p.Text)
		code += string(p.Code)
	}
	for want, in := range map[string]string{
		`<a href="/source/x/x.go#L8">Counts</a>`:                                      text,
		`<a href="/source/x/x.go#L5">Count</a>{}`:                                     code,
		`.<a href="/source/x/x.go#L10">Add</a>(<a href="/source/x/x.go#L12">use</a>)`: code,
		`session.<a href="/source/session/s.go#L3">New</a>(Add, `:                     code,
		`<span class="keyword">package</span> x`:                                      code,
		`id="L13"`:                                                                    code,
		`id="L4"`:                                                                     text,
	} {
		if !strings.Contains(in, want) {
			t.Errorf("want %s in\n%s", want, in)
		}
	}
	if strings.Contains(code, ">Add</a> :=") {
		t.Errorf("a local name leads to a method of the same name:\n%s", code)
	}
}
