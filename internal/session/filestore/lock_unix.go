//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore

import (
	"context"
	"os"
	"syscall"
	"time"
)

// nonblock makes opening a FIFO return at once, without anybody at its other end.
const nonblock = syscall.O_NONBLOCK

// lock keeps other processes, and other stores of this one, from changing a record
// of the shard, until unlock is called. The system gives the lock up when a process
// dies, however it does. There is no way to wait for flock and for ctx, so this
// asks again and again; of one store no more than one goroutine does.
func lock(ctx context.Context, root *os.Root, id string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(lockFile(id), os.O_RDWR|os.O_CREATE|nonblock, 0o600)
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
