// Command 01-counter counts how often each visitor opens a page. It needs two
// things for that: a secret and a session.
//
//	go run ./lessons/01-counter
//
// Open http://localhost:8080 and reload the page. Then find the cookie in the
// browser's developer tools. README.md says how to read it.
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
	"time"

	"example.com/sessions/internal/session"
)

// visits is the only value in this lesson's session.
const visits = session.Key[int]("visits")

// cookieName is the name of this lesson's cookie. Each lesson has its own, because all of
// them are at localhost, and browsers send a cookie to every port of a host.
const cookieName = "counter"

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: cookieName})
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
// The {$} in a pattern stands for the end of the path. Without it, index would also
// answer requests for /favicon.ico. Browsers send those by themselves, and each would
// be one more visit.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /reset", reset)
	return sessions.Handler(mux)
}

// index counts a visit, and shows the count.
//
// A GET request should change nothing. This lesson makes an exception, because it is
// used from the address bar. Every request for the page is a visit, even one that the
// browser sends ahead of time.
func index(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	visits.Set(s, visits.Get(s)+1)
	show(w, r, fmt.Sprintf("You have visited this page %d times.", visits.Get(s)))
}

// reset deletes the count. The session is then empty, so the manager tells the browser
// to delete the cookie.
func reset(w http.ResponseWriter, r *http.Request) {
	visits.Delete(session.From(r))
	show(w, r, "Visit count has been reset!")
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes the page. The last part of it is in cookie.go.
func show(w http.ResponseWriter, r *http.Request, message string) {
	end := newEnding(r)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pages.ExecuteTemplate(w, "pages.html", message)
	if err == nil {
		err = end.write(w)
	}
	if err != nil {
		log.Print(err)
	}
}
