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
// versions, writes the record, says when it expires and brings the owner's index
// up to date, and Redis runs nothing else at the same time. So any number of
// processes on any number of machines may use one Redis. Every key expires, and
// Redis removes what has expired: nothing sweeps here. The clock of Redis measures
// how long a record lives, from when it was saved.
//
// What survives a restart is for Redis to decide. By default it takes a snapshot
// now and then, of a site with few visitors once an hour. A crash takes the sessions
// since the last one, and brings back those that have ended since. With
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
// goes on saving what the new master never sees. With
//
//	min-replicas-to-write 1
//	min-replicas-max-lag 10
//
// such a master refuses saves after ten seconds, so a visitor sees an error page and
// not a logout that will be lost. It still answers loads. So let a failover move the
// name in the URL to the new master: a connection is used for a minute at most, and
// the next one asks for the address again.
//
// While Redis is down or slow, every call fails when its context ends. When Redis
// works again, so do the calls. The store is for one Redis: it does not follow a
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

// maxRecord is how many bytes a record's values and owner may have: less than a
// reply may, so that what was saved can be loaded.
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
// The number is the database's. The prefix is what the names of all keys begin
// with: sites that share a database each have a prefix, or one would list
// the sessions of the other's users. New does not connect, so a site can start
// before its Redis does. The error does not repeat the URL, which may hold a
// password.
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
		return nil, errors.New("session: redisstore: the URL begins with neither redis:// nor rediss://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("session: redisstore: the URL names no host")
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

// greeting returns what a new connection says first: who it is, and which database
// it wants.
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
		return nil, errors.New("session: redisstore: the URL's path is not the number of a database")
	}
	return append(commands, command{"SELECT", number}), nil
}

// safePrefix keeps prefixes apart: none is another one and a colon.
var safePrefix = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// prefix returns the one setting that the URL's query may have.
func prefix(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("session: redisstore: the URL's query cannot be parsed")
	}
	name := "session"
	for key, values := range query {
		if key != "prefix" || len(values) != 1 {
			return "", errors.New("session: redisstore: the URL's query may hold one prefix and nothing else")
		}
		name = values[0]
	}
	if !safePrefix.MatchString(name) || u.Fragment != "" {
		return "", errors.New("session: redisstore: a prefix has 1 to 64 letters, digits and _.- at the end of the URL")
	}
	return name, nil
}

// Close closes the connections that are not in use, and each other one when its
// call ends. Later calls fail with [net.ErrClosed]. It returns nil, and may be
// called again.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// fields are what a record has, in the order in which Redis is asked for them. A
// record of an earlier release has no ended. A list asks for all but the data.
var fields = [...]string{"owner", "created", "used", "expires", "version", "ended", "data"}

const inList = len(fields) - 1

// Load implements [session.Store].
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	replies, err := s.ask(ctx, s.get(id, len(fields)))
	if err != nil {
		return session.Record{}, err
	}
	return toRecord(id, replies[0], len(fields))
}

// get asks for the first n fields of a record.
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
// List compares the owner, so such an entry harms nothing.
//
// When Redis is full, it refuses a script that would write, unless the script has
// written already. So the script removes a session that ends before it writes the
// tombstone. It writes the index before the record: whatever Redis refuses, there is
// no record that the index does not know.
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
// and only its next use shows that: the second try has a new connection.
func (s *Store) ask(ctx context.Context, commands ...command) ([]any, error) {
	replies, err := s.pool.do(ctx, commands...)
	if _, refused := errors.AsType[serverError](err); err == nil || refused || ctx.Err() != nil {
		return replies, err
	}
	return s.pool.do(ctx, commands...)
}

// unexpected is the error of a reply that is not what the command returns.
func unexpected(reply any) error {
	if no, ok := reply.(serverError); ok {
		return no
	}
	return errProtocol
}

// toRecord reads the n fields that get asked for. If all are missing, there is no
// record.
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

// milliseconds rounds up, because a record must not expire before its time.
func milliseconds(nanoseconds int64) string {
	const ms = int64(time.Millisecond)
	n := nanoseconds / ms
	if nanoseconds%ms > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}

// flag returns how a record says yes or no.
func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func nanoseconds(t time.Time) string {
	return strconv.FormatInt(t.UnixNano(), 10)
}

func parseTime(nanoseconds string) (time.Time, error) {
	n, err := strconv.ParseInt(nanoseconds, 10, 64)
	return time.Unix(0, n), err
}
