package session

import (
	"context"
	"slices"
)

// A client-side session only needs the names of what was changed. A server-side
// session needs the changes themselves: if another request saved the session first,
// the manager replays them on what that request saved (see server.go).

// change is one change of a session, which can be replayed on another state.
type change struct {
	key   string
	apply []func(*state) // one, or several updates of one key in a row
}

// do makes a change and remembers it. The session's lock is held.
func (s *Session) do(key string, apply func(*state)) {
	apply(&s.state)
	s.remember(key, apply)
}

// remember notes a change that was made. apply repeats it on another state. It is nil for
// SetOwner and Renew, which set a field of place instead.
//
// A change that comes after the handler returned, from a goroutine, is reported at once,
// because no one will ask later. The session's lock is held.
func (s *Session) remember(key string, apply func(*state)) {
	if s.failure != nil {
		return
	}
	if s.returned {
		s.manager.opts.Logger.ErrorContext(context.Background(),
			"session changed after the handler returned", "keys", []string{key})
		return
	}
	if !slices.Contains(s.changed, key) {
		s.changed = append(s.changed, key)
	}
	if s.place == nil || s.begun || apply == nil { // no one will replay it
		return
	}
	journal := s.place.journal
	if last := len(journal) - 1; last >= 0 && journal[last].key == key {
		journal[last].apply = append(journal[last].apply, apply)
		return
	}
	s.place.journal = append(journal, change{key, []func(*state){apply}})
}

// forget drops earlier changes of a key that is about to get a value that does not
// depend on them. The session's lock is held.
func (s *Session) forget(key string) {
	if s.place != nil {
		s.place.journal = slices.DeleteFunc(s.place.journal, func(c change) bool { return c.key == key })
	}
}

// replay makes the changes of s on a newer state, which another request saved. The
// session's lock is held.
func (s *Session) replay(newer state) {
	p := s.place
	var replayed []change
	for len(p.journal) > 0 {
		c := p.journal[0]
		p.journal = p.journal[1:]
		replayed = append(replayed, c)
		for _, apply := range c.apply {
			// The function of a [Key.Update] may use the session, and other goroutines
			// may change it: what they add to the journal is replayed in its turn.
			s.unlocked(func() { apply(&newer) })
		}
	}
	p.journal = replayed
	if s.place == p { // no Clear came in between
		s.state = newer
	}
}

// unlocked calls f without the session's lock. The lock is held again when it
// returns, and also when f panics.
func (s *Session) unlocked(f func()) {
	s.mu.Unlock()
	defer s.mu.Lock()
	f()
}
