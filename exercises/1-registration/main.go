// Command 1-registration lets visitors register, log in, see a dashboard and log
// out. The accounts are in a file.
//
//	go run ./exercises/1-registration
//
// Open http://localhost:8080, register, restart the program, and log in. The
// accounts are in accounts.go, what keeps the password check from being a way to
// stop the site in limits.go.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"example.com/sessions/internal/session"
)

// signedIn is the one value in the session. It is there or it is not, and says
// nothing about whether that account still exists.
const signedIn = session.Key[identity]("account")

// identity is an account as the session knows it. The name alone would not do: if
// the account is removed and somebody else registers its name, the cookies of the
// first one would open the account of the second.
type identity struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

const maxForm = 4096 // bytes of a posted form, which the longest password fits in

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	file := flag.String("accounts", defaultFile(), "the file that keeps the accounts")
	limit := flag.Int("max", 10_000, "how many accounts there can be")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, options())
	if err != nil {
		log.Fatal(err)
	}
	held, err := lock(*file)
	if err != nil {
		log.Fatal(err)
	}
	defer held.Close() // open, and so locked, until the process ends
	handler, err := newHandler(sessions, *file, *limit)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("accounts are in %s, listening on http://%s", *file, *addr)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}

// options ask for a new login twice a day. The session is not permanent, and only
// a login writes it, so nothing signs it anew: a copy of the cookie, too, ends
// 12 hours after the login that made it.
func options() *session.Options {
	return &session.Options{Name: "registration", Lifetime: 12 * time.Hour}
}

// defaultFile is a file of this user's, outside the repository: what visitors
// register is not to be committed.
func defaultFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "sessions-in-go", "1-registration", "accounts.json")
}

// site is what the handlers work with.
type site struct {
	accounts *accounts
	turns    turns
	failures failures
}

// newHandler returns the exercise's site, with the accounts of a file, which need
// not be there yet, and at most limit of them. It fails when the file cannot be
// read. CrossOriginProtection answers 403 to a POST from a page of another origin.
func newHandler(sessions *session.Manager, file string, limit int) (http.Handler, error) {
	accounts, err := openAccounts(file, limit)
	if err != nil {
		return nil, err
	}
	s := &site{accounts: accounts, turns: newTurns()}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /register", showForm("register"))
	mux.HandleFunc("POST /register", readForm("register", s.register))
	mux.HandleFunc("GET /login", showForm("login"))
	mux.HandleFunc("POST /login", readForm("login", s.login))
	mux.HandleFunc("GET /dashboard", s.dashboard)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux)), nil
}

// form is what a form shows: what was typed, and what is wrong with it. The
// password never comes back.
type form struct {
	Username string
	Problems map[string]string // by field; "" is the form as a whole
}

func showForm(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, page, form{})
	}
}

// readForm reads a posted form before next runs.
func readForm(page string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			problem(w, http.StatusRequestEntityTooLarge, page, "", "", "The form is too large.")
			return
		}
		if err != nil {
			problem(w, http.StatusBadRequest, page, "", "", "The form is damaged.")
			return
		}
		next(w, r)
	}
}

// register makes an account and signs it in: whoever registers has typed the
// password this moment, and to ask for it again would prove nothing more.
//
// Here and in login, PostForm holds what came in the body. A password in the
// address would be in logs and in the browser's history.
func (s *site) register(w http.ResponseWriter, r *http.Request) {
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	if problems := checkRules(name, password); len(problems) > 0 {
		show(w, http.StatusBadRequest, "register", form{name, problems})
		return
	}
	var made account
	err := s.turns.do(r.Context(), func() (err error) {
		made, err = s.accounts.add(name, password)
		return err
	})
	s.finish(w, r, "register", made, err)
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			problem(w, http.StatusBadRequest, "login", name, field, "The "+field+" is missing.")
			return
		}
	}
	var found account
	err := s.turns.do(r.Context(), func() (err error) {
		found, err = s.authenticate(name, password)
		return err
	})
	s.finish(w, r, "login", found, err)
}

// authenticate counts an attempt before it is made, and forgets the count when it
// is right. Were failures counted afterwards, all of a hundred attempts that are
// sent at once would be made.
func (s *site) authenticate(name, password string) (account, error) {
	if err := s.failures.begin(name); err != nil {
		return account{}, err
	}
	found, err := s.accounts.check(name, password)
	if err == nil {
		s.failures.forget(name)
	}
	return found, err
}

// finish signs the account in, or says why not.
func (s *site) finish(w http.ResponseWriter, r *http.Request, page string, a account, err error) {
	name := r.PostForm.Get("username")
	paused, isPaused := errors.AsType[pausedError](err)
	switch {
	case err == nil:
		signIn(session.From(r), a)
		http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
	case errors.Is(err, errWrong):
		problem(w, http.StatusForbidden, page, name, "", "Invalid credentials")
	case errors.Is(err, errTaken):
		problem(w, http.StatusConflict, page, name, "username", "The username "+name+" is taken.")
	case errors.Is(err, errFull):
		problem(w, http.StatusServiceUnavailable, page, name, "", "This site takes no more accounts.")
	case isPaused:
		w.Header().Set("Retry-After", strconv.Itoa(paused.seconds()))
		problem(w, http.StatusTooManyRequests, page, name, "", fmt.Sprintf(
			"Too many failed logins with this username. Try again in %d min.", paused.minutes()))
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, page, name, "", "Too many visitors at once. Try again in a few seconds.")
	case errors.Is(err, r.Context().Err()): // the visitor left
	default:
		log.Print(err)
		problem(w, http.StatusServiceUnavailable, page, name, "", "That did not work, and it is not your doing. Try again later.")
	}
}

// signIn begins a session. Whatever was in the one before, planted or left behind,
// is not this account's (session fixation).
func signIn(s *session.Session, a account) {
	s.Clear()
	signedIn.Set(s, identity{a.Name, a.ID})
}

// dashboard is for whoever is signed in to an account that exists. The signature
// says that this site once wrote the name and the ID, not that they are an
// account's today.
func (s *site) dashboard(w http.ResponseWriter, r *http.Request) {
	who := signedIn.Get(session.From(r))
	a, known := s.accounts.find(who.Name)
	if !known || a.ID != who.ID {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	show(w, http.StatusOK, "dashboard", a.Name)
}

// logout leaves the session empty, so the browser is told to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget answers with a stylesheet that has no styles. Whatever no-store says, some
// browsers keep the page that you leave in memory, and Back would show it after
// a logout. Clear-Site-Data makes them drop it, if it comes when that page has
// been left: so the login page asks for this.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// show answers with a page that no cache may keep, not even the browser's own.
func show(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		log.Print(err)
	}
}

// problem shows a form again with one thing that is wrong.
func problem(w http.ResponseWriter, status int, page, username, field, text string) {
	show(w, status, page, form{username, map[string]string{field: text}})
}
