package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// This file is the part that every login needs. Lessons 04, 07 and 08 and exercises 1 to 3
// have the same file. Lesson 04 explains it.

// maxForm is the maximum size of a posted login form, in bytes.
const maxForm = 4096

// readForm reads a posted form of at most limit bytes before next runs.
//
// After it, next reads r.PostForm, which has only the fields of the request's body. A
// password in the address would be in logs and in the browser's history.
func readForm(limit int64, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		err := r.ParseForm()
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			problem(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("The form is too large: more than %d bytes.", limit))
			return
		}
		if err != nil {
			problem(w, r, http.StatusBadRequest, "The form is damaged.")
			return
		}
		next(w, r)
	}
}

// password is what a site stores instead of a password: a random salt and a hash. An
// attacker who steals it must guess the password. Because of the salt, equal passwords
// have different hashes, so each user must be guessed separately.
type password struct {
	Salt string `json:"salt"`
	Hash string `json:"hash"` // in hexadecimal
}

// rounds makes each guess at a stolen hash slow. The number is OWASP's for PBKDF2 with
// SHA-256 (Password Storage Cheat Sheet).
const rounds = 600_000

// hash returns the hash of a password, in hexadecimal.
func hash(plain, salt string) (string, error) {
	key, err := pbkdf2.Key(sha256.New, plain, []byte(salt), rounds, sha256.Size)
	return hex.EncodeToString(key), err
}

// matches reports whether guess is the password. It compares the hashes in constant
// time: how long that takes does not depend on how much of the hash was right.
func (p password) matches(guess string) bool {
	guessed, err := hash(guess, p.Salt)
	// HMAC pads a short key with zero bytes, so a guess that ends with zero bytes would
	// match the password without them.
	padded := strings.Contains(guess, "\x00")
	return err == nil && !padded && subtle.ConstantTimeCompare([]byte(guessed), []byte(p.Hash)) == 1
}

const (
	maxHashing = 2  // passwords that are hashed at the same time
	maxWaiting = 20 // requests that wait for their turn
)

// turns bounds how many passwords are hashed at the same time, and how many requests
// wait for that. Hashing a password is made to be slow. Without the first bound, anyone
// could keep every core busy. Without the second, a right login would wait behind
// hundreds of wrong ones, until its connection is closed.
type turns struct{ hashing, waiting chan struct{} }

func newTurns() turns {
	return turns{make(chan struct{}, maxHashing), make(chan struct{}, maxWaiting)}
}

// errBusy means that maxWaiting requests are waiting already.
var errBusy = errors.New("too many requests wait for their turn")

// tooMany is what the login page says then.
const tooMany = "Too many logins at the same time. Try again in a few seconds."

// do waits for a turn, and then works. It returns errBusy, or the context's error if the
// visitor leaves first. The turn ends with the work, before the response is sent: a
// client that never reads its response does not keep a turn.
func (t turns) do(ctx context.Context, work func()) error {
	if err := t.wait(ctx); err != nil {
		return err
	}
	defer func() { <-t.hashing }()
	work()
	return nil
}

func (t turns) wait(ctx context.Context) error {
	select {
	case t.waiting <- struct{}{}:
		defer func() { <-t.waiting }()
	default:
		return errBusy
	}
	select {
	case t.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget sends an empty stylesheet with a Clear-Site-Data header.
//
// Browsers can keep the page that you leave in memory (back/forward cache), even with
// no-store, and Back would show it after a logout. Clear-Site-Data makes them delete it.
// The header works only after the browser has left that page, so the logout's own response
// would be too early. Therefore the login page loads this stylesheet. Browsers obey the
// header over HTTPS and on localhost.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}
