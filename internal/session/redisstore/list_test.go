package redisstore

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// plant puts n records of ada's into Redis, in the form that save gives them. Each tenth
// record is a tombstone. It is quicker than n saves.
func plant(t testing.TB, s *Store, n, size int) {
	t.Helper()
	const script = `
local records, from, to, data, soon, far, now_ns = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
for i = from, to do
	local id, expires, ended = string.format('%064d', i), string.format('%d', far + i), '0'
	if i % 10 == 0 then expires, ended = soon, '1' end
	redis.call('ZADD', KEYS[1], expires, id)
	redis.call('HSET', records .. id, 'data', data, 'owner', 'ada', 'created', now_ns, 'used', now_ns,
		'expires', expires .. '000000', 'version', '1', 'ended', ended)
	redis.call('PEXPIREAT', records .. id, expires)
end
redis.call('PEXPIREAT', KEYS[1], far + to)`
	now := time.Now()
	for from := 0; from < n; from += page {
		ask(t, s, "EVAL", script, "1", s.owners+"ada", s.records, strconv.Itoa(from), strconv.Itoa(min(from+page, n)-1),
			strings.Repeat("x", size), milliseconds(now.Add(time.Minute).UnixNano()),
			milliseconds(now.Add(time.Hour).UnixNano()), nanoseconds(now))
	}
}

// mustHave fails the test unless a list has n records, each once, a tenth of them
// tombstones.
func mustHave(t *testing.T, records []session.Record, n int) {
	t.Helper()
	ids, tombstones := make(map[string]bool), 0
	for _, rec := range records {
		ids[rec.ID] = true
		if rec.Ended {
			tombstones++
		}
	}
	if len(records) != n || len(ids) != n {
		t.Errorf("the list has %d records and %d IDs, want %d", len(records), len(ids), n)
	}
	if tombstones != n/10 {
		t.Errorf("the list has %d tombstones, want %d", tombstones, n/10)
	}
}

// TestManySessionsOfOneOwner lists 20,000 sessions, or as many as REDIS_SESSIONS says.
func TestManySessionsOfOneOwner(t *testing.T) {
	n := 20_000
	if many, err := strconv.Atoi(os.Getenv("REDIS_SESSIONS")); err == nil {
		n = many
	}
	s := startRedis(t, "--appendonly", "no").store(t)
	plant(t, s, n, 100)
	ask(t, s, "CONFIG", "RESETSTAT")
	began := time.Now()
	records, err := s.List(t.Context(), "ada")
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, records, n)
	limit := time.Duration(n) * time.Millisecond / 4 // 5 s for 20,000, which take a fraction of a second
	if took > limit {
		t.Errorf("the list took %v, want a maximum of %v", took, limit)
	}
	t.Logf("%d sessions of one owner are listed in %v; %v", n, took, ask(t, s, "LATENCY", "HISTOGRAM", "zscan", "zrevrangebyscore"))
}

// TestLargeValuesAreNotListed counts the bytes of a list of 20 sessions of a megabyte
// each.
func TestLargeValuesAreNotListed(t *testing.T) {
	r := startRedis(t, "--appendonly", "no")
	direct := r.store(t)
	plant(t, direct, 20, 1<<20)
	var parts atomic.Int64
	s := through(t, direct, proxy(t, r.addr, func() fault { parts.Add(1); return pass }))
	records, err := s.List(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, records, 20)
	if n := parts.Load(); n == 0 || n > 20 { // of a maximum of 4096 bytes
		t.Errorf("the list came in %d parts, want 1 to 20", n)
	}
}

// through returns a store with the same keys at another address.
func through(t *testing.T, direct *Store, address string) *Store {
	t.Helper()
	return connectTo(t, "", address, "?prefix="+strings.TrimSuffix(direct.records, ":record:"))
}

// TestListInBatches has the context end half-way through each list. It then ends the
// sessions that List returned, as a manager does. After some lists all sessions have
// ended, although no list was whole, because tombstones come last in each list.
func TestListInBatches(t *testing.T) {
	const n = 8000
	r := startRedis(t, "--appendonly", "no")
	direct := r.store(t)
	plant(t, direct, n, 10)
	var b budget
	s := through(t, direct, proxy(t, r.addr, b.spend))
	for pass, left := 0, n*9/10; left > 0; pass++ {
		if pass == 20 {
			t.Fatalf("%d of %d sessions are live after %d lists", left, n*9/10, pass)
		}
		records, err := s.List(b.fill(t, 150), "ada")
		if left -= end(t, direct, records); left > 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("list %d: %v, want %v", pass, err, context.Canceled)
		}
		if len(records) == 0 {
			t.Errorf("list %d has no records, want some", pass)
		}
		if i := slices.IndexFunc(records, func(rec session.Record) bool { return rec.Ended }); left > 0 && i >= 0 {
			t.Errorf("list %d has a tombstone while %d sessions are live, want none", pass, left)
		}
	}
}

// budget lets so many parts of replies through a proxy. Then it ends the context.
type budget struct {
	mu     sync.Mutex
	left   int
	cancel func()
}

// fill sets the number of parts, and returns the context that ends after them.
func (b *budget) fill(t *testing.T, parts int) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.cancel = parts, cancel
	return ctx
}

// spend returns what the proxy does to the next part.
func (b *budget) spend() fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left < 0 {
		b.cancel()
		return hang
	}
	return pass
}

// end makes tombstones of the live sessions in a list, and returns how many it made.
func end(t *testing.T, s *Store, records []session.Record) (ended int) {
	t.Helper()
	for _, rec := range records {
		if rec.Ended {
			continue
		}
		ended++
		rec.Ended, rec.Expires = true, time.Now().Add(time.Minute)
		if err := s.Save(t.Context(), rec.ID, rec); err != nil {
			t.Fatal(err)
		}
	}
	return ended
}

// TestListMissesNoneThatMove calls List while other goroutines save sessions, which moves
// their entries in the index, and make and end others. Each session that is there all
// the time must be in each list.
func TestListMissesNoneThatMove(t *testing.T) {
	const stay = 3000
	s := startRedis(t, "--appendonly", "no").store(t)
	plant(t, s, stay, 10)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			seeded := mathrand.New(mathrand.NewPCG(7, uint64(worker)))
			for !stop.Load() {
				if err := stir(s, seeded, stay); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		records, err := s.List(t.Context(), "ada")
		if err != nil {
			t.Error(err)
		}
		found := 0
		ids := make(map[string]bool)
		for _, rec := range records {
			if !ids[rec.ID] && strings.HasPrefix(rec.ID, "00") {
				found++
			}
			ids[rec.ID] = true
		}
		if found != stay {
			t.Errorf("the list has %d of the sessions that stay, want %d", found, stay)
		}
		if len(ids) != len(records) {
			t.Errorf("the list has %d records with %d IDs, want each once", len(records), len(ids))
		}
	}
	stop.Store(true)
	wg.Wait()
}

// stir saves a session that stays, and makes or ends some others.
func stir(s *Store, seeded *mathrand.Rand, stay int) error {
	ctx := context.Background()
	id := fmt.Sprintf("%064d", seeded.IntN(stay))
	rec, err := s.Load(ctx, id)
	if err != nil {
		return err
	}
	rec.Expires = time.Now().Add(time.Duration(1+seeded.IntN(100)) * time.Minute)
	if err := s.Save(ctx, id, rec); err != nil && !errors.Is(err, session.ErrConflict) {
		return err
	}
	for range 5 {
		other := "other-" + strconv.Itoa(seeded.IntN(5000))
		rec := record("x")
		rec.Owner = "ada"
		if err := s.Save(ctx, other, rec); errors.Is(err, session.ErrConflict) {
			err = s.Delete(ctx, other)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}
