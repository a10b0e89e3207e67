// Command 02-types stores values of several types in a session, and shows what a later
// request reads from it.
//
//	go run ./lessons/02-types
//
// Open http://localhost:8080/store_data, then /show_data. Compare the values that were
// stored, the JSON in the cookie, and the values that were read.
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

// The keys of the session: the tutorial's five values, and three of our own.
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

// bigOrder is the smallest positive whole number that a float64 cannot represent.
const bigOrder = 1<<53 + 1

// preferences is stored under the tutorial's names. encoding/json writes exported
// fields only, so draft is not stored.
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

// newHandler returns the lesson's site.
//
// The lesson is used from the address bar, so a GET request changes the session, as in
// the tutorial. From lesson 04 on, a change needs a button and a POST, because
// crawlers and browsers follow links by themselves.
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

// storeData stores a value of each type. It clears the session first, so that no value
// of another route remains.
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

// storeZeros stores three zero values. It leaves out the other two of the tutorial's
// five values.
func storeZeros(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "")
	userID.Set(s, 0)
	authenticated.Set(s, false)
	show(w, "message", "Zeros stored in session!")
}

// storeOld stores what an older release of this program might have left in a visitor's
// browser. In that release the user ID and the cart were strings.
func storeOld(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "john_doe")
	session.Key[string]("user_id").Set(s, "A-123")
	session.Key[string]("cart_items").Set(s, "item1, item2")
	show(w, "message", "Old data stored in session!")
}

// fill stores as many bytes as the request asks for. If they do not fit into a cookie,
// the response is an error page.
//
// This route exists to show that page. Any other handler should limit what a visitor
// can store to far less than a cookie can hold.
func fill(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil || n < 0 || n > 10_000 {
		http.Error(w, "bytes must be a number from 0 to 10000", http.StatusBadRequest)
		return
	}
	filling.Set(session.From(r), strings.Repeat("x", n))
	show(w, "message", fmt.Sprintf("%d bytes stored in session!", n))
}

// showData shows the stored values. If a value is missing, Get returns the zero value
// of its type, and no error. A slot also says whether the value was stored.
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

// slot has the two results of Lookup: a value, and whether it was stored.
type slot[T any] struct {
	Value T
	Found bool
}

func lookup[T any](s *session.Session, key session.Key[T]) slot[T] {
	v, found := key.Lookup(s)
	return slot[T]{v, found}
}

// details has the values that both pages show, as they are before JSON and after it.
type details struct {
	Preferences preferences
	OrderNumber int64
	StoredAt    time.Time
}

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// show writes a page. It does not log ErrTooLarge, because the manager has logged it.
func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pages.ExecuteTemplate(w, name, data)
	if err != nil && !errors.Is(err, session.ErrTooLarge) {
		log.Print(err)
	}
}
