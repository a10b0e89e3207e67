package main

import "net/http"

// form is what the login page shows again. It has no password, so no page ever shows
// one.
type form struct {
	Username string // as it was typed
	Remember bool   // the box is ticked
	Problem  string // what is wrong with the form
	WasIdle  bool   // the visitor is here because their session was idle
}

// typed returns the form that the visitor sent, without the password.
//
// Only the form's own value "yes" is a ticked box. With any other value, the visitor
// gets a browser session, because it ends sooner.
func typed(r *http.Request) form {
	return form{Username: r.PostForm.Get("username"), Remember: r.PostForm.Get("remember") == "yes"}
}

// problem shows the form again, as it was typed.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	f := typed(r)
	f.Problem = text
	show(w, status, "login", f)
}

// passwords has the users. A real site has them in a database. To add a user, run
//
//	go run ./lessons/04-auth -hash
var passwords = map[string]password{
	"admin": {
		Salt: "7c6239f2a2a3eb8c4f680b36d5fae50c",
		Hash: "3cfc51d164e4edeb9be7e6a07a37581f1ef50a5daf309305c8acb11f30f9b9f7",
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
