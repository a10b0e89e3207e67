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
	if s.place == nil {
		return
	}
	s.place.owner, s.place.owned = owner, true
	s.remember("owner", nil)
}

// ID returns the name under which the store has a server-side session. It is the
// hash of the session ID, so it is safe to show: no one can open the session with
// it. For a client-side session ID returns "".
func (s *Session) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessed = true
	if s.place == nil {
		return ""
	}
	return hashID(s.place.sessionID())
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
// returned. If the session moved to another ID less than a minute ago, End follows it.
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
	return (&pursuit{serverSide: b, forOwner: true}).endAndDelete(ctx, Record{ID: id, Owner: owner})
}

// Revoke ends all sessions of an owner, everywhere and at once, except those whose
// IDs are in keep: for example after a change of password. When it returns nil, no
// cookie that was sent before opens any of them. The error is [ErrStore], and then
// some may be left. A session in keep that moves to another ID before Revoke returns
// is not kept, because a thief may have moved it.
//
// Revoke takes as many passes as it needs for a long list. The list of the first pass
// may take [Options.StoreTimeout], that of the second twice as long, and so on.
func (m *Manager) Revoke(ctx context.Context, owner string, keep ...string) error {
	b, err := m.serverSide()
	if err != nil || owner == "" {
		return err
	}
	// 1. Delete what is listed. 2, 3, …: end what is listed, and follow the tombstones
	// that no earlier pass has met. Done after a second list that is complete, or when
	// nothing is found. A list that fails is asked for again while it yields something.
	metBefore := make(map[string]bool) // tombstones
	progress := false
	for pass := 1; ; pass++ {
		live, tombstones, listErr := b.list(ctx, owner, time.Duration(pass)*m.opts.StoreTimeout)
		targets := slices.DeleteFunc(live, func(rec Record) bool { return slices.Contains(keep, rec.ID) })
		tombstones = unseen(tombstones, metBefore)
		nothing := len(targets) == 0 && len(tombstones) == 0
		switch {
		case listErr == nil && nothing:
			return nil
		case listErr != nil && nothing && !progress:
			return storeError(listErr)
		}
		progress = !nothing
		if err := b.revoke(ctx, pass, targets, tombstones); err != nil {
			return err
		}
		if listErr == nil && pass > 1 {
			return nil
		}
	}
}

// revoke ends the sessions that one pass of [Manager.Revoke] has found.
//
// The first pass deletes, which is fast. A session that moved while the list was read
// escapes it (see list), so a later pass follows each session and each tombstone.
func (b *serverSide) revoke(ctx context.Context, pass int, live, tombstones []Record) error {
	p := &pursuit{serverSide: b, forOwner: true, seen: make(map[string]bool)}
	end := p.endAndDelete
	if pass == 1 {
		tombstones = nil
		end = func(ctx context.Context, rec Record) error { return b.delete(ctx, rec.ID) }
	}
	for _, rec := range slices.Concat(live, tombstones) {
		if err := end(ctx, rec); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if ctx.Err() != nil {
			return storeError(ctx.Err())
		}
	}
	return nil
}

// serverSide returns the backend with the store, or [ErrStore] if there is none.
func (m *Manager) serverSide() (*serverSide, error) {
	b, ok := m.backend.(*serverSide)
	if !ok {
		return nil, fmt.Errorf("%w: there is none; set option Store", ErrStore)
	}
	return b, nil
}

// list returns the live records of an owner, and of each tombstone only ID and owner:
// without its Data, its successor is unknown, so end loads it (version 0). Both are sorted
// newest first, because the newest tombstone is the fewest moves away from the live
// record. If the time runs out, list returns what the store has read so far, with the
// error.
//
// A store may first look up which records there are, and read them after that. A
// session that moves to a new ID in between is missing from the list, but the
// tombstone of its old ID is there, and leads to it. A tombstone that was in an earlier
// list can be ignored: its successor was there before the later list began.
func (b *serverSide) list(ctx context.Context, owner string, limit time.Duration) (live, tombstones []Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	records, err := b.opts.Store.List(ctx, owner)
	slices.SortFunc(records, func(a, b Record) int { return b.Created.Compare(a.Created) })
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

// unseen returns the records that are not in seen, and adds them to it. It changes the
// slice that it gets.
func unseen(records []Record, seen map[string]bool) []Record {
	return slices.DeleteFunc(records, func(rec Record) bool {
		known := seen[rec.ID]
		seen[rec.ID] = true
		return known
	})
}

// live returns the live records of an owner.
func (b *serverSide) live(ctx context.Context, owner string) ([]Record, error) {
	live, tombstones, err := b.list(ctx, owner, b.opts.StoreTimeout)
	if err != nil || len(tombstones) == 0 {
		return live, err
	}
	seen := make(map[string]bool)
	unseen(tombstones, seen) // remember them
	live, tombstones, err = b.list(ctx, owner, b.opts.StoreTimeout)
	if err != nil {
		return nil, err
	}
	p := &pursuit{serverSide: b, forOwner: true, seen: make(map[string]bool)}
	for _, rec := range unseen(tombstones, seen) { // the session moved between the lists
		moved, err := p.newest(ctx, rec)
		switch {
		case err == nil:
			moved.Data = nil
			live = append(live, moved)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return unseen(live, make(map[string]bool)), nil // each only once
}

// newest loads the live record of a session that was under rec.ID, and may have moved
// since. It returns [ErrNotFound] if there is none.
func (p *pursuit) newest(ctx context.Context, rec Record) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.StoreTimeout)
	defer cancel()
	for {
		var err error
		if rec, err = p.next(ctx, rec); err != nil || !rec.Ended {
			return rec, err
		}
	}
}

// endAndDelete ends the session in rec, or under the ID to which it has moved, and
// removes its record.
func (p *pursuit) endAndDelete(ctx context.Context, rec Record) error {
	ctx, cancel := context.WithTimeout(ctx, p.opts.StoreTimeout)
	defer cancel()
	id, err := p.end(ctx, rec, time.Now())
	if err != nil {
		return err
	}
	p.opts.Store.Delete(ctx, id) // if that fails, the tombstone expires
	return nil
}
