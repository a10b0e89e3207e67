package session

import (
	"context"
	"time"
)

// Store keeps server-side sessions: the values stay on the server, and the cookie
// carries a signed session ID. The id that a Store gets is the hash of that ID, so
// someone who steals the database cannot open a session with it (OWASP Session
// Management Cheat Sheet).
//
// A Store is safe for use by several goroutines, copies the records that it gets
// and returns, and gives up when the context ends. Package storetest tests all of
// this.
type Store interface {
	// Load returns the record, or [ErrNotFound] if there is none or it has expired. If
	// the record cannot be read, Load returns [ErrCorrupt].
	Load(ctx context.Context, id string) (Record, error)

	// Save stores rec under id, and its version becomes rec.Version + 1. It does so
	// only if rec.Version is the version that is stored (compare-and-swap), and
	// otherwise returns [ErrConflict].
	//
	// With rec.Version 0, there must be no record yet. With any other version there
	// must be one, or Save returns [ErrNotFound]: so a slow request cannot bring back
	// a session that has ended. An expired record counts as none. If the record is one
	// that the store can never hold, such as one with a very long owner, Save returns
	// [ErrValue].
	Save(ctx context.Context, id string, rec Record) error

	// Delete removes the record. If there is none, it returns nil. It must work when
	// the store is full, because a session that cannot be ended stays open.
	Delete(ctx context.Context, id string) error

	// List returns the records of an owner that have not expired, in any order,
	// tombstones included, each without its Data: values can be large, and a list
	// needs none of them. If ctx ends first, List returns the records that it has read
	// so far together with the error, so that [Manager.Revoke] can end those and ask
	// again.
	List(ctx context.Context, owner string) ([]Record, error)
}

// Record is one session in a [Store], or the tombstone of one: for a minute a
// tombstone marks a session that ended, so that a request that is in flight with its
// ID is not taken for a new visitor's.
type Record struct {
	ID      string    // the hash of the session ID, in hex; safe to show
	Data    []byte    // the values, as JSON; in a tombstone a note that only the manager reads
	Owner   string    // whose session it is, in UTF-8; "" if no one's
	Created time.Time // when the session began
	Used    time.Time // when it was last saved
	Expires time.Time // its deadline if it is not used again
	Version int64     // counts the saves, from 1
	Ended   bool      // it is a tombstone
}
