// Package sqlstore keeps sessions in a table of an SQL database, SQLite or
// PostgreSQL, through database/sql. The program brings the driver:
//
//	id       text    the hash of the session ID, in hex
//	data     bytes   the values, as JSON; of a tombstone, what the manager stores there
//	owner    text    whose session it is; '' for a stranger's
//	created  bigint  when it began, in microseconds since 1970 (Unix time)
//	used     bigint  when it was last saved
//	expires  bigint  its deadline; the sweeper's index is on it
//	version  bigint  counts the saves, from 1
//	ended    boolean the record is a tombstone
//
// The table is named sessions. [Store.CreateTable] makes it, and adds the column
// ended to the table of an earlier release, so call it each time the program starts.
// Processes of the earlier release still work with the new table.
//
// The ids are hashes, and no one can get a session ID back from its hash. So a stolen
// copy of the table opens no session, but anyone who has it can read what visitors
// stored. SQLite makes its files with the permissions that the umask leaves: give them
// a directory of mode 0700. In PostgreSQL grant SELECT, INSERT, UPDATE and DELETE on
// the table to the program's role and nothing to others. Such a role cannot call
// CreateTable. A role that owns the schema can.
//
// One table is for one application, because the owners of two would be mixed up. Any
// number of its processes may share it: for SQLite on one machine, in a file on a
// local disk and not on a network file system, and for PostgreSQL on any number of
// machines. A save is one statement that compares the version and swaps, so leave
// PostgreSQL at READ COMMITTED, its default. Times come from the program's clock and
// not from the database's. So set the clocks of all machines to the same time, because a
// clock that is ahead ends sessions early.
//
// A save survives what the database's commits survive. An error leaves one doubt: if the
// connection breaks after a statement was sent, the record may be the old one or the new
// one. A call ends with its context if the driver supports that.
//
// What to set on the [sql.DB]:
//
//   - SQLite: SetMaxOpenConns(1). There is one writer at a time in any case, and
//     with one connection the goroutines of a process queue for it. With more, under
//     load, some never get their turn (SQLITE_BUSY). Let the connection wait for other
//     processes, longer than [session.Options.StoreTimeout] (PRAGMA busy_timeout), and
//     write ahead, so that readers do not wait for a writer (PRAGMA journal_mode=wal).
//     Leave PRAGMA synchronous at full, or a power cut may undo the last saves, logouts
//     among them. Set PRAGMA max_page_count some megabytes below what the disk has: in a
//     database that is full by that number sessions can still be ended, but on a disk
//     that is full SQLite can write nothing, not even a DELETE.
//   - PostgreSQL: SetMaxOpenConns, so that all processes together stay below the
//     server's max_connections, and SetMaxIdleConns to the same number, or the program
//     dials most connections again and again under load. SetConnMaxLifetime lets
//     connections move to another server behind one name: set it to a minute or so when
//     a failover moves the name, because a server that was cut off still opens sessions
//     that ended elsewhere. A DELETE needs room for PostgreSQL's log, so watch the disk.
//
// To back up, use the database's own command (VACUUM INTO or sqlite3's .backup, pg_dump),
// because a copy of the files of a running database may be torn. A restored backup brings
// back sessions that have ended since. DELETE FROM sessions ends all. Watch the number of
// rows, and the oldest expires. If it is more than some minutes old, the sweeper fails or
// cannot keep up.
//
// Read this file first, then statements.go (all SQL) and sweep.go (removes what has
// expired).
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/sessions/internal/session"
)

// maxText is the maximum number of bytes in an owner. In PostgreSQL the maximum of an
// entry of an index is a third of a page, 2704 bytes.
const maxText = 2000

// Store is a [session.Store] in a table.
type Store struct {
	db         *sql.DB
	statements statements
	ctx        context.Context // ends when the store is closed
	cancel     context.CancelFunc
	swept      chan struct{} // closed when the sweeper has stopped
}

// New returns a store in db, which speaks dialect d. New does not use db yet, and
// panics if d is no dialect. Close the store to stop the goroutine that removes
// what has expired, and then close db.
func New(db *sql.DB, d Dialect) *Store {
	s := &Store{db: db, statements: dialects[d], swept: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.sweeper()
	return s
}

// Close stops the sweeper and waits for it. Close leaves the database open, and calls
// of the store still work. Close returns nil, and may be called again.
func (s *Store) Close() error {
	s.cancel()
	<-s.swept
	return nil
}

// CreateTable makes the table and its indexes, or brings the table of an earlier
// release up to date. It changes nothing that is up to date, so a program may call it
// each time it starts, on several machines at the same time. If CreateTable returns an
// error, which is the database's, it may be called again.
//
// Adding a column waits until all running transactions that use the table have
// ended, so do not start a new release while a backup runs.
func (s *Store) CreateTable(ctx context.Context) error {
	err := s.transact(ctx, func(tx *sql.Tx) error { return execAll(ctx, tx, s.statements.table...) })
	if err != nil {
		return failure(err)
	}
	return failure(s.transact(ctx, func(tx *sql.Tx) error { return s.upgrade(ctx, tx) }))
}

// upgrade adds the column and the indexes that a table lacks. It takes the lock before it
// looks, because two processes that look first could both add the column.
func (s *Store) upgrade(ctx context.Context, tx *sql.Tx) error {
	if err := execAll(ctx, tx, s.statements.lock); err != nil {
		return err
	}
	var columns int
	if err := tx.QueryRowContext(ctx, s.statements.hasEnded).Scan(&columns); err != nil {
		return err
	}
	if columns == 0 {
		if err := execAll(ctx, tx, addEnded); err != nil {
			return err
		}
	}
	return execAll(ctx, tx, s.statements.indexes...)
}

// transact runs do in a transaction: all of it, or nothing.
func (s *Store) transact(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// execAll runs the statements one after the other, up to the first error.
func execAll(ctx context.Context, tx *sql.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Load implements [session.Store].
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	if !isText(id) {
		return session.Record{}, session.ErrNotFound
	}
	records, err := s.query(ctx, load, id, now())
	switch {
	case err != nil:
		return session.Record{}, err
	case len(records) == 0:
		return session.Record{}, session.ErrNotFound
	}
	return records[0], nil
}

// Save implements [session.Store]. An owner must be valid UTF-8 without NUL, of at
// most 2000 bytes, and so must id. Anything else is [session.ErrValue].
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if !isText(id) || !isText(rec.Owner) {
		return fmt.Errorf("%w: sqlstore: an owner must be UTF-8 without NUL, of at most %d bytes", session.ErrValue, maxText)
	}
	data := append([]byte{}, rec.Data...) // nil would be NULL
	statement, args := insert, []any{data, rec.Owner,
		rec.Created.UnixMicro(), rec.Used.UnixMicro(), rec.Expires.UnixMicro(), rec.Ended, id, now()}
	if rec.Version != 0 {
		statement, args = update, append(args, rec.Version)
	}
	rows, err := s.exec(ctx, statement, args...)
	switch {
	case err != nil || rows > 0:
		return err
	case rec.Version == 0:
		return session.ErrConflict
	}
	_, err = s.Load(ctx, id) // was it another version, or none?
	return cmp.Or(err, session.ErrConflict)
}

// Delete implements [session.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	if !isText(id) {
		return ctx.Err() // no such record exists
	}
	_, err := s.exec(ctx, remove, id)
	return err
}

// List implements [session.Store]. It leaves out a record that it cannot read,
// because such a record opens no session.
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	if !isText(owner) {
		return nil, ctx.Err() // no such records exist
	}
	records, err := s.query(ctx, list, owner, now())
	if errors.Is(err, session.ErrCorrupt) {
		err = nil
	}
	return records, err
}

// query returns the records that load or list finds. If it leaves out one that
// cannot be read, the error is [session.ErrCorrupt]. When ctx ends first, query
// returns the records that it has read so far together with the error.
func (s *Store) query(ctx context.Context, statement string, args ...any) ([]session.Record, error) {
	rows, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, failure(err)
	}
	defer rows.Close()
	var records []session.Record
	var corrupt error
	for rows.Next() {
		rec, err := scan(rows, statement == load)
		if err == nil {
			records = append(records, rec)
		}
		corrupt = cmp.Or(corrupt, err)
	}
	switch err := rows.Err(); { // if not nil, it may be why a row could not be read
	case err == nil:
		return records, corrupt
	case ctx.Err() != nil:
		return records, failure(ctx.Err()) // because the driver may have an error of its own for it
	default:
		return nil, failure(err)
	}
}

// scan returns the record of a row. Its error leaves out the driver's reason, because
// that may quote what a visitor stored.
func scan(rows *sql.Rows, withData bool) (session.Record, error) {
	var rec session.Record
	var data sql.Null[[]byte] // it tells NULL from no bytes
	var created, used, expires int64
	columns := []any{&rec.ID, &rec.Owner, &created, &used, &expires, &rec.Version, &rec.Ended}
	if withData {
		columns = append(columns, &data)
	}
	if err := rows.Scan(columns...); err != nil || data.Valid != withData || rec.Version < 1 {
		return session.Record{}, fmt.Errorf("%w: a column is NULL or of another type", session.ErrCorrupt)
	}
	rec.Data = data.V
	rec.Created, rec.Used, rec.Expires = time.UnixMicro(created), time.UnixMicro(used), time.UnixMicro(expires)
	return rec, nil
}

// exec runs a statement, and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, failure(err)
	}
	n, err := result.RowsAffected()
	return n, failure(err)
}

// isText reports whether both databases can store and index text. Nothing is stored
// under any other text, so the store does not look it up.
func isText(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// now returns the time as a row has it.
func now() int64 {
	return time.Now().UnixMicro()
}

// failure returns err with the store's prefix, or nil.
func failure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("session: sqlstore: %w", err)
}
