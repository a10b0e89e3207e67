package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"example.com/sessions/internal/session"
)

// form is what the login page shows. It has no password, so no page ever shows one.
type form struct {
	Username string // as it was typed
	Problem  string // what is wrong with the form
	After    string // the time limit that ended the last login, "" if none did
	Next     string // the page that the login leads to
	Note     note   // a note that came after the deadline
	MaxNote  int
}

// loginForm shows the login form. If a time limit ended the login, the page says which.
//
// It reads the reason from the expired session and does not change that session. If it
// deleted the cookie, a slow response to one tab could delete the cookie of a newer login
// in another tab.
func (a *app) loginForm(w http.ResponseWriter, r *http.Request) {
	_, after := a.user(session.From(r))
	show(w, http.StatusOK, "login", form{After: after, Next: place(r.URL.Query().Get("next"))})
}

// login checks the username and the password, and begins a session whose two times are
// now. If the form has a note that came after the deadline, the login saves the note.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	f := form{
		Username: r.PostForm.Get("username"),
		Next:     place(r.PostForm.Get("next")),
		Note:     typed(r),
		MaxNote:  maxNote,
	}
	var status int
	status, f.Problem = a.checkLogin(r.Context(), f, r.PostForm.Get("password"))
	if f.Problem != "" {
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		show(w, status, "login", f)
		return
	}
	if f.Note.Text != "" {
		a.saveNote(f.Username, f.Note)
	}
	s := session.From(r)
	s.Clear() // an attacker or an earlier visitor may have left values in this session
	username.Set(s, f.Username)
	loggedInAt.Set(s, time.Now().UTC())
	active(s)
	http.Redirect(w, r, f.Next, http.StatusSeeOther)
}

// checkLogin returns a status and a text for the problem with a login. If there is no
// problem, the text is "". It checks the password last, because that is the slow part.
func (a *app) checkLogin(ctx context.Context, f form, guess string) (status int, text string) {
	switch {
	case f.Username == "":
		return http.StatusBadRequest, "The username is missing."
	case guess == "":
		return http.StatusBadRequest, "The password is missing."
	case f.Note.Text != "" && checkNote(f.Note.Text) != "":
		return http.StatusBadRequest, checkNote(f.Note.Text)
	}
	right := false
	if err := a.logins.do(ctx, func() { right = check(f.Username, guess) }); err != nil {
		return http.StatusServiceUnavailable, tooMany // there was no turn, so the password was not checked
	}
	if !right {
		return http.StatusForbidden, "Invalid credentials"
	}
	return 0, ""
}

func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// places are the pages that a login can lead back to.
var places = []string{"/dashboard", "/notes", "/notes/new"}

// place returns next if it is in places, and the dashboard otherwise.
//
// An attacker can make a link to the login page with any next. To parse next safely, the
// site would have to read it as every browser does. For browsers, "//evil.example",
// "/\evil.example" and "https:evil.example" are other sites. A list needs no parsing.
func place(next string) string {
	if slices.Contains(places, next) {
		return next
	}
	return "/dashboard"
}

// toLogin redirects to the login page. The login then leads back to page.
func toLogin(w http.ResponseWriter, r *http.Request, page string) {
	http.Redirect(w, r, "/login?next="+url.QueryEscape(page), http.StatusSeeOther)
}

// passwords has the users. A real site has them in a database. To add a user, run
//
//	go run ./lessons/04-auth -hash
var passwords = map[string]password{
	"admin": {
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password.
//
// If there is no such user, check does the same work on an empty entry, because a
// faster response would tell which names exist.
func check(name, guess string) bool {
	stored, known := passwords[name]
	return stored.matches(guess) && known
}
