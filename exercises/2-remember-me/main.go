// Command 2-remember-me lets a visitor log in with or without a ticked box, "Remember
// me". The two logins make two kinds of session.
//
//	go run ./exercises/2-remember-me
//
// Open http://localhost:8080 and log in as admin, whose password is "password". Log in
// once with the box ticked and once without, and close the browser in between.
//
// This file is the exercise. login.go is the file of lesson 04.
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
	"example.com/sessions/internal/session/filestore"
)

const (
	username = session.Key[string]("username")
	lastSeen = session.Key[time.Time]("last_seen") // in a browser session only
)

const (
	remembered  = 30 * 24 * time.Hour // how long a permanent session lasts without use
	idleTimeout = 30 * time.Minute    // how long a browser session lasts without use
	notedEvery  = time.Minute         // how old last_seen must be before noteUse moves it
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	dir := flag.String("dir", defaultDir(), "the directory that stores the sessions")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	store, err := filestore.New(*dir)
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := session.New(secret, options(store))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("sessions are in %s, listening on http://%s", *dir, *addr)
	server := &http.Server{
		Handler:           newHandler(sessions),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // of a whole request: a body that never comes keeps no connection
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// defaultDir returns a directory that belongs to this user. It is outside the
// repository, because the data of visitors must not be committed.
func defaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "sessions-in-go", "2-remember-me")
}

// options returns the session options.
//
// They have no IdleTimeout, because it would apply to both kinds of session. A
// remembered session would expire after half an hour.
func options(store session.Store) *session.Options {
	return &session.Options{
		Name:     "remember",
		Store:    store,
		Lifetime: remembered,
	}
}

// newHandler returns the exercise's site.
//
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers send the page's origin with each POST.
func newHandler(sessions *session.Manager) http.Handler {
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
	mux.HandleFunc("GET /dashboard", dashboard)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// form is what the login page shows again. It has no password, so no page ever shows
// one.
type form struct {
	Username string // as it was typed
	Remember bool   // the box is ticked
	Problem  string // what is wrong with the form
	WasIdle  bool   // the visitor is here because their session was idle
}

// loginForm shows the login form. With idle in the address, the page also says that the
// session was idle. The address only chooses the reason. The page has the words, so that
// no link can put its own words on it.
func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{WasIdle: r.URL.Query().Has("idle")})
}

// login checks the username and the password, and begins a session.
//
// Only the form's own value "yes" is a ticked box. With any other value, the visitor
// gets a browser session, because it ends sooner.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	f := form{Username: r.PostForm.Get("username"), Remember: r.PostForm.Get("remember") == "yes"}
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			f.Problem = "The " + field + " is missing."
			show(w, http.StatusBadRequest, "login", f)
			return
		}
	}
	right := false
	if err := t.do(r.Context(), func() { right = check(f.Username, r.PostForm.Get("password")) }); err != nil {
		w.Header().Set("Retry-After", "5") // there was no turn, so the password was not checked
		f.Problem = tooMany
		show(w, http.StatusServiceUnavailable, "login", f)
		return
	}
	if !right {
		f.Problem = "Invalid credentials"
		show(w, http.StatusForbidden, "login", f)
		return
	}
	signIn(session.From(r), f.Username, f.Remember)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// problem shows the form again. It is called for a form that cannot be read.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, status, "login", form{Problem: text})
}

// passwords has the users.
var passwords = map[string]password{
	"admin": {
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
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

// signIn ends the session from before the login, and begins the user's session with a
// new ID, which no one else knows.
//
// Clear also makes the session a browser session again, so that only this user's box
// decides whether the user is remembered.
func signIn(s *session.Session, name string, remember bool) {
	s.Clear()
	username.Set(s, name)
	s.SetPermanent(remember)
	noteUse(s)
}

// dashboard shows a page to a visitor who is logged in, whose account still exists, and
// whose session is not idle.
//
// It asks idle before it calls noteUse, because noteUse moves last_seen. Every other page
// for users would do the same three things in this order.
func dashboard(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s := session.From(r)
	name := username.Get(s)
	if _, known := passwords[name]; !known {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if idle(s) {
		s.Clear() // ends the session in the store, so that a copy of its cookie opens nothing
		http.Redirect(w, r, "/login?idle", http.StatusSeeOther)
		return
	}
	noteUse(s)
	show(w, http.StatusOK, "dashboard", map[string]any{
		"Username":  name,
		"Permanent": s.Permanent(),
		"Ends":      ends(s),
	})
}

// idle reports whether a browser session was unused for idleTimeout. A browser session
// without last_seen is idle, because a missing time is the zero time.
func idle(s *session.Session) bool {
	return !s.Permanent() && time.Since(lastSeen.Get(s)) >= idleTimeout
}

// noteUse moves last_seen of a browser session to now, if it is a minute old. It does
// nothing with a permanent session, because the manager moves its deadline.
//
// It moves last_seen at most once a minute, because each move is a save in the store.
//
// It uses Update, because one tab's request can overtake another's. A request that began
// ten minutes ago and is saved now would otherwise put last_seen back by ten minutes.
func noteUse(s *session.Session) {
	now := time.Now().UTC().Truncate(time.Second)
	if s.Permanent() || now.Sub(lastSeen.Get(s)) < notedEvery {
		return
	}
	lastSeen.Update(s, func(seen time.Time) time.Time {
		if seen.After(now) {
			return seen
		}
		return now
	})
}

// ends returns when the session ends if it is not used again.
//
// For a browser session, Expires is too late, because the manager knows nothing of
// last_seen.
func ends(s *session.Session) time.Time {
	if s.Permanent() {
		return s.Expires()
	}
	return lastSeen.Get(s).Add(idleTimeout)
}

// logout ends the session in the store. From then on a copy of its cookie opens nothing.
// The manager also tells the browser to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
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
