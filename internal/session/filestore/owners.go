package filestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"example.com/sessions/internal/session"
)

// The index for List is an empty file, a mark, for each record that has an owner:
// owners/a1/a19b…/4f0c…, where a19b… is the hash of the owner, any text, and 4f0c…
// the record. The mark is on the disk before the record and goes after it, so that
// a crash in between leaves a mark too many, which does no harm, and never a
// session that its owner cannot see and end.

// list returns the live records of the owner, without their data.
func list(ctx context.Context, root *os.Root, owner string) ([]session.Record, error) {
	ids, err := names(root, ownerDir(owner))
	if err != nil {
		return nil, err
	}
	var records []session.Record
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !isID(id) {
			continue
		}
		rec, err := live(root, id)
		switch {
		case errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrCorrupt):
		case err != nil:
			return nil, err
		case rec.Owner == owner:
			rec.Data = nil
			records = append(records, rec)
		}
	}
	return records, nil
}

// mark puts a record into the owner's index, and returns when the disk has it. It
// does so at every save, so that a mark that got lost comes back; synced says that
// the disk had it before.
func mark(root *os.Root, owner, id string, synced bool) error {
	if owner == "" {
		return nil
	}
	dir := ownerDir(owner)
	err := touch(root, dir+"/"+id)
	for errors.Is(err, fs.ErrNotExist) { // or unmark has removed it just now
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		err = touch(root, dir+"/"+id)
	}
	if errors.Is(err, fs.ErrExist) && synced {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(syncDir(root, dir), syncDir(root, path.Dir(dir)), syncDir(root, "owners"))
}

// touch makes an empty file that must not be there yet.
func touch(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// unmark takes a record out of the owner's index. It is of no matter if that
// fails: list looks at the record, and the sweeper comes again.
func unmark(root *os.Root, owner, id string) {
	if owner == "" {
		return
	}
	root.Remove(ownerDir(owner) + "/" + id)
	root.Remove(ownerDir(owner)) // which fails unless it is empty
}

// ownerDir returns the directory of the owner's marks: the hash of any text is a
// safe name. It is in one of 256, as some file systems have only so many
// directories in one.
func ownerDir(owner string) string {
	name := fmt.Sprintf("%x", sha256.Sum256([]byte(owner)))
	return "owners/" + name[:2] + "/" + name
}
