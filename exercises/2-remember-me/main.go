// Command 2-remember-me has a login form with a box to tick, "Remember me", and
// two kinds of session behind it.
//
//	go run ./exercises/2-remember-me
//
// Open http://localhost:8080 and log in as admin, whose password is "password",
// with the box ticked and without. Close the browser in between. This file is the
// exercise; login.go has the forms and passwords of lesson 04.
package main

import (
	_ "embed"
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
	lastSeen = session.Key[time.Time]("last_seen") // of a browser session
)

const (
	remembered  = 30 * 24 * time.Hour // that a permanent session lasts without use
	idleTimeout = 30 * time.Minute    // that a browser session lasts without use
	notedEvery  = time.Minute         // how old last_seen is before it is written again
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	dir := flag.String("dir", defaultDir(), "the directory that keeps the sessions")
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
	}
	log.Fatal(server.Serve(listener))
}

// defaultDir is a directory of this user's, outside the repository: what
// visitors keep is not to be committed.
func defaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "sessions-in-go", "2-remember-me")
}

// options has no IdleTimeout: it would hold for both kinds, and end a remembered
// session after half an hour.
func options(store session.Store) *session.Options {
	return &session.Options{
		Name:     "remember",
		Store:    store,
		Lifetime: remembered,
	}
}

// newHandler returns the exercise's site. CrossOriginProtection answers 403 to a
// POST from a page of another origin; browsers say with each POST where it comes
// from.
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

// loginForm says why the visitor is here if the address does. The address only
// chooses the reason; the words are the page's own.
func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", form{WasIdle: r.URL.Query().Has("idle")})
}

// login takes anything but the form's own "yes" as an unticked box: the kind that
// ends sooner.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	f := form{Username: r.PostForm.Get("username"), Remember: r.PostForm.Get("remember") == "yes"}
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			f.Problem = "The " + field + " is missing."
			show(w, http.StatusBadRequest, "login", f)
			return
		}
	}
	ok, err := t.check(r.Context(), f.Username, r.PostForm.Get("password"))
	if err != nil { // no turn, so the password was not checked
		w.Header().Set("Retry-After", "5")
		f.Problem = tooMany
		show(w, http.StatusServiceUnavailable, "login", f)
		return
	}
	if !ok {
		f.Problem = "Invalid credentials"
		show(w, http.StatusForbidden, "login", f)
		return
	}
	signIn(session.From(r), f.Username, f.Remember)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// signIn ends the session that was there and begins the user's, with an ID that
// nobody knows yet. Clear takes the old one's tick away too: whether this user is
// remembered is for this user's box to say.
func signIn(s *session.Session, name string, remember bool) {
	s.Clear()
	username.Set(s, name)
	s.SetPermanent(remember)
	noteUse(s)
}

// dashboard is for whoever is logged in, still a user, and was not away for too
// long. It looks at last_seen before it moves it. Each further page for users
// would do the same three things, in this order.
func dashboard(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s := session.From(r)
	name := username.Get(s)
	if _, known := passwords[name]; !known {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if idle(s) {
		s.Clear() // on the server: whoever has the cookie has nothing
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

// idle reports whether a browser session has been left alone for too long. One
// without a last_seen has.
func idle(s *session.Session) bool {
	return !s.Permanent() && time.Since(lastSeen.Get(s)) >= idleTimeout
}

// noteUse moves last_seen to now, if it is a minute old. With a permanent session
// there is nothing to do: the manager moves its end by itself.
//
// Once a minute is enough, as each note is a write to the store and a cookie. It
// is an Update because tabs overtake each other: a request that began ten minutes
// ago and is saved now would otherwise put last_seen back by these ten minutes.
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

// ends returns when the session ends if it is not used from now on. The manager
// knows nothing of last_seen, so Expires is no answer for a browser session.
func ends(s *session.Session) time.Time {
	if s.Permanent() {
		return s.Expires()
	}
	return lastSeen.Get(s).Add(idleTimeout)
}

// logout ends the session in the store, so a copy of its cookie opens nothing from
// now on. The browser is told to delete its own.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
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
