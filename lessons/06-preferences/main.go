// Command 06-preferences lets a visitor choose how its pages look. The choice is still
// there after the browser was closed.
//
//	go run ./lessons/06-preferences
//
// Open http://localhost:8080, choose a theme and a font size, and press Save
// Preferences. Then close the browser, open it again, and go to
// http://localhost:8080/styled_page.
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
	"slices"
	"time"

	"example.com/sessions/internal/session"
)

// Preferences is a visitor's choice.
type Preferences struct {
	Theme    string `json:"theme"`     // one of themes
	FontSize string `json:"font_size"` // one of fontSizes
}

// preferences is the only value in this lesson's session.
const preferences = session.Key[Preferences]("preferences")

const cookieName = "preferences"

// defaults is the choice of a visitor who has not chosen yet.
var defaults = Preferences{Theme: "light", FontSize: "medium"}

// themes and fontSizes list every value that is allowed. pages.html has a class for each
// of them. Any other text, from a form or from a cookie, is neither stored nor shown.
var (
	themes    = []option{{"light", "Light"}, {"dark", "Dark"}}
	fontSizes = []option{{"small", "Small"}, {"medium", "Medium"}, {"large", "Large"}}
)

type option struct{ Value, Label string }

// maxForm is the maximum size of a posted form in bytes. The longest form that the page
// sends has 28.
const maxForm = 1024

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
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers send the page's origin with each POST.
//
// SameSite=Lax alone is not enough. With it, the browser sends no cookie with such a
// POST, but it stores the cookie that the response sets. A form on another site could
// then choose for our visitor.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/preferences", http.StatusSeeOther))
	mux.HandleFunc("GET /preferences", form)
	mux.HandleFunc("POST /preferences", save)
	mux.HandleFunc("GET /styled_page", styledPage)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// form shows the select boxes, set to the visitor's last choice.
func form(w http.ResponseWriter, r *http.Request) {
	p := current(session.From(r))
	showForm(w, r, http.StatusOK, p, p)
}

// save stores the theme and the font size. If one of them is not listed, it stores
// neither.
//
// The form of our page sends each field once, with a listed value. Someone made any
// other form by hand. If a field is sent twice, save checks and stores its first value.
func save(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, fmt.Sprintf("The form is too large: more than %d bytes.", maxForm), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "The form is damaged.", http.StatusBadRequest)
		return
	}
	s := session.From(r)
	sent := Preferences{r.PostForm.Get("theme"), r.PostForm.Get("font_size")}
	if shown := sent.orElse(current(s)); shown != sent {
		showForm(w, r, http.StatusBadRequest, shown, sent)
		return
	}
	preferences.Set(s, sent)
	s.SetPermanent(true)
	http.Redirect(w, r, "/styled_page", http.StatusSeeOther)
}

// styledPage shows a page in the theme and font size that the visitor chose. It stands
// for every page of a site.
func styledPage(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "styled_page", page{"Content with Your Preferences", current(session.From(r)), nil})
}

// current returns the visitor's choice. A value that is no longer listed is replaced by
// the default.
//
// A valid signature proves that the cookie was written with our secret. It does not
// tell which release wrote it. An older release may have had other lists, or another
// struct.
func current(s *session.Session) Preferences {
	return preferences.Get(s).orElse(defaults)
}

// orElse returns p. Each value of p that is not listed is replaced by the value of other.
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
	Refused     bool // the value that was sent is not in Options
}

// showForm shows the form with the values of shown. Where shown differs from sent, the
// form says that the value was refused, and why.
func showForm(w http.ResponseWriter, r *http.Request, status int, shown, sent Preferences) {
	show(w, r, status, "preferences", page{"Set Your Preferences", current(session.From(r)), []field{
		{"theme", "Theme", themes, shown.Theme, sent.Theme != shown.Theme},
		{"font_size", "Font Size", fontSizes, shown.FontSize, sent.FontSize != shown.FontSize},
	}})
}

// page is the data of the templates. Every page has the visitor's choice, because each is
// shown in the theme and font size that the visitor chose.
type page struct {
	Title  string
	Chosen Preferences
	Fields []field // of the form; nil on other pages
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
