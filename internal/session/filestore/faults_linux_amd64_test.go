package filestore_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// onThread calls f on a thread of its own, after change, whose effect on the
// thread ends with it.
func onThread(t *testing.T, change func() syscall.Errno, f func()) {
	t.Helper()
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // and no unlock: so the thread ends with the goroutine
		errno := change()
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		cannot(t, "this system does not let a test break it (a container may forbid seccomp): %v", errno)
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

// call is a system call that fails with errno, if argument arg has a bit of mask.
type call struct {
	number, arg, mask uint32
	errno             syscall.Errno
}

const (
	// always is the mask of a call that fails whatever its arguments are.
	always = 0

	// long is the mask of a write of 64 KiB or more, and longData is what a record
	// needs for one. Package testing and the runtime write on the same thread: a log
	// of the files that the test opened, and 8 bytes that wake the network poller.
	// Their writes are short, and must not fail.
	long     = 0xffff0000
	longData = 1 << 16
)

// deny has the kernel fail a system call of this thread from now on, with a
// seccomp filter.
func (c call) deny() syscall.Errno {
	const (
		load, equal, any, end = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, syscall.BPF_JMP | syscall.BPF_JEQ,
			syscall.BPF_JMP | syscall.BPF_JSET, syscall.BPF_RET
		allow, fail                          = 0x7fff0000, 0x00050000
		noNewPrivileges, seccomp, withFilter = 38, 22, 2
	)
	tail := []syscall.SockFilter{{Code: load, K: 16 + 8*c.arg}, {Code: any, K: c.mask, Jf: 1}}
	if c.mask == always {
		tail = []syscall.SockFilter{{Code: load}, {Code: load}}
	}
	filter := append([]syscall.SockFilter{{Code: load}, {Code: equal, K: c.number, Jf: 3}}, tail...)
	filter = append(filter, syscall.SockFilter{Code: end, K: fail | uint32(c.errno)}, syscall.SockFilter{Code: end, K: allow})
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, seccomp, withFilter, uintptr(unsafe.Pointer(&program)))
	return errno
}

// TestAFailureAtAnyStepKeepsTheOldRecord has the kernel fail each kind of call that
// a save makes.
func TestAFailureAtAnyStepKeepsTheOldRecord(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	for _, step := range []struct {
		name  string
		call  call
		owner string // of the new record; the old one is ada's
	}{
		{"create", call{syscall.SYS_OPENAT, 2, syscall.O_CREAT, syscall.ENOSPC}, "ada"},
		{"create, too many files", call{syscall.SYS_OPENAT, 2, syscall.O_CREAT, syscall.EMFILE}, "ada"},
		{"write", call{syscall.SYS_WRITE, 2, long, syscall.ENOSPC}, "ada"},
		{"sync", call{syscall.SYS_FSYNC, 0, always, syscall.EIO}, "ada"},
		{"close", call{syscall.SYS_CLOSE, 0, always, syscall.EIO}, "ada"},
		{"lock", call{syscall.SYS_FLOCK, 0, always, syscall.ENOLCK}, "ada"},
		{"mark", call{syscall.SYS_MKDIRAT, 0, always, syscall.ENOSPC}, "bob"},
		{"rename", call{syscall.SYS_RENAMEAT, 0, always, syscall.EROFS}, "ada"},
	} {
		t.Run(step.name, func(t *testing.T) {
			id := hash(step.name)
			save(t, s, id, record("kept"))
			rec, err := s.Load(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			rec.Data, rec.Owner = bytes.Repeat([]byte("secret "), longData), step.owner
			onThread(t, step.call.deny, func() { mustFail(t, "Save", s.Save(t.Context(), id, rec)) })
			mustHold(t, s, id, "kept")
			mustBeClean(t, dir)
			mustSee(t, s, "ada", id)
			if step.name != "close" { // where the file of the lock is still open
				save(t, s, id, rec)
				mustHold(t, s, id, string(rec.Data))
			}
		})
	}
}

// TestADirectoryThatCannotBeWritten is without the rights of root, who may always
// write.
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
		})
		mustHold(t, s, id, "kept")
		mustSee(t, s, "ada", id)
		mustBeClean(t, dir)
		newDirMode(t, filepath.Join(dir, part), 0o700)
	}
	onThread(t, become, func() {
		mustBe(t, "Save again", s.Save(t.Context(), hash("c"), record("written again")), nil)
		mustHold(t, s, hash("c"), "written again")
	})
}
