package main

import (
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
	ID   string // of the form in which it was typed
	Text string
}

// page is the data for the pages of a user.
//
// TODO: when the login ends.
type page struct {
	User    string
	Notes   []note
	Note    note   // what was typed
	Problem string // what is wrong with Note
	MaxNote int
}

// page returns what all pages of a user need.
func (a *app) page(r *http.Request, name string) page {
	return page{User: name, MaxNote: maxNote}
}

func (a *app) dashboard(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "dashboard", a.page(r, name))
}

func (a *app) listNotes(w http.ResponseWriter, r *http.Request, name string) {
	p := a.page(r, name)
	p.Notes = a.notesOf(name)
	show(w, http.StatusOK, "notes", p)
}

// TODO: the form needs an ID.
func (a *app) noteForm(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "note", a.page(r, name))
}

// addNote saves a note.
func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	n := typed(r)
	name, _ := a.user(session.From(r))
	if name == "" {
		// TODO: the note came too late, and must not be lost.
		notYet(w, r)
		return
	}
	// TODO: this is activity, too.
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

// saveNote saves a note.
//
// TODO: the same note can come twice.
func (a *app) saveNote(user string, n note) {
	a.mu.Lock()
	defer a.mu.Unlock()
	notes := append([]note{n}, a.notes[user]...)
	a.notes[user] = notes[:min(len(notes), maxNotes)]
}

func (a *app) notesOf(user string) []note {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes[user])
}
