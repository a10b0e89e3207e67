package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// place is where a store has a server-side session, and what was done to it since.
type place struct {
	id       string   // the session ID, a secret of the browser's; "" until it is needed
	version  int64    // of the record that was loaded or saved, 0 if there is none
	owner    string   // whose session it is
	owned    bool     // SetOwner was called since the last save
	renew    bool     // Renew was called since the last save
	ended    bool     // the cookie's session has ended, so that nothing is saved
	journal  []change // made since the last save
	previous Record   // the session that Clear ends; its ID is "" if there is none
	cookie   cookie   // that the browser has
}

// cookie describes the cookie that the browser has. needsCookie compares it with the
// session.
type cookie struct {
	id        string
	permanent bool
	at        time.Time // when it was signed
}

// sessionID returns the session ID. A new session gets one when it is first needed.
func (p *place) sessionID() string {
	if p.id == "" {
		p.id = rand.Text()
	}
	return p.id
}

// cleared returns the place of the session that begins with Clear. It is not ended,
// even if the session before it was.
func (p *place) cleared() *place {
	if p.version == 0 {
		return &place{previous: p.previous}
	}
	return &place{previous: Record{ID: hashID(p.id), Owner: p.owner, Version: p.version}}
}

// saved notes that the store has the session under this ID.
func (p *place) saved(id string, version int64) {
	*p = place{id: id, version: version, owner: p.owner, cookie: p.cookie}
}

// hashID returns the name of a record. It is in hex, so that it is a safe file name.
// SHA-256 needs no salt here, because a session ID is random and cannot be guessed.
func hashID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// serverSide is the backend of server-side sessions: the payload of the cookie is a
// session ID, and the store has the session under the hash of that ID.
type serverSide struct {
	opts  *Options
	queue queue // of the requests that save
}

func (b *serverSide) open(ctx context.Context, value signed, now time.Time) (*Session, error) {
	id, err := decode64(value.encoded)
	if err != nil || !isSessionID(id) { // signed, but not by this package
		return nil, fmt.Errorf("%w: no session ID", ErrMalformed)
	}
	// From now: several cookies of one request share the time.
	ctx, cancel := context.WithDeadline(ctx, now.Add(b.opts.StoreTimeout))
	defer cancel()
	rec, err := b.load(ctx, hashID(string(id)))
	switch {
	case err != nil:
		return nil, err
	case rec.Ended:
		return &Session{place: &place{ended: true, previous: rec}}, ErrEnded
	}
	st, err := decodeRecord(rec)
	if err != nil {
		return nil, err
	}
	// The store has checked rec.Expires; an option may be shorter now.
	if err := checkAge(rec.Used, now, b.opts.timeLimit()); err != nil {
		return nil, err
	}
	if err := b.opts.checkAbsolute(rec.Created, now); err != nil {
		return nil, err
	}
	p := &place{id: string(id), version: rec.Version, owner: rec.Owner}
	p.cookie = cookie{p.id, st.permanent, value.at}
	return &Session{state: st, savedAt: rec.Used, place: p}, nil
}

// isSessionID reports whether id can be the result of [rand.Text], whose length may
// grow.
func isSessionID(id []byte) bool {
	for _, c := range id {
		letter, digit := 'A' <= c && c <= 'Z', '2' <= c && c <= '7'
		if !letter && !digit {
			return false
		}
	}
	return 26 <= len(id) && len(id) <= 64
}

// decodeRecord returns the session in a record, or [ErrEnded] if it is a tombstone.
func decodeRecord(rec Record) (state, error) {
	if rec.Ended {
		return state{}, ErrEnded
	}
	values, err := decodeObject(rec.Data)
	if err != nil {
		return state{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return state{permanent: takePermanent(values), values: values, created: rec.Created}, nil
}

// keep saves s in the store. It returns the session ID, or nil if the browser's cookie
// is as good as a new one, or [ErrEnded] if the session ended first. A client that
// hangs up does not interrupt it.
func (b *serverSide) keep(ctx context.Context, s *Session, now time.Time) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.opts.StoreTimeout)
	defer cancel()
	if s.place.version > 0 {
		leave, err := b.queue.enter(ctx, hashID(s.place.id))
		if err != nil {
			return nil, storeError(err)
		}
		defer leave()
	}
	var err error
	for {
		p := s.place
		switch {
		case p.ended:
			err = ErrEnded
		case p.version == 0: // a new session, or what follows a Clear
			err = b.create(ctx, s, now)
		case len(s.values) == 0:
			err = b.remove(ctx, s, now)
		case p.renew:
			err = b.move(ctx, s, now)
		default:
			if err = b.save(ctx, s, p.id, p.version, now); err == nil {
				p.saved(p.id, p.version+1)
			}
		}
		if !errors.Is(err, ErrConflict) {
			break
		}
		if err = b.catchUp(ctx, s); err != nil { // another request saved first
			break
		}
	}
	if errors.Is(err, ErrNotFound) { // the record was deleted, or has expired
		err = ErrEnded
	}
	if err != nil || !b.needsCookie(s, now) {
		return nil, err
	}
	s.place.cookie = cookie{s.place.id, s.permanent, now}
	return []byte(s.place.id), nil
}

// needsCookie reports whether the browser needs a new cookie for s. It gets one only
// when it needs one, because a slow response could replace a newer ID with an old one.
func (b *serverSide) needsCookie(s *Session, now time.Time) bool {
	has := s.place.cookie
	same := has.id == s.place.id && has.permanent == s.permanent && !s.oldSecret
	aged := s.permanent && now.Sub(has.at) >= b.opts.Lifetime/refreshPart // its Max-Age counts from has.at
	return !same || aged
}

// catchUp loads the newer record and replays the changes of s on it.
func (b *serverSide) catchUp(ctx context.Context, s *Session) error {
	p := s.place
	rec, err := b.load(ctx, hashID(p.id))
	if err != nil {
		return err
	}
	newer, err := decodeRecord(rec)
	if err != nil {
		return err
	}
	s.replay(newer)
	p.version, s.savedAt = rec.Version, rec.Used
	if !p.owned {
		p.owner = rec.Owner
	}
	if ctx.Err() != nil { // or a store that ignores ctx could keep us here
		return storeError(ctx.Err())
	}
	return nil
}

// save stores s under a session ID, in place of the record of this version. It returns
// [ErrConflict] if another request saved first, and [ErrNotFound] if the session ended.
func (b *serverSide) save(ctx context.Context, s *Session, id string, version int64, now time.Time) error {
	data, err := s.encode(false) // the record says when it began
	if err != nil {
		return err
	}
	owner := s.place.owner
	if !utf8.ValidString(owner) {
		return fmt.Errorf("%w: the owner is not UTF-8", ErrValue)
	}
	name := hashID(id)
	return storeError(b.opts.Store.Save(ctx, name, Record{
		ID: name, Data: data, Owner: owner, Created: s.created,
		Used: now, Expires: b.opts.deadline(now, s.created), Version: version,
	}))
}

// create saves a session that has no record yet, and ends the one that Clear left. In
// this order: if the first step fails, the visitor still has the old session.
func (b *serverSide) create(ctx context.Context, s *Session, now time.Time) error {
	p := s.place
	if len(s.values) == 0 {
		return b.logOut(ctx, p, now)
	}
	id := p.sessionID()
	if err := b.save(ctx, s, id, 0, now); err != nil {
		p.id = "" // the store may have the record all the same: try again with another ID
		return err
	}
	// The tombstone of the old session names the new one, so that Revoke finds it.
	_, err := (&pursuit{serverSide: b, successor: login + hashID(id)}).end(ctx, p.previous, now)
	if err != nil && !errors.Is(err, ErrNotFound) {
		p.id = ""
		b.delete(ctx, hashID(id)) // if that fails, no cookie opens it, and it expires
		return err
	}
	p.saved(id, 1)
	return nil
}

// logOut ends the session that Clear left, when no other one follows. It returns
// [ErrEnded] or [ErrNotFound] if that session had ended already, or had moved to
// another ID: then the browser may have the cookie of a newer session, which must
// stay.
func (b *serverSide) logOut(ctx context.Context, p *place, now time.Time) error {
	if p.previous.ID == "" {
		return nil // there was nothing, and there is nothing
	}
	ended, err := (&pursuit{serverSide: b}).end(ctx, p.previous, now)
	if err != nil {
		return err
	}
	b.opts.Store.Delete(ctx, ended) // if that fails, the tombstone expires
	if ended != p.previous.ID {
		return ErrEnded
	}
	*p = place{}
	return nil
}

// remove ends a session that has no values left.
func (b *serverSide) remove(ctx context.Context, s *Session, now time.Time) error {
	p := s.place
	name := hashID(p.id)
	if err := b.bury(ctx, Record{ID: name, Version: p.version}, "", now); err != nil {
		return err
	}
	b.opts.Store.Delete(ctx, name) // if that fails, the tombstone expires
	*p = place{}
	return nil
}

// move saves s under a new ID, and then ends the old one. In this order: if the
// second step fails, the visitor still has the old session.
func (b *serverSide) move(ctx context.Context, s *Session, now time.Time) error {
	p, id := s.place, rand.Text()
	if err := b.save(ctx, s, id, 0, now); err != nil {
		return err
	}
	old := Record{ID: hashID(p.id), Owner: p.owner, Version: p.version}
	if err := b.bury(ctx, old, hashID(id), now); err != nil {
		if failed := b.delete(ctx, hashID(id)); failed != nil {
			return failed
		}
		return err
	}
	p.saved(id, 1)
	return nil
}

// load is [Store.Load] with the errors of this package.
func (b *serverSide) load(ctx context.Context, id string) (Record, error) {
	rec, err := b.opts.Store.Load(ctx, id)
	return rec, storeError(err)
}

// delete removes a record, even after the time for the request has run out.
func (b *serverSide) delete(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.opts.StoreTimeout)
	defer cancel()
	return storeError(b.opts.Store.Delete(ctx, id))
}

// storeError returns what a store says about one record as it is, and any other
// error as [ErrStore].
func storeError(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{ErrNotFound, ErrConflict, ErrCorrupt, ErrValue, ErrStore} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}
