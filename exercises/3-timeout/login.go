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

// form is the login form. The password never comes back.
type form struct {
	Username string
	Problem  string // what is wrong with what was typed
	After    string // after what the last login ended, "" if it did not end by itself
	Next     string // where the login leads
	Text     string // a note that came too late
	MaxNote  int
}

// loginForm says why the visitor is here. It reads that from the session that is
// over, and leaves it there: a page that deleted the cookie could, in a slow
// answer to one tab, delete the cookie of the login in another.
func (a *app) loginForm(w http.ResponseWriter, r *http.Request) {
	_, after := a.user(session.From(r))
	show(w, http.StatusOK, "login", form{After: after, Next: place(r.URL.Query().Get("next"))})
}

// login begins a session, whose times count from now. If the form has a note that
// came too late, it also says that logging in saves it.
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
	s.Clear() // whatever was there, planted or left behind, is not this user's
	username.Set(s, f.Username)
	loggedInAt.Set(s, time.Now().UTC())
	active(s)
	http.Redirect(w, r, f.Next, http.StatusSeeOther)
}

// checkLogin returns what is wrong with a login, or "". The password comes last,
// as it takes the work.
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

// forget answers with a stylesheet that has no styles. Whatever no-store says, some
// browsers keep the page that you leave in memory, and Back would show it after
// a logout. Clear-Site-Data makes them drop it, if it comes when that page has
// been left: so the login page asks for this.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// places are the pages that a visitor is sent back to.
var places = []string{"/dashboard", "/notes", "/notes/new"}

// place returns next if it is one of our pages, and the dashboard otherwise. Who
// makes a link to the login chooses its next. To parse it would be to read it as
// every browser does, to whom "//evil.example", "/\evil.example" and
// "https:evil.example" are other sites; a list has nothing to misread.
func place(next string) string {
	if slices.Contains(places, next) {
		return next
	}
	return "/dashboard"
}

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
