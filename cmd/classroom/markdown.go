package main

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// document renders a page of Markdown as HTML. It knows what the READMEs of this
// repository use, and returns an error for anything else. It escapes all text.
type document struct {
	link  func(target string) string            // where a link or an image leads
	test  func(name string) string              // where the name of a test leads, or ""
	after func(info, text string) template.HTML // what follows a block of code
	out   strings.Builder
	err   error
}

// render returns the page as HTML.
func (d *document) render(text string) (template.HTML, error) {
	d.blocks(strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n"))
	return template.HTML(d.out.String()), d.err
}

var (
	heading  = regexp.MustCompile(`^(#{1,4}) (.+)$`)
	fence    = regexp.MustCompile("^```([a-z ]*)$")
	item     = regexp.MustCompile(`^([0-9]+\.|-) +`)
	details  = regexp.MustCompile(`^<details>(?:<summary>(.*)</summary>)?$`)
	summary  = regexp.MustCompile(`^<summary>(.*)</summary>$`)
	tableRow = regexp.MustCompile(`^\|.*\|$`)
	unknown  = regexp.MustCompile(`^(>|\* |\+ |---|===|~~~|<)`)
)

// blocks renders lines, one block after the other.
func (d *document) blocks(lines []string) {
	for len(lines) > 0 && d.err == nil {
		line := lines[0]
		switch {
		case strings.TrimSpace(line) == "":
			lines = lines[1:]
		case strings.HasPrefix(line, "    "):
			n := span(lines, func(l string) bool { return strings.HasPrefix(l, "    ") || strings.TrimSpace(l) == "" })
			d.code("", dedent(lines[:n], 4))
			lines = lines[n:]
		case fence.MatchString(line):
			n := 1 + span(lines[1:], func(l string) bool { return l != "```" })
			d.code(fence.FindStringSubmatch(line)[1], lines[1:n])
			lines = lines[min(n+1, len(lines)):]
		case heading.MatchString(line):
			d.heading(heading.FindStringSubmatch(line))
			lines = lines[1:]
		case tableRow.MatchString(line):
			n := span(lines, tableRow.MatchString)
			d.table(lines[:n])
			lines = lines[n:]
		case item.MatchString(line):
			lines = lines[d.list(lines):]
		case details.MatchString(line):
			lines = lines[d.details(lines):]
		case unknown.MatchString(line) && !strings.HasPrefix(line, "<http"):
			d.err = fmt.Errorf("this construct of Markdown is not known: %q", line)
		default:
			n := 1 + span(lines[1:], func(l string) bool {
				return strings.TrimSpace(l) != "" && !fence.MatchString(l) && !strings.HasPrefix(l, "- ") && !strings.HasPrefix(l, "1. ")
			})
			fmt.Fprintf(&d.out, "<p>%s</p>\n", d.inline(strings.Join(lines[:n], "\n")))
			lines = lines[n:]
		}
	}
}

// span returns how many of the first lines are as wanted.
func span(lines []string, wanted func(string) bool) int {
	for i, line := range lines {
		if !wanted(line) {
			return i
		}
	}
	return len(lines)
}

// dedent removes up to n spaces from the beginning of each line.
func dedent(lines []string, n int) []string {
	var out []string
	for _, line := range lines {
		out = append(out, line[min(n, len(line)-len(strings.TrimLeft(line, " "))):])
	}
	return out
}

func (d *document) heading(found []string) {
	level, text := len(found[1]), found[2]
	id := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(text), "-"), "-")
	fmt.Fprintf(&d.out, "<h%d id=\"%s\">%s</h%[1]d>\n", level, id, d.inline(text))
}

// code renders a block of code. Only an indented one is for the terminal. Its button to
// copy appears if JavaScript is on.
func (d *document) code(info string, lines []string) {
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n ") + "\n"
	if info == "" {
		fmt.Fprintf(&d.out, "<div class=\"terminal\"><pre tabindex=\"0\" role=\"group\" aria-label=\"Code\">%s</pre><button class=\"second copy\" type=\"button\" hidden>Copy</button></div>\n", html.EscapeString(text))
		return
	}
	d.out.WriteString("<pre tabindex=\"0\" role=\"group\" aria-label=\"Code\">")
	for line := range strings.Lines(text) {
		class := map[byte]string{'+': "added", '-': "removed"}[line[0]]
		if strings.HasPrefix(info, "diff") && class != "" {
			fmt.Fprintf(&d.out, "<span class=\"%s\">%s</span>", class, html.EscapeString(line))
		} else {
			d.out.WriteString(html.EscapeString(line))
		}
	}
	fmt.Fprintf(&d.out, "</pre>\n%s", d.after(info, text))
}

func (d *document) table(rows []string) {
	d.out.WriteString("<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table>\n")
	for i, row := range rows {
		if i == 1 { // | --- | --- |
			continue
		}
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		d.out.WriteString("<tr>")
		for _, text := range strings.Split(strings.Trim(row, "|"), " | ") {
			fmt.Fprintf(&d.out, "<%s>%s</%[1]s>", cell, d.inline(strings.TrimSpace(text)))
		}
		d.out.WriteString("</tr>\n")
	}
	d.out.WriteString("</table></div>\n")
}

// list renders a list, and returns how many lines it has. An item goes on in the lines
// that are indented as far as its text.
func (d *document) list(lines []string) int {
	kind := "ul"
	if lines[0][0] != '-' {
		kind = "ol"
	}
	fmt.Fprintf(&d.out, "<%s>\n", kind)
	n := 0
	for n < len(lines) && item.MatchString(lines[n]) && (lines[n][0] == '-') == (kind == "ul") {
		width := len(item.FindString(lines[n]))
		end := n + 1 + span(lines[n+1:], func(l string) bool {
			return strings.TrimSpace(l) == "" || strings.HasPrefix(l, strings.Repeat(" ", width))
		})
		d.out.WriteString("<li>")
		d.blocks(append([]string{lines[n][width:]}, dedent(lines[n+1:end], width)...))
		d.out.WriteString("</li>\n")
		n = end
	}
	fmt.Fprintf(&d.out, "</%s>\n", kind)
	return n
}

// details renders what is folded, and returns how many lines it has.
func (d *document) details(lines []string) int {
	title := details.FindStringSubmatch(lines[0])[1]
	end := span(lines, func(l string) bool { return l != "</details>" })
	body := lines[1:end]
	if title == "" && len(body) > 0 && summary.MatchString(body[0]) {
		title, body = summary.FindStringSubmatch(body[0])[1], body[1:]
	}
	if title == "" || end == len(lines) {
		d.err = fmt.Errorf("details must have a summary and an end: %q", lines[0])
		return len(lines)
	}
	fmt.Fprintf(&d.out, "<details><summary>%s</summary>\n", d.inline(title))
	d.blocks(body)
	d.out.WriteString("</details>\n")
	return end + 1
}

// inlines matches what is not plain text in a line.
var inlines = regexp.MustCompile("`([^`]+)`" +
	`|!\[([^\]]*)\]\(([^)\s]+)\)` + // an image
	`|\[((?:!\[[^\]]*\]\([^)\s]+\)|[^\[\]])+)\]\(([^)\s]+)\)` + // a link
	`|<code>([^<]+)</code>|<(https?://[^>\s]+)>|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*`)

// inline renders the text of a paragraph.
func (d *document) inline(text string) string {
	var out strings.Builder
	for text != "" {
		at := inlines.FindStringSubmatchIndex(text)
		if at == nil {
			at = []int{len(text), len(text)}
		}
		plain, group := text[:at[0]], func(i int) string {
			if 2*i >= len(at) || at[2*i] < 0 {
				return ""
			}
			return text[at[2*i]:at[2*i+1]]
		}
		if strings.Contains(plain, "<") && regexp.MustCompile(`<[a-zA-Z/!]`).MatchString(plain) || strings.Contains(plain, "](") {
			d.err = fmt.Errorf("this construct of Markdown is not known: %q", plain)
		}
		out.WriteString(html.EscapeString(plain))
		escape := html.EscapeString
		switch {
		case group(1) != "" && d.test(group(1)) != "":
			fmt.Fprintf(&out, `<a href="%s"><code>%s</code></a>`, escape(d.test(group(1))), escape(group(1)))
		case group(1) != "":
			fmt.Fprintf(&out, "<code>%s</code>", escape(group(1)))
		case group(3) != "":
			fmt.Fprintf(&out, `<img src="%s" alt="%s">`, escape(d.link(group(3))), escape(group(2)))
		case group(5) != "":
			fmt.Fprintf(&out, `<a href="%s">%s</a>`, escape(d.link(group(5))), d.inline(group(4)))
		case group(6) != "":
			fmt.Fprintf(&out, "<code>%s</code>", escape(html.UnescapeString(group(6))))
		case group(7) != "":
			fmt.Fprintf(&out, `<a href="%s">%[1]s</a>`, escape(group(7)))
		case group(8) != "":
			fmt.Fprintf(&out, "<strong>%s</strong>", d.inline(group(8)))
		case group(9) != "":
			fmt.Fprintf(&out, "<em>%s</em>", d.inline(group(9)))
		}
		text = text[at[1]:]
	}
	return out.String()
}
