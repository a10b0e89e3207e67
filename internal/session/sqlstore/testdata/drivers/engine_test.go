package drivers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/sqlstore"
	"example.com/sessions/internal/session/storetest"
)

// engine is a kind of database.
type engine struct {
	dialect sqlstore.Dialect
	fresh   func(t testing.TB) string                   // returns the name of an empty database
	open    func(source string) (*sql.DB, error)        // opens a database as open.go does
	lesson  func(source string) (session.Store, error)  // is the function in open.go
	block   func(t testing.TB, db *sql.DB) (end func()) // makes every save wait until end
	fill    string                                      // adds $1 sessions, one in ten with an owner
	plan    func(t testing.TB, db *sql.DB, statement string) string
}

func sqlite() engine {
	return engine{
		dialect: sqlstore.SQLite,
		fresh:   func(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") },
		open: func(file string) (*sql.DB, error) {
			db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
			db.SetMaxOpenConns(1)
			return db, err
		},
		lesson: openSQLite,
		block: func(t testing.TB, db *sql.DB) func() {
			must(t, exec1(db, "BEGIN IMMEDIATE"))
			return func() { must(t, exec1(db, "ROLLBACK")) }
		},
		fill: `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < $1)
INSERT INTO sessions (id, data, owner, created, used, expires, version) SELECT lower(hex(randomblob(32))), zeroblob(200), CASE i % 10 WHEN 0 THEN 'user' || i ELSE '' END, 0, 0, $2 + i, 1 FROM n`,
		plan: sqlitePlan,
	}
}

func postgres(t testing.TB, settings string) engine {
	c := newCluster(t, settings)
	return engine{
		dialect: sqlstore.Postgres,
		fresh: func(t testing.TB) string {
			db := mustOpen(t, engine{open: openPgx}, c.url("postgres"))
			name := "t" + strings.ToLower(rand.Text())
			must(t, exec1(db, "CREATE DATABASE "+name))
			return c.url(name)
		},
		open:   openPgx,
		lesson: openPostgres,
		block: func(t testing.TB, db *sql.DB) func() {
			tx, err := db.Begin()
			must(t, err)
			_, err = tx.Exec("LOCK TABLE sessions")
			must(t, err)
			return func() { tx.Rollback() }
		},
		fill: `INSERT INTO sessions (id, data, owner, created, used, expires, version) SELECT encode(sha256(i::text::bytea), 'hex'), decode(repeat('00', 200), 'hex'), CASE i % 10 WHEN 0 THEN 'user' || i ELSE '' END, 0, 0, $2::bigint + i, 1 FROM generate_series(1, $1) i`,
		plan: postgresPlan,
	}
}

func openPgx(url string) (*sql.DB, error) {
	db, err := sql.Open("pgx", url)
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	return db, err
}

func exec1(db *sql.DB, statement string, args ...any) error {
	_, err := db.Exec(statement, args...)
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustOpen opens a database that is closed when the test ends.
func mustOpen(t testing.TB, e engine, source string) *sql.DB {
	t.Helper()
	db, err := e.open(source)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// newStore returns a store in the database, and makes its table.
func newStore(t testing.TB, e engine, source string) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := mustOpen(t, e, source)
	s := sqlstore.New(db, e.dialect)
	t.Cleanup(func() { s.Close() })
	must(t, s.CreateTable(t.Context()))
	return s, db
}

// A save that fails because the database is full must not look like a conflict. A session
// must end in a full database, with its tombstone or without.
func TestFullSQLiteLetsSessionsEnd(t *testing.T) {
	t.Parallel()
	e := sqlite()
	s, db := newStore(t, e, e.fresh(t))
	var pages int
	must(t, db.QueryRow("PRAGMA page_count").Scan(&pages))
	must(t, exec1(db, fmt.Sprint("PRAGMA max_page_count = ", pages+200)))
	rec := record(time.Hour)
	rec.Data = bytes.Repeat([]byte("x"), 1000)
	ids := saveUntilFull(t, s, rec)
	rec.Version, rec.Data = 1, bytes.Repeat([]byte("x"), 100_000)
	err := s.Save(t.Context(), ids[0], rec)
	if err == nil || errors.Is(err, session.ErrConflict) || errors.Is(err, session.ErrNotFound) {
		t.Errorf("a save that needs room: %v, want a full database", err)
	}
	if got, err := s.Load(t.Context(), ids[0]); err != nil || len(got.Data) != 1000 {
		t.Errorf("after it the record has %d bytes, %v, want the 1000 that were there", len(got.Data), err)
	}

	rec.Data, rec.Ended, rec.Expires = []byte(newID()), true, time.Now().Add(time.Minute)
	tombstones := 0
	for i, id := range ids {
		if i%2 == 0 && s.Save(t.Context(), id, rec) == nil {
			tombstones++
			continue
		}
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete %d: %v", i, err)
		}
	}
	records, err := s.List(t.Context(), rec.Owner)
	if err != nil || len(records) != tombstones {
		t.Errorf("%d records are left, %v, want %d tombstones", len(records), err, tombstones)
	}
	for _, rec := range records {
		if !rec.Ended {
			t.Errorf("session %s is live, want only tombstones", rec.ID)
		}
	}
	t.Logf("%d sessions in a full database: %d ended with a tombstone, %d by Delete", len(ids), tombstones, len(ids)-tombstones)
}

// saveUntilFull creates records until the database is full, and returns their IDs.
func saveUntilFull(t *testing.T, s *sqlstore.Store, rec session.Record) (ids []string) {
	t.Helper()
	for len(ids) < 10_000 {
		id := newID()
		if err := s.Save(t.Context(), id, rec); err == nil {
			ids = append(ids, id)
		} else if strings.HasPrefix(err.Error(), "session: sqlstore: database or disk is full") {
			return ids
		} else {
			t.Fatalf("after %d records: %v, want a full database", len(ids), err)
		}
	}
	t.Fatalf("the database is not full after %d records", len(ids))
	return nil
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	testEngine(t, sqlite())
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	testEngine(t, postgres(t, "-c fsync=off"))
}

func testEngine(t *testing.T, e engine) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, e engine)
	}{
		{"it is a store", isStore},
		{"the lesson's lines open one", lessonOpens},
		{"many make the table at the same time", createRace},
		{"many bring an old table up to date at the same time", upgradeRace},
		{"two processes lose nothing", processesLoseNothing},
		{"a sweep loses no session", sweepLosesNothing},
		{"a database that waits is a 503 in time", waitingIs503},
		{"every search is on an index", indexesAreUsed},
		{"a long list is short work", longList},
		{"a list that is cut short begins with live sessions", cutList},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, e) })
	}
}

func isStore(t *testing.T, e engine) {
	source := e.fresh(t)
	storetest.Run(t, func(t *testing.T) session.Store {
		db, err := e.open(source)
		must(t, err)
		s := sqlstore.New(db, e.dialect)
		must(t, s.CreateTable(t.Context()))
		return closer{s, db}
	})
}

// closer closes the database with the store, as a program does.
type closer struct {
	*sqlstore.Store
	db *sql.DB
}

func (c closer) Close() error { return errors.Join(c.Store.Close(), c.db.Close()) }

const visits = session.Key[int]("visits")

func increment(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }

func newManager(t testing.TB, secret []byte, s session.Store, timeout time.Duration) *session.Manager {
	t.Helper()
	m, err := session.New(secret, &session.Options{Store: s, StoreTimeout: timeout, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
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

// begin begins a session, and returns its cookie.
func begin(t testing.TB, m *session.Manager) string {
	t.Helper()
	response := visit(m, "", func(s *session.Session) { visits.Set(s, 0) })
	if response.StatusCode != 200 || len(response.Cookies()) != 1 {
		t.Fatalf("a new session: status %d and %d cookies, want 200 and 1", response.StatusCode, len(response.Cookies()))
	}
	return response.Cookies()[0].String()
}

// mustCount fails the test unless a session has so many visits.
func mustCount(t testing.TB, m *session.Manager, cookie string, want int) {
	t.Helper()
	visit(m, cookie, func(s *session.Session) {
		if n := visits.Get(s); n != want {
			t.Errorf("%d visits, want %d", n, want)
		}
	})
}

// lessonOpens opens a session again after its store was closed.
func lessonOpens(t *testing.T, e engine) {
	source, secret := e.fresh(t), session.NewSecret()
	var cookie string
	for i := range 3 {
		s, err := e.lesson(source)
		must(t, err)
		defer s.(*sqlstore.Store).Close()
		m := newManager(t, secret, s, 0)
		if i == 0 {
			cookie = begin(t, m)
		}
		visit(m, cookie, increment)
		mustCount(t, m, cookie, i+1)
	}
}

func createRace(t *testing.T, e engine) {
	for range 5 {
		startTogether(t, e, e.fresh(t))
	}
}

// upgradeRace has a table of a release that had no column ended, with a session in it.
// Processes of that release still write to the table.
func upgradeRace(t *testing.T, e engine) {
	for range 5 {
		source, id := e.fresh(t), newID()
		old := mustOpen(t, e, source)
		for _, statement := range earlier[e.dialect] {
			must(t, exec1(old, statement))
		}
		must(t, exec1(old, earlierSave, []byte("{}"), "ada", 1, 2, time.Now().Add(time.Hour).UnixMicro(), id))
		startTogether(t, e, source)
		must(t, exec1(old, earlierSave, []byte("{}"), "ada", 1, 2, time.Now().Add(time.Hour).UnixMicro(), newID()))
		s, _ := newStore(t, e, source)
		rec, err := s.Load(t.Context(), id)
		must(t, err)
		if rec.Ended {
			t.Error("a session of the earlier release has ended, want it live")
		}
		if rec.Owner != "ada" {
			t.Errorf("its owner is %q, want %q", rec.Owner, "ada")
		}
		if rec.Version != 1 {
			t.Errorf("its version is %d, want 1", rec.Version)
		}
		rec.Ended = true
		must(t, s.Save(t.Context(), id, rec))
		records, err := s.List(t.Context(), "ada")
		must(t, err)
		ended := 0
		for _, rec := range records {
			if rec.Ended {
				ended++
			}
		}
		if len(records) != 2 || ended != 1 {
			t.Errorf("the list has %d records and %d tombstones, want 2 and 1", len(records), ended)
		}
	}
}

// earlier makes the table as an earlier release did, without the column ended.
// earlierSave is how that release created a record.
var earlier = map[sqlstore.Dialect][]string{
	sqlstore.SQLite: {
		`CREATE TABLE sessions (id text NOT NULL PRIMARY KEY, data blob NOT NULL, owner text NOT NULL,
			created bigint NOT NULL, used bigint NOT NULL, expires bigint NOT NULL, version bigint NOT NULL)`,
		`CREATE INDEX sessions_expires ON sessions (expires)`,
		`CREATE INDEX sessions_owner ON sessions (owner) WHERE owner <> ''`,
	},
	sqlstore.Postgres: {
		`CREATE TABLE sessions (id text COLLATE "C" NOT NULL PRIMARY KEY, data bytea NOT NULL, owner text COLLATE "C" NOT NULL,
			created bigint NOT NULL, used bigint NOT NULL, expires bigint NOT NULL, version bigint NOT NULL)`,
		`CREATE INDEX sessions_expires ON sessions (expires)`,
		`CREATE INDEX sessions_owner ON sessions (owner) WHERE owner <> ''`,
	},
}

const earlierSave = `INSERT INTO sessions (data, owner, created, used, expires, id, version) VALUES ($1, $2, $3, $4, $5, $6, 1)`

// startTogether makes the table and saves a session in 8 stores at the same time. To the
// database they look like 8 processes, because each has a pool of its own.
func startTogether(t *testing.T, e engine, source string) {
	t.Helper()
	var stores []*sqlstore.Store
	for range 8 {
		db := mustOpen(t, e, source)
		must(t, db.Ping())
		s := sqlstore.New(db, e.dialect)
		t.Cleanup(func() { s.Close() })
		stores = append(stores, s)
	}
	start := make(chan bool)
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			<-start
			if err := s.CreateTable(t.Context()); err != nil {
				t.Errorf("CreateTable: %v", err)
			}
			if err := s.Save(t.Context(), newID(), record(time.Hour)); err != nil {
				t.Errorf("Save: %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
}

// newID returns the ID of a record, as a manager makes it.
func newID() string { return hash(rand.Text()) }

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func record(life time.Duration) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(`{}`), Owner: "live", Created: now, Used: now, Expires: now.Add(life)}
}

// TestMain runs the tests, or makes visits in a second process of processesLoseNothing.
func TestMain(m *testing.M) {
	kind := os.Getenv("DRIVERS_CHILD")
	if kind == "" {
		os.Exit(m.Run())
	}
	s, err := map[string]func(string) (session.Store, error){"sqlite": openSQLite, "postgres": openPostgres}[kind](os.Getenv("SOURCE"))
	if err == nil {
		err = storetest.MakeVisits(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// processesLoseNothing counts the visits of one session in two processes.
func processesLoseNothing(t *testing.T, e engine) {
	source := e.fresh(t)
	s, _ := newStore(t, e, source)
	name, err := os.Executable()
	must(t, err)
	kind := map[sqlstore.Dialect]string{sqlstore.SQLite: "sqlite", sqlstore.Postgres: "postgres"}[e.dialect]
	storetest.RunProcesses(t, s, func(env ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), name)
		cmd.Env = append(os.Environ(), append(env, "DRIVERS_CHILD="+kind, "SOURCE="+source)...)
		return cmd
	})
}

// sweepLosesNothing has two sweepers, which remove 8,000 expired records. At the same
// time 8 goroutines save, load and delete, and give the names of expired records to new
// ones.
func sweepLosesNothing(t *testing.T, e engine) {
	const workers, names = 8, 8000
	source := e.fresh(t)
	s, db := newStore(t, e, source)
	must(t, exec1(db, e.fill, names, 0))
	newStore(t, e, source) // for its sweeper
	ids := lastToExpire(t, db)
	for expired(t, db) == names { // in its first seconds a sweeper does nothing
	}
	var saved, slowest atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(ids) && expired(t, db) > 0; i += workers {
				begun := time.Now()
				reuse(t, s, ids[i])
				saved.Add(1)
				slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
			}
		})
	}
	wg.Wait()
	live, err := s.List(t.Context(), "live")
	if err != nil {
		t.Errorf("List: %v", err)
	}
	if saved.Load() == 0 {
		t.Error("no session was saved, want some")
	}
	if n := int64(len(live)); n != saved.Load() {
		t.Errorf("the list has %d live sessions, want %d", n, saved.Load())
	}
	if n := expired(t, db); n > 0 {
		t.Errorf("%d expired records are left, want none", n)
	}
	t.Logf("%d sessions made, read, ended and made again during the sweep, each in a maximum of %v", saved.Load(), time.Duration(slowest.Load()))
}

// lastToExpire returns the IDs of all records, the last to expire first.
func lastToExpire(t testing.TB, db *sql.DB) []string {
	rows, err := db.Query("SELECT id FROM sessions ORDER BY expires DESC")
	must(t, err)
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		must(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	must(t, rows.Err())
	return ids
}

// expired returns how many expired records there are.
func expired(t testing.TB, db *sql.DB) int {
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sessions WHERE expires <= $1", time.Now().UnixMicro()).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// reuse makes two sessions, one of them under an expired name, and ends the other.
func reuse(t testing.TB, s *sqlstore.Store, name string) {
	other := newID()
	for _, id := range []string{name, other} {
		if err := s.Save(context.Background(), id, record(time.Hour)); err != nil {
			t.Errorf("Save: %v", err)
		}
		if rec, err := s.Load(context.Background(), id); err != nil || rec.Version != 1 {
			t.Errorf("Load: version %d, %v, want 1", rec.Version, err)
		}
	}
	if err := s.Delete(context.Background(), other); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

// waitingIs503 locks the table, as another program may.
func waitingIs503(t *testing.T, e engine) {
	source := e.fresh(t)
	s, _ := newStore(t, e, source)
	m := newManager(t, session.NewSecret(), s, 500*time.Millisecond)
	cookie := begin(t, m)
	end := e.block(t, mustOpen(t, e, source))
	begun := time.Now()
	response := visit(m, cookie, increment)
	took := time.Since(begun)
	end()
	if response.StatusCode != 503 {
		t.Errorf("status %d, want 503", response.StatusCode)
	}
	if n := len(response.Cookies()); n > 0 {
		t.Errorf("%d cookies, want none", n)
	}
	if took < 500*time.Millisecond || took > 2*time.Second {
		t.Errorf("the response took %v, want 0.5 to 2 s", took)
	}
	visit(m, cookie, increment)
	mustCount(t, m, cookie, 1)
}

// indexesAreUsed checks the database's plan for each statement of the package.
func indexesAreUsed(t *testing.T, e engine) {
	source := e.fresh(t)
	_, db := newStore(t, e, source)
	must(t, exec1(db, e.fill, 20_000, time.Now().UnixMicro()))
	if e.dialect == sqlstore.Postgres {
		must(t, exec1(db, "VACUUM ANALYZE sessions"))
	}
	text, err := os.ReadFile("../../statements.go")
	must(t, err)
	explained := 0
	for _, match := range regexp.MustCompile("`\n?((?:SELECT id|UPDATE|DELETE)[^`]*)`").FindAllStringSubmatch(string(text), -1) {
		statement := match[1]
		if strings.Contains(statement, "LIMIT") && strings.Contains(statement, "SKIP LOCKED") != (e.dialect == sqlstore.Postgres) {
			continue // the other dialect's sweep
		}
		explained++
		plan := e.plan(t, db, statement)
		want := map[bool]string{true: "sessions_expires", false: "(id"}[strings.Contains(statement, "LIMIT")]
		slow := "(?i)seq scan|SCAN sessions$|SCAN sessions\n|TEMP B-TREE|\\bsort\\b"
		switch isList := strings.Contains(statement, "owner = $1 AND"); {
		case isList && e.dialect == sqlstore.SQLite:
			want = "COVERING INDEX sessions_list"
		case isList:
			want, slow = "sessions_owner", "(?i)seq scan" // a sort is right here
		}
		if !strings.Contains(plan, want) {
			t.Errorf("want the index (%s) in the plan of\n%s\n%s", want, statement, plan)
		}
		if regexp.MustCompile(slow).MatchString(plan) {
			t.Errorf("want no step like %s in the plan of\n%s\n%s", slow, statement, plan)
		}
	}
	if explained != 6 {
		t.Errorf("%d statements were explained, want 6", explained)
	}
}

func sqlitePlan(t testing.TB, db *sql.DB, statement string) string {
	args := make([]any, parameters(statement))
	rows, err := db.Query("EXPLAIN QUERY PLAN "+statement, args...)
	must(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var a, b, c int
		var detail string
		must(t, rows.Scan(&a, &b, &c, &detail))
		plan.WriteString(detail + "\n")
	}
	must(t, rows.Err())
	return plan.String()
}

// postgresPlan returns the plan for any arguments. A prepared statement gets this plan
// after a few calls.
func postgresPlan(t testing.TB, db *sql.DB, statement string) string {
	c, err := db.Conn(t.Context())
	must(t, err)
	defer c.Close()
	name := "p" + strings.ToLower(rand.Text())
	for _, s := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE " + name + " AS " + statement} {
		_, err := c.ExecContext(t.Context(), s)
		must(t, err)
	}
	execute := "EXPLAIN EXECUTE " + name
	if n := parameters(statement); n > 0 {
		execute += "(" + strings.Join(slices.Repeat([]string{"NULL"}, n), ", ") + ")"
	}
	rows, err := c.QueryContext(t.Context(), execute)
	must(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		must(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	must(t, rows.Err())
	return plan.String()
}

// parameters returns how many parameters a statement has.
func parameters(statement string) int {
	n := 0
	for strings.Contains(statement, fmt.Sprintf("$%d", n+1)) {
		n++
	}
	return n
}
