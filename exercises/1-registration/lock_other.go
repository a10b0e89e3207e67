//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package main

import "os"

// flock does not lock: there is none here. Nobody but you keeps a second process
// from the file.
func flock(f *os.File) error { return nil }
