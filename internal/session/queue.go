package session

import (
	"context"
	"sync"
)

// queue lets one request at a time save a session, in the order in which they came.
// Without it, all requests but one would meet a conflict, and try again.
type queue struct {
	mu   sync.Mutex
	last map[string]chan struct{} // by record: closed when the last in line leaves
}

func newQueue() queue {
	return queue{last: make(map[string]chan struct{})}
}

// enter waits until it is the caller's turn, which lasts until the caller calls
// leave. If the context ends first, enter gives up the place in the queue.
func (q *queue) enter(ctx context.Context, id string) (leave func(), err error) {
	turn := make(chan struct{})
	q.mu.Lock()
	before := q.last[id]
	q.last[id] = turn
	q.mu.Unlock()

	done := func() {
		q.mu.Lock()
		if q.last[id] == turn {
			delete(q.last, id)
		}
		q.mu.Unlock()
		close(turn)
	}
	if before == nil {
		return done, nil
	}
	select {
	case <-before:
		return done, nil
	case <-ctx.Done():
		go func() { <-before; done() }()
		return nil, ctx.Err()
	}
}
