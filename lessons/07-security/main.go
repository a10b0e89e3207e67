// Command 07-security is a login with every best practice switched on, over
// HTTPS, and a bench to attack it from.
//
//	go run ./lessons/07-security
//
// Open https://localhost:8080, pass the warning about the certificate (README.md
// says how), log in as admin with "password", read what the dashboard says, and
// go on to the bench.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/sessions/internal/session"
)

// What the session holds is for anybody to read: a number that says who, and
// coins, which are there to show what a client-side session cannot keep.
const (
	userID = session.Key[int]("uid")
	coins  = session.Key[int]("coins")
)

const cookieName = "__Host-security"

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	attacker := flag.String("attacker", "localhost:8081", "address of the attacker's page")
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
	site := origins{App: "https://" + *addr, Attacker: "https://" + *attacker}
	config := &tls.Config{Certificates: []tls.Certificate{newCertificate()}}
	listener, attackerListener := listen(*addr, config), listen(*attacker, config)
	go newServer(newAttacker(site)).Serve(attackerListener) // ends with the process

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log.Printf("listening on %s", site.App)
	if err := serve(ctx, newServer(newHandler(sessions, site)), listener); err != nil {
		log.Fatal(err)
	}
}

// options are the best practices that a cookie can follow. Strict, and not Lax,
// because no other site has reason to link to a dashboard: who follows such a
// link arrives without the cookie, as if signed out. A shop would take Lax.
func options(oldSecrets ...[]byte) *session.Options {
	return &session.Options{
		Name:            cookieName, // with this prefix no other host can set it, nor plain HTTP but localhost's
		Secure:          true,
		SameSite:        http.SameSiteStrictMode,
		OldSecrets:      oldSecrets,
		IdleTimeout:     15 * time.Minute,
		AbsoluteTimeout: 12 * time.Hour,
	}
}

// oldSecrets is the secret that SESSION_SECRET has taken the place of. Fifteen
// minutes later every session was signed anew or has ended, and it can go.
func oldSecrets() [][]byte {
	old, err := session.SecretFromEnv("SESSION_SECRET_OLD")
	if err != nil {
		return nil
	}
	return [][]byte{old}
}

// newCertificate vouches for itself, so browsers warn of it. Its key never
// leaves this process, and it holds for a week.
func newCertificate() tls.Certificate {
	now := time.Now()
	cert := &x509.Certificate{
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   now.Add(-time.Minute),
		NotAfter:    now.Add(7 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// listen takes HTTPS connections, for HTTP/1.1: there a header that is too long
// gets an answer (431), and over HTTP/2 net/http may end the connection instead.
func listen(addr string, config *tls.Config) net.Listener {
	listener, err := tls.Listen("tcp", addr, config)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// newServer bounds what one client can hold on to. Without these, a client that
// sends a byte a second keeps a connection for ever.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10, // room for four full cookies; net/http adds 4 KiB
	}
}

// serve answers until ctx ends. Then it takes no more connections, and returns
// when the requests under way have their answers.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.Background(), 15*time.Second) // more than a request may take
		defer cancel()
		drained <- server.Shutdown(limit)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained // Serve returns when Shutdown begins
}

// newHandler returns the lesson's site, from the outside in: headers for every
// answer, then files, which need no session, then the check that a POST comes
// from a page of ours, and then the session.
func newHandler(sessions *session.Manager, site origins) http.Handler {
	b := &bench{origins: site, sessions: sessions}
	logins := newTurns()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/dashboard", http.StatusSeeOther))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", logins.login)
	mux.HandleFunc("GET /dashboard", b.dashboard)
	mux.HandleFunc("GET /whoami", whoami)
	mux.HandleFunc("POST /spend", spend)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /bench", b.page)
	mux.HandleFunc("POST /bench", b.attack)

	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(refuse))
	all := http.NewServeMux()
	all.Handle("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	all.Handle("GET /bench.js", file("bench.js", "text/javascript; charset=utf-8"))
	all.HandleFunc("GET /forget.css", forget)
	all.Handle("/", protection.Handler(sessions.Handler(mux)))
	b.app = secureHeaders(all)
	return b.app
}

// policy lets a page load its own style and script, and nothing else: what an
// attacker gets into the page, such as <script> or style="…", does not run.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secureHeaders sends each answer with the headers that make browsers careful.
//
// Referrer-Policy is same-origin and not no-referrer, which would make browsers
// send "Origin: null" with our own forms. Strict-Transport-Security is never sent
// to localhost: a browser would bind every port there to HTTPS, the other lessons
// and all that you ever develop.
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

// isLoopback reports whether host, as a request names it, is this machine.
func isLoopback(host string) bool {
	host = (&url.URL{Host: host}).Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// refuse answers a POST that comes from a page of another origin. No handler
// has run, and nothing has changed.
func refuse(w http.ResponseWriter, r *http.Request) {
	_, err := r.Cookie(cookieName)
	show(w, http.StatusForbidden, "refused", struct {
		Path, Origin, FetchSite string
		CookieCame              bool
	}{r.URL.Path, r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"), err == nil})
}

func loginForm(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "login", "")
}

// login begins a session. Clear comes first: nothing that an attacker planted,
// or that somebody else left in this browser, is carried into it.
func (t turns) login(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r, "username", "password") {
		return
	}
	u, ok, err := t.authenticate(r.Context(), r.PostForm.Get("username"), r.PostForm.Get("password"))
	if err != nil { // no turn, so the password was not checked
		w.Header().Set("Retry-After", "5")
		show(w, http.StatusServiceUnavailable, "login", "Too many logins at the same time. Try again in a few seconds.")
		return
	}
	if !ok {
		show(w, http.StatusForbidden, "login", "Invalid credentials")
		return
	}
	signIn(session.From(r), u)
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

func signIn(s *session.Session, u user) {
	s.Clear()
	userID.Set(s, u.ID)
	coins.Set(s, 10)
}

// dashboard shows each practice at work, on the request that asks for it.
func (b *bench) dashboard(w http.ResponseWriter, r *http.Request) {
	u, ok := visitor(r)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	s := session.From(r)
	parts, _ := session.Inspect(cookieOf(b.sessions, r, cookieName))
	show(w, http.StatusOK, "dashboard", map[string]any{
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

// whoami says in one line what a request's cookie is good for.
func whoami(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	u, ok := visitor(r)
	if !ok {
		http.Error(w, "You are nobody.", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "You are %s and have %d coins.\n", u.Name, coins.Get(session.From(r)))
}

func spend(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if _, ok := visitor(r); ok && coins.Get(s) > 0 {
		coins.Update(s, func(n int) int { return n - 1 })
	}
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// logout asks the browser to forget. It cannot make a copy of the cookie void:
// the bench shows what that means.
func logout(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// forget answers with a stylesheet that has no styles. Whatever no-store says, some
// browsers keep the page that you leave in memory, and Back would show it after
// a logout. Clear-Site-Data makes them drop it, if it comes when that page has
// been left: with the logout's own answer it would be too early, so the login
// page asks for this. From a certificate that it does not trust, Chrome ignores it.
func forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// visitor returns who is signed in. The cookie only has a number: whether there
// is such a user, today, and what they are called is looked up each time.
func visitor(r *http.Request) (user, bool) {
	id := userID.Get(session.From(r))
	return findUser(func(u user) bool { return u.ID == id })
}

type user struct {
	ID         int
	Name       string
	salt, hash string
}

// users has the demo account, which the login page announces. The hash is
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt iter:600000 \
//	  -kdfopt pass:password -kdfopt salt:80e1284e89b4f4fae08b9f1245b2e511 PBKDF2
var users = []user{{
	ID: 1, Name: "admin",
	salt: "80e1284e89b4f4fae08b9f1245b2e511",
	hash: "55ec92a948c2d71a2806f3a50200510bd874bcbe12a71aa966fd3c0d79a0a8b3",
}}

func findUser(is func(user) bool) (user, bool) {
	i := slices.IndexFunc(users, is)
	if i < 0 {
		return user{}, false
	}
	return users[i], true
}

// rounds makes each guess at a stolen hash slow (OWASP Password Storage Cheat
// Sheet, PBKDF2-HMAC-SHA256).
const rounds = 600_000

// authenticate waits for its turn, and then returns the user with this password.
func (t turns) authenticate(ctx context.Context, name, password string) (u user, ok bool, err error) {
	err = t.do(ctx, func() error {
		u, ok = authenticate(name, password)
		return nil
	})
	return u, ok, err
}

// authenticate does the same work whether or not there is such a user: how long
// the answer takes tells nobody which names exist.
func authenticate(name, password string) (user, bool) {
	u, known := findUser(func(u user) bool { return u.Name == name })
	key, err := pbkdf2.Key(sha256.New, password, []byte(u.salt), rounds, sha256.Size)
	match := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(u.hash)) == 1
	// HMAC pads a short key with zero bytes, so a guess that ends with them would count
	// as the password without them.
	padded := strings.Contains(password, "\x00")
	return u, known && match && !padded && err == nil
}

// readForm reads a form of a few short fields. Where it cannot, it answers, and
// returns false.
func readForm(w http.ResponseWriter, r *http.Request, fields ...string) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, http.StatusText(status), status)
		return false
	}
	for _, field := range fields {
		if !r.PostForm.Has(field) {
			http.Error(w, "The form has no field "+field+".", http.StatusBadRequest)
			return false
		}
	}
	return true
}

// cookieOf returns the value of the request's cookie of this name, or "". There may be
// several, and one that this server did not sign is passed over before it is decoded: a
// few bytes of it could inflate to a megabyte.
func cookieOf(sessions *session.Manager, r *http.Request, name string) string {
	for _, c := range r.CookiesNamed(name) {
		if sessions.Verify(c.Value) == nil {
			return c.Value
		}
	}
	return ""
}

// tlsVersion is "" when a proxy in front of the program ended the TLS.
func tlsVersion(r *http.Request) string {
	if r.TLS == nil {
		return ""
	}
	return tls.VersionName(r.TLS.Version)
}

func clock(t time.Time) string {
	return t.UTC().Format("15:04:05 UTC")
}

//go:embed style.css bench.js
var files embed.FS

// file serves an embedded file. The browser keeps it and asks each time whether
// it is still the one (no-cache says just that), by a hash, as there is no date.
func file(name, contentType string) http.Handler {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // the compiler put it there
	}
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256(content))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
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
