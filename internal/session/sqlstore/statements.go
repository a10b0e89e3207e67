package sqlstore

// Dialect is the SQL that a database speaks.
type Dialect int

// The dialects.
const (
	SQLite   Dialect = iota // 3.24 of 2018 or later, for ON CONFLICT
	Postgres                // PostgreSQL 9.5 of 2016 or later, for ON CONFLICT and SKIP LOCKED
)

// The statements that both dialects share. Values are never part of a statement.
// Parameters are numbered in the order in which they first occur, because to SQLite
// $1 is a name, and some of its drivers bind by place.
const (
	load = `
SELECT id, owner, created, used, expires, version, ended, data
FROM sessions WHERE id = $1 AND expires > $2`

	// A list has no data, because values can be large. Tombstones come last, so that a
	// list that is cut short has sessions that can still be ended. owner <> '' is for the
	// index, which has only the rows that have an owner.
	list = `
SELECT id, owner, created, used, expires, version, ended
FROM sessions WHERE owner = $1 AND owner <> '' AND expires > $2 ORDER BY ended`

	// An expired record counts as none, so the new one replaces it. If there is a live
	// record, the statement changes no row.
	insert = `
INSERT INTO sessions (data, owner, created, used, expires, ended, id, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
ON CONFLICT (id) DO UPDATE SET
	data = excluded.data, owner = excluded.owner, created = excluded.created,
	used = excluded.used, expires = excluded.expires, ended = excluded.ended, version = 1
WHERE sessions.expires <= $8`

	update = `
UPDATE sessions
SET data = $1, owner = $2, created = $3, used = $4, expires = $5, ended = $6, version = version + 1
WHERE id = $7 AND expires > $8 AND version = $9`

	remove = `DELETE FROM sessions WHERE id = $1`
)

// statements are the statements that differ between the dialects.
type statements struct {
	table    []string // make the table if there is none
	lock     string   // lets one transaction at a time change columns and indexes
	hasEnded string   // counts the columns that are named ended
	indexes  []string // make the indexes if there are none
	sweep    string   // removes sweepStep expired records
}

var dialects = [...]statements{
	// The lock changes no row, because no record has the ID ''. But it makes a
	// transaction the only one that writes. In SQLite a transaction that reads first
	// and then writes fails when another one wrote in between, and no busy_timeout helps.
	//
	// The index of owners has every column that a list needs. Without it, SQLite reads
	// each value, however large, to get at the columns behind data. In PostgreSQL a
	// large value is stored outside the row.
	SQLite: {
		table: []string{`
CREATE TABLE IF NOT EXISTS sessions (
	id      text    NOT NULL PRIMARY KEY,
	data    blob    NOT NULL,
	owner   text    NOT NULL,
	created bigint  NOT NULL,
	used    bigint  NOT NULL,
	expires bigint  NOT NULL,
	version bigint  NOT NULL,
	ended   boolean NOT NULL DEFAULT false
)`},
		lock:     `DELETE FROM sessions WHERE id = ''`,
		hasEnded: `SELECT count(*) FROM pragma_table_info('sessions') WHERE name = 'ended'`,
		indexes: []string{indexExpires, `
CREATE INDEX IF NOT EXISTS sessions_list ON sessions (owner, ended, expires, id, created, used, version)
WHERE owner <> ''`,
			`DROP INDEX IF EXISTS sessions_owner`, // of an earlier release
		},
		sweep: `
DELETE FROM sessions WHERE expires <= $1 AND id IN (
	SELECT id FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT 100)`,
	},

	// CREATE ... IF NOT EXISTS fails when two sessions of PostgreSQL run it at the same
	// time, so they take turns: the number is "sessions" in ASCII. With COLLATE "C" an
	// index does not depend on the system's locales, which an upgrade may change.
	//
	// The sweep does not wait for a record that another transaction saves or removes
	// (SKIP LOCKED). ARRAY has the records chosen once, whatever the plan.
	Postgres: {
		table: []string{lockPostgres, `
CREATE TABLE IF NOT EXISTS sessions (
	id      text    COLLATE "C" NOT NULL PRIMARY KEY,
	data    bytea   NOT NULL,
	owner   text    COLLATE "C" NOT NULL,
	created bigint  NOT NULL,
	used    bigint  NOT NULL,
	expires bigint  NOT NULL,
	version bigint  NOT NULL,
	ended   boolean NOT NULL DEFAULT false
)`},
		lock: lockPostgres,
		hasEnded: `
SELECT count(*) FROM pg_attribute
WHERE attrelid = 'sessions'::regclass AND attname = 'ended' AND NOT attisdropped`,
		indexes: []string{
			indexExpires,
			`CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (owner) WHERE owner <> ''`,
		},
		sweep: `
DELETE FROM sessions WHERE expires <= $1 AND id = ANY (ARRAY(
	SELECT id FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT 100
	FOR UPDATE SKIP LOCKED))`,
	},
}

const (
	lockPostgres = `SELECT pg_advisory_xact_lock(8315179226536832627)`

	// addEnded runs only when the column is missing, because in PostgreSQL ALTER TABLE
	// waits for every transaction that uses the table, and every other one waits for it,
	// even if it changes nothing.
	addEnded = `ALTER TABLE sessions ADD COLUMN ended boolean NOT NULL DEFAULT false`

	indexExpires = `CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)`
)
