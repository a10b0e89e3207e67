package drivers

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/sqlstore"
)

// TestPostgresIsKilled kills the server under load and starts it again, three
// times. While it is down every answer is a 503 in time; afterwards all is well by
// itself, and no visit is lost that was answered.
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
		mustCome(t, visitors, "answers", func(v *visitor) *atomic.Int64 { return &v.counted })
		c.kill(t)
		mustCome(t, visitors, "503s", func(v *visitor) *atomic.Int64 { return &v.refused })
		c.start(t)
		begun := time.Now()
		mustCome(t, visitors, "answers after a restart", func(v *visitor) *atomic.Int64 { return &v.counted })
		t.Logf("all was well %v after the server was", time.Since(begun))
	}
	close(stop)
	wg.Wait()
	for i := range visitors {
		v := &visitors[i]
		visit(m, v.cookie, func(s *session.Session) {
			counted, refused := int(v.counted.Load()), int(v.refused.Load())
			if n := visits.Get(s); n < counted || n > counted+refused {
				t.Errorf("%d visits are kept; %d were answered and %d refused", n, counted, refused)
			}
		})
	}
}

// visitor visits in a loop.
type visitor struct {
	cookie           string
	counted, refused atomic.Int64
}

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
		answer := visit(m, v.cookie, increment)
		if took := time.Since(begun); took > 2*timeout+time.Second { // one to load, one to save
			t.Errorf("an answer took %v", took)
		}
		switch {
		case answer.StatusCode == 200 && len(answer.Cookies()) == 0: // a new one would be another session
			v.counted.Add(1)
		case answer.StatusCode == 503 && len(answer.Cookies()) == 0:
			v.refused.Add(1)
		default:
			t.Errorf("answered %d with %v", answer.StatusCode, answer.Cookies())
		}
	}
}

// mustCome waits until each visitor got 10 more of what is counted.
func mustCome(t *testing.T, visitors []visitor, what string, of func(*visitor) *atomic.Int64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range visitors {
		count := of(&visitors[i])
		for want := count.Load() + 10; count.Load() < want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("no %s come", what)
			}
		}
	}
}
