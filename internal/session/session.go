// Package session remembers a visitor between HTTP requests, in a signed cookie.
// It is Flask's session, written by hand on the standard library, to be read.
//
// The value of the cookie has three parts:
//
//	payload          . timestamp . signature
//	eyJ2aXNpdHMiOjN9 . ZVPxAA    . XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w
//	{"visits":3}       2023-11-14  HMAC-SHA-256 of everything
//	                   22:13:20    that stands before it
//
// The signature proves that someone who has the secret wrote the payload and the
// timestamp. No one else can make a cookie, or change one. But signing is not
// encryption: anyone who has the cookie can read it, as [Inspect] does. So never
// put a password or a card number into a session.
//
// # The path of a request
//
//	browser   Cookie: session=eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1…
//	   |
//	   v
//	Load      unsign: is the signature valid, and the timestamp recent?   sign.go
//	   |      decode: base64url to JSON to values                         codec.go
//	   v
//	handler   n := visits.Get(s); visits.Set(s, n+1)                      session.go
//	   |
//	   v
//	Save      encode: values to JSON                                      codec.go
//	   |      sign: base64url, timestamp, signature                       sign.go
//	   v
//	browser   Set-Cookie: session=eyJ2aXNpdHMiOjR9.ZVPxAQ.x0fH…; Path=/; HttpOnly; SameSite=Lax
//
// [Manager.Handler] calls [Manager.Load] before the handler runs, and
// [Manager.Save] before the first byte of the response. Most programs need only
// Handler and [From].
//
// # Reading order
//
// Lessons 01 to 07 need these files:
//
//   - session.go: [Session] and [Key], what a handler works with
//   - sign.go: the secret, the signature and the timestamp
//   - inspect.go, errors.go: a look into a cookie, and what can go wrong
//   - codec.go: values to JSON, and back
//   - client.go: a session that is in its cookie
//   - options.go: the settings with their defaults, and what [New] refuses
//   - manager.go: the rules, [Manager.Load] and [Manager.Save]
//   - handler.go, writer.go: [Manager.Handler], which calls those two around a
//     handler, and saves the session before the first byte of the response
//
// Leave these for lesson 08, where sessions are in a [Store]: store.go is what
// someone who writes a store reads, server.go is a session that is in a store,
// changes.go replays changes, ending.go ends a session, owners.go lists and ends
// those of a user, and queue.go lets one request at a time save a session.
//
// You can skip members.go, which splits a JSON object, and cache.go, which edits
// Cache-Control. The file example_test.go shows everything in use.
//
// # What a client-side session cannot do
//
// By default the browser has the session, and the server only checks it. So:
//
//   - A copy of a cookie is as good as the cookie. Logging out asks the browser to
//     forget it; a copy that was made before is valid until it expires (a replay
//     attack), and a response that is in flight can bring the session back.
//   - An older cookie is as valid as the newest. A visitor can roll back to
//     yesterday's cart, so the server cannot promise that anything happens once.
//   - If two tabs change the session at the same time, the response that arrives
//     last wins.
//   - The session must fit into the 4096 bytes that browsers keep.
//
// With [Options.Store] the values stay on the server, and the cookie carries a
// session ID. Such a session can be ended at once, cannot be rolled back, keeps the
// changes of both tabs (and of two Sets of one key the last), and can be large.
package session

import (
	"bytes"
	"sync"
	"time"
)

// Session is the session of one visitor, for the time of one request. A handler
// reads and changes its values with a [Key]. It is safe for use by several
// goroutines.
type Session struct {
	manager *Manager
	isNew   bool  // the request brought no valid session
	failure error // not nil in an error page: the session is never saved

	mu        sync.Mutex
	state               // what is saved; s.values is s.state.values
	savedAt   time.Time // when it was last saved; zero if it never was
	hasCookie bool      // the browser has a cookie of this name, valid or not
	oldSecret bool      // the cookie was signed with an old secret
	accessed  bool      // read or changed: the response depends on the session
	declared  bool      // the response's headers say so
	changed   []string  // what was changed since the last save, by name
	cleared   bool      // Clear was one of the changes
	begun     bool      // the response has begun: the session cannot be saved any more
	returned  bool      // the handler has returned
	place     *place    // where a Store has it (lesson 08); nil for a client-side session
}

// state is what a session keeps from one request to the next.
type state struct {
	values    map[string]value
	permanent bool
	created   time.Time // when the session began
}

// value is what a key has: JSON, which is decoded only when it is read, or the
// reason why the value cannot be saved. The bytes of the JSON never change, so
// several sessions may share them.
type value struct {
	json []byte
	err  error
}

// Clear removes every value, and the session is no longer permanent. If the
// session is still empty when the response begins, the response asks the browser to
// delete its cookie, even one that was refused. With a [Store] it does not if the session
// had ended already, because the browser may have the cookie of a newer session.
//
// What is set after Clear belongs to a new session, with its own absolute timeout.
// With a [Store] it also has a new ID and no owner, and it does not depend on what
// became of the old session. So call Clear first when a visitor logs in: then
// nothing that was in the session before, planted by an attacker or left by
// someone else, is part of the login (session fixation, OWASP Session Management
// Cheat Sheet).
func (s *Session) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	nothing := len(s.changed) == 0 && s.savedAt.IsZero() && !s.hasCookie
	if nothing {
		return
	}
	s.cleared = true
	if s.place != nil {
		s.place = s.place.cleared()
	}
	now := time.Now()
	s.do("all keys", func(st *state) { *st = state{values: make(map[string]value), created: now} })
}

// SetPermanent says whether the session outlives the browser. The cookie of a
// permanent session has [Options.Lifetime] as its Max-Age. The browser deletes any
// other cookie when it closes, unless it restores its tabs at the next start.
// This is Flask's session.permanent. Like [Key.Set] it is always a change.
func (s *Session) SetPermanent(permanent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	s.forget(permanentKey)
	s.do(permanentKey, func(st *state) { st.permanent = permanent })
}

// Permanent reports whether the session outlives the browser.
func (s *Session) Permanent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.permanent
}

// IsNew reports whether the session began with this request, because the request
// brought no cookie, or none that is valid.
func (s *Session) IsNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.isNew
}

// Expires returns when the session expires if no request uses it from now on: the
// earliest of its lifetime, idle timeout and absolute timeout. With a [Store], the
// browser may delete the cookie of a permanent session up to a tenth of its lifetime
// earlier.
func (s *Session) Expires() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.manager.expires(s, time.Now())
}

// Renew gives a server-side session a new ID, and ends the old one. Call it when
// the visitor's rights grow and the values must stay (session fixation, OWASP
// Session Management Cheat Sheet). The cookie of a client-side session is signed
// again.
//
// Renew leaves [Options.AbsoluteTimeout] where it is: OWASP counts it from when the
// session was created. A login calls [Session.Clear] instead.
func (s *Session) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.place != nil {
		s.place.renew = true
	}
	s.remember("session ID", nil)
}

// Key is a named, typed slot of a session, usually a constant:
//
//	const visits = session.Key[int]("visits")
//
// The string is the name of the value in the session's JSON. The type in brackets
// is the type of the value. The key has the methods, rather than the session,
// because a method of Session could not have a type parameter for the value.
//
// encoding/json encodes a value when it is set, and decodes it when it is read. So
// Get returns a copy, and changing the copy changes nothing until Set. (In Flask a
// change to a nested value is lost unless you set session.modified = True.) Methods
// such as MarshalJSON may have a pointer receiver, except those of the values of a
// map, which encoding/json cannot address.
//
// The names "_permanent" and "_created" are the package's own: after a Set of one
// of them the session cannot be saved ([ErrValue]).
type Key[T any] string

// Get returns the value, or the zero value of T if [Key.Lookup] finds none.
func (k Key[T]) Get(s *Session) T {
	v, _ := k.Lookup(s)
	return v
}

// Lookup returns the value, and whether there is one. A stored value that does not
// fit a T, which an older release may have set, counts as absent. JSON null, which
// is Python's None, fits every T and is its zero value.
func (k Key[T]) Lookup(s *Session) (T, bool) {
	return decodeValue[T](s.read(string(k)))
}

// Set stores the value. It is always a change, even if an equal value was there, so
// the session is saved, and a client-side session sends a new cookie. A value that JSON cannot hold, such as a channel or
// NaN, is [ErrValue] when the session is saved.
func (k Key[T]) Set(s *Session, v T) {
	// A pointer, because encoding/json calls methods with a pointer receiver, such as
	// MarshalJSON of big.Int, only for values that have an address.
	s.write(string(k), encodeValue(&v))
}

// Pop removes the value and returns it, or the zero value of T if [Key.Lookup]
// would find none.
func (k Key[T]) Pop(s *Session) T {
	v, _ := decodeValue[T](s.remove(string(k)))
	return v
}

// Delete removes the value. If there is none, Delete changes nothing.
func (k Key[T]) Delete(s *Session) {
	s.remove(string(k))
}

// Update replaces the value with the result of change, and returns the result.
// change gets the current value, or the zero value of T if [Key.Lookup] finds none.
//
// No update is lost: if another goroutine, or another request of the same
// server-side session, replaces the value first, Update calls change again with the
// newer value. That can happen after Update has returned. So change must be a pure
// function: its result depends on its argument alone, and it has no other effect.
// A change that sets its own key would run for ever.
func (k Key[T]) Update(s *Session, change func(T) T) T {
	apply := func(old []byte) (T, value) {
		v, _ := decodeValue[T](old)
		v = change(v)
		return v, encodeValue(&v)
	}
	replay := func(st *state) {
		_, st.values[string(k)] = apply(st.values[string(k)].json)
	}
	for {
		old := s.read(string(k))
		v, encoded := apply(old)
		if s.replace(string(k), old, encoded, replay) {
			return v
		}
	}
}

// read returns the JSON of a value, nil if there is none.
func (s *Session) read(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	return s.values[name].json
}

// remove deletes a value and returns its JSON.
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

// replace stores v under name if the value there is still old, and reports whether
// it did. replay makes the same change to another state.
func (s *Session) replace(name string, old []byte, v value, replay func(*state)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.values[name].json, old) {
		return false
	}
	s.values[name] = v
	s.remember(name, replay)
	return true
}

// begin notes that the response has begun: the session cannot be saved any more.
func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

// finish notes that the handler has returned. It returns what was changed since the last
// save, and whether the response depends on the session and its headers do not say so.
func (s *Session) finish() (changed []string, undeclared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returned = true
	return s.changed, s.accessed && !s.declared
}

// abandon notes that the session will not be saved, because another response than the
// handler's is sent. It returns what was changed since the last save.
func (s *Session) abandon() (changed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.changed
	s.begun, s.declared, s.changed = true, true, nil
	return changed
}
