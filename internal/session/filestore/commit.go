package filestore

import (
	"io/fs"
	"os"
	"sync"
)

// A save ends with a sync of its shard's directory. When many saves of a shard end
// at the same time, one sync can serve them all. Each must wait for a sync that
// begins after its rename, because an earlier one may have missed it.

// commits syncs the directory of a shard.
type commits struct {
	syncing sync.Mutex // held while a sync runs
	mu      sync.Mutex
	next    *commit // a sync that has not begun, nil if there is none
}

// commit is one sync.
type commit struct {
	of   fs.FileInfo   // the store's directory
	done chan struct{} // closed when the sync has ended
	err  error
}

// sync returns when the disk has the names in the shard's directory dir.
func (c *commits) sync(root *os.Root, dir string) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	c.mu.Lock()
	next := c.next
	first := next == nil
	if first {
		next = &commit{of: info, done: make(chan struct{})}
		c.next = next
	}
	c.mu.Unlock()
	switch {
	case first:
		next.err = c.run(root, dir)
		close(next.done)
	case os.SameFile(next.of, info):
		<-next.done
	default: // the store's directory has been replaced at this moment
		return syncDir(root, dir)
	}
	return next.err
}

// run waits for the sync before this one, and syncs.
func (c *commits) run(root *os.Root, dir string) error {
	c.syncing.Lock()
	defer c.syncing.Unlock()
	c.mu.Lock()
	c.next = nil // because this sync may miss a rename that comes from now on
	c.mu.Unlock()
	return syncDir(root, dir)
}
