package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"example.com/sessions/internal/session"
)

// form is the login form: what was typed into it, and what is wrong with that.
// The password never comes back.
type form struct{ Username, Problem string }

const tooMany = "Too many logins at the same time. Try again in a few seconds."

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{})
}

// check waits for its turn, and then reports whether the user has this password.
func (t turns) check(ctx context.Context, name, guess string) (ok bool, err error) {
	err = t.do(ctx, func() error {
		ok = check(name, guess)
		return nil
	})
	return ok, err
}

func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name := r.PostForm.Get("username")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			show(w, http.StatusBadRequest, "login", form{name, "The " + field + " is missing."})
			return
		}
	}
	ok, err := t.check(r.Context(), name, r.PostForm.Get("password"))
	if err != nil { // no turn, so the password was not checked
		w.Header().Set("Retry-After", "5")
		show(w, http.StatusServiceUnavailable, "login", form{name, tooMany})
		return
	}
	if !ok {
		show(w, http.StatusForbidden, "login", form{name, "Invalid credentials"})
		return
	}
	s := session.From(r)
	signIn(s, name)
	s.SetPermanent(r.PostForm.Has("keep"))
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

// signIn ends the session that was there, and begins one with an ID that nobody
// knows yet. An ID that somebody planted in this browser stays a stranger's
// (session fixation). Nothing is carried over, not even the cart: it may be that
// somebody's, or of whoever sat here before.
func signIn(s *session.Session, name string) {
	s.Clear()
	s.SetOwner(name) // for Manager.Sessions
	username.Set(s, name)
}

// logout ends the session in the store. A copy of its cookie opens nothing from
// now on, and the browser is told to delete its own.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget answers with a stylesheet that has no styles. Whatever no-store says, some
// browsers keep the page that you leave in memory, and Back would show it after
// a logout. Clear-Site-Data makes them drop it, if it comes when that page has
// been left: so the login page asks for this.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// user returns who is signed in and still a user, or "".
func user(s *session.Session) string {
	name := username.Get(s)
	if _, known := passwords[name]; !known {
		return ""
	}
	return name
}

// signedIn lets only users in, and tells next who it is.
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

// password is what is kept of a password: a random salt, and a hash that takes
// many rounds, which makes guessing slow (OWASP Password Storage Cheat Sheet).
type password struct{ salt, hash string }

const rounds = 600_000

// passwords holds the users. The hash is
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt iter:600000 \
//	  -kdfopt pass:password -kdfopt salt:80e1284e89b4f4fae08b9f1245b2e511 PBKDF2
var passwords = map[string]password{
	"admin": {
		salt: "80e1284e89b4f4fae08b9f1245b2e511",
		hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password. For a name that nobody has
// it works as long: an answer that came sooner would tell which names exist.
func check(name, guess string) bool {
	stored, known := passwords[name]
	hash, err := pbkdf2.Key(sha256.New, guess, []byte(stored.salt), rounds, sha256.Size)
	match := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash)), []byte(stored.hash)) == 1
	// HMAC pads a short key with zero bytes, so a guess that ends with them would count
	// as the password without them.
	padded := strings.Contains(guess, "\x00")
	return match && known && !padded && err == nil
}
