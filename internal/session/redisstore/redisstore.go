// Package redisstore keeps sessions in Redis, or in a server that speaks as Redis
// does, such as Valkey: for a site that runs on several machines. It speaks the
// protocol itself, over a few connections.
//
//	PREFIX:record:4f0c…   a hash: data, owner, created, used, expires, version, ended
//	PREFIX:owner:ada      a sorted set: the owner's records, by when they expire
//
// The name of a record is the hash of its session ID, so what is in Redis opens no
// session. But whoever can connect to Redis reads what visitors stored, and can
// change it: give it a password and a network of its own, or TLS.
//
// One command loads a session, and one script saves it: the script compares
// versions, writes the record, says when it expires and brings the owner's index
// up to date, and Redis runs nothing else meanwhile. So any number of processes on
// any number of machines may use one Redis. Every key expires, and Redis removes
// what has expired: nothing sweeps here. How long a record lives is measured by
// the clock of Redis, from when it was saved.
//
// What survives a restart is for Redis to decide. As it comes, it takes a snapshot
// now and then, of a site with few visitors once an hour: a crash takes the sessions
// since the last one, and brings those back that have ended since. With
//
//	appendonly yes
//	maxmemory-policy noeviction
//
// it loses a second at most (nothing, with appendfsync always), and refuses a save
// when its memory is full, which is an error page, rather than drop somebody's
// session. A replica that takes over may lack the last saves.
//
// While Redis is down or slow, every call fails when its context ends, and all is
// well again as soon as Redis is. It is one Redis: a cluster's redirections are
// not followed.
//
// Read this file first, then pool.go (connections) and resp.go (the protocol).
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

// fields are those of a record, in the order in which they are loaded and saved. A
// record of an earlier release has no ended.
var fields = [...]string{"data", "owner", "created", "used", "expires", "version", "ended"}

// required is how many fields each record has: all but ended.
const required = len(fields) - 1

// Load is that of [session.Store].
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	replies, err := s.ask(ctx, s.get(id))
	if err != nil {
		return session.Record{}, err
	}
	return toRecord(id, replies[0])
}

func (s *Store) get(id string) command {
	return append(command{"HMGET", s.records + id}, fields[:]...)
}

// Save is that of [session.Store]. It is not tried again when the connection
// breaks, as Redis may have saved the record already, and a second try would be a
// conflict with the first.
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if n := len(rec.Data) + len(rec.Owner); n > maxRecord {
		return fmt.Errorf("%w: redisstore: a record of %d bytes, of which it keeps %d", session.ErrValue, n, maxRecord)
	}
	now := time.Now()
	replies, err := s.pool.do(ctx, command{
		"EVAL", save, "2", s.records + id, s.owners + rec.Owner,
		strconv.FormatInt(rec.Version, 10), id, s.owners,
		milliseconds(now.UnixNano()), milliseconds(rec.Expires.UnixNano()), milliseconds(int64(rec.Expires.Sub(now))),
		string(rec.Data), rec.Owner, nanoseconds(rec.Created), nanoseconds(rec.Used), nanoseconds(rec.Expires),
		strconv.FormatInt(rec.Version+1, 10), flag(rec.Ended),
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
// ARGV[1]. KEYS[2] is the index of its owner; that of its owner before has the name
// that begins with ARGV[3]. What has expired leaves the index, which lives as long as
// the last of its records. Versions and times stay text, as a number here has 53 bits.
//
// Redis refuses a script that would write when it is full, unless it has written
// already. So a session that ends frees its room first, and the index comes before the
// record: whatever is refused, there is no record that the index does not know.
const save = `
local version, id, owners, now, expires, ttl = unpack(ARGV, 1, 6)
local data, owner, created, used, expires_ns, next_version, ended = unpack(ARGV, 7, 13)
local stored = redis.call('HMGET', KEYS[1], 'version', 'owner')
if (stored[1] or '0') ~= version then
	return stored[1] and 'conflict' or 'none'
end
if ended == '1' or tonumber(ttl) <= 0 then
	redis.call('DEL', KEYS[1])
end
if tonumber(ttl) <= 0 then
	redis.call('ZREM', KEYS[2], id)
else
	if owner ~= '' then
		redis.call('ZADD', KEYS[2], expires, id)
		redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
		local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
		redis.call('PEXPIRE', KEYS[2], last[2] - now)
	end
	redis.call('HSET', KEYS[1], 'data', data, 'owner', owner, 'created', created,
		'used', used, 'expires', expires_ns, 'version', next_version, 'ended', ended)
	redis.call('PEXPIRE', KEYS[1], ttl)
end
if stored[2] and stored[2] ~= '' and stored[2] ~= owner then
	redis.call('ZREM', owners .. stored[2], id)
end
return 'saved'
`

// Delete is that of [session.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	_, err := s.ask(ctx, command{"EVAL", remove, "1", s.records + id, id, s.owners})
	return err
}

// remove removes a record, and takes it out of its owner's index.
const remove = `
local owner = redis.pcall('HGET', KEYS[1], 'owner')
redis.call('DEL', KEYS[1])
if type(owner) == 'string' then
	redis.call('ZREM', ARGV[2] .. owner, ARGV[1])
end
`

// List is that of [session.Store]. It leaves out what cannot be read, which is
// nobody's session.
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	now := milliseconds(time.Now().UnixNano())
	replies, err := s.ask(ctx, command{"ZRANGEBYSCORE", s.owners + owner, now, "+inf"})
	if err != nil {
		return nil, err
	}
	members, ok := replies[0].([]any)
	if !ok {
		return nil, unexpected(replies[0])
	}
	var ids []string
	var loads []command
	for _, member := range members {
		id := fmt.Sprint(member)
		ids, loads = append(ids, id), append(loads, s.get(id))
	}
	replies, err = s.ask(ctx, loads...) // one round trip for all of them
	if err != nil {
		return nil, err
	}
	var records []session.Record
	for i, reply := range replies {
		rec, err := toRecord(ids[i], reply)
		if err == nil && rec.Owner == owner { // it may have changed since the index was read
			rec.Data = nil
			records = append(records, rec)
		}
	}
	return records, nil
}

// ask does what may be done twice. A restart of Redis leaves connections that are
// only found dead when they are used: the second try has a new one.
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

// toRecord reads what get asked for. No fields at all are no record.
func toRecord(id string, reply any) (session.Record, error) {
	if no, ok := reply.(serverError); ok && no.wrongType() {
		return session.Record{}, session.ErrCorrupt
	}
	values, ok := reply.([]any)
	if !ok || len(values) != len(fields) {
		return session.Record{}, errProtocol
	}
	var text [len(fields)]string
	missing := 0
	for i, value := range values[:required] {
		if text[i], ok = value.(string); !ok {
			missing++
		}
	}
	if missing == required {
		return session.Record{}, session.ErrNotFound
	}
	created, err1 := parseTime(text[2])
	used, err2 := parseTime(text[3])
	expires, err3 := parseTime(text[4])
	version, err4 := strconv.ParseInt(text[5], 10, 64)
	if missing > 0 || errors.Join(err1, err2, err3, err4) != nil {
		return session.Record{}, session.ErrCorrupt
	}
	if !time.Now().Before(expires) {
		return session.Record{}, session.ErrNotFound
	}
	return session.Record{
		ID: id, Data: []byte(text[0]), Owner: text[1],
		Created: created, Used: used, Expires: expires, Version: version,
		Ended: values[required] == flag(true),
	}, nil
}

// milliseconds are rounded up, as a record may not go before its time.
func milliseconds(nanoseconds int64) string {
	const ms = int64(time.Millisecond)
	n := nanoseconds / ms
	if nanoseconds%ms > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}

// flag is how a record says yes or no.
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
