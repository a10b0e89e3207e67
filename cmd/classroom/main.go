// Command classroom shows a lesson on one page: the guide, the running program, the
// cookie that travels, and the tests.
//
//	go run ./cmd/classroom
//
// Open http://localhost:8000. The lessons know nothing of the classroom: it builds each
// one, starts it, and puts a proxy in front of it.
//
// It builds and runs programs, so it listens on this machine only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"example.com/sessions/internal/course"
)

func main() {
	// The classroom starts itself, so that a program ends with it: see runUntilInputEnds.
	if len(os.Args) > 2 && os.Args[1] == "child" {
		os.Exit(runUntilInputEnds(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the classroom at once
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "classroom:", err)
		os.Exit(1)
	}
}

// run serves the classroom until the context ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("classroom", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "localhost:8000", "address of the classroom")
	site := flags.String("site", "localhost:8080", "address of the lesson")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *addr == *site {
		return fmt.Errorf("want two different addresses, -addr and -site, and no other argument")
	}
	for _, a := range []string{*addr, *site} {
		if !isLocal(a) {
			return fmt.Errorf("the address %s must be one of this machine: localhost, 127.0.0.1 or [::1]", a)
		}
	}
	root, err := course.Root()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	c, err := newClassroom(ctx, root, *site)
	if err != nil {
		return err
	}
	defer c.close()
	server := &http.Server{Handler: c.handler(), ReadHeaderTimeout: 5 * time.Second}
	ended := context.AfterFunc(ctx, func() { server.Close() })
	defer ended()
	fmt.Fprintf(out, "The classroom is at http://%s. Press Ctrl-C to end it.\n", *addr)
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// isLocal reports whether a host, or a host and a port, names this machine by a name that
// no one else can give away. With any other name in the header Host, a page elsewhere may
// have pointed its own name at this machine (DNS rebinding).
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == "::1"
}

// runUntilInputEnds runs a command, and kills it when the standard input ends. The input
// is a pipe from the classroom. So the command ends with the classroom, even if the
// classroom is killed.
func runUntilInputEnds(command []string) int {
	// Ctrl-C reaches the command too. This process waits for its end.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		c.Process.Kill()
	}()
	if c.Wait() != nil {
		return 1
	}
	return 0
}
