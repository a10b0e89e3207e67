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

// TestMain runs the tests. In a second process of a test it makes visits instead, with
// the Redis of REDISSTORE_CHILD, a URL.
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

// redis is a Redis server with a port and a directory of its own.
type redis struct {
	t    testing.TB
	cmd  *exec.Cmd
	args []string
	addr string
}

// startRedis starts a Redis that syncs each write to its disk before it replies.
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

// freeAddress returns an address on which no one listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start starts the Redis, and returns when it runs commands.
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
		reply, err := bufio.NewReader(c).ReadString('\n')
		return err == nil && !strings.HasPrefix(reply, "-LOADING") // another error may ask for a password
	})
}

// eventually waits until the condition is true.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(2 * time.Millisecond); !is(); <-tick {
		if time.Now().After(deadline) {
			t.Fatal("the condition is still false after 30 s")
		}
	}
}

// kill ends the Redis as kill -9 does.
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

// record returns a record that expires in an hour.
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
	response := visit(m, "", func(s *session.Session) { visits.Set(s, 0) })
	if response.StatusCode != 200 || len(response.Cookies()) != 1 {
		t.Fatalf("a new session: status %d and %d cookies, want 200 and 1", response.StatusCode, len(response.Cookies()))
	}
	c := response.Cookies()[0]
	return c.Name + "=" + c.Value
}

// seen returns how many visits a session has, and the status of the response.
func seen(m *session.Manager, cookie string) (n, status int) {
	status = visit(m, cookie, func(s *session.Session) { n = visits.Get(s) }).StatusCode
	return n, status
}

func TestStore(t *testing.T) {
	r := startRedis(t)
	storetest.Run(t, func(t *testing.T) session.Store { return r.store(t) })
}

// TestTwoProcessesLoseNothing counts the visits of one session in two processes.
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
// response comes in time and is a 200 or a 503. Each visit with a 200 is counted. The
// site works again as soon as Redis does. REDIS_KILLS is the number of kills.
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
	var counted, failed [8]int
	var all atomic.Int64 // visits that were counted
	var wg sync.WaitGroup
	for i, cookie := range cookies {
		wg.Go(func() {
			for !stop.Load() {
				began := time.Now()
				switch code := visit(m, cookie, increment).StatusCode; code {
				case 200:
					counted[i]++
					all.Add(1)
				case 503:
					failed[i]++
				default:
					t.Errorf("status %d, want 200 or 503", code)
				}
				limit := 2*timeout + time.Second // a timeout to load, and one to save
				if d := time.Since(began); d > limit {
					t.Errorf("a response took %v, want a maximum of %v", d, limit)
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
			t.Errorf("after the restart: status %d, want 200", status)
		}
	}
	stop.Store(true)
	wg.Wait()
	for i, cookie := range cookies {
		n, _ := seen(m, cookie)
		if n < counted[i] || n > counted[i]+failed[i] {
			t.Errorf("%d visits, want %d to %d: the 200s, and some of the 503s", n, counted[i], counted[i]+failed[i])
		}
	}
	t.Logf("%d kills; status 200: %v, 503: %v", kills, counted, failed)
}

// TestFailoverIsNoticed has two servers and one name for the master. The old master
// becomes a replica of the new one while the store has a connection to it.
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
	cut  // sends half of the reply, and closes the connection
	hang // sends half of the reply, and no more
)

// proxy returns the address of a proxy to a Redis. It does to each reply what next
// returns.
func proxy(t *testing.T, addr string, next func() fault) string {
	t.Helper()
	return listen(t, func() string { return addr }, func(client, backend net.Conn) {
		go func() { io.Copy(backend, client); backend.Close() }()
		forward(client, backend, next)
	})
}

// listen returns the address of a proxy. It opens a connection to the Redis that addr
// returns for each client, and calls handle with both.
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

// forward copies replies to the client, and does to each what next returns.
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

// TestNoOneGetsAnothersData has 64 goroutines use 200 sessions through a proxy that
// delays, cuts and hangs. They give up one call in twenty, at any moment.
// REDIS_OPERATIONS is the number of calls.
func TestNoOneGetsAnothersData(t *testing.T) {
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
		t.Errorf("%d of %d calls got another's data, want none", n, done.Load())
	}
	if n := failed.Load(); n == 0 || n > done.Load()/2 {
		t.Errorf("%d of %d calls failed, want some and less than half", n, done.Load())
	}
	t.Logf("%d calls, %d failed", done.Load(), failed.Load())
	for i, id := range ids {
		rec, err := direct.Load(t.Context(), id)
		if err != nil {
			t.Errorf("Load of record %d: %v", i, err)
		}
		if string(rec.Data) != marker(i) {
			t.Errorf("record %d has the data %.40q, want %.40q", i, rec.Data, marker(i))
		}
		if rec.Owner != marker(i) {
			t.Errorf("record %d has the owner %.40q, want %.40q", i, rec.Owner, marker(i))
		}
	}
}

// marker returns a text that belongs to record i. It is so long that a reply comes in
// several parts.
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

// TestEveryKeyExpires checks each key that records of all kinds have left.
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
		t.Errorf("%d keys, want 43 for 40 records of 3 owners", len(keys))
	}
	for _, key := range keys {
		if ttl := ask(t, s, "PTTL", key.(string)).(int64); ttl <= 0 || ttl > (7*time.Hour).Milliseconds()+1 {
			t.Errorf("%s expires in %d ms, want within 7 hours", key, ttl)
		}
	}
}

// The index of an owner who logs in and out for years must not grow for ever.
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

// A full Redis removes nothing, and a visitor can still end a session.
func TestFullRedisRefusesSavesAndLetsSessionsEnd(t *testing.T) {
	s := startRedis(t, "--maxmemory-policy", "noeviction").store(t)
	m := newManager(t, s, time.Second)
	stranger := begin(t, m)
	response := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
	user := response.Cookies()[0].Name + "=" + response.Cookies()[0].Value
	ask(t, s, "CONFIG", "SET", "maxmemory", "1")
	for what, cookie := range map[string]string{"a stranger": stranger, "a user": user} {
		t.Run(what, func(t *testing.T) {
			before, _ := seen(m, cookie)
			refused := visit(m, cookie, increment)
			if refused.StatusCode != 503 || len(refused.Cookies()) != 0 {
				t.Errorf("a save: status %d with %d cookies, want 503 with none", refused.StatusCode, len(refused.Cookies()))
			}
			if n, status := seen(m, cookie); status != 200 || n != before {
				t.Errorf("after it: status %d, %d visits, want 200 and %d as before", status, n, before)
			}
			out := visit(m, cookie, (*session.Session).Clear)
			if out.StatusCode != 200 || len(out.Cookies()) != 1 {
				t.Errorf("a logout: status %d with %d cookies, want 200 with 1", out.StatusCode, len(out.Cookies()))
			}
			visit(m, cookie, func(s *session.Session) {
				if !s.IsNew() {
					t.Error("the session still opens, want a new one")
				}
			})
		})
	}
}

// TestFullRedisTakesTombstones ends sessions when Redis is full, with a tombstone that
// has data, with one that has none, and with Delete.
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
		t.Run(id, func(t *testing.T) {
			want.Data = []byte(data)
			if err := s.Save(t.Context(), id, want); err != nil {
				t.Errorf("Save: %v", err)
			}
			got, err := s.Load(t.Context(), id)
			if err != nil || !got.Ended {
				t.Errorf("Load = %+v, %v, want a tombstone", got, err)
			}
			if string(got.Data) != data {
				t.Errorf("data %q, want %q", got.Data, data)
			}
		})
	}
	if err := s.Delete(t.Context(), "deleted"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	records, err := s.List(t.Context(), "ada")
	if err != nil || len(records) != 2 {
		t.Errorf("List = %v, %v, want the two tombstones", records, err)
	}
}

// Redis refuses a save when the index has another type. Then it must not store a record
// that is missing from the index.
func TestSpoiltIndexLeavesNoRecordBehind(t *testing.T) {
	s := startRedis(t).store(t)
	ask(t, s, "SET", s.owners+"ada", "x")
	rec := record("x")
	rec.Owner = "ada"
	if err := s.Save(t.Context(), "id", rec); err == nil {
		t.Error("Save: no error, want one")
	}
	if _, err := s.Load(t.Context(), "id"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Load: %v, want %v", err, session.ErrNotFound)
	}
}

// Someone who reads all of Redis cannot open a session.
func TestRedisHasNoSessionID(t *testing.T) {
	s := startRedis(t).store(t)
	m := newManager(t, s, time.Second)
	response := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
	parts, err := session.Inspect(response.Cookies()[0].Value)
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
	if !strings.Contains(all, `{"visits":1}`) {
		t.Errorf("Redis has %q, want the values in it", all)
	}
	if strings.Contains(all, id) {
		t.Errorf("Redis has %q, want no session ID %q in it", all, id)
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
		t.Run(what, func(t *testing.T) {
			var id string
			response := visit(m, "", func(s *session.Session) { visits.Set(s, 7); s.SetOwner("ada") })
			c := response.Cookies()[0]
			visit(m, c.Name+"="+c.Value, func(s *session.Session) { id = s.ID() })
			spoil(s.records + id)
			fresh := visit(m, c.Name+"="+c.Value, increment)
			if fresh.StatusCode != 200 || len(fresh.Cookies()) != 1 {
				t.Errorf("status %d with %d cookies, want 200 and a new session", fresh.StatusCode, len(fresh.Cookies()))
			}
			if _, err := s.List(t.Context(), "ada"); err != nil {
				t.Errorf("List: %v", err)
			}
			if err := s.Delete(t.Context(), id); err != nil {
				t.Errorf("Delete: %v", err)
			}
		})
	}
}

func TestPasswordUserAndDatabase(t *testing.T) {
	r := startRedis(t, "--requirepass", "everyone", "--user", "ada", "on", ">hunter2", "~*", "+@all")
	s := connectTo(t, "ada:hunter2@", r.addr, "/5")
	if err := s.Save(t.Context(), "id", record("x")); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ada:hunter2@", ":everyone@"} {
		if _, err := connectTo(t, user, r.addr, "/5").Load(t.Context(), "id"); err != nil {
			t.Errorf("Load as %s: %v", user, err)
		}
	}
	if _, err := connectTo(t, "ada:hunter2@", r.addr, "/4").Load(t.Context(), "id"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Load from another database: %v, want %v", err, session.ErrNotFound)
	}
	for user, says := range map[string]string{"": "NOAUTH", "ada:wrong@": "WRONGPASS", ":wrong@": "WRONGPASS"} {
		t.Run("as "+user, func(t *testing.T) {
			_, err := connectTo(t, user, r.addr, "/5").Load(t.Context(), "id")
			if text := fmt.Sprint(err); !strings.Contains(text, says) {
				t.Errorf("Load: %s, want %s", text, says)
			}
			if text := fmt.Sprint(err); strings.Contains(text, "wrong@") {
				t.Errorf("Load: %s, want no password in it", text)
			}
		})
	}
	if _, err := connectTo(t, "ada:hunter2@", r.addr, "/99").Load(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("Load from database 99: %v, want \"out of range\"", err)
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
		t.Errorf("Load from a host of another name: %v, want x509.HostnameError", err)
	}
}

// writeCertificate writes a certificate for 127.0.0.1 and its key to dir, and returns the
// authority that signed it.
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

// TestRoundTrips counts the commands of a request: one to load, and one to save.
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
		{"a stranger who stores nothing", func(string) string { visit(m, "", func(*session.Session) {}); return "" }, nil},
		{"a new session", func(string) string { return begin(t, m) }, []string{"EVAL"}},
		{"a session that is read", func(cookie string) string { seen(m, cookie); return cookie }, []string{"HMGET"}},
		{"a session that is changed", func(cookie string) string { visit(m, cookie, increment); return cookie }, []string{"HMGET", "EVAL"}},
	} {
		heard = nil
		cookie = step.visit(cookie)
		if !slices.Equal(heard, step.wanted) {
			t.Errorf("%s: the commands are %q, want %q", step.what, heard, step.wanted)
		}
	}
}

var cookie string // of TestRoundTrips

// raw reads a reply and returns it in the form in which it came.
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

// BenchmarkRequest measures a request through the whole handler. It reads its session or
// changes it, with a thousand or a hundred thousand other sessions in Redis.
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
					if status := visit(m, cookie, use).StatusCode; status != 200 {
						b.Fatalf("status %d, want 200", status)
					}
				}
			})
		}
	}
}

// fill saves n sessions of a thousand owners.
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
