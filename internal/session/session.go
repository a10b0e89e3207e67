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
// # Reading order
//
//   - session.go: [Session] and [Key], what a handler works with
//   - sign.go: the secret, the signature, the timestamp
//   - codec.go: values to JSON to base64url, and back
//   - options.go: the settings with their defaults, and what [New] refuses
//   - manager.go: the rules, [Manager.Load] and [Manager.Save]
//   - handler.go: [Manager.Handler], which calls those two around a handler
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
	values    map[string]value
	permanent bool
	created   time.Time // when the session began
	signedAt  time.Time // when the browser's cookie was signed; zero when it has none
	resign    bool      // the browser's cookie was signed with an old secret
	accessed  bool      // read or changed: the response depends on the cookie
	announced bool      // the response says so
	changed   []string  // what was changed since the last save, by key
}

// value is what a key holds: JSON as it came or as it was set, decoded only
// when it is read, or the reason why it cannot be saved. The JSON is replaced
// and never edited, so it can be handed out without a copy.
type value struct {
	json []byte
	err  error
}

// allKeys stands in the list of changes for every key.
const allKeys = "(all keys)"

// Clear removes every value and makes the session no longer permanent. If it is
// still empty when the response begins, the browser is told to delete the cookie
// that brought it. What is set after Clear belongs to a session that begins now, so log a
// visitor in by clearing first: nothing that was there before, planted or left
// behind, is carried into the login (session fixation, OWASP Session Management
// Cheat Sheet).
func (s *Session) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if len(s.values) == 0 && !s.permanent && s.signedAt.IsZero() {
		return // nothing was there
	}
	clear(s.values)
	s.permanent = false
	s.created = time.Now()
	s.noteChange(allKeys)
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
		s.permanent = permanent
		s.noteChange(permanentKey)
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
// its values.
func (s *Session) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	s.created = time.Now()
	s.noteChange(createdKey)
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
	encoded := encodeValue(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(string(k), encoded)
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
// Where [Key.Lookup] finds none, change is given the zero value of T. When
// several goroutines update one key, none undoes another: change runs again if
// the value moved on meanwhile, so it must be a pure function of its argument,
// and one that sets its own key may never come to an end.
func (k Key[T]) Update(s *Session, change func(T) T) T {
	for {
		old := s.read(string(k))
		v, _ := decodeValue[T](old)
		v = change(v)
		if s.replace(string(k), old, encodeValue(v)) {
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
	old, stored := s.values[name]
	if stored {
		delete(s.values, name)
		s.noteChange(name)
	}
	return old.json
}

// replace writes, if what is stored under name is still old.
func (s *Session) replace(name string, old []byte, v value) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.values[name].json, old) {
		return false
	}
	s.write(name, v)
	return true
}

// write stores v under name. The lock is held.
func (s *Session) write(name string, v value) {
	s.accessed = true
	s.values[name] = v
	s.noteChange(name)
}

// noteChange remembers that the session is to be saved, and because of what.
// The lock is held.
func (s *Session) noteChange(name string) {
	if !slices.Contains(s.changed, name) {
		s.changed = append(s.changed, name)
	}
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

// takeChanges returns what was changed since the last save, and forgets it.
func (s *Session) takeChanges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.changed
	s.changed = nil
	return changed
}
