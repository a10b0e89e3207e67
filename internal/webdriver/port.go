package webdriver

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// tried is how many ports FreePort has tried.
var tried atomic.Int64

// FreePort returns a port of this machine that no one listens on. It returns each port
// only once.
//
// The port is below those that systems use for outgoing connections. Otherwise a
// connection of a browser could take the port before a program listens on it.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		// Processes begin at different ports, because their IDs differ.
		port := strconv.Itoa(12_000 + (os.Getpid()+int(tried.Add(1)))%20_000)
		if listener, err := net.Listen("tcp", "localhost:"+port); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
