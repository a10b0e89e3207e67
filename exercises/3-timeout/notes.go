package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/sessions/internal/session"
)

const (
	maxNote  = 1000 // characters
	maxNotes = 20   // of each user; older notes are deleted
)

// note is a text that a user saved.
type note struct {
	ID   string // of the form in which it was typed; random
	Text string
}

// page is the data for the pages of a user.
type page struct {
	User    string
	End     ending
	Notes   []note
	Note    note   // what was typed
	Problem string // what is wrong with Note
	MaxNote int
}

// page returns what all pages of a user need.
func (a *app) page(r *http.Request, name string) page {
	return page{User: name, End: a.end(session.From(r)), MaxNote: maxNote}
}

func (a *app) dashboard(w http.ResponseWriter, r *http.Request, name string) {
	p := a.page(r, name)
	a.warn(w, r.URL.Path, p.End)
	show(w, http.StatusOK, "dashboard", p)
}

func (a *app) listNotes(w http.ResponseWriter, r *http.Request, name string) {
	p := a.page(r, name)
	p.Notes = a.notesOf(name)
	a.warn(w, r.URL.Path, p.End)
	show(w, http.StatusOK, "notes", p)
}

// noteForm shows a page that does not refresh itself, because a refresh would delete
// what the visitor is typing. Each form has an ID, so that a note that is sent twice can be
// saved once.
func (a *app) noteForm(w http.ResponseWriter, r *http.Request, name string) {
	p := a.page(r, name)
	p.Note.ID = rand.Text()
	show(w, http.StatusOK, "note", p)
}

// addNote saves a note.
//
// A note that comes after the deadline is not lost. The login page contains it, and the
// login saves it.
func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	n := typed(r)
	name, after := a.user(s)
	if name == "" {
		show(w, http.StatusForbidden, "login", form{After: after, Next: "/notes", Note: n, MaxNote: maxNote})
		return
	}
	active(s)
	if wrong := checkNote(n.Text); wrong != "" {
		p := a.page(r, name)
		p.Note, p.Problem = n, wrong
		show(w, http.StatusBadRequest, "note", p)
		return
	}
	a.saveNote(name, n)
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

// typed returns the form's note, with lines that end in LF. Browsers send CR LF at the end
// of a line, but their maxlength counts it as one character. A note of white space is "".
func typed(r *http.Request) note {
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n")
	if strings.TrimSpace(text) == "" {
		text = ""
	}
	return note{ID: r.PostForm.Get("id"), Text: text}
}

// checkNote returns the problem with a note, or "" if there is none.
func checkNote(text string) string {
	n := utf8.RuneCountInString(text)
	switch {
	case text == "":
		return "The note is empty."
	case !utf8.ValidString(text):
		return "The note is not text in UTF-8."
	case n > maxNote:
		return fmt.Sprintf("A note can have at most %d characters. This one has %d.", maxNote, n)
	}
	return ""
}

// saveNote saves a note, unless it is saved already. A browser sends a note twice if the
// visitor presses Save twice, or reloads a page that was the response to a POST.
//
// It compares the text too. A visitor can go back to an old form and write another note in
// it, and that note must not be lost.
func (a *app) saveNote(user string, n note) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.notes[user], n) {
		return
	}
	notes := append([]note{n}, a.notes[user]...)
	a.notes[user] = notes[:min(len(notes), maxNotes)]
}

func (a *app) notesOf(user string) []note {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes[user])
}
