package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
)

const (
	maxForm = 4096 // bytes of a posted form
	tooMany = "Too many logins at the same time. Try again in a few seconds."
)

// form is what the login page shows again. It has no password, so no page ever shows
// one.
type form struct {
	Username string // as it was typed
	Remember bool   // the box is ticked
	Problem  string // what is wrong with the form
	WasIdle  bool   // the visitor is here because their session was idle
}

// readForm reads a posted form before next runs.
func readForm(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			show(w, http.StatusBadRequest, "login", form{Problem: "The form is damaged, or too large."})
			return
		}
		next(w, r)
	}
}

// check waits for its turn, and then reports whether the user has this password.
func (t turns) check(ctx context.Context, name, guess string) (ok bool, err error) {
	err = t.do(ctx, func() error {
		ok = check(name, guess)
		return nil
	})
	return ok, err
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

// password is what the site stores instead of a password: a random salt and a hash.
type password struct{ salt, hash string }

// rounds makes each guess at a stolen hash slow. The number is OWASP's for PBKDF2 with
// SHA-256 (Password Storage Cheat Sheet).
const rounds = 600_000

// passwords has the users. The hash is the output of
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt iter:600000 \
//	  -kdfopt pass:password -kdfopt salt:7c6239f2a2a3eb8c4f680b36d5fae50c PBKDF2
var passwords = map[string]password{
	"admin": {
		salt: "7c6239f2a2a3eb8c4f680b36d5fae50c",
		hash: "3cfc51d164e4edeb9be7e6a07a37581f1ef50a5daf309305c8acb11f30f9b9f7",
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
