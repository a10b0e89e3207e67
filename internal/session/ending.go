package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// How a server-side session ends. A request that is in flight may save the session or
// move it to another ID at the same time, so ending it is more than deleting a record.

const (
	// tombstoneLife is how long a tombstone marks an ended session. Requests that are
	// in flight when it ends have arrived by then.
	tombstoneLife = time.Minute

	// login is a prefix in the Data of a tombstone. It means that the ID after it is
	// that of a different session, which began with Clear. A logout does not follow it.
	// End and Revoke do.
	login = "login "
)

// bury swaps the record rec for a tombstone, if it still has this version. successor
// is the record to which the session has moved, with login before it if it is that
// of another session, and "" if there is none.
func (b *serverSide) bury(ctx context.Context, rec Record, successor string, now time.Time) error {
	err := storeError(b.opts.Store.Save(ctx, rec.ID, Record{
		ID: rec.ID, Data: []byte(successor), Owner: rec.Owner, Version: rec.Version,
		Created: now, Used: now, Expires: now.Add(tombstoneLife), Ended: true,
	}))
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
		return err
	}
	// A store that is full has no room for a tombstone. Then the session ends without
	// one, and a request that is in flight finds nothing. But the error may be another
	// one: then the record that is there now may not be rec.
	found, loadErr := b.load(ctx, rec.ID)
	switch {
	case loadErr != nil:
		return loadErr
	case found.Ended && string(found.Data) == successor: // saved all the same
		return nil
	case found.Version != rec.Version:
		return ErrConflict
	}
	return storeError(b.opts.Store.Delete(ctx, rec.ID))
}

// pursuit ends sessions that may move to another ID at the same time: a logout must win
// over a Renew, and a thief who renews a stolen session in a loop must not escape.
type pursuit struct {
	*serverSide
	successor string          // for the tombstones: see bury
	forOwner  bool            // for End and Revoke: follow a login, and stop at another owner
	seen      map[string]bool // tombstones that were followed already; may be nil
}

// end ends the session in rec, or under the ID to which it has moved, and leaves a
// tombstone. It returns the ID of the record that was live, or [ErrNotFound] if none
// was. A rec of version 0 is loaded first.
//
// Following costs one Load for each move, and a move costs the thief a Load and two
// saves. So end catches up, or its time runs out.
func (p *pursuit) end(ctx context.Context, rec Record, now time.Time) (id string, err error) {
	for {
		if rec.Version > 0 && !rec.Ended {
			buried := p.bury(ctx, rec, p.successor, now)
			if !errors.Is(buried, ErrConflict) {
				return rec.ID, buried
			}
		} // else, and after a conflict, look at what is there now
		if rec, err = p.next(ctx, rec); err != nil {
			return "", err
		}
	}
}

// next loads what became of a record that is not the newest: its newer version, or
// from a tombstone the record to which the session has moved. It returns
// [ErrNotFound] if there is none, if someone else owns it now, or if the tombstone was
// seen before.
func (p *pursuit) next(ctx context.Context, rec Record) (Record, error) {
	id := rec.ID
	if rec.Ended {
		if p.seen[id] {
			return Record{}, ErrNotFound
		}
		if p.seen != nil {
			p.seen[id] = true
		}
		id = string(rec.Data)
	}
	if p.forOwner {
		id = strings.TrimPrefix(id, login)
	}
	if !isRecordID(id) {
		return Record{}, ErrNotFound
	}
	if err := ctx.Err(); err != nil {
		return Record{}, storeError(err)
	}
	newer, err := p.load(ctx, id)
	switch {
	case errors.Is(err, ErrCorrupt): // it opens no session
		return Record{}, ErrNotFound
	case err != nil:
		return Record{}, err
	case p.forOwner && rec.Owner != newer.Owner:
		return Record{}, ErrNotFound
	}
	return newer, nil
}

// isRecordID reports whether id can be the result of hashID.
func isRecordID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == sha256.Size
}
