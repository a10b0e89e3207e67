package filestore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

// newStore returns a store in a new directory, and closes it when the test has ended.
func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := New(filepath.Join(t.TempDir(), "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newID returns the ID of a record.
func newID(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// record returns a record of the owner's that expires after life.
func record(owner string, life time.Duration) session.Record {
	now := time.Now()
	return session.Record{Data: []byte("{}"), Owner: owner, Created: now, Used: now, Expires: now.Add(life)}
}

// plant writes a record and its mark without syncing anything.
func plant(t *testing.T, s *Store, id string, rec session.Record) {
	t.Helper()
	rec.ID, rec.Version = id, 1
	content, err := encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(s.dir, ownerDir(rec.Owner), id)
	err = errors.Join(
		os.WriteFile(filepath.Join(s.dir, recordFile(id)), content, 0o600),
		os.MkdirAll(filepath.Dir(mark), 0o700),
		os.WriteFile(mark, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// sweepAll sweeps every shard, as the sweeper does in an hour.
func sweepAll(t *testing.T, s *Store) {
	t.Helper()
	for i := range shards {
		if err := s.sweep(t.Context(), i); err != nil {
			t.Errorf("sweep %d: %v", i, err)
		}
	}
}

// find returns the files that match a pattern in the store's directory.
func find(t *testing.T, s *Store, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestASweepLosesNoSession sweeps while 8 goroutines save, load, delete, and give
// the names of expired records to new ones.
func TestASweepLosesNoSession(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const workers, each = 8, 12
	for i := range workers * each {
		plant(t, s, newID(fmt.Sprint("reused ", i)), record("expired", -time.Hour))
	}
	for i := range 1000 {
		plant(t, s, newID(fmt.Sprint("expired ", i)), record("expired", -time.Hour))
	}
	var wg sync.WaitGroup
	var running atomic.Int32
	running.Store(workers)
	for w := range workers {
		wg.Go(func() {
			defer running.Add(-1)
			for i := range each {
				work(t, s, fmt.Sprint(w*each+i))
			}
		})
	}
	for running.Load() > 0 {
		sweepAll(t, s)
	}
	wg.Wait()
	sweepAll(t, s)

	for i := range workers * each {
		if _, err := s.Load(t.Context(), newID(fmt.Sprint("reused ", i))); err != nil {
			t.Errorf("Load of a live session: %v", err)
		}
	}
	if records, err := s.List(t.Context(), "live"); err != nil || len(records) != workers*each {
		t.Errorf("%d live sessions are listed, %v, want %d", len(records), err, workers*each)
	}
	if n := len(find(t, s, "sessions/*/*")); n != workers*each {
		t.Errorf("%d records, want the %d live ones", n, workers*each)
	}
	if n := len(find(t, s, "owners/*/*/*")); n != workers*each {
		t.Errorf("%d marks, want those of the %d live ones", n, workers*each)
	}
	if n := len(find(t, s, "owners/*/*")); n != 1 {
		t.Errorf("%d owners, want 1", n)
	}
}

// work makes two sessions, one of them under an expired name, and ends the other.
func work(t *testing.T, s *Store, name string) {
	kept, ended := newID("reused "+name), newID("ended "+name)
	for _, id := range []string{kept, ended} {
		if err := s.Save(t.Context(), id, record("live", time.Hour)); err != nil {
			t.Errorf("Save: %v", err)
		}
		if _, err := s.Load(t.Context(), id); err != nil {
			t.Errorf("Load: %v", err)
		}
	}
	if err := s.Delete(t.Context(), ended); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

// TestWhatACrashLeavesIsSwept has marks and temporary files of processes that died at the
// worst moment, and files that are not the store's.
func TestWhatACrashLeavesIsSwept(t *testing.T) {
	s := newStore(t)
	live := newID("live")
	if err := s.Save(t.Context(), live, record("ada", time.Hour)); err != nil {
		t.Fatal(err)
	}
	bobs := newID("bob's") // was ada's a moment ago
	plant(t, s, bobs, record("ada", time.Hour))
	plant(t, s, bobs, record("bob", time.Hour))
	gone := newID("gone")
	plant(t, s, gone, record("ada", time.Hour))
	plant(t, s, newID("gone too"), record("bob", time.Hour))
	ours := filepath.Join(s.dir, recordFile(newID("corrupt")))
	old, young := filepath.Join(s.dir, "tmp", "old"), filepath.Join(s.dir, "tmp", "young")
	past := time.Now().Add(-tempAge - time.Second)
	err := errors.Join(
		os.Remove(filepath.Join(s.dir, recordFile(gone))),
		os.Remove(filepath.Join(s.dir, recordFile(newID("gone too")))),
		os.WriteFile(ours, []byte("corrupt"), 0o600),
		os.WriteFile(old, nil, 0o600), os.Chtimes(old, past, past),
		os.WriteFile(young, nil, 0o600),
		os.WriteFile(filepath.Join(s.dir, "sessions", "README"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if records, err := s.List(t.Context(), "ada"); err != nil || len(records) != 1 {
		t.Errorf("List = %v, %v, want the live one", records, err)
	}
	if err := s.Delete(t.Context(), bobs); err != nil {
		t.Fatal(err)
	}
	sweepAll(t, s)
	if marks := find(t, s, "owners/*/*/*"); len(marks) != 1 || filepath.Base(marks[0]) != live {
		t.Errorf("marks %v, want that of %s", marks, live)
	}
	if dirs := find(t, s, "owners/*/*"); len(dirs) != 1 {
		t.Errorf("owners %v, want one", dirs)
	}
	if temps := find(t, s, "tmp/*"); len(temps) != 1 || temps[0] != young {
		t.Errorf("temporary files %v, want the young one, which is being written", temps)
	}
	if _, err := os.Stat(ours); err != nil {
		t.Errorf("the corrupt record: %v, want that it stays", err)
	}

	if err := os.Chtimes(young, past, past); err != nil {
		t.Fatal(err)
	}
	next, err := New(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if temps := find(t, s, "tmp/*"); len(temps) > 0 {
		t.Errorf("New left %v, want no temporary files", temps)
	}
}

// TestTheSweeperLooksAgain: the sweeper looks at a record again under the lock, because
// the record may have changed since the first look.
func TestTheSweeperLooksAgain(t *testing.T) {
	s, id := newStore(t), newID("a")
	if err := s.Save(t.Context(), id, record("ada", time.Hour)); err != nil {
		t.Fatal(err)
	}
	root, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := s.removeMark(t.Context(), root, ownerDir("ada"), id); err != nil {
		t.Errorf("removeMark: %v", err)
	}
	if err := s.removeExpired(t.Context(), root, id); err != nil {
		t.Errorf("removeExpired: %v", err)
	}
	if records, err := s.List(t.Context(), "ada"); err != nil || len(records) != 1 {
		t.Errorf("List = %v, %v, want the record", records, err)
	}
}

// TestTheSweeperComesRound waits for two hours of synctest's clock.
func TestTheSweeperComesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		for i := range 20 {
			plant(t, s, newID(fmt.Sprint(i)), record("ada", time.Minute))
		}
		plant(t, s, newID("live"), record("ada", 24*time.Hour))
		<-time.After(shards*sweepEvery + time.Minute)
		<-time.After(shards*sweepEvery + time.Minute)
		synctest.Wait()
		if n := len(find(t, s, "sessions/*/*")); n != 1 {
			t.Errorf("%d records, want the live one", n)
		}
		if n := len(find(t, s, "owners/*/*/*")); n != 1 {
			t.Errorf("%d marks, want that of the live one", n)
		}
		s.Close()
	})
}
