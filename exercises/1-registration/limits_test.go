package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// To see this from outside would take 20,000 hashes, so this test looks inside. It
// goes with limits.go.
func TestNoMoreNamesAreRememberedThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		for i := range maxNames + 100 {
			if err := f.begin(fmt.Sprint("name", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(f.names); n != maxNames {
			t.Errorf("%d names are remembered, want %d", n, maxNames)
		}
		time.Sleep(pause)
		f.begin("the first one after the pause")
		if n := len(f.names); n != 1 {
			t.Errorf("after the pause %d names are remembered, want 1", n)
		}
	})
}
