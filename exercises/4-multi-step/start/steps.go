package main

import (
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
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
	Autocomplete      string // what the browser can fill in
	Options           []string
	Max               int // characters
	Optional          bool
	wrong             func(value string) string // returns the problem with a value, or ""
}

// input is what the template "field" of pages.html shows: a field, its value, and what is
// wrong with the value.
type input struct {
	field
	Value, Problem string
}

// steps has the three steps that ask something. The fourth step is the review.
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
		{Name: "count", Label: "How many", Hint: "From 1 to 20.", Kind: "number", Max: 20, wrong: wrongCount},
		{Name: "day", Label: "Day of delivery", Hint: "From tomorrow to 30 days from today.", Kind: "date", Max: 20, wrong: wrongDay},
		{Name: "note", Label: "Note for the gardener", Hint: "Up to 1000 characters.", Kind: "textarea", Max: 1000, Optional: true},
	}},
}

var trees = []string{"Apple", "Cherry", "Pear", "Walnut"}

// check returns the problem with a value of the field, or "".
//
// TODO: a missing value, a value that is too long, and characters that are not allowed.
func (f field) check(value string) string {
	if f.wrong != nil {
		return f.wrong(value)
	}
	return ""
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
	if err != nil || n < 1 || n > 20 || strconv.Itoa(n) != value {
		return "How many must be a number from 1 to 20."
	}
	return ""
}

// wrongDay is the rule for the day of delivery. Its result depends on the current day, in
// UTC.
func wrongDay(value string) string {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	first, last := today.AddDate(0, 0, 1), today.AddDate(0, 0, 30)
	day, err := time.Parse(time.DateOnly, value)
	if err != nil || day.Before(first) || day.After(last) {
		return fmt.Sprintf("Day of delivery must be from %s to %s.", first.Format(time.DateOnly), last.Format(time.DateOnly))
	}
	return ""
}
