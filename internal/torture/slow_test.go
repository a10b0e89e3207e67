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

// What the programs promise of a client that is slow.
const (
	readHeaderTimeout = 5 * time.Second  // all of them
	readTimeout       = 10 * time.Second // lesson 07
)

// TestSlowClients has clients send their header a byte a second, and as many send
// half of a form and no more, while others go on as usual. SLOW_CLIENTS=400 is
// torture: then it waits until the server has had enough of them.
func TestSlowClients(t *testing.T) {
	for _, p := range []program{database, security} {
		t.Run(p.folder, func(t *testing.T) { slowClients(t, p, size(t, "SLOW_CLIENTS", 40)/2) })
	}
}

func slowClients(t *testing.T, what program, each int) {
	p := start(t, what, t.TempDir())
	others := newVisitor(t, 0)
	alone := answerTimes(t, p, others, func() bool { return true })
	others.client.CloseIdleConnections()
	before := quiet(t, p)

	headers, halves := make([]*slow, each), make([]*slow, each)
	for i := range each {
		headers[i] = newSlow(t, p, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", time.Second)
		halves[i] = newSlow(t, p, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Content-Length: 100\r\n\r\nusername=admin&password=", 0)
	}
	long := os.Getenv("SLOW_CLIENTS") != ""
	beside := answerTimes(t, p, others, func() bool { return !long || open(headers) == 0 })
	others.login(t, p) // a half of a form takes nobody's turn
	if open(halves) < each && !p.https {
		t.Errorf("%d of %d halves of a form are closed, where nothing says that they will be", each-open(halves), each)
	}
	t.Logf("an answer took %v (median) and %v (p99) before, %v and %v beside %d slow clients",
		alone.median(), alone.p99(), beside.median(), beside.p99(), 2*each)
	if worst := max(time.Second, 10*alone.p99()); beside.p99() > worst {
		t.Errorf("beside slow clients an answer takes %v", beside.p99())
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

// slow is a client that does not come to the end of its request.
type slow struct {
	conn   net.Conn
	closed chan struct{} // when the connection has ended
	after  time.Duration // of it
}

// newSlow connects and sends the text, and then a byte at each interval, or nothing.
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

// open returns how many the server still bears with.
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

// mustBeClosedAfter waits for the end of all connections, which is to come a second
// after the timeout at the latest. On a machine with much else to do some are late;
// half of them are not.
func mustBeClosedAfter(t *testing.T, what string, clients []*slow, timeout time.Duration) {
	t.Helper()
	eventually(t, what+" is closed", func() bool { return open(clients) == 0 })
	var times durations
	for _, s := range clients {
		times = append(times, s.after)
	}
	slices.Sort(times)
	t.Logf("%s is closed after %v to %v", what, times[0], times[len(times)-1])
	if times[0] < timeout-time.Second || times.median() > timeout+time.Second || times[len(times)-1] > 2*timeout {
		t.Errorf("%s is closed after %v to %v, median %v, where the timeout is %v", what, times[0], times[len(times)-1], times.median(), timeout)
	}
}

// durations are how long answers took, the shortest first.
type durations []time.Duration

func (d durations) median() time.Duration { return d[len(d)/2].Round(10 * time.Microsecond) }
func (d durations) p99() time.Duration    { return d[len(d)*99/100].Round(10 * time.Microsecond) }

// answerTimes has four clients ask for a page, on a new connection one time in ten,
// until there are 200 answers and enough.
func answerTimes(t *testing.T, p *process, v *visitor, enough func() bool) durations {
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
					t.Errorf("a page is answered %d, %v", status, err)
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
