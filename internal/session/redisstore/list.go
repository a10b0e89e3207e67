package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"example.com/sessions/internal/session"
)

// page is the number of index entries, or of records, that List asks for at a time. A
// command must not take long, because Redis does nothing else while it runs one.
const page = 1000

// List implements [session.Store]. It leaves out a record that it cannot read,
// because such a record opens no session.
//
// Live sessions come before tombstones, which expire within a minute. So when ctx ends
// before List has read all, it has read sessions that can still be ended.
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	l := listing{store: s, owner: owner, now: time.Now(), seen: make(map[string]bool)}
	whole, err := l.byExpiry(ctx)
	if err == nil && !whole {
		err = l.rest(ctx)
	}
	return l.records, err
}

// listing is the state of one call of List.
type listing struct {
	store   *Store
	owner   string
	now     time.Time
	seen    map[string]bool // the IDs of all entries that were read
	records []session.Record
}

// entry is an index's entry of a record. It says when the record expires, in
// milliseconds.
type entry struct{ id, expires string }

// byExpiry reads the index from the last to expire to the first, a page at a time. It
// reports whether it saw the whole index. It did if there was one page. Of several pages
// it may have missed an entry, because a session that is used in between moves from a
// later page to one that was read.
func (l *listing) byExpiry(ctx context.Context) (whole bool, err error) {
	for highest := "+inf"; ; {
		replies, err := l.store.ask(ctx, command{"ZREVRANGEBYSCORE", l.store.owners + l.owner, highest,
			milliseconds(l.now.UnixNano()), "WITHSCORES", "LIMIT", "0", strconv.Itoa(page)})
		if err != nil {
			return false, err
		}
		entries, err := toEntries(replies[0])
		if err != nil {
			return false, err
		}
		before := len(l.seen)
		if err := l.add(ctx, entries); err != nil {
			return false, err
		}
		if len(entries) < page {
			return highest == "+inf", nil
		}
		if len(l.seen) == before { // more than a page expires in one millisecond
			return false, nil
		}
		highest = entries[len(entries)-1].expires
	}
}

// rest reads the entries that byExpiry missed. ZSCAN finds each entry that is in the
// index all the time, even if it moves.
func (l *listing) rest(ctx context.Context) error {
	for cursor := "0"; ; {
		replies, err := l.store.ask(ctx, command{"ZSCAN", l.store.owners + l.owner, cursor, "COUNT", strconv.Itoa(page)})
		if err != nil {
			return err
		}
		reply, ok := replies[0].([]any)
		if !ok || len(reply) != 2 {
			return unexpected(replies[0])
		}
		entries, err := toEntries(reply[1])
		if err != nil {
			return err
		}
		if err := l.add(ctx, entries); err != nil {
			return err
		}
		if cursor, ok = reply[0].(string); !ok {
			return errProtocol
		}
		if cursor == "0" {
			return nil
		}
	}
}

// toEntries returns the entries of a reply that is a page of an index.
func toEntries(reply any) ([]entry, error) {
	members, ok := reply.([]any)
	if !ok {
		return nil, unexpected(reply)
	}
	if len(members)%2 != 0 {
		return nil, errProtocol
	}
	var entries []entry
	for pair := range slices.Chunk(members, 2) {
		id, ok1 := pair[0].(string)
		expires, ok2 := pair[1].(string)
		if !ok1 || !ok2 {
			return nil, errProtocol
		}
		entries = append(entries, entry{id, expires})
	}
	return entries, nil
}

// add reads the records of the entries that are new to this list and have not expired.
func (l *listing) add(ctx context.Context, entries []entry) error {
	var ids []string
	for _, e := range entries {
		ms, err := strconv.ParseFloat(e.expires, 64)
		if err != nil {
			return errProtocol
		}
		if !l.seen[e.id] && ms >= float64(l.now.UnixMilli()) {
			l.seen[e.id] = true
			ids = append(ids, e.id)
		}
	}
	for ids := range slices.Chunk(ids, page) { // ZSCAN may return more than a page
		if err := l.read(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// read reads records in one round trip.
func (l *listing) read(ctx context.Context, ids []string) error {
	var commands []command
	for _, id := range ids {
		commands = append(commands, l.store.get(id, inList))
	}
	replies, err := l.store.ask(ctx, commands...)
	if err != nil {
		return err
	}
	for i, reply := range replies {
		rec, err := toRecord(ids[i], reply, inList)
		switch {
		case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrCorrupt):
		case err != nil:
			return err
		case rec.Owner == l.owner: // an index may have entries of records that changed their owner
			l.records = append(l.records, rec)
		}
	}
	return nil
}
