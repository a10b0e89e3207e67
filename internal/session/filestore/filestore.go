// Package filestore keeps each session in a file of its own: the default for a
// program on one machine, which needs nothing but a directory.
//
//	DIR/sessions/4f/4f0c…   a record; its name is the hash of its session ID
//	DIR/owners/a1/a19b…/…   an empty file for each record of an owner, for List
//	DIR/locks/4f            locked while a record 4f… is changed
//	DIR/tmp/…               records that are being written
//
// What is in the directory opens no session, as the names are hashes and a
// session ID cannot be got back from them. But it can be read there what visitors
// stored: the directory is 0700 and the files are 0600, and a directory in use
// that others can enter is refused. (Windows has no such modes; there the directory's
// access list decides.)
//
// A session survives a restart and a kill -9: each save writes a new file, syncs
// it to the disk, renames it over the old one and syncs the directory, so that a
// record is the old one or the new one and never a mixture. A power cut takes
// nothing that was saved, if the disk keeps what it says it has synced (Windows
// cannot sync a directory: there a power cut may undo the last saves, whole). An
// error of the last step is the one doubtful case: the record may be the new one.
// A record that somebody else damaged is told by its checksum.
//
// Any number of processes on one machine may use the directory, where the system
// has flock: Linux, macOS, the BSDs and illumos. Elsewhere, as on Windows, one
// process may, with one Store. Do not share it over a network file system.
//
// The directory is opened anew for each call. So one that was moved, removed or
// replaced by a file makes every call fail, rather than tell every visitor that
// there is no such session; and all is well again, without a restart, as soon as
// it is back, or an empty one is in its place. The store makes what is missing in
// the directory, but the directory itself only in [New].
//
// To back up, copy the directory, while the program runs or not: each file is
// whole at any time. tmp and locks are not needed. Who restores a copy restores
// the sessions that have ended since, too.
//
// Read this file first, then record.go (the file of a record), owners.go (the
// index for List), sweep.go (what goes by itself), dir.go and lock_unix.go.
package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"example.com/sessions/internal/session"
)

// shards is how many directories the records are spread over, so that each stays
// small, and how many locks there are: one for each first byte of an ID.
const shards = 256

// Store is a [session.Store] in a directory.
type Store struct {
	dir    string
	turns  [shards]chan struct{} // full while a goroutine changes a record of the shard
	ctx    context.Context       // ends when the store is closed
	cancel context.CancelFunc
	swept  chan struct{} // closed when the sweeper has stopped
}

// New returns a store in dir, which it makes, with its parents, if it is not
// there. It closes an empty directory to others than its owner, and refuses one
// that holds something and that others can enter: it may be /tmp, named by
// mistake. Close the store to stop the goroutine that removes what has expired.
func New(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir) // the program may change its working directory
	if err != nil {
		return nil, fmt.Errorf("session: filestore: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("session: filestore: %w", err)
	}
	if names, err := os.ReadDir(dir); err == nil && len(names) == 0 {
		os.Chmod(dir, 0o700) // if it cannot, open says so
	}
	s := &Store{dir: dir, swept: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	if err := s.begin(); err != nil {
		s.cancel()
		return nil, err
	}
	go s.sweeper()
	return s, nil
}

// begin makes what the directory lacks, and removes what a kill left.
func (s *Store) begin() error {
	root, err := s.open(s.ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := prepare(root); err != nil {
		return failure(err)
	}
	return failure(sweepTemps(root))
}

// Close stops the sweeper and waits for it. Calls that are under way end as
// usual, later ones fail with [fs.ErrClosed]. It returns nil, and may be called
// again.
func (s *Store) Close() error {
	s.cancel()
	<-s.swept
	return nil
}

// Load is that of [session.Store]. What is there and no file, such as a symbolic
// link, is not followed: it is [session.ErrCorrupt]. It waits for nobody, as a
// save puts the record in its place at one stroke.
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	if !isID(id) {
		return session.Record{}, session.ErrNotFound
	}
	root, err := s.open(ctx)
	if err != nil {
		return session.Record{}, err
	}
	defer root.Close()
	rec, err := live(root, id)
	return rec, failure(err)
}

// Save is that of [session.Store]. It replaces what is no readable record if
// rec.Version is 0, and is [session.ErrCorrupt] otherwise, as there is no version
// to compare. The owner must be valid UTF-8, and id 64 hexadecimal digits. When it
// fails the old record stands, and no other file is left. It waits no longer than
// ctx for others, but a disk that hangs cannot be interrupted.
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if !isID(id) {
		return errors.New("session: filestore: the ID of a record is 64 hexadecimal digits, in lower case")
	}
	rec.ID = id
	return s.change(ctx, id, func(root *os.Root) error { return save(ctx, root, rec) })
}

// Delete is that of [session.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	if !isID(id) {
		return ctx.Err() // there is none
	}
	return s.change(ctx, id, func(root *os.Root) error { return remove(ctx, root, id) })
}

// List is that of [session.Store]. It leaves out what cannot be read, which is
// nobody's session.
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	root, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	records, err := list(ctx, root, owner)
	return records, failure(err)
}

// open opens the directory, and refuses it if others can enter it.
func (s *Store) open(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.ctx.Err() != nil {
		return nil, failure(fs.ErrClosed)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, failure(err)
	}
	info, err := root.Stat(".")
	if err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		err = fmt.Errorf("others can enter %s: give it to the sessions alone (chmod 700), or name another directory", s.dir)
	}
	if err != nil {
		root.Close()
		return nil, failure(err)
	}
	return root, nil
}

// change calls do while no other goroutine changes a record of the shard. When
// the directory turns out to be empty, as after somebody removed it and made it
// again, do is called once more, on one that has everything.
func (s *Store) change(ctx context.Context, id string, do func(*os.Root) error) error {
	root, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	turn := s.turns[shardNumber(id)]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err = do(root)
	if errors.Is(err, fs.ErrNotExist) {
		if err = prepare(root); err == nil {
			err = do(root)
		}
	}
	return failure(err)
}

// save writes the record beside the old one and puts it in its place. It compares
// versions twice: first so as not to write for nothing, and again where it counts,
// under the lock. The lock is not held while the disk takes the record, so that no
// process keeps the others out for long.
func save(ctx context.Context, root *os.Root, rec session.Record) error {
	if _, err := compare(root, rec.ID, rec.Version); err != nil {
		return err
	}
	next, temp := rec, "tmp/"+rand.Text()
	next.Version++
	err := write(root, temp, next)
	if err == nil {
		err = replace(ctx, root, temp, rec)
	}
	if err != nil {
		root.Remove(temp)
		return err
	}
	return syncDir(root, shardDir(rec.ID))
}

// replace puts what is in temp in the record's place, and keeps the owner's index
// right at each moment at which this process may be killed: the index may name a
// record that is not there, but every record is in it.
func replace(ctx context.Context, root *os.Root, temp string, rec session.Record) error {
	unlock, err := lock(ctx, root, rec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := compare(root, rec.ID, rec.Version)
	if err != nil {
		return err
	}
	if err := mark(root, rec.Owner, rec.ID, old.Owner == rec.Owner); err != nil {
		return err
	}
	if err := rename(root, temp, recordFile(rec.ID)); err != nil {
		return err
	}
	if old.Owner != rec.Owner {
		unmark(root, old.Owner, rec.ID)
	}
	return nil
}

// compare returns the record that a save of this version replaces, a zero one if
// there is none to be read.
func compare(root *os.Root, id string, version int64) (session.Record, error) {
	old, err := read(root, id)
	if err == nil && expired(old) {
		err = session.ErrNotFound
	}
	switch {
	case version == 0 && (errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrCorrupt)):
		return old, nil
	case err == nil && old.Version != version:
		return old, session.ErrConflict
	}
	return old, err
}

// remove removes a record, and syncs: a power cut must not log anybody in again.
func remove(ctx context.Context, root *os.Root, id string) error {
	unlock, err := lock(ctx, root, id)
	if err != nil {
		return err
	}
	defer unlock()
	rec, _ := read(root, id) // it goes even if it cannot be read
	if err := drop(root, id, rec.Owner); err != nil {
		return err
	}
	return syncDir(root, shardDir(id))
}

// drop removes a record and then what the index has of it, in this order: see
// replace.
func drop(root *os.Root, id, owner string) error {
	if err := root.Remove(recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unmark(root, owner, id)
	return nil
}

// live returns a record that has not expired.
func live(root *os.Root, id string) (session.Record, error) {
	rec, err := read(root, id)
	if err == nil && expired(rec) {
		return session.Record{}, session.ErrNotFound
	}
	return rec, err
}

func expired(rec session.Record) bool {
	return !time.Now().Before(rec.Expires)
}
