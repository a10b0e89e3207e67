//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filestore

import (
	"context"
	"os"
)

const nonblock = 0

// flock does not lock, because the system has no such call. So one process may use
// the directory, with one store: see [Store.lock].
func flock(ctx context.Context, root *os.Root, id string) (unlock func(), err error) {
	return func() {}, ctx.Err()
}
