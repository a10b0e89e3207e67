package sqlstore

import (
	"context"
	"time"
)

const (
	// sweepFirst is when the sweeper looks for the first time: by then a program
	// has called CreateTable.
	sweepFirst = 5 * time.Second

	// sweepEvery is the time between two looks.
	sweepEvery = time.Minute

	// sweepStep is how many records a statement removes at the most, the LIMIT in
	// statements.go, so that a save does not wait long for it.
	sweepStep = 100

	// sweepPause is the time between two steps of one look, in which others get at
	// the database.
	sweepPause = 20 * time.Millisecond

	// sweepTimeout is how long a step may take.
	sweepTimeout = 5 * time.Second
)

// sweeper removes, until the store is closed, what no Delete does. What fails is
// tried again in a minute; a database that fails shows in Load and Save.
func (s *Store) sweeper() {
	defer close(s.swept)
	timer := time.NewTimer(sweepFirst)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		if n, err := s.sweep(); err == nil && n >= sweepStep {
			timer.Reset(sweepPause)
		} else {
			timer.Reset(sweepEvery)
		}
	}
}

// sweep removes some of the expired records, and returns how many.
func (s *Store) sweep() (int64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, sweepTimeout)
	defer cancel()
	return s.exec(ctx, s.statements.sweep, now())
}
