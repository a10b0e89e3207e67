package filestore_test

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"example.com/sessions/internal/session"
)

// call is a system call that fails with errno, if argument arg has a bit of mask.
type call struct {
	number, arg, mask uint32
	errno             syscall.Errno
}

const (
	// always is the mask of a call that fails with any arguments.
	always = 0

	// long is the mask of a write of 64 KiB or more, and longData is the size of a
	// record that needs such a write. Package testing and the runtime write on the same thread: a log
	// of the files that the test opened, and 8 bytes that wake the network poller.
	// Their writes are short, and must not fail.
	long     = 0xffff0000
	longData = 1 << 16
)

// deny installs a seccomp filter, so that the kernel fails this system call of this
// thread from now on.
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

// TestAFailureAtAnyStepKeepsTheOldRecord makes each kind of system call fail that a save
// makes.
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
			mustLoad(t, s, id, "kept")
			mustBeClean(t, dir)
			mustSee(t, s, "ada", id)
			if step.name != "close" { // because the lock's file is still open then
				save(t, s, id, rec)
				mustLoad(t, s, id, string(rec.Data))
			}
		})
	}
}

// TestATombstoneThatCannotBeWritten makes each kind of system call fail that needs room
// on the disk. The session ends even so.
func TestATombstoneThatCannotBeWritten(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	for _, step := range []struct {
		name  string
		call  call
		owner string // of the tombstone; the record is ada's
	}{
		{"create, no space", call{syscall.SYS_OPENAT, 2, syscall.O_CREAT, syscall.ENOSPC}, "ada"},
		{"create, over quota", call{syscall.SYS_OPENAT, 2, syscall.O_CREAT, syscall.EDQUOT}, "ada"},
		{"write, no space", call{syscall.SYS_WRITE, 2, long, syscall.ENOSPC}, "ada"},
		{"write, over quota", call{syscall.SYS_WRITE, 2, long, syscall.EDQUOT}, "ada"},
		{"write, too large", call{syscall.SYS_WRITE, 2, long, syscall.EFBIG}, "ada"},
		{"write, broken", call{syscall.SYS_WRITE, 2, long, syscall.EIO}, "ada"},
		{"mark", call{syscall.SYS_MKDIRAT, 0, always, syscall.ENOSPC}, "bob"},
		{"rename", call{syscall.SYS_RENAMEAT, 0, always, syscall.ENOSPC}, "ada"},
	} {
		t.Run(step.name, func(t *testing.T) {
			id := hash("tombstone, " + step.name)
			save(t, s, id, record("secret"))
			tombstone := record(string(bytes.Repeat([]byte("x"), longData)))
			tombstone.Owner, tombstone.Ended = step.owner, true
			onThread(t, step.call.deny, func() {
				tombstone.Version = 7
				mustBe(t, "a stale tombstone", s.Save(t.Context(), id, tombstone), session.ErrConflict)
				mustLoad(t, s, id, "secret")
				tombstone.Version = 1
				mustBe(t, "Save of the tombstone", s.Save(t.Context(), id, tombstone), nil)
			})
			mustBeEnded(t, s, id)
			mustBeClean(t, dir)
		})
	}
}

// TestATombstoneThatCannotBeSaved has errors that are not the disk's. They remove
// nothing.
func TestATombstoneThatCannotBeSaved(t *testing.T) {
	s, id := open(t, newDir(t)), hash("a")
	save(t, s, id, record("kept"))
	tombstone := record("")
	tombstone.Version, tombstone.Ended = 1, true

	wrong := tombstone
	wrong.Owner = "a\xff"
	mustFail(t, "an owner that is not text", s.Save(t.Context(), id, wrong))
	wrong = tombstone
	wrong.Expires = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	mustFail(t, "a time that JSON does not have", s.Save(t.Context(), id, wrong))
	mustBe(t, "a context that ends", s.Save(&endsAfter{t.Context(), 1}, id, tombstone), context.Canceled)
	onThread(t, call{syscall.SYS_FLOCK, 0, always, syscall.ENOLCK}.deny, func() {
		mustFail(t, "no lock", s.Save(t.Context(), id, tombstone))
	})
	mustLoad(t, s, id, "kept")

	wrong = tombstone
	wrong.Version, wrong.Data = 0, make([]byte, longData) // there is no record that it ends
	onThread(t, call{syscall.SYS_WRITE, 2, long, syscall.ENOSPC}.deny, func() {
		mustFail(t, "a tombstone of nothing", s.Save(t.Context(), hash("nothing"), wrong))
	})
}
