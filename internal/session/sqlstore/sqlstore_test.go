package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/storetest"
)

// The table of these tests is a driver's that they bring along. The real ones are
// in testdata/drivers.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store {
		_, db := newDatabase(t)
		return closer{New(db, SQLite), db}
	})
}

// closer closes the database with the store, as a program does.
type closer struct {
	*Store
	db *sql.DB
}

func (c closer) Close() error { return errors.Join(c.Store.Close(), c.db.Close()) }

// newStore returns a store and the database under it.
func newStore(t testing.TB, dialect Dialect) (*Store, *database) {
	t.Helper()
	d, db := newDatabase(t)
	s := New(db, dialect)
	t.Cleanup(func() { s.Close() })
	return s, d
}

// record returns one of ada's that lives an hour.
func record(version int64) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(`{}`), Owner: "ada", Created: now, Used: now, Expires: now.Add(time.Hour), Version: version}
}

func mustBe(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// operations are all that a manager asks of a store. A record "a" of version 1 is
// there.
var operations = map[string]func(ctx context.Context, s *Store) error{
	"Load":   func(ctx context.Context, s *Store) error { _, err := s.Load(ctx, "a"); return err },
	"create": func(ctx context.Context, s *Store) error { return s.Save(ctx, rand.Text(), record(0)) },
	"Save":   func(ctx context.Context, s *Store) error { return s.Save(ctx, "a", record(1)) },
	"Delete": func(ctx context.Context, s *Store) error { return s.Delete(ctx, "b") },
	"List":   func(ctx context.Context, s *Store) error { _, err := s.List(ctx, "ada"); return err },
}

// each calls test with every operation, each on a store that has the record "a".
func each(t *testing.T, test func(t *testing.T, call func(context.Context) error, s *Store, d *database)) {
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			s, d := newStore(t, Postgres)
			if err := s.Save(t.Context(), "a", record(0)); err != nil {
				t.Fatal(err)
			}
			d.calls()
			test(t, func(ctx context.Context) error { return operation(ctx, s) }, s, d)
			d.mustBeIdle(t, name, s.db)
		})
	}
}

// TestStatementsAreConstants has IDs and owners that would be SQL if they were
// part of a statement.
func TestStatementsAreConstants(t *testing.T) {
	for _, dialect := range []Dialect{SQLite, Postgres} {
		s, d := newStore(t, dialect)
		use := func(id, owner string) {
			rec := record(0)
			rec.Owner = owner
			s.Save(t.Context(), id, rec)
			rec.Version = 1
			s.Save(t.Context(), id, rec)
			s.Load(t.Context(), id)
			s.List(t.Context(), owner)
			s.Delete(t.Context(), id)
		}
		use("a", "ada")
		want := distinct(d)
		pieces := []string{"'", `"`, ";", "--", "/*", "*/", "$1", "?", ":a", "@a", "%", "_", `\`, "\x00", "\xff", "\n", " OR 1=1", "DROP TABLE sessions", "'; DELETE FROM sessions; --", "a", "é", "日本"}
		random := mathrand.New(mathrand.NewPCG(1, 2))
		hostile := func() string {
			var text strings.Builder
			for range 1 + random.IntN(6) {
				text.WriteString(pieces[random.IntN(len(pieces))])
			}
			return text.String()
		}
		for range 10_000 {
			use(hostile(), hostile())
		}
		if got := distinct(d); !slices.Equal(got, want) {
			t.Errorf("dialect %d: hostile names make %d statements, others %d: %q", dialect, len(got), len(want), got)
		}
	}
}

// distinct returns the statements that the database was asked, each once.
func distinct(d *database) []string {
	texts := d.statements()
	slices.Sort(texts)
	return slices.Compact(texts)
}

// To SQLite $1 is a name, and drivers that bind by place need the names in order.
func TestParametersAreNumberedAsTheyFirstOccur(t *testing.T) {
	statements := []string{load, list, insert, update, remove, dialects[SQLite].sweep, dialects[Postgres].sweep}
	for _, statement := range statements {
		last := 0
		for _, match := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(statement, -1) {
			n := int(match[1][0] - '0')
			if len(match[1]) > 1 || n > last+1 {
				t.Errorf("$%s after $%d in %s", match[1], last, statement)
			}
			last = max(last, n)
		}
		if last == 0 {
			t.Errorf("no parameter in %s", statement)
		}
	}
	for _, d := range dialects {
		if !strings.Contains(d.sweep, fmt.Sprintf("LIMIT %d", sweepStep)) {
			t.Errorf("the limit is not %d in %s", sweepStep, d.sweep)
		}
	}
}

// TestTheSessionIDStaysInTheCookie: someone who reads the database, or the statements
// in its log, can open no session.
func TestTheSessionIDStaysInTheCookie(t *testing.T) {
	s, d := newStore(t, SQLite)
	m := newManager(t, s)
	cookie := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") }).Cookies()[0]
	visit(m, cookie.String(), func(s *session.Session) { visits.Set(s, 2) })
	renewed := visit(m, cookie.String(), (*session.Session).Renew).Cookies()[0]
	visit(m, renewed.String(), (*session.Session).Clear)
	calls := d.calls()
	if len(calls) < 8 {
		t.Fatalf("%d statements", len(calls))
	}
	for _, value := range []string{cookie.Value, renewed.Value} {
		payload, _, _ := strings.Cut(value, ".")
		id, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || len(id) < 26 {
			t.Fatalf("session ID %q: %v", id, err)
		}
		for _, c := range calls {
			if all := fmt.Sprintf("%s", c); strings.Contains(all, string(id)) || strings.Contains(all, payload) {
				t.Errorf("a session ID went to the database: %s", c)
			}
		}
	}
}

const visits = session.Key[int]("visits")

func newManager(t testing.TB, s session.Store) *session.Manager {
	t.Helper()
	m, err := session.New(session.NewSecret(), &session.Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
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

// TestTextThatNoDatabaseHolds is the same for both dialects: it is refused before
// the database sees it, and nothing is found under it.
func TestTextThatNoDatabaseHolds(t *testing.T) {
	for what, text := range map[string]string{
		"NUL": "a\x00b", "no UTF-8": "\xff", "too long for an index": strings.Repeat("o", maxText+1),
	} {
		s, d := newStore(t, SQLite)
		rec := record(0)
		rec.Owner = text
		mustBe(t, what+" as owner", s.Save(t.Context(), "a", rec), session.ErrValue)
		mustBe(t, what+" as ID", s.Save(t.Context(), text, record(0)), session.ErrValue)
		_, err := s.Load(t.Context(), text)
		mustBe(t, what+": Load", err, session.ErrNotFound)
		if err := s.Delete(t.Context(), text); err != nil {
			t.Errorf("%s: Delete: %v", what, err)
		}
		if records, err := s.List(t.Context(), text); err != nil || len(records) > 0 {
			t.Errorf("%s: List = %v, %v", what, records, err)
		}
		if asked := d.statements(); len(asked) > 0 {
			t.Errorf("%s: the database was asked %q", what, asked)
		}
	}
	s, _ := newStore(t, SQLite)
	rec := record(0)
	rec.Owner = strings.Repeat("o", maxText)
	if err := s.Save(t.Context(), "a", rec); err != nil {
		t.Errorf("an owner of %d bytes: %v", maxText, err)
	}
}

func TestTheEmptyRecordIsNotNull(t *testing.T) {
	s, d := newStore(t, SQLite)
	rec := record(0)
	rec.Data = nil
	if err := s.Save(t.Context(), "a", rec); err != nil {
		t.Fatal(err)
	}
	if data, ok := d.calls()[0].args[0].([]byte); !ok || data == nil {
		t.Errorf("no data went to the database as %#v", data)
	}
}

// TestCorruptRows has a row of which a column is NULL or of another type, as
// SQLite takes them. It opens nothing, and locks no visitor out.
func TestCorruptRows(t *testing.T) {
	for column, values := range map[int][]driver.Value{
		dataColumn:    {nil},
		ownerColumn:   {nil},
		createdColumn: {nil, "secret", []byte("secret"), 1.5, time.Now()},
		usedColumn:    {nil, "secret", []byte("secret"), 1.5, time.Now()},
		expiresColumn: {nil, "secret", []byte("secret"), 1.5, time.Now()},
		versionColumn: {nil, "secret", []byte("secret"), 1.5, time.Now(), int64(0), int64(-1)},
		endedColumn:   {nil, "secret", []byte("secret"), 1.5, time.Now(), int64(2)},
	} {
		for _, value := range values {
			what := fmt.Sprintf("%T %v in column %d", value, value, column)
			s, d := newStore(t, SQLite)
			m := newManager(t, s)
			begun := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
			for id, r := range d.table {
				r[column] = value
				d.table[id] = r
			}
			mustBeCorrupt(t, s, d, what)
			records, err := s.List(t.Context(), "ada")
			if err != nil {
				t.Errorf("%s: List: %v, want no error", what, err)
			}
			if want := map[bool]int{true: 1}[column == dataColumn]; len(records) != want { // a list has no data
				t.Errorf("%s: List has %d records, want %d", what, len(records), want)
			}
			again := visit(m, begun.Cookies()[0].String(), increment)
			if again.StatusCode != 200 || len(again.Cookies()) != 1 {
				t.Errorf("%s locks a visitor out: %d, %v", what, again.StatusCode, again.Cookies())
			}
		}
	}
}

func increment(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }

// mustBeCorrupt reports a record that is read, though it is the only one and
// corrupt.
func mustBeCorrupt(t *testing.T, s *Store, d *database, what string) {
	t.Helper()
	for id := range d.table {
		_, err := s.Load(t.Context(), id)
		mustBe(t, what, err, session.ErrCorrupt)
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: the error quotes it: %v", what, err)
		}
	}
	d.mustBeIdle(t, what, s.db)
}

// TestAFailedDatabaseIsNoAnswer: whatever goes wrong is an error, and none that
// tells of a record.
func TestAFailedDatabaseIsNoAnswer(t *testing.T) {
	each(t, func(t *testing.T, call func(context.Context) error, s *Store, d *database) {
		failed := 0
		for _, statement := range []string{load, list, insert, update, remove, "END"} {
			a := d.table["a"]
			a[versionColumn] = int64(1)
			d.table["a"] = a
			d.fail(on(statement, errBroken))
			if err := call(t.Context()); err != nil {
				failed++
				mustBe(t, "failure", err, errBroken)
			}
			d.mustBeIdle(t, statement, s.db)
		}
		if failed == 0 {
			t.Error("nothing failed")
		}
	})
}

// TestARecordIsNotReadFromABrokenAnswer: there is a row, and then the connection
// breaks.
func TestARecordIsNotReadFromABrokenAnswer(t *testing.T) {
	s, d := newStore(t, SQLite)
	if err := s.Save(t.Context(), "a", record(0)); err != nil {
		t.Fatal(err)
	}
	d.fail(on("END", errBroken))
	rec, err := s.Load(t.Context(), "a")
	mustBe(t, "Load", err, errBroken)
	records, err := s.List(t.Context(), "ada")
	mustBe(t, "List", err, errBroken)
	if rec.ID != "" || len(records) > 0 {
		t.Errorf("%v, %v", rec, records)
	}
	d.mustBeIdle(t, "END", s.db)
}

func TestWhatChangedNothingIsNoSuccess(t *testing.T) {
	s, d := newStore(t, SQLite)
	mustBe(t, "Save of version 1 of none", s.Save(t.Context(), "a", record(1)), session.ErrNotFound)
	if err := s.Save(t.Context(), "a", record(0)); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Save of version 0 of one", s.Save(t.Context(), "a", record(0)), session.ErrConflict)
	mustBe(t, "Save of version 2 of 1", s.Save(t.Context(), "a", record(2)), session.ErrConflict)

	d.fail(on(load, errBroken)) // the second question
	mustBe(t, "Save when it cannot be told why", s.Save(t.Context(), "a", record(2)), errBroken)
	d.fail(nil)
	d.blind = true
	mustBe(t, "Save when the database does not say", s.Save(t.Context(), "a", record(1)), errBroken)
	mustBe(t, "creating when the database does not say", s.Save(t.Context(), "b", record(0)), errBroken)
	d.mustBeIdle(t, "Save", s.db)
}

// TestABrokenConnectionIsReplaced: a driver says driver.ErrBadConn when it is
// certain that the database did not see the statement.
func TestABrokenConnectionIsReplaced(t *testing.T) {
	each(t, func(t *testing.T, call func(context.Context) error, s *Store, d *database) {
		mustReplace(t, d, func() error { return call(t.Context()) })
	})
	s, d := newStore(t, Postgres)
	mustReplace(t, d, func() error { return s.CreateTable(t.Context()) })
	d.mustBeIdle(t, "CreateTable", s.db)
}

// mustReplace reports a call that fails when the connection is found broken.
func mustReplace(t *testing.T, d *database, call func() error) {
	t.Helper()
	d.calls()
	broken := 0
	d.fail(func(context.Context, string) error {
		if broken++; broken == 1 {
			return driver.ErrBadConn
		}
		return nil
	})
	if err := call(); err != nil {
		t.Error(err)
	}
	if asked := d.statements(); len(asked) < 2 || asked[0] != asked[1] {
		t.Errorf("the database was asked %q", asked)
	}
}

// TestABlockedDatabaseEndsWithTheContext, to the very second, on synctest's clock.
func TestABlockedDatabaseEndsWithTheContext(t *testing.T) {
	calls := map[string]func(context.Context, *Store) error{"CreateTable": func(ctx context.Context, s *Store) error { return s.CreateTable(ctx) }}
	for name, operation := range operations {
		calls[name] = operation
	}
	for name, call := range calls {
		synctest.Test(t, func(t *testing.T) {
			d, db := newDatabase(t)
			s := New(db, Postgres)
			defer s.Close()
			d.fail(blocked)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			mustBe(t, name, call(ctx, s), context.DeadlineExceeded)
			if took := time.Since(begun); took != time.Second {
				t.Errorf("%s took %v", name, took)
			}
			synctest.Wait()
			d.mustBeIdle(t, name, db)
		})
	}
}

// TestABlockedDatabaseIsA503 within the manager's StoreTimeout, and all is well
// when the database is.
func TestABlockedDatabaseIsA503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		s := New(db, SQLite)
		defer s.Close()
		m := newManager(t, s)
		cookie := visit(m, "", func(s *session.Session) { visits.Set(s, 1) }).Cookies()[0].String()
		d.fail(blocked)
		begun := time.Now()
		answer := visit(m, cookie, func(s *session.Session) { t.Error("the handler ran") })
		if answer.StatusCode != 503 || len(answer.Cookies()) > 0 || time.Since(begun) != time.Second {
			t.Errorf("answered %d with %v after %v", answer.StatusCode, answer.Cookies(), time.Since(begun))
		}
		d.fail(nil)
		visit(m, cookie, func(s *session.Session) {
			if visits.Get(s) != 1 {
				t.Error("the session did not come back")
			}
		})
	})
}

// TestCreateTable has a table that is there, or one of the earlier release, and breaks
// at each step. What was done of a transaction is rolled back, and the next call does
// the rest.
func TestCreateTable(t *testing.T) {
	for _, dialect := range []Dialect{SQLite, Postgres} {
		for _, old := range []bool{false, true} {
			s, d := newStore(t, dialect)
			steps := createSteps(dialect, old)
			d.old = old
			if err := s.CreateTable(t.Context()); err != nil {
				t.Fatal(err)
			}
			if asked := d.statements(); !slices.Equal(asked, steps) {
				t.Errorf("the database was asked %q, want %q", asked, steps)
			}
			for i, step := range steps {
				d.old = old
				first := slices.Index(steps, step)
				d.fail(on(step, errBroken))
				mustBe(t, "CreateTable", s.CreateTable(t.Context()), errBroken)
				want := slices.Clone(steps[:first+1])
				if step != "BEGIN" && step != "COMMIT" {
					want = append(want, "ROLLBACK")
				}
				if asked := d.statements(); !slices.Equal(asked, want) {
					t.Errorf("broken at step %d, %q, the database was asked %q, want %q", i, step, asked, want)
				}
				d.mustBeIdle(t, step, s.db)
			}
		}
	}
}

// createSteps returns what CreateTable asks the database.
func createSteps(dialect Dialect, old bool) []string {
	own := dialects[dialect]
	steps := slices.Concat([]string{"BEGIN"}, own.table, []string{"COMMIT", "BEGIN", own.lock, own.hasEnded})
	if old {
		steps = append(steps, addEnded)
	}
	return slices.Concat(steps, own.indexes, []string{"COMMIT"})
}

func TestProcessesOfPostgresTakeTurns(t *testing.T) {
	own := dialects[Postgres]
	for _, statement := range []string{own.table[0], own.lock} {
		if !strings.Contains(statement, "pg_advisory_xact_lock") {
			t.Errorf("a transaction of CreateTable begins with %q, want the lock", statement)
		}
	}
}

// TestListReturnsWhatItHasRead: the context ends when three of five rows have come.
func TestListReturnsWhatItHasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		s := New(db, Postgres)
		defer s.Close()
		for range 5 {
			if err := s.Save(t.Context(), rand.Text(), record(0)); err != nil {
				t.Fatal(err)
			}
		}
		d.stall = 3
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		records, err := s.List(ctx, "ada")
		mustBe(t, "List", err, context.DeadlineExceeded)
		if len(records) != 3 {
			t.Errorf("List has %d records, want the 3 that it read", len(records))
		}
		for _, rec := range records {
			if rec.ID == "" || rec.Owner != "ada" {
				t.Errorf("List has %+v, want a record of ada's", rec)
			}
		}
		synctest.Wait()
		d.mustBeIdle(t, "List", db)
	})
}

// TestListAsksForNoData: a value may have megabytes, and a list may have thousands.
func TestListAsksForNoData(t *testing.T) {
	if strings.Contains(list, "data") {
		t.Errorf("a list asks for the data: %s", list)
	}
	if !strings.Contains(load, "data") {
		t.Errorf("Load does not ask for the data: %s", load)
	}
}

func TestErrorsSayWhose(t *testing.T) {
	each(t, func(t *testing.T, call func(context.Context) error, s *Store, d *database) {
		s.db.Close()
		if err := call(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "session: sqlstore: ") {
			t.Errorf("the error is %v", err)
		}
	})
}
