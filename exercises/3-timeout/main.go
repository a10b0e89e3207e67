// Command 3-timeout logs a visitor out after 15 minutes without activity, and after 8
// hours even with activity. Then it says which of the two was the reason.
//
//	go run ./exercises/3-timeout
//	go run ./exercises/3-timeout -idle 1m
//
// Open http://localhost:8080, log in as admin, whose password is "password", and do
// nothing until the page changes by itself.
//
// The time limits are in timeout.go. The login form and the redirect back to the
// visitor's page are in form.go. The pages with the notes are in notes.go. login.go is the
// same as in lesson 04.
package main

import (
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"example.com/sessions/internal/session"
)

// maxNoteForm is the maximum size of a posted form with a note, in bytes. There is room
// for the longest note.
const maxNoteForm = 16 << 10

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	idle := flag.Duration("idle", 15*time.Minute, "how long a login lasts without activity")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: "timeout"})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(sessions, *idle)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", *addr)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // of a whole request: a body that never comes keeps no connection
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// newHandler returns the exercise's site. It fails if idle makes no sense.
//
// The manager must not have the options IdleTimeout and AbsoluteTimeout. The comment of
// end says why.
func newHandler(sessions *session.Manager, idle time.Duration) (http.Handler, error) {
	if idle < minIdle || idle > absolute || idle%time.Second != 0 {
		return nil, fmt.Errorf("the idle timeout must be whole seconds from %v to %v, not %v", minIdle, absolute, idle)
	}
	a := &app{idle: idle, logins: newTurns(), notes: make(map[string][]note)}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", a.loginForm)
	mux.HandleFunc("POST /login", readForm(maxNoteForm, a.login))
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	mux.HandleFunc("GET /dashboard", a.visit(a.dashboard))
	mux.HandleFunc("GET /notes", a.visit(a.listNotes))
	mux.HandleFunc("GET /notes/new", a.visit(a.noteForm))
	mux.HandleFunc("POST /notes", readForm(maxNoteForm, a.addNote))
	mux.HandleFunc("GET /countdown", a.countdown)
	mux.HandleFunc("POST /stay", readForm(maxForm, a.stay))
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux)), nil
}

// app is the site. It stores the notes in memory. A real site has a database.
type app struct {
	idle   time.Duration
	logins turns
	mu     sync.Mutex
	notes  map[string][]note // by user, the newest first
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page that no cache may store, not even the browser's own.
func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}

// problem shows a page that says what is wrong with a form that cannot be read.
func problem(w http.ResponseWriter, _ *http.Request, status int, text string) {
	show(w, status, "problem", text)
}
