package sqlstore

// Dialect is the SQL that a database speaks.
type Dialect int

// The dialects.
const (
	SQLite   Dialect = iota // 3.24 of 2018 or later, for ON CONFLICT
	Postgres                // PostgreSQL 9.5 of 2016 or later, for ON CONFLICT and SKIP LOCKED
)

// The statements that both dialects share. Values are never part of a statement.
// Parameters are numbered as they first occur, since to SQLite $1 is a name, and
// some of its drivers go by the place.
const (
	load = `
SELECT id, data, owner, created, used, expires, version
FROM sessions WHERE id = $1 AND expires > $2`

	// owner <> '' is for the index, which has the rows of owners only.
	list = `
SELECT id, data, owner, created, used, expires, version
FROM sessions WHERE owner = $1 AND owner <> '' AND expires > $2`

	// An expired record is no record: it makes way for the new one. One that lives
	// stays, and no row is changed.
	insert = `
INSERT INTO sessions (data, owner, created, used, expires, id, version)
VALUES ($1, $2, $3, $4, $5, $6, 1)
ON CONFLICT (id) DO UPDATE SET
	data = excluded.data, owner = excluded.owner, created = excluded.created,
	used = excluded.used, expires = excluded.expires, version = 1
WHERE sessions.expires <= $7`

	update = `
UPDATE sessions
SET data = $1, owner = $2, created = $3, used = $4, expires = $5, version = version + 1
WHERE id = $6 AND expires > $7 AND version = $8`

	remove = `DELETE FROM sessions WHERE id = $1`
)

// statements are what the dialects have of their own.
type statements struct {
	create []string // the table, if it is not there, in one transaction
	sweep  string   // removes sweepStep expired records
}

var dialects = [...]statements{
	SQLite: {
		create: []string{`
CREATE TABLE IF NOT EXISTS sessions (
	id      text   NOT NULL PRIMARY KEY,
	data    blob   NOT NULL,
	owner   text   NOT NULL,
	created bigint NOT NULL,
	used    bigint NOT NULL,
	expires bigint NOT NULL,
	version bigint NOT NULL
)`, indexExpires, indexOwner},
		sweep: `
DELETE FROM sessions WHERE expires <= $1 AND id IN (
	SELECT id FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT 100)`,
	},

	// IF NOT EXISTS fails when two sessions of PostgreSQL run it at once, so they
	// take turns: the number is "sessions" in ASCII. With COLLATE "C" an index does
	// not depend on the system's locales, which an upgrade may change.
	//
	// A record that is being saved is not waited for (SKIP LOCKED), nor is one that
	// another sweeper removes. ARRAY has the records chosen once, whatever the plan.
	Postgres: {
		create: []string{`SELECT pg_advisory_xact_lock(8315179226536832627)`, `
CREATE TABLE IF NOT EXISTS sessions (
	id      text   COLLATE "C" NOT NULL PRIMARY KEY,
	data    bytea  NOT NULL,
	owner   text   COLLATE "C" NOT NULL,
	created bigint NOT NULL,
	used    bigint NOT NULL,
	expires bigint NOT NULL,
	version bigint NOT NULL
)`, indexExpires, indexOwner},
		sweep: `
DELETE FROM sessions WHERE expires <= $1 AND id = ANY (ARRAY(
	SELECT id FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT 100
	FOR UPDATE SKIP LOCKED))`,
	},
}

const (
	indexExpires = `CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)`
	indexOwner   = `CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (owner) WHERE owner <> ''`
)
