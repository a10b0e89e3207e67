package sqlstore

import (
	"context"
	"time"
)

const (
	// sweepFirst is the time before the first sweep. A program has called CreateTable
	// by then.
	sweepFirst = 5 * time.Second

	// sweepEvery is the time between two sweeps.
	sweepEvery = time.Minute

	// sweepStep is the maximum number of records that one statement removes, so that a
	// save does not wait long for it. It is the LIMIT in statements.go.
	sweepStep = 100

	// sweepPause is the time between two steps of a sweep, in which others can use the
	// database.
	sweepPause = 20 * time.Millisecond

	// sweepTimeout is the maximum time of a step.
	sweepTimeout = 5 * time.Second
)

// sweeper removes expired records until the store is closed. It ignores errors, because
// it tries again in a minute, and Load and Save report a database that fails.
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

// sweep removes up to sweepStep expired records, and returns how many it removed.
func (s *Store) sweep() (int64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, sweepTimeout)
	defer cancel()
	return s.exec(ctx, s.statements.sweep, now())
}
