//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filestore

import (
	"context"
	"os"
)

const nonblock = 0

// lock does not lock: there is no flock here, and so the directory is for one
// process and one store, whose goroutines take turns.
func lock(ctx context.Context, root *os.Root, id string) (unlock func(), err error) {
	return func() {}, ctx.Err()
}
