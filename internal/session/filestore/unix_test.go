//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func mkfifo(name string) error { return syscall.Mkfifo(name, 0o600) }

// TestModes runs with the umask 0, which corrects no mistake.
func TestModes(t *testing.T) {
	// This directory has the usual umask, because New refuses one that others could replace.
	top := t.TempDir()
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(top, "a", "b")
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("x"))
	if err := os.Chmod(fileOf(dir, id), 0o644); err != nil {
		t.Fatal(err)
	}
	rec, _ := s.Load(t.Context(), id)
	save(t, s, id, rec)
	n := 0
	filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		info, _ := entry.Info()
		want := os.FileMode(0o600)
		if entry.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode(), want)
		}
		n++
		return nil
	})
	if n < 256 {
		t.Errorf("%d files and directories, want 256 or more", n)
	}
}

// TestSavesWriteBeforeTheyLock holds the lock of a shard, as another process would. All
// saves of the shard write their files and marks even so, because no save holds the lock
// while a disk writes.
func TestSavesWriteBeforeTheyLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const savers = 10
		dir := newDir(t)
		s, id := open(t, dir), hash("a")
		save(t, s, id, record("0"))
		held, err := os.Open(filepath.Join(dir, "locks", id[:2]))
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		results := make(chan error)
		for i := range savers {
			go func() { results <- s.Save(t.Context(), id[:2]+hash(fmt.Sprint(i))[2:], record("new")) }()
		}
		synctest.Wait()
		temps, err := os.ReadDir(filepath.Join(dir, "tmp"))
		if err != nil || len(temps) != savers {
			t.Errorf("%d saves have written, %v, want all %d", len(temps), err, savers)
		}
		marks, err := os.ReadDir(filepath.Join(dir, "owners", hash("ada")[:2], hash("ada")))
		if err != nil || len(marks) != savers+1 {
			t.Errorf("%d records have marks, %v, want all %d", len(marks), err, savers+1)
		}
		held.Close()
		for range savers {
			mustBe(t, "Save", <-results, nil)
		}
		mustBeClean(t, dir)
		s.Close()
	})
}

// TestWaitingEndsWithTheContext holds the lock of a shard, as another process would.
func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newDir(t)
		s, id := open(t, dir), hash("a")
		save(t, s, id, record("0"))
		save(t, s, hash("b"), record("0"))
		held, err := os.Open(filepath.Join(dir, "locks", id[:2]))
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		files := openFiles(t)
		rec, err := s.Load(t.Context(), id) // needs no lock
		if err != nil {
			t.Fatal(err)
		}
		rec.Data = []byte("first")
		first := make(chan error)
		go func() { first <- s.Save(t.Context(), id, rec) }()
		synctest.Wait()

		mustGiveUp := func(what string, change func(context.Context) error) {
			t.Helper()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			mustBe(t, what+" behind another", change(ctx), context.DeadlineExceeded)
			cancel()
			if d := time.Since(begin); d != time.Second {
				t.Errorf("%s gave up after %v, want %v", what, d, time.Second)
			}
		}
		mustGiveUp("Save", func(ctx context.Context) error { return s.Save(ctx, id, rec) })
		mustGiveUp("Delete", func(ctx context.Context) error { return s.Delete(ctx, id) })
		mustLoad(t, s, id, "0")
		other, _ := s.Load(t.Context(), hash("b"))
		save(t, s, hash("b"), other) // whose shard is another

		held.Close()
		mustBe(t, "the first Save", <-first, nil)
		mustLoad(t, s, id, "first")

		held, _ = os.Open(filepath.Join(dir, "locks", id[:2]))
		defer held.Close()
		syscall.Flock(int(held.Fd()), syscall.LOCK_EX)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rec.Version, rec.Data = 2, []byte("second")
		mustBe(t, "Save behind the lock", s.Save(ctx, id, rec), context.DeadlineExceeded)
		mustLoad(t, s, id, "first")
		mustBeClean(t, dir)
		if n := openFiles(t); n > files {
			t.Errorf("%d files are open, want no more than the %d before", n, files)
		}
		s.Close()
	})
}
