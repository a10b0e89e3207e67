package filestore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/storetest"
)

func TestStore(t *testing.T) {
	dir := newDir(t) // one for all, because to make and remove one takes longer than most tests
	storetest.Run(t, func(t *testing.T) session.Store { return open(t, dir) })
}

// newDir returns the name of a directory that does not exist yet.
func newDir(t testing.TB) string { return filepath.Join(t.TempDir(), "of", "sessions") }

// open opens the store in dir, and closes it when the test has ended.
func open(t testing.TB, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// hash returns the ID of a record, or the name of an owner's directory.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// fileOf returns the name of a record's file.
func fileOf(dir, id string) string { return filepath.Join(dir, "sessions", id[:2], id) }

// record returns a record of ada's that expires in an hour.
func record(data string) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(data), Owner: "ada", Created: now, Used: now, Expires: now.Add(time.Hour)}
}

func save(t testing.TB, s *filestore.Store, id string, rec session.Record) {
	t.Helper()
	if err := s.Save(t.Context(), id, rec); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// mustLoad fails the test unless the record can be loaded and has these data.
func mustLoad(t testing.TB, s *filestore.Store, id, data string) {
	t.Helper()
	rec, err := s.Load(t.Context(), id)
	if err != nil || string(rec.Data) != data {
		t.Errorf("Load = %.40q, %v, want %.40q", rec.Data, err, data)
	}
}

// mustBe fails the test unless err is the error that is wanted.
func mustBe(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// mustFail fails the test unless err says that the store failed. Such an error has the
// store's prefix, and does not say anything about a record or its data.
func mustFail(t testing.TB, what string, err error) {
	t.Helper()
	for _, no := range []error{nil, session.ErrNotFound, session.ErrConflict, session.ErrCorrupt} {
		if errors.Is(err, no) {
			t.Errorf("%s: %v, want another error, which says that the store failed", what, err)
			return
		}
	}
	if !strings.HasPrefix(err.Error(), "session: filestore: ") {
		t.Errorf("%s: the error is %q, want the prefix \"session: filestore: \"", what, err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: the error is %q, want no data of the record in it", what, err)
	}
}

// mustSee fails the test if the owner's list lacks a record.
func mustSee(t testing.TB, s *filestore.Store, owner, id string) {
	t.Helper()
	records, err := s.List(t.Context(), owner)
	if err != nil {
		t.Errorf("List: %v", err)
	}
	if !slices.ContainsFunc(records, func(rec session.Record) bool { return rec.ID == id }) {
		t.Errorf("the list of %s has %d records, want %s among them", owner, len(records), id)
	}
}

// mustBeClean fails the test if temporary files are left.
func mustBeClean(t testing.TB, dir string) {
	t.Helper()
	if temps, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(temps) > 0 {
		t.Errorf("%d temporary files are left: %v", len(temps), err)
	}
}

func TestSessionsSurviveARestart(t *testing.T) {
	dir := newDir(t)
	want, id := record("kept"), hash("a")
	first := open(t, dir)
	save(t, first, id, want)
	first.Close()
	rec, err := open(t, dir).Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if string(rec.Data) != "kept" {
		t.Errorf("data %q, want %q", rec.Data, "kept")
	}
	if rec.Owner != "ada" {
		t.Errorf("owner %q, want %q", rec.Owner, "ada")
	}
	if rec.Version != 1 {
		t.Errorf("version %d, want 1", rec.Version)
	}
	if rec.ID != id {
		t.Errorf("ID %s, want %s", rec.ID, id)
	}
	// The times come back to the nanosecond.
	if !rec.Created.Equal(want.Created) {
		t.Errorf("created %v, want %v", rec.Created, want.Created)
	}
	if !rec.Used.Equal(want.Used) {
		t.Errorf("used %v, want %v", rec.Used, want.Used)
	}
	if !rec.Expires.Equal(want.Expires) {
		t.Errorf("expires %v, want %v", rec.Expires, want.Expires)
	}
}

func TestAnIDIsNeverAPath(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	before := tree(t, filepath.Dir(dir))
	id := hash("a")
	for _, bad := range []string{
		"", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", `a\b`, "con", id[:63], id + "0", strings.ToUpper(id),
		id[:63] + "/", id[:63] + "\x00", id[:63] + "\n", id[:61] + "/..", "../" + id[3:], strings.Repeat("a", 100_000), "é" + id[2:],
	} {
		_, err := s.Load(t.Context(), bad)
		mustBe(t, fmt.Sprintf("Load(%.20q)", bad), err, session.ErrNotFound)
		mustFail(t, fmt.Sprintf("Save(%.20q)", bad), s.Save(t.Context(), bad, record("secret")))
		mustBe(t, fmt.Sprintf("Delete(%.20q)", bad), s.Delete(t.Context(), bad), nil)
	}
	if after := tree(t, filepath.Dir(dir)); after != before {
		t.Errorf("the files are\n%s\nwant as before\n%s", after, before)
	}
}

// tree returns the names of all files under dir.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestEveryCutAndEveryFlippedBitIsFound(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record(`{"visits":3}`))
	name := fileOf(dir, id)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	try := func(what string, content []byte) {
		t.Helper()
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(int64(len(content))); err != nil {
			t.Fatal(err)
		}
		if rec, err := s.Load(t.Context(), id); !errors.Is(err, session.ErrCorrupt) || rec.Data != nil {
			t.Errorf("%s: Load = %+v, %v, want no data and %v", what, rec, err, session.ErrCorrupt)
		}
	}
	for n := range good {
		try(fmt.Sprint("cut to ", n), good[:n])
	}
	for i := range 8 * len(good) {
		flipped := bytes.Clone(good)
		flipped[i/8] ^= 1 << (i % 8)
		try(fmt.Sprintf("bit %d of byte %d", i%8, i/8), flipped)
	}
	try("a byte more", append(bytes.Clone(good), 'x'))
	try("itself twice", append(bytes.Clone(good), good...))
	try("a foreign file", []byte("PNG\n\x1a\nand so on"))
	try("zeros", make([]byte, 4096))
	try("nothing", nil)
	mustBe(t, "List", errOf(s.List(t.Context(), "ada")), nil)

	stale := record("new")
	stale.Version = 1
	mustBe(t, "Save of version 1 over it", s.Save(t.Context(), id, stale), session.ErrCorrupt)
	save(t, s, id, record("new"))
	mustLoad(t, s, id, "new")
}

// errOf returns the error of a call that also returns something else.
func errOf[T any](_ T, err error) error { return err }

func TestACopyUnderAnotherNameOpensNothing(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("ada's"))
	other := id[:32] + hash("b")[32:] // in the same directory
	if err := os.Link(fileOf(dir, id), fileOf(dir, other)); err != nil {
		t.Skip("no hard links here: ", err)
	}
	_, err := s.Load(t.Context(), other)
	mustBe(t, "Load", err, session.ErrCorrupt)
	save(t, s, other, record("its own"))
	mustLoad(t, s, other, "its own")
	mustLoad(t, s, id, "ada's")
}

// TestLinksAndDirectoriesAreNotFollowed plants what a restored backup or another program
// may leave under a record's name.
func TestLinksAndDirectoriesAreNotFollowed(t *testing.T) {
	dir := newDir(t)
	s, victim := open(t, dir), hash("victim")
	save(t, s, victim, record("the victim's"))
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("not ours"), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join("..", victim[:2], victim)
	for what, plant := range map[string]func(name string) error{
		"a link inside":       func(name string) error { return os.Symlink(inside, name) },
		"a link outside":      func(name string) error { return os.Symlink(outside, name) },
		"a relative way out":  func(name string) error { return os.Symlink("../../../../outside", name) },
		"a link to nothing":   func(name string) error { return os.Symlink("nothing", name) },
		"a link to itself":    func(name string) error { return os.Symlink(filepath.Base(name), name) },
		"a directory":         func(name string) error { return os.Mkdir(name, 0o700) },
		"a FIFO":              mkfifo,
		"a foreign hard link": func(name string) error { return os.Link(outside, name) },
	} {
		t.Run(what, func(t *testing.T) {
			id := hash(what)
			if err := plant(fileOf(dir, id)); err != nil {
				t.Logf("cannot be made here: %v", err)
				return
			}
			mustBe(t, "Load", errOf(s.Load(t.Context(), id)), session.ErrCorrupt)
			stale := record("new")
			stale.Version = 1
			mustBe(t, "Save of version 1", s.Save(t.Context(), id, stale), session.ErrCorrupt)
			save(t, s, id, record("new"))
			mustLoad(t, s, id, "new")

			id = hash(what + ", to delete")
			if err := plant(fileOf(dir, id)); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "Delete", s.Delete(t.Context(), id), nil)
			mustBe(t, "Load after Delete", errOf(s.Load(t.Context(), id)), session.ErrNotFound)
		})
	}
	mustLoad(t, s, victim, "the victim's")
	if got, _ := os.ReadFile(outside); string(got) != "not ours" {
		t.Errorf("the file outside has %q, want %q as before", got, "not ours")
	}
	mustBeClean(t, dir)
}

func TestADirectoryInTheRecordsPlaceStopsASave(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	kept := filepath.Join(fileOf(dir, id), "kept")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	mustFail(t, "Save", s.Save(t.Context(), id, record("secret")))
	mustFail(t, "Delete", s.Delete(t.Context(), id))
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	mustBeClean(t, dir)
}

func TestADirectoryThatOthersCanEnterIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	s := open(t, newDirMode(t, dir, 0o700))
	for _, mode := range []os.FileMode{0o777, 0o755, 0o750, 0o701, 0o1777} {
		_, err := filestore.New(newDirMode(t, dir, mode))
		if err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("%o: New says %v, want an error that says chmod 700", mode, err)
		}
		mustFail(t, "Load", errOf(s.Load(t.Context(), hash("a"))))
	}
	newDirMode(t, dir, 0o700)
	save(t, s, hash("a"), record("x"))
}

func TestAnEmptyDirectoryIsClosedToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := newDirMode(t, t.TempDir(), 0o755)
	save(t, open(t, dir), hash("a"), record("x"))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
}

// newDirMode gives a directory a mode, and returns its name.
func newDirMode(t *testing.T, dir string, mode os.FileMode) string {
	t.Helper()
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestADirectoryThatGoesAndComesBack has the operator's most frequent mistake. While the
// directory is away, no call returns ErrNotFound, because that would log every visitor
// out.
func TestADirectoryThatGoesAndComesBack(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("kept"))
	down := func(what string) {
		t.Helper()
		mustFail(t, what+", Load", errOf(s.Load(t.Context(), id)))
		mustFail(t, what+", List", errOf(s.List(t.Context(), "ada")))
		mustFail(t, what+", Save", s.Save(t.Context(), hash("b"), record("secret")))
		mustFail(t, what+", Delete", s.Delete(t.Context(), id))
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Rename(dir, dir+".moved"))
	down("moved")
	do(os.WriteFile(dir, nil, 0o600))
	down("a file in its place")
	do(os.Remove(dir))
	do(os.Rename(dir+".moved", dir))
	mustLoad(t, s, id, "kept")

	do(os.RemoveAll(dir))
	down("removed")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v, want that only New makes it again", err)
	}
	do(os.Mkdir(dir, 0o700))
	_, err := s.Load(t.Context(), id)
	mustBe(t, "Load from an empty one", err, session.ErrNotFound)
	mustBe(t, "Delete from an empty one", s.Delete(t.Context(), id), nil)
	save(t, s, id, record("again"))
	mustLoad(t, s, id, "again")
	for _, part := range []string{"sessions", "sessions/" + id[:2], "owners", "locks", "tmp"} {
		do(os.RemoveAll(filepath.Join(dir, part)))
		mustBe(t, "Delete without "+part, s.Delete(t.Context(), id), nil)
		do(os.RemoveAll(filepath.Join(dir, part)))
		save(t, s, id, record("without "+part))
		mustLoad(t, s, id, "without "+part)
	}
}

func TestTheWorkingDirectoryMayChange(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "sessions")
	t.Chdir(t.TempDir())
	save(t, s, hash("a"), record("x"))
}

// TestAMarkThatGotLostComesBack has a tool that cleans up. It removes files that no one
// has written to for a while.
func TestAMarkThatGotLostComesBack(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("1"))
	if err := os.RemoveAll(filepath.Join(dir, "owners")); err != nil {
		t.Fatal(err)
	}
	rec, _ := s.Load(t.Context(), id)
	save(t, s, id, rec)
	mustSee(t, s, "ada", id)
}

// An empty list without an error would make an owner believe that all sessions have
// ended.
func TestAListThatCannotBeReadIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows only a privileged user can make a symbolic link")
	}
	id := hash("a record")
	for what, spoil := range map[string]func(dir string) error{
		"the index leads out of the directory": func(dir string) error {
			index := filepath.Join(dir, "owners", hash("ada")[:2], hash("ada"))
			return errors.Join(os.RemoveAll(index), os.Symlink(t.TempDir(), index))
		},
		"the record is where no directory is": func(dir string) error {
			shard := filepath.Join(dir, "sessions", id[:2])
			return errors.Join(os.RemoveAll(shard), os.WriteFile(shard, nil, 0o600))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := newDir(t)
			s := open(t, dir)
			save(t, s, id, record("{}"))
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			records, err := s.List(t.Context(), "ada")
			mustFail(t, "List", err)
			if len(records) > 0 {
				t.Errorf("%d records, want none", len(records))
			}
		})
	}
}

func TestAFileThatIsNotAMarkIsPassedOver(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	id := hash("a record")
	save(t, s, id, record("{}"))
	if err := os.WriteFile(filepath.Join(dir, "owners", hash("ada")[:2], hash("ada"), ".DS_Store"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustSee(t, s, "ada", id)
}

// endsAfter is a context that ends when it has been asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (c *endsAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// The directory of an owner's marks is removed with the last mark. That may happen after
// List has opened the directory, and before it reads it.
func TestAListWhileTheLastSessionOfAnOwnerEnds(t *testing.T) {
	s, id := open(t, newDir(t)), hash("a")
	ctx, done := context.WithCancel(t.Context())
	var lists sync.WaitGroup
	lists.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.List(t.Context(), "ada"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		save(t, s, id, record("x"))
		mustBe(t, "Delete", s.Delete(t.Context(), id), nil)
	}
	done()
	lists.Wait()
}

// An owner may have more sessions than List can read within a deadline. The caller ends
// those that were read, and calls List again.
func TestAListEndsWithItsContext(t *testing.T) {
	s := open(t, newDir(t))
	for _, name := range []string{"one", "two", "three"} {
		save(t, s, "4f"+hash(name)[2:], record("{}")) // all in one shard
	}
	for n, want := range []int{0, 0, 1, 2} { // the first look is before the directory is opened
		records, err := s.List(&endsAfter{t.Context(), n}, "ada")
		mustBe(t, fmt.Sprintf("a context that ends after %d looks", n), err, context.Canceled)
		if len(records) != want {
			t.Errorf("a context that ends after %d looks: %d records, want the %d that were read", n, len(records), want)
		}
	}
	for i := range 100 {
		save(t, s, hash(fmt.Sprint(i)), record("{}"))
	}
	for passes := 1; ; passes++ {
		records, err := s.List(&endsAfter{t.Context(), 21}, "ada")
		for _, rec := range records {
			mustBe(t, "Delete", s.Delete(t.Context(), rec.ID), nil)
		}
		if err == nil {
			break
		}
		if passes > 6 {
			t.Fatalf("%d of 103 records are left after %d passes of 20", 103-20*passes, passes)
		}
	}
}

func TestAnOwnerThatIsNotTextIsRefused(t *testing.T) {
	dir := newDir(t)
	rec := record("secret")
	rec.Owner = "a\xff"
	mustFail(t, "Save", open(t, dir).Save(t.Context(), hash("a"), rec))
	mustBeClean(t, dir)
}

func TestAClosedStoreFails(t *testing.T) {
	s, id := open(t, newDir(t)), hash("a")
	save(t, s, id, record("x"))
	for range 2 {
		mustBe(t, "Close", s.Close(), nil)
	}
	mustBe(t, "Load", errOf(s.Load(t.Context(), id)), fs.ErrClosed)
	mustBe(t, "Save", s.Save(t.Context(), id, record("secret")), fs.ErrClosed)
	mustBe(t, "Delete", s.Delete(t.Context(), id), fs.ErrClosed)
	mustBe(t, "List", errOf(s.List(t.Context(), "ada")), fs.ErrClosed)
}

// TestNothingStaysOpen makes every kind of call and error, many times.
func TestNothingStaysOpen(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	dir := newDir(t)
	s, err := filestore.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	save(t, s, hash("a"), record("x"))
	if err := os.Mkdir(fileOf(dir, hash("b")), 0o700); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 200 {
		s.Load(t.Context(), hash("a"))
		s.Load(t.Context(), hash("b"))
		s.Load(t.Context(), hash(fmt.Sprint(i)))
		s.Load(ended, hash("a"))
		s.Save(ended, hash("a"), record("x"))
		s.Save(t.Context(), hash("a"), record("a conflict"))
		s.List(t.Context(), "ada")
		s.List(t.Context(), "an owner without sessions")
	}
	if _, err := filestore.New(fileOf(dir, hash("a"))); err == nil {
		t.Error("New in the place of a file: nil, want an error")
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d files are open, want no more than the %d before", n, files)
	}
	s.Close()
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, want no more than the %d before", n, goroutines)
	}
}

// openFiles returns how many files this process has open, or 0 if the system does not say.
func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("files are not counted: %v", err)
	}
	return len(entries)
}
