package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// server is a peer that plays Redis, on the loopback.
type server struct {
	net.Listener
	dialled atomic.Int64 // connections so far
	open    atomic.Int64
	most    atomic.Int64 // that were open at once
}

// serve answers each command by calling answer. A reply of "" closes the connection.
func serve(t *testing.T, answer func(command []any) string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.dialled.Add(1)
			s.most.Store(max(s.most.Load(), s.open.Add(1)))
			go func() {
				defer s.open.Add(-1)
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					command, err := readReply(r) // a command has the form of a reply
					if err != nil {
						return
					}
					text := answer(command.([]any))
					if _, err := io.WriteString(c, text); err != nil || text == "" {
						return
					}
				}
			}()
		}
	}()
	return s
}

// connectTo returns a store on an address, with the rest of its URL.
func connectTo(t *testing.T, user, address, rest string) *Store {
	t.Helper()
	s, err := New("redis://" + user + address + rest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *server) store(t *testing.T) *Store { return connectTo(t, "", s.Addr().String(), "") }

func TestURL(t *testing.T) {
	for rawURL, want := range map[string]*Store{
		"redis://h":                        {pool: pool{address: "h:6379"}, records: "session:record:"},
		"redis://h:1/0":                    {pool: pool{address: "h:1"}, records: "session:record:"},
		"redis://[::1]/":                   {pool: pool{address: "[::1]:6379"}, records: "session:record:"},
		"redis://u:p%40@h/7?prefix=shop":   {pool: pool{address: "h:6379", greeting: []command{{"AUTH", "u", "p@"}, {"SELECT", "7"}}}, records: "shop:record:"},
		"redis://:p@h/0?prefix=a.B-9_":     {pool: pool{address: "h:6379", greeting: []command{{"AUTH", "p"}}}, records: "a.B-9_:record:"},
		"redis://:@h":                      {pool: pool{address: "h:6379", greeting: []command{{"AUTH", ""}}}, records: "session:record:"},
		"redis://h/12?prefix=shop%2Eother": {pool: pool{address: "h:6379", greeting: []command{{"SELECT", "12"}}}, records: "shop.other:record:"},
	} {
		s, err := New(rawURL)
		if err != nil {
			t.Errorf("%s: %v", rawURL, err)
			continue
		}
		if s.pool.address != want.pool.address || !reflect.DeepEqual(s.pool.greeting, want.pool.greeting) ||
			s.records != want.records || s.pool.tls != nil {
			t.Errorf("%s: %+v, want %+v", rawURL, s, want)
		}
	}
	s, err := New("rediss://h:1")
	if err != nil || s.pool.tls == nil || s.pool.tls.ServerName != "h" {
		t.Errorf("rediss: %+v, %v, want TLS to h", s, err)
	}
}

func TestURLThatIsRefused(t *testing.T) {
	for _, rawURL := range []string{
		"", "h", "h:6379", "http://h", "redis://", "redis:///0", "redis://:6379/0", "redis://h:port",
		"redis://user@h", "redis://h/one", "redis://h/-1", "redis://h/0/1", "redis://h/9999999999",
		"redis://h?prefix=", "redis://h?prefix=a:b", "redis://h?prefix=a&prefix=b", "redis://h?db=1", "redis://h?prefix=a%20b",
		"redis://h?prefix=%", "redis://h#x", "redis://h?prefix=" + strings.Repeat("a", 65),
	} {
		rawURL = strings.Replace(rawURL, "h", "u:hunter2@h", 1)
		if strings.Contains(rawURL, "user@") {
			rawURL = "redis://hunter2@h"
		}
		_, err := New(rawURL)
		if err == nil {
			t.Errorf("%s is accepted", rawURL)
		} else if text := err.Error(); strings.Contains(text, "hunter2") || !strings.HasPrefix(text, "session: redisstore: ") {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}

func TestGreetingComesFirst(t *testing.T) {
	var mu sync.Mutex
	var heard [][]any
	srv := serve(t, func(command []any) string {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, command)
		return "+OK\r\n"
	})
	s := connectTo(t, "ada:pass@", srv.Addr().String(), "/3")
	for range 2 {
		if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	want := [][]any{{"AUTH", "ada", "pass"}, {"SELECT", "3"}, {"PING"}, {"PING"}}
	if !reflect.DeepEqual(heard, want) {
		t.Errorf("the server heard %q, want %q", heard, want)
	}
}

func TestRefusedGreetingIsTheError(t *testing.T) {
	srv := serve(t, func([]any) string { return "-WRONGPASS invalid username-password pair\r\n" })
	s := connectTo(t, ":hunter2@", srv.Addr().String(), "")
	_, err := s.Load(t.Context(), "id")
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Load: %v, want WRONGPASS and not the password", err)
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	for range 100 {
		if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.dialled.Load(); n != 1 {
		t.Errorf("%d connections for one caller", n)
	}
	s.pool.idle[0].back = time.Now().Add(-maxIdle) // as if it had waited that long
	s.pool.do(t.Context(), command{"PING"})
	if n := srv.dialled.Load(); n != 2 || len(s.pool.idle) != 1 {
		t.Errorf("after its time, %d connections were made and %d wait, want 2 and 1", n, len(s.pool.idle))
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	var waiting atomic.Int64
	release := make(chan bool)
	srv := serve(t, func([]any) string {
		if waiting.Add(1) == maxConns {
			close(release)
		}
		<-release
		return "+PONG\r\n"
	})
	s := srv.store(t)
	var wg sync.WaitGroup
	for range 10 * maxConns {
		wg.Go(func() {
			if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := srv.most.Load(); n != maxConns {
		t.Errorf("%d connections at once, want %d", n, maxConns)
	}
}

// One who waits for a connection waits no longer than its context.
func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	release := make(chan bool)
	defer close(release)
	srv := serve(t, func([]any) string { <-release; return "+PONG\r\n" })
	s := srv.store(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	results := make(chan error)
	for range 3 * maxConns {
		go func() {
			_, err := s.Load(ctx, "id")
			results <- err
		}()
	}
	began := time.Now()
	for range 3 * maxConns {
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load: %v, want %v", err, context.DeadlineExceeded)
		}
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v to give up after 100 ms", d)
	}
}

// What is left of a reply would be the next visitor's.
func TestConnectionWithARestIsClosed(t *testing.T) {
	for what, reply := range map[string]string{
		"a reply too many":     "+a\r\n+b\r\n",
		"a refusal":            "-ERR no\r\n",
		"half a reply":         "$5\r\nab",
		"no reply":             "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a reply and a letter": "+a\r\nx",
		"the end":              "",
	} {
		srv := serve(t, func([]any) string { return reply })
		s := srv.store(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := s.pool.do(ctx, command{"PING"})
		cancel()
		if err == nil || len(s.pool.idle) != 0 {
			t.Errorf("%s: %v, and %d connections wait", what, err, len(s.pool.idle))
		}
	}
}

func TestCancelledCallClosesItsConnection(t *testing.T) {
	asked, reply := make(chan bool), make(chan bool)
	srv := serve(t, func(command []any) string {
		if command[0] == "SLOW" {
			asked <- true
			<-reply
		}
		return fmt.Sprintf("+%v\r\n", command[0])
	})
	s := srv.store(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	began := time.Now()
	if _, err := s.pool.do(ctx, command{"SLOW"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v, want %v", err, context.Canceled)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %v to give up", d)
	}
	close(reply)
	for range 5 {
		replies, err := s.pool.do(t.Context(), command{"QUICK"})
		if err != nil || replies[0] != "QUICK" {
			t.Errorf("the next call: %v, %v", replies, err)
		}
	}
}

// After a restart the connections that wait are dead, and only one call finds out.
func TestDeadConnectionsAreFoundOnce(t *testing.T) {
	var restarted atomic.Bool
	srv := serve(t, func(command []any) string {
		if restarted.CompareAndSwap(true, false) {
			return ""
		}
		return nothing(len(fields))
	})
	s := srv.store(t)
	var all []*conn
	for range 8 {
		c, err := s.pool.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		s.pool.giveBack(c, nil)
	}
	restarted.Store(true)
	if _, err := s.Load(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("Load: %v, want the answer to its second try", err)
	}
	if n := len(s.pool.idle); n != 1 {
		t.Errorf("%d connections wait, want the new one alone", n)
	}
}

// Redis may have closed a connection that waited, and a new session has nothing but
// its one save to find that out with.
func TestConnectionThatWaitedIsAskedFirst(t *testing.T) {
	for what, reply := range map[string]string{"it was closed": "", "it has more to say": "+saved\r\n", "it needs a password now": "-NOAUTH no\r\n"} {
		var heard []string
		srv := serve(t, func(command []any) string {
			heard = append(heard, fmt.Sprint(command[0]))
			if command[0] == "PING" {
				return reply
			}
			return "+saved\r\n"
		})
		s := srv.store(t)
		for _, waited := range []time.Duration{0, 0, maxTrust} {
			if len(s.pool.idle) > 0 {
				s.pool.idle[0].back = time.Now().Add(-waited)
			}
			if err := s.Save(t.Context(), "id", record("x")); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if want := []string{"EVAL", "EVAL", "PING", "EVAL"}; !slices.Equal(heard, want) || srv.dialled.Load() != 2 {
			t.Errorf("%s: %d connections heard %q, want 2 and %q", what, srv.dialled.Load(), heard, want)
		}
	}
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	s.pool.do(t.Context(), command{"PING"})
	s.pool.idle[0].back = time.Now().Add(-maxTrust)
	if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil || srv.dialled.Load() != 1 {
		t.Errorf("one that answers: %v, %d connections, want it used again", err, srv.dialled.Load())
	}
}

func TestSaveIsNotTriedTwice(t *testing.T) {
	var saves atomic.Int64
	srv := serve(t, func(command []any) string { saves.Add(1); return "" })
	if err := srv.store(t).Save(t.Context(), "id", record("x")); err == nil || saves.Load() != 1 {
		t.Errorf("Save: %v, after %d tries, want an error after one", err, saves.Load())
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	s.pool.do(t.Context(), command{"PING"})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Load(t.Context(), "id"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Load: %v, want %v", err, net.ErrClosed)
	}
	eventually(t, func() bool { return srv.open.Load() == 0 })
}

func TestReplyToSomethingElseIsAnError(t *testing.T) {
	for _, reply := range []string{
		"+OK\r\n", ":1\r\n", "$-1\r\n", "*0\r\n", "*1\r\n$1\r\na\r\n", nothing(len(fields) + 1),
	} {
		srv := serve(t, func([]any) string { return reply })
		s := srv.store(t)
		if _, err := s.Load(t.Context(), "id"); !errors.Is(err, errProtocol) {
			t.Errorf("Load, told %q: %v, want %v", reply, err, errProtocol)
		}
		if err := s.Save(t.Context(), "id", record("x")); !errors.Is(err, errProtocol) {
			t.Errorf("Save, told %q: %v, want %v", reply, err, errProtocol)
		}
	}
}

func TestTooLargeRecordIsRefusedBeforeItIsSent(t *testing.T) {
	srv := serve(t, func([]any) string { return "$5\r\nsaved\r\n" })
	s := srv.store(t)
	if err := s.Save(t.Context(), "id", record(strings.Repeat("a", maxRecord))); err != nil {
		t.Errorf("a record of %d bytes: %v", maxRecord, err)
	}
	dialled := srv.dialled.Load()
	err := s.Save(t.Context(), "id", record(strings.Repeat("a", maxRecord+1)))
	if !errors.Is(err, session.ErrValue) || srv.dialled.Load() != dialled {
		t.Errorf("a byte more: %v, want ErrValue", err)
	}
}

// nothing is the reply to a command that asks for n fields of a record that is not
// there.
func nothing(n int) string { return fmt.Sprintf("*%d\r\n", n) + strings.Repeat("$-1\r\n", n) }
