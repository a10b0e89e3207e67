package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// This file makes the certificate, sets the server's limits, and shuts the server down.
// You can skip it: it is the same for each program over HTTPS, with sessions or without.

// run serves the lesson at addr, and the attacker's page at attackerAddr, until Ctrl-C or
// SIGTERM.
func run(addr string, app http.Handler, attackerAddr string, attacker http.Handler) {
	config := &tls.Config{Certificates: []tls.Certificate{newCertificate()}}
	listener, attackerListener := listen(addr, config), listen(attackerAddr, config)
	go newServer(attacker).Serve(attackerListener) // until the process exits

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log.Printf("listening on https://%s", addr)
	if err := serve(ctx, newServer(app), listener); err != nil {
		log.Fatal(err)
	}
}

// newCertificate returns a certificate for this machine that is valid for a week.
//
// The certificate is signed with its own key, so browsers warn about it. The key never
// leaves this process.
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

// listen returns a listener for HTTPS with HTTP/1.1.
//
// It does not offer HTTP/2, because there net/http may close the connection when a
// header is too long. Over HTTP/1.1 the client always gets a response, with status 431.
func listen(addr string, config *tls.Config) net.Listener {
	listener, err := tls.Listen("tcp", addr, config)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// newServer returns a server that limits how long, and with how large a header, one
// client can use a connection. Without these limits, a client that sends one byte a
// second keeps its connection for ever.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(serverLog{log.Default()}, "", 0),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10, // room for four full cookies; net/http adds 4 KiB
	}
}

// serverLog writes what net/http says to the log, and leaves out TLS handshakes that failed.
//
// A browser that does not trust the certificate ends the handshake. Until you accept the
// certificate, and sometimes after that, this happens several times for each page. These
// lines would bury the others. With a certificate that browsers trust, keep them.
type serverLog struct{ to *log.Logger }

func (s serverLog) Write(line []byte) (int, error) {
	if !bytes.HasPrefix(line, []byte("http: TLS handshake error ")) {
		s.to.Print(string(line))
	}
	return len(line), nil
}

// serve answers requests until ctx is done. Then it accepts no more connections, and
// returns when every request in flight has its response.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.Background(), 15*time.Second) // longer than any request
		defer cancel()
		drained <- server.Shutdown(limit)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained // Serve returns when Shutdown begins
}
