package drivers

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/sqlstore"
)

// plant adds n records of ada's, each with size bytes of data. Each tenth record is a
// tombstone.
func plant(t testing.TB, e engine, db *sql.DB, n, size int) {
	t.Helper()
	if e.dialect == sqlstore.Postgres { // so that it does not compress them
		must(t, exec1(db, "ALTER TABLE sessions ALTER COLUMN data SET STORAGE EXTERNAL"))
	}
	must(t, exec1(db, map[sqlstore.Dialect]string{
		sqlstore.SQLite: `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < $1)
INSERT INTO sessions (id, data, owner, created, used, expires, version, ended)
SELECT lower(hex(randomblob(32))), zeroblob($2), 'ada', 0, 0, $3, 1, i % 10 = 0 FROM n`,
		sqlstore.Postgres: `
INSERT INTO sessions (id, data, owner, created, used, expires, version, ended)
SELECT encode(sha256(('ada' || i)::bytea), 'hex'), decode(repeat('00', $2), 'hex'), 'ada', 0, 0, $3::bigint, 1, i % 10 = 0
FROM generate_series(1, $1) i`,
	}[e.dialect], n, size, time.Now().Add(time.Hour).UnixMicro()))
}

// longList lists 20,000 sessions of one owner, in a table with others.
func longList(t *testing.T, e engine) {
	const n = 20_000
	s, db := newStore(t, e, e.fresh(t))
	must(t, exec1(db, e.fill, 1000, time.Now().Add(time.Hour).UnixMicro()))
	plant(t, e, db, n, 5000)
	began := time.Now()
	records, err := s.List(t.Context(), "ada")
	took := time.Since(began)
	must(t, err)
	mustBeLiveFirst(t, records, n)
	if len(records) != n {
		t.Errorf("the list has %d records, want %d", len(records), n)
	}
	if took > 5*time.Second { // it usually takes a twentieth of a second
		t.Errorf("the list took %v, want a maximum of 5 s", took)
	}
	t.Logf("%d sessions of one owner are listed in %v", n, took)
}

// mustBeLiveFirst fails the test if a tombstone comes before one of the live records,
// which are nine tenths of n.
func mustBeLiveFirst(t *testing.T, records []session.Record, n int) {
	t.Helper()
	for i, rec := range records {
		if rec.Ended != (i >= n*9/10) {
			t.Fatalf("record %d of %d: ended is %t, want the tombstones last", i, n, rec.Ended)
		}
	}
}

// cutList calls List with more and more time, until a list is whole.
func cutList(t *testing.T, e engine) {
	const n = 20_000
	s, db := newStore(t, e, e.fresh(t))
	plant(t, e, db, n, 10)
	var lengths []int
	for timeout := 200 * time.Microsecond; timeout < time.Minute; timeout += timeout / 5 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		records, err := s.List(ctx, "ada")
		cancel()
		lengths = append(lengths, len(records))
		mustBeLiveFirst(t, records, n)
		if len(records) == n {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a list of %d records ended with %v, want %v", len(records), err, context.DeadlineExceeded)
		}
	}
	t.Logf("lists of %v records", lengths)
}
