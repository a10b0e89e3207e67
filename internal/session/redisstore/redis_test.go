package redisstore

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/storetest"
)

// TestMain lets this program be a second process of a test, on the Redis of a URL.
func TestMain(m *testing.M) {
	address := os.Getenv("REDISSTORE_CHILD")
	if address == "" {
		os.Exit(m.Run())
	}
	s, err := New(address)
	if err == nil {
		err = storetest.MakeVisits(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// redis is a real one, with a port and a directory of its own.
type redis struct {
	t    testing.TB
	cmd  *exec.Cmd
	args []string
	addr string
}

// startRedis starts a Redis that syncs each write to its disk before it answers.
func startRedis(t testing.TB, args ...string) *redis {
	t.Helper()
	name, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no redis-server: install the Debian package redis-server")
		}
		t.Skip("there is no redis-server: install the Debian package redis-server")
	}
	addr := freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	r := &redis{t: t, addr: addr}
	r.args = append([]string{
		name, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--loglevel", "warning", "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction",
	}, args...)
	r.start()
	t.Cleanup(r.kill)
	return r
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start returns when the Redis accepts connections.
func (r *redis) start() {
	r.t.Helper()
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			return false
		}
		defer c.Close()
		io.WriteString(c, "PING\r\n")
		answer, err := bufio.NewReader(c).ReadString('\n')
		return err == nil && !strings.HasPrefix(answer, "-LOADING") // whatever else: it may want a password
	})
}

// eventually waits until something is so.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(2 * time.Millisecond); !is(); <-tick {
		if time.Now().After(deadline) {
			t.Fatal("it is not so after 30 s")
		}
	}
}

// kill is kill -9.
func (r *redis) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// store returns a store with a prefix of its own.
func (r *redis) store(t testing.TB) *Store {
	t.Helper()
	s, err := New("redis://" + r.addr + "?prefix=" + rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ask runs one command, as redis-cli does.
func ask(t testing.TB, s *Store, words ...string) any {
	t.Helper()
	replies, err := s.pool.do(context.Background(), words)
	if err != nil {
		t.Fatalf("%s: %v", words[0], err)
	}
	return replies[0]
}

// record returns a record that lives an hour.
func record(data string) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(data), Created: now, Used: now, Expires: now.Add(time.Hour)}
}

var visits = session.Key[int]("visits")

func increment(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }

func newManager(t testing.TB, s session.Store, timeout time.Duration) *session.Manager {
	t.Helper()
	m, err := session.New(session.NewSecret(), &session.Options{
		Store: s, StoreTimeout: timeout, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// visit serves one request that uses its session.
func visit(m *session.Manager, cookie string, use func(*session.Session)) *http.Response {
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { use(session.From(r)) })).ServeHTTP(w, r)
	return w.Result()
}

// begin begins a session and returns its cookie.
func begin(t testing.TB, m *session.Manager) string {
	t.Helper()
	answer := visit(m, "", func(s *session.Session) { visits.Set(s, 0) })
	if answer.StatusCode != 200 || len(answer.Cookies()) != 1 {
		t.Fatalf("a session did not begin: %d", answer.StatusCode)
	}
	c := answer.Cookies()[0]
	return c.Name + "=" + c.Value
}

// seen returns how many visits a session has, and the status of the answer.
func seen(m *session.Manager, cookie string) (n, status int) {
	status = visit(m, cookie, func(s *session.Session) { n = visits.Get(s) }).StatusCode
	return n, status
}

func TestStore(t *testing.T) {
	r := startRedis(t)
	storetest.Run(t, func(t *testing.T) session.Store { return r.store(t) })
}

// TestTwoProcessesLoseNothing has two processes count the visits of one session.
func TestTwoProcessesLoseNothing(t *testing.T) {
	s := startRedis(t).store(t)
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := "redis://" + s.pool.address + "?prefix=" + strings.TrimSuffix(s.records, ":record:")
	storetest.RunProcesses(t, s, func(env ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), name)
		cmd.Env = append(os.Environ(), append(env, "REDISSTORE_CHILD="+address)...)
		return cmd
	})
}

// TestKilledRedisLosesNoAcknowledgedSave kills Redis under load, again and again. Each
// request is answered in time, 200 or 503; a visit that was answered 200 is counted;
// and the site is well again as soon as Redis is. REDIS_KILLS=20 is torture.
func TestKilledRedisLosesNoAcknowledgedSave(t *testing.T) {
	const timeout = time.Second
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("REDIS_KILLS")); err == nil {
		kills = n
	}
	r := startRedis(t)
	m := newManager(t, r.store(t), timeout)
	cookies := make([]string, 8)
	for i := range cookies {
		cookies[i] = begin(t, m)
	}
	var stop atomic.Bool
	var answered, failed [8]int
	var all atomic.Int64 // that were answered 200
	var wg sync.WaitGroup
	for i, cookie := range cookies {
		wg.Go(func() {
			for !stop.Load() {
				began := time.Now()
				switch code := visit(m, cookie, increment).StatusCode; code {
				case 200:
					answered[i]++
					all.Add(1)
				case 503:
					failed[i]++
				default:
					t.Errorf("answered %d", code)
				}
				if d := time.Since(began); d > 2*timeout+time.Second { // to load and to save
					t.Errorf("an answer took %v", d)
				}
			}
		})
	}
	seeded := mathrand.New(mathrand.NewPCG(1, 2))
	for range kills {
		more := all.Load() + 20 + seeded.Int64N(200)
		eventually(t, func() bool { return all.Load() > more })
		r.kill()
		r.start()
		if _, status := seen(m, cookies[0]); status != 200 {
			t.Errorf("after the restart: %d", status)
		}
	}
	stop.Store(true)
	wg.Wait()
	for i, cookie := range cookies {
		n, _ := seen(m, cookie)
		if n < answered[i] || n > answered[i]+failed[i] {
			t.Errorf("%d visits were answered 200 and %d 503, and %d are counted", answered[i], failed[i], n)
		}
	}
	t.Logf("%d kills: answered 200: %v, 503: %v", kills, answered, failed)
}

// TestFailoverIsNoticed has two servers and one name for the master. The store has a
// connection to the old master when that becomes a replica of the new one.
func TestFailoverIsNoticed(t *testing.T) {
	one, two := startRedis(t, "--repl-diskless-sync-delay", "0"), startRedis(t)
	var master atomic.Value
	master.Store(one.addr)
	name := listen(t, func() string { return master.Load().(string) }, func(client, backend net.Conn) {
		go func() { io.Copy(backend, client); backend.Close() }()
		io.Copy(client, backend)
	})
	s := connectTo(t, "", name, "")
	if err := s.Save(t.Context(), "id", record("before")); err != nil {
		t.Fatal(err)
	}
	first, second := one.store(t), two.store(t)
	follow(t, second, one.addr)
	eventually(t, func() bool { return ask(t, second, "DBSIZE") == int64(1) })
	ask(t, second, "REPLICAOF", "NO", "ONE")
	follow(t, first, two.addr)
	master.Store(two.addr)

	rec := record("after")
	rec.Version = 1
	if err := s.Save(t.Context(), "id", rec); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Save on the old master: %v, want READONLY", err)
	}
	if err := s.Save(t.Context(), "id", rec); err != nil {
		t.Errorf("the next Save: %v, want it on the new master", err)
	}
	if got, err := s.Load(t.Context(), "id"); err != nil || string(got.Data) != "after" {
		t.Errorf("Load: %q, %v, want what the new master has", got.Data, err)
	}
}

// follow makes a Redis the replica of another.
func follow(t *testing.T, s *Store, addr string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	ask(t, s, "REPLICAOF", host, port)
}

// fault is what a proxy does to a reply.
type fault int

const (
	pass fault = iota
	delay
	cut  // half of it, and the end
	hang // half of it, and no more
)

// proxy stands between a store and its Redis, and does to each reply what next says.
func proxy(t *testing.T, addr string, next func() fault) string {
	t.Helper()
	return listen(t, func() string { return addr }, func(client, backend net.Conn) {
		go func() { io.Copy(backend, client); backend.Close() }()
		forward(client, backend, next)
	})
}

// listen returns an address of which each connection leads to the Redis that addr
// returns at that time. It is in the hands of handle.
func listen(t *testing.T, addr func() string, handle func(client, backend net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				backend, err := net.Dial("tcp", addr())
				if err != nil {
					return
				}
				defer backend.Close()
				handle(client, backend)
			}()
		}
	}()
	return listener.Addr().String()
}

func forward(client io.Writer, backend io.Reader, next func() fault) {
	buf := make([]byte, 4096)
	for {
		n, err := backend.Read(buf)
		if err != nil {
			return
		}
		switch next() {
		case delay:
			<-time.After(3 * time.Millisecond)
		case cut:
			client.Write(buf[:n/2])
			return
		case hang:
			client.Write(buf[:n/2])
			io.Copy(io.Discard, backend)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestNobodyGetsAnothersData has 64 goroutines use 200 sessions through a proxy that
// delays, cuts and hangs, and gives up one call in twenty at any moment.
// REDIS_OPERATIONS=200000 is torture.
func TestNobodyGetsAnothersData(t *testing.T) {
	operations := 8000
	if n, err := strconv.Atoi(os.Getenv("REDIS_OPERATIONS")); err == nil {
		operations = n
	}
	r := startRedis(t, "--appendfsync", "no")
	direct := r.store(t)
	ids := make([]string, 200)
	for i := range ids {
		ids[i] = "id-" + strconv.Itoa(i)
		rec := record(marker(i))
		rec.Owner = marker(i)
		if err := direct.Save(t.Context(), ids[i], rec); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seeded := mathrand.New(mathrand.NewPCG(3, 4))
	s := connectTo(t, "", proxy(t, r.addr, func() fault {
		mu.Lock()
		defer mu.Unlock()
		switch n := seeded.IntN(1000); {
		case n < 100:
			return delay
		case n < 105:
			return cut
		case n < 110:
			return hang
		}
		return pass
	}), "?prefix="+strings.TrimSuffix(direct.records, ":record:"))

	var done, failed, foreign atomic.Int64
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			seeded := mathrand.New(mathrand.NewPCG(5, uint64(worker)))
			for range operations / 64 {
				done.Add(1)
				i := seeded.IntN(len(ids))
				timeout := 100 * time.Millisecond
				if seeded.IntN(20) == 0 {
					timeout = time.Duration(seeded.IntN(1000)) * time.Microsecond
				}
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				whose, err := use(ctx, s, ids[i], marker(i), seeded.IntN(4))
				cancel()
				if err != nil {
					failed.Add(1)
				} else if whose != marker(i) {
					foreign.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := foreign.Load(); n > 0 {
		t.Errorf("%d of %d calls got another's data", n, done.Load())
	}
	if n := failed.Load(); n == 0 || n > done.Load()/2 {
		t.Errorf("%d of %d calls failed: the proxy did nothing, or all", n, done.Load())
	}
	t.Logf("%d calls, %d failed", done.Load(), failed.Load())
	for i, id := range ids {
		if rec, err := direct.Load(t.Context(), id); err != nil || string(rec.Data) != marker(i) || rec.Owner != marker(i) {
			t.Errorf("record %d is now %.40q of %.40q, %v", i, rec.Data, rec.Owner, err)
		}
	}
}

// marker is long enough for a reply to come in several parts.
func marker(i int) string { return strings.Repeat(fmt.Sprintf("%03d,", i), 500) }

// use makes one call and returns whose data it got.
func use(ctx context.Context, s *Store, id, owner string, what int) (string, error) {
	if what == 0 {
		records, err := s.List(ctx, owner)
		if err == nil && len(records) != 1 {
			return fmt.Sprintf("%d records", len(records)), nil
		}
		if err != nil {
			return "", err
		}
		return records[0].Owner, nil
	}
	rec, err := s.Load(ctx, id)
	if err != nil || what > 1 {
		return string(rec.Data), err
	}
	if err := s.Save(ctx, id, rec); err != nil && !errors.Is(err, session.ErrConflict) {
		return "", err
	}
	return string(rec.Data), nil
}

// TestEveryKeyExpires looks at each key that was left by records of all kinds.
func TestEveryKeyExpires(t *testing.T) {
	s := startRedis(t).store(t)
	for i := range 50 {
		rec := record("x")
		rec.Owner = []string{"", "ada", "bob"}[i%3]
		rec.Expires = rec.Expires.Add(time.Duration(i%7) * time.Hour)
		id := "id-" + strconv.Itoa(i)
		if err := s.Save(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
		rec.Version, rec.Owner = 1, []string{"", "bob", "eve", "ada"}[i%4]
		if err := s.Save(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			if err := s.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys := ask(t, s, "KEYS", "*").([]any)
	if len(keys) != 40+3 {
		t.Errorf("%d keys for 40 records of 3 owners", len(keys))
	}
	for _, key := range keys {
		if ttl := ask(t, s, "PTTL", key.(string)).(int64); ttl <= 0 || ttl > (7*time.Hour).Milliseconds()+1 {
			t.Errorf("%s expires in %d ms", key, ttl)
		}
	}
}

// An owner who comes and goes for years must not leave an index that only grows.
func TestIndexForgetsWhatHasExpired(t *testing.T) {
	s := startRedis(t).store(t)
	soon := record("x")
	soon.Owner, soon.Expires = "ada", time.Now().Add(200*time.Millisecond)
	for i := range 20 {
		if err := s.Save(t.Context(), "soon-"+strconv.Itoa(i), soon); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return !time.Now().Before(soon.Expires) })
	rec := record("x")
	rec.Owner = "ada"
	if err := s.Save(t.Context(), "last", rec); err != nil {
		t.Fatal(err)
	}
	if n := ask(t, s, "ZCARD", s.owners+"ada").(int64); n != 1 {
		t.Errorf("the index has %d entries, want that of the one record", n)
	}
}

// A Redis that is full keeps what it has, and a session can still be ended.
func TestFullRedisRefusesSavesAndLetsSessionsEnd(t *testing.T) {
	s := startRedis(t, "--maxmemory-policy", "noeviction").store(t)
	m := newManager(t, s, time.Second)
	stranger := begin(t, m)
	answer := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
	user := answer.Cookies()[0].Name + "=" + answer.Cookies()[0].Value
	ask(t, s, "CONFIG", "SET", "maxmemory", "1")
	for what, cookie := range map[string]string{"a stranger": stranger, "a user": user} {
		before, _ := seen(m, cookie)
		if answer := visit(m, cookie, increment); answer.StatusCode != 503 || len(answer.Cookies()) != 0 {
			t.Errorf("%s saves: %d, want 503", what, answer.StatusCode)
		}
		if n, status := seen(m, cookie); status != 200 || n != before {
			t.Errorf("%s has %d after a save that was refused, %d before", what, n, before)
		}
		if answer := visit(m, cookie, (*session.Session).Clear); answer.StatusCode != 200 || len(answer.Cookies()) != 1 {
			t.Errorf("%s logs out: %d with %v, want 200", what, answer.StatusCode, answer.Cookies())
		}
		visit(m, cookie, func(s *session.Session) {
			if !s.IsNew() {
				t.Errorf("%s: the session still opens", what)
			}
		})
	}
}

// TestFullRedisTakesTombstones: a session of any owner ends where there is no room,
// whether its tombstone has data or none, and Delete needs none either.
func TestFullRedisTakesTombstones(t *testing.T) {
	s := startRedis(t, "--maxmemory-policy", "noeviction").store(t)
	want := session.Record{Owner: "ada", Created: time.Now(), Used: time.Now(), Expires: time.Now().Add(time.Minute), Version: 1, Ended: true}
	for _, id := range []string{"with data", "without", "deleted"} {
		rec := record(strings.Repeat("x", 1000))
		rec.Owner = "ada"
		if err := s.Save(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, s, "CONFIG", "SET", "maxmemory", "1")
	if err := s.Save(t.Context(), "new", record("x")); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("creating a record: %v, want OOM", err)
	}
	for id, data := range map[string]string{"with data": strings.Repeat("f", 64), "without": ""} {
		want.Data = []byte(data)
		if err := s.Save(t.Context(), id, want); err != nil {
			t.Errorf("a tombstone %s: %v", id, err)
		}
		got, err := s.Load(t.Context(), id)
		if err != nil || !got.Ended {
			t.Errorf("a tombstone %s: %+v, %v, want it ended", id, got, err)
		}
		if string(got.Data) != data {
			t.Errorf("a tombstone %s has data %q, want %q", id, got.Data, data)
		}
	}
	if err := s.Delete(t.Context(), "deleted"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	records, err := s.List(t.Context(), "ada")
	if err != nil || len(records) != 2 {
		t.Errorf("List = %v, %v, want the two tombstones", records, err)
	}
}

// Redis refuses a save when the index is of another type. Then there must be no record
// that the index does not know.
func TestSpoiltIndexLeavesNoRecordBehind(t *testing.T) {
	s := startRedis(t).store(t)
	ask(t, s, "SET", s.owners+"ada", "x")
	rec := record("x")
	rec.Owner = "ada"
	if err := s.Save(t.Context(), "id", rec); err == nil {
		t.Error("it was saved")
	}
	if _, err := s.Load(t.Context(), "id"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Load: %v, want %v", err, session.ErrNotFound)
	}
}

// Someone who reads all of Redis can open no session.
func TestRedisHoldsNoSessionID(t *testing.T) {
	s := startRedis(t).store(t)
	m := newManager(t, s, time.Second)
	answer := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
	parts, err := session.Inspect(answer.Cookies()[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	id := string(parts.Payload)
	if len(id) < 26 {
		t.Fatalf("the cookie's payload is %q, want a session ID", id)
	}
	all := ""
	for _, key := range ask(t, s, "KEYS", "*").([]any) {
		all += fmt.Sprintln(key)
		if ask(t, s, "TYPE", key.(string)) == "hash" {
			all += fmt.Sprintln(ask(t, s, "HGETALL", key.(string)))
		} else {
			all += fmt.Sprintln(ask(t, s, "ZRANGE", key.(string), "0", "-1"))
		}
	}
	if !strings.Contains(all, `{"visits":1}`) || strings.Contains(all, id) {
		t.Errorf("Redis holds %q, where %q must not be", all, id)
	}
}

// A record that cannot be read must not lock a visitor out.
func TestSpoiltRecordIsCorrupt(t *testing.T) {
	s := startRedis(t).store(t)
	m := newManager(t, s, time.Second)
	for what, spoil := range map[string]func(key string){
		"another type":       func(key string) { ask(t, s, "DEL", key); ask(t, s, "SET", key, "x") },
		"a field is missing": func(key string) { ask(t, s, "HDEL", key, "used") },
		"no number":          func(key string) { ask(t, s, "HSET", key, "version", "one") },
		"no time":            func(key string) { ask(t, s, "HSET", key, "expires", "") },
		"no JSON":            func(key string) { ask(t, s, "HSET", key, "data", "{") },
	} {
		var id string
		answer := visit(m, "", func(s *session.Session) { visits.Set(s, 7); s.SetOwner("ada") })
		c := answer.Cookies()[0]
		visit(m, c.Name+"="+c.Value, func(s *session.Session) { id = s.ID() })
		spoil(s.records + id)
		fresh := visit(m, c.Name+"="+c.Value, increment)
		if fresh.StatusCode != 200 || len(fresh.Cookies()) != 1 {
			t.Errorf("%s: the visitor is answered %d with %d cookies, want 200 and a new session", what, fresh.StatusCode, len(fresh.Cookies()))
		}
		if _, err := s.List(t.Context(), "ada"); err != nil {
			t.Errorf("%s: List: %v", what, err)
		}
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("%s: Delete: %v", what, err)
		}
	}
}

func TestPasswordUserAndDatabase(t *testing.T) {
	r := startRedis(t, "--requirepass", "everybody", "--user", "ada", "on", ">hunter2", "~*", "+@all")
	s := connectTo(t, "ada:hunter2@", r.addr, "/5")
	if err := s.Save(t.Context(), "id", record("x")); err != nil {
		t.Fatal(err)
	}
	for user, found := range map[string]bool{"ada:hunter2@": true, ":everybody@": true} {
		if _, err := connectTo(t, user, r.addr, "/5").Load(t.Context(), "id"); (err == nil) != found {
			t.Errorf("Load as %s: %v", user, err)
		}
	}
	if _, err := connectTo(t, "ada:hunter2@", r.addr, "/4").Load(t.Context(), "id"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Load from another database: %v, want %v", err, session.ErrNotFound)
	}
	for user, says := range map[string]string{"": "NOAUTH", "ada:wrong@": "WRONGPASS", ":wrong@": "WRONGPASS"} {
		_, err := connectTo(t, user, r.addr, "/5").Load(t.Context(), "id")
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "wrong@") {
			t.Errorf("Load as %q: %v, want %s", user, err, says)
		}
	}
	if _, err := connectTo(t, "ada:hunter2@", r.addr, "/99").Load(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("Load from database 99: %v", err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	root := writeCertificate(t, dir)
	addr := freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	startRedis(t, "--tls-port", port, "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"))
	s, err := New("rediss://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var unknown x509.UnknownAuthorityError
	if err := s.Save(t.Context(), "id", record("x")); !errors.As(err, &unknown) {
		t.Errorf("Save, with a certificate of an unknown authority: %v, want x509.UnknownAuthorityError", err)
	}
	s.pool.tls.RootCAs = root
	if err := s.Save(t.Context(), "id", record("x")); err != nil {
		t.Errorf("Save: %v", err)
	}
	if _, err := s.Load(t.Context(), "id"); err != nil {
		t.Errorf("Load: %v", err)
	}
	s.pool.tls.ServerName = "other.example"
	s.pool.closeIdle()
	var other x509.HostnameError
	if _, err := s.Load(t.Context(), "id"); !errors.As(err, &other) {
		t.Errorf("Load from a host of another name: %v", err)
	}
}

// writeCertificate makes one for 127.0.0.1, and returns who vouches for it.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err2 := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	private, err3 := x509.MarshalPKCS8PrivateKey(key)
	err4 := os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
	err5 := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	return roots
}

// TestRoundTrips counts what a request costs: one command to load, one to save.
func TestRoundTrips(t *testing.T) {
	r := startRedis(t)
	var mu sync.Mutex
	var heard []string
	backend, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	replies := bufio.NewReader(backend)
	srv := serve(t, func(words []any) string {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, fmt.Sprint(words[0]))
		w := bufio.NewWriter(backend)
		var c command
		for _, word := range words {
			c = append(c, word.(string))
		}
		c.write(w)
		w.Flush()
		return raw(t, replies)
	})
	m := newManager(t, srv.store(t), time.Second)
	for _, step := range []struct {
		what   string
		visit  func(cookie string) string
		wanted []string
	}{
		{"a stranger who keeps nothing", func(string) string { visit(m, "", func(*session.Session) {}); return "" }, nil},
		{"a new session", func(string) string { return begin(t, m) }, []string{"EVAL"}},
		{"one that is read", func(cookie string) string { seen(m, cookie); return cookie }, []string{"HMGET"}},
		{"one that is changed", func(cookie string) string { visit(m, cookie, increment); return cookie }, []string{"HMGET", "EVAL"}},
	} {
		heard = nil
		cookie = step.visit(cookie)
		if !slices.Equal(heard, step.wanted) {
			t.Errorf("%s: Redis is asked %q, want %q", step.what, heard, step.wanted)
		}
	}
}

var cookie string // of TestRoundTrips

// raw reads a reply and returns it as it came.
func raw(t *testing.T, r *bufio.Reader) string {
	reply, err := readReply(r)
	if err != nil {
		t.Error(err)
		return ""
	}
	values, isArray := reply.([]any)
	if !isArray {
		return fmt.Sprintf("+%v\r\n", reply)
	}
	text := fmt.Sprintf("*%d\r\n", len(values))
	for _, value := range values {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(value.(string)), value)
	}
	return text
}

// BenchmarkRequest is a request through the whole handler, which reads its session or
// changes it, with a thousand other sessions in Redis or a hundred thousand.
func BenchmarkRequest(b *testing.B) {
	r := startRedis(b, "--appendonly", "no")
	for _, others := range []int{1_000, 100_000} {
		s := r.store(b)
		fill(b, s, others)
		m := newManager(b, s, time.Second)
		cookie := begin(b, m)
		for what, use := range map[string]func(*session.Session){
			"read": func(s *session.Session) { visits.Get(s) }, "change": increment,
		} {
			b.Run(fmt.Sprintf("%s/%d", what, others), func(b *testing.B) {
				for b.Loop() {
					if visit(m, cookie, use).StatusCode != 200 {
						b.Fatal("not answered")
					}
				}
			})
		}
	}
}

func fill(b *testing.B, s *Store, n int) {
	data := []byte(`{"visits":1,"username":"ada"}`)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := worker; i < n; i += 16 {
				rec := record(string(data))
				rec.Owner = strconv.Itoa(i % 1000)
				if err := s.Save(context.Background(), url.PathEscape(strconv.Itoa(i)), rec); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
