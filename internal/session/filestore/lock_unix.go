//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// nonblock makes opening a FIFO return at once, even if its other end is closed.
const nonblock = syscall.O_NONBLOCK

// flock keeps other processes, and other stores of this one, from changing a record
// of the shard, until unlock is called. The system unlocks when a process dies,
// however it dies. There is no way to wait for both flock and ctx, so this asks
// again and again. In each store, one goroutine a shard does: see [Store.lock].
func flock(ctx context.Context, root *os.Root, id string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A lock that is there must open on a full disk, too, and so without O_CREATE.
	f, err := root.OpenFile(lockFile(id), os.O_RDWR|nonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = root.OpenFile(lockFile(id), os.O_RDWR|os.O_CREATE|nonblock, 0o600)
	}
	if err != nil {
		return nil, err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // which unlocks
		}
		if err == syscall.EWOULDBLOCK || err == syscall.EINTR {
			err = sleep(ctx, pause)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
