//go:build unix

package redisstore

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// When Redis hangs, no visitor waits longer than StoreTimeout.
func TestFrozenRedisIs503InTime(t *testing.T) {
	r := startRedis(t)
	s := r.store(t)
	m := newManager(t, s, 200*time.Millisecond)
	cookie := begin(t, m)
	signal(t, r.cmd.Process, syscall.SIGSTOP)
	began := time.Now()
	codes := make(chan int)
	for range 40 { // more than there are connections
		go func() { codes <- visit(m, cookie, increment).StatusCode }()
	}
	for range 40 {
		if code := <-codes; code != 503 {
			t.Errorf("status %d, want 503", code)
		}
	}
	if d := time.Since(began); d > 1500*time.Millisecond {
		t.Errorf("the 503s took %v, want a maximum of 1.5 s", d)
	}
	signal(t, r.cmd.Process, syscall.SIGCONT)
	eventually(t, func() bool { return visit(m, cookie, increment).StatusCode == 200 })
	n, status := seen(m, cookie)
	if status != 200 {
		t.Errorf("after it: status %d, want 200", status)
	}
	if n < 1 || n > 41 {
		t.Errorf("after it: %d visits, want 1 to 41", n)
	}
}

// signal sends a signal to a process.
func signal(t *testing.T, p *os.Process, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}
