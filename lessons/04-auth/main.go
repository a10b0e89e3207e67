// Command 04-auth lets a visitor log in and out, and shows a dashboard to visitors who
// are logged in.
//
//	go run ./lessons/04-auth
//
// Open http://localhost:8080 and log in as admin, whose password is "password".
// Try a wrong password first. Copy the cookie before you log out, and put it back
// afterwards.
package main

import (
	"bufio"
	"crypto/rand"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// username is the name of the user who is logged in. If the session has no username, no
// one is logged in.
//
// The tutorial also stores a value logged_in. This lesson does not, because two values
// can contradict each other.
const username = session.Key[string]("username")

// login checks the username and the password, and begins a session.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name, guess := r.PostForm.Get("username"), r.PostForm.Get("password")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			show(w, r, http.StatusBadRequest, "login", form{name, "The " + field + " is missing."})
			return
		}
	}
	right := false
	if err := t.do(r.Context(), func() { right = check(name, guess) }); err != nil {
		w.Header().Set("Retry-After", "5") // there was no turn, so the password was not checked
		show(w, r, http.StatusServiceUnavailable, "login", form{name, tooMany})
		return
	}
	if !right {
		show(w, r, http.StatusForbidden, "login", form{name, "Invalid credentials"})
		return
	}
	s := session.From(r)
	s.Clear() // an attacker or an earlier visitor may have left values in this session
	username.Set(s, name)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// dashboard shows a page to a visitor who is logged in and whose account still exists.
//
// It looks the account up with every request, because the signature only proves that
// this site once wrote the name. The account may have been removed since.
//
// After a logout, the Back button must not show this page again. So no cache may store
// it, and forget makes the browser delete what it has in memory.
func dashboard(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name := username.Get(session.From(r))
	if _, known := passwords[name]; !known {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	show(w, r, http.StatusOK, "dashboard", name)
}

// logout clears the session. The session is then empty, so the manager tells the
// browser to delete its cookie.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// passwords has the users. A real site has them in a database. To add a user, run
//
//	go run ./lessons/04-auth -hash
var passwords = map[string]password{
	"admin": {
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}

// check reports whether the user has this password.
//
// If there is no such user, check does the same work on an empty entry, because a
// faster response would tell which names exist.
func check(name, guess string) bool {
	stored, known := passwords[name]
	return stored.matches(guess) && known
}

// newHandler returns the lesson's site.
//
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers say with each POST where it comes from: in the header
// Sec-Fetch-Site, or in Origin.
//
// The login form needs this protection too. Otherwise another site could log its
// visitors in here to the attacker's account, and the attacker could later read what
// they left in that account (login CSRF).
func newHandler(sessions *session.Manager) http.Handler {
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
	mux.HandleFunc("GET /dashboard", dashboard)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// form is what the login page shows again: the username that was typed, and the problem
// with the form. It has no password, so no page ever shows one.
type form struct{ Username, Problem string }

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "login", form{})
}

// problem shows the form again. It is called for a form that cannot be read.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, r, status, "login", form{Problem: text})
}

const cookieName = "auth"

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	hashes := flag.Bool("hash", false, "read a password from standard input, print its entry for passwords, and end")
	flag.Parse()
	if *hashes {
		fmt.Fprintln(os.Stderr, "Type the new password, and press Enter.")
		if err := printEntry(os.Stdout, os.Stdin); err != nil {
			log.Fatal(err)
		}
		return
	}

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

// printEntry reads a password, up to the end of the line, and prints what passwords needs
// for a user who has it.
func printEntry(w io.Writer, r io.Reader) error {
	line, err := bufio.NewReader(io.LimitReader(r, maxForm)).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	made := password{Salt: rand.Text()}
	if made.Hash, err = hash(strings.TrimRight(line, "\r\n"), made.Salt); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "{Salt: %q, Hash: %q},\n", made.Salt, made.Hash)
	return err
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page. The last part of it is in cookie.go.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	end := newEnding(r)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	err := pages.ExecuteTemplate(w, name, data)
	if err == nil {
		err = end.write(w)
	}
	if err != nil {
		log.Print(err)
	}
}
