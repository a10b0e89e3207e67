package main

import (
	"net/http"

	"example.com/sessions/internal/session"
)

// form is what the login page shows again: the username that was typed, and the problem
// with the form. It has no password, so no page ever shows one.
type form struct{ Username, Problem string }

// loginForm shows the login page. A visitor whose session was ended elsewhere comes here
// from signedIn, and must learn why.
func loginForm(w http.ResponseWriter, r *http.Request) {
	f := form{}
	if hasEnded(r) {
		f.Problem = ended
	}
	show(w, r, http.StatusOK, "login", f)
}

const ended = "Your session has ended. Log in again."

// hasEnded reports whether the browser sent a session cookie that opens no session. Then
// the session was ended elsewhere, or it has expired, or the cookie is not valid. The
// handler cannot know which of the three it was.
func hasEnded(r *http.Request) bool {
	return session.From(r).IsNew() && len(r.CookiesNamed(cookieName)) > 0
}

// login checks the username and the password, and begins a session.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name, guess := r.PostForm.Get("username"), r.PostForm.Get("password")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			show(w, r, http.StatusBadRequest, "login", form{name, "The " + field + " is missing."})
			return
		}
	}
	right := false
	if err := t.do(r.Context(), func() { right = check(name, guess) }); err != nil {
		w.Header().Set("Retry-After", "5") // there was no turn, so the password was not checked
		show(w, r, http.StatusServiceUnavailable, "login", form{name, tooMany})
		return
	}
	if !right {
		show(w, r, http.StatusForbidden, "login", form{name, "Invalid credentials"})
		return
	}
	s := session.From(r)
	signIn(s, name)
	s.SetPermanent(r.PostForm.Has("keep"))
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

// signIn ends the session from before the login, and begins one with a new ID.
//
// An attacker may have planted the old ID in this browser (session fixation). With a
// new ID, the attacker does not know the user's session.
//
// No value is carried over, not even the cart. It may belong to the attacker, or to an
// earlier visitor at this browser.
func signIn(s *session.Session, name string) {
	s.Clear()
	s.SetOwner(name) // for Manager.Sessions
	username.Set(s, name)
}

// logout ends the session in the store. From then on a copy of its cookie opens nothing.
// The manager also tells the browser to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// user returns the name of the user who is signed in. It returns "" if no one is signed
// in, or if the account no longer exists.
func user(s *session.Session) string {
	name := username.Get(s)
	if _, known := passwords[name]; !known {
		return ""
	}
	return name
}

// signedIn returns a handler that calls next with the name of the user who is signed in.
// It sends all other visitors to the login page.
func signedIn(next func(w http.ResponseWriter, r *http.Request, name string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := user(session.From(r))
		if name == "" {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next(w, r, name)
	}
}

// passwords has the users. A real site has them in a database. To make an entry, run
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
