package filestore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
)

// onThread calls change and then f on a thread of their own. What change did to the
// thread ends with the thread.
func onThread(t *testing.T, change func() syscall.Errno, f func()) {
	t.Helper()
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // without an unlock, so that the thread ends with the goroutine
		errno := change()
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		cannot(t, "this system does not let a test make it fail, perhaps because the test is not root's or runs in a container: %v", errno)
	}
}

// cannot skips a test that the system does not let run. In CI the test fails.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// mustBeEnded fails the test if a session can still be loaded, listed or saved.
func mustBeEnded(t *testing.T, s *filestore.Store, id string) {
	t.Helper()
	_, err := s.Load(t.Context(), id)
	mustBe(t, "Load of an ended session", err, session.ErrNotFound)
	late := record("late")
	late.Version = 1
	mustBe(t, "Save of an ended session", s.Save(t.Context(), id, late), session.ErrNotFound)
	records, err := s.List(t.Context(), "ada")
	mustBe(t, "List", err, nil)
	for _, rec := range records {
		if rec.ID == id {
			t.Errorf("the list has the ended session %s, want it left out", id)
		}
	}
}

// TestAFullDisk fills a small disk, by bytes and by files. Every session can end.
func TestAFullDisk(t *testing.T) {
	for name, full := range map[string]struct {
		options string
		content []byte // of a file that takes what is scarce
	}{
		"by bytes": {"size=2m,nr_inodes=10k", make([]byte, 4096)},
		"by files": {"size=20m,nr_inodes=1k", nil},
	} {
		t.Run(name, func(t *testing.T) {
			disk := t.TempDir()
			onThread(t, mount(disk, full.options), func() {
				endOnAFullDisk(t, filepath.Join(disk, "sessions"), func() { fill(t, disk, full.content) })
			})
		})
	}
}

// mount gives the thread a file system in memory. It goes away when the thread ends.
func mount(dir, options string) func() syscall.Errno {
	return func() syscall.Errno {
		err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS)
		if err == nil {
			err = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
		}
		errno, _ := err.(syscall.Errno)
		return errno
	}
}

// fill makes files until the disk is full.
func fill(t *testing.T, disk string, content []byte) {
	t.Helper()
	for {
		f, err := os.CreateTemp(disk, "filler")
		if err == nil {
			_, err = f.Write(content)
			f.Close()
		}
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// endOnAFullDisk ends sessions in each way that there is. It fills the disk before each,
// because the end of a session makes room.
func endOnAFullDisk(t *testing.T, dir string, fill func()) {
	s := open(t, dir)
	ids := make(map[string]string)
	for _, name := range []string{"kept", "deleted", "ended", "ended by another owner", "restored"} {
		ids[name] = hash(name)
		save(t, s, ids[name], record(name))
	}
	// A backup has no locks. The next New must make them while there is room.
	if err := os.RemoveAll(filepath.Join(dir, "locks")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)

	fill()
	larger := record(strings.Repeat("secret", 10_000))
	larger.Version = 1
	mustFail(t, "Save of more", s.Save(t.Context(), ids["kept"], larger))
	mustFail(t, "Save of a new one", s.Save(t.Context(), hash("new"), record("secret")))
	mustLoad(t, s, ids["kept"], "kept")
	mustBeClean(t, dir)

	mustBe(t, "Delete", s.Delete(t.Context(), ids["deleted"]), nil)
	mustBeEnded(t, s, ids["deleted"])
	end := func(name, owner string) {
		t.Helper()
		fill()
		tombstone := record(hash("its successor"))
		tombstone.Version, tombstone.Owner, tombstone.Ended = 1, owner, true
		mustBe(t, name, s.Save(t.Context(), ids[name], tombstone), nil)
		mustBeEnded(t, s, ids[name])
	}
	end("ended", "ada")
	end("ended by another owner", "bob")
	fill()
	mustBe(t, "Delete after New on a full disk", open(t, dir).Delete(t.Context(), ids["restored"]), nil)
	mustBeEnded(t, s, ids["restored"])
	mustLoad(t, s, ids["kept"], "kept")
	mustSee(t, s, "ada", ids["kept"])
}

// TestADirectoryThatCannotBeWritten runs as another user than root, because root can
// write to every directory.
func TestADirectoryThatCannotBeWritten(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("kept"))
	other := record("bob's")
	other.Owner = "bob"
	save(t, s, hash("b"), other)

	user := os.Getuid()
	if user == 0 {
		user = 65534
	}
	top := filepath.Dir(filepath.Dir(filepath.Dir(dir))) // which t.TempDir made
	filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error { return os.Lchown(path, user, -1) })
	become := func() syscall.Errno {
		id := uintptr(user)
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id)
		return errno
	}

	shard, bobs := "sessions/"+id[:2], "owners/"+hash("bob")[:2]+"/"+hash("bob")
	for _, part := range []string{"tmp", bobs, shard} {
		newDirMode(t, filepath.Join(dir, part), 0o500)
		onThread(t, become, func() {
			rec, err := s.Load(t.Context(), id)
			mustBe(t, "Load", err, nil)
			rec.Owner = "bob"
			mustFail(t, "Save without writing to "+part, s.Save(t.Context(), id, rec))
			if part == shard {
				mustFail(t, "Delete without writing to "+part, s.Delete(t.Context(), id))
			}
			mustLoad(t, s, id, "kept")
			mustSee(t, s, "ada", id)
		})
		mustBeClean(t, dir)
		newDirMode(t, filepath.Join(dir, part), 0o700)
	}
	onThread(t, become, func() {
		mustBe(t, "Save again", s.Save(t.Context(), hash("c"), record("written again")), nil)
		mustLoad(t, s, hash("c"), "written again")
	})
}
