package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// SetOwner says whose server-side session it is, for example a user's ID, so that
// [Manager.Sessions] lists it. Like [Key.Set] it is always a change. It does nothing
// to a client-side session, which no one can list.
func (s *Session) SetOwner(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.record == nil {
		return
	}
	s.record.owner, s.record.owned = owner, true
	s.remember("owner", nil)
}

// ID returns the name under which the store has a server-side session. It is the
// hash of the session ID, so it is safe to show: no one can open the session with
// it. For a client-side session ID returns "".
func (s *Session) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.record == nil {
		return ""
	}
	return hashID(s.record.sessionID())
}

// Sessions returns the live sessions of an owner, whom [Session.SetOwner] named, in
// the order in which they began. The records have no Data. The owner "" has none.
// The error is [ErrStore].
func (m *Manager) Sessions(ctx context.Context, owner string) ([]Record, error) {
	b, err := m.serverSide()
	if err != nil || owner == "" {
		return nil, err
	}
	live, err := b.live(ctx, owner)
	if err != nil {
		return nil, storeError(err)
	}
	slices.SortFunc(live, func(a, b Record) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return live, nil
}

// End ends one session of an owner, everywhere and at once. id is what [Session.ID]
// returned; if the session has moved to another ID since, End ends it all the same.
// If the owner has no such session, End returns [ErrNotFound], so that no one can
// end the session of someone else. Any other error is [ErrStore].
func (m *Manager) End(ctx context.Context, owner, id string) error {
	b, err := m.serverSide()
	if err != nil {
		return err
	}
	if owner == "" || !isRecordID(id) {
		return ErrNotFound
	}
	return b.endRecord(ctx, Record{ID: id, Owner: owner})
}

// Revoke ends all sessions of an owner, everywhere and at once, except those whose
// IDs are in keep: for example after a change of password. When it returns nil, no
// cookie that was sent before opens any of them. The error is [ErrStore], and then
// some may be left. A session in keep that moves to another ID before Revoke returns
// is not kept, because a thief may have moved it.
//
// Revoke takes as many passes as it needs for a long list, each within
// [Options.StoreTimeout], until ctx ends.
func (m *Manager) Revoke(ctx context.Context, owner string, keep ...string) error {
	b, err := m.serverSide()
	if err != nil || owner == "" {
		return err
	}
	seen := make(map[string]bool) // tombstones
	for pass := 1; ; pass++ {
		live, tombstones, listErr := b.list(ctx, owner)
		tombstones = unseen(tombstones, seen)
		targets := slices.DeleteFunc(live, func(rec Record) bool { return slices.Contains(keep, rec.ID) })
		if pass > 1 { // the sessions that moved while the list was read: see list
			targets = append(targets, tombstones...)
		}
		if listErr != nil && len(targets) == 0 {
			return storeError(listErr)
		}
		for _, rec := range targets {
			if err := b.endRecord(ctx, rec); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		if listErr == nil && (pass > 1 || len(tombstones) == 0) {
			return nil
		}
	}
}

// serverSide returns the backend with the store, or [ErrStore] if there is none.
func (m *Manager) serverSide() (*serverSide, error) {
	b, ok := m.backend.(*serverSide)
	if !ok {
		return nil, fmt.Errorf("%w: there is none; set option Store", ErrStore)
	}
	return b, nil
}

// list returns the records of an owner: the live ones, and of the tombstones only ID
// and owner. If the time runs out, it returns what the store has read so far, with
// the error.
//
// A store may first look up which records there are, and read them after that. A
// session that moves to a new ID in between is missing from the list, but the
// tombstone of its old ID is there, and leads to it. A second list tells which
// tombstones matter: one that is in the first list, too, leads to a record that was
// there before the second one began.
func (b *serverSide) list(ctx context.Context, owner string) (live, tombstones []Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.StoreTimeout)
	defer cancel()
	records, err := b.opts.Store.List(ctx, owner)
	for _, rec := range records {
		rec.Data = nil
		if rec.Ended {
			tombstones = append(tombstones, Record{ID: rec.ID, Owner: rec.Owner})
		} else {
			live = append(live, rec)
		}
	}
	return live, tombstones, err
}

// unseen returns the records that are not in seen, and adds them to it.
func unseen(records []Record, seen map[string]bool) []Record {
	return slices.DeleteFunc(records, func(rec Record) bool {
		known := seen[rec.ID]
		seen[rec.ID] = true
		return known
	})
}

// live returns the live records of an owner.
func (b *serverSide) live(ctx context.Context, owner string) ([]Record, error) {
	live, tombstones, err := b.list(ctx, owner)
	if err != nil || len(tombstones) == 0 {
		return live, err
	}
	seen := make(map[string]bool)
	unseen(tombstones, seen)
	live, tombstones, err = b.list(ctx, owner)
	if err != nil {
		return nil, err
	}
	for _, rec := range unseen(tombstones, seen) { // the session moved between the lists
		moved, err := b.newest(ctx, rec)
		switch {
		case err == nil:
			moved.Data = nil
			live = append(live, moved)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return unseen(live, make(map[string]bool)), nil
}

// newest loads the live record of a session that was under rec.ID, and may have moved
// since. It returns [ErrNotFound] if there is none.
func (b *serverSide) newest(ctx context.Context, rec Record) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.StoreTimeout)
	defer cancel()
	for range maxMoves {
		var err error
		if rec, err = b.next(ctx, rec, true); err != nil {
			return Record{}, err
		}
		if !rec.Ended {
			return rec, nil
		}
	}
	return Record{}, ErrNotFound
}

// endRecord ends the session in rec, or the one to which it has moved, and removes
// its record.
func (b *serverSide) endRecord(ctx context.Context, rec Record) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.StoreTimeout)
	defer cancel()
	id, err := b.end(ctx, rec, "", true, time.Now())
	if err != nil {
		return err
	}
	b.opts.Store.Delete(ctx, id) // if that fails, the tombstone expires
	return nil
}
