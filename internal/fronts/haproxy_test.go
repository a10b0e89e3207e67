package fronts

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startHAProxy starts HAProxy with the configuration of docs/deployment.md, in front of
// two programs. Each response says which one served it: one or two.
func startHAProxy(t *testing.T, one, two string) front {
	t.Helper()
	haproxy := find(t, "haproxy", "haproxy")
	dir := tempDir(t)
	f := front{socket: filepath.Join(dir, "socket"), certificate: newCertificate(t)}
	config := edit(t, configuration(t, "haproxy"),
		"bind :443 ", "bind unix@"+f.socket+" ",
		"/etc/haproxy/shop.example.pem", write(t, dir, "certificate.pem", f.certificate.cert+f.certificate.key),
		"server one 127.0.0.1:8081 ", "server one "+one+" ",
		"server two 127.0.0.1:8082 ", "server two "+two+" ",
	) + "    http-response set-header Served-By %s\n"
	f.process = start(t, accepts(f.socket), nil, haproxy, "-db", "-f", write(t, dir, "haproxy.cfg", config))
	if f.hasEnded() {
		t.Fatalf("HAProxy ended: %s", &f.output)
	}
	return f
}

// startRedis starts a Redis and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	redis := find(t, "redis-server", "redis-server")
	dir := t.TempDir()
	address, _ := startAt(t, says("Ready to accept connections"), nil, func(port string) []string {
		return []string{redis, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", ""}
	})
	return "redis://" + address
}

// startLesson08 starts two processes of lesson 08 with one secret, and a Redis for both.
// It returns their addresses.
func startLesson08(t *testing.T) (addresses [2]string, processes [2]*process) {
	t.Helper()
	lesson := filepath.Join(t.TempDir(), "lesson")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", lesson, "example.com/sessions/lessons/08-database")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	redis := startRedis(t)
	for i := range addresses {
		secret := []string{"SESSION_SECRET=the tests' secret, of more than 32 bytes"}
		addresses[i], processes[i] = startAt(t, says("listening on"), secret, func(port string) []string {
			return []string{lesson, "-addr", "127.0.0.1:" + port, "-store", redis}
		})
	}
	return addresses, processes
}

// Two visitors use lesson 08, whose two processes share a Redis. Then one process ends.
func TestSessionsSurviveRoundRobin(t *testing.T) {
	addresses, processes := startLesson08(t)
	f := startHAProxy(t, addresses[0], addresses[1])
	admin, guest := f.visitor(t), f.visitor(t)
	login := url.Values{"username": {"admin"}, "password": {"password"}}
	mustHaveStatus(t, admin.post("/login", login, "Origin", "https://"+host), http.StatusSeeOther)

	t.Run("both processes know both visitors", func(t *testing.T) {
		served := make(map[string]int)
		for n := range 20 {
			served[mustShow(t, admin.get("/"), visits(n+1), signedIn)]++
			served[mustShow(t, guest.get("/"), visits(n+1), signedOut)]++
		}
		if served["one"] != 20 || served["two"] != 20 {
			t.Errorf("the processes served %v, want 20 responses of each", served)
		}
	})
	t.Run("both processes refuse a POST from another origin", func(t *testing.T) {
		for range 2 {
			mustHaveStatus(t, admin.post("/logout", nil, "Origin", "https://evil.example"), http.StatusForbidden)
		}
	})
	t.Run("a session that ends in one process ends in both", func(t *testing.T) {
		copied := f.visitor(t)
		copied.client.Jar.SetCookies(site, admin.client.Jar.Cookies(site))
		mustShow(t, copied.get("/"), visits(21), signedIn)
		mustHaveStatus(t, admin.post("/logout", nil, "Origin", "https://"+host), http.StatusSeeOther)
		for range 2 {
			mustHaveStatus(t, copied.get("/sessions"), http.StatusSeeOther) // to the login page
		}
	})
	t.Run("a session survives the end of a process", func(t *testing.T) {
		processes[0].end()
		for n := range 10 {
			if by := mustShow(t, guest.get("/"), visits(n+21), signedOut); by != "two" {
				t.Errorf("process %s served the page, want two", by)
			}
		}
	})
}

// What lesson 08's first page shows.
const (
	signedIn  = "You are signed in as admin."
	signedOut = "You are not signed in."
)

func visits(n int) string { return fmt.Sprintf("You have visited this page %d times.", n) }

// mustShow fails the test unless a page shows the texts. It returns which process served
// the page.
func mustShow(t *testing.T, got page, texts ...string) (process string) {
	t.Helper()
	mustHaveStatus(t, got, http.StatusOK)
	for _, text := range texts {
		if !strings.Contains(got.body, text) {
			t.Errorf("the page lacks %q, want it there", text)
		}
	}
	return got.header.Get("Served-By")
}
