// Package filestore keeps each session in a file. It is the default for a program on
// one machine, because it needs nothing but a directory.
//
//	DIR/sessions/4f/4f0c…   a record; its name is the hash of its session ID
//	DIR/owners/a1/a19b…/…   an empty file for each record of an owner, for List
//	DIR/locks/4f            locked while a record 4f… is replaced or removed
//	DIR/tmp/…               records that are being written
//
// Someone who reads these files cannot open a session with them, because the names
// are hashes of the session IDs. But they can read what visitors stored. So the
// directory is 0700 and the files are 0600, and New refuses a directory that others
// can enter, that belongs to another user, or that another user could replace.
// (Windows has no such modes and owners. There the access list of the directory
// decides, and New checks nothing.)
//
// A session survives a restart and a kill -9. Each save writes a new file, syncs it
// to the disk, renames it over the old one and syncs the directory. So a record is
// the old one or the new one and never a mixture. A power cut takes nothing that was
// saved, if the disk keeps what it says it has synced. (Windows cannot sync a
// directory. There a power cut may undo the last saves, each as a whole.) When the
// last step fails, Save returns an error and the record may be the new one. Checksums
// find a file that was damaged.
//
// Any number of processes on one machine may use the directory, where the system
// has flock: Linux, macOS, the BSDs and illumos. Elsewhere, as on Windows, one
// process may, with one Store. Do not share it over a network file system.
//
// Each call opens the directory again. So every call fails while the directory is
// moved away, removed or replaced by a file. It must fail, because a visitor who is
// told that there is no such session loses it. The calls work again, without a
// restart, as soon as the directory is back or an empty one is in its place. The
// store makes what is missing in the directory, but only [New] makes the directory.
//
// To back up, copy the directory at any time: each file is whole at any moment. tmp
// and locks are not needed. Restoring a copy also restores the sessions that have
// ended since it was made.
//
// Read this file first, then record.go (the file of a record), owners.go (the index
// for List), commit.go (one sync for many saves), sweep.go (what runs by itself),
// dir.go, owner_unix.go (who can replace the directory) and lock_unix.go.
package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/sessions/internal/session"
)

// shards is how many directories the records are spread over, so that each stays
// small. There is one for each first byte of an ID, with a lock of its own.
const shards = 256

// maxWriters is how many records a store writes at the same time. A write that waits
// for the disk takes a thread of the system, and Go ends a program that has 10,000.
const maxWriters = 1024

// Store is a [session.Store] in a directory.
type Store struct {
	dir     string
	writers chan struct{}         // as many as records are being written
	turns   [shards]chan struct{} // full while a goroutine has the lock of the shard
	commits [shards]commits
	ctx     context.Context // ends when the store is closed
	cancel  context.CancelFunc
	swept   chan struct{} // closed when the sweeper has stopped
}

// New returns a store in dir. Close the store to stop the goroutine that removes
// what has expired.
//
// New makes dir, with its parents, if it is missing. It closes an empty directory
// to others. It refuses a directory that is not empty and that others can enter,
// because that may be /tmp, named by mistake.
//
// It also refuses a directory that belongs to another user than that of this
// process, and one that another user could replace: each directory and symbolic link
// on the way to it must belong to this user or to root, and others may write to none
// of them unless it is sticky, as /tmp is.
func New(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir) // the program may change its working directory
	if err != nil {
		return nil, fmt.Errorf("session: filestore: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("session: filestore: %w", err)
	}
	s := &Store{dir: dir, writers: make(chan struct{}, maxWriters), swept: make(chan struct{})}
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

// begin checks the directory, makes what it lacks, and removes what a kill left.
func (s *Store) begin() error {
	if err := checkWay(s.dir); err != nil {
		return failure(err)
	}
	closeEmpty(s.dir)
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

// Close stops the sweeper and waits for it. Calls that have begun end as usual.
// Later calls fail with [fs.ErrClosed]. Close returns nil, and may be called again.
func (s *Store) Close() error {
	s.cancel()
	<-s.swept
	return nil
}

// Load implements [session.Store]. It follows no symbolic link: what is not a file
// of this user is [session.ErrCorrupt]. It waits for no lock, because a save puts a
// record in its place in one step.
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	if !isID(id) {
		return session.Record{}, session.ErrNotFound
	}
	root, err := s.open(ctx)
	if err != nil {
		return session.Record{}, err
	}
	defer root.Close()
	rec, err := read(root, id)
	if err == nil && expired(rec) {
		return session.Record{}, session.ErrNotFound
	}
	return rec, failure(err)
}

// Save implements [session.Store]. The owner must be valid UTF-8, and id 64
// hexadecimal digits.
//
// A save of version 0 replaces what cannot be read. Another save of it is
// [session.ErrCorrupt], unless the version can be read and only the data cannot.
//
// When Save fails, the old record stays and no other file is left. But a tombstone
// that cannot be written, as on a full disk, removes the record: the session ends
// without one, and Save returns nil.
//
// Save waits for others no longer than ctx. It cannot interrupt a disk that hangs.
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if !isID(id) {
		return errors.New("session: filestore: the ID of a record must be 64 hexadecimal digits, in lower case")
	}
	rec.ID = id
	next := rec
	next.Version++
	file, err := encode(next)
	if err != nil {
		return failure(err)
	}
	return s.change(ctx, func(root *os.Root) error { return s.save(ctx, root, rec, file) })
}

// Delete implements [session.Store]. It needs no room on the disk.
func (s *Store) Delete(ctx context.Context, id string) error {
	if !isID(id) {
		return ctx.Err() // there is no such record
	}
	return s.change(ctx, func(root *os.Root) error { return s.remove(ctx, root, id) })
}

// List implements [session.Store]. It leaves out a record whose owner cannot be
// read, because it is not known whose it is.
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	root, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	records, err := list(ctx, root, owner)
	return records, failure(err)
}

// open opens the directory, and checks it each time: it may have been replaced.
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
	if err := checkRoot(root); err != nil {
		root.Close()
		return nil, failure(err)
	}
	return root, nil
}

// change calls do with the directory. If something is missing there, as after
// someone emptied the directory, it makes what is missing and calls do once more.
func (s *Store) change(ctx context.Context, do func(*os.Root) error) error {
	root, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	err = do(root)
	if errors.Is(err, fs.ErrNotExist) {
		if err = prepare(root); err == nil {
			err = do(root)
		}
	}
	return failure(err)
}

// lock keeps goroutines and, where the system has flock, other processes from
// changing a record of the shard, until unlock is called. It is held for a
// comparison and a rename. No one holds it while a disk writes or syncs, because
// then one slow save would delay all others of the shard.
func (s *Store) lock(ctx context.Context, root *os.Root, id string) (unlock func(), err error) {
	turn := s.turns[shardNumber(id)]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release, err := flock(ctx, root, id)
	if err != nil {
		<-turn
		return nil, err
	}
	return func() { release(); <-turn }, nil
}

// save stores the file of a record, and returns when the disk has it. A tombstone
// that fails to be stored ends the session in another way: see [Store.Save].
func (s *Store) save(ctx context.Context, root *os.Root, rec session.Record, file []byte) error {
	err := s.put(ctx, root, rec, file)
	if rec.Ended && rec.Version > 0 && isOfTheDisk(err) {
		err = s.end(ctx, root, rec)
	}
	if err != nil {
		return err
	}
	return s.sync(root, rec.ID)
}

// put writes the file beside the old one, and then puts it in its place. It compares
// versions twice. The comparison here saves a write that would be refused later. The one
// under the lock decides.
func (s *Store) put(ctx context.Context, root *os.Root, rec session.Record, file []byte) error {
	old, err := compare(root, rec.ID, rec.Version)
	if err != nil {
		return err
	}
	temp := "tmp/" + rand.Text()
	err = s.write(ctx, root, temp, file)
	if err == nil && old.Owner != rec.Owner {
		// The new owner's mark must be on the disk before the record. It is made here
		// and not under the lock, because it is synced. If the save then fails, a mark
		// without a record is left, which does no harm.
		err = mark(root, rec.Owner, rec.ID, false)
	}
	if err == nil {
		err = s.replace(ctx, root, temp, rec)
	}
	if err != nil {
		root.Remove(temp)
	}
	return err
}

// write makes the file of a record, and returns when the disk has it.
func (s *Store) write(ctx context.Context, root *os.Root, name string, file []byte) error {
	select {
	case s.writers <- struct{}{}:
		defer func() { <-s.writers }()
		return write(root, name, file)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sync returns when the disk has the name of the record, or no longer has it.
func (s *Store) sync(root *os.Root, id string) error {
	return s.commits[shardNumber(id)].sync(root, shardDir(id))
}

// replace puts what is in temp in the record's place.
func (s *Store) replace(ctx context.Context, root *os.Root, temp string, rec session.Record) error {
	unlock, err := s.lock(ctx, root, rec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := compare(root, rec.ID, rec.Version)
	if err != nil {
		return err
	}
	// A mark may get lost: to a sweep that saw no record yet, to a Delete, or to a
	// program that removes old files. So each save looks for it. This syncs only a
	// mark that was lost.
	if err := mark(root, rec.Owner, rec.ID, true); err != nil {
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

// end removes the record that a tombstone could not replace, if it is of the
// version that the tombstone was to replace.
func (s *Store) end(ctx context.Context, root *os.Root, rec session.Record) error {
	unlock, err := s.lock(ctx, root, rec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := compare(root, rec.ID, rec.Version)
	if err != nil {
		return err
	}
	return drop(root, rec.ID, old.Owner)
}

// isOfTheDisk reports whether err says that the disk failed, and not what became of
// the record. A missing directory is no failure of the disk: [Store.change] makes it.
func isOfTheDisk(err error) bool {
	for _, other := range []error{nil, session.ErrNotFound, session.ErrConflict, session.ErrCorrupt, fs.ErrNotExist} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// compare returns the head of the record that a save of this version replaces. It
// returns a zero one if there is no such record, or none that can be read.
func compare(root *os.Root, id string, version int64) (session.Record, error) {
	old, err := readHead(root, recordFile(id), id)
	if err == nil && expired(old) {
		err = session.ErrNotFound
	}
	if err == nil && version == 0 {
		_, err = read(root, id) // damaged data may be replaced, too
	}
	switch {
	case version == 0 && (errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrCorrupt)):
		return old, nil
	case err == nil && old.Version != version:
		return old, session.ErrConflict
	}
	return old, err
}

// remove removes a record, and returns when the disk has removed it: after a power
// cut the session must not open again. If there is no record, it syncs too, because
// the one who removed it may not have synced yet.
func (s *Store) remove(ctx context.Context, root *os.Root, id string) error {
	if err := s.removeIf(ctx, root, id, func(session.Record) bool { return true }); err != nil {
		return err
	}
	return s.sync(root, id)
}

// removeIf removes a record that passes the test, which is made under the lock. A
// record that cannot be read is tested as a zero one.
func (s *Store) removeIf(ctx context.Context, root *os.Root, id string, test func(session.Record) bool) error {
	unlock, err := s.lock(ctx, root, id)
	if err != nil {
		return err
	}
	defer unlock()
	rec, _ := readHead(root, recordFile(id), id)
	if !test(rec) {
		return nil
	}
	return drop(root, id, rec.Owner)
}

// drop removes a record and then its mark. The order matters: see owners.go.
func drop(root *os.Root, id, owner string) error {
	if err := root.Remove(recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unmark(root, owner, id)
	return nil
}

// expired reports whether the deadline of a record has passed.
func expired(rec session.Record) bool {
	return !time.Now().Before(rec.Expires)
}
