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

// The database of these tests is a driver in this package. The tests with real databases
// are in testdata/drivers.
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

// record returns a record of ada's that expires in an hour.
func record(version int64) session.Record {
	now := time.Now()
	return session.Record{Data: []byte(`{}`), Owner: "ada", Created: now, Used: now, Expires: now.Add(time.Hour), Version: version}
}

// mustBe fails the test unless err is the error that is wanted.
func mustBe(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// operations are all calls that a manager makes of a store. The store must have a record
// "a" of version 1.
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

// TestStatementsAreConstants has IDs and owners that would change a statement if they
// were part of it.
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
			t.Errorf("dialect %d: hostile names make the statements %q, want those of other names, %q", dialect, got, want)
		}
	}
}

// distinct returns the statements since the last call of calls, each once.
func distinct(d *database) []string {
	texts := d.statements()
	slices.Sort(texts)
	return slices.Compact(texts)
}

// To SQLite $1 is a name. Drivers that bind by place need the names in order.
func TestParametersAreNumberedAsTheyFirstOccur(t *testing.T) {
	statements := []string{load, list, insert, update, remove, dialects[SQLite].sweep, dialects[Postgres].sweep}
	for _, statement := range statements {
		last := 0
		for _, match := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(statement, -1) {
			n := int(match[1][0] - '0')
			if len(match[1]) > 1 || n > last+1 {
				t.Errorf("$%s after $%d, want $%d next in %s", match[1], last, last+1, statement)
			}
			last = max(last, n)
		}
		if last == 0 {
			t.Errorf("no parameter, want some in %s", statement)
		}
	}
	for _, d := range dialects {
		if !strings.Contains(d.sweep, fmt.Sprintf("LIMIT %d", sweepStep)) {
			t.Errorf("want LIMIT %d in %s", sweepStep, d.sweep)
		}
	}
}

// TestTheSessionIDStaysInTheCookie: someone who reads the database, or the statements in
// its log, cannot open a session.
func TestTheSessionIDStaysInTheCookie(t *testing.T) {
	s, d := newStore(t, SQLite)
	m := newManager(t, s)
	cookie := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") }).Cookies()[0]
	visit(m, cookie.String(), func(s *session.Session) { visits.Set(s, 2) })
	renewed := visit(m, cookie.String(), (*session.Session).Renew).Cookies()[0]
	visit(m, renewed.String(), (*session.Session).Clear)
	calls := d.calls()
	if len(calls) < 8 {
		t.Fatalf("%d statements, want 8 or more", len(calls))
	}
	for _, value := range []string{cookie.Value, renewed.Value} {
		payload, _, _ := strings.Cut(value, ".")
		id, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || len(id) < 26 {
			t.Fatalf("session ID %q, %v, want 26 characters or more", id, err)
		}
		for _, c := range calls {
			if all := fmt.Sprintf("%s", c); strings.Contains(all, string(id)) || strings.Contains(all, payload) {
				t.Errorf("the database got %s, want no session ID in it", c)
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

// TestTextThatNoDatabaseStores has text that one of the databases cannot store or index.
// The store refuses it for both, before the database sees it.
func TestTextThatNoDatabaseStores(t *testing.T) {
	for what, text := range map[string]string{
		"NUL": "a\x00b", "no UTF-8": "\xff", "too long for an index": strings.Repeat("o", maxText+1),
	} {
		t.Run(what, func(t *testing.T) {
			s, d := newStore(t, SQLite)
			rec := record(0)
			rec.Owner = text
			mustBe(t, "Save with such an owner", s.Save(t.Context(), "a", rec), session.ErrValue)
			mustBe(t, "Save with such an ID", s.Save(t.Context(), text, record(0)), session.ErrValue)
			_, err := s.Load(t.Context(), text)
			mustBe(t, "Load", err, session.ErrNotFound)
			if err := s.Delete(t.Context(), text); err != nil {
				t.Errorf("Delete: %v", err)
			}
			if records, err := s.List(t.Context(), text); err != nil || len(records) > 0 {
				t.Errorf("List = %v, %v, want nothing", records, err)
			}
			if asked := d.statements(); len(asked) > 0 {
				t.Errorf("the statements are %q, want none", asked)
			}
		})
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
		t.Errorf("the database got the data as %#v, want an empty []byte", data)
	}
}

// TestCorruptRows has a row with a column that is NULL or of another type, which SQLite
// allows. The row opens no session, and locks no visitor out.
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
			t.Run(fmt.Sprintf("%T %v as %s", value, value, columns[column]), func(t *testing.T) {
				s, d := newStore(t, SQLite)
				m := newManager(t, s)
				begun := visit(m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner("ada") })
				for id, r := range d.table {
					r[column] = value
					d.table[id] = r
				}
				mustBeCorrupt(t, s, d)
				records, err := s.List(t.Context(), "ada")
				if err != nil {
					t.Errorf("List: %v, want no error", err)
				}
				if want := map[bool]int{true: 1}[column == dataColumn]; len(records) != want { // a list has no data
					t.Errorf("List has %d records, want %d", len(records), want)
				}
				again := visit(m, begun.Cookies()[0].String(), increment)
				if again.StatusCode != 200 || len(again.Cookies()) != 1 {
					t.Errorf("the visitor gets %d with %d cookies, want 200 and a new session", again.StatusCode, len(again.Cookies()))
				}
			})
		}
	}
}

func increment(s *session.Session) { visits.Update(s, func(n int) int { return n + 1 }) }

// mustBeCorrupt fails the test unless Load of each record returns ErrCorrupt.
func mustBeCorrupt(t *testing.T, s *Store, d *database) {
	t.Helper()
	for id := range d.table {
		_, err := s.Load(t.Context(), id)
		mustBe(t, "Load", err, session.ErrCorrupt)
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("Load: %v, want no value in it", err)
		}
	}
	d.mustBeIdle(t, "Load", s.db)
}

// TestAFailedDatabaseIsAnError has each statement fail. The error must not say anything
// about a record.
func TestAFailedDatabaseIsAnError(t *testing.T) {
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
			t.Error("no call failed, want some")
		}
	})
}

// TestARecordIsNotReadFromABrokenResult has a connection that breaks after a row.
func TestARecordIsNotReadFromABrokenResult(t *testing.T) {
	s, d := newStore(t, SQLite)
	if err := s.Save(t.Context(), "a", record(0)); err != nil {
		t.Fatal(err)
	}
	d.fail(on("END", errBroken))
	rec, err := s.Load(t.Context(), "a")
	mustBe(t, "Load", err, errBroken)
	records, err := s.List(t.Context(), "ada")
	mustBe(t, "List", err, errBroken)
	if rec.ID != "" {
		t.Errorf("Load = %v, want no record", rec)
	}
	if len(records) > 0 {
		t.Errorf("List = %v, want no records", records)
	}
	d.mustBeIdle(t, "END", s.db)
}

func TestASaveThatChangesNothingIsAnError(t *testing.T) {
	s, d := newStore(t, SQLite)
	mustBe(t, "Save of version 1 of none", s.Save(t.Context(), "a", record(1)), session.ErrNotFound)
	if err := s.Save(t.Context(), "a", record(0)); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Save of version 0 of one", s.Save(t.Context(), "a", record(0)), session.ErrConflict)
	mustBe(t, "Save of version 2 of 1", s.Save(t.Context(), "a", record(2)), session.ErrConflict)

	d.fail(on(load, errBroken)) // the statement after an update that changed no row
	mustBe(t, "Save when Load fails", s.Save(t.Context(), "a", record(2)), errBroken)
	d.fail(nil)
	d.blind = true
	mustBe(t, "Save when the database does not say", s.Save(t.Context(), "a", record(1)), errBroken)
	mustBe(t, "creating when the database does not say", s.Save(t.Context(), "b", record(0)), errBroken)
	d.mustBeIdle(t, "Save", s.db)
}

// TestABrokenConnectionIsReplaced: a driver returns driver.ErrBadConn if it is certain
// that the database did not see the statement.
func TestABrokenConnectionIsReplaced(t *testing.T) {
	each(t, func(t *testing.T, call func(context.Context) error, s *Store, d *database) {
		mustReplace(t, d, func() error { return call(t.Context()) })
	})
	s, d := newStore(t, Postgres)
	mustReplace(t, d, func() error { return s.CreateTable(t.Context()) })
	d.mustBeIdle(t, "CreateTable", s.db)
}

// mustReplace fails the test if a call fails because its connection was broken.
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
		t.Errorf("the statements are %q, want the first one twice", asked)
	}
}

// TestABlockedDatabaseEndsWithTheContext: a call ends at its deadline.
func TestABlockedDatabaseEndsWithTheContext(t *testing.T) {
	calls := map[string]func(context.Context, *Store) error{"CreateTable": func(ctx context.Context, s *Store) error { return s.CreateTable(ctx) }}
	for name, operation := range operations {
		calls[name] = operation
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
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
					t.Errorf("the call took %v, want %v", took, time.Second)
				}
				synctest.Wait()
				d.mustBeIdle(t, name, db)
			})
		})
	}
}

// TestABlockedDatabaseIsA503: the response comes within the manager's StoreTimeout. The
// session opens again as soon as the database works.
func TestABlockedDatabaseIsA503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		s := New(db, SQLite)
		defer s.Close()
		m := newManager(t, s)
		cookie := visit(m, "", func(s *session.Session) { visits.Set(s, 1) }).Cookies()[0].String()
		d.fail(blocked)
		begun := time.Now()
		response := visit(m, cookie, func(s *session.Session) { t.Error("the handler ran, want an error page without it") })
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the response took %v, want %v", took, time.Second)
		}
		if response.StatusCode != 503 {
			t.Errorf("status %d, want 503", response.StatusCode)
		}
		if n := len(response.Cookies()); n > 0 {
			t.Errorf("%d cookies, want none", n)
		}
		d.fail(nil)
		visit(m, cookie, func(s *session.Session) {
			if n := visits.Get(s); n != 1 {
				t.Errorf("%d visits when the database works again, want 1", n)
			}
		})
	})
}

// TestCreateTable has a table of this release or of the earlier one, and fails at each
// step. A transaction that fails is rolled back, and the next call does the rest.
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
				t.Errorf("the statements are %q, want %q", asked, steps)
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
					t.Errorf("after a failure at step %d, %q, the statements are %q, want %q", i, step, asked, want)
				}
				d.mustBeIdle(t, step, s.db)
			}
		}
	}
}

// createSteps returns the statements of CreateTable.
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
			t.Errorf("a transaction of CreateTable begins with %q, want pg_advisory_xact_lock", statement)
		}
	}
}

// TestListReturnsWhatItHasRead has a context that ends after three of five rows.
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
		t.Errorf("want no data in %s", list)
	}
	if !strings.Contains(load, "data") {
		t.Errorf("want the data in %s", load)
	}
}

func TestErrorsNameTheStore(t *testing.T) {
	each(t, func(t *testing.T, call func(context.Context) error, s *Store, d *database) {
		s.db.Close()
		if err := call(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "session: sqlstore: ") {
			t.Errorf("the error is %v, want the prefix \"session: sqlstore: \"", err)
		}
	})
}
