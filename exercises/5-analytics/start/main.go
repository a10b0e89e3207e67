// This program is where you begin exercise 5. It has the routes, the six pages, the
// template of the report and the text of the notice. The comments that begin with TODO say
// where to write.
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

// TODO: the keys of the session: visitor, a string, and opted_out, a bool.

// site has all pages that are counted. No request can add to them.
var site = [...]struct{ Path, Name, Text string }{
	{"/", "Home", "A small site about hot drinks. Open a few pages, then look at the report."},
	{"/tea", "Tea", "All of it is one plant. White, green, oolong and black differ in what happens to the leaf after picking."},
	{"/coffee", "Coffee", "The bean is the seed of a cherry. Roasting it for ten minutes makes most of the taste."},
	{"/cocoa", "Cocoa", "For two thousand years, people drank it cold and bitter, with chilli."},
	{"/brewing", "Brewing", "Coffee and black tea need water that has just boiled. Green tea needs 70 degrees."},
	{"/about", "About", "This site sells nothing. The pages about drinks are here so that you have something to click."},
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	limit := flag.Int("sessions", 10_000, "maximum number of open sessions to remember")
	flag.Parse()
	if *limit < 1 {
		log.Fatal("-sessions must be at least 1")
	}

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, options())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", *addr)
	server := &http.Server{
		Handler:           newHandler(sessions, *limit),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// options returns the session options. The tests call it.
//
// TODO: how long does the choice "Do not count me" last?
func options() *session.Options {
	return &session.Options{Name: "analytics"}
}

// newHandler returns the exercise's site. It remembers at most limit open sessions. The
// tests call it.
func newHandler(sessions *session.Manager, limit int) http.Handler {
	mux := http.NewServeMux()
	for _, page := range site {
		pattern := "GET " + page.Path
		if page.Path == "/" {
			pattern += "{$}" // without it, every unknown path would show the home page
		}
		// TODO: count the view, and show the page: show(w, http.StatusOK, "page", page)
		mux.HandleFunc(pattern, notYet)
	}
	// TODO: show(w, http.StatusOK, "report", report{…})
	mux.HandleFunc("GET /report", notYet)
	// TODO: the template "privacy" in pages.html gets the data that you want it to have.
	mux.HandleFunc("GET /privacy", notYet)
	mux.HandleFunc("POST /forget", notYet)
	mux.HandleFunc("POST /opt-out", notYet)
	mux.HandleFunc("POST /opt-in", notYet)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// robots are words that robots have in their User-Agent. A robot that claims to be a
// browser counts as a visitor.
var robots = []string{"bot", "crawl", "spider", "slurp", "preview", "externalhit"}

// TODO: the counting. Give it a file of its own. The report's data is in report.go.

// notYet answers for a handler that you write.
func notYet(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not written yet", http.StatusNotImplemented)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"site":          func() any { return site },
	"lengthClasses": func() any { return lengthClasses },
	"depthClasses":  func() any { return depthClasses },
	"times":         func(a, b int) int { return a * b },
}).ParseFS(files, "*"))

func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
