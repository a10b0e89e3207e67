package torture

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// The programs' timeouts for a client that is slow.
const (
	readHeaderTimeout = 5 * time.Second  // of all programs
	readTimeout       = 10 * time.Second // of lesson 07
)

// TestSlowClients has clients that send their header a byte a second. As many others send
// half of a form and no more. At the same time other clients must get their pages.
// SLOW_CLIENTS is the number of slow clients. If it is set, the test waits until the
// server closes their connections.
func TestSlowClients(t *testing.T) {
	for _, p := range []program{database, security} {
		t.Run(p.folder, func(t *testing.T) { slowClients(t, p, size(t, "SLOW_CLIENTS", 40)/2) })
	}
}

func slowClients(t *testing.T, what program, each int) {
	p := start(t, what, t.TempDir())
	others := newVisitor(t, 0)
	alone := responseTimes(t, p, others, func() bool { return true })
	others.client.CloseIdleConnections()
	before := quiet(t, p)

	headers, halves := make([]*slow, each), make([]*slow, each)
	for i := range each {
		headers[i] = newSlow(t, p, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", time.Second)
		halves[i] = newSlow(t, p, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Content-Length: 100\r\n\r\nusername=admin&password=", 0)
	}
	long := os.Getenv("SLOW_CLIENTS") != ""
	beside := responseTimes(t, p, others, func() bool { return !long || open(headers) == 0 })
	others.login(t, p) // works, because half of a form does not take a turn
	if open(halves) < each && !p.https {
		t.Errorf("%d of %d halves of a form are open, want all, because %s has no ReadTimeout", open(halves), each, p.folder)
	}
	t.Logf("a response took %v (median) and %v (p99) before, %v and %v beside %d slow clients",
		alone.median(), alone.p99(), beside.median(), beside.p99(), 2*each)
	if worst := max(time.Second, 10*alone.p99()); beside.p99() > worst {
		t.Errorf("beside slow clients a response takes %v (p99), want a maximum of %v", beside.p99(), worst)
	}
	if long {
		mustBeClosedAfter(t, "a slow header", headers, readHeaderTimeout)
	}
	if long && p.https {
		mustBeClosedAfter(t, "half a form", halves, readTimeout)
	}

	t.Logf("%d of %d halves of a form are still open", open(halves), each)
	for _, s := range slices.Concat(headers, halves) {
		s.conn.Close()
		<-s.closed
	}
	others.client.CloseIdleConnections()
	mustComeBackTo(t, p, before)
	mustHaveTheGoroutinesOf(t, p, start(t, what, t.TempDir()))
}

// slow is a client that never sends the end of its request.
type slow struct {
	conn   net.Conn
	closed chan struct{} // closed when the connection has ended
	after  time.Duration // how long the connection lasted
}

// newSlow connects and sends the text. Then it sends a byte at each interval, or nothing
// if interval is 0.
func newSlow(t *testing.T, p *process, text string, interval time.Duration) *slow {
	t.Helper()
	began := time.Now()
	conn, err := p.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	s := &slow{conn: conn, closed: make(chan struct{})}
	go func() {
		io.Copy(io.Discard, conn) // to its end
		s.after = time.Since(began)
		close(s.closed)
	}()
	if interval > 0 {
		go s.drip(interval)
	}
	return s
}

// drip sends a byte at each interval until the connection has ended.
func (s *slow) drip(interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			io.WriteString(s.conn, "x")
		case <-s.closed:
			return
		}
	}
}

// open returns how many clients still have their connection.
func open(clients []*slow) int {
	n := 0
	for _, s := range clients {
		select {
		case <-s.closed:
		default:
			n++
		}
	}
	return n
}

// mustBeClosedAfter waits for the end of all connections, which must come within a second
// of the timeout. It allows some to be later, up to twice the timeout, because the machine
// may have much else to do. Half of them must not be late.
func mustBeClosedAfter(t *testing.T, what string, clients []*slow, timeout time.Duration) {
	t.Helper()
	eventually(t, what+" is closed", func() bool { return open(clients) == 0 })
	var times durations
	for _, s := range clients {
		times = append(times, s.after)
	}
	slices.Sort(times)
	first, last := times[0], times[len(times)-1]
	t.Logf("%s is closed after %v to %v", what, first, last)
	if first < timeout-time.Second {
		t.Errorf("%s is closed after %v at the earliest, want %v or more", what, first, timeout-time.Second)
	}
	if times.median() > timeout+time.Second {
		t.Errorf("%s is closed after %v (median), want a maximum of %v", what, times.median(), timeout+time.Second)
	}
	if last > 2*timeout {
		t.Errorf("%s is closed after %v at the latest, want a maximum of %v", what, last, 2*timeout)
	}
}

// durations are how long responses took, the shortest first.
type durations []time.Duration

func (d durations) median() time.Duration { return d[len(d)/2].Round(10 * time.Microsecond) }
func (d durations) p99() time.Duration    { return d[len(d)*99/100].Round(10 * time.Microsecond) }

// responseTimes has four clients request a page, on a new connection one time in ten,
// until there are 200 responses and enough returns true.
func responseTimes(t *testing.T, p *process, v *visitor, enough func() bool) durations {
	t.Helper()
	var mu sync.Mutex
	var times durations
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				began := time.Now()
				status, _, err := v.send(p, http.MethodGet, "/login", url.Values{})
				took := time.Since(began)
				mu.Lock()
				times = append(times, took)
				done := err != nil || len(times) >= 200 && enough()
				mu.Unlock()
				if err != nil || status != http.StatusOK {
					t.Errorf("the page: status %d, %v, want 200", status, err)
				}
				if done {
					return
				}
				if i%10 == 0 {
					v.client.CloseIdleConnections()
				}
			}
		})
	}
	clients.Wait()
	slices.Sort(times)
	return times
}
