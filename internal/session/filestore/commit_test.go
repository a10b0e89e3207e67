package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// inShard returns the ID of a record whose shard is 4f.
func inShard(text string) string { return "4f" + newID(text)[2:] }

// mustOpen opens the store's directory, and closes it when the test has ended.
func mustOpen(t *testing.T, s *Store) *os.Root {
	t.Helper()
	root, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// TestNoOneHoldsALockDuringASync has a sync of the directory that does not end.
func TestNoOneHoldsALockDuringASync(t *testing.T) {
	s := newStore(t)
	gone := inShard("gone")
	if err := s.Save(t.Context(), gone, record("ada", time.Hour)); err != nil {
		t.Fatal(err)
	}
	syncing := &s.commits[0x4f].syncing
	syncing.Lock()
	results := make(chan error)
	for _, name := range []string{"a", "b", "c"} {
		go func() { results <- s.Save(context.Background(), inShard(name), record("ada", time.Hour)) }()
	}
	go func() { results <- s.Delete(context.Background(), gone) }()
	for _, name := range []string{"a", "b", "c"} {
		for _, err := s.Load(t.Context(), inShard(name)); err != nil; _, err = s.Load(t.Context(), inShard(name)) {
			runtime.Gosched()
		}
	}
	for _, err := s.Load(t.Context(), gone); err == nil; _, err = s.Load(t.Context(), gone) {
		runtime.Gosched()
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	unlock, err := s.lock(ctx, mustOpen(t, s), gone)
	if err != nil {
		t.Fatalf("lock: %v, want nil at once", err)
	}
	unlock()
	select {
	case err := <-results:
		t.Errorf("a call returned %v during the sync, want that it waits", err)
	default:
	}
	syncing.Unlock()
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// waitFor returns as soon as a sync waits for the one that runs.
func waitFor(c *commits) {
	for {
		c.mu.Lock()
		waits := c.next != nil
		c.mu.Unlock()
		if waits {
			return
		}
		runtime.Gosched()
	}
}

// TestASyncServesThoseWhoCameBeforeItBegan: all of them get its error.
func TestASyncServesThoseWhoCameBeforeItBegan(t *testing.T) {
	s, other := newStore(t), newStore(t)
	root := mustOpen(t, s)
	for dir, want := range map[string]error{"sessions/4f": nil, "sessions/none": fs.ErrNotExist} {
		t.Run(dir, func(t *testing.T) {
			c := new(commits)
			c.syncing.Lock() // like a sync that began before them
			results := make(chan error)
			for range 3 {
				go func() { results <- c.sync(root, dir) }()
			}
			waitFor(c)
			if err := c.sync(mustOpen(t, other), "sessions/4f"); err != nil {
				t.Errorf("a sync of another directory: %v, want nil at once", err)
			}
			select {
			case err := <-results:
				t.Errorf("a call returned %v before the sync began, want that it waits", err)
			default:
			}
			c.syncing.Unlock()
			for range 3 {
				if err := <-results; !errors.Is(err, want) {
					t.Errorf("sync: %v, want %v", err, want)
				}
			}
			if c.next != nil {
				t.Error("a sync still waits, want none")
			}
		})
	}
}

// TestWritersAreLimited: each writer may take a thread.
func TestWritersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		for range maxWriters {
			s.writers <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Save(ctx, newID("a"), record("ada", time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Save: %v, want %v", err, context.DeadlineExceeded)
		}
		<-s.writers
		if err := s.Save(t.Context(), newID("a"), record("ada", time.Hour)); err != nil {
			t.Errorf("Save when one has ended: %v", err)
		}
		if n := len(s.writers); n != maxWriters-1 {
			t.Errorf("%d writers, want the other %d", n, maxWriters-1)
		}
		s.Close()
	})
}
