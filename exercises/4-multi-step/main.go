// Command 4-multi-step is a form of four steps, which orders a tree. Answers are
// kept from step to step, and what is sent twice is sent once.
//
//	go run ./exercises/4-multi-step
//
// Open http://localhost:8080 and begin a form. Close the tab half-way and come
// back; begin a second form in another tab; press "Send the order" twice.
//
// Read handler.go next, then form.go (what the session keeps), steps.go (the
// questions and their rules), outbox.go (the orders that were sent) and pages.go.
package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
)

const cookieName = "form"

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	dir := flag.String("dir", defaultDir(), "the directory for sessions and orders")
	flag.Parse()

	secret, err := session.SecretFromEnv("SESSION_SECRET")
	if errors.Is(err, session.ErrNoSecret) {
		log.Print("SESSION_SECRET is not set, so this run makes a secret: its sessions end with it")
		secret = session.NewSecret()
	}
	store, outbox, err := openDir(*dir)
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
	log.Printf("sessions and orders are in %s, listening on http://%s", *dir, *addr)
	server := &http.Server{
		Handler:           newHandler(sessions, outbox),
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}

// defaultDir is a directory of this user's, outside the repository: what
// visitors type is not to be committed.
func defaultDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "sessions-in-go", "4-multi-step")
}

// openDir opens the store and the outbox, and makes what is missing. Neither is
// closed: they end with the process, and their files bear that at any moment.
func openDir(dir string) (store *filestore.Store, outbox *os.Root, err error) {
	store, err = filestore.New(filepath.Join(dir, "sessions"))
	if err != nil {
		return nil, nil, err
	}
	orders := filepath.Join(dir, "outbox")
	if err := os.MkdirAll(orders, 0o700); err != nil {
		return nil, nil, err
	}
	outbox, err = os.OpenRoot(orders)
	return store, outbox, err
}

// options keeps a form for a week after it was last looked at, at the least: a
// look moves the end on, once a tenth of the lifetime has passed.
func options(store session.Store) *session.Options {
	return &session.Options{
		Name:     cookieName,
		Store:    store,
		Lifetime: 8 * 24 * time.Hour,
	}
}
