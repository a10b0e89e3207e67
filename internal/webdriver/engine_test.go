package webdriver

import (
	"fmt"
	"testing"
)

// recorder is a test that has not ended when it fails or skips.
type recorder struct {
	testing.TB
	failure, skip string
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.failure = fmt.Sprint(args...) }
func (r *recorder) Skip(args ...any)  { r.skip = fmt.Sprint(args...) }

func TestMissingEngineNamesItsPackages(t *testing.T) {
	t.Setenv("PATH", "")
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		for engine, want := range map[Engine]string{
			Chromium: "to use chromium, install Debian's chromium-driver and chromium",
			Firefox:  "to use firefox, install Debian's firefox-esr",
		} {
			var r recorder
			engine.Require(&r)
			got, other := r.skip, r.failure
			if ci == "true" {
				got, other = r.failure, r.skip
			}
			if got != want || other != "" {
				t.Errorf("CI=%s: skip %q, failure %q, want one of them to be %q", ci, r.skip, r.failure, want)
			}
		}
	}
}
