package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Store keeps server-side sessions: the values stay on the server, and the
// cookie carries a signed session ID. A store is asked for the hash of that ID,
// so whoever steals the database can open no session with it (OWASP Session
// Management Cheat Sheet). It is safe for use by several goroutines, copies what
// goes in and out, and gives up when the context ends.
//
// Package storetest holds a store to this.
type Store interface {
	// Load returns the record, or [ErrNotFound] when there is none, or one that
	// has expired. A record that cannot be read is [ErrCorrupt].
	Load(ctx context.Context, id string) (Record, error)

	// Save stores rec under id, with the version after rec.Version, if that is
	// the version that is stored: it compares and swaps. rec.Version 0 says that
	// there must be no record yet. Another version is [ErrConflict]; none, for a
	// rec.Version above 0, is [ErrNotFound], so that a slow request never brings a
	// session back that has ended meanwhile. An expired record is no record. One
	// that the store has no room for, such as a very long owner, is [ErrValue].
	Save(ctx context.Context, id string, rec Record) error

	// Delete removes the record. If there is none, it returns nil. It must work
	// when the store is full, because a session that cannot be ended stays open.
	Delete(ctx context.Context, id string) error

	// List returns the records of an owner that have not expired, in any order,
	// tombstones included and each without its Data: values can be large, and a
	// list needs none of them. When ctx ends first, List returns the records it has
	// read so far together with the error, so that [Manager.Revoke] can end those
	// and ask again.
	List(ctx context.Context, owner string) ([]Record, error)
}

// Record is what a [Store] keeps of a session.
type Record struct {
	ID      string    // the hash of the session ID, in hex; safe to show
	Data    []byte    // the values, as JSON; a tombstone's is the manager's own
	Owner   string    // whose session it is, in UTF-8; "" for a stranger's
	Created time.Time // when the session began
	Used    time.Time // when it was last saved
	Expires time.Time // when it ends if it is not used again
	Version int64     // counts the saves, from 1
	Ended   bool      // a tombstone: the session ended under this ID a moment ago
}

// What a [Store] returns, and what became of a session that is kept in one.
var (
	// ErrNotFound is returned when the store has no such record, or an expired one.
	ErrNotFound = errors.New("session: not found")
	// ErrConflict is returned when the stored record is not the version that was
	// to be replaced.
	ErrConflict = errors.New("session: saved by another request meanwhile")
	// ErrCorrupt is returned when the store has the record and cannot read it.
	ErrCorrupt = errors.New("session: corrupt record")
	// ErrStore is returned when the store failed or took longer than
	// [Options.StoreTimeout], or there is none.
	ErrStore = errors.New("session: store failed")
	// ErrEnded is returned when the session got a new ID or was emptied a moment
	// ago, and the request came with what it was before.
	ErrEnded = errors.New("session: ended")
)

// afterlife is how long a record stands for a session that ended under its ID,
// so that requests that were on their way are told from strangers'.
const afterlife = time.Minute

// stored is a server-side session's place in its store.
type stored struct {
	id      string // the session ID, a secret of the browser's; "" until it is needed
	version int64  // of the record that was loaded or saved, 0 when there is none
	renew   bool   // it is to get a new ID, as after Renew or Clear
	ended   bool   // it ended before this request came to it: nothing is saved
}

// sessionID returns the ID, of which a new session has none before it is saved.
func (p *stored) sessionID() string {
	if p.id == "" {
		p.id = rand.Text()
	}
	return p.id
}

// hashID returns the name of a record: hex, so that it is a safe file name, and
// SHA-256 without a salt, as a session ID is random and cannot be guessed.
func hashID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// openRecord returns the session whose ID a cookie carries. The ID was signed
// here, so it is one that was issued here; its form is checked even so, before a
// store sees anything of it.
func (m *Manager) openRecord(ctx context.Context, signed signed, now time.Time) (*Session, error) {
	id, err := decode64(signed.payload)
	if err != nil || !isSessionID(id) {
		return nil, fmt.Errorf("%w: no session ID", ErrMalformed)
	}
	ctx, cancel := context.WithTimeout(ctx, m.opts.StoreTimeout)
	defer cancel()
	rec, err := m.opts.Store.Load(ctx, hashID(string(id)))
	if err != nil {
		return nil, storeError(err)
	}
	kept, err := decodeRecord(rec)
	if err != nil {
		return nil, err
	}
	s := &Session{
		manager: m, state: kept, signedAt: rec.Used, resign: signed.old,
		stored: stored{id: string(id), version: rec.Version},
	}
	return s, m.checkTimes(s, now)
}

// isSessionID reports whether id could be of [rand.Text], whose length may grow.
func isSessionID(id []byte) bool {
	for _, c := range id {
		if !('A' <= c && c <= 'Z' || '2' <= c && c <= '7') {
			return false
		}
	}
	return 26 <= len(id) && len(id) <= 64
}

// storeError tells what a store says of one record from a failure of the store.
func storeError(err error) error {
	for _, known := range []error{nil, ErrNotFound, ErrConflict, ErrCorrupt, ErrValue} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

// decodeRecord returns what a record keeps, or [ErrEnded] if it is a tombstone.
func decodeRecord(rec Record) (state, error) {
	if rec.Ended {
		return state{}, ErrEnded
	}
	values, err := decodeObject(rec.Data)
	if err != nil {
		return state{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return state{permanent: takePermanent(values), values: values, owner: rec.Owner, created: rec.Created}, nil
}

// keepRecord brings the store up to date with s and returns the session ID, or
// [ErrEnded]. A client that hangs up does not stop it half-way. Within this
// process the saves of one session queue, as all but one would be a conflict.
func (m *Manager) keepRecord(ctx context.Context, s *Session, now time.Time) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.opts.StoreTimeout)
	defer cancel()
	if s.stored.version > 0 {
		leave, err := m.queue.enter(ctx, hashID(s.stored.id))
		if err != nil {
			return nil, storeError(err)
		}
		defer leave()
	}
	err := m.put(ctx, s, now)
	if errors.Is(err, ErrNotFound) {
		err = ErrEnded
	}
	return []byte(s.stored.id), err
}

// put stores s. When another request has saved the session meanwhile, it makes
// this request's changes again, on what that one saved.
func (m *Manager) put(ctx context.Context, s *Session, now time.Time) error {
	for {
		err := m.tryPut(ctx, s, now)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return storeError(ctx.Err())
		}
		rec, err := m.opts.Store.Load(ctx, hashID(s.stored.id))
		if err != nil {
			return storeError(err)
		}
		if err := s.rebase(rec); err != nil {
			return err
		}
	}
}

// rebase makes the changes of s again on a newer record. The lock is held.
func (s *Session) rebase(rec Record) error {
	newer, err := decodeRecord(rec)
	if err != nil {
		return err
	}
	for _, c := range s.replay(&newer) {
		c.apply(&newer)
	}
	s.state = newer
	s.signedAt, s.stored.version = rec.Used, rec.Version
	return nil
}

// replay makes the changes of s again on st, and returns those that were made
// meanwhile: the lock is let go, as the function of an [Key.Update] may use the
// session. A panic, too, finds the lock held and the changes there.
func (s *Session) replay(st *state) (meanwhile []change) {
	changes := s.changes
	s.changes = nil
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		meanwhile = s.changes
		s.changes = append(changes, meanwhile...)
	}()
	for _, c := range changes {
		c.apply(st)
	}
	return nil
}

// tryPut stores s unless another request was faster, which is ErrConflict, or
// the session has ended, which is ErrNotFound or ErrEnded.
func (m *Manager) tryPut(ctx context.Context, s *Session, now time.Time) error {
	switch {
	case s.stored.ended:
		return ErrEnded
	case s.stored.version == 0 && len(s.values) == 0:
		return nil // there is nothing, and there was nothing
	case len(s.values) == 0:
		return m.putEmptied(ctx, s, now)
	case s.stored.version > 0 && s.stored.renew:
		return m.putRenewed(ctx, s, now)
	}
	return m.putRecord(ctx, s, now)
}

// putRecord stores s under its ID.
func (m *Manager) putRecord(ctx context.Context, s *Session, now time.Time) error {
	data, err := m.encode(s)
	if err != nil {
		return err
	}
	if !utf8.ValidString(s.owner) {
		return fmt.Errorf("%w: the owner is not UTF-8", ErrValue)
	}
	id := hashID(s.stored.sessionID())
	err = m.opts.Store.Save(ctx, id, Record{
		ID: id, Data: data, Owner: s.owner, Created: s.created,
		Used: now, Expires: m.end(now, s.created), Version: s.stored.version,
	})
	if err != nil {
		return storeError(err)
	}
	s.stored.version++
	s.stored.renew = false // a new session has its ID for itself
	return nil
}

// putEmptied ends a session that has no value left, unless another request gave it
// one meanwhile.
func (m *Manager) putEmptied(ctx context.Context, s *Session, now time.Time) error {
	if err := m.bury(ctx, hashID(s.stored.id), "", s.stored.version, now); err != nil {
		return err
	}
	m.opts.Store.Delete(ctx, hashID(s.stored.id)) // if that fails, it expires
	s.stored = stored{}
	return nil
}

// putRenewed stores s under a new ID and buries the old one. In that order: if the
// second fails, the visitor still has the session that was.
func (m *Manager) putRenewed(ctx context.Context, s *Session, now time.Time) error {
	old := s.stored
	s.stored = stored{}
	err := m.putRecord(ctx, s, now)
	renewed := s.stored
	s.stored = old
	if err != nil {
		return err
	}
	if err := m.bury(ctx, hashID(old.id), s.owner, old.version, now); err != nil {
		if e := m.delete(context.WithoutCancel(ctx), hashID(renewed.id)); e != nil {
			return e
		}
		return err
	}
	s.stored = renewed
	return nil
}

// bury swaps a record of this version for one without data, which tells requests
// that are on their way from strangers'. If another session takes its place it has
// that one's owner: see list.
func (m *Manager) bury(ctx context.Context, id, owner string, version int64, now time.Time) error {
	return storeError(m.opts.Store.Save(ctx, id, Record{
		ID: id, Owner: owner, Created: now, Used: now, Expires: now.Add(afterlife), Version: version, Ended: true,
	}))
}

// Sessions returns the live sessions of an owner, whom [Session.SetOwner] named,
// in the order in which they began. Nobody, "", has none. The error is
// [ErrStore].
func (m *Manager) Sessions(ctx context.Context, owner string) ([]Record, error) {
	if m.opts.Store == nil {
		return nil, fmt.Errorf("%w: there is none", ErrStore)
	}
	if owner == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.opts.StoreTimeout)
	defer cancel()
	records, err := m.list(ctx, owner)
	if err != nil {
		return nil, storeError(err)
	}
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return records, nil
}

// list returns the owner's records but for those that were buried. A store may
// find out first which records there are, and read them after that. A session that
// gets another ID in between would be overlooked, but the old record, which is read,
// has been buried then: so whoever comes to a new grave looks again.
func (m *Manager) list(ctx context.Context, owner string) ([]Record, error) {
	graves := make(map[string]bool)
	for {
		records, err := m.opts.Store.List(ctx, owner)
		before := len(graves)
		records = slices.DeleteFunc(records, func(rec Record) bool {
			if rec.Ended {
				graves[rec.ID] = true
			}
			return graves[rec.ID]
		})
		if err != nil || len(graves) == before {
			return records, err
		}
	}
}

// End ends one session of an owner, everywhere and at once; id is what
// [Session.ID] returns. The error is [ErrNotFound] when the owner has no such
// session, so that nobody ends somebody else's, or [ErrStore].
func (m *Manager) End(ctx context.Context, owner, id string) error {
	for {
		records, err := m.Sessions(ctx, owner)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(records, func(rec Record) bool { return rec.ID == id })
		if i < 0 {
			return ErrNotFound
		}
		// Deleting would not tell whether it had just moved to another ID.
		err = m.buryNow(ctx, records[i])
		switch {
		case err == nil:
			return m.delete(ctx, id)
		case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound):
			return err
		}
	}
}

func (m *Manager) buryNow(ctx context.Context, rec Record) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.StoreTimeout)
	defer cancel()
	return m.bury(ctx, rec.ID, "", rec.Version, time.Now())
}

// Revoke ends all sessions of an owner, everywhere and at once, as after a change
// of password. The error is [ErrStore], and then some may be left.
func (m *Manager) Revoke(ctx context.Context, owner string) error {
	for {
		records, err := m.Sessions(ctx, owner)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, rec := range records {
			if err := m.delete(ctx, rec.ID); err != nil {
				return err
			}
		}
	}
}

func (m *Manager) delete(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.StoreTimeout)
	defer cancel()
	return storeError(m.opts.Store.Delete(ctx, id))
}

// queue lets one save of a session run at a time, first come first served.
type queue struct {
	mu   sync.Mutex
	last map[string]chan struct{} // by record: closed when the last in line leaves
}

// enter waits for its turn, which ends when leave is called. When the context
// ends first, it gives the turn up.
func (q *queue) enter(ctx context.Context, id string) (leave func(), err error) {
	turn := make(chan struct{})
	q.mu.Lock()
	before := q.last[id]
	q.last[id] = turn
	q.mu.Unlock()

	done := func() {
		q.mu.Lock()
		if q.last[id] == turn {
			delete(q.last, id)
		}
		q.mu.Unlock()
		close(turn)
	}
	if before == nil {
		return done, nil
	}
	select {
	case <-before:
		return done, nil
	case <-ctx.Done():
		go func() { <-before; done() }()
		return nil, ctx.Err()
	}
}
