package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"example.com/sessions/internal/session"
)

// hasModes reports whether the system has file modes, which say who can enter a
// directory.
const hasModes = runtime.GOOS != "windows"

// isID reports whether id is the name of a record: 64 hexadecimal digits in lower
// case. So it is never a path, on any system.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(id) == 64
}

func recordFile(id string) string { return shardDir(id) + "/" + id }
func shardDir(id string) string   { return "sessions/" + id[:2] }
func lockFile(id string) string   { return "locks/" + id[:2] }

// shardNumber returns the first byte of an ID.
func shardNumber(id string) int {
	n, _ := strconv.ParseUint(id[:2], 16, 8)
	return int(n)
}

// parts are the directories that every store has.
var parts = []string{"sessions", "owners", "locks", "tmp"}

// prepare makes the directories that are missing, but for those that are made
// later. It syncs them all, because another process may have made them a moment ago.
func prepare(root *os.Root) error {
	for _, part := range parts {
		if _, err := makeDir(root, part); err != nil {
			return err
		}
	}
	for i := range shards {
		shard := fmt.Sprintf("%02x", i)
		made, err := makeDir(root, "sessions/"+shard)
		if err != nil {
			return err
		}
		if !made {
			// The shard may have records, and a backup leaves the locks out. A full
			// disk would have no room for the lock that Delete needs. If there is no
			// room now, lock tries again.
			touch(root, "locks/"+shard)
		}
	}
	return errors.Join(syncDir(root, "."), syncDir(root, "sessions"))
}

// makeDir makes a directory if it is missing, and reports whether it did. What is
// there must be a directory of this user, which makeDir closes to others.
func makeDir(root *os.Root, name string) (made bool, err error) {
	err = root.Mkdir(name, 0o700)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return false, err
	}
	if err := mustBeDir(root, name, info); err != nil {
		return false, err
	}
	if hasModes && info.Mode().Perm() != 0o700 {
		err = root.Chmod(name, 0o700)
	}
	return false, err
}

// mustBeDir returns an error for what is not a directory of this user.
func mustBeDir(root *os.Root, name string, info fs.FileInfo) error {
	name = filepath.Join(root.Name(), name)
	if !info.IsDir() {
		return fmt.Errorf("%s must be a directory: move what is there away", name)
	}
	if !isMine(info) {
		return fmt.Errorf("%s belongs to user %d: give it to the user of this process, %d, with all that is in it (chown -R), "+
			"or name another directory", name, ownerOf(info), os.Geteuid())
	}
	return nil
}

// checkRoot returns an error if the store's directory, which is open, belongs to
// another user or if others can enter it.
func checkRoot(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if err := mustBeDir(root, ".", info); err != nil {
		return err
	}
	if hasModes && info.Mode().Perm() == 0o770 && isStore(root) {
		// Kubernetes has opened the volume to the fsGroup, as it does by default at
		// each start of a pod. What the owner can open, the owner can close.
		if err := root.Chmod(".", 0o700); err != nil {
			return err
		}
		info, err = root.Stat(".")
	}
	if err == nil && hasModes && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others can enter %s: close it to them (chmod 700), or name another directory; "+
			"in Kubernetes, see fsGroup in docs/filestore.md", root.Name())
	}
	return err
}

// isStore reports whether a store has made the directory: it has every part, as a
// directory of this user.
func isStore(root *os.Root) bool {
	for _, part := range parts {
		info, err := root.Lstat(part)
		if err != nil || mustBeDir(root, part, info) != nil {
			return false
		}
	}
	return true
}

// closeEmpty closes an empty directory to others. If it cannot, checkRoot says so.
func closeEmpty(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil || !isMine(info) {
		return
	}
	if found, err := names(root, "."); err == nil && len(found) == 0 {
		root.Chmod(".", 0o700)
	}
}

// rename puts a file in the place of another. It cannot replace a directory, which
// is no record: it removes an empty one first, and fails for one that is not empty.
func rename(root *os.Root, from, to string) error {
	err := root.Rename(from, to)
	if errors.Is(err, fs.ErrExist) && root.Remove(to) == nil {
		err = root.Rename(from, to)
	}
	return err
}

// syncDir returns when the disk has the names of a directory. Windows and some file
// systems cannot do that. Those file systems return the errors that are ignored here.
func syncDir(root *os.Root, dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// names returns what is in a directory, and nothing if it is not there.
func names(root *os.Root, dir string) ([]string, error) {
	var all []string
	err := eachBatch(root, dir, func(names []string) error {
		all = append(all, names...)
		return nil
	})
	return all, err
}

// eachBatch calls do with thousands of names in a directory at a time, until do
// returns an error. A directory that is not there has nothing in it.
func eachBatch(root *os.Root, dir string, do func(names []string) error) error {
	f, err := root.OpenFile(dir, os.O_RDONLY|nonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		found, err := f.Readdirnames(5000)
		if len(found) > 0 {
			if err := do(found); err != nil {
				return err
			}
		}
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) { // it ended, or it was removed
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// failure says that an error of the system comes from here. It returns what the
// store says of a record as it is.
func failure(err error) error {
	for _, known := range []error{nil, session.ErrNotFound, session.ErrConflict, session.ErrCorrupt} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("session: filestore: %w", err)
}
