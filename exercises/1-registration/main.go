// Command 1-registration lets visitors register, log in, see a dashboard and log
// out. It stores the accounts in a file.
//
//	go run ./exercises/1-registration
//
// Open http://localhost:8080, register, restart the program, and log in.
//
// The accounts are in accounts.go. The limits that keep attackers from stopping the
// site with password checks are in limits.go and turns.go.
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

// signedIn is the account that the visitor is signed in to. It is the only value in the
// session. It does not tell whether that account still exists.
const signedIn = session.Key[identity]("account")

// identity names an account in the session.
//
// The name alone is not enough. If the account is removed and another visitor registers
// its name, the first visitor's cookies would open the second visitor's account.
type identity struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

const maxForm = 4096 // bytes of a posted form: room for the longest password

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	file := flag.String("accounts", defaultFile(), "the file that stores the accounts")
	limit := flag.Int("max", 10_000, "maximum number of accounts")
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
	defer held.Close() // the file stays locked until the process ends
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

// options returns the session options: a visitor must log in again after 12 hours.
//
// The session is not permanent, and only a login changes it, so the manager never
// re-signs it. Therefore a copy of the cookie also expires 12 hours after the login.
func options() *session.Options {
	return &session.Options{Name: "registration", Lifetime: 12 * time.Hour}
}

// defaultFile returns a file that belongs to this user. It is outside the repository,
// because the data of visitors must not be committed.
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

// newHandler returns the exercise's site, which stores at most limit accounts in file.
// If there is no such file yet, the first registration makes it. newHandler fails if it
// cannot read the file.
//
// CrossOriginProtection answers a POST from a page of another origin with 403.
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

// form is what a form shows again: the username that was typed, and the problems with
// the form. It has no password, so no page ever shows one.
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

// register makes an account and signs the visitor in. The visitor has just typed the
// password, so a login would prove nothing more.
//
// Both register and login read PostForm, which has the fields of the request's body
// only. A password in the address would be in logs and in the browser's history.
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

// login checks the username and the password, and begins a session.
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

// authenticate returns the account with this name and password, and limits how often a
// visitor can try.
//
// It counts each attempt before it checks the password, and forgets the count after the
// right password. If it counted failures afterwards, an attacker could send a hundred
// attempts at the same time, and none would be refused.
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

// finish signs the account in if err is nil. Otherwise it shows the form again and says
// what went wrong.
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

// signIn begins a session for the account. It clears the session first, because an
// attacker or an earlier visitor may have left values in it (session fixation).
func signIn(s *session.Session, a account) {
	s.Clear()
	signedIn.Set(s, identity{a.Name, a.ID})
}

// dashboard shows a page to a visitor who is signed in to an account that exists.
//
// It looks the account up with every request, because the signature only proves that
// this site once wrote the name and the ID. The account may have been removed since.
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

// logout clears the session. The session is then empty, so the manager tells the
// browser to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget sends an empty stylesheet with a Clear-Site-Data header.
//
// Some browsers keep the page that you leave in memory, even with no-store, and Back
// would show it after a logout. Clear-Site-Data makes them delete it. The header works
// only after the browser has left that page. Therefore the login page loads this
// stylesheet.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// show writes a page that no cache may store, not even the browser's own.
func show(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		log.Print(err)
	}
}

// problem shows a form again with one problem.
func problem(w http.ResponseWriter, status int, page, username, field, text string) {
	show(w, status, page, form{username, map[string]string{field: text}})
}
