// This program is where you begin exercise 1. It has the routes, the hashing of
// passwords and the login page. The comments that begin with TODO say where to write.
package main

import (
	"embed"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"example.com/sessions/internal/session"
)

// TODO: the key of the session, or the keys. What says who is logged in?

// TODO: the accounts. Give them a file of their own. You have already, in login.go, for
// part 1: hash and the type password. For part 2: turns.do, errBusy and tooMany, the queue;
// in limits.go, failures, the pause; and in lock_unix.go, flock, the lock.

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	file := flag.String("accounts", defaultFile(), "the file that stores the accounts")
	limit := flag.Int("max", 10_000, "maximum number of accounts")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, options())
	if err != nil {
		log.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(*file), 0o700); err != nil {
		log.Fatal(err)
	}
	// TODO, in part 2: refuse a file that another process uses.
	handler, err := newHandler(sessions, *file, *limit)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("accounts are in %s, listening on http://%s", *file, *addr)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// defaultFile returns a file that belongs to this user. It is outside the repository,
// because the data of visitors must not be committed.
func defaultFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "sessions-in-go", "my-1-registration", "accounts.json")
}

// options returns the session options. The tests call it.
//
// TODO: how long does a login last?
func options() *session.Options {
	return &session.Options{Name: "registration"}
}

// newHandler returns the exercise's site, which stores at most limit accounts in file. The
// tests call it.
//
// TODO: begin with accounts in memory. Read them from the file when the tests want it.
func newHandler(sessions *session.Manager, file string, limit int) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /register", notYet)
	mux.HandleFunc("POST /register", readForm(maxForm, notYet))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, notYet))
	mux.HandleFunc("GET /dashboard", notYet)
	mux.HandleFunc("POST /logout", notYet)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux)), nil
}

// form is what the login page shows.
type form struct{ Username, Problem string }

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{})
}

// problem shows the page of a form again. login.go calls it if a form cannot be read.
//
// TODO: after POST /register, the page is "register".
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, status, "login", form{Problem: text})
}

// notYet answers for a handler that you write.
func notYet(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not written yet", http.StatusNotImplemented)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// TODO: no cache may store a page.
func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
