// This program is where you begin exercise 3. It has the routes, the hashing of passwords,
// a login form that checks what was typed, and notes. The comments that begin with TODO say
// where to write.
//
// timeout.go is yours: it has the time limits and the countdown. form.go has the login,
// notes.go the pages with the notes. login.go is the same as in lesson 04.
package main

import (
	"embed"
	"errors"
	"flag"
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
	log.Printf("listening on http://%s, a login lasts %s without activity", *addr, inWords(*idle))
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// newHandler returns the exercise's site. The tests call it with their own manager, which
// has client-side sessions and no time limits.
//
// TODO: some idle timeouts make no sense.
func newHandler(sessions *session.Manager, idle time.Duration) (http.Handler, error) {
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

// app is the site. It stores the notes in memory.
type app struct {
	idle   time.Duration
	logins turns
	mu     sync.Mutex
	notes  map[string][]note // by user, the newest first
}

// notYet answers for a handler that you write.
func notYet(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not written yet", http.StatusNotImplemented)
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
