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
	Name, Title string // Name is in its path
	Fields      []field
}

// field is one question.
type field struct {
	Name, Label, Hint string
	Kind              string // an input's type, or select, or textarea
	Autocomplete      string // what the browser may fill in (HTML, autofill)
	Options           []string
	Max               int // characters
	Optional          bool
	wrong             func(value string) string // what is wrong with it, "" if nothing
}

// review is the last step, which has no field: it is never finished, but sent.
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
		{Name: "day", Label: "Day of delivery", Hint: fmt.Sprintf("From tomorrow on, and within %d days.", maxDays), Kind: "date", Max: 20, wrong: wrongDay},
		{Name: "note", Label: "Note for the gardener", Hint: "If there is something to say. It may have 1000 characters.", Kind: "textarea", Max: 1000, Optional: true},
	}},
	{"review", "Review", nil},
}

var trees = []string{"Apple", "Cherry", "Pear", "Walnut"}

const (
	maxTrees = 20
	maxDays  = 30 // from today to the delivery
)

// read returns what was typed into the fields of a step. Of a field that is sent
// twice the first value counts, and it is the one that is checked.
func (s step) read(posted url.Values) map[string]string {
	typed := make(map[string]string)
	for _, f := range s.Fields {
		value := strings.ToValidUTF8(posted.Get(f.Name), "\uFFFD")
		value = strings.ReplaceAll(value, "\r\n", "\n") // browsers send \r\n
		typed[f.Name] = strings.TrimSpace(value)
	}
	return typed
}

// check returns what is wrong, by field. It is empty when the step is done.
func (s step) check(answers map[string]string) map[string]string {
	problems := make(map[string]string)
	for _, f := range s.Fields {
		if problem := f.check(answers[f.Name]); problem != "" {
			problems[f.Name] = problem
		}
	}
	return problems
}

// answered reports whether the step was sent, be it empty.
func (s step) answered(answers map[string]string) bool {
	return slices.ContainsFunc(s.Fields, func(f field) bool {
		_, ok := answers[f.Name]
		return ok
	})
}

func (f field) check(value string) string {
	n := utf8.RuneCountInString(value)
	switch {
	case value == "" && f.Optional:
		return ""
	case value == "":
		return f.Label + " is missing."
	case n > f.Max:
		return fmt.Sprintf("%s has %d characters, and may have %d.", f.Label, n, f.Max)
	case strings.ContainsFunc(value, f.strange):
		return f.Label + " has a character that is no text."
	case !strings.ContainsFunc(value, shows):
		return f.Label + " has nothing that can be read."
	case f.wrong != nil:
		return f.wrong(value)
	}
	return ""
}

// strange reports whether r has no place in the field: a control character, what was
// not UTF-8, or a character that shows nothing by itself and changes what the others
// look like. U+202E, for example, reverses the letters after it, so that a name looks
// like another one. U+200C and U+200D stay: Persian and Hindi are written with them.
func (f field) strange(r rune) bool {
	switch {
	case f.Kind == "textarea" && (r == '\n' || r == '\t'):
		return false
	case r == '\u200C' || r == '\u200D':
		return false
	}
	return unicode.IsControl(r) || r == '\uFFFD' || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// shows reports whether r is seen by itself: not a space, a mark over another letter, or
// the braille pattern without dots.
func shows(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && r != '\u2800'
}

func wrongAddress(value string) string {
	a, err := mail.ParseAddress(value)
	if err != nil || a.Address != value { // it also reads "Ada <ada@example.com>"
		return "E-mail address is to be like ada@example.com."
	}
	return ""
}

func wrongTree(value string) string {
	if !slices.Contains(trees, value) {
		return "Tree is to be one of: " + strings.Join(trees, ", ") + "."
	}
	return ""
}

func wrongCount(value string) string {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxTrees || strconv.Itoa(n) != value {
		return fmt.Sprintf("How many is to be a number from 1 to %d.", maxTrees)
	}
	return ""
}

// wrongDay is the rule that time changes. Days are those of UTC.
func wrongDay(value string) string {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	first, last := today.AddDate(0, 0, 1), today.AddDate(0, 0, maxDays)
	day, err := time.Parse(time.DateOnly, value)
	if err != nil || day.Before(first) || day.After(last) {
		return fmt.Sprintf("Day of delivery is to be from %s to %s.", first.Format(time.DateOnly), last.Format(time.DateOnly))
	}
	return ""
}
