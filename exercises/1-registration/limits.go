package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"
)

// Guessing is bounded by the name: of any other mark that a request bears, an
// attacker has as many as they like.
const (
	maxFailures = 5 // of one name, and then there is a pause
	pause       = 15 * time.Minute
	maxNames    = 20_000 // that are remembered
)

// failures counts the failed logins of each name, whether there is such an account
// or not: a pause for the names that exist would tell which do. Its zero value is
// ready for use.
type failures struct {
	mu    sync.Mutex
	names map[[sha256.Size]byte]tally // by a hash, so that a long name takes no more room
}

// tally is of the time until Ends, which is a pause after the first failure. It
// does not move: who keeps on trying is not locked out for ever.
type tally struct {
	Count int
	Ends  time.Time
}

// pausedError says how long there is still to wait.
type pausedError time.Duration

func (e pausedError) Error() string { return fmt.Sprintf("paused for %v", time.Duration(e)) }
func (e pausedError) seconds() int  { return int(math.Ceil(time.Duration(e).Seconds())) }
func (e pausedError) minutes() int  { return int(math.Ceil(time.Duration(e).Minutes())) }

// begin counts an attempt that is about to be made, or fails with a pausedError.
func (f *failures) begin(name string) error {
	key, now := sha256.Sum256([]byte(fold(name))), time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.names[key]
	if !now.Before(t.Ends) {
		t = tally{Ends: now.Add(pause)}
	}
	if t.Count == maxFailures {
		return pausedError(t.Ends.Sub(now))
	}
	t.Count++
	f.makeRoom(now)
	f.names[key] = t
	return nil
}

// forget is for an attempt that was right.
func (f *failures) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, sha256.Sum256([]byte(fold(name))))
}

// makeRoom drops what is over, and if that is not enough, any one of the others.
// To have one name forgotten in this way takes thousands of attempts with other
// names, each of which costs a hash, and buys five.
func (f *failures) makeRoom(now time.Time) {
	if f.names == nil {
		f.names = make(map[[sha256.Size]byte]tally)
	}
	if len(f.names) < maxNames {
		return
	}
	maps.DeleteFunc(f.names, func(_ [sha256.Size]byte, t tally) bool { return !now.Before(t.Ends) })
	for key := range f.names {
		if len(f.names) < maxNames {
			return
		}
		delete(f.names, key)
	}
}
