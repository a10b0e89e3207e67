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

// form is what the login page shows again: the username that was typed, and the problem
// with the form. It has no password, so no page ever shows one.
type form struct{ Username, Problem string }

const tooMany = "Too many logins at the same time. Try again in a few seconds."

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
// handler cannot know which of the three it was. The manager logs the reason.
func hasEnded(r *http.Request) bool {
	return session.From(r).IsNew() && len(r.CookiesNamed(cookieName)) > 0
}

// check waits for its turn, and then reports whether the user has this password.
func (t turns) check(ctx context.Context, name, guess string) (ok bool, err error) {
	err = t.do(ctx, func() error {
		ok = check(name, guess)
		return nil
	})
	return ok, err
}

// login checks the username and the password, and begins a session.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name := r.PostForm.Get("username")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			show(w, r, http.StatusBadRequest, "login", form{name, "The " + field + " is missing."})
			return
		}
	}
	ok, err := t.check(r.Context(), name, r.PostForm.Get("password"))
	if err != nil { // no turn, so the password was not checked
		w.Header().Set("Retry-After", "5")
		show(w, r, http.StatusServiceUnavailable, "login", form{name, tooMany})
		return
	}
	if !ok {
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

// forget sends an empty stylesheet with a Clear-Site-Data header.
//
// Some browsers keep the page that you leave in memory, even with no-store, and Back
// would show it after a logout. Clear-Site-Data makes them delete it. The header works
// only after the browser has left that page. Therefore the login page loads this
// stylesheet.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
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

// password is what the site stores instead of a password: a random salt and a hash.
type password struct{ salt, hash string }

// rounds makes each guess at a stolen hash slow. The number is OWASP's for PBKDF2 with
// SHA-256 (Password Storage Cheat Sheet).
const rounds = 600_000

// passwords has the users. The hash is the output of
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt iter:600000 \
//	  -kdfopt pass:password -kdfopt salt:80e1284e89b4f4fae08b9f1245b2e511 PBKDF2
var passwords = map[string]password{
	"admin": {
		salt: "80e1284e89b4f4fae08b9f1245b2e511",
		hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password.
//
// If there is no such user, check does the same work, because a faster response would
// tell which names exist.
func check(name, guess string) bool {
	stored, known := passwords[name]
	hash, err := pbkdf2.Key(sha256.New, guess, []byte(stored.salt), rounds, sha256.Size)
	match := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash)), []byte(stored.hash)) == 1
	// HMAC pads a short key with zero bytes, so a guess that ends with zero bytes would
	// match the password without them.
	padded := strings.Contains(guess, "\x00")
	return match && known && !padded && err == nil
}
