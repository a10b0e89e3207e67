package session

import "errors"

// The reasons why a session cannot be loaded or saved, for [errors.Is]. The errors
// that wrap them say more. None of them contains a secret, a value or a cookie.
//
// [Manager.Load] returns these for a cookie that it refuses:
var (
	// ErrSignature is returned when no secret produces the cookie's signature: the
	// cookie was changed, or signed with another secret, salt or hash.
	ErrSignature = errors.New("session: signature does not match")
	// ErrExpired is returned when the signature is valid, but the session is past its
	// deadline, or was signed in the future.
	ErrExpired = errors.New("session: expired")
	// ErrMalformed is returned when the cookie is not payload.timestamp.signature in
	// its only valid spelling, or when what was signed is not a session.
	ErrMalformed = errors.New("session: malformed cookie")
	// ErrDuplicate is returned when a request brings two different valid cookies, so
	// that no one can say whose session it is, or more than four cookies.
	ErrDuplicate = errors.New("session: more than one cookie")
)

// [Manager.Save] returns these, and ErrTooLarge also comes from Load:
var (
	// ErrTooLarge is returned when name and value of the cookie exceed the 4096 bytes
	// that browsers keep (RFC 6265bis, section 5.6).
	ErrTooLarge = errors.New("session: cookie is too large")
	// ErrValue is returned when a value cannot be saved: JSON cannot hold it, it is
	// nested too deeply to be read back, its key is one of the package's own, or the
	// store has no room for it.
	ErrValue = errors.New("session: value cannot be saved")
)

// [SecretFromEnv] returns this:
var (
	// ErrNoSecret is returned when the environment variable is not set, or empty.
	ErrNoSecret = errors.New("session: no secret")
)

// A [Store] returns these. ErrNotFound also comes from Load and End, and ErrCorrupt from
// Load:
var (
	// ErrNotFound is returned when the store has no such record, or an expired one.
	ErrNotFound = errors.New("session: not found")
	// ErrConflict is returned when the stored record has another version than the one
	// that was to be replaced.
	ErrConflict = errors.New("session: saved by another request first")
	// ErrCorrupt is returned when the store has the record but cannot read it.
	ErrCorrupt = errors.New("session: corrupt record")
)

// A [Manager] with a store returns these:
var (
	// ErrStore is returned when the store failed or took longer than
	// [Options.StoreTimeout], or when there is no store.
	ErrStore = errors.New("session: store failed")
	// ErrEnded is returned when the session ended or got a new ID a moment ago, and
	// the request came with the old ID.
	ErrEnded = errors.New("session: ended")
)

// errBegun is what Save returns once the response has begun.
var errBegun = errors.New("session: not saved, because the response has begun; save before the first byte")
