// Command 07-security serves a login that follows every best practice, over HTTPS. It
// also serves a bench: a page with buttons that attack the login.
//
//	openssl rand -hex 32 > security.secret
//	SESSION_SECRET=$(cat security.secret) go run ./lessons/07-security
//
// Open https://localhost:8080. The browser warns about the certificate; README.md says
// how to go on. Log in as admin, whose password is "password". Open the bench, and attack
// your own session.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// The keys of the session. Anyone who has the cookie can read the values, so the user is
// only a number. The coins show what a client-side session cannot protect.
const (
	userID = session.Key[int]("uid")
	coins  = session.Key[int]("coins")
)

// cookieName has the prefix __Host-. Browsers accept such a cookie only from this exact
// host, and only over HTTPS (they make an exception for localhost).
const cookieName = "__Host-security"

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	attacker := flag.String("attacker", "localhost:8081", "address of the attacker's page, on the same machine")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, options(oldSecrets()...))
	if err != nil {
		log.Fatal(err)
	}
	site := newOrigins(*addr, *attacker)
	run(*addr, newHandler(sessions, site), *attacker, newAttacker(site))
}

// options returns the best practices that a cookie can follow.
//
// SameSite is Strict, because no other site has a reason to link to a dashboard. A
// visitor who follows such a link arrives without the cookie, as if logged out. A shop
// would use Lax.
func options(oldSecrets ...[]byte) *session.Options {
	return &session.Options{
		Name:            cookieName, // the __Host- prefix: only this host can set the cookie, and only over HTTPS
		Secure:          true,
		SameSite:        http.SameSiteStrictMode,
		OldSecrets:      oldSecrets,
		IdleTimeout:     15 * time.Minute,
		AbsoluteTimeout: 12 * time.Hour,
	}
}

// oldSecrets returns the secret that SESSION_SECRET has replaced, from SESSION_SECRET_OLD.
//
// You can remove the old secret after 15 minutes. By then the manager has re-signed
// every session, or the session has expired.
func oldSecrets() [][]byte {
	old, err := session.SecretFromEnv("SESSION_SECRET_OLD")
	if err != nil {
		return nil
	}
	return [][]byte{old}
}

// newHandler returns the lesson's site.
//
// A request goes through these layers, in this order. secureHeaders sets the headers of
// every response. The files come next, because they need no session. protection then
// refuses a POST that does not come from a page of ours. The session comes last.
func newHandler(sessions *session.Manager, site origins) http.Handler {
	b := &bench{origins: site, sessions: sessions}
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
	mux.HandleFunc("GET /dashboard", b.dashboard)
	mux.HandleFunc("GET /whoami", whoami)
	mux.HandleFunc("POST /spend", spendThen("/dashboard"))
	mux.HandleFunc("POST /logout", logoutThen("/login"))
	mux.HandleFunc("GET /bench", b.page)
	mux.HandleFunc("POST /bench", readForm(maxForm, b.attack))
	mux.HandleFunc("POST /bench/spend", spendThen("/bench#replay"))
	mux.HandleFunc("POST /bench/logout", logoutThen("/bench#replay"))

	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(refuse))
	all := http.NewServeMux()
	all.Handle("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	all.Handle("GET /bench.css", file("bench.css", "text/css; charset=utf-8"))
	all.Handle("GET /bench.js", file("bench.js", "text/javascript; charset=utf-8"))
	all.HandleFunc("GET /forget.css", forget)
	all.Handle("/", protection.Handler(sessions.Handler(mux)))
	b.app = secureHeaders(all)
	return b.app
}

// policy is the content security policy. It lets a page load the site's own style and
// script, and nothing else. If an attacker gets a <script> or a style="…" into a page,
// the browser ignores it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secureHeaders sets the headers that make browsers careful, on every response.
//
// Referrer-Policy is same-origin. With no-referrer, browsers would send "Origin: null"
// with our own forms.
//
// Strict-Transport-Security (HSTS) tells a browser to use only HTTPS for a host. It is
// never sent to localhost, because it covers every port: a browser that obeyed it could no
// longer open the other lessons. (Browsers ignore it while they distrust the certificate.)
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		if !isLoopback(r.Host) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a request's Host is this machine.
func isLoopback(host string) bool {
	host = (&url.URL{Host: host}).Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// refuse responds to a POST that comes from a page of another origin. No handler of the
// site has run, and nothing has changed.
func refuse(w http.ResponseWriter, r *http.Request) {
	_, err := r.Cookie(cookieName)
	show(w, r, http.StatusForbidden, "refused", struct {
		Path, Origin, FetchSite string
		CookieCame              bool
	}{r.URL.Path, r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"), err == nil})
}

// form is what the login page shows again: the username that was typed, and the problem
// with the form. It has no password, so no page ever shows one.
type form struct{ Username, Problem string }

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "login", form{})
}

// login checks the username and the password, and begins a session.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	name, guess := r.PostForm.Get("username"), r.PostForm.Get("password")
	for _, field := range []string{"username", "password"} {
		if r.PostForm.Get(field) == "" {
			show(w, r, http.StatusBadRequest, "login", form{name, "The " + field + " is missing."})
			return
		}
	}
	var u user
	right := false
	if err := t.do(r.Context(), func() { u, right = authenticate(name, guess) }); err != nil {
		w.Header().Set("Retry-After", "5") // there was no turn, so the password was not checked
		show(w, r, http.StatusServiceUnavailable, "login", form{name, tooMany})
		return
	}
	if !right {
		show(w, r, http.StatusForbidden, "login", form{name, "Invalid credentials"})
		return
	}
	signIn(session.From(r), u)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// signIn begins a session for u. It calls Clear first, so that the new session has no
// value that an attacker or an earlier visitor left in this browser.
func signIn(s *session.Session, u user) {
	s.Clear()
	userID.Set(s, u.ID)
	coins.Set(s, 10)
}

// dashboard shows how each best practice applies to this request.
func (b *bench) dashboard(w http.ResponseWriter, r *http.Request) {
	u, ok := visitor(r)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	s := session.From(r)
	parts, _ := session.Inspect(cookieOf(b.sessions, r, cookieName))
	show(w, r, http.StatusOK, "dashboard", map[string]any{
		"User":       u.Name,
		"Coins":      coins.Get(s),
		"Payload":    string(parts.Payload),
		"SignedAt":   clock(parts.SignedAt),
		"Ends":       clock(s.Expires()),
		"TLS":        tlsVersion(r),
		"Headers":    w.Header(),
		"Host":       r.Host,
		"OwnSecret":  os.Getenv("SESSION_SECRET") != "",
		"OldSecret":  os.Getenv("SESSION_SECRET_OLD") != "",
		"CookieName": cookieName,
	})
}

// whoami says in one line which user a request's cookie belongs to. The bench uses it.
func whoami(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	u, ok := visitor(r)
	if !ok {
		http.Error(w, "You are not logged in.", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "You are %s and have %d coins.\n", u.Name, coins.Get(session.From(r)))
}

// spendThen returns a handler that takes one coin from the session, if there is one. Then
// it leads to the page with the button.
func spendThen(next string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		if _, ok := visitor(r); ok && coins.Get(s) > 0 {
			coins.Update(s, func(n int) int { return n - 1 })
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// logoutThen returns a handler that clears the session, so the manager tells the browser
// to delete its cookie. A copy of the cookie stays valid. The bench shows what that means.
func logoutThen(next string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session.From(r).Clear()
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// visitor returns the user who is logged in.
//
// The cookie has only a number. Each request looks the user up, because the account may
// have been removed or renamed since the login.
func visitor(r *http.Request) (user, bool) {
	id := userID.Get(session.From(r))
	return findUser(func(u user) bool { return u.ID == id })
}

type user struct {
	ID       int
	Name     string
	password password
}

// users has the demo account that the login page shows.
var users = []user{{
	ID: 1, Name: "admin",
	password: password{
		Salt: "80e1284e89b4f4fae08b9f1245b2e511",
		Hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
	},
}}

func findUser(is func(user) bool) (user, bool) {
	i := slices.IndexFunc(users, is)
	if i < 0 {
		return user{}, false
	}
	return users[i], true
}

// authenticate returns the user with this name and password.
//
// If there is no such user, it does the same work on an empty password, because a faster
// response would tell which names exist.
func authenticate(name, guess string) (user, bool) {
	u, known := findUser(func(u user) bool { return u.Name == name })
	return u, u.password.matches(guess) && known
}

// cookieOf returns the value of the request's cookie of this name, or "".
//
// A request may have several cookies of one name, so cookieOf returns the first that is
// valid. It must verify a cookie before it decodes it, because a few bytes that no one
// signed could inflate to a megabyte.
func cookieOf(sessions *session.Manager, r *http.Request, name string) string {
	for _, c := range r.CookiesNamed(name) {
		if sessions.Verify(c.Value) == nil {
			return c.Value
		}
	}
	return ""
}

// tlsVersion returns the TLS version of the request's connection. It returns "" if a
// proxy in front of the program terminates TLS.
func tlsVersion(r *http.Request) string {
	if r.TLS == nil {
		return ""
	}
	return tls.VersionName(r.TLS.Version)
}

func clock(t time.Time) string {
	return t.UTC().Format("15:04:05 UTC")
}

//go:embed pages.html style.css bench.css bench.js
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages.html"))

// show writes a page that no cache may store, not even the browser's own.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}

// problem shows a page that says what is wrong with the request.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, r, status, "problem", text)
}

// file returns a handler for an embedded file.
//
// With no-cache, the browser stores the file and asks each time whether it has changed.
// The question is by a hash (ETag), because an embedded file has no date.
func file(name, contentType string) http.Handler {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // cannot happen, because go:embed fails the build first
	}
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256(content))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
