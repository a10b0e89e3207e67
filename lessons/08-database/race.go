package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/sessions/internal/session"
)

const (
	slowness   = 5 * time.Second // how long Slow takes
	maxSlow    = 10              // requests of Slow at the same time
	maxPresses = 10              // that a session remembers
)

// race is what the page /race shows. Its two buttons, Slow and Quick, add 1 to the count.
type race struct {
	Count   int     `json:"count"`
	Presses []press `json:"presses,omitempty"` // the oldest first
}

// press is one press of a button, as its request saved it.
type press struct {
	Button string `json:"button"`
	Loaded int64  `json:"loaded"` // the version of the record when the handler began; 0 if there was none
	Counts []int  `json:"counts"` // the counts that the function of Update got, one for each call
}

// races has the handlers of the page /race.
type races struct {
	store session.Store
	slow  chan struct{} // requests of Slow that wait now
}

func newRaces(store session.Store) races {
	return races{store, make(chan struct{}, maxSlow)}
}

func (rs races) page(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	version, err := rs.version(r.Context(), s)
	if err != nil {
		unavailable(w, err)
		return
	}
	show(w, r, http.StatusOK, "race", map[string]any{"Race": racing.Get(s), "Version": version, "Seconds": slowness.Seconds()})
}

// pressSlow waits between the load and the save of the session, so that you have the time
// to press Quick in another tab. The manager loaded the session before pressSlow began,
// and saves it after pressSlow has returned.
func (rs races) pressSlow(w http.ResponseWriter, r *http.Request) {
	select {
	case rs.slow <- struct{}{}:
		defer func() { <-rs.slow }()
	default: // otherwise anyone could make the server wait with any number of requests
		w.Header().Set("Retry-After", "5")
		problem(w, r, http.StatusServiceUnavailable, "Too many requests wait at the same time. Try again in a few seconds.")
		return
	}
	rs.press(w, r, "Slow", slowness)
}

func (rs races) pressQuick(w http.ResponseWriter, r *http.Request) {
	rs.press(w, r, "Quick", 0)
}

// press waits, and then adds 1 to the count.
func (rs races) press(w http.ResponseWriter, r *http.Request, button string, wait time.Duration) {
	s := session.From(r)
	loaded, err := rs.version(r.Context(), s)
	if err != nil {
		unavailable(w, err)
		return
	}
	select {
	case <-time.After(wait):
	case <-r.Context().Done(): // the client hung up, so nothing is added
		return
	}
	var counts []int
	racing.Update(s, func(old race) race {
		// A function of Update must be pure, because the manager may call it again. This
		// one is not: it notes each call in counts. It does so only to show you the calls.
		counts = append(counts, old.Count)
		return old.add(press{button, loaded, counts})
	})
	http.Redirect(w, r, "/race", http.StatusSeeOther)
}

// add returns the race with one more press.
func (old race) add(p press) race {
	presses := append(old.Presses, p)
	return race{old.Count + 1, presses[max(0, len(presses)-maxPresses):]}
}

// version returns the version of the session's record. It returns 0 if there is none.
//
// A session does not tell its version, so version asks the store. That is a second load,
// a moment after the manager's own. Another request may have saved the session in
// between, and then this version is higher than the one that the manager loaded.
func (rs races) version(ctx context.Context, s *session.Session) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	record, err := rs.store.Load(ctx, s.ID())
	switch {
	case errors.Is(err, session.ErrNotFound), record.Ended:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("version of the record: %w", err)
	}
	return record.Version, nil
}

// Calls returns the counts in words, such as "0, then 1".
func (p press) Calls() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Counts), " ", ", then "), "[]")
}
