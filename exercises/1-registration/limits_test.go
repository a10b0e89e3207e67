package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// This test uses the type failures of limits.go, because a test over HTTP would take
// 20,000 hashes.
func TestNoMoreNamesAreRememberedThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		for i := range maxNames + 100 {
			if err := f.begin(fmt.Sprint("name", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(f.names); n != maxNames {
			t.Errorf("got %d names, want %d", n, maxNames)
		}
		time.Sleep(pause)
		f.begin("the first one after the pause")
		if n := len(f.names); n != 1 {
			t.Errorf("after the pause: got %d names, want 1", n)
		}
	})
}
