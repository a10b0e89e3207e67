package drivers

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/sqlstore"
)

// TestPostgresIsKilled kills the server under load and starts it again, three times.
// While it is down, every response is a 503 in time. Then the store works again without
// a restart, and each visit with a 200 is counted.
func TestPostgresIsKilled(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	c := newCluster(t, "")
	e := engine{open: openPgx, dialect: sqlstore.Postgres}
	s, _ := newStore(t, e, c.url("postgres"))
	m := newManager(t, session.NewSecret(), s, timeout)
	visitors := make([]visitor, 8)
	var wg sync.WaitGroup
	stop := make(chan bool)
	for i := range visitors {
		v := &visitors[i]
		v.cookie = begin(t, m)
		wg.Go(func() { v.visitUntil(t, m, stop, timeout) })
	}
	for range 3 {
		mustCome(t, visitors, "200s", func(v *visitor) *atomic.Int64 { return &v.counted })
		c.kill(t)
		mustCome(t, visitors, "503s", func(v *visitor) *atomic.Int64 { return &v.refused })
		c.start(t)
		begun := time.Now()
		mustCome(t, visitors, "200s after a restart", func(v *visitor) *atomic.Int64 { return &v.counted })
		t.Logf("the store worked again %v after the server", time.Since(begun))
	}
	close(stop)
	wg.Wait()
	for i := range visitors {
		v := &visitors[i]
		visit(m, v.cookie, func(s *session.Session) {
			counted, refused := int(v.counted.Load()), int(v.refused.Load())
			if n := visits.Get(s); n < counted || n > counted+refused {
				t.Errorf("%d visits, want %d to %d: the 200s, and some of the 503s", n, counted, counted+refused)
			}
		})
	}
}

// visitor makes visits in a loop.
type visitor struct {
	cookie           string
	counted, refused atomic.Int64 // responses that were 200 and 503
}

// visitUntil makes visits until stop is closed.
func (v *visitor) visitUntil(t *testing.T, m *session.Manager, stop <-chan bool, timeout time.Duration) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		begun := time.Now()
		response := visit(m, v.cookie, increment)
		limit := 2*timeout + time.Second // a timeout to load, and one to save
		if took := time.Since(begun); took > limit {
			t.Errorf("a response took %v, want a maximum of %v", took, limit)
		}
		switch cookies := len(response.Cookies()); {
		case response.StatusCode == 200 && cookies == 0: // a new cookie would be another session's
			v.counted.Add(1)
		case response.StatusCode == 503 && cookies == 0:
			v.refused.Add(1)
		default:
			t.Errorf("status %d with %d cookies, want 200 or 503 with none", response.StatusCode, cookies)
		}
	}
}

// mustCome waits until each visitor got 10 more of the responses that a counter counts.
func mustCome(t *testing.T, visitors []visitor, what string, of func(*visitor) *atomic.Int64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range visitors {
		count := of(&visitors[i])
		for want := count.Load() + 10; count.Load() < want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("%d %s after 30 s, want %d", count.Load(), what, want)
			}
		}
	}
}
