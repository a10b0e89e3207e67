package session

import (
	"context"
	"testing"
	"testing/synctest"
)

// A queue that forgot nobody would grow with every session there ever was, and one
// that forgot too soon would let two in.
func TestQueueLetsOneInAtATimeAndForgetsThem(t *testing.T) {
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
		go enter(ctx) // which gives up
		synctest.Wait()
		first()
		synctest.Wait()
		second := <-in
		go enter(t.Context())
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(in) > 0 {
			t.Error("two are in at once")
		}
		second()
		third := <-in
		third()
		if n := len(q.last); n != 0 {
			t.Errorf("%d are remembered, and nobody is there", n)
		}
	})
}
