package main

import (
	"embed"
	"html/template"
	"log"
	"net/http"
	"slices"
)

// input is a field with the value and the problem that a page shows.
type input struct {
	field
	Value, Problem string
}

// inputs returns the fields of a step. They have problems only if the visitor has sent
// the step.
func inputs(s step, answers map[string]string) []input {
	var problems map[string]string
	if s.answered(answers) {
		problems = s.check(answers)
	}
	var list []input
	for _, f := range s.Fields {
		list = append(list, input{f, answers[f.Name], problems[f.Name]})
	}
	return list
}

type stepPage struct {
	Progress    progress
	Title, Back string
	Inputs      []input
}

// Wrong reports whether the page shows a problem.
func (p stepPage) Wrong() bool {
	return slices.ContainsFunc(p.Inputs, func(in input) bool { return in.Problem != "" })
}

func showStep(w http.ResponseWriter, f form, at int) {
	back := "/"
	if at > 0 {
		back = f.Path(steps[at-1].Name)
	}
	show(w, http.StatusOK, "step", stepPage{newProgress(f, at), steps[at].Title, back, inputs(steps[at], f.Answers)})
}

// part is a step in the summary on the review page and on the receipt.
type part struct {
	Title, Path string
	Inputs      []input
}

func summary(f form, answers map[string]string) []part {
	var parts []part
	for _, s := range steps[:review] {
		parts = append(parts, part{s.Title, f.Path(s.Name), inputs(s, answers)})
	}
	return parts
}

type reviewPage struct {
	Progress progress
	Parts    []part
	Seen     string // the digest of the answers on the page
	Changed  bool   // the answers changed since the visitor saw them
}

func showReview(w http.ResponseWriter, f form, changed bool) {
	show(w, http.StatusOK, "review", reviewPage{newProgress(f, review), summary(f, f.Answers), f.digest(), changed})
}

type receiptPage struct {
	Progress progress
	Order    order
	Parts    []part
}

func showReceipt(w http.ResponseWriter, f form, ord order) {
	show(w, http.StatusOK, "receipt", receiptPage{newProgress(f, len(steps)), ord, summary(f, ord.Answers)})
}

// progress is the bar and the list of steps above a page of a form.
type progress struct {
	Done, Of int
	Steps    []mark
}

// mark is a step in that list.
type mark struct {
	Title   string
	Path    string // "" where the visitor cannot go
	Current bool
}

// newProgress returns the progress of a form at step number at, from 0. The receipt comes
// after the last step.
func newProgress(f form, at int) progress {
	p := progress{Done: at, Of: len(steps)}
	for i, s := range steps {
		m := mark{Title: s.Title, Current: i == at}
		if !f.Sent && i != at && i <= f.unfinished() {
			m.Path = f.Path(s.Name)
		}
		p.Steps = append(p.Steps, m)
	}
	return p
}

// At returns the number of the step, from 1.
func (p progress) At() int { return p.Done + 1 }

// Finished reports whether no step is left.
func (p progress) Finished() bool { return p.Done == p.Of }

// Next returns the title of the first unfinished step, for the list of forms.
func (f form) Next() string { return steps[f.unfinished()].Title }

func noSuchForm(w http.ResponseWriter) {
	problem(w, http.StatusNotFound, "There is no such form. Perhaps you discarded it, did not visit it for a week, or began another form at the same time.")
}

func problem(w http.ResponseWriter, status int, text string) {
	show(w, status, "problem", text)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page that no cache may store, for two reasons. The page can contain a
// visitor's address. And without a copy, Back must ask the server for the page again, so
// it shows the newest answers.
func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
