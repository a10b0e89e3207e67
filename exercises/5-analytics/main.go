// Command 5-analytics serves a site of six pages. It remembers the path of each session
// through the site, and shows a report.
//
//	go run ./exercises/5-analytics
//
// Open http://localhost:8080, go from page to page in two browsers, and look at the
// report. The page "What this site remembers" shows the data about you, and has the
// buttons with which you can delete it.
//
// The counting is in ledger.go. The report's data is in report.go, and numbers.go computes
// it.
package main

import (
	"crypto/rand"
	"embed"
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

// The session has a random ID for the visitor, or the choice not to be counted.
//
// The path is not in the session, for two reasons. A visitor can roll a cookie back by
// sending an older one. And if two tabs add to the path at the same time, the browser
// keeps the response that arrives last, and the other page is lost.
const (
	visitor  = session.Key[string]("visitor")
	optedOut = session.Key[bool]("opted_out")
)

// site has all pages that the ledger counts. No request can add to them.
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
		ReadTimeout:       10 * time.Second, // of a whole request: no body can hold a connection for longer
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	log.Fatal(server.Serve(listener))
}

// options returns the session options. Lifetime is how long the choice lasts after the
// visitor pressed the button.
//
// With KeepExpiry, later requests do not move that deadline, so their responses set no
// cookie. Without it, the response of a page that is in flight could set the cookie again
// when the visitor has just pressed "Count me again".
//
// There is no IdleTimeout, because it would also end a visitor's "Do not count me" after
// half an hour. The ledger itself decides when a visit ends.
func options() *session.Options {
	return &session.Options{Name: "analytics", Lifetime: 180 * 24 * time.Hour, KeepExpiry: true}
}

// newHandler returns the site, whose ledger has room for limit open visits.
func newHandler(sessions *session.Manager, limit int) http.Handler {
	t := tracker{newLedger(limit)}
	mux := http.NewServeMux()
	for i, p := range site {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}" // without it, every unknown path would show the home page
		}
		mux.HandleFunc(pattern, t.page(page(i)))
	}
	mux.HandleFunc("GET /report", t.report)
	mux.HandleFunc("GET /privacy", t.privacy)
	mux.HandleFunc("POST /forget", t.forget)
	mux.HandleFunc("POST /opt-out", t.optOut)
	mux.HandleFunc("POST /opt-in", t.optIn)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// tracker has the handlers. They write the views into the ledger.
type tracker struct{ ledger *ledger }

// page returns a handler that counts a view and shows a page.
//
// The count is a change by a GET request, like a line in a server's log. With no-cache,
// the browser asks the server before it shows its copy, so that every view is counted.
func (t tracker) page(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := session.From(r); isView(r) && !declines(r) && !optedOut.Get(s) {
			t.ledger.view(ensureVisitor(s), p)
		}
		w.Header().Set("Cache-Control", "no-cache")
		show(w, http.StatusOK, "page", site[p])
	}
}

// isView reports whether a visitor will see the response, as far as the request tells.
//
// A HEAD request also reaches the GET handlers, but it asks for no page. If a browser
// fetches a page before a click that may never come, it says so in a header.
func isView(r *http.Request) bool {
	ahead := r.Header.Get("Sec-Purpose") + r.Header.Get("Purpose")
	return r.Method == http.MethodGet && !strings.Contains(ahead, "prefetch") && !isRobot(r.UserAgent())
}

// robots are words that robots have in their User-Agent. A robot that claims to be a
// browser counts as a visitor.
var robots = []string{"bot", "crawl", "spider", "slurp", "preview", "externalhit"}

// isRobot reports whether a User-Agent has a robot's word. Cubot is a maker of phones, and
// the browsers on them name it.
func isRobot(userAgent string) bool {
	userAgent = strings.ReplaceAll(strings.ToLower(userAgent), "cubot", "")
	for _, word := range robots {
		if strings.Contains(userAgent, word) {
			return true
		}
	}
	return false
}

// declines reports whether the browser asks the site not to track its user, with the
// header of Do Not Track or of Global Privacy Control. Such a visitor does not need to
// press a button.
func declines(r *http.Request) bool {
	return r.Header.Get("DNT") == "1" || r.Header.Get("Sec-GPC") == "1"
}

// visitorOf returns the visitor's ID, or "" if the session has none.
//
// The IDs of this release have 26 characters, and those of a later one may have more.
// visitorOf ignores an ID of more than 64, because another release with the same secret
// could have signed any length, and the ledger must stay small.
func visitorOf(s *session.Session) string {
	id := visitor.Get(s)
	if len(id) > 64 {
		return ""
	}
	return id
}

// ensureVisitor returns the visitor's ID. It gives a new visitor a random ID, which says
// nothing about the visitor.
func ensureVisitor(s *session.Session) string {
	id := visitorOf(s)
	if id == "" {
		id = rand.Text()
		visitor.Set(s, id)
	}
	return id
}

func (t tracker) report(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	show(w, http.StatusOK, "report", newReport(t.ledger.sum()))
}

// privacy shows visitors all data that the site has about them.
func (t tracker) privacy(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	v := t.ledger.visit(visitorOf(s))
	w.Header().Set("Cache-Control", "no-store")
	show(w, http.StatusOK, "privacy", map[string]any{
		"Declined": declines(r),
		"OptedOut": optedOut.Get(s),
		"Views":    v.views,
		"Path":     v.path,
		"Ends":     v.last.Add(idleTimeout),
		"MaxPath":  maxPath,
	})
}

// forget removes the visitor's open visit and the ID in the cookie.
//
// An opt-out stays in the session. Without one, the session is then empty, and the
// manager tells the browser to delete its cookie.
func (t tracker) forget(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	t.ledger.forget(visitorOf(s))
	visitor.Delete(s)
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
}

// optOut also forgets the visitor. From then on the session has only the choice, and
// outlives the browser.
func (t tracker) optOut(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	t.ledger.forget(visitorOf(s))
	s.Clear()
	optedOut.Set(s, true)
	s.SetPermanent(true)
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
}

// optIn removes the choice not to be counted. The session is then empty, so the next page
// counts as the first one of a new visitor.
func (t tracker) optIn(w http.ResponseWriter, r *http.Request) {
	optedOut.Delete(session.From(r))
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
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
