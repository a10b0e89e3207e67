package session

import (
	"context"
	"testing"
	"testing/synctest"
)

// A queue that keeps an entry for each session grows without limit. A queue that removes
// an entry too early lets in two requests at the same time.
func TestQueueLetsOneInAtATimeAndKeepsNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue{last: make(map[string]chan struct{})}
		in := make(chan func(), 3)
		enter := func(ctx context.Context) {
			if leave, err := q.enter(ctx, "a"); err == nil {
				in <- leave
			}
		}
		enter(t.Context())
		first := <-in
		go enter(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go enter(ctx) // it will stop waiting
		synctest.Wait()
		first()
		synctest.Wait()
		second := <-in
		go enter(t.Context())
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := len(in); n != 0 {
			t.Errorf("%d requests are in beside another, want 0", n)
		}
		second()
		third := <-in
		third()
		if n := len(q.last); n != 0 {
			t.Errorf("%d entries are left, want 0", n)
		}
	})
}
