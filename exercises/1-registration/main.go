// Command 1-registration lets visitors register, log in, see a dashboard and log
// out. It stores the accounts in a file.
//
//	go run ./exercises/1-registration
//
// Open http://localhost:8080, register, restart the program, and log in.
//
// The accounts are in accounts.go, and the pause after failed logins is in limits.go.
// login.go is the same as in lesson 04.
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
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"example.com/sessions/internal/session"
)

// signedIn is the account that the visitor is logged in to. It is the only value in the
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
	if err := os.MkdirAll(filepath.Dir(*file), 0o700); err != nil {
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
		ReadTimeout:       10 * time.Second, // of a whole request: a body that never comes keeps no connection
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
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
	mux.HandleFunc("POST /register", readForm(maxForm, s.register))
	mux.HandleFunc("GET /login", showForm("login"))
	mux.HandleFunc("POST /login", readForm(maxForm, s.login))
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

func showForm(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, name, form{})
	}
}

// register makes an account and logs the visitor in. The visitor has just typed the
// password, so a login would prove nothing more.
func (s *site) register(w http.ResponseWriter, r *http.Request) {
	name, plain := r.PostForm.Get("username"), r.PostForm.Get("password")
	if problems := checkRules(name, plain); len(problems) > 0 {
		show(w, http.StatusBadRequest, "register", form{name, problems})
		return
	}
	s.enter(w, r, func() (account, error) { return s.accounts.add(name, plain) })
}

// login checks the username and the password, and begins a session.
func (s *site) login(w http.ResponseWriter, r *http.Request) {
	name, guess := r.PostForm.Get("username"), r.PostForm.Get("password")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			fieldProblem(w, r, http.StatusBadRequest, field, "The "+field+" is missing.")
			return
		}
	}
	s.enter(w, r, func() (account, error) { return s.authenticate(name, guess) })
}

// authenticate returns the account with this name and password, and limits how often a
// visitor can try.
//
// It counts each attempt before it checks the password, and forgets the count after the
// right password. If it counted failures afterwards, an attacker could send a hundred
// attempts at the same time, and none would be refused.
func (s *site) authenticate(name, guess string) (account, error) {
	if err := s.failures.begin(name); err != nil {
		return account{}, err
	}
	found, err := s.accounts.check(name, guess)
	if err == nil {
		s.failures.forget(name)
	}
	return found, err
}

// enter waits for a turn at hashing, calls find, and logs the visitor in to the account
// that find returns. After an error it shows the form again and says what went wrong.
func (s *site) enter(w http.ResponseWriter, r *http.Request, find func() (account, error)) {
	var a account
	var err error
	if noTurn := s.turns.do(r.Context(), func() { a, err = find() }); noTurn != nil {
		err = noTurn
	}
	paused, isPaused := errors.AsType[pausedError](err)
	switch {
	case err == nil:
		signIn(session.From(r), a)
		http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
	case errors.Is(err, errWrong):
		problem(w, r, http.StatusForbidden, "Invalid credentials")
	case errors.Is(err, errTaken):
		fieldProblem(w, r, http.StatusConflict, "username", "The username "+r.PostForm.Get("username")+" is taken.")
	case errors.Is(err, errFull):
		problem(w, r, http.StatusServiceUnavailable, "This site takes no more accounts.")
	case isPaused:
		w.Header().Set("Retry-After", strconv.Itoa(paused.seconds()))
		problem(w, r, http.StatusTooManyRequests, fmt.Sprintf(
			"Too many failed logins with this username. Try again in %d min.", paused.minutes()))
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "5")
		problem(w, r, http.StatusServiceUnavailable, tooMany)
	case errors.Is(err, r.Context().Err()): // the visitor left
	default:
		log.Print(err)
		problem(w, r, http.StatusServiceUnavailable, "The account could not be saved. This is a fault of the site. Try again later.")
	}
}

// signIn begins a session for the account. It clears the session first, because an
// attacker or an earlier visitor may have left values in it (session fixation).
func signIn(s *session.Session, a account) {
	s.Clear()
	signedIn.Set(s, identity{a.Name, a.ID})
}

// dashboard shows a page to a visitor who is logged in to an account that exists.
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

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page that no cache may store, not even the browser's own.
func show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}

// problem shows the form again, with a problem that concerns the form as a whole.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	fieldProblem(w, r, status, "", text)
}

// fieldProblem shows the form again, with a problem of one field. The form has the name
// of its page: POST /login shows the page "login".
func fieldProblem(w http.ResponseWriter, r *http.Request, status int, field, text string) {
	show(w, status, path.Base(r.URL.Path), form{r.PostForm.Get("username"), map[string]string{field: text}})
}
