package main

import (
	"context"
	"errors"
)

const (
	maxHashing = 2  // passwords that are hashed at the same time
	maxWaiting = 20 // requests that wait for their turn
)

// turns bounds how many passwords are hashed at the same time, and how many requests
// wait for that. Hashing a password is made to be slow. Without the first bound, anyone
// could keep every core busy. Without the second, a right login would wait behind
// hundreds of wrong ones, until its connection is closed.
//
// The lessons and exercises with a login have the same turns.go.
type turns struct{ hashing, waiting chan struct{} }

func newTurns() turns {
	return turns{make(chan struct{}, maxHashing), make(chan struct{}, maxWaiting)}
}

// errBusy means that maxWaiting requests are waiting already.
var errBusy = errors.New("too many requests wait for their turn")

// do waits for a turn, and then works. It returns errBusy, or the context's error if the
// visitor leaves first. The turn ends with the work, before the response is sent: a
// client that never reads its response does not keep a turn.
func (t turns) do(ctx context.Context, work func() error) error {
	if err := t.wait(ctx); err != nil {
		return err
	}
	defer func() { <-t.hashing }()
	return work()
}

func (t turns) wait(ctx context.Context) error {
	select {
	case t.waiting <- struct{}{}:
		defer func() { <-t.waiting }()
	default:
		return errBusy
	}
	select {
	case t.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
