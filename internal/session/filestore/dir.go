package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"example.com/sessions/internal/session"
)

// isID reports whether id is the name of a record: 64 hexadecimal digits in lower
// case, and so no path, on any system.
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

// prepare makes the directories that are not made later, and syncs even those that
// are there: another process may have made them a moment ago.
func prepare(root *os.Root) error {
	dirs := []string{"sessions", "owners", "locks", "tmp"}
	for i := range shards {
		dirs = append(dirs, fmt.Sprintf("sessions/%02x", i))
	}
	for _, dir := range dirs {
		if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(syncDir(root, "."), syncDir(root, "sessions"))
}

// rename puts a file in the place of another. Over a directory, which is no
// record, it cannot: that goes first if it is empty, and stops the save if not.
func rename(root *os.Root, from, to string) error {
	err := root.Rename(from, to)
	if errors.Is(err, fs.ErrExist) && root.Remove(to) == nil {
		err = root.Rename(from, to)
	}
	return err
}

// syncDir returns when the disk has the names of a directory. Windows cannot do
// that, nor can some file systems, which say so with these errors.
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

// names returns what is in a directory, nothing if it is not there.
func names(root *os.Root, dir string) ([]string, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|nonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.Readdirnames(-1)
	if errors.Is(err, fs.ErrNotExist) { // it has been removed since
		return nil, nil
	}
	return found, err
}

// failure says where an error that the system had comes from. What the store
// found out about a record is told as it is.
func failure(err error) error {
	for _, known := range []error{nil, session.ErrNotFound, session.ErrConflict, session.ErrCorrupt} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("session: filestore: %w", err)
}
