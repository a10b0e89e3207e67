package drivers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// cluster is a PostgreSQL server for one test. It stores everything in a directory, and
// listens on a Unix socket there and on no port.
type cluster struct {
	bin, dir, settings string
}

// newCluster makes a cluster and starts it with the settings (-c name=value). If
// PostgreSQL is not installed, it skips the test, but fails it in CI.
func newCluster(t testing.TB, settings string) *cluster {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if name, err := exec.LookPath("initdb"); err == nil {
		found = append(found, name)
	}
	if len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is missing: apt-get install postgresql")
		}
		t.Skip("PostgreSQL is missing: apt-get install postgresql")
	}
	slices.Sort(found)
	dir, err := os.MkdirTemp("", "pg") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{filepath.Dir(found[len(found)-1]), dir, settings}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		if out, err := exec.Command("chown", "postgres", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c.mustRun(t, "initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
	c.start(t)
	t.Cleanup(func() { c.run("pg_ctl", "-D", c.data(), "-m", "immediate", "stop") })
	return c
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// url returns the URL of a database of the cluster.
func (c *cluster) url(database string) string {
	return "postgres://postgres@/" + database + "?host=" + c.dir
}

// start starts the server, and returns when it accepts connections.
func (c *cluster) start(t testing.TB) {
	t.Helper()
	c.mustRun(t, "pg_ctl", "-D", c.data(), "-w", "-l", filepath.Join(c.dir, "log"),
		"-o", "-c listen_addresses='' -c unix_socket_directories="+c.dir+" "+c.settings, "start")
}

// kill ends the server as kill -9 would, so that it writes nothing more.
func (c *cluster) kill(t testing.TB) {
	t.Helper()
	c.mustRun(t, "pg_ctl", "-D", c.data(), "-m", "immediate", "stop")
}

func (c *cluster) mustRun(t testing.TB, program string, args ...string) {
	t.Helper()
	if err := c.run(program, args...); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		t.Fatalf("%v\n%s", err, log)
	}
}

// run runs a program of PostgreSQL's.
func (c *cluster) run(program string, args ...string) error {
	args = append([]string{filepath.Join(c.bin, program)}, args...)
	if os.Geteuid() == 0 {
		args = append([]string{"runuser", "-u", "postgres", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = c.dir
	// Run would wait for a pipe, because the server would still have it open.
	out, err := os.CreateTemp("", "pg")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return errors.Join(err, fmt.Errorf("%s: %s", program, said))
	}
	return nil
}
