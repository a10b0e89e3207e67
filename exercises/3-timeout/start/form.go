package main

import (
	"context"
	"net/http"
)

// form is what the login page shows. It has no password, so no page ever shows one.
//
// TODO: why the visitor was logged out, and the page that the login leads to.
type form struct {
	Username string // as it was typed
	Problem  string // what is wrong with the form
	Note     note   // a note that came too late
	MaxNote  int
}

func (a *app) loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{})
}

// login checks the username and the password.
//
// TODO: the form can have a note that came too late.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	f := form{Username: r.PostForm.Get("username")}
	var status int
	status, f.Problem = a.checkLogin(r.Context(), f, r.PostForm.Get("password"))
	if f.Problem != "" {
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		show(w, status, "login", f)
		return
	}
	// TODO: the visitor has the right password. Begin a session, without the values of the
	// session before it, and redirect.
	notYet(w, r)
}

// checkLogin returns a status and a text for the problem with a login. If there is no
// problem, the text is "". It checks the password last, because that is the slow part.
func (a *app) checkLogin(ctx context.Context, f form, guess string) (status int, text string) {
	switch {
	case f.Username == "":
		return http.StatusBadRequest, "The username is missing."
	case guess == "":
		return http.StatusBadRequest, "The password is missing."
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

// TODO: write it.
func logout(w http.ResponseWriter, r *http.Request) {
	notYet(w, r)
}

// passwords has the users.
var passwords = map[string]password{
	"admin": {
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password. It does the same work if there is no
// such user.
func check(name, guess string) bool {
	stored, known := passwords[name]
	return stored.matches(guess) && known
}
