//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import (
	"testing"
	"time"
)

// testProcessorTime is nil, because this system does not tell the processor time.
var testProcessorTime func(t *testing.T) time.Duration
