// This program is where you begin exercise 2. It has the routes, the hashing of
// passwords and a login page. The comments that begin with TODO say where to write.
package main

import (
	"embed"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// TODO: the keys of the session: username, a string, and last_seen, a time.Time.

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	// TODO: a store that outlives the program, such as filestore, as main.go of lesson 08 has
	// it. A restart keeps the logins only if SESSION_SECRET is the same.
	sessions, err := session.New(secret, options(memstore.New()))
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
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// options returns the session options. The tests call it with their own store.
//
// TODO: how long does a session last?
func options(store session.Store) *session.Options {
	return &session.Options{Name: "remember", Store: store}
}

// newHandler returns the exercise's site. The tests call it.
func newHandler(sessions *session.Manager) http.Handler {
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
	mux.HandleFunc("GET /dashboard", notYet)
	mux.HandleFunc("POST /logout", notYet)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// form is what the login page shows.
//
// TODO: the box, and why the visitor is here.
type form struct{ Username, Problem string }

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{})
}

// problem shows the login form again. login.go calls it for a form that cannot be read.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, status, "login", form{Problem: text})
}

// login checks the password.
//
// TODO: missing fields, and the session of a visitor with the right password. The login of
// lesson 04 is a good start.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name, guess := r.PostForm.Get("username"), r.PostForm.Get("password")
	right := false
	if err := t.do(r.Context(), func() { right = check(name, guess) }); err != nil {
		w.Header().Set("Retry-After", "5")
		show(w, http.StatusServiceUnavailable, "login", form{Username: name, Problem: tooMany})
		return
	}
	if !right {
		show(w, http.StatusForbidden, "login", form{Username: name, Problem: "Invalid credentials"})
		return
	}
	notYet(w, r)
}

// passwords has the users.
var passwords = map[string]password{
	"admin": {
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password. It does the same work if there is no
// such user.
func check(name, guess string) bool {
	stored, known := passwords[name]
	return stored.matches(guess) && known
}

// notYet answers for a handler that you write.
func notYet(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not written yet", http.StatusNotImplemented)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
