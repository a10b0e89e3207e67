//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/filestore"
	"example.com/sessions/internal/session/storetest"
)

// TestMain runs the tests, or plays a role when child started this program as a second
// process of a test.
func TestMain(m *testing.M) {
	role := os.Getenv("FILESTORE_CHILD")
	if role == "" {
		os.Exit(m.Run())
	}
	s, err := filestore.New(os.Getenv("FILESTORE_DIR"))
	if err == nil {
		err = map[string]func(*filestore.Store) error{"visit": visit, "write": writeForEver, "full disk": fillDisk}[role](s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func visit(s *filestore.Store) error { return storetest.MakeVisits(s) }

// child returns a process that opens a store in dir and plays the role.
func child(t *testing.T, role, dir string, env ...string) *exec.Cmd {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name)
	cmd.Env = append(os.Environ(), append(env, "FILESTORE_CHILD="+role, "FILESTORE_DIR="+dir)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestTwoProcessesLoseNothing counts the visits of one session in two processes.
func TestTwoProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	storetest.RunProcesses(t, open(t, dir), func(env ...string) *exec.Cmd {
		return child(t, "visit", dir, env...)
	})
	mustBeClean(t, dir)
}

// TestKilledProcessesLoseNothing kills a process at any moment of its saves and
// deletes, and checks the files that it leaves. FILESTORE_KILLS is the number of kills;
// the torture test sets it to a large one.
func TestKilledProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	kills := 40
	if n, err := strconv.Atoi(os.Getenv("FILESTORE_KILLS")); err == nil {
		kills = n
	}
	dir := newDir(t)
	s := open(t, dir)
	writes := 0
	for range kills {
		acknowledged, tried := writeAndDie(t, dir)
		writes += len(acknowledged)
		mustBeWhole(t, s, acknowledged, tried)
	}
	if writes == 0 {
		t.Error("no process wrote anything")
	}
	temps, _ := os.ReadDir(filepath.Join(dir, "tmp"))
	t.Logf("%d kills, %d temporary files", kills, len(temps))
	past := time.Now().Add(-2 * time.Minute)
	for _, temp := range temps {
		if err := os.Chtimes(filepath.Join(dir, "tmp", temp.Name()), past, past); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	mustBeClean(t, dir)
}

// state is what a child made of a record, or was about to make of it. Version 0 means
// that there is no record.
type state struct {
	id      string
	version int64
	owner   string
}

// writeAndDie kills a child within 25 ms of its first write. It returns the last state of
// each record that the child said it had written, and the state that it was writing.
func writeAndDie(t *testing.T, dir string) (acknowledged map[string]state, tried state) {
	t.Helper()
	cmd := child(t, "write", dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	acknowledged = make(map[string]state)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var said string
		var at state
		if n, _ := fmt.Sscan(lines.Text(), &said, &at.id, &at.version, &at.owner); n != 4 {
			break // cut by the kill
		}
		if said == "try" {
			if tried.id == "" {
				time.AfterFunc(mathrand.N(25*time.Millisecond), func() { cmd.Process.Kill() })
			}
			tried = at
		} else {
			acknowledged[at.id] = at
		}
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the child ended with %v, want that the kill ended it", err)
	}
	return acknowledged, tried
}

// mustBeWhole fails the test if a record is neither the one that was acknowledged nor the
// one that was tried after it, or if its owner cannot see it.
func mustBeWhole(t *testing.T, s *filestore.Store, acknowledged map[string]state, tried state) {
	t.Helper()
	if _, ok := acknowledged[tried.id]; !ok {
		acknowledged[tried.id] = state{id: tried.id}
	}
	for id, want := range acknowledged {
		rec, err := s.Load(t.Context(), id)
		got := state{id: id, version: rec.Version, owner: "o" + rec.Owner}
		if errors.Is(err, session.ErrNotFound) {
			got, err = state{id: id}, nil
		}
		want.owner = ownerOf(want)
		tried.owner = ownerOf(tried)
		if err != nil {
			t.Errorf("Load: %v, want %+v or %+v", err, want, tried)
			continue
		}
		if got != want && got != tried {
			t.Errorf("Load = %+v, want %+v or %+v", got, want, tried)
			continue
		}
		if got.version == 0 {
			continue
		}
		if !bytes.Equal(rec.Data, dataOf(got)) {
			t.Errorf("%+v has the data %.100q, want those of this state", got, rec.Data)
		}
		if rec.Owner != "" {
			mustSee(t, s, rec.Owner, id)
		}
	}
}

// ownerOf returns the owner of a state. It returns "" if there is no record.
func ownerOf(at state) string {
	if at.version == 0 {
		return ""
	}
	return at.owner
}

// dataOf returns 20 to 40 kB that differ from those of every other state.
func dataOf(at state) []byte {
	return bytes.Repeat(fmt.Append(nil, at, ";"), 200+int(at.version)%10*20)
}

// writeForEver saves and deletes a few records until the process is killed. It prints
// each step before it begins and after it has succeeded.
func writeForEver(s *filestore.Store) error {
	var records []state
	for range 4 {
		records = append(records, state{id: hash(rand.Text())})
	}
	for i := 0; ; i++ {
		at := &records[mathrand.IntN(len(records))]
		next := state{at.id, at.version + 1, []string{"o", "oada", "obob"}[i%3]}
		if at.version > 2 && i%5 == 0 {
			next.version = 0
		}
		fmt.Println("try", next.id, next.version, next.owner)
		if err := apply(s, *at, next); err != nil {
			return err
		}
		fmt.Println("did", next.id, next.version, next.owner)
		*at = next
	}
}

// apply saves the next state of a record, or deletes the record if there is none.
func apply(s *filestore.Store, now, next state) error {
	if next.version == 0 {
		return s.Delete(context.Background(), now.id)
	}
	rec := record("")
	rec.Version, rec.Owner, rec.Data = now.version, strings.TrimPrefix(next.owner, "o"), dataOf(next)
	return s.Save(context.Background(), now.id, rec)
}

// TestAFullDiskKeepsTheOldRecord runs a child for which the system limits each file to
// 4,000 bytes.
func TestAFullDiskKeepsTheOldRecord(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s, id := open(t, dir), hash("a")
	save(t, s, id, record("kept"))
	out, err := child(t, "full disk", dir).Output()
	if err != nil {
		t.Errorf("the child: %v", err)
	}
	if !bytes.Contains(out, []byte("file too large")) {
		t.Errorf("the child says %q, want \"file too large\"", out)
	}
	mustLoad(t, s, id, "kept")
	mustBeClean(t, dir)
	_, err = s.Load(t.Context(), hash("ended"))
	mustBe(t, "Load of a session that ended", err, session.ErrNotFound)
}

// fillDisk prints the error of a save that does not fit on the disk. A tombstone that
// does not fit ends the session.
func fillDisk(s *filestore.Store) error {
	ended := hash("ended")
	if err := s.Save(context.Background(), ended, record("ended")); err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: 4000, Max: 4000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	rec, err := s.Load(context.Background(), hash("a"))
	if err != nil {
		return err
	}
	rec.Data = make([]byte, 5000)
	fmt.Println(s.Save(context.Background(), rec.ID, rec))
	rec.Version, rec.Ended = 1, true
	if err := s.Save(context.Background(), ended, rec); err != nil {
		return err
	}
	return s.Save(context.Background(), hash("small"), record("fits"))
}
