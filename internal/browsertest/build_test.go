package browsertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Where build puts the programs, and what it returns for each of them.
var (
	binaries string
	builds   sync.Map
)

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "browsertest"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(binaries)
	os.Exit(status)
}

// build builds a program, such as lessons/04-auth, and returns the path of the binary. It
// builds each program once.
func build(program string) (binary string, err error) {
	once, _ := builds.LoadOrStore(program, sync.OnceValues(func() (string, error) {
		binary := filepath.Join(binaries, filepath.Base(program))
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "example.com/sessions/"+program)
		if output, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, output)
		}
		return binary, nil
	}))
	return once.(func() (string, error))()
}
