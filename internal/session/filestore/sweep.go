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
)

const (
	// sweepEvery is the time between two steps of the sweeper, each of which looks
	// at one shard: so at each about once an hour.
	sweepEvery = 15 * time.Second

	// tempAge is the age at which a temporary file is what a kill left. No save
	// takes that long, unless its disk hangs: then it begins anew.
	tempAge = time.Minute
)

// sweeper removes, until the store is closed, what no Delete does. It begins
// anywhere, as a program that is often restarted would else never come to the
// last shards. What fails is tried again in an hour; a disk that fails shows in
// Load and Save.
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
// read, for somebody to look at.
func (s *Store) sweepRecords(ctx context.Context, root *os.Root, dir string) error {
	ids, err := names(root, dir)
	for _, id := range ids {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !isID(id) {
			continue
		}
		if rec, readErr := read(root, id); readErr == nil && expired(rec) {
			err = errors.Join(err, s.change(ctx, id, func(root *os.Root) error {
				return removeExpired(ctx, root, id)
			}))
		}
	}
	return err
}

// removeExpired removes a record if it is still expired under the lock: its name
// may have been given to a new one. It need not be synced.
func removeExpired(ctx context.Context, root *os.Root, id string) error {
	unlock, err := lock(ctx, root, id)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := read(root, id)
	if err != nil || !expired(rec) {
		return nil
	}
	return drop(root, id, rec.Owner)
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
			err = errors.Join(err, s.change(ctx, id, func(root *os.Root) error {
				return removeMark(ctx, root, dir, id)
			}))
		}
	}
	if left == 0 {
		root.Remove(dir) // which fails if it is not empty any more
	}
	return err
}

// removeMark removes a mark if the record is still not there under the lock: a
// save puts the mark first.
func removeMark(ctx context.Context, root *os.Root, dir, id string) error {
	unlock, err := lock(ctx, root, id)
	if err != nil {
		return err
	}
	defer unlock()
	if isGone(root, id) {
		root.Remove(dir + "/" + id)
	}
	return nil
}

func isGone(root *os.Root, id string) bool {
	_, err := root.Lstat(recordFile(id))
	return errors.Is(err, fs.ErrNotExist)
}
