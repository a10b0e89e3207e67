package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"time"

	"example.com/sessions/internal/session"
)

const (
	// sweepEvery is the time between two steps of the sweeper. Each step looks at one
	// shard, so that the sweeper comes to each shard about once an hour.
	sweepEvery = 15 * time.Second

	// tempAge is the age at which a temporary file is what a kill left. No save takes
	// that long, unless its disk hangs. Such a save then writes its file again.
	tempAge = time.Minute
)

// sweeper removes what has expired, until the store is closed. It begins at any
// shard, because otherwise a program that is often restarted would never come to the
// last ones. It ignores errors, because it tries again in an hour, and Load and Save
// report a disk that fails.
func (s *Store) sweeper() {
	defer close(s.swept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for i := rand.IntN(shards); ; i = (i + 1) % shards {
		select {
		case <-tick.C:
			s.sweep(s.ctx, i)
		case <-s.ctx.Done():
			return
		}
	}
}

// sweep looks at one shard of the records and one of the owners.
func (s *Store) sweep(ctx context.Context, shard int) error {
	root, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(
		sweepTemps(root),
		s.sweepRecords(ctx, root, fmt.Sprintf("sessions/%02x", shard)),
		s.sweepOwners(ctx, root, fmt.Sprintf("owners/%02x", shard)),
	)
}

// sweepTemps removes the temporary files of saves that never ended.
func sweepTemps(root *os.Root) error {
	temps, err := names(root, "tmp")
	for _, name := range temps {
		info, err := root.Lstat("tmp/" + name)
		if err == nil && time.Since(info.ModTime()) > tempAge {
			root.Remove("tmp/" + name)
		}
	}
	return err
}

// sweepRecords removes the expired records of a shard. It leaves what it cannot
// read, so that a person can look at it.
func (s *Store) sweepRecords(ctx context.Context, root *os.Root, dir string) error {
	ids, err := names(root, dir)
	for _, id := range ids {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !isID(id) {
			continue
		}
		if rec, readErr := readHead(root, recordFile(id), id); readErr == nil && expired(rec) {
			err = errors.Join(err, s.removeExpired(ctx, root, id))
		}
	}
	return err
}

// removeExpired removes a record if it is still expired under the lock. Its name
// may belong to a new record by then. A power cut may undo this, so it is not synced.
func (s *Store) removeExpired(ctx context.Context, root *os.Root, id string) error {
	return s.removeIf(ctx, root, id, func(rec session.Record) bool { return rec.ID == id && expired(rec) })
}

// sweepOwners looks at the marks of a shard of owners.
func (s *Store) sweepOwners(ctx context.Context, root *os.Root, dir string) error {
	owners, err := names(root, dir)
	for _, owner := range owners {
		err = errors.Join(err, s.sweepOwner(ctx, root, path.Join(dir, owner)))
	}
	return err
}

// sweepOwner removes the marks of records that are not there, and then the owner's
// directory if it is empty.
func (s *Store) sweepOwner(ctx context.Context, root *os.Root, dir string) error {
	ids, err := names(root, dir)
	left := len(ids)
	for _, id := range ids {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if isID(id) && isGone(root, id) {
			left--
			err = errors.Join(err, s.removeMark(ctx, root, dir, id))
		}
	}
	if left == 0 {
		root.Remove(dir) // which fails if it is not empty any more
	}
	return err
}

// removeMark removes a mark if the record is still missing under the lock, because
// a save makes the mark first.
func (s *Store) removeMark(ctx context.Context, root *os.Root, dir, id string) error {
	unlock, err := s.lock(ctx, root, id)
	if err != nil {
		return err
	}
	defer unlock()
	if isGone(root, id) {
		root.Remove(dir + "/" + id)
	}
	return nil
}

// isGone reports whether there is no record of this ID.
func isGone(root *os.Root, id string) bool {
	_, err := root.Lstat(recordFile(id))
	return errors.Is(err, fs.ErrNotExist)
}
