package main

import (
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// plain returns a document whose links stay as they are.
func plain() *document {
	return &document{
		link:  func(target string) string { return target },
		test:  func(string) string { return "" },
		after: func(string, string) template.HTML { return "" },
	}
}

func TestMarkdownOfEveryPageIsKnown(t *testing.T) {
	pages := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "lessons/*/*.md", "exercises/*/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			pages++
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, err := plain().render(string(text))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, left := range []string{"```", "](", "\n| ", "**"} {
				outside := codeBlocks.ReplaceAllString(string(out), "")
				if strings.Contains(outside, left) {
					i := strings.Index(outside, left)
					t.Errorf("%s: the page still has Markdown's %q: %.80q", file, left, outside[max(0, i-30):])
				}
			}
		}
	}
	if pages < 20 {
		t.Errorf("found %d pages, want at least 20", pages)
	}
}

// codeBlocks matches what is code in the HTML.
var codeBlocks = regexp.MustCompile(`(?s)<pre.*?</pre>|<code>.*?</code>`)

func TestMarkdownIsRendered(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"heading":    {"## The *idea*", "<h2 id=\"the-idea\">The <em>idea</em></h2>\n"},
		"paragraph":  {"one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>\n"},
		"escaping":   {"a & b < c `<script>`", "<p>a &amp; b &lt; c <code>&lt;script&gt;</code></p>\n"},
		"link":       {"[the `code`](main.go) <https://go.dev>", "<p><a href=\"main.go\">the <code>code</code></a> <a href=\"https://go.dev\">https://go.dev</a></p>\n"},
		"image":      {"![two\ntabs](race.svg)", "<p><img src=\"race.svg\" alt=\"two\ntabs\"></p>\n"},
		"strong":     {"**Once.** A `*`.", "<p><strong>Once.</strong> A <code>*</code>.</p>\n"},
		"terminal":   {"    go run ./x\n\n    go test\n", "<div class=\"terminal\"><pre tabindex=\"0\" role=\"group\" aria-label=\"Code\">go run ./x\n\ngo test\n</pre><button class=\"second copy\" type=\"button\" hidden>Copy</button></div>\n"},
		"diff":       {"```diff\n-a<b\n+c\n d\n```", "<pre tabindex=\"0\" role=\"group\" aria-label=\"Code\"><span class=\"removed\">-a&lt;b\n</span><span class=\"added\">+c\n</span> d\n</pre>\n"},
		"table":      {"| a | b |\n| --- | --- |\n| `x` | 1 |", "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td><code>x</code></td><td>1</td></tr>\n</table></div>\n"},
		"list":       {"1. one\n   more\n2. two\n   - deep", "<ol>\n<li><p>one\nmore</p>\n</li>\n<li><p>two</p>\n<ul>\n<li><p>deep</p>\n</li>\n</ul>\n</li>\n</ol>\n"},
		"list, code": {"- x:\n\n      go run\n\n- y", "<ul>\n<li><p>x:</p>\n<div class=\"terminal\"><pre tabindex=\"0\" role=\"group\" aria-label=\"Code\">go run\n</pre><button class=\"second copy\" type=\"button\" hidden>Copy</button></div>\n</li>\n<li><p>y</p>\n</li>\n</ul>\n"},
		"folded":     {"<details>\n<summary>Why?</summary>\n\nSo.\n\n</details>", "<details><summary>Why?</summary>\n<p>So.</p>\n</details>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := plain().render(test.in); err != nil || string(got) != test.want {
				t.Errorf("got %q, %v\nwant %q", got, err, test.want)
			}
		})
	}
}

func TestMarkdownThatIsNotKnownIsAnError(t *testing.T) {
	for _, text := range []string{"> quoted", "* star", "<div>", "a <b>c</b>", "<details>\nno summary\n</details>", "<details><summary>x</summary>", "[a]( b)"} {
		if got, err := plain().render(text); err == nil {
			t.Errorf("%q: got %q and no error, want an error", text, got)
		}
	}
}
