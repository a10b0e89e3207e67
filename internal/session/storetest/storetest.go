// Package storetest tests whether a [session.Store] does what the interface promises.
// The test of a store calls [Run]:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) session.Store { return memstore.New() })
//	}
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// Run runs every test, each on a store that open returns. The store must be empty, or
// contain only records of other tests. A store that is an [io.Closer] is closed at the
// end of its test.
func Run(t *testing.T, open func(t *testing.T) session.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s session.Store)
	}{
		{"what is saved is loaded", savedIsLoaded},
		{"an unknown record is not found", unknownIsNotFound},
		{"each save counts the version up", versionsCount},
		{"a record is created once", createdOnce},
		{"a stale version is a conflict", staleIsConflict},
		{"a record that was deleted is not saved", deletedIsNotSaved},
		{"deleting twice returns nil", deleteTwice},
		{"an expired record is no record", expiredIsNone},
		{"a record expires when its time comes", expiresInTime},
		{"data of any size and bytes", anyData},
		{"what goes in and out is a copy", copies},
		{"an owner's records are listed", listed},
		{"a tombstone is a record that says so", tombstone},
		{"any text names an owner", anyOwner},
		{"a context that has ended", endedContext},
		{"many who create: one does", createRace},
		{"many who count: nothing is lost", countRace},
		{"a delete beside saves is the last word", deleteRace},
		{"requests of one session lose nothing", requestsLoseNothing},
		{"a session that ended stays ended", endedStaysEnded},
		{"two who renew: one wins", renewRace},
		{"a revoke beside renewals leaves no session", revokeRace},
		{"a thief who renews all the time is thrown out", thiefRace},
		{"a logout beside a renewal wins", logoutRace},
		{"a session that was just renewed can be ended", endAfterRenew},
		{"two logins with one cookie both begin a session", twoLogins},
		{"a session ends in a store that is full", fullStore},
		{"all sessions but one end at once", revokeOthers},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, opened(t, open)) })
	}
	t.Run("closing leaves nothing running", func(t *testing.T) { closes(t, open) })
}

// opened returns a store that is closed when the test ends.
func opened(t *testing.T, open func(t *testing.T) session.Store) session.Store {
	s := open(t)
	t.Cleanup(func() {
		if c, ok := s.(io.Closer); ok {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	return s
}

// newID returns a name as a manager makes them.
func newID() string {
	sum := sha256.Sum256([]byte(rand.Text()))
	return hex.EncodeToString(sum[:])
}

// record returns a record that lives an hour.
func record(data string) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(data), Created: now, Used: now, Expires: now.Add(time.Hour)}
}

// create saves a new record and returns its ID.
func create(t *testing.T, s session.Store, rec session.Record) string {
	t.Helper()
	id := newID()
	save(t, s, id, rec)
	return id
}

func save(t *testing.T, s session.Store, id string, rec session.Record) {
	t.Helper()
	if err := s.Save(t.Context(), id, rec); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func load(t *testing.T, s session.Store, id string) session.Record {
	t.Helper()
	rec, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return rec
}

// mustBe reports an error that is not the wanted one.
func mustBe(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// mustList reports when the owner's records are not those, in any order.
func mustList(t *testing.T, s session.Store, owner string, want ...string) {
	t.Helper()
	records, err := s.List(t.Context(), owner)
	if err != nil {
		t.Errorf("List(%.20q): %v", owner, err)
	}
	var got []string
	for _, rec := range records {
		got = append(got, rec.ID)
		if rec.Owner != owner {
			t.Errorf("List(%.20q) has a record of %.20q", owner, rec.Owner)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("List(%.20q) = %v, want %v", owner, got, want)
	}
}

func savedIsLoaded(t *testing.T, s session.Store) {
	now := time.Now()
	want := session.Record{
		Data: []byte(`{"visits":3}`), Owner: "ada",
		Created: now.Add(-time.Hour), Used: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	}
	id := create(t, s, want)
	got := load(t, s, id)
	if got.ID != id {
		t.Errorf("ID %s, want %s", got.ID, id)
	}
	if !bytes.Equal(got.Data, want.Data) {
		t.Errorf("Data %q, want %q", got.Data, want.Data)
	}
	if got.Owner != want.Owner {
		t.Errorf("Owner %q, want %q", got.Owner, want.Owner)
	}
	if got.Version != 1 {
		t.Errorf("Version %d, want 1", got.Version)
	}
	for what, times := range map[string][2]time.Time{
		"Created": {got.Created, want.Created}, "Used": {got.Used, want.Used}, "Expires": {got.Expires, want.Expires},
	} {
		if d := times[0].Sub(times[1]).Abs(); d > time.Millisecond {
			t.Errorf("%s is %v off", what, d)
		}
	}
	records, err := s.List(t.Context(), "ada")
	if err != nil || len(records) != 1 {
		t.Fatalf("List = %+v, %v, want one record", records, err)
	}
	got.Data = nil
	if !reflect.DeepEqual(records[0], got) {
		t.Errorf("List = %+v, want what Load returns, without its data: %+v", records[0], got)
	}
}

func tombstone(t *testing.T, s session.Store) {
	rec := record(`{"visits":3}`)
	rec.Owner = newID()
	id := create(t, s, rec)
	rec.Version, rec.Ended, rec.Data = 1, true, []byte("what came after it")
	save(t, s, id, rec)
	got := load(t, s, id)
	if !got.Ended {
		t.Error("a tombstone is no tombstone when it is loaded")
	}
	if got.Version != 2 {
		t.Errorf("Version %d, want 2", got.Version)
	}
	if string(got.Data) != "what came after it" {
		t.Errorf("Data %q, want what was saved", got.Data)
	}
	records, err := s.List(t.Context(), rec.Owner)
	if err != nil || len(records) != 1 {
		t.Fatalf("List = %+v, %v, want the tombstone", records, err)
	}
	if !records[0].Ended {
		t.Error("a tombstone is no tombstone when it is listed")
	}
	mustBe(t, "creating over a tombstone", s.Save(t.Context(), id, record("x")), session.ErrConflict)

	without := create(t, s, record(`{"visits":3}`))
	save(t, s, without, session.Record{Expires: rec.Expires, Version: 1, Ended: true})
	if got := load(t, s, without); !got.Ended || len(got.Data) != 0 {
		t.Errorf("a tombstone without data came back as %+v", got)
	}
}

func unknownIsNotFound(t *testing.T, s session.Store) {
	id := newID()
	for range 2 { // asking must not make it
		_, err := s.Load(t.Context(), id)
		mustBe(t, "Load", err, session.ErrNotFound)
	}
	rec := record("x")
	rec.Version = 1
	mustBe(t, "Save of version 1", s.Save(t.Context(), id, rec), session.ErrNotFound)
	mustList(t, s, newID())
}

func versionsCount(t *testing.T, s session.Store) {
	id := create(t, s, record("0"))
	for i := int64(1); i <= 10; i++ {
		rec := load(t, s, id)
		if rec.Version != i {
			t.Fatalf("Version = %d, want %d", rec.Version, i)
		}
		rec.Data = fmt.Append(nil, i)
		save(t, s, id, rec)
	}
}

func createdOnce(t *testing.T, s session.Store) {
	id := create(t, s, record("first"))
	mustBe(t, "Save of version 0", s.Save(t.Context(), id, record("second")), session.ErrConflict)
	if got := load(t, s, id); string(got.Data) != "first" {
		t.Errorf("data %q, want that of the first", got.Data)
	}
}

func staleIsConflict(t *testing.T, s session.Store) {
	rec, other := record("1"), newID()
	rec.Owner = newID()
	id := create(t, s, rec)
	old := load(t, s, id)
	save(t, s, id, old)
	old.Owner = other
	for _, version := range []int64{1, 3, 99} {
		old.Version, old.Data = version, []byte("stale")
		mustBe(t, fmt.Sprint("Save of version ", version), s.Save(t.Context(), id, old), session.ErrConflict)
	}
	if got := load(t, s, id); string(got.Data) != "1" || got.Version != 2 {
		t.Errorf("data %q, version %d", got.Data, got.Version)
	}
	mustList(t, s, rec.Owner, id)
	mustList(t, s, other)
}

func deletedIsNotSaved(t *testing.T, s session.Store) {
	rec := record("x")
	rec.Owner = newID()
	id := create(t, s, rec)
	rec = load(t, s, id)
	if err := s.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Save after Delete", s.Save(t.Context(), id, rec), session.ErrNotFound)
	_, err := s.Load(t.Context(), id)
	mustBe(t, "Load after Delete", err, session.ErrNotFound)
	mustList(t, s, rec.Owner)
}

func deleteTwice(t *testing.T, s session.Store) {
	id := create(t, s, record("x"))
	for range 2 {
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	save(t, s, id, record("again"))
}

func expiredIsNone(t *testing.T, s session.Store) {
	rec := record("x")
	rec.Owner = newID()
	rec.Expires = time.Now().Add(-time.Second)
	id := create(t, s, rec)
	_, err := s.Load(t.Context(), id)
	mustBe(t, "Load", err, session.ErrNotFound)
	mustList(t, s, rec.Owner)
	rec.Version = 1
	mustBe(t, "Save of version 1", s.Save(t.Context(), id, rec), session.ErrNotFound)

	save(t, s, id, record("after it")) // the name is free
	if got := load(t, s, id); string(got.Data) != "after it" || got.Version != 1 {
		t.Errorf("data %q, version %d", got.Data, got.Version)
	}

	soon := load(t, s, id)
	soon.Expires = time.Now().Add(2 * time.Second)
	save(t, s, id, soon)
	load(t, s, id) // not yet
	soon = load(t, s, id)
	soon.Expires = time.Now().Add(-time.Second)
	save(t, s, id, soon)
	_, err = s.Load(t.Context(), id)
	mustBe(t, "Load after its time moved to the past", err, session.ErrNotFound)
}

// expiresInTime waits for a real clock, as a real store has no other.
func expiresInTime(t *testing.T, s session.Store) {
	rec := record("x")
	rec.Owner = newID()
	rec.Expires = time.Now().Add(1500 * time.Millisecond)
	id := create(t, s, rec)
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		_, err := s.Load(t.Context(), id)
		switch late := time.Since(rec.Expires); {
		case err != nil && late < -time.Second:
			t.Fatalf("gone %v before its time: %v", -late, err)
		case err == nil && late > time.Second:
			t.Fatalf("still there %v after its time", late)
		case err != nil:
			mustBe(t, "Load after its time", err, session.ErrNotFound)
			mustList(t, s, rec.Owner)
			rec.Version = 1
			mustBe(t, "Save after its time", s.Save(t.Context(), id, rec), session.ErrNotFound)
			return
		}
	}
}

func anyData(t *testing.T, s session.Store) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, data := range map[string][]byte{
		"none": {}, "a byte": {0}, "every byte": all, "line ends": []byte("\r\n$5\r\n*1\r\n"), "quotes": []byte(`'";--`),
		"a megabyte": bytes.Repeat(all, 4096),
	} {
		id := create(t, s, record(string(data)))
		if got := load(t, s, id); !bytes.Equal(got.Data, data) {
			t.Errorf("%s: %d bytes came back as %d others", name, len(data), len(got.Data))
		}
	}
}

func copies(t *testing.T, s session.Store) {
	rec := record("before")
	rec.Owner = newID()
	id := create(t, s, rec)
	copy(rec.Data, "XXXXXX")
	copy(load(t, s, id).Data, "YYYYYY")
	if got := load(t, s, id); string(got.Data) != "before" {
		t.Errorf("data %q, want what was saved", got.Data)
	}
}

func listed(t *testing.T, s session.Store) {
	ada, bob := newID(), newID()
	owned := func(owner string) session.Record { rec := record("x"); rec.Owner = owner; return rec }
	one, two, three := create(t, s, owned(ada)), create(t, s, owned(ada)), create(t, s, owned(bob))
	create(t, s, record("no one's"))
	mustList(t, s, ada, one, two)
	mustList(t, s, bob, three)

	moved := load(t, s, two)
	moved.Owner = bob
	save(t, s, two, moved)
	mustList(t, s, ada, one)
	mustList(t, s, bob, two, three)

	left := load(t, s, three)
	left.Owner = ""
	save(t, s, three, left)
	mustList(t, s, bob, two)

	if err := s.Delete(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	mustList(t, s, ada)
}

func anyOwner(t *testing.T, s session.Store) {
	unique := newID()
	var ids []string
	owners := []string{"a", "A", "a b", "a/b", `a\b`, "../a", "*", "a*", "?", "%", "'; DROP TABLE sessions; --", "a\r\nb", "日本", "a:b", strings.Repeat("o", 1000)}
	for _, owner := range owners {
		rec := record("x")
		rec.Owner = owner + unique
		ids = append(ids, create(t, s, rec))
	}
	for i, owner := range owners {
		mustList(t, s, owner+unique, ids[i])
	}
}

func endedContext(t *testing.T, s session.Store) {
	id := create(t, s, record("x"))
	rec := load(t, s, id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx, id)
	_, listErr := s.List(ctx, "ada")
	for what, err := range map[string]error{
		"Load": loadErr, "Save": s.Save(ctx, id, rec), "Delete": s.Delete(ctx, id), "List": listErr,
	} {
		mustBe(t, what, err, context.Canceled)
	}
	if got := load(t, s, id); got.Version != 1 {
		t.Errorf("version %d: a cancelled call did something", got.Version)
	}
}

func createRace(t *testing.T, s session.Store) {
	for range 10 {
		id := newID()
		results := together(32, func(int) error { return s.Save(t.Context(), id, record("x")) })
		if n := count(results, nil); n != 1 {
			t.Errorf("%d of 32 created one record", n)
		}
		if n := count(results, session.ErrConflict); n != 31 {
			t.Errorf("%d of the others were told of a conflict: %v", n, errors.Join(results...))
		}
	}
}

func countRace(t *testing.T, s session.Store) {
	id := create(t, s, record("0"))
	results := together(16, func(int) error {
		for range 25 {
			if err := increment(t.Context(), s, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(results...); err != nil {
		t.Error(err)
	}
	if got := load(t, s, id); string(got.Data) != "400" || got.Version != 401 {
		t.Errorf("400 increments made %s, version %d", got.Data, got.Version)
	}
}

// increment adds one to the number in a record, however often it takes.
func increment(ctx context.Context, s session.Store, id string) error {
	for {
		rec, err := s.Load(ctx, id)
		if err != nil {
			return err
		}
		var n int
		fmt.Sscan(string(rec.Data), &n)
		rec.Data = fmt.Append(nil, n+1)
		if err := s.Save(ctx, id, rec); !errors.Is(err, session.ErrConflict) {
			return err
		}
	}
}

func deleteRace(t *testing.T, s session.Store) {
	for range 20 {
		id := create(t, s, record("0"))
		together(4, func(i int) error {
			if i == 0 {
				return s.Delete(t.Context(), id)
			}
			for range 3 {
				increment(t.Context(), s, id)
			}
			return nil
		})
		_, err := s.Load(t.Context(), id)
		mustBe(t, "Load after Delete beside saves", err, session.ErrNotFound)
	}
}

func closes(t *testing.T, open func(t *testing.T) session.Store) {
	before := runtime.NumGoroutine()
	for range 5 {
		s := open(t)
		id := create(t, s, record("x"))
		load(t, s, id)
		c, ok := s.(io.Closer)
		if !ok {
			t.Skip("the store has no Close")
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines more than before", n-before)
	}
}

// together calls f from n goroutines at once and returns what they return.
func together(n int, f func(i int) error) []error {
	results := make([]error, n)
	start := make(chan bool)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return results
}

// count returns how many of the results are want.
func count(results []error, want error) int {
	n := 0
	for _, err := range results {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}
