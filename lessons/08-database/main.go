// Command 08-database serves the login, the cart and the counter of earlier lessons. It
// stores the sessions on the server. The cookie has only a session ID.
//
//	go run ./lessons/08-database
//	go run ./lessons/08-database -store memory
//	go run ./lessons/08-database -store redis://localhost:6379/0
//
// Open http://localhost:8080 in two browsers and log in with both. Then end the session
// of one browser from the other.
//
// The login is in account.go, the cart is in shop.go, the pages that list and end
// sessions are in sessions.go, and two tabs race in race.go.
package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/session/redisstore"
)

const (
	visits   = session.Key[int]("visits")
	note     = session.Key[string]("note")
	username = session.Key[string]("username")
	shopping = session.Key[cart]("shopping")
	racing   = session.Key[race]("racing")
)

const (
	cookieName  = "database"
	maxNote     = 250_000     // maximum size of a note, in bytes
	maxNoteForm = 4 * maxNote // of its form, where a byte of the note can take three, as in %C3
)

// sample is a note of 200 kB.
var sample = strings.Repeat("0123456789", 20_000)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	kind := flag.String("store", "file", "where sessions are stored: file, memory, or the URL of a Redis server")
	dir := flag.String("dir", defaultDir(), "the directory for -store file")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	store, where, err := openStore(*kind, *dir)
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := session.New(secret, options(store))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("sessions are in %s, listening on http://%s", where, *addr)
	server := &http.Server{
		Handler:           newHandler(sessions, store),
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}

// defaultDir returns a directory that belongs to this user. It is outside the
// repository, because the data of visitors must not be committed.
func defaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "sessions-in-go", "08-database")
}

// openStore opens the store that -store names. It also returns, in words, where the
// sessions are.
//
// The program never closes the store, because every store is made for a process that
// can end at any time.
func openStore(kind, dir string) (store session.Store, where string, err error) {
	switch {
	case kind == "memory":
		return memstore.New(), "memory", nil
	case kind == "file":
		store, err = filestore.New(dir)
		return store, dir, err
	case strings.HasPrefix(kind, "redis"):
		store, err = redisstore.New(kind)
		return store, "Redis", err
	}
	return nil, "", errors.New("-store must be file, memory, or a URL that begins with redis:// or rediss://")
}

func options(store session.Store) *session.Options {
	return &session.Options{
		Name:            cookieName,
		Store:           store,
		IdleTimeout:     30 * time.Minute,
		AbsoluteTimeout: 12 * time.Hour,
	}
}

// newHandler returns the lesson's site.
//
// CrossOriginProtection answers a POST from a page of another origin with 403. It can
// do that because browsers send the page's origin with each POST.
func newHandler(sessions *session.Manager, store session.Store) http.Handler {
	own := ownSessions{sessions}
	races := newRaces(store)
	logins := newTurns()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /note", readForm(maxNoteForm, keepNote))
	mux.HandleFunc("GET /login", loginForm)
	mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /forget.css", forget)
	mux.HandleFunc("GET /products", listProducts)
	mux.HandleFunc("POST /add_to_cart/{id}", addToCart)
	mux.HandleFunc("GET /cart", showCart)
	mux.HandleFunc("GET /checkout", checkout)
	mux.HandleFunc("POST /checkout", readForm(maxForm, placeOrder))
	mux.HandleFunc("GET /sessions", signedIn(own.list))
	mux.HandleFunc("POST /sessions/end", readForm(maxForm, signedIn(own.end)))
	mux.HandleFunc("POST /sessions/end-others", signedIn(own.endOthers))
	mux.HandleFunc("POST /sessions/end-all", signedIn(own.endAll))
	mux.HandleFunc("GET /race", races.page)
	mux.HandleFunc("POST /race/slow", readForm(maxForm, races.pressSlow))
	mux.HandleFunc("POST /race/quick", readForm(maxForm, races.pressQuick))
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// home counts a visit, and shows the session. This is the only GET request here that
// changes the session.
//
// Update loses no visit. If another tab saved the session since this request loaded it,
// the manager loads the newer session and calls the function again on its count.
func home(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	visits.Update(s, func(n int) int { return n + 1 })
	kept := stored(s)
	show(w, r, http.StatusOK, "home", map[string]any{
		"User":       user(s),
		"Ended":      hasEnded(r),
		"Visits":     visits.Get(s),
		"Note":       note.Get(s),
		"NoteBytes":  len(note.Get(s)),
		"MaxNote":    maxNote,
		"Sent":       cookieBytes(r),
		"ClientSide": clientSideBytes(kept),
		"TooLarge":   clientSideBytes(kept) > 4096,
		"Kept":       len(kept),
		"ID":         s.ID(),
		"Ends":       s.Expires().UTC(),
		"Permanent":  s.Permanent(),
		"OwnSecret":  os.Getenv("SESSION_SECRET") != "",
	})
}

// stored returns the JSON that the store has of a session: its values, and the mark of a
// permanent session, which is Flask's. The JSON has < as it is, without an escape.
func stored(s *session.Session) []byte {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Permanent bool   `json:"_permanent,omitempty"`
		Visits    int    `json:"visits,omitempty"`
		Note      string `json:"note,omitempty"`
		Username  string `json:"username,omitempty"`
		Shopping  cart   `json:"shopping,omitzero"`
		Racing    race   `json:"racing,omitzero"`
	}{s.Permanent(), visits.Get(s), note.Get(s), username.Get(s), shopping.Get(s), racing.Get(s)})
	if err != nil {
		log.Print(err)
	}
	return bytes.TrimSpace(data.Bytes())
}

// clientSideBytes returns the length of the name and value of a cookie that has the
// values themselves, as in lessons 01 to 07.
func clientSideBytes(values []byte) int {
	return len(cookieName) + base64.RawURLEncoding.EncodedLen(len(values)) +
		len(".ZVPxAA") + len(".") + base64.RawURLEncoding.EncodedLen(sha256.Size)
}

// cookieBytes returns the length of the request's session cookie, name and value.
func cookieBytes(r *http.Request) int {
	n := 0
	for _, c := range r.CookiesNamed(cookieName) {
		n += len(c.Name) + len(c.Value) // browsers and cmd/cookie count this way, without the =
	}
	return n
}

// keepNote stores a note that can be too large for a cookie.
//
// The size of a note must have a limit, because notes fill the server's disk.
func keepNote(w http.ResponseWriter, r *http.Request) {
	text := r.PostForm.Get("note")
	if r.PostForm.Has("sample") {
		text = sample
	}
	switch {
	case text == "" && !r.PostForm.Has("note"):
		problem(w, r, http.StatusBadRequest, "The form has no field note.")
		return
	case len(text) > maxNote:
		problem(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("A note has at most %d bytes. This one has %d.", maxNote, len(text)))
		return
	case !utf8.ValidString(text):
		problem(w, r, http.StatusBadRequest, "The note is not text in UTF-8.")
		return
	}
	note.Set(session.From(r), text)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page that no cache may store, not even the browser's own. The last part of
// it is in cookie.go.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	session.From(r).IsNew() // showCookies asks this after the first byte, when it is too late for Vary: Cookie
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	err := pages.ExecuteTemplate(w, name, data)
	if err == nil {
		err = showCookies(w, r)
	}
	if err != nil {
		log.Print(err)
	}
}

// problem writes a page that says what is wrong with the request.
func problem(w http.ResponseWriter, r *http.Request, status int, text string) {
	show(w, r, status, "problem", text)
}

// unavailable writes the response for a handler whose call of the store has failed. If
// the session itself cannot be loaded or saved, the manager sends the same response.
func unavailable(w http.ResponseWriter, err error) {
	log.Print(err)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}
