// This program is where you begin exercise 4. It has the routes, the fields of the steps in
// steps.go, and the frame of the pages in pages.html. The comments that begin with TODO say
// where to write.
package main

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// TODO: the value of the session, with the key forms.

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	dir := flag.String("dir", defaultDir(), "the directory for the orders")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	orders, err := openOutbox(*dir)
	if err != nil {
		log.Fatal(err)
	}
	// TODO: a store that outlives the program, such as filestore.
	sessions, err := session.New(secret, options(memstore.New()))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("orders are in %s, listening on http://%s", *dir, *addr)
	server := &http.Server{
		Handler:           newHandler(sessions, orders),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
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
	return filepath.Join(cache, "sessions-in-go", "my-4-multi-step")
}

// openOutbox opens the directory of the orders. It makes the directory if it is missing.
// A Root has the functions of package os that open, make, link, rename and remove files,
// for files in this directory only.
func openOutbox(dir string) (*os.Root, error) {
	outbox := filepath.Join(dir, "outbox")
	if err := os.MkdirAll(outbox, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(outbox)
}

// options returns the session options. The tests call it with their own store.
//
// TODO: how long does a session last?
func options(store session.Store) *session.Options {
	return &session.Options{Name: "form", Store: store}
}

// newHandler returns the exercise's site. The tests call it. Each order that is sent
// becomes a file in the directory orders.
func newHandler(sessions *session.Manager, orders *os.Root) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", notYet)
	mux.HandleFunc("POST /{$}", notYet)
	mux.HandleFunc("GET /forms/{id}", notYet)
	for _, s := range steps {
		mux.HandleFunc("GET /forms/{id}/"+s.Name, notYet)
		mux.HandleFunc("POST /forms/{id}/"+s.Name, readForm(notYet))
	}
	mux.HandleFunc("GET /forms/{id}/review", notYet)
	mux.HandleFunc("POST /forms/{id}/review", readForm(notYet))
	mux.HandleFunc("GET /forms/{id}/receipt", notYet)
	mux.HandleFunc("POST /forms/{id}/discard", notYet)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

// notYet answers for a handler that you write.
func notYet(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not written yet", http.StatusNotImplemented)
}

const maxForm = 16384 // bytes of a posted step

// readForm reads a posted form before next runs.
func readForm(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The form is too large: more than %d bytes.", maxForm))
			return
		}
		if err != nil {
			problem(w, http.StatusBadRequest, "The form is damaged.")
			return
		}
		next(w, r)
	}
}

// problem shows a page with one sentence.
func problem(w http.ResponseWriter, status int, text string) {
	show(w, status, "problem", text)
}

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*"))

// show writes a page. If the template is wrong, the response says why, so that a failing
// test shows it.
func show(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(page.Bytes())
}
