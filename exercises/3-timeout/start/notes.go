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

// page is the data for the pages of a user.
//
// TODO: when the login ends.
type page struct {
	User          string
	Notes         []string
	Text, Problem string // what was typed as a note, and what is wrong with it
	MaxNote       int
}

func (a *app) dashboard(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "dashboard", page{User: name})
}

func (a *app) listNotes(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "notes", page{User: name, Notes: a.notesOf(name)})
}

func (a *app) noteForm(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "note", page{User: name, MaxNote: maxNote})
}

// addNote saves a note.
func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	text := typed(r)
	name, _ := a.user(session.From(r))
	if name == "" {
		// TODO: the note came too late, and must not be lost.
		notYet(w, r)
		return
	}
	// TODO: this is activity, too.
	if wrong := checkNote(text); wrong != "" {
		show(w, http.StatusBadRequest, "note", page{User: name, Text: text, Problem: wrong, MaxNote: maxNote})
		return
	}
	a.saveNote(name, text)
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

// typed returns the form's note, with lines that end in LF. Browsers send CR LF at the end
// of a line, but their maxlength counts it as one character. A note of white space is "".
func typed(r *http.Request) string {
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return text
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
func (a *app) saveNote(user, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	notes := append([]string{text}, a.notes[user]...)
	a.notes[user] = notes[:min(len(notes), maxNotes)]
}

func (a *app) notesOf(user string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes[user])
}
