package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
)

// database is a driver that knows the statements of this package by their text. It
// stores the table in memory, records the statements, and fails when a test wants it.
type database struct {
	mu    sync.Mutex
	table map[string]row
	asked []call
	open  int  // result sets that have not been closed
	old   bool // the table lacks the column ended, as in an earlier release
	stall int  // a result set hangs after so many rows, if not 0

	// fault, if it is not nil, is called before each statement, BEGIN, COMMIT and
	// ROLLBACK, and after the last row (END). Its error is the statement's.
	fault func(ctx context.Context, statement string) error
	// blind makes RowsAffected fail.
	blind bool
}

// row has the columns in the order of load. List has all but the last.
type row [8]driver.Value

const (
	idColumn = iota
	ownerColumn
	createdColumn
	usedColumn
	expiresColumn
	versionColumn
	endedColumn
	dataColumn
)

var columns = []string{"id", "owner", "created", "used", "expires", "version", "ended", "data"}

// call is a statement and its arguments.
type call struct {
	statement string
	args      []any
}

// newDatabase returns a database, and the pool that leads to it.
func newDatabase(t testing.TB) (*database, *sql.DB) {
	d := &database{table: make(map[string]row)}
	db := sql.OpenDB(d)
	t.Cleanup(func() { db.Close() })
	return d, db
}

// fail sets the fault.
func (d *database) fail(fault func(ctx context.Context, statement string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// begin records a statement, and returns the fault's error.
func (d *database) begin(ctx context.Context, statement string, args []driver.NamedValue) error {
	c := call{statement: statement}
	for _, arg := range args {
		if b, ok := arg.Value.([]byte); ok {
			arg.Value = bytes.Clone(b)
		}
		c.args = append(c.args, arg.Value)
	}
	d.mu.Lock()
	d.asked = append(d.asked, c)
	fault := d.fault
	d.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx, statement)
}

// calls returns the statements since the last call of calls, with their arguments.
func (d *database) calls() []call {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	return asked
}

// statements returns the texts of the statements since the last call of calls.
func (d *database) statements() []string {
	var texts []string
	for _, c := range d.calls() {
		texts = append(texts, c.statement)
	}
	return texts
}

// change runs a statement on the table, and returns how many rows it changed.
func (d *database) change(statement string, args []driver.NamedValue) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	arg := func(n int) driver.Value { return args[n-1].Value }
	switch statement {
	case insert:
		old, found := d.table[arg(7).(string)]
		if found && old[expiresColumn].(int64) > arg(8).(int64) {
			return 0
		}
		return d.put(args, 1)
	case update:
		old, found := d.table[arg(7).(string)]
		if !found || old[expiresColumn].(int64) <= arg(8).(int64) || old[versionColumn] != arg(9) {
			return 0
		}
		return d.put(args, arg(9).(int64)+1)
	case remove:
		before := len(d.table)
		delete(d.table, arg(1).(string))
		return int64(before - len(d.table))
	case dialects[SQLite].sweep, dialects[Postgres].sweep:
		return d.sweep(arg(1).(int64))
	case addEnded:
		d.old = false
	}
	return 0
}

// put puts the record of a save in the table.
func (d *database) put(args []driver.NamedValue, version int64) int64 {
	v := func(n int) driver.Value { return args[n-1].Value }
	d.table[v(7).(string)] = row{v(7), v(2), v(3), v(4), v(5), version, v(6), bytes.Clone(v(1).([]byte))}
	return 1
}

// sweep removes up to sweepStep expired rows, and returns how many.
func (d *database) sweep(now int64) int64 {
	removed := int64(0)
	for id, r := range d.table {
		if r[expiresColumn].(int64) <= now && removed < sweepStep {
			delete(d.table, id)
			removed++
		}
	}
	return removed
}

// find returns the rows that a statement finds. It also finds a row whose expires is not
// a number.
func (d *database) find(statement string, args []driver.NamedValue) (found [][]driver.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch statement {
	case dialects[SQLite].hasEnded, dialects[Postgres].hasEnded:
		return [][]driver.Value{{map[bool]int64{true: 0, false: 1}[d.old]}}
	case load:
		return d.live(idColumn, args, len(columns))
	case list:
		return d.live(ownerColumn, args, dataColumn)
	}
	return nil
}

// live returns the first n columns of the rows that have a value in a column and have
// not expired.
func (d *database) live(column int, args []driver.NamedValue, n int) (found [][]driver.Value) {
	for _, id := range slices.Sorted(maps.Keys(d.table)) {
		r := d.table[id]
		expires, ok := r[expiresColumn].(int64)
		if r[column] == args[0].Value && (!ok || expires > args[1].Value.(int64)) {
			found = append(found, r[:n])
		}
	}
	return found
}

// Connect and Driver implement [driver.Connector].
func (d *database) Connect(context.Context) (driver.Conn, error) { return conn{d}, nil }
func (d *database) Driver() driver.Driver                        { return nil }

// conn is a connection, and a transaction on it.
type conn struct{ d *database }

func (c conn) Close() error                        { return nil }
func (c conn) Begin() (driver.Tx, error)           { return nil, errors.New("the old way") }
func (c conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("the old way") }
func (c conn) Commit() error                       { return c.d.begin(context.Background(), "COMMIT", nil) }
func (c conn) Rollback() error                     { return c.d.begin(context.Background(), "ROLLBACK", nil) }

func (c conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	return c, c.d.begin(ctx, "BEGIN", nil)
}

func (c conn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.d.begin(ctx, statement, args); err != nil {
		return nil, err
	}
	return result{c.d.change(statement, args), c.d.blind}, nil
}

func (c conn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.d.begin(ctx, statement, args); err != nil {
		return nil, err
	}
	c.d.opened(1)
	names := map[string][]string{load: columns, list: columns[:dataColumn]}[statement]
	if names == nil {
		names = []string{"count"}
	}
	return &resultSet{ctx: ctx, d: c.d, names: names, rows: c.d.find(statement, args)}, nil
}

// opened counts n more open result sets.
func (d *database) opened(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open += n
}

type result struct {
	n     int64
	blind bool
}

func (r result) LastInsertId() (int64, error) { return 0, errors.New("no such thing") }

func (r result) RowsAffected() (int64, error) {
	if r.blind {
		return 0, errBroken
	}
	return r.n, nil
}

// resultSet is what a query found.
type resultSet struct {
	ctx   context.Context
	d     *database
	names []string
	rows  [][]driver.Value
	read  int
}

func (r *resultSet) Columns() []string { return r.names }

func (r *resultSet) Close() error {
	r.d.opened(-1)
	return nil
}

func (r *resultSet) Next(values []driver.Value) error {
	if r.d.stall > 0 && r.read == r.d.stall {
		return blocked(r.ctx, "")
	}
	if r.read < len(r.rows) {
		copy(values, r.rows[r.read])
		r.read++
		return nil
	}
	if err := r.d.begin(r.ctx, "END", nil); err != nil {
		return err
	}
	return io.EOF
}

// errBroken is the error of a database that fails.
var errBroken = errors.New("broken")

// mustBeIdle fails the test if a connection or a result set was not given back.
func (d *database) mustBeIdle(t testing.TB, what string, db *sql.DB) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%s: %d connections in use, want none", what, n)
	}
	if d.open != 0 {
		t.Errorf("%s: %d result sets open, want none", what, d.open)
	}
}

// on returns a fault that returns err for one statement.
func on(statement string, err error) func(context.Context, string) error {
	return func(_ context.Context, s string) error {
		if s == statement {
			return err
		}
		return nil
	}
}

// blocked is a fault that makes every statement wait for the end of its context.
func blocked(ctx context.Context, _ string) error {
	<-ctx.Done()
	return fmt.Errorf("interrupted: %w", ctx.Err())
}
