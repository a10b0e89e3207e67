// Command 03-lifetime shows how long a session lasts. A session can expire in two
// places: the browser deletes its cookie, or the server refuses it.
//
//	go run ./lessons/03-lifetime
//
// Open http://localhost:8080, log in either way, close the browser, and open the page
// again. With -lifetime 20s you need not wait a week until the session expires.
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
)

// The keys of the session. Logging out removes the first two.
const (
	username = session.Key[string]("username")
	loggedIn = session.Key[bool]("logged_in")
	logins   = session.Key[int]("logins")
)

const cookieName = "lifetime"

// week is how long the tutorial's permanent session lasts.
const week = 7 * 24 * time.Hour

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	lifetime := flag.Duration("lifetime", week, "how long a session lasts")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: cookieName, Lifetime: *lifetime})
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
// The lesson is used from the address bar, so a GET request logs in and out, as in the
// tutorial, and the site asks for no password. Lesson 04 adds the password, and
// buttons that send a POST.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /login", login)
	mux.HandleFunc("GET /logout", logout)
	return sessions.Handler(mux)
}

// index shows which kind of session this is, and when it expires. It changes nothing.
func index(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	show(w, r, http.StatusOK, "index", map[string]any{
		"IsNew":     s.IsNew(),
		"Permanent": s.Permanent(),
		"Expires":   s.Expires().UTC().Format(time.RFC1123),
		"LoggedIn":  loggedIn.Get(s),
		"Username":  username.Get(s),
		"Logins":    logins.Get(s),
	})
}

// login logs the visitor in. The session is permanent, or with ?browser one that ends
// when the browser closes.
//
// How long a permanent session lasts is an option of the manager, so it is the same
// for all sessions.
func login(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.SetPermanent(!r.URL.Query().Has("browser"))
	loggedIn.Set(s, true)
	username.Set(s, "user123")
	logins.Set(s, logins.Get(s)+1)
	show(w, r, http.StatusOK, "message", "You are now logged in!")
}

// logout removes the values that login set, except the count of logins. The session is
// not empty then, so the browser keeps its cookie. With ?all, logout removes every
// value, so the manager tells the browser to delete the cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if r.URL.Query().Has("all") {
		s.Clear()
	} else {
		username.Pop(s)
		loggedIn.Pop(s)
	}
	show(w, r, http.StatusOK, "message", "You have been logged out!")
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page. The last part of it is in cookie.go.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	err := pages.ExecuteTemplate(w, name, data)
	if err == nil {
		err = showCookies(w, r)
	}
	if err != nil {
		log.Print(err)
	}
}
