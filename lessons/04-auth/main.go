// Command 04-auth lets a visitor log in and out, and shows a dashboard to visitors who
// are logged in.
//
//	go run ./lessons/04-auth
//
// Open http://localhost:8080 and log in as admin, whose password is "password".
// Try a wrong password first. Copy the cookie before you log out, and put it back
// afterwards.
package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// username is the name of the user who is logged in. If the session has no username, no
// one is logged in.
//
// The tutorial also stores a value logged_in. This lesson does not, because two values
// can contradict each other.
const username = session.Key[string]("username")

const (
	maxForm = 4096 // bytes of a posted form
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: "auth"})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", *addr)
	server := &http.Server{
		Handler:           newHandler(sessions),
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}

// newHandler returns the lesson's site.
//
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers send the page's origin with each POST.
//
// The login form needs this protection too. Otherwise another site could log its
// visitors in here to the attacker's account, and the attacker could later read what
// they left in that account (login CSRF).
func newHandler(sessions *session.Manager) http.Handler {
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(logins.login))
	mux.HandleFunc("GET /dashboard", dashboard)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

const tooMany = "Too many logins at the same time. Try again in a few seconds."

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{})
}

// form is what the login page shows again: the username that was typed, and the problem
// with the form. It has no password, so no page ever shows one.
type form struct{ Username, Problem string }

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

// login checks the username and the password, and begins a session.
//
// It reads PostForm, which has the fields of the request's body only. A password in the
// address would be in logs and in the browser's history.
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
	s.Clear() // an attacker or an earlier visitor may have left values in this session
	username.Set(s, name)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// dashboard shows a page to a visitor who is logged in and whose account still exists.
//
// It looks the account up with every request, because the signature only proves that
// this site once wrote the name. The account may have been removed since.
//
// After a logout, the Back button must not show this page again. That takes both
// no-store and the forget handler.
func dashboard(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name := username.Get(session.From(r))
	if _, known := passwords[name]; !known {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	show(w, http.StatusOK, "dashboard", name)
}

// logout clears the session. The session is then empty, so the manager tells the
// browser to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget sends an empty stylesheet with a Clear-Site-Data header.
//
// Some browsers keep the page that you leave in memory, even with no-store, and Back
// would show it after a logout. Clear-Site-Data makes them delete it. The header works
// only after the browser has left that page, so the logout's own response would be too
// early. Therefore the login page loads this stylesheet.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// password is what the site stores instead of a password. Someone who steals it must
// guess the password, and each guess costs as many rounds as a login. The salt is
// random, so that equal passwords have different hashes.
type password struct {
	salt [16]byte
	hash [32]byte
}

// rounds is OWASP's number for PBKDF2 with SHA-256 (Password Storage Cheat Sheet).
const rounds = 600_000

// passwords has the users. A real site has them in a database.
var passwords = map[string]password{
	"admin": {
		salt: [...]byte{0x21, 0xed, 0xfe, 0x81, 0xc9, 0xbd, 0x9f, 0x66, 0x3b, 0xc3, 0x07, 0x45, 0x18, 0x44, 0xb6, 0x86},
		hash: [...]byte{
			0xfa, 0x0c, 0x7c, 0x6c, 0xa1, 0xb6, 0xfc, 0xc6, 0x70, 0xa3, 0x5b, 0x19, 0x71, 0x0f, 0x4c, 0xef,
			0xc3, 0x28, 0x1c, 0x61, 0x0e, 0xb8, 0x4e, 0xa6, 0xee, 0xb1, 0x73, 0xcf, 0x88, 0x6c, 0xd1, 0xdf,
		},
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

// matches reports whether guess is the password. It compares the hashes in constant
// time: how long that takes does not depend on how much of the hash was right.
func (p password) matches(guess string) bool {
	hash, err := pbkdf2.Key(sha256.New, guess, p.salt[:], rounds, len(p.hash))
	// HMAC pads a short key with zero bytes, so a guess that ends with zero bytes would
	// match the password without them.
	padded := strings.Contains(guess, "\x00")
	return err == nil && !padded && subtle.ConstantTimeCompare(hash, p.hash[:]) == 1
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
