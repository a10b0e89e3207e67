// Command 4-multi-step has a form of four steps, with which a visitor orders a tree. The
// session stores the visitor's answers. A visitor who sends an order twice gets one
// order.
//
//	go run ./exercises/4-multi-step
//
// Open http://localhost:8080 and begin a form. Close the tab half-way and come back.
// Begin a second form in another tab. Press "Send the order" twice.
//
// Read handler.go next, then form.go (the value in the session), steps.go (the questions
// and their rules), outbox.go (the orders that were sent) and pages.go.
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
		ReadTimeout:       10 * time.Second, // of a whole request: a body that never comes keeps no connection
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
	return filepath.Join(cache, "sessions-in-go", "4-multi-step")
}

// openDir opens the store and the outbox, and makes the directories that are missing.
//
// The program closes neither of them. It does not need to, because the process can end
// at any time without damage to their files.
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

// options returns the session options.
//
// A form stays for at least a week after the visitor's last request, although Lifetime is
// 8 days. A request moves the deadline only after a tenth of Lifetime has passed.
func options(store session.Store) *session.Options {
	return &session.Options{
		Name:     cookieName,
		Store:    store,
		Lifetime: 8 * 24 * time.Hour,
	}
}
