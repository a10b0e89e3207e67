package torture

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHangUps has clients that leave lesson 08 at any moment: while they send a request,
// while they wait, or while the response comes. At the same time other clients stay, and
// must get their pages. HANGUPS is the number of clients that leave.
func TestHangUps(t *testing.T) {
	clients := size(t, "HANGUPS", 300)
	dir := t.TempDir()
	p := start(t, database, dir)
	visitors := make([]*visitor, 16)
	for i := range visitors {
		visitors[i] = newVisitor(t, i)
		visitors[i].shown(t, p)
		visitors[i].client.CloseIdleConnections()
	}
	before := quiet(t, p)
	var next, whole atomic.Int64
	var crowd sync.WaitGroup
	for _, v := range visitors {
		crowd.Go(func() {
			for n := int(next.Add(1)); n <= clients; n = int(next.Add(1)) {
				if v.hangUp(t, p, n, rand.New(rand.NewPCG(3, uint64(n)))) {
					whole.Add(1)
				}
				if n%2 == 0 {
					v.stay(t, p)
				}
			}
		})
	}
	crowd.Wait()
	for _, v := range visitors {
		v.client.CloseIdleConnections()
	}
	mustComeBackTo(t, p, before)
	notes := 0
	for _, v := range visitors {
		if v.mustBeWhole(t, p, clients) {
			notes++
		}
		v.client.CloseIdleConnections()
	}
	if notes == 0 {
		t.Error("no note was saved, want some of those that were sent whole")
	}
	mustComeBackTo(t, p, before)
	// net/http keeps the goroutine of a connection for half a second (rstAvoidanceDelay)
	// after a handler that did not read the whole body.
	<-time.After(time.Second)
	mustHaveTheGoroutinesOf(t, p, start(t, database, t.TempDir()))
	t.Logf("%d clients hung up, %d of them after their whole request", clients, whole.Load())
}

// stay makes a visit and waits for the response. It comes after the saves that began
// before it. If the disk is busy, it may be a 503.
func (v *visitor) stay(t *testing.T, p *process) {
	status, _, err := v.send(p, "GET", "/", nil)
	if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("visitor %d, who stays, gets status %d, %v, want 200 or 503", v.number, status, err)
		return
	}
	if status == http.StatusOK {
		v.counted++
	}
}

// hangUp begins request n, a visit or a note, and leaves. It reports whether it sent the
// whole request.
func (v *visitor) hangUp(t *testing.T, p *process, n int, seeded *rand.Rand) bool {
	conn, err := p.dial()
	if err != nil {
		t.Errorf("client %d cannot connect: %v", n, err)
		return false
	}
	defer conn.Close()
	request := v.request(t, p, n)
	sent := len(request)
	if seeded.IntN(2) == 0 {
		sent = seeded.IntN(len(request))
	}
	if _, err := io.WriteString(conn, request[:sent]); err != nil {
		t.Errorf("client %d cannot send: %v", n, err)
	}
	patience := time.Duration(seeded.IntN(10_000)) * time.Microsecond
	if seeded.IntN(2) == 0 {
		<-time.After(patience)
	} else { // perhaps with part of the response
		conn.SetReadDeadline(time.Now().Add(patience))
		io.CopyN(io.Discard, conn, 1+seeded.Int64N(5000))
	}
	if tcp, ok := conn.(*net.TCPConn); ok && seeded.IntN(2) == 0 {
		tcp.SetLinger(0) // ends the connection with a reset, as a machine that crashed does
	}
	return sent == len(request)
}

// request returns the bytes of request n. One in three is a visit. The others save the
// note of that number.
func (v *visitor) request(t *testing.T, p *process, n int) string {
	address, err := url.Parse(p.url())
	if err != nil {
		t.Fatal(err)
	}
	cookies := v.client.Jar.Cookies(address)
	if len(cookies) != 1 {
		t.Errorf("visitor %d has the cookies %v, want one", v.number, cookies)
		return "\n"
	}
	head := fmt.Sprintf("HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n", p.addr, cookies[0])
	if n%3 == 0 {
		return "GET / " + head + "\r\n"
	}
	form := url.Values{"note": {v.note(n)}}.Encode()
	return fmt.Sprintf("POST /note %sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", head, len(form), form)
}

var noteNumber = regexp.MustCompile(`^note (\d+) of`)

// mustBeWhole fails the test if the session has a note that no one sent or only part of
// one, or an impossible number of visits. It reports whether there is a note.
func (v *visitor) mustBeWhole(t *testing.T, p *process, clients int) bool {
	t.Helper()
	visits, note := v.shown(t, p)
	n := 0
	if number := noteNumber.FindStringSubmatch(note); number != nil {
		n, _ = strconv.Atoi(number[1])
	}
	if note != v.note(n) {
		t.Errorf("visitor %d has a note of %d bytes, %.100q, want note %d", v.number, len(note), note, n)
	}
	if visits < 2+v.counted || visits > 2+v.counted+clients {
		t.Errorf("visitor %d has %d visits, want %d to %d", v.number, visits, 2+v.counted, 2+v.counted+clients)
	}
	return n > 0
}

// quiet returns the number of descriptors that a process has without clients. It waits
// until the number is the same 20 times in a row, because a connection that was closed at
// this end takes a moment to end at the other.
func quiet(t *testing.T, p *process) int {
	t.Helper()
	n, same := -1, 0
	eventually(t, p.folder+" is quiet", func() bool {
		now := descriptors(t, p)
		if now != n {
			n, same = now, 0
		}
		same++
		return same == 20
	})
	return n
}

// mustComeBackTo waits until a process has as many descriptors as before, or two more.
func mustComeBackTo(t *testing.T, p *process, before int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has a maximum of %d descriptors", p.folder, before+2), func() bool { return descriptors(t, p) <= before+2 })
}

// mustHaveTheGoroutinesOf ends a process and a fresh one, and compares their goroutines.
// Call it after mustComeBackTo, because each connection has a goroutine.
func mustHaveTheGoroutinesOf(t *testing.T, p, fresh *process) {
	t.Helper()
	if n, want := goroutines(t, p), goroutines(t, fresh); n > want+2 {
		t.Errorf("%s has %d goroutines without clients, want a maximum of %d, two more than a fresh one", p.folder, n, want+2)
	}
}
