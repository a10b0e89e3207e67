// Command 5-analytics is a site of six pages that remembers the path each
// session takes through it, and shows a report.
//
//	go run ./exercises/5-analytics
//
// Open http://localhost:8080, walk around in two browsers, and look at the
// report. What this site remembers tells what is kept of you, and has the buttons
// to end that. What is counted, and how, is in ledger.go; the report's numbers are
// laid out in report.go.
package main

import (
	"crypto/rand"
	_ "embed"
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

// The session says who, as a random ID, or that the visitor does not want to be
// counted. The path is not in it: a cookie can be rolled back by sending an older
// one, and of two tabs that add to it the last answer wins.
const (
	visitor  = session.Key[string]("visitor")
	optedOut = session.Key[bool]("opted_out")
)

// site is all there is to count. What a visitor sends can add nothing to it.
var site = [...]struct{ Path, Name, Text string }{
	{"/", "Home", "A small site about hot drinks. Walk around, then look at the report."},
	{"/tea", "Tea", "All of it is one plant. White, green, oolong and black differ in what happens to the leaf after picking."},
	{"/coffee", "Coffee", "The bean is the seed of a cherry. Roasting it for ten minutes makes most of the taste."},
	{"/cocoa", "Cocoa", "For two thousand years it was drunk cold, bitter and with chilli."},
	{"/brewing", "Brewing", "Water off the boil for coffee and black tea, 70 degrees for green."},
	{"/about", "About", "Nobody here sells anything. The drinks are there so that you have something to click."},
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	limit := flag.Int("sessions", 10_000, "how many open sessions to remember at the most")
	flag.Parse()
	if *limit < 1 {
		log.Fatal("-sessions is 1 at the least")
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
	}
	log.Fatal(server.Serve(listener))
}

// options has no IdleTimeout: it would end a visitor's "do not count me" after
// half an hour too. The ledger knows by itself when a visit is over. Lifetime is
// how long the choice holds after the visitor was last here.
func options() *session.Options {
	return &session.Options{Name: "analytics", Lifetime: 180 * 24 * time.Hour}
}

// newHandler returns the site, whose ledger has room for limit open visits.
func newHandler(sessions *session.Manager, limit int) http.Handler {
	t := tracker{newLedger(limit)}
	mux := http.NewServeMux()
	for i, p := range site {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}" // else every unknown path would be the home page
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

// tracker answers requests, and writes them down.
type tracker struct{ ledger *ledger }

// page counts a view. That is a change made by a GET, like the log that a server
// writes. With no-cache no copy is shown without asking, and so without counting.
func (t tracker) page(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := session.From(r); isView(r) && !declines(r) && !optedOut.Get(s) {
			t.ledger.view(ensureVisitor(s), p)
		}
		w.Header().Set("Cache-Control", "no-cache")
		show(w, "page", site[p])
	}
}

// isView reports whether somebody is to see the answer, as far as the request
// tells. HEAD gets the GET handlers too, and asks for no page. Browsers say when
// they fetch ahead of a click that may never come.
func isView(r *http.Request) bool {
	ahead := r.Header.Get("Sec-Purpose") + r.Header.Get("Purpose")
	return r.Method == http.MethodGet && !strings.Contains(ahead, "prefetch") && !isRobot(r.UserAgent())
}

// robots are words by which programs that read the web name themselves. One that
// claims to be a browser counts as a visitor.
var robots = []string{"bot", "crawl", "spider", "slurp", "preview", "externalhit"}

func isRobot(userAgent string) bool {
	userAgent = strings.ToLower(userAgent)
	for _, word := range robots {
		if strings.Contains(userAgent, word) {
			return true
		}
	}
	return false
}

// declines reports whether the browser says for its user not to be tracked: Do
// Not Track, or Global Privacy Control. Nobody has to press anything then.
func declines(r *http.Request) bool {
	return r.Header.Get("DNT") == "1" || r.Header.Get("Sec-GPC") == "1"
}

// visitorOf returns the visitor's ID, "" when there is none. Ours have 26
// characters, and may have more one day; the ledger is to keep no more than that,
// whatever another release with this secret has signed.
func visitorOf(s *session.Session) string {
	id := visitor.Get(s)
	if len(id) > 64 {
		return ""
	}
	return id
}

// ensureVisitor gives a new visitor an ID. It is random and of no other use, so
// it says nothing about the visitor.
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
	show(w, "report", newReport(t.ledger.sum()))
}

// privacy shows visitors all that is remembered of them.
func (t tracker) privacy(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	v := t.ledger.visit(visitorOf(s))
	w.Header().Set("Cache-Control", "no-store")
	show(w, "privacy", map[string]any{
		"Declined": declines(r),
		"OptedOut": optedOut.Get(s),
		"Views":    v.views,
		"Path":     v.path,
		"Ends":     v.last.Add(idleTimeout),
		"MaxPath":  maxPath,
		"Idle":     idleTimeout.Minutes(),
	})
}

// forget leaves an opt-out as it is. Without one the session is empty then, and
// its cookie goes.
func (t tracker) forget(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	t.ledger.forget(visitorOf(s))
	visitor.Delete(s)
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
}

// optOut forgets the visitor too. From then on the session holds the choice and
// nothing else, and outlives the browser.
func (t tracker) optOut(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	t.ledger.forget(visitorOf(s))
	s.Clear()
	optedOut.Set(s, true)
	s.SetPermanent(true)
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
}

// optIn begins with the next page, as a new visitor: the session is empty now.
func (t tracker) optIn(w http.ResponseWriter, r *http.Request) {
	optedOut.Delete(session.From(r))
	http.Redirect(w, r, "/privacy", http.StatusSeeOther)
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{
	"site": func() any { return site },
}).Parse(pagesHTML))

func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}
