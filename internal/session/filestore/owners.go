package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"example.com/sessions/internal/session"
)

// The index for List is an empty file, a mark, for each record that has an owner:
// owners/a1/a19b…/4f0c…, where a19b… is the hash of the owner and 4f0c… is the
// record. The mark is on the disk before the record, and is removed after it. So a
// crash can leave a mark without a record, which does no harm. It never leaves a
// session that its owner cannot see and end.

// list returns the live records of the owner, without their data. When it fails, it
// returns those that it has read together with the error.
func list(ctx context.Context, root *os.Root, owner string) ([]session.Record, error) {
	var records []session.Record
	err := eachBatch(root, ownerDir(owner), func(ids []string) error {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !isID(id) })
		slices.Sort(ids) // so that those of a shard stand together
		for len(ids) > 0 {
			n := 1
			for n < len(ids) && shardDir(ids[n]) == shardDir(ids[0]) {
				n++
			}
			some, err := listShard(ctx, root, owner, ids[:n])
			records = append(records, some...)
			if err != nil {
				return err
			}
			ids = ids[n:]
		}
		return nil
	})
	return records, err
}

// listShard is list for records of one shard. It opens the shard's directory once,
// because for most records finding the file takes longer than reading it.
func listShard(ctx context.Context, root *os.Root, owner string, ids []string) ([]session.Record, error) {
	shard, err := root.OpenRoot(shardDir(ids[0]))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer shard.Close()
	var records []session.Record
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return records, err
		}
		rec, err := readHead(shard, id, id)
		switch {
		case errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrCorrupt):
		case err != nil:
			return records, err
		case rec.Owner == owner && !expired(rec):
			records = append(records, rec)
		}
	}
	return records, nil
}

// mark puts a record into the owner's index, and returns when the disk has it. A
// mark that is there needs no sync if synced says that the disk has it already.
func mark(root *os.Root, owner, id string, synced bool) error {
	if owner == "" {
		return nil
	}
	dir := ownerDir(owner)
	err := touch(root, dir+"/"+id)
	for errors.Is(err, fs.ErrNotExist) { // or unmark has just removed the directory
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

// touch makes an empty file. It fails if there is one.
func touch(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// unmark takes a record out of the owner's index. If that fails, the mark does no
// harm: list looks at the record, and the sweeper removes the mark later.
func unmark(root *os.Root, owner, id string) {
	if owner == "" {
		return
	}
	root.Remove(ownerDir(owner) + "/" + id)
	root.Remove(ownerDir(owner)) // which fails unless it is empty
}

// ownerDir returns the directory of the owner's marks. An owner is any text, and its
// hash is a safe name. The directories are spread over 256, because some file systems
// limit how many directories one can contain.
func ownerDir(owner string) string {
	name := digest([]byte(owner))
	return "owners/" + name[:2] + "/" + name
}
