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
type page struct {
	User          string
	End           ending
	Notes         []string
	Text, Problem string // what was typed as a note, and what is wrong with it
	MaxNote       int
}

func (a *app) dashboard(w http.ResponseWriter, r *http.Request, name string) {
	p := page{User: name, End: a.end(session.From(r))}
	a.warn(w, r.URL.Path, p.End)
	show(w, http.StatusOK, "dashboard", p)
}

func (a *app) listNotes(w http.ResponseWriter, r *http.Request, name string) {
	p := page{User: name, End: a.end(session.From(r)), Notes: a.notesOf(name)}
	a.warn(w, r.URL.Path, p.End)
	show(w, http.StatusOK, "notes", p)
}

// noteForm shows a page that does not refresh itself, because a refresh would delete
// what the visitor is typing.
func (a *app) noteForm(w http.ResponseWriter, r *http.Request, name string) {
	show(w, http.StatusOK, "note", page{User: name, End: a.end(session.From(r)), MaxNote: maxNote})
}

// addNote saves a note.
//
// A note that comes after the deadline is not lost. The login page contains it, and the
// login saves it.
func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	text := typed(r)
	name, after := a.user(s)
	if name == "" {
		show(w, http.StatusForbidden, "login", form{After: after, Next: "/notes", Text: text, MaxNote: maxNote})
		return
	}
	active(s)
	if wrong := checkNote(text); wrong != "" {
		show(w, http.StatusBadRequest, "note", page{User: name, End: a.end(s), Text: text, Problem: wrong, MaxNote: maxNote})
		return
	}
	a.saveNote(name, text)
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

// typed returns the form's note as UTF-8, with lines that end in LF. Browsers send CR LF
// at the end of a line, but their maxlength counts it as one character.
func typed(r *http.Request) string {
	text := strings.ToValidUTF8(r.PostForm.Get("text"), "\uFFFD")
	return strings.ReplaceAll(text, "\r\n", "\n")
}

// checkNote returns the problem with a note, or "" if there is none.
func checkNote(text string) string {
	if strings.TrimSpace(text) == "" {
		return "The note is empty."
	}
	if n := utf8.RuneCountInString(text); n > maxNote {
		return fmt.Sprintf("A note can have at most %d characters. This one has %d.", maxNote, n)
	}
	return ""
}

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
