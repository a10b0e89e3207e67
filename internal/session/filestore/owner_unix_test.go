//go:build unix

package filestore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
)

// another is a user who is neither root nor the one who runs the tests.
const another = 65534

// give gives a file or a link to another user. Only root can do that.
func give(t *testing.T, name string) {
	t.Helper()
	err := os.Lchown(name, another, another)
	if errors.Is(err, fs.ErrPermission) {
		if os.Getenv("CI") == "true" {
			t.Fatal("run this test as root, who can give files to another user")
		}
		t.Skip("only root can give files to another user; no Debian package helps")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustRefuse fails the test unless New refuses dir with an error that names the
// directory at fault.
func mustRefuse(t *testing.T, what, dir, fault string) {
	t.Helper()
	s, err := filestore.New(dir)
	if err == nil {
		s.Close()
		t.Errorf("%s: New opened it, want an error", what)
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "session: filestore: ") {
		t.Errorf("%s: New says %q, want the prefix \"session: filestore: \"", what, text)
	}
	if !strings.Contains(text, fault+" ") && !strings.Contains(text, fault+":") {
		t.Errorf("%s: New says %q, want that it names %s", what, text, fault)
	}
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("kept"))

	give(t, dir)
	mustRefuse(t, "another user's store", dir, dir)
	mustFail(t, "Load", errOf(s.Load(t.Context(), id)))
	mustFail(t, "Save", s.Save(t.Context(), hash("b"), record("secret")))
	mustFail(t, "Delete", s.Delete(t.Context(), id))
	mustFail(t, "List", errOf(s.List(t.Context(), "ada")))

	empty := t.TempDir()
	give(t, empty)
	mustRefuse(t, "another user's empty directory", empty, empty)
	if info, err := os.Stat(empty); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is %v, %v, want 0755 as before", info.Mode(), err)
	}
}

// TestTheWayIn has something on the way to the directory that others can replace.
func TestTheWayIn(t *testing.T) {
	mkdir := func(name string, mode os.FileMode) string {
		t.Helper()
		if err := errors.Join(os.Mkdir(name, 0o700), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	link := func(target, name string) string {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	top := t.TempDir()
	safe := mkdir(filepath.Join(top, "safe"), 0o755)
	sticky := mkdir(filepath.Join(top, "sticky"), os.ModeSticky|0o777)
	shared := mkdir(filepath.Join(top, "shared"), 0o777)
	for _, dir := range []string{
		filepath.Join(safe, "of", "sessions"), filepath.Join(sticky, "sessions"),
		filepath.Join(link(safe, filepath.Join(sticky, "to-safe")), "linked"),
		filepath.Join(link("../sticky/.././safe", filepath.Join(safe, "relative")), "linked again"),
	} {
		save(t, open(t, dir), hash("a"), record("x"))
	}
	own := mkdir(filepath.Join(top, "own"), 0o775)
	if err := os.Chown(own, -1, os.Geteuid()); err == nil { // the user is in such a group
		save(t, open(t, filepath.Join(own, "sessions")), hash("a"), record("x"))
	}

	mustRefuse(t, "a shared parent", filepath.Join(shared, "sessions"), shared)
	mustRefuse(t, "a shared grandparent", filepath.Join(shared, "of", "sessions"), shared)
	mustRefuse(t, "a link to a shared parent", filepath.Join(link(shared, filepath.Join(safe, "to-shared")), "sessions"), shared)
	mustRefuse(t, "a link in a shared parent", filepath.Join(link(safe, filepath.Join(shared, "to-safe")), "sessions"), shared)
	mustRefuse(t, "the directory as a link in a shared parent",
		link(filepath.Join(safe, "of", "sessions"), filepath.Join(shared, "sessions too")), shared)
	loop := link("loop", filepath.Join(safe, "loop"))
	if _, err := filestore.New(filepath.Join(loop, "sessions")); err == nil {
		t.Error("New opened a link to itself, want an error")
	}

	if os.Geteuid() == 0 {
		group := mkdir(filepath.Join(top, "group"), 0o775)
		if err := os.Chown(group, -1, another); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, "a parent that a group can write to", filepath.Join(group, "sessions"), group)
	}
	theirs := mkdir(filepath.Join(sticky, "theirs"), 0o755)
	give(t, theirs)
	mustRefuse(t, "another user's parent", filepath.Join(theirs, "sessions"), theirs)
	theirLink := link(safe, filepath.Join(sticky, "their-link"))
	give(t, theirLink)
	mustRefuse(t, "another user's link", filepath.Join(theirLink, "sessions"), theirLink)
}

// TestThePartsOfAStore puts a link, a file or another user's directory in the place of a
// part.
func TestThePartsOfAStore(t *testing.T) {
	for what, spoil := range map[string]func(part string) error{
		"a link": func(part string) error {
			return errors.Join(os.Rename(part, part+".moved"), os.Symlink(filepath.Base(part)+".moved", part))
		},
		"a file": func(part string) error {
			return errors.Join(os.RemoveAll(part), os.WriteFile(part, nil, 0o600))
		},
		"another user's directory": func(part string) error {
			give(t, part)
			return nil
		},
	} {
		for _, part := range []string{"sessions", "owners", "locks", "tmp", "sessions/4f"} {
			t.Run(what+" as "+part, func(t *testing.T) {
				dir := newDir(t)
				open(t, dir).Close()
				name := filepath.Join(dir, part)
				if err := spoil(name); err != nil {
					t.Fatal(err)
				}
				mustRefuse(t, what, dir, name)
			})
		}
	}
}

func TestARecordOfAnotherUserOpensNothing(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("forged"))
	give(t, fileOf(dir, id))
	_, err := s.Load(t.Context(), id)
	mustBe(t, "Load", err, session.ErrCorrupt)
	save(t, s, id, record("new"))
	mustLoad(t, s, id, "new")
}

// fsGroup does what Kubernetes does to a volume at each start of a pod.
func fsGroup(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o660)
		if entry.IsDir() {
			mode = os.ModeSetgid | 0o770
		}
		return os.Chmod(name, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAVolumeThatKubernetesHasOpened: New closes the volume again. So does a store that
// is running, as in a pod that a new one will replace.
func TestAVolumeThatKubernetesHasOpened(t *testing.T) {
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("kept"))

	fsGroup(t, dir)
	mustLoad(t, s, id, "kept")
	mustBeClosed(t, dir)

	fsGroup(t, dir)
	s = open(t, dir)
	for _, part := range []string{"", "sessions", "owners", "locks", "tmp", "sessions/4f"} {
		mustBeClosed(t, filepath.Join(dir, part))
	}
	rec, err := s.Load(t.Context(), id)
	mustBe(t, "Load", err, nil)
	mustSee(t, s, "ada", id)
	save(t, s, id, rec)
	if info, err := os.Stat(fileOf(dir, id)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the record that was saved again is %v, %v, want 0600", info.Mode(), err)
	}
}

// mustBeClosed fails the test if others can enter the directory.
func mustBeClosed(t *testing.T, dir string) {
	t.Helper()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s is %v, %v, want 0700", dir, info.Mode(), err)
	}
}

// TestADirectoryThatAGroupCanEnter: New closes it only if a store has made it.
func TestADirectoryThatAGroupCanEnter(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "theirs"), nil, 0o660); err != nil {
		t.Fatal(err)
	}
	newDirMode(t, dir, 0o770)
	mustRefuse(t, "a directory that no store has made", dir, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o770 {
		t.Errorf("its mode is %v, %v, want 0770 as before", info.Mode(), err)
	}
}
