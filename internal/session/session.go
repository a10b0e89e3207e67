// Package session remembers a visitor between HTTP requests, in a signed
// cookie. It is the session of Flask, written by hand on the standard library,
// to be read.
//
// The cookie is a value of three parts:
//
//	payload          . timestamp . signature
//	eyJ2aXNpdHMiOjN9 . ZVPxAA    . XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w
//	{"visits":3}       2023-11-14  HMAC-SHA-256 of all
//	                   22:13:20    that stands before it
//
// The signature shows that payload and timestamp were written by somebody who
// has the secret: nobody else can make a cookie or change one. It hides nothing.
// Signing is not encryption, and whoever holds the cookie reads it as easily as
// [Inspect] does, so a password or a card number has no place in it.
//
// # What a client-side session cannot do
//
// The browser keeps the session, and the server only checks it. So a copy of a
// cookie is as good as the cookie. Logging out asks the browser to forget; a
// copy made before replays until its time is up, and an answer that was under
// way may bring the session back. An older cookie is as valid as the newest, so
// a visitor can roll back to yesterday's cart, and "once" cannot be promised. Of
// two tabs that change the session at once, the last answer wins. And all of it
// has to fit in the 4096 bytes that browsers keep.
//
// With [Options.Store] the values stay on the server, and the cookie carries a
// session ID. Such a session can be ended, is rolled back by nobody, loses nothing
// between two tabs, and has room.
//
// # Reading order
//
//   - session.go: [Session] and [Key], what a handler works with
//   - sign.go: the secret, the signature, the timestamp
//   - codec.go: values to JSON to base64url, and back
//   - options.go: the settings with their defaults, and what [New] refuses
//   - manager.go: the rules, [Manager.Load] and [Manager.Save]
//   - handler.go: [Manager.Handler], which calls those two around a handler
//   - store.go: [Store] and [Record], for sessions that are kept on the server
//   - example_test.go: all of it in use
package session

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

// Session is one visitor's session while one request is answered. Its values
// are read and changed through a [Key]. It is safe for use by several
// goroutines.
type Session struct {
	manager *Manager
	isNew   bool // the request brought no session

	mu        sync.Mutex
	state               // what is kept
	signedAt  time.Time // when it was last saved; zero when the browser has no cookie
	resign    bool      // the browser's cookie was signed with an old secret
	accessed  bool      // read or changed: the response depends on the cookie
	announced bool      // the response says so
	changes   []change  // since the last save
	stored    stored    // a server-side session's place in the store
}

// state is what a session keeps from one request to the next.
type state struct {
	values    map[string]value
	permanent bool
	owner     string    // server-side only
	created   time.Time // when the session began
}

// value is what a key holds: JSON as it came or as it was set, decoded only
// when it is read, or the reason why it cannot be saved. The JSON is replaced
// and never edited, so it can be handed out without a copy.
type value struct {
	json []byte
	err  error
}

// change is something that was done to a session, and can be done again to a
// newer state of it that another request has saved meanwhile.
type change struct {
	key   string
	apply func(*state)
}

// These stand for a key in the list of changes, so no value can have their names.
const (
	allKeys  = "(all keys)"
	ownerKey = "(owner)"
)

// Clear removes every value and makes the session no longer permanent. If it is
// still empty when the response begins, the browser is told to delete the cookie
// that brought it. What is set after Clear belongs to a session that begins now,
// on the server with a new ID and no owner. So log a visitor in by clearing first:
// nothing that was there before, planted or left behind, is carried into the login
// (session fixation, OWASP Session Management Cheat Sheet).
func (s *Session) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if len(s.values) == 0 && !s.permanent && s.owner == "" && s.signedAt.IsZero() {
		return // nothing was there
	}
	now := time.Now()
	s.stored.renew = true
	s.changes = nil
	s.do(allKeys, func(st *state) { *st = state{values: make(map[string]value), created: now} })
}

// SetPermanent says whether the session outlives the browser. The cookie of a
// permanent session carries [Options.Lifetime] as its Max-Age; any other is
// dropped when the browser closes (one that restores its tabs may keep it even
// so). This is Flask's session.permanent.
func (s *Session) SetPermanent(permanent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.permanent != permanent {
		s.do(permanentKey, func(st *state) { st.permanent = permanent })
	}
}

// Permanent reports whether the session outlives the browser.
func (s *Session) Permanent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.permanent
}

// IsNew reports whether the request brought no session: it had no cookie, or
// none that holds.
func (s *Session) IsNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.isNew
}

// Expires returns when the session ends if nobody uses it from now on: the
// earliest of its lifetime, idle timeout and absolute timeout.
func (s *Session) Expires() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.manager.expires(s, time.Now())
}

// Renew restarts [Options.AbsoluteTimeout]: the session begins now, and keeps
// its values. A server-side session gets a new ID with it, and the old one ends:
// do that whenever somebody's rights grow (session fixation, OWASP Session
// Management Cheat Sheet).
func (s *Session) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	now := time.Now()
	s.stored.renew = true
	s.do(createdKey, func(st *state) { st.created = now })
}

// SetOwner says whose server-side session it is, such as a user's ID, so that
// [Manager.Sessions] lists it. A client-side session has nobody to tell.
func (s *Session) SetOwner(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.manager.opts.Store != nil && s.owner != owner {
		s.do(ownerKey, func(st *state) { st.owner = owner })
	}
}

// ID returns the name under which the store keeps a server-side session. It is
// the hash of the session ID, opens nothing, and is safe to show. It is "" for a
// client-side session.
func (s *Session) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.manager.opts.Store == nil {
		return ""
	}
	return hashID(s.stored.sessionID())
}

// Key is a named slot of a session that holds a T, usually a constant:
//
//	const visits = session.Key[int]("visits")
//
// A value goes in as encoding/json writes it and comes out as encoding/json
// reads it. What Get returns is a copy: changing it changes nothing until Set,
// so no change to a nested value is lost, which in Flask takes
// session.modified = True. The names "_permanent" and "_created" are the
// package's own; setting one is [ErrValue] when the session is saved.
type Key[T any] string

// Get returns the value, or the zero value of T when [Key.Lookup] finds none.
func (k Key[T]) Get(s *Session) T {
	v, _ := k.Lookup(s)
	return v
}

// Lookup returns the value and whether there is one. A stored value that does
// not fit a T, such as an older release may have left, counts as absent. A JSON
// null, which is Python's None, fits every T, as its zero value.
func (k Key[T]) Lookup(s *Session) (T, bool) {
	return decodeValue[T](s.read(string(k)))
}

// Set stores the value. It is a change, and so a new cookie, even when an equal
// value was there. A value that JSON cannot hold, such as a channel or NaN, is
// [ErrValue] when the session is saved.
func (k Key[T]) Set(s *Session, v T) {
	s.write(string(k), encodeValue(v))
}

// Pop removes the value and returns it, or the zero value of T when
// [Key.Lookup] would find none.
func (k Key[T]) Pop(s *Session) T {
	v, _ := decodeValue[T](s.remove(string(k)))
	return v
}

// Delete removes the value. Deleting what is not there is no change.
func (k Key[T]) Delete(s *Session) {
	s.remove(string(k))
}

// Update replaces the value with what change makes of it, and returns that.
// Where [Key.Lookup] finds none, change is given the zero value of T. No update
// undoes another, be it of another goroutine or, for server-side sessions, of
// another request: change runs again, even after its result was returned, if the
// value moved on meanwhile. So it must be a pure function of its argument, and one
// that sets its own key may never come to an end.
func (k Key[T]) Update(s *Session, change func(T) T) T {
	apply := func(old []byte) (T, value) {
		v, _ := decodeValue[T](old)
		v = change(v)
		return v, encodeValue(v)
	}
	again := func(st *state) {
		_, st.values[string(k)] = apply(st.values[string(k)].json)
	}
	for {
		old := s.read(string(k))
		v, encoded := apply(old)
		if s.replace(string(k), old, encoded, again) {
			return v
		}
	}
}

// read returns the JSON stored under name, nil when there is none.
func (s *Session) read(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.values[name].json
}

// remove deletes what is stored under name, and returns its JSON.
func (s *Session) remove(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	old, ok := s.values[name]
	if ok {
		s.forget(name)
		s.do(name, func(st *state) { delete(st.values, name) })
	}
	return old.json
}

// write stores v under name.
func (s *Session) write(name string, v value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	s.forget(name)
	s.do(name, func(st *state) { st.values[name] = v })
}

// replace stores v under name if what is there is still old. How to make the
// change on another value, again knows.
func (s *Session) replace(name string, old []byte, v value, again func(*state)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.values[name].json, old) {
		return false
	}
	s.values[name] = v
	s.changes = append(s.changes, change{name, again})
	return true
}

// do makes a change and remembers it. The lock is held.
func (s *Session) do(key string, apply func(*state)) {
	apply(&s.state)
	s.changes = append(s.changes, change{key, apply})
}

// forget drops earlier changes of a key that is about to get another value. The
// lock is held.
func (s *Session) forget(key string) {
	s.changes = slices.DeleteFunc(s.changes, func(c change) bool { return c.key == key })
}

// announce remembers that the response says what it depends on.
func (s *Session) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced = true
}

// usedUnannounced reports whether the response depends on the session and does
// not say so.
func (s *Session) usedUnannounced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accessed && !s.announced
}

// takeChanges returns the keys that were changed since the last save, and
// forgets them.
func (s *Session) takeChanges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, c := range s.changes {
		if !slices.Contains(keys, c.key) {
			keys = append(keys, c.key)
		}
	}
	s.changes = nil
	return keys
}
