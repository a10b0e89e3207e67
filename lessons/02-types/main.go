// Command 02-types stores values of several types in a session, and shows what
// comes back.
//
//	go run ./lessons/02-types
//
// Open http://localhost:8080/store_data, then /show_data, and compare: what went
// in, what travelled as JSON in the cookie, and what came out.
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
	"strconv"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

// What the session holds: the tutorial's five values, and three of our own.
const (
	username        = session.Key[string]("username")
	userID          = session.Key[int]("user_id")
	authenticated   = session.Key[bool]("authenticated")
	userPreferences = session.Key[preferences]("preferences")
	cartItems       = session.Key[[]string]("cart_items")

	orderNumber = session.Key[int64]("order_number")
	storedAt    = session.Key[time.Time]("stored_at")
	filling     = session.Key[string]("filling")
)

// bigOrder is the first whole number that a float64 cannot hold.
const bigOrder = 1<<53 + 1

// preferences travels under the tutorial's names. JSON sees only what is
// exported, so draft stays behind.
type preferences struct {
	Theme         string `json:"theme"`
	Notifications bool   `json:"notifications"`
	draft         bool
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	sessions, err := session.New(secret, &session.Options{Name: "types"})
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

// newHandler returns the lesson's site. It is driven from the address bar, so a
// GET changes what is stored, as in the tutorial. From lesson 04 on that takes a
// button and a POST, as whatever follows links would store things too.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /store_data", storeData)
	mux.HandleFunc("GET /store_zeros", storeZeros)
	mux.HandleFunc("GET /store_old", storeOld)
	mux.HandleFunc("GET /fill", fill)
	mux.HandleFunc("GET /show_data", showData)
	return sessions.Handler(mux)
}

func index(w http.ResponseWriter, r *http.Request) {
	show(w, "message", "Store something, then show it")
}

// storeData stores a value of each type. It clears the session first, so that
// what the other routes stored is not mixed with it.
func storeData(w http.ResponseWriter, r *http.Request) {
	chosen := preferences{Theme: "dark", Notifications: true, draft: true}
	now := time.Now()

	s := session.From(r)
	s.Clear()
	username.Set(s, "john_doe")
	userID.Set(s, 123)
	authenticated.Set(s, true)
	userPreferences.Set(s, chosen)
	cartItems.Set(s, []string{"item1", "item2"})
	orderNumber.Set(s, bigOrder)
	storedAt.Set(s, now)
	show(w, "stored", details{chosen, bigOrder, now})
}

// storeZeros stores zero values, and two of the tutorial's five not at all.
func storeZeros(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "")
	userID.Set(s, 0)
	authenticated.Set(s, false)
	show(w, "message", "Zeros stored in session!")
}

// storeOld stores what an older release of this program might have left in
// somebody's browser: the user ID was a text then, and the cart a single one.
func storeOld(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "john_doe")
	session.Key[string]("user_id").Set(s, "A-123")
	session.Key[string]("cart_items").Set(s, "item1, item2")
	show(w, "message", "Old data stored in session!")
}

// fill stores as many bytes as asked for, which can be more than a cookie holds.
// The answer is then an error page, which is what this route is there to show.
// Anywhere else the limit on what a visitor stores is far below the cookie's.
func fill(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil || n < 0 || n > 10_000 {
		http.Error(w, "bytes is to be a number from 0 to 10000", http.StatusBadRequest)
		return
	}
	filling.Set(session.From(r), strings.Repeat("x", n))
	show(w, "message", fmt.Sprintf("%d bytes stored in session!", n))
}

// showData shows what is there. A value that is missing is the zero value of its
// type, and no failure; slot tells it from a zero that was stored.
func showData(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	name, number, signedIn := lookup(s, username), lookup(s, userID), lookup(s, authenticated)
	chosen, items := lookup(s, userPreferences), lookup(s, cartItems)
	if !(name.Found || number.Found || signedIn.Found || chosen.Found || items.Found) {
		show(w, "message", "No session data found!")
		return
	}
	show(w, "data", map[string]any{
		"Username": name, "UserID": number, "Authenticated": signedIn, "Preferences": chosen, "CartItems": items,
		"Details":      details{chosen.Value, orderNumber.Get(s), storedAt.Get(s)},
		"UntypedOrder": session.Key[any](orderNumber).Get(s),
	})
}

// slot is what Lookup returns: a value, and whether it was stored.
type slot[T any] struct {
	Value T
	Found bool
}

func lookup[T any](s *session.Session, key session.Key[T]) slot[T] {
	v, found := key.Lookup(s)
	return slot[T]{v, found}
}

// details are the values to compare, before JSON and after it.
type details struct {
	Preferences preferences
	OrderNumber int64
	StoredAt    time.Time
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// show writes a page. That a session is too large is in the log already.
func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pages.ExecuteTemplate(w, name, data)
	if err != nil && !errors.Is(err, session.ErrTooLarge) {
		log.Print(err)
	}
}
