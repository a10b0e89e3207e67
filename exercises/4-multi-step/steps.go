package main

import (
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// step is one page of a form.
type step struct {
	Name, Title string // Name is part of the path of the page
	Fields      []field
}

// field is one question.
type field struct {
	Name, Label, Hint string
	Kind              string // an input's type, or select, or textarea
	Autocomplete      string // what the browser can fill in (HTML, autofill)
	Options           []string
	Max               int // characters
	Optional          bool
	wrong             func(value string) string // returns the problem with a value, or ""
}

// review is the index of the last step. It has no field. It ends when the visitor sends
// the order.
const review = 3

var steps = []step{
	{"who", "Who", []field{
		{Name: "name", Label: "Name", Kind: "text", Autocomplete: "name", Max: 80},
		{Name: "email", Label: "E-mail address", Kind: "email", Autocomplete: "email", Max: 254, wrong: wrongAddress},
	}},
	{"where", "Where", []field{
		{Name: "street", Label: "Street and number", Kind: "text", Autocomplete: "address-line1", Max: 120},
		{Name: "postcode", Label: "Postcode", Kind: "text", Autocomplete: "postal-code", Max: 12},
		{Name: "town", Label: "Town", Kind: "text", Autocomplete: "address-level2", Max: 80},
	}},
	{"what", "What", []field{
		{Name: "tree", Label: "Tree", Kind: "select", Options: trees, Max: 20, wrong: wrongTree},
		{Name: "count", Label: "How many", Hint: fmt.Sprintf("From 1 to %d.", maxTrees), Kind: "number", Max: 20, wrong: wrongCount},
		{Name: "day", Label: "Day of delivery", Hint: fmt.Sprintf("From tomorrow to %d days from today.", maxDays), Kind: "date", Max: 20, wrong: wrongDay},
		{Name: "note", Label: "Note for the gardener", Hint: "Up to 1000 characters.", Kind: "textarea", Max: 1000, Optional: true},
	}},
	{"review", "Review", nil},
}

var trees = []string{"Apple", "Cherry", "Pear", "Walnut"}

const (
	maxTrees = 20
	maxDays  = 30 // from today to the delivery
)

// read returns the values of a step's fields in a posted form. If a field was sent twice,
// read returns its first value.
func (s step) read(posted url.Values) map[string]string {
	typed := make(map[string]string)
	for _, f := range s.Fields {
		value := strings.ToValidUTF8(posted.Get(f.Name), "\uFFFD")
		value = strings.ReplaceAll(value, "\r\n", "\n") // browsers send \r\n
		typed[f.Name] = strings.TrimSpace(value)
	}
	return typed
}

// check returns the problems with a step's answers, by field. If there are none, the step
// is finished.
func (s step) check(answers map[string]string) map[string]string {
	problems := make(map[string]string)
	for _, f := range s.Fields {
		if problem := f.check(answers[f.Name]); problem != "" {
			problems[f.Name] = problem
		}
	}
	return problems
}

// answered reports whether the visitor has sent the step, even if it was empty.
func (s step) answered(answers map[string]string) bool {
	return slices.ContainsFunc(s.Fields, func(f field) bool {
		_, ok := answers[f.Name]
		return ok
	})
}

// check returns the problem with a value of the field, or "".
func (f field) check(value string) string {
	n := utf8.RuneCountInString(value)
	switch {
	case value == "" && f.Optional:
		return ""
	case value == "":
		return f.Label + " is missing."
	case n > f.Max:
		return fmt.Sprintf("%s has %d characters. The maximum is %d.", f.Label, n, f.Max)
	case strings.ContainsFunc(value, f.strange):
		return f.Label + " has a character that is not text."
	case !strings.ContainsFunc(value, shows):
		return f.Label + " has no character that one can see."
	case f.wrong != nil:
		return f.wrong(value)
	}
	return ""
}

// strange reports whether the field must not contain r. Strange are control characters,
// bytes that were not UTF-8, and invisible characters that change what the others look
// like. For example, U+202E reverses the letters after it, so that a name looks like
// another one.
//
// U+200C and U+200D are not strange, because Persian and Hindi need them.
func (f field) strange(r rune) bool {
	switch {
	case f.Kind == "textarea" && (r == '\n' || r == '\t'):
		return false
	case r == '\u200C' || r == '\u200D':
		return false
	}
	return unicode.IsControl(r) || r == '\uFFFD' || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// shows reports whether r is visible by itself. A space, a mark over another letter and
// the braille pattern without dots are not.
func shows(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && r != '\u2800'
}

func wrongAddress(value string) string {
	a, err := mail.ParseAddress(value)
	if err != nil || a.Address != value { // ParseAddress also accepts "Ada <ada@example.com>"
		return "E-mail address must be like ada@example.com."
	}
	return ""
}

func wrongTree(value string) string {
	if !slices.Contains(trees, value) {
		return "Tree must be one of: " + strings.Join(trees, ", ") + "."
	}
	return ""
}

func wrongCount(value string) string {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxTrees || strconv.Itoa(n) != value {
		return fmt.Sprintf("How many must be a number from 1 to %d.", maxTrees)
	}
	return ""
}

// wrongDay is the rule for the day of delivery. Its result depends on the current day, in
// UTC.
func wrongDay(value string) string {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	first, last := today.AddDate(0, 0, 1), today.AddDate(0, 0, maxDays)
	day, err := time.Parse(time.DateOnly, value)
	if err != nil || day.Before(first) || day.After(last) {
		return fmt.Sprintf("Day of delivery must be from %s to %s.", first.Format(time.DateOnly), last.Format(time.DateOnly))
	}
	return ""
}
