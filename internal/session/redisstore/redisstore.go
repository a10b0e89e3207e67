// Package redisstore keeps sessions in Redis, or in a server that speaks the same
// protocol, such as Valkey: for a site that runs on several machines. It speaks the
// protocol itself, over a few connections.
//
//	PREFIX:record:4f0c…   a hash: data, owner, created, used, expires, version, ended
//	PREFIX:owner:ada      a sorted set: the owner's records, by when they expire
//
// The name of a record is the hash of its session ID, so no one can open a session
// with what is in Redis. But anyone who can connect to Redis can read what visitors
// stored, and change it: give Redis a password and a network of its own, or TLS.
//
// One command loads a session, and one script saves it. The script compares
// versions, writes the record, sets its deadline and brings the owner's index up to
// date. Redis runs nothing else at the same time. So any number of processes on any
// number of machines may use one Redis. Every key expires, and Redis removes what has
// expired, so this store has no sweeper. The clock of Redis measures how long a record
// lives, from when it was saved.
//
// The settings of Redis decide what survives a restart. By default it takes a snapshot
// now and then: once an hour for a site with few visitors. A crash takes the sessions
// since the last snapshot, and brings back those that have ended since. With
//
//	appendonly yes
//	maxmemory-policy noeviction
//
// it loses a second at most (nothing, with appendfsync always). When its memory is
// full, it refuses a save, which is an error page, and removes no session. A session
// can be ended when Redis is full.
//
// A replica that takes over may lack the last saves, logouts among them. A master
// that was cut off from its replicas does not know that one of them took over, and
// still saves records, which the new master never sees. With
//
//	min-replicas-to-write 1
//	min-replicas-max-lag 10
//
// such a master refuses saves after ten seconds, so a visitor sees an error page and
// not a logout that will be lost. It still serves loads. So let a failover move the
// name in the URL to the new master. A connection is used for a maximum of one minute,
// and the next one looks up the address again.
//
// While Redis is down or slow, every call fails when its context ends. The calls work
// again when Redis does. The store is for one Redis, because it does not follow a
// cluster's redirections.
//
// Read this file first, then list.go, pool.go (connections) and resp.go (the protocol).
package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"example.com/sessions/internal/session"
)

// maxRecord is the maximum number of bytes in a record's values and owner. It is less
// than a reply's maximum, so that a record that was saved can be loaded.
const maxRecord = 16 << 20

// Store is a [session.Store] in Redis.
type Store struct {
	pool    pool
	records string // what the names of records begin with
	owners  string // what the names of the owners' indexes begin with
}

// New returns a store in the Redis of a URL:
//
//	redis://[user:password@]host[:6379][/0][?prefix=session]
//	rediss://…  the same over TLS, with a certificate that this system trusts
//
// The number is the database's. The names of all keys begin with the prefix. Sites that
// share a database must have different prefixes, because otherwise one would list the
// sessions of the other's users. New does not connect, so a site can start before its
// Redis does. The error does not repeat the URL, because it may have a password.
func New(rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("session: redisstore: the URL cannot be parsed") // err has all of it
	}
	s := &Store{}
	switch {
	case u.Scheme == "rediss":
		s.pool.tls = &tls.Config{ServerName: u.Hostname()}
	case u.Scheme != "redis":
		return nil, errors.New("session: redisstore: the URL must begin with redis:// or rediss://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("session: redisstore: the URL must name a host")
	}
	s.pool.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379"))
	if s.pool.greeting, err = greeting(u); err != nil {
		return nil, err
	}
	prefix, err := prefix(u)
	if err != nil {
		return nil, err
	}
	s.records, s.owners = prefix+":record:", prefix+":owner:"
	s.pool.turns = make(chan struct{}, maxConns)
	return s, nil
}

// greeting returns the commands that a new connection sends first. They log in and select
// the database.
func greeting(u *url.URL) ([]command, error) {
	var commands []command
	password, given := u.User.Password()
	switch user := u.User.Username(); {
	case given && user != "":
		commands = append(commands, command{"AUTH", user, password})
	case given:
		commands = append(commands, command{"AUTH", password})
	case user != "":
		return nil, errors.New("session: redisstore: the URL has a user and no password; a password alone is redis://:password@host")
	}
	if u.Path == "" || u.Path == "/" || u.Path == "/0" {
		return commands, nil
	}
	number := u.Path[1:]
	if _, err := strconv.ParseUint(number, 10, 31); err != nil {
		return nil, errors.New("session: redisstore: the URL's path must be the number of a database")
	}
	return append(commands, command{"SELECT", number}), nil
}

// safePrefix matches a prefix without a colon, so that no prefix is another one and a
// colon.
var safePrefix = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// prefix returns the prefix in the URL's query, which is its only setting.
func prefix(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("session: redisstore: the URL's query cannot be parsed")
	}
	name := "session"
	for key, values := range query {
		if key != "prefix" || len(values) != 1 {
			return "", errors.New("session: redisstore: the URL's query must have nothing but one prefix")
		}
		name = values[0]
	}
	if !safePrefix.MatchString(name) || u.Fragment != "" {
		return "", errors.New("session: redisstore: a prefix must have 1 to 64 letters, digits and _.- and must end the URL")
	}
	return name, nil
}

// Close closes the connections that are not in use. Each other connection closes when
// its call ends. Later calls fail with [net.ErrClosed]. Close returns nil, and may be
// called again.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// fields are the fields of a record, in the order in which the store asks for them. A
// record of an earlier release has no ended. A list asks for all but the data.
var fields = [...]string{"owner", "created", "used", "expires", "version", "ended", "data"}

// inList is the number of fields that a list asks for.
const inList = len(fields) - 1

// Load implements [session.Store].
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	replies, err := s.ask(ctx, s.get(id, len(fields)))
	if err != nil {
		return session.Record{}, err
	}
	return toRecord(id, replies[0], len(fields))
}

// get returns the command that asks for the first n fields of a record.
func (s *Store) get(id string, n int) command {
	return append(command{"HMGET", s.records + id}, fields[:n]...)
}

// Save implements [session.Store]. Save does not try again when the connection
// breaks, because Redis may have saved the record already, and the second try would
// be a conflict with the first.
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if n := len(rec.Data) + len(rec.Owner); n > maxRecord {
		return fmt.Errorf("%w: redisstore: a record has %d bytes, and must have at most %d", session.ErrValue, n, maxRecord)
	}
	now := time.Now()
	replies, err := s.pool.do(ctx, command{
		"EVAL", save, "2", s.records + id, s.owners + rec.Owner,
		strconv.FormatInt(rec.Version, 10), id,
		milliseconds(now.UnixNano()), milliseconds(rec.Expires.UnixNano()), milliseconds(int64(rec.Expires.Sub(now))),
		string(rec.Data), rec.Owner, nanoseconds(rec.Created), nanoseconds(rec.Used), nanoseconds(rec.Expires),
		strconv.FormatInt(rec.Version+1, 10), flag(rec.Ended), nanoseconds(now),
	})
	if err != nil {
		return err
	}
	switch replies[0] {
	case "saved":
		return nil
	case "conflict":
		return session.ErrConflict
	case "none":
		return session.ErrNotFound
	}
	return unexpected(replies[0])
}

// save stores a record under its name, KEYS[1], if the version that is stored is
// ARGV[1]. KEYS[2] is the index of its owner. Entries that have expired leave the
// index, which lives as long as the last of its records. Versions and times stay
// text, because a number in Lua has 53 bits.
//
// Redis removes a key a moment after its time, so the script also looks at when the
// record expires: an expired record is none, as it is to Load.
//
// The script touches no other key, because some servers refuse a key that was not
// declared. So the index of the owner before keeps an entry until the entry expires.
// List compares the owner, so such an entry does no harm.
//
// When Redis is full, it refuses a script that would write, unless the script has
// written already. So the script removes a session that ends before it writes the
// tombstone. It writes the index before the record, so that no record is missing from
// the index when Redis refuses one of the two.
const save = `
local version, id, now, expires, ttl = unpack(ARGV, 1, 5)
local data, owner, created, used, expires_ns, next_version, ended, now_ns = unpack(ARGV, 6, 13)
local stored, stored_expires = unpack(redis.call('HMGET', KEYS[1], 'version', 'expires'))
if stored_expires and tonumber(stored_expires) <= tonumber(now_ns) then
	stored = nil
end
if (stored or '0') ~= version then
	return stored and 'conflict' or 'none'
end
if ended == '1' or tonumber(ttl) <= 0 then
	redis.call('DEL', KEYS[1])
end
if tonumber(ttl) <= 0 then
	redis.call('ZREM', KEYS[2], id)
	return 'saved'
end
if owner ~= '' then
	redis.call('ZADD', KEYS[2], expires, id)
	redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
	local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
	redis.call('PEXPIRE', KEYS[2], last[2] - now)
end
redis.call('HSET', KEYS[1], 'data', data, 'owner', owner, 'created', created,
	'used', used, 'expires', expires_ns, 'version', next_version, 'ended', ended)
redis.call('PEXPIRE', KEYS[1], ttl)
return 'saved'
`

// Delete implements [session.Store]. The entry in the owner's index stays until it
// expires.
func (s *Store) Delete(ctx context.Context, id string) error {
	replies, err := s.ask(ctx, command{"DEL", s.records + id})
	if err != nil {
		return err
	}
	if _, ok := replies[0].(int64); !ok {
		return unexpected(replies[0])
	}
	return nil
}

// ask runs commands that may run twice. After a restart of Redis a connection is dead,
// and only its next use shows that. So ask tries once more, with a new connection.
func (s *Store) ask(ctx context.Context, commands ...command) ([]any, error) {
	replies, err := s.pool.do(ctx, commands...)
	if _, refused := errors.AsType[serverError](err); err == nil || refused || ctx.Err() != nil {
		return replies, err
	}
	return s.pool.do(ctx, commands...)
}

// unexpected returns the error for a reply that the command does not have.
func unexpected(reply any) error {
	if no, ok := reply.(serverError); ok {
		return no
	}
	return errProtocol
}

// toRecord returns the record of a reply to [Store.get] with n fields. If all fields are
// missing, it returns [session.ErrNotFound].
func toRecord(id string, reply any, n int) (session.Record, error) {
	if no, ok := reply.(serverError); ok && no.wrongType() {
		return session.Record{}, session.ErrCorrupt
	}
	values, ok := reply.([]any)
	if !ok || len(values) != n {
		return session.Record{}, unexpected(reply)
	}
	var text [len(fields)]string
	found, whole := 0, true
	for i, value := range values {
		if text[i], ok = value.(string); ok {
			found++
		} else if fields[i] != "ended" {
			whole = false
		}
	}
	if found == 0 {
		return session.Record{}, session.ErrNotFound
	}
	created, err1 := parseTime(text[1])
	used, err2 := parseTime(text[2])
	expires, err3 := parseTime(text[3])
	version, err4 := strconv.ParseInt(text[4], 10, 64)
	if !whole || errors.Join(err1, err2, err3, err4) != nil {
		return session.Record{}, session.ErrCorrupt
	}
	if !time.Now().Before(expires) {
		return session.Record{}, session.ErrNotFound
	}
	rec := session.Record{
		ID: id, Owner: text[0], Created: created, Used: used, Expires: expires,
		Version: version, Ended: text[5] == flag(true),
	}
	if n == len(fields) {
		rec.Data = []byte(text[6])
	}
	return rec, nil
}

// milliseconds returns a time in milliseconds. It rounds up, because a record must not
// expire before its deadline.
func milliseconds(nanoseconds int64) string {
	const ms = int64(time.Millisecond)
	n := nanoseconds / ms
	if nanoseconds%ms > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}

// flag returns a boolean as a record has it.
func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// nanoseconds returns a time as a record has it.
func nanoseconds(t time.Time) string {
	return strconv.FormatInt(t.UnixNano(), 10)
}

// parseTime returns the time that nanoseconds wrote.
func parseTime(nanoseconds string) (time.Time, error) {
	n, err := strconv.ParseInt(nanoseconds, 10, 64)
	return time.Unix(0, n), err
}
