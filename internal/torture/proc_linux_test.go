package torture

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// descriptors returns how many files and connections a process has open.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// memory returns how many kB of memory a process has that are not a file's.
func memory(t *testing.T, p *process) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "RssAnon:" {
			kB, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kB
		}
	}
	t.Fatal("/proc does not say how much memory a process has")
	return 0
}

// goroutines ends a process with SIGQUIT, and returns how many goroutines it had. It does
// not count main's, and those of the runtime, which starts some when it first collects
// garbage.
func goroutines(t *testing.T, p *process) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	_, dump, _ := strings.Cut(p.said(t), "SIGQUIT")
	if !strings.Contains(dump, "\ngoroutine 1 ") {
		t.Fatalf("%s left no dump of its goroutines, want one", p.folder)
	}
	return strings.Count(dump, "\ncreated by ") - strings.Count(dump, "\ncreated by runtime.")
}
