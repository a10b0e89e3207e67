package session_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"testing/fstest"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// A handler that counts its visitor's visits.
func Example() {
	const visits = session.Key[int]("visits")

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		visits.Set(s, visits.Get(s)+1)
		fmt.Fprintf(w, "You have visited this page %d times.", visits.Get(s))
	})
	sessions, err := session.New(session.NewSecret(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := sessions.Handler(mux)

	// A browser sends back the cookie that it got.
	r := httptest.NewRequest("GET", "/", nil)
	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Body)
		r = httptest.NewRequest("GET", "/", nil)
		r.AddCookie(w.Result().Cookies()[0])
	}
	// Output:
	// You have visited this page 1 times.
	// You have visited this page 2 times.
	// You have visited this page 3 times.
}

// A program for production gets its secret from the environment. Browsers protect its
// cookie.
func Example_production() {
	const visits = session.Key[int]("visits")

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := session.New(secret, &session.Options{Name: "__Host-session", Secure: true})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		visits.Set(s, visits.Get(s)+1)
		fmt.Fprintf(w, "You have visited this page %d times.", visits.Get(s))
	})
	log.Fatal(http.ListenAndServe("localhost:8080", sessions.Handler(mux)))
}

// Static files are outside Handler, because they need no session. A page of another site
// can link to this site, but it cannot post to it.
func Example_site() {
	const visits = session.Key[int]("visits")
	static := fstest.MapFS{"style.css": {Data: []byte("body { margin: 3rem }")}}
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, visits.Get(session.From(r)))
	})
	sessions, err := session.New(session.NewSecret(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	site := http.NewServeMux()
	site.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	site.Handle("/", http.NewCrossOriginProtection().Handler(sessions.Handler(pages)))

	file := httptest.NewRequest("GET", "/static/style.css", nil)
	page := httptest.NewRequest("GET", "/", nil)
	forged := httptest.NewRequest("POST", "/", nil)
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, r := range []*http.Request{file, page, forged} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		fmt.Printf("%s %s: %d, Vary %q\n", r.Method, r.URL, w.Code, w.Header().Get("Vary"))
	}
	// Output:
	// GET /static/style.css: 200, Vary ""
	// GET /: 200, Vary "Cookie"
	// POST /: 403, Vary ""
}

// Anyone can read a cookie, without the secret.
func ExampleInspect() {
	parts, err := session.Inspect("eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, signed %s\n", parts.Payload, parts.SignedAt.UTC())
	// Output: {"visits":3}, signed 2023-11-14 22:13:20 +0000 UTC
}

// No one can write a cookie without the secret.
func ExampleManager_Verify() {
	sessions, err := session.New([]byte("0123456789abcdef0123456789abcdef"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sessions.Verify("eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w"))
	fmt.Println(sessions.Verify("eyJ2aXNpdHMiOjR9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")) // {"visits":4}
	// Output:
	// <nil>
	// session: signature does not match
}

// New refuses options with which no session could work.
func ExampleNew() {
	_, err := session.New([]byte("too short"), nil)
	fmt.Println(err)
	_, err = session.New(session.NewSecret(), &session.Options{Name: "__Host-session"})
	fmt.Println(err)
	// Output:
	// session: invalid options: the secret has 9 bytes; a secret must have at least 32 random bytes
	// session: invalid options: browsers reject the cookie __Host-session unless it has Secure, Path / and no Domain
}

// A stock Flask signs with SHA-1. This manager and a Flask application with the
// same secret and cookie name accept each other's sessions.
func ExampleOptions_flask() {
	sessions, err := session.New([]byte("0123456789abcdef0123456789abcdef"), &session.Options{Hash: sha1.New})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sessions.Verify("eyJ2aXNpdHMiOjF9.ZVPxAA.YyZdzZK4fpMtJMpmXYPEHWb4uC0"))
	// Output: <nil>
}

// A program that changes its secret accepts the sessions that the old one signed.
func ExampleOptions_oldSecrets() {
	newSecret, oldSecret := session.NewSecret(), []byte("0123456789abcdef0123456789abcdef")

	sessions, err := session.New(newSecret, &session.Options{OldSecrets: [][]byte{oldSecret}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sessions.Verify("eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w"))
	// Output: <nil>
}

// Get returns a copy, so a change to it has no effect until Set.
func ExampleKey() {
	const cart = session.Key[map[string]int]("cart")
	s := newSession()

	fmt.Println(cart.Lookup(s))
	items := map[string]int{"tea": 1}
	cart.Set(s, items)
	items["tea"] = 99
	fmt.Println(cart.Lookup(s))
	fmt.Println(cart.Pop(s), cart.Get(s))
	// Output:
	// map[] false
	// map[tea:1] true
	// map[tea:1] map[]
}

func ExampleKey_Update() {
	const visits = session.Key[int]("visits")
	s := newSession()

	visits.Update(s, func(n int) int { return n + 1 })
	fmt.Println(visits.Update(s, func(n int) int { return n + 1 }))
	// Output: 2
}

// A login calls Clear first, so that no value of the session before is part of it.
func ExampleSession_Clear() {
	const (
		cart     = session.Key[[]string]("cart")
		username = session.Key[string]("username")
	)
	s := newSession()
	cart.Set(s, []string{"planted"})

	s.Clear()
	username.Set(s, "ada")
	fmt.Println(username.Get(s), cart.Get(s))
	// Output: ada []
}

// Handler calls Load and Save. A program may call them itself.
func ExampleManager_Load() {
	sessions, err := session.New(session.NewSecret(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: "eyJ2aXNpdHMiOjN9.ZVPxAA.forged"})

	s, err := sessions.Load(r)
	fmt.Println(errors.Is(err, session.ErrSignature), s.IsNew())
	// Output: true true
}

// A user who changes the password is logged out in every browser.
func ExampleManager_Revoke() {
	const username = session.Key[string]("username")
	store := memstore.New()
	defer store.Close()
	sessions, err := session.New(session.NewSecret(), &session.Options{Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	login := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		s.Clear() // nothing from before the login is part of it
		username.Set(s, "ada")
		s.SetOwner("ada")
	}))
	for range 2 { // browsers
		login.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil))
	}

	ctx := context.Background()
	fmt.Println(count(sessions.Sessions(ctx, "ada")))
	if err := sessions.Revoke(ctx, "ada"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(count(sessions.Sessions(ctx, "ada")))
	// Output:
	// 2 <nil>
	// 0 <nil>
}

// count returns the number of records in a list.
func count(list []session.Record, err error) (int, error) {
	return len(list), err
}

// newSession returns the session of a visitor without a cookie.
func newSession() *session.Session {
	sessions, err := session.New(session.NewSecret(), nil)
	if err != nil {
		panic(err)
	}
	s, err := sessions.Load(httptest.NewRequest("GET", "/", nil))
	if err != nil {
		panic(err)
	}
	return s
}
