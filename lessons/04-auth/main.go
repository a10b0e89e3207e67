// Command 04-auth lets a visitor log in, shows a dashboard to whoever is logged
// in, and logs out.
//
//	go run ./lessons/04-auth
//
// Open http://localhost:8080 and log in as admin, whose password is "password".
// Try a wrong one first. Copy the cookie before you log out, and put it back.
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

// username is who is logged in. It is there or it is not, so that there is no
// second value, such as the tutorial's logged_in, to disagree with it.
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

// newHandler returns the lesson's site. CrossOriginProtection answers 403 to a
// POST from a page of another origin; browsers say with each POST where it comes
// from. That covers the login form too: otherwise another site could log its
// visitors in here as somebody else, and read later what they left in that
// account (login CSRF).
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

// form is the login form: what was typed into it, and what is wrong with that.
// The password never comes back.
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

// login reads PostForm, which holds what came in the body. A password in the
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
	s.Clear() // whatever was there, planted or left behind, is not this user's
	username.Set(s, name)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// dashboard is for whoever is logged in and still a user: the signature says that
// this site once wrote the name, not that the account is there today. With
// no-store, and with what forget does, the Back button shows nothing after logout.
func dashboard(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name := username.Get(session.From(r))
	if _, known := passwords[name]; !known {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	show(w, http.StatusOK, "dashboard", name)
}

// logout leaves the session empty, so the browser is told to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget answers with a stylesheet that has no styles. Whatever no-store says, some
// browsers keep the page that you leave in memory, and Back would show it after
// a logout. Clear-Site-Data makes them drop it, if it comes when that page has
// been left: with the logout's own answer it would be too early, so the login
// page asks for this.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// password is what is kept of a password. Getting from there to the password
// takes guessing, and each guess takes the rounds: OWASP's number for PBKDF2 with
// SHA-256 (Password Storage Cheat Sheet). The salt is random, so that equal
// passwords have unequal hashes.
type password struct {
	salt [16]byte
	hash [32]byte
}

const rounds = 600_000

// passwords holds the users. A real site has them in a database.
var passwords = map[string]password{
	"admin": {
		salt: [...]byte{0x21, 0xed, 0xfe, 0x81, 0xc9, 0xbd, 0x9f, 0x66, 0x3b, 0xc3, 0x07, 0x45, 0x18, 0x44, 0xb6, 0x86},
		hash: [...]byte{
			0xfa, 0x0c, 0x7c, 0x6c, 0xa1, 0xb6, 0xfc, 0xc6, 0x70, 0xa3, 0x5b, 0x19, 0x71, 0x0f, 0x4c, 0xef,
			0xc3, 0x28, 0x1c, 0x61, 0x0e, 0xb8, 0x4e, 0xa6, 0xee, 0xb1, 0x73, 0xcf, 0x88, 0x6c, 0xd1, 0xdf,
		},
	},
}

// check reports whether the user has this password. For a name that nobody has
// it works as long, on an empty entry: an answer that came sooner would tell
// which names exist.
func check(name, guess string) bool {
	stored, known := passwords[name]
	return stored.matches(guess) && known
}

// matches compares in constant time: it does not tell by its time how much of
// the hash was right.
func (p password) matches(guess string) bool {
	hash, err := pbkdf2.Key(sha256.New, guess, p.salt[:], rounds, len(p.hash))
	// HMAC pads a short key with zero bytes, so a guess that ends with them would count
	// as the password without them.
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
