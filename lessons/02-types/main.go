// Command 02-types stores values of several types in a session, and shows what a later
// request reads from it.
//
//	go run ./lessons/02-types
//
// Open http://localhost:8080/store_data, then /show_data. Compare the values that were
// stored, the JSON in the cookie, and the values that were read.
package main

import (
	"embed"
	"encoding/json"
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

const cookieName = "types"

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
// The lesson is used from the address bar, so a GET request changes the session, as in
// the tutorial. From lesson 04 on, a change needs a button and a POST, because
// crawlers and browsers follow links by themselves.
func newHandler(sessions *session.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /store_data", storeData)
	mux.HandleFunc("GET /store_zeros", storeZeros)
	mux.HandleFunc("GET /store_old", storeOld)
	mux.HandleFunc("GET /show_data", showData)
	mux.HandleFunc("GET /fill", fill)
	mux.HandleFunc("GET /clear", clear)
	return sessions.Handler(mux)
}

func index(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "message", "Store something, then show it")
}

// storeData stores a value of each type. It clears the session first, so that no value
// of another route remains.
func storeData(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	show(w, r, http.StatusOK, "stored", []row{
		store(s, username, "john_doe"),
		store(s, userID, 123),
		store(s, authenticated, true),
		store(s, userPreferences, preferences{Theme: "dark", Notifications: true, draft: true}),
		store(s, cartItems, []string{"item1", "item2"}),
		store(s, orderNumber, bigOrder),
		store(s, storedAt, time.Now()),
	})
}

// row is a value on its way through the session: before it was stored, as JSON in the
// cookie, and as Get returns it.
type row struct {
	Key           string
	Before, After any
	JSON          string
}

// store stores a value, and returns its row. Set encodes the value at once, so Get returns
// the same now as in a later request.
func store[T any](s *session.Session, key session.Key[T], v T) row {
	key.Set(s, v)
	return row{string(key), v, key.Get(s), string(session.Key[json.RawMessage](key).Get(s))}
}

// storeZeros stores three zero values. It leaves out the other two of the tutorial's
// five values.
func storeZeros(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "")
	userID.Set(s, 0)
	authenticated.Set(s, false)
	show(w, r, http.StatusOK, "message", "Zeros stored in session!")
}

// storeOld stores what an older release of this program might have left in a visitor's
// browser. In that release the user ID and the cart were strings.
func storeOld(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	s.Clear()
	username.Set(s, "john_doe")
	session.Key[string]("user_id").Set(s, "A-123")
	session.Key[string]("cart_items").Set(s, "item1, item2")
	show(w, r, http.StatusOK, "message", "Old data stored in session!")
}

// showData shows the stored values. If a value is missing, Get returns the zero value of
// its type, and no error.
//
// The manager begins a new session for a request that brought none. So IsNew means here
// that there is nothing to show.
func showData(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	if s.IsNew() {
		show(w, r, http.StatusOK, "message", "No session data found!")
		return
	}
	show(w, r, http.StatusOK, "data", map[string]any{
		"Username":      text(s, username, username.Get(s)),
		"UserID":        text(s, userID, userID.Get(s)),
		"Authenticated": text(s, authenticated, authenticated.Get(s)),
		"Theme":         text(s, userPreferences, userPreferences.Get(s).Theme),
		"CartItems":     text(s, cartItems, strings.Join(cartItems.Get(s), ", ")),
		"Preferences":   userPreferences.Get(s),
		"OrderNumber":   orderNumber.Get(s),
		"Untyped":       session.Key[any]("order_number").Get(s),
		"StoredAt":      storedAt.Get(s),
		"Filling":       len(filling.Get(s)),
	})
}

// text returns what the page shows of a value. Lookup says whether a value was stored, so
// text can tell a stored zero from a missing value.
func text[T any](s *session.Session, key session.Key[T], shown any) string {
	_, found := key.Lookup(s)
	if !found {
		return fmt.Sprint(shown, " (absent)")
	}
	return fmt.Sprint(shown)
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
	show(w, r, http.StatusOK, "message", fmt.Sprintf("%d bytes stored in session!", n))
}

// clear removes every value, so that the next fill begins with an empty session.
func clear(w http.ResponseWriter, r *http.Request) {
	session.From(r).Clear()
	show(w, r, http.StatusOK, "message", "Session is empty!")
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page. The last part of it is in cookie.go.
//
// The first byte of the page makes the manager save the session. If the session does not
// fit into a cookie, ExecuteTemplate returns the manager's error, ErrTooLarge, and the
// visitor gets an error page. The manager has logged the error already.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	err := pages.ExecuteTemplate(w, name, data)
	if err == nil {
		err = showCookies(w, r)
	}
	if err != nil && !errors.Is(err, session.ErrTooLarge) {
		log.Print(err)
	}
}
