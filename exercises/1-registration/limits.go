package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"
)

// The limit is per username, because an attacker can change everything else in a
// request, such as its address or its cookie, as often as they like.
const (
	maxFailures = 5 // failed logins with one name before its pause
	pause       = 15 * time.Minute
	maxNames    = 20_000 // maximum number of names with a tally
)

// failures counts the failed logins with each name. It also counts names that have no
// account, because a pause for existing names only would tell which names exist. The
// zero value is ready for use.
type failures struct {
	mu    sync.Mutex
	names map[[sha256.Size]byte]tally // by a hash, so that a long name takes no more room
}

// tally is the number of failed logins with a name until Ends. Ends is one pause after
// the first failure. Later attempts do not move it, so a flood of attempts does not make
// the pause longer.
type tally struct {
	Count int
	Ends  time.Time
}

// pausedError is the time until the next attempt is allowed.
type pausedError time.Duration

func (e pausedError) Error() string { return fmt.Sprintf("paused for %v", time.Duration(e)) }
func (e pausedError) seconds() int  { return int(math.Ceil(time.Duration(e).Seconds())) }
func (e pausedError) minutes() int  { return int(math.Ceil(time.Duration(e).Minutes())) }

// begin counts an attempt before the password is checked. It returns a pausedError if
// the name has had maxFailures attempts already.
func (f *failures) begin(name string) error {
	key, now := sha256.Sum256([]byte(fold(name))), time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	t, known := f.names[key]
	if !now.Before(t.Ends) {
		t = tally{Ends: now.Add(pause)}
	}
	if t.Count == maxFailures {
		return pausedError(t.Ends.Sub(now))
	}
	if !known {
		f.makeRoom(now)
	}
	t.Count++
	f.names[key] = t
	return nil
}

// forget deletes the count of a name, after a login with the right password.
func (f *failures) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, sha256.Sum256([]byte(fold(name))))
}

// makeRoom makes room for one more name, if the table is full. It deletes the tallies that
// have expired. If the others still fill the table, it deletes any one of them.
//
// An attacker gains little from that. To have one name forgotten, the attacker must make
// thousands of attempts with other names, and each takes a hash. Then the attacker has
// five more guesses.
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
