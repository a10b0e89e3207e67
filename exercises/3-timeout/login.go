package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

const tooMany = "Too many logins at the same time. Try again in a few seconds."

// form is what the login page shows. It has no password, so no page ever shows one.
type form struct {
	Username string // as it was typed
	Problem  string // what is wrong with the form
	After    string // the time limit that ended the last login, "" if none did
	Next     string // the page that the login leads to
	Text     string // a note that came after the deadline
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
		Text:     typed(r),
		MaxNote:  maxNote,
	}
	if status, problem := a.checkLogin(r.Context(), f, r.PostForm.Get("password")); problem != "" {
		f.Problem = problem
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		show(w, status, "login", f)
		return
	}
	if f.Text != "" {
		a.saveNote(f.Username, f.Text)
	}
	s := session.From(r)
	s.Clear() // an attacker or an earlier visitor may have left values in this session
	username.Set(s, f.Username)
	loggedInAt.Set(s, time.Now().UTC())
	active(s)
	http.Redirect(w, r, f.Next, http.StatusSeeOther)
}

// checkLogin returns the problem with a login, and a status for it. If there is none,
// problem is "". It checks the password last, because that is the slow part.
func (a *app) checkLogin(ctx context.Context, f form, guess string) (status int, problem string) {
	switch {
	case f.Username == "":
		return http.StatusBadRequest, "The username is missing."
	case guess == "":
		return http.StatusBadRequest, "The password is missing."
	case f.Text != "" && checkNote(f.Text) != "":
		return http.StatusBadRequest, checkNote(f.Text)
	}
	ok, err := a.logins.check(ctx, f.Username, guess)
	switch {
	case err != nil: // no turn, so the password was not checked
		return http.StatusServiceUnavailable, tooMany
	case !ok:
		return http.StatusForbidden, "Invalid credentials"
	}
	return 0, ""
}

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

// check waits for its turn, and then reports whether the user has this password.
func (t turns) check(ctx context.Context, name, guess string) (ok bool, err error) {
	err = t.do(ctx, func() error {
		ok = check(name, guess)
		return nil
	})
	return ok, err
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
