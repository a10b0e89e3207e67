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

// server is a server on the loopback that plays Redis.
type server struct {
	net.Listener
	dialled atomic.Int64 // connections so far
	open    atomic.Int64 // connections that are open
	maximum atomic.Int64 // connections that were open at the same time
}

// serve starts a server that sends what reply returns for each command. A reply of ""
// closes the connection.
func serve(t *testing.T, reply func(command []any) string) *server {
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
			s.maximum.Store(max(s.maximum.Load(), s.open.Add(1)))
			go func() {
				defer s.open.Add(-1)
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					command, err := readReply(r) // a command has the form of a reply
					if err != nil {
						return
					}
					text := reply(command.([]any))
					if _, err := io.WriteString(c, text); err != nil || text == "" {
						return
					}
				}
			}()
		}
	}()
	return s
}

// connectTo returns a store whose URL has this user, address and rest.
func connectTo(t *testing.T, user, address, rest string) *Store {
	t.Helper()
	s, err := New("redis://" + user + address + rest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// store returns a store on the server.
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
		t.Run(rawURL, func(t *testing.T) {
			s, err := New(rawURL)
			if err != nil {
				t.Fatal(err)
			}
			if s.pool.address != want.pool.address {
				t.Errorf("address %s, want %s", s.pool.address, want.pool.address)
			}
			if !reflect.DeepEqual(s.pool.greeting, want.pool.greeting) {
				t.Errorf("greeting %q, want %q", s.pool.greeting, want.pool.greeting)
			}
			if s.records != want.records {
				t.Errorf("records are named %s, want %s", s.records, want.records)
			}
			if s.pool.tls != nil {
				t.Error("with TLS, want none")
			}
		})
	}
	s, err := New("rediss://h:1")
	if err != nil {
		t.Fatalf("rediss: %v", err)
	}
	if s.pool.tls == nil {
		t.Fatal("rediss: no TLS, want it")
	}
	if got := s.pool.tls.ServerName; got != "h" {
		t.Errorf("rediss: TLS to %q, want h", got)
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
		if text := fmt.Sprint(err); !strings.HasPrefix(text, "session: redisstore: ") {
			t.Errorf("%s: %s, want an error that begins with \"session: redisstore: \"", rawURL, text)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s, want no password in it", rawURL, text)
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
	if text := fmt.Sprint(err); !strings.Contains(text, "WRONGPASS") {
		t.Errorf("Load: %s, want WRONGPASS", text)
	}
	if text := fmt.Sprint(err); strings.Contains(text, "hunter2") {
		t.Errorf("Load: %s, want no password in it", text)
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
		t.Errorf("%d connections for one caller, want 1", n)
	}
	s.pool.idle[0].back = time.Now().Add(-maxIdle) // as if it had waited that long
	s.pool.do(t.Context(), command{"PING"})
	if n := srv.dialled.Load(); n != 2 || len(s.pool.idle) != 1 {
		t.Errorf("after maxIdle, %d connections were made and %d wait, want 2 and 1", n, len(s.pool.idle))
	}
}

// A failover moves a name to another server. A connection in steady use must not lead to
// the old server for ever.
func TestConnectionHasAMaximumAge(t *testing.T) {
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	for _, step := range []struct {
		age     time.Duration
		dialled int64
	}{{0, 1}, {maxAge - time.Second, 1}, {maxAge, 2}, {0, 2}} {
		if len(s.pool.idle) > 0 {
			s.pool.idle[0].born = time.Now().Add(-step.age)
		}
		if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil {
			t.Fatal(err)
		}
		if n := srv.dialled.Load(); n != step.dialled {
			t.Errorf("at the age of %v, %d connections have been made, want %d", step.age, n, step.dialled)
		}
		if n := len(s.pool.idle); n != 1 {
			t.Errorf("at the age of %v, %d connections wait, want 1", step.age, n)
		}
	}
	eventually(t, func() bool { return srv.open.Load() == 1 })
}

// The pool lends the younger of two connections, although the older one came back last.
func TestOldConnectionMakesWay(t *testing.T) {
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	young, err1 := s.pool.connect(t.Context())
	old, err2 := s.pool.connect(t.Context())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	old.born = time.Now().Add(-maxAge)
	s.pool.giveBack(young, nil)
	s.pool.giveBack(old, nil)
	if c, err := s.pool.pick(); c != young || err != nil {
		t.Errorf("the pool lends %p, %v, want the younger one, %p", c, err, young)
	}
	if n := len(s.pool.idle); n != 0 {
		t.Errorf("%d connections wait, want none", n)
	}
	young.Close()
}

// connect opens n connections that wait in the pool.
func connect(t *testing.T, s *Store, n int) {
	t.Helper()
	var all []*conn
	for range n {
		c, err := s.pool.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		s.pool.giveBack(c, nil)
	}
}

// TestRefusalsThatCloseConnections has refusals of an old master, or of a server that is
// not ready. After a failover only a new connection finds the new master.
func TestRefusalsThatCloseConnections(t *testing.T) {
	for refusal, stays := range map[string]bool{
		"READONLY You can't write against a read only replica.":                     false,
		"LOADING Redis is loading the dataset in memory":                            false,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.": false,
		"CLUSTERDOWN The cluster is down":                                           false,
		"NOREPLICAS Not enough good replicas to write.":                             false,
		"MISCONF Redis is configured to save RDB snapshots":                         false,
		"UNBLOCKED force unblock from blocking operation":                           false,
		"NOAUTH Authentication required.":                                           false,
		"MOVED 3999 127.0.0.1:6381":                                                 false,
		"ERR something else":                                                        false,
		"OOM command not allowed when used memory > 'maxmemory'.":                   true, // from a master that is full
		"WRONGTYPE Operation against a key holding the wrong kind of value":         true,
	} {
		code, _, _ := strings.Cut(refusal, " ")
		t.Run(code, func(t *testing.T) {
			var refuses atomic.Bool
			srv := serve(t, func([]any) string {
				if refuses.Load() {
					return "-" + refusal + "\r\n"
				}
				return "+saved\r\n"
			})
			s := srv.store(t)
			connect(t, s, 2)
			refuses.Store(true)
			err := s.Save(t.Context(), "id", record("x"))
			if err == nil || !strings.Contains(err.Error(), code) {
				t.Errorf("Save: %v, want %s", err, code)
			}
			if n, want := len(s.pool.idle), map[bool]int{true: 2}[stays]; n != want {
				t.Errorf("%d connections wait, want %d", n, want)
			}
			refuses.Store(false)
			if err := s.Save(t.Context(), "id", record("x")); err != nil {
				t.Errorf("the next Save: %v", err)
			}
		})
	}
}

// TestRefusedDeleteIsAnError: a session that was not deleted has not ended.
func TestRefusedDeleteIsAnError(t *testing.T) {
	for _, reply := range []string{"-OOM no\r\n", "-WRONGTYPE no\r\n", "-ERR no\r\n", "+OK\r\n", "*0\r\n", "$-1\r\n"} {
		srv := serve(t, func([]any) string { return reply })
		if err := srv.store(t).Delete(t.Context(), "id"); err == nil {
			t.Errorf("Delete, told %q: no error, want one", reply)
		}
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
	if n := srv.maximum.Load(); n != maxConns {
		t.Errorf("%d connections at the same time, want %d", n, maxConns)
	}
}

// A call that waits for a connection ends with its context.
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
		t.Errorf("the calls gave up after %v, want 100 ms, and a maximum of 2 s", d)
	}
}

// The next visitor would get the rest of a reply.
func TestConnectionWithARestIsClosed(t *testing.T) {
	for what, reply := range map[string]string{
		"a reply too many":     "+a\r\n+b\r\n",
		"a refusal":            "-ERR no\r\n",
		"half a reply":         "$5\r\nab",
		"no reply":             "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a reply and a letter": "+a\r\nx",
		"the end":              "",
	} {
		t.Run(what, func(t *testing.T) {
			srv := serve(t, func([]any) string { return reply })
			s := srv.store(t)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := s.pool.do(ctx, command{"PING"})
			cancel()
			if err == nil {
				t.Error("no error, want one")
			}
			if n := len(s.pool.idle); n != 0 {
				t.Errorf("%d connections wait, want none", n)
			}
		})
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
		t.Errorf("the call gave up after %v, want a maximum of 1 s", d)
	}
	close(reply)
	for range 5 {
		replies, err := s.pool.do(t.Context(), command{"QUICK"})
		if err != nil || replies[0] != "QUICK" {
			t.Errorf("the next call: %v, %v, want its own reply, QUICK", replies, err)
		}
	}
}

// After a restart the connections that wait are dead. Only one call finds a dead one.
func TestDeadConnectionsAreFoundOnce(t *testing.T) {
	var restarted atomic.Bool
	srv := serve(t, func(command []any) string {
		if restarted.CompareAndSwap(true, false) {
			return ""
		}
		return nothing(len(fields))
	})
	s := srv.store(t)
	connect(t, s, 8)
	restarted.Store(true)
	if _, err := s.Load(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("Load: %v, want the reply to its second try", err)
	}
	if n := len(s.pool.idle); n != 1 {
		t.Errorf("%d connections wait, want only the new one", n)
	}
}

// Redis may have closed a connection that waited. A PING must find that, because a save
// is not tried again.
func TestConnectionThatWaitedIsPingedFirst(t *testing.T) {
	for what, reply := range map[string]string{"it was closed": "", "it has the rest of a reply": "+saved\r\n", "it needs a password now": "-NOAUTH no\r\n"} {
		t.Run(what, func(t *testing.T) {
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
					t.Errorf("Save: %v", err)
				}
			}
			if want := []string{"EVAL", "EVAL", "PING", "EVAL"}; !slices.Equal(heard, want) {
				t.Errorf("the server heard %q, want %q", heard, want)
			}
			if n := srv.dialled.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
	srv := serve(t, func([]any) string { return "+PONG\r\n" })
	s := srv.store(t)
	s.pool.do(t.Context(), command{"PING"})
	s.pool.idle[0].back = time.Now().Add(-maxTrust)
	if _, err := s.pool.do(t.Context(), command{"PING"}); err != nil || srv.dialled.Load() != 1 {
		t.Errorf("after a PONG: %v, %d connections, want the same one again", err, srv.dialled.Load())
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
		t.Errorf("a record of one byte more: %v, want %v and nothing sent", err, session.ErrValue)
	}
}

// TestListIsNotReadFromSomethingElse: List returns an error if it may lack a session.
func TestListIsNotReadFromSomethingElse(t *testing.T) {
	far := milliseconds(time.Now().Add(time.Hour).UnixNano())
	ids := make([]string, page) // one page that may not be all
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%06d", i)
	}
	type replies struct{ index, record, scan string }
	right := replies{index(far, ids...), nothing(inList), "*2\r\n$1\r\n0\r\n" + index(far, "one more")}
	for _, part := range []func(r *replies) *string{
		func(r *replies) *string { return &r.index }, func(r *replies) *string { return &r.record }, func(r *replies) *string { return &r.scan },
	} {
		for _, reply := range []string{
			"+OK\r\n", ":1\r\n", "$-1\r\n", "*1\r\n$2\r\nid\r\n", "*2\r\n$2\r\nid\r\n$1\r\nx\r\n", "*2\r\n$2\r\nid\r\n:1\r\n", "*2\r\n:1\r\n$1\r\n1\r\n",
			"*2\r\n:0\r\n*0\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\nid\r\n", nothing(inList + 1), "-OOM no\r\n", "-ERR no\r\n",
		} {
			wrong := right
			*part(&wrong) = reply
			if records, err := listFrom(t, wrong.index, wrong.record, wrong.scan); err == nil {
				t.Errorf("List, told %.60q, is %v without an error, want one", wrong, records)
			}
		}
	}
	if records, err := listFrom(t, right.index, right.record, right.scan); err != nil || len(records) != 0 {
		t.Errorf("List of records that are gone = %v, %v, want nothing", records, err)
	}
	if _, err := listFrom(t, "-WRONGTYPE no\r\n", "", ""); err == nil {
		t.Error("List of an index of another type: no error, want one")
	}
}

// index returns a reply with entries that expire at this time.
func index(expires string, ids ...string) string {
	text := fmt.Sprintf("*%d\r\n", 2*len(ids))
	for _, id := range ids {
		text += fmt.Sprintf("$%d\r\n%s\r\n$%d\r\n%s\r\n", len(id), id, len(expires), expires)
	}
	return text
}

// listFrom returns what List makes of these replies.
func listFrom(t *testing.T, index, record, scan string) ([]session.Record, error) {
	srv := serve(t, func(command []any) string {
		return map[any]string{"ZREVRANGEBYSCORE": index, "HMGET": record, "ZSCAN": scan}[command[0]]
	})
	return srv.store(t).List(t.Context(), "ada")
}

// nothing returns the reply to a command that asks for n fields of a record that does not
// exist.
func nothing(n int) string { return fmt.Sprintf("*%d\r\n", n) + strings.Repeat("$-1\r\n", n) }

// TestErrorsRepeatNothingThatWasSent has a server that quotes each command, as some do
// with a command that they do not know.
func TestErrorsRepeatNothingThatWasSent(t *testing.T) {
	for _, quote := range []string{"'", `"`, "`", "\u2018", "\u201c", "\u00ab"} {
		srv := serve(t, func(command []any) string {
			text := "-ERR unknown command " + quote + fmt.Sprint(command...)
			return strings.NewReplacer("\r", " ", "\n", " ").Replace(text)[:min(len(text), 2000)] + "\r\n"
		})
		s := srv.store(t)
		rec := record("hunter2 is the data")
		rec.Owner = "hunter2"
		_, loadErr := s.Load(t.Context(), "hunter2")
		_, listErr := s.List(t.Context(), "hunter2")
		_, greetErr := connectTo(t, "hunter2:hunter2@", srv.Addr().String(), "").Load(t.Context(), "hunter2")
		for what, err := range map[string]error{
			"Load": loadErr, "List": listErr, "Save": s.Save(t.Context(), "hunter2", rec),
			"Delete": s.Delete(t.Context(), "hunter2"), "AUTH": greetErr,
		} {
			t.Run(what+" quoted with "+quote, func(t *testing.T) {
				text := fmt.Sprint(err)
				if !strings.Contains(text, "ERR unknown command") {
					t.Errorf("the error is %q, want the refusal in it", text)
				}
				if strings.Contains(text, "hunter2") {
					t.Errorf("the error is %q, want nothing that was sent in it", text)
				}
			})
		}
	}
}
