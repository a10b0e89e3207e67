// Command 06-preferences lets a visitor choose how its pages look, and keeps
// the choice when the browser is closed.
//
//	go run ./lessons/06-preferences
//
// Open http://localhost:8080, choose, and press Save Preferences. Then close the
// browser, open it again, and look at http://localhost:8080/styled_page.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"slices"
	"time"

	"example.com/sessions/internal/session"
)

// Preferences is what a visitor chose.
type Preferences struct {
	Theme    string `json:"theme"`     // one of themes
	FontSize string `json:"font_size"` // one of fontSizes
}

// preferences is the one value in this lesson's session.
const preferences = session.Key[Preferences]("preferences")

// defaults is what a visitor sees who has not chosen yet.
var defaults = Preferences{Theme: "light", FontSize: "medium"}

// themes and fontSizes list every value there is, and pages.html has a class for
// each. Text that is not listed here is neither stored nor shown, whether it
// comes from a form or from a cookie.
var (
	themes    = []option{{"light", "Light"}, {"dark", "Dark"}}
	fontSizes = []option{{"small", "Small"}, {"medium", "Medium"}, {"large", "Large"}}
)

type option struct{ Value, Label string }

// maxForm is in bytes. The longest form that the page sends has 28.
const maxForm = 1024

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: "preferences"})
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

// newHandler returns the lesson's site. CrossOriginProtection answers 403 to a
// POST that a browser says comes from another origin. SameSite=Lax alone keeps our
// cookie out of such a POST, but not the new cookie out of its answer: a form on
// a stranger's page would choose for our visitor.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/preferences", http.StatusSeeOther))
	mux.HandleFunc("GET /preferences", form)
	mux.HandleFunc("POST /preferences", save)
	mux.HandleFunc("GET /styled_page", styledPage)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// form shows the select boxes, set to what the visitor chose last.
func form(w http.ResponseWriter, r *http.Request) {
	p := current(session.From(r))
	showForm(w, http.StatusOK, p, p)
}

// save stores both choices or neither. The form of our page sends each field once,
// with a listed value; whatever else arrives was made by hand. Of a field that is
// sent twice the first value counts, and it is the one that is checked.
func save(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "This form is too long, or cannot be read.", http.StatusBadRequest)
		return
	}
	s := session.From(r)
	sent := Preferences{r.PostForm.Get("theme"), r.PostForm.Get("font_size")}
	if shown := sent.orElse(current(s)); shown != sent {
		showForm(w, http.StatusBadRequest, shown, sent)
		return
	}
	preferences.Set(s, sent)
	s.SetPermanent(true)
	http.Redirect(w, r, "/styled_page", http.StatusSeeOther)
}

// styledPage is any page of the site: it looks as the visitor chose.
func styledPage(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "styled_page", current(session.From(r)))
}

// current returns what the visitor chose, as far as it is still offered. A good
// signature says that the cookie was written with our secret, not by which
// release: an older one may have had another list, or another struct.
func current(s *session.Session) Preferences {
	return preferences.Get(s).orElse(defaults)
}

// orElse returns p, with the value of other for each that is not listed.
func (p Preferences) orElse(other Preferences) Preferences {
	if !offers(themes, p.Theme) {
		p.Theme = other.Theme
	}
	if !offers(fontSizes, p.FontSize) {
		p.FontSize = other.FontSize
	}
	return p
}

func offers(options []option, value string) bool {
	return slices.ContainsFunc(options, func(o option) bool { return o.Value == value })
}

// field is one select box.
type field struct {
	Name, Label string
	Options     []option
	Chosen      string
	Refused     bool // what was sent is no option
}

// showForm shows the form, and where shown differs from what was sent, why.
func showForm(w http.ResponseWriter, status int, shown, sent Preferences) {
	show(w, status, "preferences", []field{
		{"theme", "Theme", themes, shown.Theme, sent.Theme != shown.Theme},
		{"font_size", "Font Size", fontSizes, shown.FontSize, sent.FontSize != shown.FontSize},
	})
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
